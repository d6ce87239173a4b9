//! Volumes for what attache writes, and for what its rules wait for.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::editor::Place;
use super::pod::{self, containers, list, mount_at, mount_path, name};
use super::work::Work;
use crate::config::{FilesFrom, FilesRule, FilesTo, ObjectKind};

/// Where a volume would take away what programs, or attache, cannot be without.
const TAKEN: &[&str] = &[
    "/",
    "/bin",
    "/dev",
    "/etc",
    "/etc/attache",
    "/lib",
    "/lib64",
    "/opt/attache",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
    "/var/lib/attache",
    pod::TOKEN_DIR,
];

/// Gives each directory that rules write a volume, which attache writes and the app's containers read.
pub(super) fn add(work: &mut Work<'_>) {
    let mut directories: Vec<&Path> = Vec::new();
    let mut made = 0;
    for rule in &work.job.asked.config.files {
        let Some(dir) = directory(&rule.to) else {
            let fault = format!("{}: write an absolute path", rule.name);
            work.fault("files", fault);
            continue;
        };
        if let FilesTo::File { .. } = rule.to {
            let (rule, dir) = (&rule.name, dir.display());
            work.warnings.push(format!(
                "{rule}: a volume is mounted at {dir}, and hides what the image has there"
            ));
        }
        if directories.contains(&dir) {
            continue;
        }
        directories.push(dir);
        if let Some(fault) = misplaced(work.job.base, dir) {
            work.fault("files", format!("{}: {fault}", rule.name));
        } else if !reuse(work, rule, dir) {
            let volume = format!("attache-files-{made}");
            made += 1;
            add_volume(work, &volume, dir);
        }
    }
}

/// The directory that is a volume: what a rule writes as a whole, or where it puts its file.
fn directory(to: &FilesTo) -> Option<&Path> {
    let dir = match to {
        FilesTo::Dir { dir, .. } => dir.as_path(),
        FilesTo::File { file, .. } => file.parent()?,
    };
    dir.is_absolute().then_some(dir)
}

/// Why no volume can be mounted there.
fn misplaced(base: &Value, dir: &Path) -> Option<String> {
    let shown = dir.display();
    if TAKEN.iter().any(|taken| dir == Path::new(taken)) {
        return Some(format!(
            "a volume at {shown} would hide what is there: write into a directory of its own below it"
        ));
    }
    for container in containers(base) {
        for mount in list(container, "volumeMounts") {
            let path = mount_path(mount);
            let (who, at) = (name(container), path.display());
            if path != dir && path.starts_with(dir) {
                return Some(format!(
                    "container {who} mounts something below it, at {at}: write into another directory"
                ));
            }
            if path != dir && dir.starts_with(path) && !is_writable(base, mount) {
                return Some(format!(
                    "{shown} is in what container {who} mounts read-only at {at}, where no directory can be made: write elsewhere"
                ));
            }
        }
    }
    None
}

/// Whether directories can be made in what is mounted.
fn is_writable(base: &Value, mount: &Value) -> bool {
    let read_only = |volume: &Value| {
        ["configMap", "secret", "projected", "downwardAPI", "image"]
            .iter()
            .any(|kind| !volume[kind].is_null())
    };
    mount["readOnly"] != Value::Bool(true)
        && pod::volume(base, name(mount)).is_some_and(|volume| !read_only(volume))
}

