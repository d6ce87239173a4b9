//! From the configuration's names to scopes, watches and readiness conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{App, Fatal, task};
use crate::api::discover::Discovery;
use crate::config::{self, Config, ObjectKind};
use crate::react::Names;
use crate::readiness::Readiness;
use crate::source::kube::{Target, Watch};
use crate::source::{Wanted, demand, dir, hold_until_synced, mount};
use crate::state::RestoredScope;
use crate::store::demand::Demander;
use crate::store::{self, Kind, ObjectRef, Reader, ScopeSpec, Selects};
use crate::upstream::{CredentialsError, Upstream};

/// Demands that wait unread; more readers wait to ask.
const DEMANDS: usize = 64;

/// After this long without being ready, the log says why.
const LONG_START: Duration = Duration::from_secs(10);

/// Finds the credentials, unless nothing needs an API server. `None` without them where only
/// on-demand reads and the proxy would have used it.
pub(super) async fn upstream(config: &Config) -> Result<Option<Upstream>, Fatal> {
    let source = &config.source;
    let mounted = |object: &config::ObjectName| source.mounts.iter().any(|m| m.object == *object);
    let named = source
        .objects
        .iter()
        .any(|o| !(o.optional && mounted(&o.object)));
    let watched = !source.selectors.is_empty() || !source.discover.is_empty();
    let written = config.serve.writes.allowed;
    let required = named || watched || written || source.mounts.is_empty();
    let wanted = required || source.on_demand || config.proxy.is_some();
    if source.dir.is_some() || !wanted {
        return Ok(None);
    }
    match Upstream::new(config.connection.clone()).await {
        Ok(upstream) => Ok(Some(upstream)),
        // The kubelet names the API server also to pods without a service account token.
        Err(CredentialsError::None(_) | CredentialsError::InCluster(_)) if !required => {
            warn!(
                "no API server is configured: only the mounted ConfigMaps are served, and nothing is proxied"
            );
            Ok(None)
        }
        Err(error) => Err(Fatal::Configuration(error.to_string())),
    }
}

/// Starts every source, with what an earlier attache held of it. Returns where to send demands, if on-demand reads are on.
pub(super) fn start(
    app: &mut App,
    source: &config::Source,
    writer: &store::Writer,
    mut restored: BTreeMap<String, RestoredScope>,
    ready_from_state: bool,
) -> Option<Demander> {
    let upstream = app.upstream.clone();
    let names = Names::new(Arc::clone(&app.namespace));
    let mut wanted = Vec::new();
    for (reference, optional) in named(source, &names) {
        let pending = app.readiness.pending(reference.to_string());
        let object = Wanted::Object {
            reference,
            optional,
        };
        wanted.push((object, pending));
    }
    if let Some(upstream) = &upstream {
        for selects in watched(source, &names) {
            if let Selects::Selector { .. } = &selects {
                let pending = app.readiness.pending(selects.to_string());
                wanted.push((Wanted::Scope(selects.clone()), pending));
            }
            watch(app, writer, upstream, selects, &mut restored);
        }
    }
    start_mounts(app, source, &names, writer, &mut wanted);
    start_dir(app, source, &names, writer, &mut wanted);
    let reader = app.reader.clone();
    let telling = tell_readiness(app.readiness.clone());
    app.tasks.spawn(task("readiness log", telling));
    app.tasks.spawn(task("readiness", async move {
        hold_until_synced(reader, wanted, ready_from_state).await;
        std::future::pending().await
    }));
    start_discovery(app, source);
    let upstream = upstream.filter(|_| source.on_demand)?;
    let reader = app.reader.clone();
    Some(start_on_demand(app, writer, reader, &upstream))
}

/// Watches Services and EndpointSlices of the namespaces that are named, and of others as they are
/// asked for. Readiness does not wait for them: a server without EndpointSlices must not keep an app
/// from its ConfigMaps. They are held apart, and have `--max-bytes` to themselves.
fn start_discovery(app: &mut App, source: &config::Source) {
    let Some(upstream) = app.upstream.clone() else {
        return;
    };
    let (writer, reader) = store::new(source.max_bytes);
    for namespace in &source.discover {
        for kind in [Kind::Service, Kind::EndpointSlice] {
            let namespace = namespace.as_str().into();
            let selects = Selects::Namespace { kind, namespace };
            watch(app, &writer, &upstream, selects, &mut BTreeMap::new());
        }
    }
    let asked = |app| start_on_demand(app, &writer, reader.clone(), &upstream);
    let demander = source.on_demand.then(|| asked(app));
    app.discovery = Some(Discovery::new(reader, demander));
}

/// The objects that are named, and whether each is optional. Only here is it known which namespace
/// a name without one is in, and so that two name the same object.
fn named(source: &config::Source, names: &Names) -> Vec<(ObjectRef, bool)> {
    let mut named: Vec<(ObjectRef, bool)> = Vec::new();
    for object in &source.objects {
        let reference = names.object(object.kind, &object.object);
        match named.iter_mut().find(|(known, _)| *known == reference) {
            Some((_, optional)) => *optional &= object.optional,
            None => named.push((reference, object.optional)),
        }
    }
    named
}

/// Logs when attache is ready, and after a while what it still waits for.
async fn tell_readiness(readiness: Readiness) {
    let ready = readiness.ready();
    tokio::pin!(ready);
    if tokio::time::timeout(LONG_START, &mut ready).await.is_err() {
        let waits_for = readiness.check().err().unwrap_or_default();
        warn!(
            ?waits_for,
            "not ready yet; attache waits on: see that they exist, and that it may read them"
        );
        ready.await;
    }
    info!("ready");
    std::future::pending().await
}

