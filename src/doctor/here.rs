//! The attache beside the doctor: in this pod, or on this machine.

use std::path::Path;

use jiff::Timestamp;

use super::access::Access;
use super::api::{Api, Subject};
use super::findings::{Finding, Findings};
use super::pod::Pod;
use super::running::Invocation;
use super::{credentials, directories, fit, named, port, versions};
use crate::config::{Action, Config, Connection, Here, Job};
use crate::inject::rights::{Place, rights};
use crate::process;
use crate::upstream::{Upstream, Version, VersionError, pod_namespace};

/// What is looked at, and where it runs.
struct Subjects {
    config: Config,
    /// The attache that runs here, as far as one was found.
    invocation: Option<Invocation>,
    in_pod: bool,
}

/// Looks at the attache here. False if there is none, nor anything that says what it would be.
pub(super) async fn examine(here: &Here, connection: &Connection, findings: &mut Findings) -> bool {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || Path::new(credentials::SERVICE_ACCOUNT).exists();
    let Some(subjects) = subjects(here, connection, in_pod, findings) else {
        return false;
    };
    let config = &subjects.config;
    findings.add(port::port(&config.serve, subjects.invocation.is_some()).await);
    findings.add(directories::writable(config));
    findings.add(signals(config, in_pod));
    if config.source.dir.is_none() {
        if in_pod && uses_service_account(config) {
            let dir = Path::new(credentials::SERVICE_ACCOUNT);
            findings.add(credentials::service_account(dir, Timestamp::now()));
        }
        upstream(&subjects, findings).await;
    }
    true
}

/// What is meant: what the command line names, what runs here, what the environment says.
fn subjects(
    here: &Here,
    connection: &Connection,
    in_pod: bool,
    findings: &mut Findings,
) -> Option<Subjects> {
    let given = &here.config;
    let running = process::attaches().into_iter().find_map(|running| {
        let (pid, is_hidden) = (running.pid, running.environment.is_none());
        let invocation = Invocation::of(running, std::env::vars_os());
        invocation.map(|invocation| (pid, is_hidden, invocation))
    });
    let mut subjects = Subjects {
        config: (**given).clone(),
        invocation: None,
        in_pod,
    };
    if let Some((pid, is_hidden, invocation)) = running {
        if !here.explicit {
            if is_hidden {
                findings.add([Finding::note(format!(
                    "the environment of PID {pid} cannot be read, for attache hides it from its neighbours; the doctor \
                     takes its own for it, which kubectl exec into attache's container makes the same"
                ))]);
            }
            match configured(&invocation, connection) {
                Ok(config) => {
                    subjects.config = config;
                    findings.add([Finding::ok(format!("attache runs here, as PID {pid}"))]);
                }
                Err(fault) => findings.add([Finding::warning(format!(
                    "attache runs here, as PID {pid}, and would not start again as it is: {fault}"
                ))]),
            }
        }
        subjects.invocation = Some(invocation);
    }
    let source = &given.source;
    let names_something = here.explicit
        || !source.objects.is_empty()
        || !source.selectors.is_empty()
        || !source.discover.is_empty()
        || source.dir.is_some();
    (subjects.invocation.is_some() || in_pod || names_something).then_some(subjects)
}

/// The configuration of what runs here, with the connection that was given to the doctor, if one was.
fn configured(invocation: &Invocation, connection: &Connection) -> Result<Config, String> {
    let Job::Run(mut config) = invocation.job()? else {
        return Err("it does not run beside an app".to_owned());
    };
    let is_given = connection.kubeconfig.is_some()
        || connection.context.is_some()
        || connection.server.is_some();
    if is_given {
        config.connection = connection.clone();
    } else if config.connection.kubeconfig.is_none() {
        // One file; a list of them is merged where the variable is the doctor's own.
        let variable = invocation.variable("KUBECONFIG").map(Path::new);
        let file = variable.filter(|path| path.is_file());
        config.connection.kubeconfig = file.map(Path::to_path_buf);
    }
    Ok(*config)
}

fn uses_service_account(config: &Config) -> bool {
    let connection = &config.connection;
    let by_variable = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    connection.kubeconfig.is_none() && connection.context.is_none() && !by_variable
}

/// Whether the rules that signal processes find them, and may.
fn signals(config: &Config, in_pod: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in &config.on_change {
        let Some(target) = fit::signals(rule) else {
            continue;
        };
        let name = &rule.name;
        if in_pod && process::in_host_pid_namespace() {
            found.push(Finding::error(format!(
                "{name} signals processes, which attache refuses with hostPID: true: set hostPID: false and \
                 shareProcessNamespace: true in the pod's spec"
            )));
            break;
        }
        let signal = match &rule.action {
            Action::Signal(action) => Some(&action.signal),
            _ => None,
        };
        match process::rehearse(target, signal) {
            Err(error) => found.push(Finding::error(format!("{name}: {error}"))),
            Ok(processes) => found.extend(processes.into_iter().map(|process| match process {
                Ok(process) => Finding::ok(format!("{name} reaches {process}")),
                Err(error) => Finding::error(format!("{name}: {error}")),
            })),
        }
    }
    found
}

