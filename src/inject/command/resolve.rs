//! What plain scalars stand for, as kubectl takes them: sigs.k8s.io/yaml, which is go-yaml v2, which is
//! YAML 1.1 without base 60 and with timestamps left as text.

use serde_json::{Number, Value};

/// The value of a plain scalar; `None` for text.
pub(super) fn plain(text: &str) -> Option<Value> {
    let word = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        _ => None,
    };
    word.or_else(|| number(text).map(Value::Number))
}

/// Whether it is one of the numbers that JSON does not have, for which kubectl refuses a document.
pub(super) fn is_infinite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Option<Number> {
    match text.as_bytes().first()? {
        b'.' => float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    }
}

/// As Go's `strconv.ParseInt` and `ParseUint` with base 0.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // Rust would take a second sign.
    let magnitude = match digits.as_bytes().first()? {
        b'+' | b'-' => return None,
        _ => i128::from_str_radix(digits, base).ok()?,
    };
    let value = if negative { -magnitude } else { magnitude };
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => Some(value.into()),
        // `ParseUint` takes no sign.
        (_, Ok(value)) if !text.starts_with('+') => Some(value.into()),
        _ => None,
    }
}

/// A number with a point or exponent: `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`. Go's
/// JSON writes one that is whole without a point.
fn float(text: &str) -> Option<Number> {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let value: f64 = match text.chars().all(numeric) {
        true => text.parse().ok()?,
        false => return None,
    };
    /// Every whole number below has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        // Exactly: it is whole and small.
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    // Infinite is too large, and text.
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_are_what_kubectl_takes_them_for() {
        // Each was asked of kubectl 1.20 and 1.32, by `kubectl label --local -o json`.
        for (text, value) in [
            ("y", json!(true)),
            ("N", json!(false)),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("NO", json!(false)),
            ("", json!(null)),
            ("~", json!(null)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("1__0", json!(10)),
            ("1_000.5", json!(1000.5)),
            ("1e3", json!(1000)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("+12", json!(12)),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("0", json!(0)),
            (
                "18446744073709551615",
                json!(18_446_744_073_709_551_615_u64),
            ),
            ("99999999999999999999", json!(1e20)),
        ] {
            assert_eq!(plain(text), Some(value), "{text}");
        }
        for text in [
            "nO",
            "tRue",
            "12:30:45",
            "2001-01-01",
            "1e400",
            "_1",
            "=",
            "<<",
            "0x",
            "--1",
            "+-1",
            "1.2.3",
            "0b2",
            "-",
            "+",
            ".",
            "1e",
            "10s",
            "nan",
            "inf",
            "infinity",
            "1 000",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert!(is_infinite(".inf") && is_infinite("-.INF") && is_infinite(".nan"));
        assert!(!is_infinite("inf") && !is_infinite("-.nan"));
    }
}
