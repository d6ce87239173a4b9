//! Two proxies side by side, and the report on what they answer differently.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::case::Case;
use super::differences::{DIFFERENCES, Difference, RULES, WORDS};
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
    /// The words that were other ones in some case, by their place.
    worded: BTreeSet<usize>,
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
            worded: BTreeSet::new(),
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
        assert!(!group.cases.is_empty(), "{}: no cases", group.name);
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
        let kubectl = self.worded(kubectl, subject);
        let (kubectl, subject) = self.ruled(&kubectl, subject);
        let (kubectl, subject) = (kubectl.as_str(), subject.as_str());
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

    /// kubectl's answer in attache's words.
    fn worded(&mut self, kubectl: &str, subject: &str) -> String {
        let mut answer = kubectl.to_owned();
        for (place, words) in WORDS.iter().enumerate() {
            if self.subject == Subject::Attache
                && words.of.holds(self.minor)
                && answer.contains(words.kubectl)
                && subject.contains(words.attache)
            {
                answer = answer.replacen(words.kubectl, words.attache, 1);
                self.worded.insert(place);
            }
        }
        answer
    }

    /// Both answers without the lines that differ in request after request as the rules say.
    fn ruled(&mut self, kubectl: &str, subject: &str) -> (String, String) {
        let mut sides = [kubectl, subject].map(|side| side.split('\n').collect::<Vec<_>>());
        for (place, rule) in RULES.iter().enumerate() {
            if self.subject == Subject::Kubectl || !rule.of.holds(self.minor) {
                continue;
            }
            let [kubectl, subject] = &mut sides;
            let ours = line(subject, rule.attache, rule.kubectl);
            let (Some(theirs), Some(ours)) = (line(kubectl, rule.kubectl, rule.attache), ours)
            else {
                continue;
            };
            theirs.map(|at| kubectl.remove(at));
            ours.map(|at| subject.remove(at));
            self.ruled.insert(place);
        }
        let [kubectl, subject] = sides.map(|side| side.join("\n"));
        (kubectl, subject)
    }

    /// Goes on with another kubeconfig's comparison.
    pub fn join(&mut self, other: Self) {
        self.cases += other.cases;
        self.seen.extend(other.seen);
        self.applied.extend(other.applied);
        self.ruled.extend(other.ruled);
        self.worded.extend(other.worded);
        self.report.push_str(&other.report);
    }

    /// What was noted, if anything; and what the table tells that did not come to pass.
    pub fn end(mut self, at_least: usize) -> String {
        let name = version(&self.kubectl);
        assert!(self.cases >= at_least, "only {} cases", self.cases);
        if self.subject == Subject::Attache {
            for difference in DIFFERENCES {
                for case in difference
                    .cases
                    .iter()
                    .filter(|case| !self.seen.contains(*case))
                {
                    let _ = writeln!(self.report, "=== {case}: in the table, and no such case");
                }
            }
            for (place, rule) in RULES.iter().enumerate() {
                if rule.of.holds(self.minor) && !self.ruled.contains(&place) {
                    let _ = writeln!(self.report, "=== never seen: {rule:?}");
                }
            }
            for (place, words) in WORDS.iter().enumerate() {
                if words.of.holds(self.minor) && !self.worded.contains(&place) {
                    let _ = writeln!(self.report, "=== never seen: {words:?}");
                }
            }
        }
        println!(
            "{name}: {} cases, of which {} differ as documented",
            self.cases,
            self.applied.len()
        );
        if self.report.is_empty() {
            return String::new();
        }
        let count = self.report.matches("=== ").count();
        format!(
            "{name}: {count} of {} cases are not as expected\n{}",
            self.cases, self.report
        )
    }
}
/// Where the head has the line that begins so; `Some(None)`: it has none, and is to have none, nor
/// the other side's.
fn line(lines: &[&str], begins: &str, other: &str) -> Option<Option<usize>> {
    let at = |begins: &str| lines.iter().position(|line| line.starts_with(begins));
    match begins {
        "" => at(other).is_none().then_some(None),
        _ => at(begins).map(Some),
    }
}

/// Whether both answers are as the table says.
fn stated(difference: &Difference, kubectl: &str, subject: &str) -> Result<(), String> {
    let sides = [
        ("kubectl", difference.kubectl, kubectl, subject),
        ("attache", difference.attache, subject, kubectl),
    ];
    for (side, says, own, other) in sides {
        if let Some(wrong) = says.iter().find(|part| !part.of(own)) {
            return Err(format!("of {side} {wrong:?} does not hold"));
        }
        if says.iter().all(|part| part.of(other)) {
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
