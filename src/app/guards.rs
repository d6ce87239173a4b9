//! What is seen to before anything starts: what must not be, what deserves a warning, and the
//! limit on open files.

use std::sync::Arc;

use http::Method;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tracing::warn;

use super::Fatal;
use crate::config::{Action, Config, Filter, RestartAction};
use crate::process::{self, Orphans};
use crate::proxy::policy::{Policy, Verdict};
use crate::upstream::Upstream;

/// In the node's PID namespace a rule could match processes of other pods.
pub(super) fn refuse_host_pid(config: &Config) -> Result<(), Fatal> {
    let signals = config.on_change.iter().any(|rule| {
        matches!(
            rule.action,
            Action::Signal(_) | Action::Restart(RestartAction::Process { .. })
        )
    });
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if signals && in_pod && process::in_host_pid_namespace() {
        return Err(Fatal::Configuration(
            "rules that signal or restart processes do not work with hostPID: true, where they could reach processes of \
             other pods: set hostPID: false and shareProcessNamespace: true in the pod's spec"
                .into(),
        ));
    }
    Ok(())
}

/// Takes from other processes of the same user what /proc and ptrace would show them: in a shared
/// process namespace, the token under /proc/PID/root and the memory that holds Secrets. What a program
/// of `attache exec` could see so is in its own container.
pub(super) fn hide_from_neighbours(config: &Config) {
    if config.exec.is_none()
        && let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable)
    {
        warn!(%error, "other processes of the same user can look into attache");
    }
}

/// What becomes of processes that attache did not start itself: a credential plugin's status must
/// be left to the library that started it.
pub(super) fn orphans(upstream: Option<&Upstream>) -> Orphans {
    match upstream {
        Some(upstream) if upstream.runs_plugin() => Orphans::Unclaimed,
        _ => Orphans::AtOnce,
    }
}

/// The name of the pod that attache runs in: the configuration's, `$POD_NAME`, or the host name,
/// which is the pod's unless it uses the node's network.
pub(super) fn pod_name(config: &Config) -> Arc<str> {
    let named = config.pod_name.clone();
    let named = named.or_else(|| std::env::var("POD_NAME").ok());
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(host)
        .into()
}

/// The namespace of the pod that attache runs in, which `--namespace` is not: `$POD_NAMESPACE`, or
/// that of the service account. `None` outside of a pod.
pub(super) fn own_namespace(
    variable: impl Fn(&str) -> Option<String>,
    of_service_account: Option<String>,
) -> Option<Arc<str>> {
    let named = variable("POD_NAMESPACE").filter(|namespace| !namespace.is_empty());
    named.or(of_service_account).map(Arc::from)
}

/// A rule that names no object is for those that the configuration names, of which there may be none.
pub(super) fn warn_of_idle_rules(config: &Config) {
    let source = &config.source;
    let watches = !source.objects.is_empty()
        || !source.selectors.is_empty()
        || !source.mounts.is_empty()
        || source.dir.is_some();
    if !watches && let Some(rule) = config.on_change.first() {
        warn!(
            rule = rule.name,
            "no ConfigMap or Secret is named, so that no rule will ever act: name one by --configmap or in the rule's when"
        );
    }
}

/// Says what a configuration opens to others.
pub(super) fn warn_of_open_doors(config: &Config) {
    let serve = &config.serve;
    if serve.allow_non_loopback && !serve.address.is_loopback() && !serve.unix_only {
        warn!(address = %serve.address, "serving on an address that others can reach: whoever reaches it reads all that attache serves and acts with its credentials");
        if serve.writes.allowed {
            warn!(address = %serve.address, create_on_read = serve.writes.create_on_read, "writes are allowed on that address, and nobody is asked who they are: whoever reaches it changes every ConfigMap that attache's service account may; drop --allow-writes, or have a NetworkPolicy admit only those who write");
        }
    }
    let Some(proxy) = &config.proxy else { return };
    match &proxy.filter {
        None if !serve.unix_only => warn!(
            "the request filter is disabled: a web page that a browser on this machine shows can use the API server with attache's credentials"
        ),
        Some(filter) if lets_exec_through(filter) => warn!(
            "the request filter is relaxed: exec into pods is proxied, which --reject-paths refuses by default"
        ),
        _ => {}
    }
    if let Some(www) = &proxy.www
        && !www.root.is_dir()
    {
        warn!(root = %www.root.display(), "--www is no directory; attache serves its files once it is one");
    }
}

/// Whether the filter lets a request through that runs a command in a container.
fn lets_exec_through(filter: &Filter) -> bool {
    let policy = Policy::new(Some(filter.clone()), "/", "", false);
    let verdict = policy.decide(&Method::GET, "/api/v1/namespaces/x/pods/x/exec", None);
    matches!(verdict, Verdict::Forward(_))
}

/// Every connection and watch is a file; the soft limit is often 1,024.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit on open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;

    #[test]
    fn the_own_namespace_is_the_pods_whatever_the_default_one_is() {
        let given = |text: &'static str| {
            move |name: &str| (name == "POD_NAMESPACE").then(|| text.to_owned())
        };
        let account = || Some("account".to_owned());
        for (variable, account, expected) in [
            ("pod", account(), Some("pod")),
            ("pod", None, Some("pod")),
            ("", account(), Some("account")),
            ("", None, None),
        ] {
            let own = own_namespace(given(variable), account);
            assert_eq!(own.as_deref(), expected, "{variable:?}");
        }
    }

    #[test]
    fn a_filter_is_relaxed_if_exec_gets_through() {
        let regexes = |patterns: &[&str]| -> Vec<Regex> {
            let compiled = patterns.iter().map(|pattern| Regex::new(pattern).unwrap());
            compiled.collect()
        };
        let exec = "^/api/.*/pods/.*/exec";
        for (accept, reject, methods, relaxed) in [
            (".*", &[exec][..], &["^$"][..], false),
            (".*", &[exec], &[], false),
            (".*", &["^/foo"], &["^$"], true),
            (".*", &[], &["^$"], true),
            (".*", &[], &["GET"], false),
            ("^/version$", &[], &[], false),
        ] {
            let filter = Filter {
                accept_paths: regexes(&[accept]),
                reject_paths: regexes(reject),
                reject_methods: regexes(methods),
            };
            assert_eq!(lets_exec_through(&filter), relaxed, "{filter:?}");
        }
    }
}
