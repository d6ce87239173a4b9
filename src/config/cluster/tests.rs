use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::super::model::*;
use super::super::{Job, load};
use super::*;
use crate::cli::Parsed;

fn job(args: &[&str], environment: &[(&str, &str)]) -> Result<Job, Faults> {
    let args = ["attache"].iter().chain(args).map(Into::into);
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let Parsed::Command { command, faults } = cli::parse(args, environment) else {
        panic!("no command");
    };
    load(command, faults)
}

fn inject_of(args: &[&str]) -> Inject {
    match job(&[&["inject"], args].concat(), &[]) {
        Ok(Job::Inject(inject)) => *inject,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn webhook_of(args: &[&str]) -> Webhook {
    match job(&[&["webhook"], args].concat(), &[]) {
        Ok(Job::Webhook(webhook)) => *webhook,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn doctor_of(args: &[&str], environment: &[(&str, &str)]) -> Doctor {
    match job(&[&["doctor"], args].concat(), environment) {
        Ok(Job::Doctor(doctor)) => *doctor,
        other => panic!("{args:?}: {other:?}"),
    }
}

/// The one fault there must be.
fn fault(args: &[&str], environment: &[(&str, &str)]) -> String {
    let faults = job(args, environment).unwrap_err();
    assert_eq!(faults.lines().len(), 1, "{args:?}: {faults}");
    faults.lines()[0].clone()
}

#[test]
fn without_flags_standard_input_is_injected_by_the_image_of_this_version() {
    let inject = inject_of(&[]);
    assert_eq!(inject.objects.inputs, [Input::Stdin]);
    assert!(inject.objects.only.is_empty() && inject.objects.templates.is_empty());
    assert_eq!(inject.kubernetes, Kubernetes::Unknown);
    assert_eq!(inject.output, Output::Objects);
    assert!(inject.annotations.is_empty() && inject.namespace.is_none());
    let image = format!("attache:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(inject.platform.image, image);
    assert!(!inject.platform.allow_rollout && !inject.platform.allow_pods);
}

#[test]
fn every_flag_of_inject_is_read() {
    let inject = inject_of(&[
        "-f=a.yaml",
        "-f",
        "-",
        "--to=deploy/web",
        "--template=Rollout=spec.template",
        "--set=configmaps=web",
        "--set=attache.dev/on-change=signal: a=b",
        "--image=r/attache:2",
        "--allow-restart=rollout",
        "--allow-restart=pods",
        "--kubernetes=1.33",
        "--rbac",
        "--namespace=prod",
        "--context=c",
    ]);
    let inputs = [Input::Path("a.yaml".into()), Input::Stdin];
    assert_eq!(inject.objects.inputs, inputs);
    assert_eq!(inject.objects.only[0].kind, "deployment");
    assert_eq!(inject.objects.templates[0].path, ["spec", "template"]);
    let annotations: Vec<_> = inject.annotations.iter().collect();
    let wanted = [("configmaps", "web"), ("on-change", "signal: a=b")];
    assert!(
        annotations.into_iter().eq(wanted
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .iter()
            .map(|(a, b)| (a, b)))
    );
    assert_eq!(inject.platform.image, "r/attache:2");
    assert!(inject.platform.allow_rollout && inject.platform.allow_pods);
    assert_eq!(inject.kubernetes, Kubernetes::Version(1, 33));
    assert_eq!(inject.output, Output::Rbac);
    assert_eq!(inject.namespace.as_deref(), Some("prod"));
    assert_eq!(inject.connection.context.as_deref(), Some("c"));
}

#[test]
fn uninject_reads_the_same_objects() {
    let args = ["uninject", "-f", "dir", "--to", "sts/db", "--diff"];
    let Ok(Job::Uninject(uninject)) = job(&args, &[]) else {
        panic!("no job");
    };
    assert_eq!(uninject.objects.inputs, [Input::Path("dir".into())]);
    assert_eq!(uninject.objects.only[0].kind, "statefulset");
    assert_eq!(uninject.output, Output::Diff);
}

#[test]
fn kinds_are_those_of_kubectl() {
    for (text, kind) in [
        ("deployment/web", "deployment"),
        ("Deployments/web", "deployment"),
        ("deploy.apps/web", "deployment"),
        ("deployments.v1.apps/web", "deployment"),
        ("po/web", "pod"),
        ("sts/web", "statefulset"),
        ("ds/web", "daemonset"),
        ("rs/web", "replicaset"),
        ("rc/web", "replicationcontroller"),
        ("jobs/web", "job"),
        ("cj/web", "cronjob"),
        ("Rollout/web", "rollout"),
    ] {
        let target = objects::target(text).unwrap();
        assert_eq!((target.kind.as_str(), target.name.as_str()), (kind, "web"));
    }
    for (text, says) in [
        ("web", "write KIND/NAME, as deployment/web"),
        ("/web", "names no kind"),
        (".apps/web", "names no kind"),
        ("pod/", "is not an object's name"),
        ("pod/a/b", "is not an object's name"),
    ] {
        let fault = objects::target(text).unwrap_err();
        assert!(fault.contains(says), "{text}: {fault}");
    }
}

#[test]
fn a_version_of_kubernetes_is_written_as_its_servers_do() {
    for (text, version) in [
        ("1.28", (1, 28)),
        ("v1.33", (1, 33)),
        ("1.33.2", (1, 33)),
        ("v1.32.4-eks-1", (1, 32)),
    ] {
        let (major, minor) = version;
        assert_eq!(kubernetes(text), Ok(Kubernetes::Version(major, minor)));
    }
    assert_eq!(kubernetes("cluster"), Ok(Kubernetes::Ask));
    for bad in [
        "", "1", "1.", "v", "vv1.33", "1.x", "1.+33", "1.99999", "latest",
    ] {
        let fault = kubernetes(bad).unwrap_err();
        assert!(fault.contains("write it like 1.33, or cluster"), "{fault}");
    }
}

#[test]
fn what_is_wrong_with_a_flag_names_it_as_it_was_given() {
    for (args, wanted) in [
        (
            &["inject", "-f-", "-f-"][..],
            "--filename: - is given twice",
        ),
        (&["inject", "--to", "web"], "--to: \"web\" names no kind"),
        (&["uninject", "--to", "web"], "--to: \"web\" names no kind"),
        (
            &["inject", "--template", "Rollout"],
            "--template: \"Rollout\": write KIND=PATH",
        ),
        (&["inject", "--template", "=a"], "write KIND=PATH"),
        (&["inject", "--template", "A=a..b"], "write KIND=PATH"),
        (
            &["inject", "--image", "a b"],
            "--image: \"a b\" is not an image",
        ),
        (
            &["inject", "--allow-restart", "pod"],
            "--allow-restart: \"pod\" is neither rollout nor pods",
        ),
        (
            &["inject", "--set", "configmaps"],
            "--set: \"configmaps\" has no value",
        ),
        (
            &["inject", "--set", "confgmaps=a"],
            "--set: attache.dev/confgmaps: unknown annotation; did you mean",
        ),
        (
            &["inject", "--set", "files=a"],
            "--set: attache.dev/files: files[0]: ",
        ),
        (
            &["inject", "--set", "injected={}"],
            "--set: injected is written by attache itself",
        ),
        (
            &["inject", "--set", "image=a", "--set", "attache.dev/image=b"],
            "--set: image is given twice",
        ),
        (
            &["inject", "--namespace", "A"],
            "--namespace: \"A\" is not a namespace",
        ),
        (
            &["webhook", "--set", "proxy=yes"],
            "--set: attache.dev/proxy: \"yes\" is neither",
        ),
        (
            &["webhook", "--on-bad-annotation", "no"],
            "--on-bad-annotation: \"no\" is neither deny nor skip",
        ),
        (
            &["webhook", "--certificate-validity", "59m"],
            "--certificate-validity: \"59m\" is too short: at least 1h",
        ),
        (
            &[
                "webhook",
                "--certificate-dir=/c",
                "--certificate-validity=2h",
            ],
            "--certificate-validity: is for a certificate of attache's own",
        ),
        (
            &["webhook", "--certificate-dir=/c", "--service=a"],
            "--service: is for a certificate",
        ),
        (
            &["webhook", "--service=1a"],
            "--service: \"1a\" is not a Service's name",
        ),
        (
            &["webhook", "--service=a.b"],
            "--service: \"a.b\" is not a Service's name",
        ),
        (
            &["webhook", "--certificate-secret=A"],
            "--certificate-secret: \"A\" is not an object's name",
        ),
        (
            &["webhook", "--configuration=A"],
            "--configuration: \"A\" is not an object's name",
        ),
        (
            &["webhook", "--port=1", "--admin-address=127.0.0.1:1"],
            "--admin-address: port 1 is --port's already",
        ),
        (&["doctor", "web"], "KIND/NAME: \"web\" names no kind"),
        (
            &["doctor", "--pods", "--configuration=A"],
            "--configuration: \"A\" is not",
        ),
        (
            &["doctor", "--configmap=A"],
            "--configmap: \"A\" is not an object's name",
        ),
    ] {
        let fault = fault(args, &[]);
        assert!(fault.contains(wanted), "{args:?}: {fault}");
    }
    for (command, variable, value, wanted) in [
        (
            "inject",
            "ATTACHE_SET",
            "image=a b",
            "ATTACHE_SET: attache.dev/image: ",
        ),
        ("inject", "ATTACHE_TO", "web", "ATTACHE_TO: "),
        ("webhook", "ATTACHE_IMAGE", "a b", "ATTACHE_IMAGE: "),
        ("webhook", "ATTACHE_PORT", "x", "ATTACHE_PORT: "),
        ("doctor", "ATTACHE_SETTLE", "x", "ATTACHE_SETTLE: "),
    ] {
        let fault = fault(&[command], &[(variable, value)]);
        assert!(fault.starts_with(wanted), "{fault}");
    }
}

#[test]
fn the_faults_of_a_webhook_come_together() {
    let args = [
        "webhook",
        "--port=x",
        "--image=a b",
        "--set=a",
        "--certificate-validity=1s",
    ];
    assert_eq!(job(&args, &[]).unwrap_err().lines().len(), 4);
}

#[test]
fn a_webhook_keeps_its_own_certificate_unless_one_is_mounted() {
    let webhook = webhook_of(&[]);
    let Certificate::Own {
        secret,
        service,
        validity,
    } = webhook.certificate
    else {
        panic!("{:?}", webhook.certificate);
    };
    assert_eq!(secret, "attache-webhook-certificate");
    assert_eq!(service, "attache-webhook");
    assert_eq!(validity, Duration::from_secs(90 * 24 * 3600));
    assert_eq!(webhook.configuration, "attache");
    assert_eq!(
        (webhook.address, webhook.port),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8443)
    );
    assert_eq!(webhook.shutdown_delay, Duration::from_secs(5));
    assert!(webhook.deny && webhook.admin_address.is_none() && webhook.namespace.is_none());

    let webhook = webhook_of(&[
        "--certificate-dir=/c",
        "--on-bad-annotation=skip",
        "--port=0",
        "--address=127.0.0.1",
        "--admin-address=127.0.0.1:0",
        "--shutdown-delay=0",
        "--configuration=other",
        "--namespace=platform",
        "--set=configmaps=web",
        "--allow-restart=rollout",
        "--log-format=json",
        "-v",
    ]);
    assert_eq!(
        webhook.certificate,
        Certificate::Mounted(PathBuf::from("/c"))
    );
    assert_eq!(
        (webhook.address, webhook.port),
        (IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    );
    assert!(!webhook.deny && webhook.shutdown_delay.is_zero());
    assert_eq!(webhook.configuration, "other");
    assert_eq!(webhook.namespace.as_deref(), Some("platform"));
    assert_eq!(webhook.annotations["configmaps"], "web");
    assert!(webhook.platform.allow_rollout && !webhook.platform.allow_pods);
    assert_eq!(
        (webhook.log.format, webhook.log.verbosity),
        (LogFormat::Json, 1)
    );

    let own = webhook_of(&[
        "--certificate-validity=1h",
        "--service=s",
        "--certificate-secret=t",
    ]);
    let wanted = Certificate::Own {
        secret: "t".to_owned(),
        service: "s".to_owned(),
        validity: Duration::from_secs(3600),
    };
    assert_eq!(own.certificate, wanted);
    // Another address has a port of its own.
    webhook_of(&[
        "--address=127.0.0.1",
        "--port=1",
        "--admin-address=127.0.0.2:1",
    ]);
}

#[test]
fn the_doctor_looks_here_unless_told_where() {
    let here = |args: &[&str], environment: &[(&str, &str)]| {
        let here = doctor_of(args, environment).here.unwrap();
        (here.config.source.objects.len(), here.explicit)
    };
    assert_eq!(here(&[], &[]), (0, false));
    assert_eq!(here(&["--context=c"], &[]), (0, false));
    assert_eq!(here(&["--configmap=a"], &[]), (1, true));
    assert_eq!(here(&["--on-change=signal: a"], &[]), (0, true));
    // The container's variables are for the attache that runs in it.
    let variables = [("ATTACHE_CONFIGMAP", "a\nb")];
    assert_eq!(here(&[], &variables), (2, false));
    assert_eq!(here(&["--secret=c"], &variables), (3, true));

    let cluster = |args: &[&str]| {
        let doctor = doctor_of(args, &[]);
        assert!(doctor.here.is_none());
        let cluster = doctor.cluster;
        let targets = cluster
            .targets
            .into_iter()
            .map(|target| target.kind + "/" + &target.name);
        (
            targets.collect::<Vec<_>>(),
            cluster.namespaces,
            cluster.configuration,
            cluster.connection.context,
        )
    };
    assert_eq!(
        cluster(&["deploy/web", "po/a", "--context=c"]),
        (
            vec!["deployment/web".to_owned(), "pod/a".to_owned()],
            Namespaces::Default,
            "attache".to_owned(),
            Some("c".to_owned()),
        )
    );
    let named = Namespaces::Named("prod".to_owned());
    assert_eq!(cluster(&["--pods", "-n", "prod"]).1, named);
    assert_eq!(cluster(&["-A", "--configuration=x"]).1, Namespaces::All);
    assert_eq!(cluster(&["-A", "--configuration=x"]).2, "x");
}