/// Takes the volume that the app has at `dir`, if it has one: whether it has, fit or not.
fn reuse(work: &mut Work<'_>, rule: &FilesRule, dir: &Path) -> bool {
    let base = work.job.base;
    let mounted = containers(base).filter_map(|one| Some((one, mount_at(one, dir)?)));
    let mounted: Vec<_> = mounted.collect();
    let Some((first, mount)) = mounted.first() else {
        return false;
    };
    let (who, shown) = (name(first), dir.display());
    let is_empty_dir = pod::volume(base, name(mount)).is_some_and(|v| v["emptyDir"].is_object());
    let is_one = mounted
        .iter()
        .all(|(_, other)| name(other) == name(mount) && !pod::is_sub_path(other));
    if !is_empty_dir || !is_one {
        let fault = format!(
            "{}: container {who} mounts something else at {shown}: write into another directory, or mount the same emptyDir there in every container that reads it",
            rule.name
        );
        work.fault("files", fault);
        return true;
    }
    let own = mounted.iter().find(|(one, _)| work.job.is_wrapped(one));
    match own {
        Some((_, own)) if own["readOnly"] == Value::Bool(true) => {
            let fault = format!(
                "{}: attache runs in container {}, which mounts {shown} read-only: drop readOnly",
                rule.name,
                work.job.asked.exec_container.as_deref().unwrap_or_default()
            );
            work.fault("files", fault);
        }
        Some(_) => {}
        None => {
            let volume = name(mount).to_owned();
            work.mounts
                .push(json!({ "name": volume, "mountPath": dir }));
        }
    }
    true
}

/// A new volume, for attache and every container of the app.
fn add_volume(work: &mut Work<'_>, volume: &str, dir: &Path) {
    let rules = &work.job.asked.config.files;
    let secret = rules.iter().any(|rule| {
        directory(&rule.to) == Some(dir)
            && match &rule.from {
                FilesFrom::Object(object) => object.kind == ObjectKind::Secret,
                FilesFrom::Selected(selector) => selector.kind == ObjectKind::Secret,
            }
    });
    let what = if secret {
        // As the kubelet keeps Secrets: never on a disk.
        json!({ "medium": "Memory" })
    } else {
        json!({})
    };
    work.volume(volume, "emptyDir", what);
    work.mounts
        .push(json!({ "name": volume, "mountPath": dir }));
    for container in containers(work.job.base) {
        if !work.job.is_wrapped(container) {
            let mount = json!({ "name": volume, "mountPath": dir, "readOnly": true });
            work.add_to(name(container), "volumeMounts", Place::Last, mount);
        }
    }
}

/// Shows attache the mounts that rules wait for.
pub(super) fn add_awaited(work: &mut Work<'_>) {
    let rules = work.job.asked.config.on_change.iter();
    let awaited: Vec<(&str, &PathBuf)> = rules
        .filter_map(|rule| Some((rule.name.as_str(), rule.after_mount.as_ref()?)))
        .collect();
    for (rule, path) in awaited {
        match awaited_mount(work, path) {
            Ok(Some(mount)) => work.mounts.push(mount),
            Ok(None) => {}
            Err(fault) => work.fault("on-change", format!("{rule}: afterMount: {fault}")),
        }
    }
}

/// The mount for `path`, unless attache's container has it already.
fn awaited_mount(work: &Work<'_>, path: &Path) -> Result<Option<Value>, String> {
    let base = work.job.base;
    let target = work.job.asked.target_container.as_deref();
    let target = target.or(work.job.asked.exec_container.as_deref());
    let mut mounts: Vec<_> = containers(base)
        .filter(|container| target.is_none_or(|target| name(container) == target))
        .flat_map(|container| list(container, "volumeMounts"))
        .filter(|mount| path.starts_with(mount_path(mount)))
        .collect();
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount_path(mount).components().count()));
    let Some(mount) = mounts.first() else {
        let whose = target.map_or("no container".to_owned(), |one| {
            format!("container {one} does not")
        });
        let mounts = if target.is_some() { "mount" } else { "mounts" };
        let path = path.display();
        return Err(format!(
            "{whose} {mounts} anything at {path}: name the mountPath of the ConfigMap's volume"
        ));
    };
    if pod::is_sub_path(mount) {
        let path = path.display();
        return Err(format!(
            "{path} is mounted by subPath, which the kubelet never updates: mount the whole volume"
        ));
    }
    let at = mount_path(mount);
    if work.job.asked.exec_container.is_some() || work.mounts_at(at) {
        return Ok(None);
    }
    Ok(Some(
        json!({ "name": name(mount), "mountPath": at, "readOnly": true }),
    ))
}