/// What is watched at the API server, in the order in which it wins.
fn watched(source: &config::Source, names: &Names) -> Vec<Selects> {
    let mounted: Vec<_> = source
        .mounts
        .iter()
        .map(|mount| names.object(ObjectKind::ConfigMap, &mount.object))
        .collect();
    let mut objects = named(source, names);
    // A rule's mention of a mounted ConfigMap asks for no watch: the mount answers.
    objects.retain(|(reference, optional)| !(*optional && mounted.contains(reference)));
    let mut watched: Vec<Selects> = Vec::new();
    watched.extend(
        objects
            .into_iter()
            .map(|(object, _)| Selects::Named(object)),
    );
    for selector in &source.selectors {
        let selected = names.selected(selector);
        if !watched.contains(&selected) {
            watched.push(selected);
        }
    }
    watched
}

fn watch(
    app: &mut App,
    writer: &store::Writer,
    upstream: &Upstream,
    selects: Selects,
    restored: &mut BTreeMap<String, RestoredScope>,
) {
    let Some(target) = Target::of(&selects) else {
        return;
    };
    let spec = ScopeSpec::declared(selects);
    let label = Arc::clone(&spec.name);
    let scope = writer.scope(spec);
    if let Some(RestoredScope { objects, contact }) = restored.remove(&*label) {
        scope.restore(objects, contact);
    }
    let mut watch = Watch::new(
        target,
        scope,
        upstream.lease(),
        app.metrics.clone(),
        Arc::clone(&label),
        &label,
    );
    app.tasks
        .spawn(task("watch", async move { match watch.run().await {} }));
}

fn start_mounts(
    app: &mut App,
    source: &config::Source,
    names: &Names,
    writer: &store::Writer,
    wanted: &mut Vec<(Wanted, crate::readiness::Pending)>,
) {
    for mount in &source.mounts {
        let reference = names.object(ObjectKind::ConfigMap, &mount.object);
        let mut spec = ScopeSpec::declared(Selects::Named(reference.clone()));
        spec.name = format!("mount {} of {reference}", mount.path.display()).into();
        let pending = app.readiness.pending(Arc::clone(&spec.name));
        let object = Wanted::Object {
            reference: reference.clone(),
            optional: false,
        };
        wanted.push((object, pending));
        let scope = writer.scope(spec);
        let reading = mount::run(reference, mount.path.clone(), scope, app.stop.clone());
        app.tasks.spawn(task("mount", reading));
    }
}

fn start_dir(
    app: &mut App,
    source: &config::Source,
    names: &Names,
    writer: &store::Writer,
    wanted: &mut Vec<(Wanted, crate::readiness::Pending)>,
) {
    let Some(path) = &source.dir else { return };
    let selects = Selects::Directory(path.display().to_string().into());
    wanted.push((
        Wanted::Scope(selects.clone()),
        app.readiness.pending(selects.to_string()),
    ));
    let objects = source.objects.iter();
    let mut named = BTreeSet::new();
    named.extend(objects.map(|object| names.object(object.kind, &object.object)));
    let mut secrets = named.clone();
    secrets.retain(|reference| reference.kind == Kind::Secret);
    let options = dir::Options {
        path: path.clone(),
        namespace: Arc::clone(&app.namespace),
        secrets,
    };
    let mut spec = ScopeSpec::declared(selects);
    spec.named = Arc::new(named);
    let scope = writer.scope(spec);
    let reading = dir::run(options, scope, app.board.clone(), app.stop.clone());
    app.tasks.spawn(task("directory", reading));
}

fn start_on_demand(
    app: &mut App,
    writer: &store::Writer,
    reader: Reader,
    upstream: &Upstream,
) -> Demander {
    let (demander, demands) = store::demand::channel(DEMANDS);
    let on_demand = demand::OnDemand::new(
        writer.clone(),
        reader,
        upstream.clone(),
        app.metrics.clone(),
    );
    app.tasks
        .spawn(task("on-demand", on_demand.run(demands, app.stop.clone())));
    demander
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config_from;

    #[test]
    fn what_is_named_with_and_without_its_namespace_is_watched_once() {
        let config = config_from([
            "attache",
            "run",
            "--configmap=web",
            "--configmap-selector=app=web",
            "--configmap-selector=default/app=web",
            "--on-change={when: {configMap: default/web}, signal: nginx}",
        ])
        .unwrap();
        let names = Names::new("default".into());
        let reference = ObjectRef::new(Kind::ConfigMap, "default", "web");
        assert_eq!(named(&config.source, &names), [(reference.clone(), false)]);
        let watched = watched(&config.source, &names);
        assert_eq!(watched.len(), 2, "{watched:?}");
        assert_eq!(watched[0], Selects::Named(reference));
    }

    #[tokio::test]
    async fn a_namespace_to_discover_needs_an_api_server_even_where_all_else_is_mounted() {
        let flags = [
            "attache",
            "run",
            "--mount=web=/etc/web",
            "--no-on-demand",
            "--no-proxy",
            "--kubeconfig=/nonexistent",
        ];
        let config = config_from(flags).unwrap();
        assert!(upstream(&config).await.unwrap().is_none());
        let config = config_from(flags.into_iter().chain(["--discover=default"])).unwrap();
        assert!(upstream(&config).await.is_err());
    }
}
