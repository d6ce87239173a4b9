//! What a `/discover` path and its query name.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::super::Answer;
use super::super::fetch::Asked;
use super::super::kv::Malformed;
use super::super::kv::target::label;
use super::super::problem::problem;
use super::super::query::Query;
use crate::discover::Filter;
use crate::store::Kind;

/// The Services of a namespace, or one Service with those of its endpoints that a filter shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A DNS label (RFC 1123).
    pub(super) namespace: Arc<str>,
    /// A DNS label.
    pub(super) service: Option<Box<str>>,
    /// Without effect on the Services of a namespace.
    pub(super) filter: Filter,
}

/// All objects of a kind in a namespace.
pub(super) struct All<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
}

// === impl Target ===

impl Target {
    /// Decodes and validates the segments of a path as they were sent, and its query.
    ///
    /// # Errors
    /// 400 for a name that no such object can have, and for a parameter that is none.
    pub(super) fn parse(
        namespace: &str,
        service: Option<&str>,
        query: &Query<'_>,
    ) -> Result<Self, Answer> {
        let namespace = label(namespace, Malformed::Namespace)?;
        // Of RFC 1123, as since Kubernetes 1.34 it may begin with a digit (the feature gate
        // RelaxedServiceNameValidation).
        let service = service.map(|name| label(name, Malformed::Service));
        Ok(Self {
            namespace: namespace.into(),
            service: service.transpose()?.map(Box::from),
            filter: filter(query)?,
        })
    }
}

fn filter(query: &Query<'_>) -> Result<Filter, Answer> {
    let ready = match query.get("ready") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => {
            return Err(problem(
                StatusCode::BAD_REQUEST,
                "the parameter ready is neither true nor false: write ?ready=true, or leave it out",
            ));
        }
    };
    Ok(Filter {
        ready,
        port: query.get("port").map(str::to_owned),
        zone: query.get("zone").map(str::to_owned),
    })
}

/// Displays as `Service default/web`, or `the Services of namespace default`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = &*self.namespace;
        let kind = Kind::Service;
        match &self.service {
            Some(name) => write!(f, "{kind} {namespace}/{name}"),
            None => All { kind, namespace }.fmt(f),
        }
    }
}

impl Asked for Target {
    fn flag(&self) -> String {
        format!("--discover {}", self.namespace)
    }
}

/// Displays as `the EndpointSlices (discovery.k8s.io/v1) of namespace default`.
impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.kind {
            Kind::EndpointSlice => " (discovery.k8s.io/v1)",
            _ => "",
        };
        write!(
            f,
            "the {}s{version} of namespace {}",
            self.kind, self.namespace
        )
    }
}

impl Asked for All<'_> {
    fn flag(&self) -> String {
        format!("--discover {}", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, query: &str) -> Result<Target, StatusCode> {
        let (namespace, service) = path
            .split_once('/')
            .map_or((path, None), |(n, s)| (n, Some(s)));
        let query = Query::parse(Some(query), super::super::OF_SERVICE).map_err(|a| a.status())?;
        Target::parse(namespace, service, &query).map_err(|answer| answer.status())
    }

    #[test]
    fn reads_names_and_filters() {
        let target = parse("d%65fault/1st-web", "ready=false&port=&zone=eu%2F1&watch").unwrap();
        assert_eq!(target.to_string(), "Service default/1st-web");
        let filter = Filter {
            ready: Some(false),
            port: Some(String::new()),
            zone: Some("eu/1".into()),
        };
        assert_eq!(target.filter, filter);
        let target = parse("default", "").unwrap();
        assert_eq!(target.to_string(), "the Services of namespace default");
        assert_eq!(target.filter, Filter::default());
        assert_eq!(target.flag(), "--discover default");
    }

    #[test]
    fn refuses_what_kubernetes_cannot_hold() {
        let long = format!("default/{}", "a".repeat(64));
        for path in [
            "Default/web",
            "a.b/web",
            "default/web.v1",
            "default/Web",
            "default/-web",
            "default/",
            "default/a%2Fb",
            "default/%zz",
            &long,
        ] {
            assert_eq!(parse(path, ""), Err(StatusCode::BAD_REQUEST), "{path}");
        }
        for query in [
            "ready",
            "ready=1",
            "ready=True",
            "ready=true&ready=true",
            "ports=a",
        ] {
            let parsed = parse("default/web", query);
            assert_eq!(parsed, Err(StatusCode::BAD_REQUEST), "{query}");
        }
    }
}
