//! The composition root.

use std::io::Write;
use std::path::Path;

use crate::client::{self, Failure};
use crate::config::{Config, Get, Healthcheck};

/// Runs the sidecar.
///
/// # Errors
/// It is not built yet.
pub async fn run(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// `attache get`: writes what the sidecar serves to `out`.
///
/// # Errors
/// As [`client::get`].
pub async fn get(get: &Get, out: &mut impl Write) -> Result<(), Failure> {
    client::get(get, out).await
}

/// `attache healthcheck`.
///
/// # Errors
/// As [`client::healthcheck`].
pub async fn healthcheck(healthcheck: &Healthcheck) -> Result<(), Failure> {
    client::healthcheck(healthcheck).await
}

/// `attache install`: copies this binary into `dir`.
///
/// # Errors
/// As [`client::install`].
pub fn install(dir: &Path) -> Result<(), Failure> {
    client::install(dir)
}
