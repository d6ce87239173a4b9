//! Two proxies side by side, and the report on what they answer differently.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::case::Case;
use super::differences::{DIFFERENCES, Difference, RULES};
use crate::support::proxy::{Proxy, version};

/// Cases for proxies that were started with the same flags.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: &'static str,
    pub flags: Vec<String>,
    pub cases: Vec<Case>,
    /// The first minor version of kubectl that knows the flags.
    pub since: u32,
}

impl Group {
    pub fn new(name: &'static str, flags: &[&str], cases: Vec<Case>) -> Self {
        Self {
            name,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            cases,
            since: 0,
        }
    }

    pub fn since(mut self, minor: u32) -> Self {
        self.since = minor;
        self
    }
}

/// What is held against `kubectl proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Attache,
    /// Another process of the same kubectl: shows that the comparison itself is sound.
    Kubectl,
}

/// A kubectl and what is compared with it.
#[derive(Debug)]
pub struct Comparison {
    kubectl: PathBuf,
    minor: u32,
    subject: Subject,
    /// Namespaces of equal length, one for each side.
    namespaces: [String; 2],
    cases: usize,
    seen: BTreeSet<&'static str>,
    applied: BTreeSet<&'static str>,
    /// The rules that held in some case, by their place.
    ruled: BTreeSet<usize>,
    report: String,
}

impl Comparison {
    pub fn new(kubectl: &Path, subject: Subject, namespaces: [String; 2]) -> Self {
        Self {
            kubectl: kubectl.to_owned(),
            minor: minor(kubectl),
            subject,
            namespaces,
            cases: 0,
            seen: BTreeSet::new(),
            applied: BTreeSet::new(),
            ruled: BTreeSet::new(),
            report: String::new(),
        }
    }

    /// Of each side.
    pub fn namespaces(&self) -> &[String; 2] {
        &self.namespaces
    }

    /// Both proxies with the same kubeconfig and flags; `None`: this kubectl does not know them.
    pub async fn pair(&self, kubeconfig: &Path, group: &Group) -> Option<[Proxy; 2]> {
        if self.minor < group.since {
            return None;
        }
        let flags: Vec<&str> = group.flags.iter().map(String::as_str).collect();
        let kubectl = Proxy::kubectl(&self.kubectl, kubeconfig, &flags).await;
        let subject = match self.subject {
            Subject::Attache => Proxy::attache(kubeconfig, &flags).await,
            Subject::Kubectl => Proxy::kubectl(&self.kubectl, kubeconfig, &flags).await,
        };
        Some([kubectl, subject])
    }

    /// Sends each case to both; `told` is `{1}` in the side's request.
    pub async fn run(&mut self, kubeconfig: &Path, group: &Group, told: [&str; 2]) {
        let Some(pair) = self.pair(kubeconfig, group).await else {
            return;
        };
        for case in &group.cases {
            let [first, second] = &self.namespaces;
            let (kubectl, subject) = tokio::join!(
                case.run(&pair[0], first, told[0]),
                case.run(&pair[1], second, told[1]),
            );
            self.judge(case.name, &case.shown(), &kubectl, &subject);
        }
    }

    /// Notes what is not as expected.
    pub fn judge(&mut self, name: &'static str, request: &str, kubectl: &str, subject: &str) {
        assert!(self.seen.insert(name), "two cases are called {name:?}");
        self.cases += 1;
        let (kubectl, subject) = (&self.ruled(kubectl, subject), subject);
        let found = DIFFERENCES.iter().find(|difference| {
            self.subject == Subject::Attache
                && difference.of.holds(self.minor)
                && difference.cases.contains(&name)
        });
        let fault = match found {
            None if kubectl == subject => return,
            None => "they differ".to_owned(),
            Some(difference) => {
                self.applied.insert(name);
                match stated(difference, kubectl, subject) {
                    Ok(()) => return,
                    Err(fault) => fault,
                }
            }
        };
        let subject_name = match self.subject {
            Subject::Attache => "attache",
            Subject::Kubectl => "another kubectl",
        };
        let _ = writeln!(
            self.report,
            "=== {name}: {fault}\n{}\n--- kubectl\n{}\n--- {subject_name}\n{}\n",
            request.escape_debug().to_string().replace("\\n", "\n"),
            cut(kubectl, subject),
            cut(subject, kubectl),
        );
    }

    /// kubectl's answer with the lines that attache says otherwise in every request, as attache
    /// says them.
    fn ruled(&mut self, kubectl: &str, subject: &str) -> String {
        let mut lines: Vec<&str> = kubectl.lines().collect();
        if self.subject == Subject::Kubectl {
            return kubectl.to_owned();
        }
        for (place, rule) in RULES.iter().enumerate() {
            let found = lines.iter().position(|line| line.starts_with(rule.kubectl));
            let Some(found) = found.filter(|_| rule.of.holds(self.minor)) else {
                continue;
            };
            let instead = subject.lines().find(|line| line.starts_with(rule.attache));
            match instead {
                _ if rule.attache.is_empty() && !subject.contains(rule.kubectl) => {
                    lines.remove(found);
                }
                Some(line) if !rule.attache.is_empty() => lines[found] = line,
                _ => continue,
            }
            self.ruled.insert(place);
        }
        let end = if kubectl.ends_with('\n') { "\n" } else { "" };
        lines.join("\n") + end
    }

    /// Panics with all that was noted.
    pub fn end(self, at_least: usize) {
        let name = version(&self.kubectl);
        let count = self.report.matches("=== ").count();
        assert!(
            self.report.is_empty(),
            "{name}: {count} of {} cases are not as expected\n{}",
            self.cases,
            self.report
        );
        assert!(self.cases >= at_least, "only {} cases", self.cases);
        println!(
            "{name}: {} cases, of which {} differ as documented",
            self.cases,
            self.applied.len()
        );
    }

    /// The cases compared so far.
    pub fn seen(&self) -> &BTreeSet<&'static str> {
        &self.seen
    }
}

/// Whether both answers are as the table says.
fn stated(difference: &Difference, kubectl: &str, subject: &str) -> Result<(), String> {
    let sides = [
        ("kubectl", difference.kubectl, kubectl, subject),
        ("attache", difference.attache, subject, kubectl),
    ];
    for (side, says, own, other) in sides {
        if let Some(missing) = says.iter().find(|text| !own.contains(**text)) {
            return Err(format!("{side} does not say {missing:?}"));
        }
        if says.iter().all(|text| other.contains(text)) {
            return Err(format!("both say {says:?}: no difference"));
        }
    }
    Ok(())
}

/// A long text from a little before it leaves the other.
fn cut(text: &str, other: &str) -> String {
    let same = text.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    let from = if text.chars().count() < 1_500 {
        0
    } else {
        same.count().saturating_sub(200)
    };
    let cut: String = text.chars().skip(from).take(1_500).collect();
    if from == 0 {
        cut
    } else {
        format!("[…]{cut}")
    }
}

/// 32 for v1.32.4.
fn minor(kubectl: &Path) -> u32 {
    let version = version(kubectl);
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok());
    minor.unwrap_or_else(|| panic!("a version: {version}"))
}
