//! The directories that attache writes: whether it can.

use std::io;
use std::path::{Path, PathBuf};

use super::findings::Finding;
use crate::config::{Config, FilesTo};

/// Tries each directory of `config`.
pub(super) fn writable(config: &Config) -> Vec<Finding> {
    let mut dirs: Vec<(PathBuf, String)> = Vec::new();
    for rule in &config.files {
        let dir = match &rule.to {
            FilesTo::Dir { dir, .. } => dir.clone(),
            FilesTo::File { file, .. } => file.parent().map(Path::to_path_buf).unwrap_or_default(),
        };
        dirs.push((dir, rule.name.clone()));
    }
    if let Some(state) = &config.state {
        dirs.push((state.dir.clone(), "--state-dir".to_owned()));
    }
    dirs.sort_unstable();
    dirs.dedup_by(|a, b| a.0 == b.0);
    dirs.iter().map(|(dir, what)| finding(dir, what)).collect()
}

fn finding(dir: &Path, what: &str) -> Finding {
    let shown = dir.display();
    match attempt(dir) {
        Ok(()) => Finding::ok(format!("{shown} ({what}) can be written")),
        Err(error) => Finding::error(format!(
            "{shown} ({what}) cannot be written ({error}): mount an emptyDir there into attache's container, and let its \
             user write (fsGroup in the pod's securityContext)"
        )),
    }
}

/// Makes a file there, and takes it away again. A directory that is missing is made by attache, in
/// the one above it.
fn attempt(dir: &Path) -> io::Result<()> {
    let there = dir.ancestors().find(|ancestor| ancestor.exists());
    // A name that looks like none of a key, and that readers of such directories pass over.
    let name = format!("..attache-doctor-{}", std::process::id());
    let file = there.unwrap_or(dir).join(name);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)?;
    std::fs::remove_file(&file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::findings::Level;
    use crate::doctor::tests::config;

    #[test]
    fn each_directory_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("file"), "").unwrap();
        let files = |to: &str| format!("--files={{configMap: web, dir: '{to}'}}");
        let found = |args: &[&str]| {
            let found = writable(&config(args));
            found
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        let state = format!("--state-dir={}", at("state"));
        assert_eq!(
            found(&[&files(&at("missing/below")), &state]),
            [Level::Ok, Level::Ok]
        );
        assert_eq!(found(&[&files(&at("file/below"))]), [Level::Error]);
        assert_eq!(found(&["--configmap=web"]), []);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
