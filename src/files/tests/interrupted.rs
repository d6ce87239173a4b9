use proptest::prelude::*;

use super::*;

type Wanted = BTreeMap<&'static str, String>;

/// More steps than any of these renders takes.
const STEPS: usize = 40;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// Each key under the path that it may have; `d` is beside `c` in a directory.
fn paths() -> Vec<FilesItem> {
    [("a", "a"), ("b", "b"), ("c", "sub/c"), ("d", "sub/deep/d")]
        .map(|(key, path)| item(key, path, None))
        .to_vec()
}

fn to_source(wanted: &Wanted) -> Source {
    let pairs: Vec<_> = wanted.iter().map(|(key, value)| (*key, value)).collect();
    source("web", &pairs)
}

/// Every file below `dir` with what it holds.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            assert!(!entry.file_type().unwrap().is_symlink());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(dir).unwrap().to_owned();
                let text = fs::read_to_string(entry.path()).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), text);
            }
        }
    }
    found
}

fn as_files(wanted: &Wanted) -> BTreeMap<String, String> {
    paths()
        .into_iter()
        .filter_map(|item| {
            let value = wanted.get(item.key.as_str())?;
            Some((item.path.to_str().unwrap().to_owned(), value.clone()))
        })
        .collect()
}

/// The set that readers see, through `..data`; `None` before there is one.
fn seen(dir: &Path) -> Option<BTreeMap<String, String>> {
    let data = dir.join("..data");
    data.is_symlink().then(|| files(&data))
}

/// Nothing but `wanted`, as the kubelet would have it.
fn assert_complete(dir: &Path, wanted: &Wanted) {
    let wanted = as_files(wanted);
    assert_eq!(seen(dir), Some(wanted.clone()));
    let mut layout = expect(&[("..VERSION", "/"), ("..data", "-> ..VERSION")]);
    for path in wanted.keys() {
        let first = path.split('/').next().unwrap();
        layout.insert(first.to_owned(), format!("-> ..data/{first}"));
    }
    assert_eq!(listing(dir), layout);
    let versions = fs::read_dir(dir).unwrap().filter(|entry| {
        let entry = entry.as_ref().unwrap();
        entry.file_type().unwrap().is_dir()
    });
    assert_eq!(versions.count(), 1, "one version only");
}

/// The link of a key that is kept never dangles.
fn assert_links(dir: &Path, before: &Wanted, after: &Wanted) {
    let first = |wanted: &Wanted| -> std::collections::BTreeSet<String> {
        let first = |path: &String| path.split('/').next().unwrap().to_owned();
        as_files(wanted).keys().map(first).collect()
    };
    for name in first(before).intersection(&first(after)) {
        assert!(dir.join(name).exists(), "{name}");
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let value = prop_oneof![Just("1".to_owned()), Just("2".to_owned())];
    prop::collection::btree_map(prop::sample::select(&KEYS[..]), value, 0..=4)
}

fn ended() -> impl Strategy<Value = Option<(usize, End)>> {
    let end = prop_oneof![
        3 => Just(End::Crash),
        1 => Just(End::Error(Errno::NOSPC)),
        1 => Just(End::Error(Errno::IO)),
    ];
    prop::option::weighted(0.8, (0..STEPS, end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_ends_with_the_last_set(
        renders in prop::collection::vec((wanted(), ended()), 1..8),
        last in wanted(),
    ) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = dir.path().join("d");
        let target = target(&[rule(named(true), to_dir(&path, Some(paths())))]);
        // The set that is complete, with its links.
        let mut complete: Option<Wanted> = None;
        for (next, end) in renders {
            let before = seen(&path);
            let sources = [to_source(&next)];
            let (at, end) = end.unwrap_or((usize::MAX, End::Crash));
            let (result, reached) = interrupted(&target, &sources, at, end);
            if let Some(Ok(rendered)) = result {
                // A leftover that cannot be removed stays until the next time, and is reported.
                if rendered.remarks.is_empty() {
                    assert_complete(&path, &next);
                } else {
                    prop_assert_eq!(seen(&path), Some(as_files(&next)));
                }
                complete = Some(next);
                continue;
            }
            prop_assert!(reached);
            let now = seen(&path);
            prop_assert!(now == before || now == Some(as_files(&next)), "a mixed set: {now:?}");
            if let Some(before) = complete.take() {
                assert_links(&path, &before, &next);
            }
        }
        target.render(&[to_source(&last)]).unwrap();
        assert_complete(&path, &last);
        prop_assert!(!target.render(&[to_source(&last)]).unwrap().written);
    }
}

#[test]
fn an_error_at_any_step_leaves_a_whole_set_and_no_rubbish() {
    let value = |value: &str| -> Wanted { KEYS.map(|key| (key, value.to_owned())).into() };
    let mut failures = 0;
    for at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let target = target(&[rule(named(false), to_dir(dir.path(), Some(paths())))]);
        let (old, new) = (value("old"), value("new"));
        target.render(&[to_source(&old)]).unwrap();
        let error = End::Error(Errno::NOSPC);
        let (result, reached) = interrupted(&target, &[to_source(&new)], at, error);
        match result.unwrap() {
            Ok(rendered) if reached => {
                // Only the old version could not be removed.
                assert_eq!(rendered.remarks.len(), 1, "{rendered:?}");
                assert_eq!(seen(dir.path()), Some(as_files(&new)));
            }
            Ok(_) => {
                assert_complete(dir.path(), &new);
                break;
            }
            Err(error) => {
                failures += 1;
                assert!(matches!(error, FilesError::Full { .. }), "{error}");
                if seen(dir.path()) == Some(as_files(&old)) {
                    assert_complete(dir.path(), &old);
                } else {
                    assert_eq!(seen(dir.path()), Some(as_files(&new)));
                }
            }
        }
        assert!(
            target
                .render(&[to_source(&new)])
                .unwrap()
                .remarks
                .is_empty()
        );
        assert_complete(dir.path(), &new);
    }
    assert!(failures > 15, "only {failures} steps failed");
}

#[test]
fn a_file_is_the_old_or_the_new_one_after_any_step() {
    for end in [End::Crash, End::Error(Errno::NOSPC)] {
        let mut ends = 0;
        for at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let target = target(&[rule(named(false), to_file(&path, 0o644))]);
            target.render(&[source("web", &[("a", "old")])]).unwrap();
            let new = [source("web", &[("a", "new")])];
            let (result, reached) = interrupted(&target, &new, at, end);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text == "old" || text == "new", "{text}");
            if result.is_some() {
                assert_eq!(
                    listing(dir.path()),
                    expect(&[("file", &text)]),
                    "no temporary"
                );
            }
            target.render(&new).unwrap();
            assert_eq!(listing(dir.path()), expect(&[("file", "new")]));
            if !reached {
                break;
            }
            ends += 1;
        }
        assert_eq!(ends, 5);
    }
}
