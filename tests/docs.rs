//! What the documentation shows is so: its configurations are valid, and its links lead somewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly, as tests may"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: those in the root, under `docs` and of the examples.
fn pages() -> Vec<PathBuf> {
    fn collect(dir: &Path, deep: bool, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if deep && path.is_dir() {
                collect(&path, true, into);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                into.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    collect(root(), false, &mut pages);
    collect(&root().join("docs"), true, &mut pages);
    collect(&root().join("examples"), true, &mut pages);
    pages.sort();
    assert!(pages.len() > 10, "found only {pages:?}");
    pages
}

/// The blocks of YAML whose first line is `# attache.yaml`: whole configuration files. With the line
/// on which each begins.
fn configurations(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line != "```yaml" {
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|(_, l)| *l != "```").collect();
        if let Some((number, "# attache.yaml")) = block.first() {
            let text: String = block.iter().flat_map(|(_, l)| [l, "\n"]).collect();
            found.push((number + 1, text));
        }
    }
    found
}

#[test]
fn the_configurations_that_the_docs_show_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("attache.yaml");
    let mut checked = 0;
    let mut faults = String::new();
    for page in pages() {
        for (line, text) in configurations(&fs::read_to_string(&page).unwrap()) {
            fs::write(&file, text).unwrap();
            let mut check = Command::new(env!("CARGO_BIN_EXE_attache"));
            check.args(["check", "--config"]).arg(&file).env_clear();
            let output = check.output().unwrap();
            if !output.status.success() {
                let says = String::from_utf8_lossy(&output.stderr).into_owned();
                faults += &format!("{}:{line}: {says}\n", page.display());
            }
            checked += 1;
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(checked >= 10, "only {checked} configurations found");
}

/// The flags that a help text lists, as `--set`.
fn flags(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start);
    let flags = lines.filter(|line| line.starts_with('-'));
    let long = flags.filter_map(|line| {
        line.split([' ', '[', '.'])
            .find(|word| word.starts_with("--"))
    });
    long.filter(|flag| *flag != "--help").collect()
}

#[test]
fn every_flag_is_on_the_page_about_configuration() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut seen = 0;
    for command in [
        "run", "exec", "proxy", "inject", "uninject", "webhook", "doctor",
    ] {
        let snapshot = format!("tests/snapshots/help-{command}.txt");
        let help = fs::read_to_string(root().join(snapshot)).unwrap();
        for flag in flags(&help) {
            // Not as the beginning of another one.
            let mut found = page.split(flag).skip(1);
            let whole = |rest: &str| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric());
            assert!(found.any(whole), "attache {command} {flag}");
            seen += 1;
        }
    }
    assert!(seen > 150, "only {seen} flags found");
}

/// The targets of a page's links, those to other sites left out.
fn links(page: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let targets = line.split("](").skip(1);
            found.extend(targets.filter_map(|rest| rest.split(')').next()));
        }
    }
    found.retain(|target| !target.contains("://"));
    found
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().chars();
    letters
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| {
            if c == ' ' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut followed = 0;
    let mut broken = String::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let found = target.exists()
                && (fragment.is_empty()
                    || fs::read_to_string(&target)
                        .unwrap()
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == fragment));
            if !found {
                broken += &format!("{}: {link}\n", page.display());
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "{broken}");
    assert!(followed > 20, "only {followed} links found");
}
