//! Objects as far as controllers look at them. Watches of many objects read them as these, and skip the
//! rest: most of an object's metadata is who changed which field, which is no controller's business.

mod is_a;
mod node;
mod shared;
mod tolerations;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Deref,
    sync::{Arc, LazyLock},
};

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::{DynamicObject, PartialObjectMeta};
use mosaic_workloads::pod::{
    Pod,
    read::{self, Parts, pod_metadata},
};
use serde::{Deserialize, Deserializer};

use self::shared::Pool;
pub(crate) use self::{
    is_a::is_a,
    node::{LeaseView, NodeView, TaintView},
    tolerations::{Endures, NO_EXECUTE, Tolerations},
};
use crate::endpoints::{NamedPort, address, addresses, named_ports, sidecar_ports};

/// An object of any kind, of which the API sends the metadata only.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct MetadataView {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "metadata")]
    pub(crate) metadata: ObjectMeta,
}

/// Reads metadata without annotations and managed fields.
pub(crate) fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    read::metadata(deserializer, &[])
}

is_a!(MetadataView, PartialObjectMeta<DynamicObject>);

/// A pod, as far as it matters here: what plans of workloads look at, and what others do. There are tens of thousands of
/// them in memory: words that many say are held once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodView {
    /// What plans of workloads look at.
    pub(crate) planned: Arc<Pod>,
    /// What else was asked for.
    pub(crate) spec: PodSpecView,
    /// What else is told of its state.
    pub(crate) status: PodStatusView,
}

impl Deref for PodView {
    type Target = Pod;

    fn deref(&self) -> &Pod {
        &self.planned
    }
}

#[cfg(test)]
impl std::ops::DerefMut for PodView {
    fn deref_mut(&mut self) -> &mut Pod {
        Arc::make_mut(&mut self.planned)
    }
}

/// A word that many objects say.
pub(crate) type Word = Arc<str>;

static WORDS: LazyLock<Pool<str>> = LazyLock::new(|| Pool::new(16_384));

impl<'de> Deserialize<'de> for PodView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            #[serde(default, deserialize_with = "pod_metadata")]
            metadata: ObjectMeta,
            spec: Option<ReadSpec>,
            status: Option<ReadStatus>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct ReadSpec {
            #[serde(deserialize_with = "word")]
            node_name: Option<Word>,
            affinity: Option<read::Affinity>,
            hostname: Option<String>,
            subdomain: Option<String>,
            #[serde(rename = "containers", deserialize_with = "named_ports")]
            named_ports: Box<[NamedPort]>,
            #[serde(rename = "initContainers", deserialize_with = "sidecar_ports")]
            sidecar_ports: Box<[NamedPort]>,
            tolerations: Tolerations,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct ReadStatus {
            phase: Option<String>,
            #[serde(deserialize_with = "word")]
            reason: Option<Word>,
            conditions: Option<Vec<read::Condition>>,
            container_statuses: Option<Vec<read::Container>>,
            init_container_statuses: Option<Vec<read::Container>>,
            #[serde(rename = "podIPs", deserialize_with = "addresses")]
            addresses: Box<[IpAddr]>,
            #[serde(rename = "podIP", deserialize_with = "address")]
            address: Option<IpAddr>,
        }
        let read = Read::deserialize(deserializer)?;
        let spec = read.spec.unwrap_or_default();
        let status = read.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let disrupted = |condition: &read::Condition| {
            condition.type_ == "DisruptionTarget" && condition.status == "True"
        };
        Ok(Self {
            spec: PodSpecView {
                hostname: spec.hostname,
                subdomain: spec.subdomain,
                named_ports: spec.named_ports,
                sidecar_ports: spec.sidecar_ports,
                tolerations: spec.tolerations,
            },
            status: PodStatusView {
                reason: status.reason,
                is_disrupted: conditions.iter().any(disrupted),
                addresses: status.addresses,
                address: status.address,
            },
            planned: Arc::new(Pod::of(
                read.metadata,
                Parts {
                    node: spec.node_name,
                    affinity: spec.affinity,
                    phase: status.phase,
                    conditions,
                    containers: status.container_statuses.unwrap_or_default(),
                    init_containers: status.init_container_statuses.unwrap_or_default(),
                },
            )),
        })
    }
}

/// What was asked for of a pod beyond what plans of workloads look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodSpecView {
    /// Its name within its subdomain.
    pub(crate) hostname: Option<String>,
    /// The headless service under which its name is found.
    pub(crate) subdomain: Option<String>,
    /// The ports of its containers that have names.
    pub(crate) named_ports: Box<[NamedPort]>,
    /// The ports of its sidecars that have names.
    pub(crate) sidecar_ports: Box<[NamedPort]>,
    /// What it tolerates of taints that drive pods away.
    pub(crate) tolerations: Tolerations,
}

/// What is told of the state of a pod beyond what plans of workloads look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodStatusView {
    /// Why it is in its phase, in one word, if that is told: `Evicted`.
    pub(crate) reason: Option<Word>,
    /// Whether its condition `DisruptionTarget` holds.
    pub(crate) is_disrupted: bool,
    /// Its addresses. What is no address is left out.
    pub(crate) addresses: Box<[IpAddr]>,
    /// Its first address, which some hosts tell without the list.
    pub(crate) address: Option<IpAddr>,
}

/// An empty word is none.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Word>, D::Error> {
    let read = Option::<String>::deserialize(deserializer)?;
    Ok(read
        .filter(|word| !word.is_empty())
        .map(|word| WORDS.share(word)))
}

impl PodView {
    /// Its labels.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }
}

is_a!(PodView, core::Pod, |pod| &pod.metadata, |pod| {
    &mut Arc::make_mut(&mut pod.planned).metadata
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_matters_is_read_and_the_rest_is_skipped() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "1", "labels": { "app": "a" }, "annotations": { "big": "text" },
                "managedFields": [{ "manager": "x", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": {
                "nodeName": "n", "hostname": "a-0",
                "containers": [
                    { "name": "c", "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }] },
                    { "name": "d", "ports": [{ "containerPort": 9090 }] },
                ],
                "initContainers": [
                    { "name": "i", "ports": [{ "name": "once", "containerPort": 1 }] },
                    { "name": "s", "restartPolicy": "Always", "ports": [{ "name": "proxy", "containerPort": 2 }] },
                ],
            },
            "status": {
                "podIP": "10.1.0.1", "podIPs": [{ "ip": "10.1.0.1" }, { "ip": "fd00::1" }, { "ip": "?" }],
                "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "reason": "" }],
            },
        }))
        .unwrap();
        assert!(pod.ready && !pod.has_ended());
        assert_eq!(pod.metadata.name.as_deref(), Some("a"));
        assert_eq!(pod.labels().len(), 1);
        assert_eq!(
            (&pod.metadata.annotations, &pod.metadata.managed_fields),
            (&None, &None)
        );
        let port = |name: &str, number| NamedPort {
            name: name.into(),
            protocol: "TCP".into(),
            number,
        };
        assert_eq!(pod.node.as_deref(), Some("n"));
        assert_eq!(*pod.spec.named_ports, [port("http", 8080)]);
        assert_eq!(*pod.spec.sidecar_ports, [port("proxy", 2)]);
        let addresses: [IpAddr; 2] = ["10.1.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(*pod.status.addresses, addresses);
        let empty: PodView = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty, PodView::default());
    }
}
