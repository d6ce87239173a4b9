//! Durations, sizes, numbers and addresses, as flags and file write them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

use super::model::Settle;

/// The longest wait of a settle time that names none, in multiples of its quiet period.
const LONGEST_OF_QUIET: u32 = 4;

/// The longest duration: a hundred years, so that the moment in which it ends can be told.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Reads `250ms`, `1s`, `1m30s`.
///
/// # Errors
/// A sentence that says how to write a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let duration = SpanParser::new()
        .parse_unsigned_duration(text)
        .map_err(|_| format!("{text:?} is not a duration: write it like 250ms, 5s or 1m30s"))?;
    if duration > LONGEST {
        return Err(format!(
            "{text:?} is more than a hundred years: give a shorter one"
        ));
    }
    Ok(duration)
}

/// Reads a duration that must not be zero.
///
/// # Errors
/// As [`duration`].
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a timeout of zero always fails: give at least 1ms".to_owned()),
        timeout => Ok(timeout),
    }
}

/// Reads `QUIET[:LONGEST]`; the longest wait is four times the quiet period unless given.
///
/// # Errors
/// A sentence that says what is wrong with which of the two.
pub(crate) fn settle(text: &str) -> Result<Settle, String> {
    let (quiet, longest) = match text.split_once(':') {
        Some((quiet, longest)) => (duration(quiet)?, duration(longest)?),
        None => {
            let quiet = duration(text)?;
            (quiet, quiet.saturating_mul(LONGEST_OF_QUIET))
        }
    };
    if longest < quiet {
        return Err(format!(
            "{text:?}: the longest wait is shorter than the quiet period; write QUIET:LONGEST, as 250ms:1s"
        ));
    }
    Ok(Settle { quiet, longest })
}

/// Reads a size in bytes as a Kubernetes quantity: `1048576`, `10M`, `1.5Gi`.
///
/// # Errors
/// A sentence that says how to write a size.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let fault = || format!("{text:?} is not a size: write it like 64Mi, 10M or 1048576 (bytes)");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let unit: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(fault()),
    };
    let bytes = match number.split_once('.') {
        None => number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)),
        Some((whole, fraction)) => fractional(whole, fraction, unit),
    };
    match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(0) => Err("a size of zero holds nothing: give at least 1".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err(fault()),
    }
}

/// `whole.fraction` units, rounded down to a byte.
fn fractional(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    // Nine digits are finer than a byte of any unit that matters.
    let digits = fraction.get(..fraction.len().min(9))?;
    let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let part = u128::from(digits.parse::<u64>().ok()?) * u128::from(unit) / scale;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Reads a whole number.
///
/// # Errors
/// A sentence that names `least` and the type's largest value.
pub(crate) fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    text.parse()
        .ok()
        .filter(|number| *number >= least && *number <= most)
        .ok_or_else(|| format!("{text:?} is not a number from {least} to {most}"))
}

/// Reads an IP address, with or without the brackets of a URL, or `localhost`.
///
/// # Errors
/// A sentence that says that other host names are not taken.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| {
            format!(
                "{text:?} is not an IP address: give one like 127.0.0.1 or ::1, not a host name"
            )
        })
}

/// Reads `true` or `false`.
///
/// # Errors
/// A sentence that says so.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Reads a text that must say something.
///
/// # Errors
/// It is empty.
pub(crate) fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty: give a value or leave it out".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a path.
///
/// # Errors
/// It is empty.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    filled(text).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_and_may_combine_them() {
        let millis = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("0s"), Ok(0));
        assert_eq!(millis("0"), Ok(0));
        for bad in ["5", "", "abc", "-1s", "1x"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(timeout("0s").is_err());
        assert_eq!(millis("876000h"), Ok(3_153_600_000_000));
        // Added to the time of day, it would be no time at all.
        let fault = duration("18446744073709551615s").unwrap_err();
        assert!(fault.contains("a hundred years"), "{fault}");
    }

    #[test]
    fn settle_defaults_its_longest_wait_and_orders_the_two() {
        let settle = |text| settle(text).map(|s| (s.quiet.as_millis(), s.longest.as_millis()));
        assert_eq!(settle("250ms:1s"), Ok((250, 1000)));
        assert_eq!(settle("250ms"), Ok((250, 1000)));
        assert_eq!(settle("0s"), Ok((0, 0)));
        assert!(settle("2s:1s").unwrap_err().contains("shorter"));
        assert!(settle(":1s").is_err());
    }

    #[test]
    fn sizes_are_quantities() {
        assert_eq!(size("64Mi"), Ok(64 << 20));
        assert_eq!(size("10M"), Ok(10_000_000));
        assert_eq!(size("1Gi"), Ok(1 << 30));
        assert_eq!(size("1.5Ki"), Ok(1536));
        assert_eq!(size("1048576"), Ok(1 << 20));
        for bad in [
            "",
            "Mi",
            "-1",
            "1MB",
            "0",
            "1.",
            ".5",
            "1..2",
            "99999999999999999999",
            "99999999Ti",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_rest_says_what_it_wants() {
        assert_eq!(number::<u16>("8001", 0, u16::MAX), Ok(8001));
        assert!(
            number::<u16>("65536", 0, u16::MAX)
                .unwrap_err()
                .contains("65535")
        );
        assert!(address("[::1]").is_ok_and(|address| address.is_loopback()));
        assert!(address("localhost").is_ok_and(|address| address.is_ipv4()));
        assert!(address("sidecar").unwrap_err().contains("host name"));
        assert!(boolean("yes").is_err());
    }
}
