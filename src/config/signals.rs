//! Linux's signals by name and number.

/// Names in the order of their numbers, from 1 (signal(7); x86, arm and most others).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The real-time signals that programs may use; the C libraries keep 32 and 33.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads `HUP`, `SIGHUP` or `1` as number and name.
///
/// # Errors
/// A sentence that says what is taken.
pub(crate) fn signal(text: &str) -> Result<(i32, String), String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name.parse::<i32>().ok();
    for (number_of, name_of) in (1..).zip(NAMES) {
        if name == name_of || number == Some(number_of) {
            return Ok((number_of, name_of.to_owned()));
        }
    }
    match number {
        Some(number) if REAL_TIME.contains(&number) => Ok((number, number.to_string())),
        _ => Err(format!(
            "{text:?} is not a signal of Linux: give a name like HUP, USR1 or SIGTERM, or a number"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn names_numbers_and_nothing_else() {
        for (text, number) in [
            ("HUP", 1),
            ("sighup", 1),
            ("1", 1),
            ("SIGUSR2", 12),
            ("WINCH", 28),
            ("SYS", 31),
        ] {
            assert_eq!(signal(text).map(|(number, _)| number), Ok(number), "{text}");
        }
        assert_eq!(signal("15"), Ok((15, "TERM".to_owned())));
        assert_eq!(signal("34"), Ok((34, "34".to_owned())));
        for bad in ["", "0", "32", "65", "-1", "HUPP", "SIG", "reload"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
