//! What attache listens on.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::{Bound, Fatal};
use crate::config::Serve;
use crate::http::Listener;
use crate::http::listen::{self, BoundAddress};

/// The main listeners, the admin listeners, and where they are.
pub(super) async fn bind(serve: &Serve) -> Result<(Vec<Listener>, Vec<Listener>, Bound), Fatal> {
    let mut main = Vec::new();
    if serve.main && !serve.unix_only {
        main = listen::bind(serve.address, serve.port)
            .await
            .context("cannot listen (where: --address, --port)")?;
    }
    let mut bound = Bound {
        addresses: tcp_addresses(&main),
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
        bound.admin = tcp_addresses(&admin).first().copied();
    }
    Ok((main, admin, bound))
}

fn tcp_addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    let tcp = |listener: &Listener| match listener.address() {
        Ok(BoundAddress::Tcp(address)) => Some(address),
        _ => None,
    };
    listeners.iter().filter_map(tcp).collect()
}
