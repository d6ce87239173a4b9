//! A filter's regular expression, and a faster way to match those that filters mostly are.

use regex_lite::Regex;

/// A regular expression of the filter. Most are literal text with `.*` in between, such as
/// `^/api/.*/pods/.*/exec`, and are matched as such: the engine takes microseconds for each, on
/// every request.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    literal: Option<Literal>,
}

/// Pieces of text, in this order, with anything but a line break in between.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Literal {
    pieces: Vec<String>,
    from_start: bool,
    to_end: bool,
}

// === impl Pattern ===

impl Pattern {
    pub(super) fn new(regex: Regex) -> Self {
        let literal = Literal::read(regex.as_str());
        Self { regex, literal }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match &self.literal {
            // Whether `.` matches a line break is the expression's to say.
            Some(literal) if !text.contains('\n') => literal.is_match(text),
            _ => self.regex.is_match(text),
        }
    }
}

// === impl Literal ===

impl Literal {
    /// `None` if the expression is more than that.
    fn read(expression: &str) -> Option<Self> {
        let (from_start, rest) = match expression.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, expression),
        };
        let (to_end, rest) = match rest.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let pieces = rest.split(".*").map(unescaped);
        let pieces: Option<Vec<String>> = pieces.collect();
        pieces.map(|pieces| Self {
            pieces,
            from_start,
            to_end,
        })
    }

    fn is_match(&self, text: &str) -> bool {
        let mut rest = text;
        let last = self.pieces.len() - 1;
        for (index, piece) in self.pieces.iter().enumerate() {
            let anchored = index == 0 && self.from_start;
            if index == last && self.to_end {
                return if anchored {
                    rest == piece
                } else {
                    rest.ends_with(piece.as_str())
                };
            }
            let found = if anchored {
                rest.strip_prefix(piece.as_str())
            } else {
                // The first place leaves the most for what follows.
                rest.split_once(piece.as_str()).map(|(_, after)| after)
            };
            match found {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }
}

/// The text that an expression without operators stands for.
fn unescaped(expression: &str) -> Option<String> {
    let mut text = String::with_capacity(expression.len());
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '-' | '_' | ':' | '%' | '~' => {
                text.push(character);
            }
            '\\' => text.push(characters.next().filter(|&c| c == '.' || c == '-')?),
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(expression: &str) -> bool {
        Literal::read(expression).is_some()
    }

    #[test]
    fn what_filters_mostly_are_is_literal() {
        for expression in [
            "^.*",
            "^$",
            "",
            "^/api/.*/pods/.*/exec",
            "^/api/v1/namespaces/kube-system",
            "secrets$",
            r"^/apis/apps\.example/.*",
            "POST",
        ] {
            assert!(literal(expression), "{expression}");
        }
        for expression in [
            "^/a.c", "a+", "a*", "(a)", "[a]", "a|b", "a?", "a{2}", r"\d", "a^b", "a$b", ".",
            "^^a", r"a\", "a$$", ".+", "a.*?",
        ] {
            assert!(!literal(expression), "{expression}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn matches_as_the_expression_does(
            expression in r"\^?(a|b|/|\.\*|\\\.){0,8}\$?",
            text in "[ab/.\n]{0,12}",
            lines in any::<bool>(),
        ) {
            let regex = regex_lite::RegexBuilder::new(&expression)
                .dot_matches_new_line(lines)
                .build()
                .unwrap();
            let pattern = Pattern::new(regex.clone());
            prop_assert!(pattern.literal.is_some());
            prop_assert_eq!(pattern.is_match(&text), regex.is_match(&text));
        }
    }
}