/// What the API server says.
async fn upstream(subjects: &Subjects, findings: &mut Findings) {
    let config = &subjects.config;
    let upstream = match Upstream::new(config.connection.clone()).await {
        Ok(upstream) => upstream,
        Err(error) => return findings.add([Finding::unknown(error.to_string())]),
    };
    let api = Api::new(&upstream);
    if reached(&api, &upstream, findings).await.is_none() {
        return;
    }
    let (mut place, pod) = place(subjects, &upstream);
    if pod {
        let read = pod_here(&api, &place).await;
        findings.add(read.as_ref().err().cloned());
        if let Ok(pod) = read {
            place.owner = pod.owner();
            place.is_bare = place.owner.is_none();
            findings.add(own_pod(&api, &pod, config, &place).await);
        }
    }
    let rights = rights(config, &place);
    let mut access = Access::default();
    findings.add(access.check(&api, &Subject::Own, "attache", &rights).await);
    findings.add(named::named(&api, config, &place).await);
}

/// The version of the API server; `None` if it does not answer.
pub(super) async fn reached(
    api: &Api,
    upstream: &Upstream,
    findings: &mut Findings,
) -> Option<Version> {
    let server = upstream.server();
    let finding = match api.lease().version().await {
        Ok(version) => {
            findings.add([Finding::ok(format!("the API server {server} answers"))]);
            findings.add([versions::version(version)]);
            return Some(version);
        }
        Err(VersionError::Call(error)) => Finding::unknown(format!(
            "API server {server}: {error}; look at the network, at NetworkPolicies, and at the credentials' address"
        )),
        Err(error) => Finding::unknown(format!(
            "API server {server}: {error}; look at the credentials"
        )),
    };
    findings.add([finding]);
    None
}

/// Where attache runs, and whether that is a pod whose name is known.
fn place(subjects: &Subjects, upstream: &Upstream) -> (Place, bool) {
    let config = &subjects.config;
    let variable = |name: &str| {
        let theirs = subjects.invocation.as_ref().and_then(|i| i.variable(name));
        let theirs = theirs.map(std::ffi::OsStr::to_os_string);
        let value = theirs.or_else(|| std::env::var_os(name))?.into_string();
        value.ok().filter(|value| !value.is_empty())
    };
    let named = config.source.namespace.clone().or_else(pod_namespace);
    let namespace = named.unwrap_or_else(|| upstream.default_namespace());
    let own = variable("POD_NAMESPACE").or_else(pod_namespace);
    let name = config.pod_name.clone().or_else(|| variable("POD_NAME"));
    let is_pod = name.is_some() || subjects.in_pod;
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    let place = Place {
        pod_namespace: own.unwrap_or_else(|| namespace.clone()),
        namespace,
        pod_name: Some(name.unwrap_or_else(host)),
        owner: None,
        is_bare: false,
    };
    (place, is_pod)
}

/// The pod that attache runs in, as the API server has it.
async fn pod_here(api: &Api, place: &Place) -> Result<Pod, Finding> {
    let namespace = &place.pod_namespace;
    let name = place.pod_name.as_deref().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    match api.get(&path).await {
        Ok(pod) => Pod::read(&pod).map_err(|error| {
            Finding::unknown(format!("pod {namespace}/{name} cannot be read: {error}"))
        }),
        Err(error) if error.is_forbidden() => Err(Finding::note(format!(
            "the pod's spec is not looked at, for attache may not get pods; from outside it is: attache doctor -n \
             {namespace} pod/{name}"
        ))),
        Err(error) if error.is_missing() => Err(Finding::warning(format!(
            "there is no pod {namespace}/{name}: set POD_NAME from the field metadata.name, and POD_NAMESPACE from \
             metadata.namespace"
        ))),
        Err(error) => Err(Finding::unknown(format!("pod {namespace}/{name}: {error}"))),
    }
}

async fn own_pod(api: &Api, pod: &Pod, config: &Config, place: &Place) -> Vec<Finding> {
    let mut found = match pod.sidecar() {
        Some(sidecar) => fit::spec(pod, sidecar, config, place),
        None => Vec::new(),
    };
    found.extend(budget(api, pod, config).await);
    found
}

/// Whether a PodDisruptionBudget is for the pod, if a rule wants one.
pub(super) async fn budget(api: &Api, pod: &Pod, config: &Config) -> Option<Finding> {
    let rule = fit::evicting(config)?;
    match api.budgets(&pod.metadata.namespace).await {
        Ok((budgets, empty_is_all)) => Some(fit::budget(pod, rule, &budgets, empty_is_all)),
        Err(error) => Some(Finding::note(format!(
            "whether a PodDisruptionBudget covers the pod, for {rule}, is not known: {error}"
        ))),
    }
}
