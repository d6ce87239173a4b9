//! A request's query: known parameters, each at most once.

use std::borrow::Cow;

use http::StatusCode;

use super::Answer;
use super::kv::target::decode;
use super::problem::problem;

/// The parameters of a query, decoded.
#[derive(Debug, Default)]
pub struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Reads a query of a route that knows the parameters `known`. `name` alone is `name=`.
    ///
    /// # Errors
    /// 400 for a parameter that is unknown, given twice or not percent-encoded UTF-8.
    pub fn parse(query: Option<&'a str>, known: &[&'static str]) -> Result<Self, Answer> {
        let bad = |detail: String| Err(problem(StatusCode::BAD_REQUEST, detail));
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        let given = query.unwrap_or_default().split('&');
        for pair in given.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                return bad(if known.is_empty() {
                    "this route takes no query parameters: leave out everything from the ? on"
                        .into()
                } else {
                    format!(
                        "this route has no such parameter: it takes {}",
                        known.join(", ")
                    )
                });
            };
            if pairs.iter().any(|(given, _)| given == name) {
                return bad(format!("the parameter {name} is given twice: keep one"));
            }
            let value = match value {
                "" => Cow::Borrowed(""),
                value => decode(value).map_err(Answer::from)?,
            };
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter, if it is given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(given, _)| *given == name)
            .map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_known_parameters_once() {
        let query = Query::parse(
            Some("wait=60s&watch&&zone=a%2Fb"),
            &["wait", "watch", "zone"],
        );
        let query = query.unwrap();
        assert_eq!(query.get("wait"), Some("60s"));
        assert_eq!(query.get("watch"), Some(""));
        assert_eq!(query.get("zone"), Some("a/b"));
        assert_eq!(query.get("port"), None);
        for query in [
            "other=1",
            "wait=1&wait=2",
            "wait=%",
            "wait=%ff",
            "WAIT=1",
            "=",
        ] {
            let refused = Query::parse(Some(query), &["wait"]).unwrap_err();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{query}");
        }
        assert!(Query::parse(None, &[]).unwrap().get("wait").is_none());
    }
}
