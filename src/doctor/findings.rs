//! What was found, and how it is printed: a finding a line, the worst first.

use std::io::{self, Write};

use super::Severity;

/// How a finding is to be taken. The order is that of printing, from behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Well.
    Ok,
    /// Neither well nor wrong: what was not looked at, and why.
    Note,
    /// It works, and may not as it was meant.
    Warning,
    /// What had to be looked at could not be.
    Unknown,
    /// It does not work.
    Error,
}

/// One finding: one line, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
}

/// The findings, in the order of finding.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

// === impl Level ===

impl Level {
    const WORST_FIRST: [Self; 5] = [
        Self::Error,
        Self::Unknown,
        Self::Warning,
        Self::Note,
        Self::Ok,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }

    fn severity(self) -> Severity {
        match self {
            Self::Ok | Self::Note => Severity::Fine,
            Self::Warning => Severity::Warning,
            Self::Unknown => Severity::Unknown,
            Self::Error => Severity::Error,
        }
    }
}

// === impl Finding ===

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self::new(Level::Ok, text)
    }

    pub(super) fn note(text: impl Into<String>) -> Self {
        Self::new(Level::Note, text)
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self::new(Level::Warning, text)
    }

    pub(super) fn unknown(text: impl Into<String>) -> Self {
        Self::new(Level::Unknown, text)
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::new(Level::Error, text)
    }

    fn new(level: Level, text: impl Into<String>) -> Self {
        Self {
            level,
            text: text.into(),
        }
    }

    /// The same, with what it is about before it.
    pub(super) fn about(mut self, subject: &str) -> Self {
        self.text.insert_str(0, &format!("{subject}: "));
        self
    }
}

// === impl Findings ===

impl Findings {
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = Finding>) {
        for finding in found {
            // Pods of one workload have the same faults.
            if !self.0.contains(&finding) {
                self.0.push(finding);
            }
        }
    }

    /// The worst of them.
    pub(super) fn severity(&self) -> Severity {
        let severities = self.0.iter().map(|finding| finding.level.severity());
        severities.max().unwrap_or(Severity::Fine)
    }

    /// Prints them, and how many of each there are.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut counts = Vec::new();
        for level in Level::WORST_FIRST {
            let mut count = 0;
            for finding in self.0.iter().filter(|finding| finding.level == level) {
                // What others say may have line breaks; a finding is a line.
                let words: Vec<_> = finding.text.split_whitespace().collect();
                writeln!(out, "{}: {}", level.word(), words.join(" "))?;
                count += 1;
            }
            let plural = if count == 1 || matches!(level, Level::Ok | Level::Unknown) {
                ""
            } else {
                "s"
            };
            if count > 0 {
                counts.push(format!("{count} {}{plural}", level.word()));
            }
        }
        if counts.is_empty() {
            counts.push("nothing to look at".to_owned());
        }
        writeln!(out, "{}", counts.join(", "))?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(findings: &Findings) -> String {
        let mut out = Vec::new();
        findings.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_worst_comes_first_and_the_count_last() {
        let mut findings = Findings::default();
        findings.add([
            Finding::ok("a"),
            Finding::warning("b"),
            Finding::error("c\n  d"),
            Finding::note("e"),
            Finding::error("f").about("pod x"),
            Finding::warning("b"),
        ]);
        assert_eq!(
            printed(&findings),
            "error: c d\nerror: pod x: f\nwarning: b\nnote: e\nok: a\n2 errors, 1 warning, 1 note, 1 ok\n"
        );
    }

    #[test]
    fn an_error_weighs_more_than_what_is_not_known() {
        let mut findings = Findings::default();
        assert_eq!(findings.severity().exit_code(), 0);
        findings.add([Finding::note("a"), Finding::warning("b")]);
        assert_eq!(findings.severity(), Severity::Warning);
        assert_eq!(findings.severity().exit_code(), 0);
        findings.add([Finding::unknown("c")]);
        assert_eq!(findings.severity().exit_code(), 2);
        findings.add([Finding::error("d")]);
        assert_eq!(findings.severity().exit_code(), 1);
    }
}
