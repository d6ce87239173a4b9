//! Holds the sources against ARCHITECTURE.md: who imports whom, and how long files are.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may fail loudly, as tests may"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

const MOST_LINES: usize = 400;

type Table = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file under `src`, relative to it.
fn sources() -> Vec<PathBuf> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path.strip_prefix(root().join("src")).unwrap().to_owned());
            }
        }
    }
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.sort();
    assert!(files.len() > 10, "found only {files:?}");
    files
}

/// The files that are not tests, each with its production part.
fn production() -> Vec<(PathBuf, String)> {
    let is_test = |path: &PathBuf| {
        let stem = path.file_stem().unwrap();
        stem == "tests" || path.iter().any(|part| part == "tests")
    };
    sources()
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| {
            let text = fs::read_to_string(root().join("src").join(&path)).unwrap();
            (path, production_part(&text).to_owned())
        })
        .collect()
}

fn production_part(text: &str) -> &str {
    let tests = Regex::new(r"(?m)^#\[cfg\(test\)\]\n(#\[.*\]\n)*mod ").unwrap();
    tests
        .find(text)
        .map_or(text, |found| &text[..found.start()])
}

/// The path of the module that a file is: `store/writer.rs` is `store::writer`.
fn module(path: &Path) -> Vec<String> {
    path.with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect()
}

/// The top-level names that a module's code reaches.
fn reached(code: &str, module: &[String]) -> BTreeSet<String> {
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    // The crate's root by its names, or by as many `super` as the module is deep. `main` is a crate
    // of its own that uses the library by its name.
    let supers = vec!["super"; module.len()].join(r"\s*::\s*");
    let crate_name = if module == ["main"] {
        "attache"
    } else {
        "crate"
    };
    let prefix = Regex::new(&format!(r"\b(?:{crate_name}|{supers})\s*::\s*")).unwrap();
    let mut names = BTreeSet::new();
    for found in prefix.find_iter(&code) {
        // `super::super` begins a longer path that the regex meets as such.
        names.extend(heads(&code[found.end()..]));
    }
    names.remove("super");
    names
}

/// The first segments of a path, or of each path of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut heads, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                heads.push(word(&group[start..at]));
                start = at + 1;
            }
            '}' if depth == 0 => {
                heads.push(word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// The table of ARCHITECTURE.md.
fn table() -> Table {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let name = Regex::new(r"`([a-z]+)`").unwrap();
    let names =
        |cell: &str| -> Vec<String> { name.captures_iter(cell).map(|c| c[1].to_owned()).collect() };
    let table: Table = text
        .lines()
        .skip_while(|line| *line != "| module | may know |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            assert_eq!(cells.len(), 2, "{line}");
            let module = names(cells[0]);
            assert_eq!(module.len(), 1, "{line}");
            (module[0].clone(), names(cells[1]).into_iter().collect())
        })
        .collect();
    assert!(table.len() > 10, "ARCHITECTURE.md has lost its table");
    table
}

#[test]
fn modules_know_only_what_the_table_lets_them() {
    let table = table();
    for known in table.values().flatten() {
        assert!(
            table.contains_key(known),
            "the table has no row for {known}"
        );
    }
    let (mut faults, mut edges) = (Vec::new(), 0);
    for (path, code) in production() {
        let module = module(&path);
        if module == ["lib"] {
            continue;
        }
        let Some(known) = table.get(&module[0]) else {
            faults.push(format!(
                "{}: ARCHITECTURE.md has no row for it",
                path.display()
            ));
            continue;
        };
        for name in reached(&code, &module) {
            edges += 1;
            if name != module[0] && !known.contains(&name) {
                faults.push(format!("{} may not know {name}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        edges > 10,
        "only {edges} imports were found: is the reader broken?"
    );
}

#[test]
fn the_table_has_no_circle() {
    let table = table();
    let mut left: BTreeSet<&String> = table.keys().collect();
    while !left.is_empty() {
        let free: Vec<&String> = left
            .iter()
            .copied()
            .filter(|module| table[*module].iter().all(|known| !left.contains(known)))
            .collect();
        assert!(
            !free.is_empty(),
            "these know each other in a circle: {left:?}"
        );
        left.retain(|module| !free.contains(module));
    }
}

#[test]
fn files_are_short_and_none_is_called_mod() {
    let files = production();
    let long: Vec<String> = files
        .iter()
        .map(|(path, code)| (path, code.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{} has {lines} production lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
    let called_mod: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "mod.rs"))
        .collect();
    assert!(called_mod.is_empty(), "{called_mod:?}");
}

#[test]
fn the_reader_of_imports_sees_what_there_is() {
    let module = |path: &str| module(Path::new(path));
    let code = "use crate::{store::{a, b}, status};\n\
                use crate::metrics::Metrics; // crate::comment\n\
                use super::sibling;\n\
                fn f() { super::super::upstream::x(); crate::shutdown::channel() }\n";
    let names: Vec<String> = reached(code, &module("source/kube.rs"))
        .into_iter()
        .collect();
    assert_eq!(
        names,
        ["metrics", "shutdown", "status", "store", "upstream"]
    );
    let names = reached("use super::store;\nuse super::{a, b};", &module("api.rs"));
    assert_eq!(names, ["a", "b", "store"].map(str::to_owned).into());
    let names = reached("use attache::{app, cli};", &module("main.rs"));
    assert_eq!(names, ["app", "cli"].map(str::to_owned).into());
    let code = "fn a() {}\n#[cfg(test)]\nfn b() {}\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(production_part(code).lines().count(), 3);
}
