//! Lists of regexes, as `kubectl proxy` takes them.

use regex_lite::{Regex, RegexBuilder};

/// Reads one regex by which something is accepted.
///
/// # Errors
/// What is wrong with it, on one line.
pub(crate) fn accepting(text: &str) -> Result<Regex, String> {
    compile(text, false)
}

/// Reads one regex by which something is refused. Its `.` matches a line break too, so that an
/// encoded one in a path is no way around it.
///
/// # Errors
/// What is wrong with it, on one line.
pub(crate) fn rejecting(text: &str) -> Result<Regex, String> {
    compile(text, true)
}

/// Reads regexes joined by commas, each by `one`; an empty text is an empty list. Line breaks part
/// them, too, as in any list of the environment: in a regex, one would match nothing that there is.
///
/// # Errors
/// What is wrong with the first that is wrong.
pub(crate) fn list(
    text: &str,
    one: fn(&str) -> Result<Regex, String>,
) -> Result<Vec<Regex>, String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.flat_map(|line| line.split(',')).map(one).collect()
}

fn compile(text: &str, dot_matches_new_line: bool) -> Result<Regex, String> {
    if text.is_empty() {
        return Err(
            "an empty regex between commas matches everything: take the comma out, or write .*"
                .to_owned(),
        );
    }
    let mut builder = RegexBuilder::new(text);
    builder.dot_matches_new_line(dot_matches_new_line);
    builder.build().map_err(|error| {
        let comma = if text.contains('{') {
            " (a comma ends a regex; only the lists of the file take one inside)"
        } else {
            ""
        };
        format!(
            r"{text:?} is not a regex: {error}{comma}; the syntax is Go's without \Q…\E, \p{{…}}, \C and octal escapes, and a literal {{, or a [ between brackets, needs a backslash"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_part_regexes_as_commas_do() {
        let read = |text| {
            let regexes = list(text, rejecting).unwrap();
            regexes.iter().map(Regex::to_string).collect::<Vec<_>>()
        };
        assert_eq!(read("^/a,^/b"), ["^/a", "^/b"]);
        assert_eq!(read("^/a\n^/b,c\n"), ["^/a", "^/b", "c"]);
        assert_eq!(read(""), [""; 0]);
        assert!(list("^/a,\n^/b", rejecting).is_err());
    }

    #[test]
    fn a_list_splits_on_commas_and_an_empty_text_is_an_empty_list() {
        let texts = |text| {
            let list = list(text, accepting)?;
            Ok::<_, String>(list.iter().map(Regex::to_string).collect::<Vec<_>>())
        };
        assert_eq!(texts(""), Ok(Vec::new()));
        assert_eq!(texts("^/api,b"), Ok(vec!["^/api".into(), "b".into()]));
        for bad in [",", "a,", ",a", "a,,b"] {
            assert!(texts(bad).unwrap_err().contains("between commas"), "{bad}");
        }
    }

    #[test]
    fn only_a_rejecting_regex_looks_beyond_a_line_break() {
        let path = "/api/v1/namespaces/a/pods/b\n/exec";
        let regex = "^/api/.*/pods/.*/exec";
        assert!(rejecting(regex).unwrap().is_match(path));
        assert!(!accepting(regex).unwrap().is_match(path));
        assert!(accepting("pods").unwrap().is_match(path), "not anchored");
    }

    #[test]
    fn what_go_knows_and_we_do_not_is_told() {
        for bad in [
            r"\Qa\E",
            r"\pL",
            r"\p{Greek}",
            r"\C",
            r"\123",
            "[[]",
            "a{",
            "(",
            "(?=a)",
        ] {
            let fault = accepting(bad).unwrap_err();
            assert!(fault.contains("the syntax is Go's"), "{bad}: {fault}");
            assert!(!fault.contains('\n'), "{fault}");
        }
        assert!(
            list("a{1,2}", accepting)
                .unwrap_err()
                .contains("a comma ends a regex")
        );
        for good in [
            r"\z",
            "[[:^alpha:]]",
            "(?i)a",
            "(?P<n>a)",
            r"\-",
            r"\x{41}",
            "(?U)a*",
        ] {
            assert!(accepting(good).is_ok(), "{good}");
        }
    }
}
