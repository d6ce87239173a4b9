//! Faults of flags and file, collected so that one run shows them all.

use std::fmt;

/// Every fault found, in the order of finding; printed one a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Faults(Vec<String>);

// === impl Faults ===

impl Faults {
    /// Adds what is wrong at `at` (a flag, or a file with line and key) and what to do about it.
    /// Line breaks become spaces: a fault is one line.
    pub(crate) fn add(&mut self, at: impl fmt::Display, what: impl fmt::Display) {
        self.add_line(&format!("{at}: {what}"));
    }

    /// Adds a fault that has no one place.
    pub(crate) fn add_line(&mut self, what: &str) {
        let words: Vec<_> = what.split_whitespace().collect();
        self.0.push(words.join(" "));
    }

    /// The value of `result`; an error is added as a fault at `at`.
    pub(crate) fn take<T, E: fmt::Display>(
        &mut self,
        at: impl fmt::Display,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(at, error)).ok()
    }

    /// Whether there is no fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, a line each, without the `attache: ` that [`fmt::Display`] puts before them.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl From<Vec<String>> for Faults {
    fn from(lines: Vec<String>) -> Self {
        let mut faults = Self::default();
        for line in &lines {
            faults.add_line(line);
        }
        faults
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}attache: {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
