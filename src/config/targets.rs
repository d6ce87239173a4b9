//! Where `files` rules write, held against each other and against what attache reads.

use std::path::Path;

use super::errors::Faults;
use super::model::{FilesFrom, FilesRule, FilesTo, Rule, Source};

/// Checks the targets of `files` together. Paths are compared as they are written.
pub(crate) fn check(files: &[FilesRule], source: &Source, rules: &[Rule], faults: &mut Faults) {
    for (index, rule) in files.iter().enumerate() {
        for earlier in &files[..index] {
            if let Some(fault) = collision(&rule.to, &earlier.to) {
                faults.add(&rule.name, format!("{fault} ({})", earlier.name));
            }
        }
        check_read(rule, source, rules, faults);
        if source.dir.is_some() && matches!(rule.from, FilesFrom::Selected(_)) {
            let fault = "a selector needs an API server, and --dir takes its place: name the object by configMap or secret";
            faults.add(&rule.name, fault);
        }
    }
}

/// Why two rules cannot both write; two of one directory can.
fn collision(one: &FilesTo, other: &FilesTo) -> Option<String> {
    match (one, other) {
        (FilesTo::Dir { .. }, FilesTo::Dir { .. }) => None,
        (FilesTo::File { file: a, .. }, FilesTo::File { file: b, .. }) => {
            if a == b {
                let a = a.display();
                return Some(format!(
                    "{a} is written by an earlier rule: keep one, or choose another file"
                ));
            }
            (a.starts_with(b) || b.starts_with(a)).then(|| {
                let (a, b) = (a.display(), b.display());
                format!("{a} and {b}: one cannot be a file and a directory, choose other paths")
            })
        }
        (FilesTo::Dir { dir, .. }, FilesTo::File { file, .. })
        | (FilesTo::File { file, .. }, FilesTo::Dir { dir, .. }) => {
            let (inside, around) = (file.starts_with(dir), dir.starts_with(file));
            let (file, dir) = (file.display(), dir.display());
            if inside {
                return Some(format!(
                    "{file} is in {dir}, which a rule writes as a whole: choose a path outside, or use items"
                ));
            }
            around.then(|| format!("{file} is on the way to {dir}: choose other paths"))
        }
    }
}

/// A path that attache writes is not one that it reads.
fn check_read(rule: &FilesRule, source: &Source, rules: &[Rule], faults: &mut Faults) {
    let (path, is_dir) = match &rule.to {
        FilesTo::Dir { dir, .. } => (dir, true),
        FilesTo::File { file, .. } => (file, false),
    };
    // A directory of ours takes its own names; what is elsewhere in it is not looked at.
    let within = |read: &Path| match is_dir {
        true => path == read,
        false => path.parent() == Some(read),
    };
    let shown = path.display();
    if source
        .mounts
        .iter()
        .any(|mount| path.starts_with(&mount.path))
    {
        let fault = format!(
            "{shown} is in the volume of a --mount, which the kubelet writes: choose another path"
        );
        faults.add(&rule.name, fault);
    }
    for other in rules {
        if other.after_mount.as_deref().is_some_and(within) {
            let fault = format!(
                "{shown} is the afterMount of {}, which waits for the kubelet: files are written before rules run, so leave afterMount out, or choose another path",
                other.name
            );
            faults.add(&rule.name, fault);
        }
    }
    if source.dir.as_deref().is_some_and(within) {
        let fault = format!("{shown} is in --dir, where manifests are read: choose another path");
        faults.add(&rule.name, fault);
    }
}
