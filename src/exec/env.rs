//! The environment that objects make, as `envFrom` of a container makes it: a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use crate::store::{Content, Kind, Value};

/// Variables by name. `Debug` shows names only: a value may be a Secret's.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Variables(BTreeMap<String, OsString>);

/// One `envFrom` entry, and what its object holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) kind: Kind,
    pub(super) prefix: &'a str,
    pub(super) content: &'a Content,
}

/// The variables of an object that no environment can hold, by what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// The name is not one of an environment variable.
    pub(super) invalid_names: Vec<String>,
    /// The value holds a NUL byte.
    pub(super) with_nul: Vec<String>,
    /// The kernel takes no string of that length.
    pub(super) too_long: Vec<String>,
}

/// The names in which two environments differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference<'a> {
    pub(super) added: Vec<&'a str>,
    pub(super) changed: Vec<&'a str>,
    pub(super) removed: Vec<&'a str>,
}

enum Fault {
    Name,
    Nul,
    Length,
}

// === impl Variables ===

impl Variables {
    /// Lays `layers` over one another: a later one wins. What is in `kept` is left out.
    pub(super) fn new<'a>(
        layers: impl IntoIterator<Item = Layer<'a>>,
        kept: &BTreeSet<OsString>,
    ) -> Self {
        let mut variables = BTreeMap::new();
        for layer in layers {
            for (name, value) in layer.variables() {
                if layer.fault(&name, value).is_none() && !kept.contains(OsStr::new(&name)) {
                    variables.insert(name, OsStr::from_bytes(&value.bytes).to_owned());
                }
            }
        }
        Self(variables)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What becomes of `self` with `next`.
    pub(super) fn difference<'a>(&'a self, next: &'a Self) -> Difference<'a> {
        let mut difference = Difference::default();
        for (name, value) in &next.0 {
            match self.0.get(name) {
                None => difference.added.push(name),
                Some(before) if before != value => difference.changed.push(name),
                Some(_) => {}
            }
        }
        let gone = self.0.keys().filter(|name| !next.0.contains_key(*name));
        difference.removed = gone.map(String::as_str).collect();
        difference
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl Layer ===

impl<'a> Layer<'a> {
    /// What the object holds, as variables: `binaryData` of a ConfigMap is no part of them, and all
    /// data of a Secret is.
    fn variables(self) -> impl Iterator<Item = (String, &'a Value)> {
        let text = move |value: &Value| self.kind == Kind::Secret || !value.binary;
        let values = self.content.values().iter();
        values
            .filter(move |(_, value)| text(value))
            .map(move |(key, value)| (format!("{}{key}", self.prefix), value))
    }

    fn fault(self, name: &str, value: &Value) -> Option<Fault> {
        if !is_name(name) {
            return Some(Fault::Name);
        }
        if value.bytes.contains(&0) {
            return Some(Fault::Nul);
        }
        // `NAME=VALUE` and its NUL.
        (name.len() + value.bytes.len() + 2 > longest()).then_some(Fault::Length)
    }

    /// The variables that [`Variables::new`] leaves out of this layer.
    pub(super) fn skipped(self) -> Skipped {
        let mut skipped = Skipped::default();
        for (name, value) in self.variables() {
            match self.fault(&name, value) {
                None => {}
                Some(Fault::Name) => skipped.invalid_names.push(name),
                Some(Fault::Nul) => skipped.with_nul.push(name),
                Some(Fault::Length) => skipped.too_long.push(name),
            }
        }
        skipped
    }
}

/// Whether `name` names an environment variable as Kubernetes has it: `IsEnvVarName` of
/// k8s.io/apimachinery, whose stricter form the kubelet applies to `envFrom` without the gate
/// RelaxedEnvironmentVariableValidation.
fn is_name(name: &str) -> bool {
    let other = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'.' | b'_');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(other)
        && bytes.all(|byte| other(byte) || byte.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
}

/// The most bytes of one string of an environment: MAX_ARG_STRLEN of Linux, 32 pages.
fn longest() -> usize {
    usize::try_from(procfs::page_size()).map_or(usize::MAX, |page| page.saturating_mul(32))
}

#[cfg(test)]
impl FromIterator<(String, OsString)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, OsString)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::store::{Object, ObjectRef, RawObject};

    fn content(kind: Kind, values: &[(&str, &[u8])]) -> Arc<Content> {
        let mut raw = RawObject::empty(ObjectRef::new(kind, "default", "web"));
        for (key, value) in values {
            raw.insert_bytes((*key).into(), value.to_vec());
        }
        Arc::clone(Object::freeze(raw, None).content())
    }

    fn layer<'a>(kind: Kind, prefix: &'a str, content: &'a Content) -> Layer<'a> {
        Layer {
            kind,
            prefix,
            content,
        }
    }

    fn pairs(variables: &Variables) -> Vec<(&str, &[u8])> {
        let pairs = variables.iter();
        pairs.map(|(n, v)| (n, OsStr::as_bytes(v))).collect()
    }

    #[test]
    fn a_later_source_wins_and_prefixes_go_before_keys() {
        let first = content(Kind::ConfigMap, &[("A", b"1"), ("B", b"1")]);
        let second = content(Kind::Secret, &[("B", b"2"), ("C", b"2")]);
        let variables = Variables::new(
            [
                layer(Kind::ConfigMap, "", &first),
                layer(Kind::Secret, "", &second),
                layer(Kind::ConfigMap, "P_", &first),
            ],
            &BTreeSet::new(),
        );
        let expected: [(&str, &[u8]); 5] = [
            ("A", b"1"),
            ("B", b"2"),
            ("C", b"2"),
            ("P_A", b"1"),
            ("P_B", b"1"),
        ];
        assert_eq!(pairs(&variables), expected);
        assert!(!format!("{variables:?}").contains('2'), "names only");
    }

    #[test]
    fn what_is_kept_is_left_to_attaches_own_environment() {
        let values = content(Kind::ConfigMap, &[("HOME", b"/x"), ("A", b"1")]);
        let kept = [OsString::from("HOME")].into();
        let variables = Variables::new([layer(Kind::ConfigMap, "", &values)], &kept);
        assert_eq!(pairs(&variables), [("A", &b"1"[..])]);
    }

    #[test]
    fn binary_data_is_a_secrets_only() {
        let values: [(&str, &[u8]); 2] = [("A", b"\xff\xfe"), ("B", b"text")];
        let map = content(Kind::ConfigMap, &values);
        let variables = Variables::new([layer(Kind::ConfigMap, "", &map)], &BTreeSet::new());
        assert_eq!(pairs(&variables), [("B", &b"text"[..])]);
        assert_eq!(
            layer(Kind::ConfigMap, "", &map).skipped(),
            Skipped::default()
        );
        let secret = content(Kind::Secret, &values);
        let variables = Variables::new([layer(Kind::Secret, "", &secret)], &BTreeSet::new());
        assert_eq!(pairs(&variables), values);
    }

    #[test]
    fn what_no_environment_holds_is_skipped_and_listed() {
        let long = vec![b'x'; longest()];
        let values = content(
            Kind::Secret,
            &[
                ("1st", b"1"),
                ("..data", b"1"),
                ("nginx.conf", b"1"),
                ("NUL", b"a\0b"),
                ("LONG", &long),
                // With its name, `=` and NUL as long as can be.
                ("OK", &long[4..]),
            ],
        );
        let entry = layer(Kind::Secret, "", &values);
        let variables = Variables::new([entry], &BTreeSet::new());
        let names: Vec<&str> = variables.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["OK", "nginx.conf"]);
        assert_eq!(
            entry.skipped(),
            Skipped {
                invalid_names: vec!["..data".into(), "1st".into()],
                with_nul: vec!["NUL".into()],
                too_long: vec!["LONG".into()],
            }
        );
        // The whole name counts, so a prefix can mend it.
        let prefixed = layer(Kind::Secret, "P", &values).skipped();
        assert_eq!(prefixed.invalid_names, Vec::<String>::new());
    }

    #[test]
    fn names_as_kubernetes_takes_them() {
        for good in ["a", "_", "-", ".a", "A1", "a.b-c_d", "-.-", "a..b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1", ".", "..", "..a", "a b", "a=b", "a/b", "é", "a\n"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_difference_names_what_changes() {
        let before = content(Kind::ConfigMap, &[("A", b"1"), ("B", b"1"), ("C", b"1")]);
        let after = content(Kind::ConfigMap, &[("A", b"1"), ("B", b"2"), ("D", b"1")]);
        let variables =
            |content| Variables::new([layer(Kind::ConfigMap, "", content)], &BTreeSet::new());
        let (before, after) = (variables(&before), variables(&after));
        let expected = Difference {
            added: vec!["D"],
            changed: vec!["B"],
            removed: vec!["C"],
        };
        assert_eq!(before.difference(&after), expected);
        assert_eq!(after.difference(&after), Difference::default());
    }

    proptest! {
        /// Every key becomes a variable or is listed as skipped, never both; what becomes one can be
        /// given to a program.
        #[test]
        fn every_key_is_used_or_skipped(
            values in prop::collection::btree_map("[-._a-zA-Z0-9]{1,8}", prop::collection::vec(any::<u8>(), 0..8), 0..12),
            prefix in "[-._a-zA-Z0-9]{0,3}",
        ) {
            let values: Vec<(&str, &[u8])> = values.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
            let content = content(Kind::Secret, &values);
            let entry = layer(Kind::Secret, &prefix, &content);
            let variables = Variables::new([entry], &BTreeSet::new());
            let skipped = entry.skipped();
            let left_out = skipped.invalid_names.len() + skipped.with_nul.len() + skipped.too_long.len();
            prop_assert_eq!(variables.len() + left_out, values.len());
            for (name, value) in variables.iter() {
                prop_assert!(!name.contains('=') && !name.is_empty());
                prop_assert!(!value.as_bytes().contains(&0));
            }
        }
    }
}
