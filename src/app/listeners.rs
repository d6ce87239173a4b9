//! What attache listens on.

use anyhow::Context as _;

use super::{Bound, Fatal};
use crate::config::Serve;
use crate::http::Listener;
use crate::http::listen;

/// The main listeners, the admin listeners, and where they are.
pub(super) async fn bind(serve: &Serve) -> Result<(Vec<Listener>, Vec<Listener>, Bound), Fatal> {
    let mut main = Vec::new();
    if serve.main && !serve.unix_only {
        main = listen::bind(serve.address, serve.port)
            .await
            .context("cannot listen (where: --address, --port)")?;
    }
    let mut bound = Bound {
        addresses: listen::tcp_addresses(&main),
        unix_socket: serve.unix_socket.clone().filter(|_| serve.main),
        admin: None,
    };
    if let Some(path) = bound.unix_socket.as_ref() {
        main.push(listen::bind_unix(path).context("cannot listen (where: --unix-socket)")?);
    }
    let mut admin = Vec::new();
    if let Some(address) = serve.admin_address {
        admin = listen::bind(address.ip(), address.port())
            .await
            .context("cannot listen (where: --admin-address)")?;
        bound.admin = listen::tcp_addresses(&admin).first().copied();
    }
    Ok((main, admin, bound))
}
