//! `onChange`: when a rule acts, and what it does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{ObjectKind, ObjectName, Settle};
use crate::config::glob::Glob;

/// A signal of Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// Its name, as `HUP`.
    pub name: String,
}

/// One entry of `onChange`. Printing it leaves out its identity.
#[derive(Clone)]
pub struct Rule {
    /// `onChange[0]`, for logs and status.
    pub name: String,
    /// What the rule is, whatever its place in the list: under this its state is kept. A rule that
    /// says something else has no state. It is JSON text of `when` and the action, without timing,
    /// and holds URLs and headers as they were given, which may be passwords: it is only ever
    /// hashed.
    pub identity: String,
    /// Which changes it is for.
    pub when: When,
    /// Wait until this mounted copy of the ConfigMap equals the snapshot.
    pub after_mount: Option<PathBuf>,
    /// When it acts.
    pub timing: Timing,
    /// What to do.
    pub action: Action,
}

/// When a rule acts, and how often it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Its own settle times.
    pub settle: Option<Settle>,
    /// It acts a random part of this after a burst is over, so that a fleet does not act at once.
    pub splay: Duration,
    /// The least time from one action to the next.
    pub min_interval: Duration,
    /// How often a failed attempt is repeated.
    pub retries: u32,
}

/// Which changes a rule is for. With no object, those of every object that the configuration
/// names or selects.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// This object only.
    pub object: Option<(ObjectKind, ObjectName)>,
    /// Only keys that one of these globs matches; empty is every key.
    pub keys: Vec<Glob>,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Sends a signal.
    Signal(SignalAction),
    /// Calls an HTTP endpoint.
    Webhook(WebhookAction),
    /// Runs a program.
    Command(CommandAction),
    /// Restarts a process, a pod, a workload or pods.
    Restart(RestartAction),
}

/// Which processes get which signal.
#[derive(Debug, Clone)]
pub struct SignalAction {
    /// Whom.
    pub target: ProcessMatch,
    /// The signal.
    pub signal: Signal,
}

/// How a process is found.
#[derive(Debug, Clone)]
pub enum ProcessMatch {
    /// By executable name.
    Name(String),
    /// By its command line, arguments joined by spaces.
    Cmdline(Glob),
    /// By the number in this file.
    Pidfile(PathBuf),
}

/// Which endpoint is called.
#[derive(Debug, Clone)]
pub struct WebhookAction {
    /// An `http://` or `https://` URL.
    pub url: WebhookUrl,
    /// The Unix socket that the endpoint listens on, instead of the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// POST unless given.
    pub method: http::Method,
    /// Headers, sent as they are.
    pub headers: BTreeMap<String, HeaderText>,
    /// A PEM file of the authorities that an `https` endpoint's certificate is held against, read
    /// at each call; `None` with the system's own.
    pub certificate_authority: Option<PathBuf>,
    /// The statuses of success; empty is every 2xx.
    pub expect: Vec<http::StatusCode>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Where the value of a webhook's header comes from. Printing it shows no value.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// From the rule.
    Given(String),
    /// The text of a file, read at each call, white space at its end left out.
    File(PathBuf),
}

/// Which program is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandAction {
    /// The program and its arguments; at least the program. With `shell` of the rule, `/bin/sh -c`.
    pub argv: Vec<String>,
    /// How long it may run before its process group gets TERM.
    pub timeout: Duration,
    /// How long after that it gets KILL.
    pub grace: Duration,
}

/// What is restarted.
#[derive(Debug, Clone)]
pub enum RestartAction {
    /// Processes: TERM, then KILL; whoever started them (the kubelet) starts them again.
    Process {
        /// Which.
        target: ProcessMatch,
        /// How long after TERM a process gets KILL.
        grace: Duration,
    },
    /// The pod that attache runs in, by eviction.
    Pod {
        /// Refuse where no PodDisruptionBudget covers the pod.
        require_budget: bool,
        /// How long one attempt may wait for the budget's consent.
        timeout: Duration,
    },
    /// A workload, by an annotation of its pod template that holds the content's hash.
    Rollout {
        /// Which; `None` is the one that owns the pod attache runs in.
        workload: Option<Workload>,
    },
    /// Pods in the namespace of the changed object.
    Pods {
        /// Which.
        which: WhichPods,
        /// How many may be away at a time.
        max_unavailable: u32,
        /// By eviction rather than by deletion.
        evict: bool,
        /// How long one replacement may take to become Ready, or an eviction to be allowed.
        timeout: Duration,
    },
}

/// A workload with a pod template, in the namespace of the pod attache runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Of which kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// The kinds of `apps/v1` that roll out a changed pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

/// Which pods are restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichPods {
    /// Those with these labels, in the API's syntax.
    Labels(String),
    /// Those that the changed ConfigMap's annotation selects: `attache.dev/restart-pods`, else
    /// `magalix.com/podDeleteMatch`. Without one, none.
    Annotation,
}

/// A webhook's URL. It may carry a password, so printing it hides the query;
/// whoever sends the request dereferences it or turns it into an [`http::Uri`].
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(http::Uri);

// === impl Rule ===

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("when", &self.when)
            .field("after_mount", &self.after_mount)
            .field("timing", &self.timing)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

// === impl WebhookAction ===

impl WebhookAction {
    /// A POST to `url`, as a rule means it that says no more.
    #[must_use]
    pub fn new(url: WebhookUrl) -> Self {
        Self {
            url,
            unix_socket: None,
            method: http::Method::POST,
            headers: BTreeMap::new(),
            certificate_authority: None,
            expect: Vec::new(),
            timeout: Duration::from_secs(5),
        }
    }
}

// === impl HeaderText ===

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("MASKED"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

// === impl WebhookUrl ===

impl std::str::FromStr for WebhookUrl {
    type Err = http::uri::InvalidUri;

    /// # Errors
    /// What is wrong with the URL's form; its scheme and host are not checked here.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        url.parse().map(Self)
    }
}

impl std::ops::Deref for WebhookUrl {
    type Target = http::Uri;

    fn deref(&self) -> &http::Uri {
        &self.0
    }
}

impl From<WebhookUrl> for http::Uri {
    fn from(url: WebhookUrl) -> Self {
        url.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme_str() {
            write!(f, "{scheme}://")?;
        }
        if let Some(authority) = self.authority() {
            f.write_str(authority.as_str())?;
        }
        f.write_str(self.path())?;
        // A query is where tokens travel.
        if self.query().is_some() {
            f.write_str("?MASKED")?;
        }
        Ok(())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
