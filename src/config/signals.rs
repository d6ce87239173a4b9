//! Linux's signals by name and number.

use super::model::Signal;

/// Names in the order of their numbers, from 1 (signal(7); x86, arm and most others).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// No process can catch these, so none can be told anything with them.
const UNCATCHABLE: [&str; 2] = ["KILL", "STOP"];

/// Reads `HUP`, `SIGHUP` or `1`.
///
/// # Errors
/// A sentence that says what is taken.
pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name.parse::<i32>().ok();
    for (number_of, name_of) in (1..).zip(NAMES) {
        if name == name_of || number == Some(number_of) {
            if UNCATCHABLE.contains(&name_of) {
                return Err(format!(
                    "no process can catch {name_of}: give a signal that it can act upon"
                ));
            }
            return Ok(Signal {
                number: number_of,
                name: name_of.to_owned(),
            });
        }
    }
    Err(format!(
        "{text:?} is not a signal of Linux: give a name like HUP, USR1 or SIGTERM, or its number"
    ))
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
            assert_eq!(
                signal(text).map(|signal| signal.number),
                Ok(number),
                "{text}"
            );
        }
        assert_eq!(
            signal("15").map(|signal| signal.name),
            Ok("TERM".to_owned())
        );
        for bad in [
            "", "0", "32", "34", "KILL", "19", "65", "-1", "HUPP", "SIG", "reload",
        ] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
