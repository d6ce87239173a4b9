//! Globs over keys and command lines, by way of the regex engine that filters have: the usual crate
//! brings a larger one, 0.4 MB of the binary.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::{Regex, escape};

/// A glob: `*` any text, `?` a character, `[a-z]` one of these, `[!a-z]` one of the others, `{a,b}`
/// either, a backslash takes the next character as it is, and `**/`, at the start or behind a
/// slash, any directories or none. All of a text must match; a slash is a character as others.
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    regex: Regex,
}

// === impl Glob ===

impl Glob {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty glob matches nothing".to_owned());
        }
        let regex = regex(text).and_then(|regex| Regex::new(&regex).map_err(|e| e.to_string()));
        let regex = regex.map_err(|error| format!("{text:?} is not a glob: {error}"))?;
        let text = text.to_owned();
        Ok(Self { text, regex })
    }

    /// Whether it matches all of this.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The regex of a glob.
fn regex(glob: &str) -> Result<String, String> {
    let mut regex = "(?s)^".to_owned();
    let mut open = 0_u32;
    let mut behind_slash = true;
    let mut chars = glob.chars().peekable();
    while let Some(char) = chars.next() {
        let starts_part = std::mem::replace(&mut behind_slash, char == '/');
        match char {
            '*' if starts_part && chars.clone().take(2).eq(['*', '/']) => {
                chars.nth(1);
                behind_slash = true;
                regex.push_str("(?:.*/)?");
            }
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => class(&mut chars, &mut regex)?,
            '{' => {
                open += 1;
                regex.push_str("(?:");
            }
            ',' if open > 0 => regex.push('|'),
            '}' => {
                open = open.checked_sub(1).ok_or("a } without {")?;
                regex.push(')');
            }
            '\\' => literal(
                chars.next().ok_or("nothing behind the last \\")?,
                &mut regex,
            ),
            other => literal(other, &mut regex),
        }
    }
    if open > 0 {
        return Err("a { without }".to_owned());
    }
    regex.push('$');
    Ok(regex)
}

fn literal(char: char, regex: &mut String) {
    regex.push_str(&escape(char.encode_utf8(&mut [0; 4])));
}

/// The rest of a `[…]`; a `]` that comes first is one of its characters.
fn class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Result<(), String> {
    let unclosed = "a [ without ]";
    regex.push('[');
    if chars.next_if(|char| matches!(char, '!' | '^')).is_some() {
        regex.push('^');
    }
    let mut first = true;
    loop {
        let from = chars.next().ok_or(unclosed)?;
        if from == ']' && !first {
            regex.push(']');
            return Ok(());
        }
        first = false;
        literal(from, regex);
        let mut ahead = chars.clone();
        if ahead.next() == Some('-')
            && let Some(to) = ahead.next().filter(|to| *to != ']')
        {
            if to < from {
                return Err(format!("{from}-{to} is no range: turn it round"));
            }
            *chars = ahead;
            regex.push('-');
            literal(to, regex);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_glob_is_told() {
        for (text, told) in [
            ("", "an empty glob"),
            ("a[", "a [ without ]"),
            ("a[]", "a [ without ]"),
            ("a{b", "a { without }"),
            ("a}", "a } without {"),
            ("a\\", "the last \\"),
            ("[z-a]", "z-a"),
        ] {
            let error = Glob::new(text).unwrap_err();
            assert!(error.contains(told), "{text:?}: {error}");
        }
    }

    #[test]
    fn characters_are_matched_whatever_their_bytes() {
        let matches = |glob: &str, text| Glob::new(glob).unwrap().is_match(text);
        assert!(matches("?", "ü") && matches("[à-ÿ]", "ü") && !matches("[!ü]*", "üa"));
        assert!(matches("a*c", "a\nb\nc") && !matches("b", "a\nb\nc"));
        assert!(matches("a{,b}", "a"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn ascii_is_matched_as_by_the_usual_crate(
            glob in r"(\*|\?|\*\*/|/|a|b|-|\.|\\\*|,|\[!?[ab\]^.-]{1,3}\]|\{[ab*?]{1,2},[ab]\}|\{a){1,6}",
            texts in prop::collection::vec("[ab/*.,\\]^-]{0,6}", 20),
        ) {
            // Of these alone it makes `*`.
            prop_assume!(!glob.trim_start_matches("**/").is_empty());
            let usual = globset::GlobBuilder::new(&glob).build();
            let ours = Glob::new(&glob);
            prop_assert_eq!(usual.is_ok(), ours.is_ok(), "{}", glob);
            if let (Ok(usual), Ok(ours)) = (usual, ours) {
                let usual = usual.compile_matcher();
                for text in texts {
                    prop_assert_eq!(usual.is_match(&text), ours.is_match(&text), "{} {}", glob, text);
                }
            }
        }
    }
}
