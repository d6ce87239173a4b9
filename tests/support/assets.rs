//! The programs in `KUBEBUILDER_ASSETS`, and which Kubernetes they are.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of one of the programs.
pub fn program(name: &str) -> PathBuf {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let program = assets.expect("KUBEBUILDER_ASSETS").join(name);
    assert!(
        program.is_file(),
        "{} is missing: unset KUBEBUILDER_ASSETS, then export KUBEBUILDER_ASSETS=\"$(scripts/kube-assets)\"",
        program.display()
    );
    program
}

/// The y of the API server's version 1.y. The tests ask for it before a server runs, too, as its flags
/// differ.
pub fn server_minor() -> u32 {
    static MINOR: OnceLock<u32> = OnceLock::new();
    *MINOR.get_or_init(|| {
        let output = Command::new(program("kube-apiserver"))
            .arg("--version")
            .output()
            .expect("kube-apiserver starts");
        // Such as "Kubernetes v1.20.2".
        let text = String::from_utf8_lossy(&output.stdout);
        let minor = text
            .strip_prefix("Kubernetes v1.")
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        minor.unwrap_or_else(|| panic!("kube-apiserver --version tells no version: {output:?}"))
    })
}
