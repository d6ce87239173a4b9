//! What attache keeps of Services and EndpointSlices.

/// What discovery reads of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovered {
    /// Of a core/v1 Service.
    Service(Service),
    /// Of a discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice(EndpointSlice),
}

/// A Service's `spec`, as far as it says where to connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// `spec.type`: ClusterIP, NodePort, LoadBalancer or ExternalName.
    pub service_type: String,
    /// `spec.clusterIP`: an address, `None` for a headless Service, empty where there is none.
    pub cluster_ip: String,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<String>,
    /// `spec.externalName`; empty where there is none.
    pub external_name: String,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// An entry of a Service's `spec.ports`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; empty where the only port has none.
    pub name: String,
    /// `protocol`: TCP, UDP or SCTP.
    pub protocol: String,
    /// `port`: the Service's own.
    pub port: u16,
    /// `targetPort`: a number, or the name of a container's port, as text; empty where there is none.
    pub target_port: String,
    /// `nodePort`; 0 where there is none.
    pub node_port: u16,
    /// `appProtocol`; empty where there is none.
    pub app_protocol: String,
}

/// A part of a Service's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The label `kubernetes.io/service-name`; empty where it has none.
    pub service: String,
    /// `ports`: valid for each of its endpoints.
    pub ports: Vec<EndpointPort>,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
}

/// An entry of an EndpointSlice's `ports`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`; empty where the Service's port has none.
    pub name: String,
    /// `port`; `None` stands for all ports.
    pub port: Option<u16>,
}

/// An entry of an EndpointSlice's `endpoints`. The conditions are as consumers must take them where
/// they are left out: ready as if true, serving as ready, terminating as if false (EndpointSlice API,
/// "EndpointConditions").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses`: interchangeable ones; consumers take the first.
    pub addresses: Vec<String>,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `hostname`; empty where there is none.
    pub hostname: String,
    /// `nodeName`; empty where there is none.
    pub node: String,
    /// `zone`; empty where there is none.
    pub zone: String,
    /// `targetRef.name` where its kind is Pod; empty otherwise.
    pub pod: String,
}

// === impl Discovered ===

impl Discovered {
    /// About how many bytes it takes: its text, and the structs around it.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Discovered::Service(service) => service.beyond(),
                Discovered::EndpointSlice(slice) => slice.beyond(),
            }
    }
}

/// The bytes of some texts.
fn text<'a>(of: impl IntoIterator<Item = &'a String>) -> usize {
    of.into_iter().map(String::len).sum()
}

// === impl Service ===

impl Service {
    /// The bytes that its fields point to.
    fn beyond(&self) -> usize {
        let ips = self.cluster_ips.iter();
        let ips: usize = ips.map(|ip| size_of::<String>() + ip.len()).sum();
        let ports = self.ports.iter().map(|port| {
            size_of::<ServicePort>()
                + text([
                    &port.name,
                    &port.protocol,
                    &port.target_port,
                    &port.app_protocol,
                ])
        });
        text([&self.service_type, &self.cluster_ip, &self.external_name])
            + ips
            + ports.sum::<usize>()
    }
}

// === impl EndpointSlice ===

impl EndpointSlice {
    /// The bytes that its fields point to.
    fn beyond(&self) -> usize {
        let ports = self.ports.iter();
        let ports = ports.map(|port| size_of::<EndpointPort>() + port.name.len());
        let endpoints = self.endpoints.iter().map(|e| {
            let addresses = e.addresses.len() * size_of::<String>() + text(&e.addresses);
            size_of::<Endpoint>() + addresses + text([&e.hostname, &e.node, &e.zone, &e.pod])
        });
        self.service.len() + ports.sum::<usize>() + endpoints.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_covers_every_text_and_every_entry() {
        let endpoint = Endpoint {
            addresses: vec!["10.1.0.7".into()],
            pod: "p".repeat(100),
            ..Endpoint::default()
        };
        let slice = |endpoints: usize| {
            Discovered::EndpointSlice(EndpointSlice {
                service: "web".into(),
                endpoints: vec![endpoint.clone(); endpoints],
                ..EndpointSlice::default()
            })
        };
        let one = slice(1).size() - slice(0).size();
        assert!(one >= size_of::<Endpoint>() + 108, "{one}");
        assert_eq!(slice(1_000).size() - slice(0).size(), 1_000 * one);
        let bare = Discovered::Service(Service::default()).size();
        let port = ServicePort {
            name: "http".into(),
            ..ServicePort::default()
        };
        let ported = Discovered::Service(Service {
            ports: vec![port],
            ..Service::default()
        });
        assert_eq!(ported.size() - bare, size_of::<ServicePort>() + 4);
    }
}
