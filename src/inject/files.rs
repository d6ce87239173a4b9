//! Volumes for what attache writes.

use std::path::Path;

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
    "/sbin",
    "/usr",
    "/var",
    "/var/lib/attache",
    pod::TOKEN_DIR,
];

/// Where the kernel alone makes directories: runtimes refuse a mount there, and the pod would never start.
/// A container's `/dev` is a file system in memory, and takes one.
const KERNEL: &[&str] = &["/proc", "/sys"];

/// Gives each directory that rules write a volume, which attache writes and the app's containers read.
pub(super) fn add(work: &mut Work<'_>) {
    let mut directories: Vec<&Path> = Vec::new();
    let mut made = 0;
    for rule in &work.task.asked.config.files {
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
        let around = directories
            .iter()
            .find(|other| other.starts_with(dir) || dir.starts_with(other));
        if let Some(other) = around {
            let (dir, other) = (dir.display(), other.display());
            let fault = format!(
                "{dir} and {other} are two volumes, and cannot be one in the other: choose another directory"
            );
            work.fault("files", format!("{}: {fault}", rule.name));
            continue;
        }
        directories.push(dir);
        if let Some(fault) = misplaced(work.task.base, dir) {
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
    if let Some(kernel) = KERNEL.iter().find(|kernel| dir.starts_with(kernel)) {
        return Some(format!(
            "no volume can be mounted at {shown}, for {kernel} is the kernel's own, and the pod would not start: write elsewhere"
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
    let base = work.task.base;
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
    let is_on_disk =
        pod::volume(base, name(mount)).is_some_and(|v| v["emptyDir"]["medium"] != "Memory");
    if is_on_disk && holds_secret(work, dir) {
        let volume = name(mount);
        work.warnings.push(format!(
            "{}: a Secret is written to a disk of the node: give volume {volume} emptyDir.medium: Memory",
            rule.name
        ));
    }
    let own = mounted.iter().find(|(one, _)| work.task.is_wrapped(one));
    match own {
        Some((_, own)) if own["readOnly"] == Value::Bool(true) => {
            let fault = format!(
                "{}: attache runs in container {}, which mounts {shown} read-only: drop readOnly",
                rule.name,
                work.task
                    .asked
                    .exec_container
                    .as_deref()
                    .unwrap_or_default()
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

/// A new volume, for attache and every container that runs while it does.
fn add_volume(work: &mut Work<'_>, volume: &str, dir: &Path) {
    let what = if holds_secret(work, dir) {
        // As the kubelet keeps Secrets: never on a disk.
        json!({ "medium": "Memory" })
    } else {
        json!({})
    };
    work.volume(volume, "emptyDir", what);
    work.mounts
        .push(json!({ "name": volume, "mountPath": dir }));
    for (path, container) in work.task.beside() {
        if !work.task.is_wrapped(container) && !is_occupied(work.task.base, container, dir) {
            let mount = json!({ "name": volume, "mountPath": dir, "readOnly": true });
            work.add_to(&path, "volumeMounts", Place::Last, mount);
        }
    }
}

/// Whether an init container has something of its own there, and may prepare it for the app: it keeps
/// that. In a container of the app it is a fault ([`misplaced`], [`reuse`]).
fn is_occupied(base: &Value, container: &Value, dir: &Path) -> bool {
    let is_init = pod::container(base, name(container)).is_none();
    let mut paths = list(container, "volumeMounts").iter().map(mount_path);
    is_init && paths.any(|path| path.starts_with(dir) || dir.starts_with(path))
}

/// Whether a rule writes a Secret there.
fn holds_secret(work: &Work<'_>, dir: &Path) -> bool {
    let mut rules = work.task.asked.config.files.iter();
    rules.any(|rule| {
        let kind = match &rule.from {
            FilesFrom::Object(object) => object.kind,
            FilesFrom::Selected(selector) => selector.kind,
        };
        kind == ObjectKind::Secret && directory(&rule.to) == Some(dir)
    })
}
