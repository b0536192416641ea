//! Objects as far as controllers look at them. Watches of many objects read them as these, and skip the
//! rest: most of an object's metadata is who changed which field, which is no controller's business.

mod node;
mod shared;
mod tolerations;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::{
    Resource,
    core::{DynamicResourceScope, discovery::ApiResource},
};
use serde::{Deserialize, Deserializer};

use self::shared::Pool;
pub(crate) use self::{
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
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        deletion_grace_period_seconds: Option<i64>,
        finalizers: Option<Vec<String>>,
        labels: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let mut read = Read::deserialize(deserializer)?;
    // A list that is read has room for four, and most have one owner.
    if let Some(owners) = &mut read.owner_references {
        owners.shrink_to_fit();
    }
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        deletion_grace_period_seconds: read.deletion_grace_period_seconds,
        finalizers: read.finalizers,
        labels: read.labels,
        owner_references: read.owner_references,
        ..ObjectMeta::default()
    })
}

impl Resource for MetadataView {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A pod, as far as it matters here. There are tens of thousands of them in memory: what many have in common is held
/// once, and of their conditions only those that somebody asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodView {
    /// Its metadata, without annotations, managed fields and labels.
    pub(crate) metadata: ObjectMeta,
    /// Its labels.
    pub(crate) labels: Labels,
    /// What was asked for.
    pub(crate) spec: PodSpecView,
    /// Its state.
    pub(crate) status: PodStatusView,
}

/// The labels of many objects, held once.
pub(crate) type Labels = Arc<BTreeMap<String, String>>;

/// A word that many objects say.
pub(crate) type Word = Arc<str>;

static LABELS: LazyLock<Pool<BTreeMap<String, String>>> = LazyLock::new(|| Pool::new(4096));
static WORDS: LazyLock<Pool<str>> = LazyLock::new(|| Pool::new(16_384));

impl<'de> Deserialize<'de> for PodView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            #[serde(default, deserialize_with = "metadata")]
            metadata: ObjectMeta,
            #[serde(default)]
            spec: PodSpecView,
            #[serde(default)]
            status: PodStatusView,
        }
        let mut read = Read::deserialize(deserializer)?;
        let labels = read.metadata.labels.take().unwrap_or_default();
        Ok(Self {
            metadata: read.metadata,
            labels: LABELS.share(labels),
            spec: read.spec,
            status: read.status,
        })
    }
}

/// What was asked for of a pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpecView {
    /// The host that it is bound to.
    #[serde(default, deserialize_with = "word")]
    pub(crate) node_name: Option<Word>,
    /// Its name within its subdomain.
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    /// The headless service under which its name is found.
    #[serde(default)]
    pub(crate) subdomain: Option<String>,
    /// The ports of its containers that have names.
    #[serde(default, rename = "containers", deserialize_with = "named_ports")]
    pub(crate) named_ports: Box<[NamedPort]>,
    /// The ports of its sidecars that have names.
    #[serde(default, rename = "initContainers", deserialize_with = "sidecar_ports")]
    pub(crate) sidecar_ports: Box<[NamedPort]>,
    /// What it tolerates of taints that drive pods away.
    #[serde(default)]
    pub(crate) tolerations: Tolerations,
}

/// The state of a pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStatusView {
    /// Where it is in its life.
    #[serde(default, deserialize_with = "word")]
    pub(crate) phase: Option<Word>,
    /// Why, in one word, if that is told: `Evicted`.
    #[serde(default, deserialize_with = "word")]
    pub(crate) reason: Option<Word>,
    /// Those of [`POD_CONDITIONS`] that hold for it, or do not.
    #[serde(default, deserialize_with = "pod_conditions")]
    pub(crate) conditions: Vec<ConditionView>,
    /// Its addresses. What is no address is left out.
    #[serde(default, rename = "podIPs", deserialize_with = "addresses")]
    pub(crate) addresses: Box<[IpAddr]>,
    /// Its first address, which some hosts tell without the list.
    #[serde(default, rename = "podIP", deserialize_with = "address")]
    pub(crate) address: Option<IpAddr>,
}

/// The conditions of pods that are read.
const POD_CONDITIONS: [&str; 2] = ["Ready", "DisruptionTarget"];

/// A condition of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConditionView {
    /// Which one.
    pub(crate) type_: Word,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: Word,
}

fn pod_conditions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ConditionView>, D::Error> {
    #[derive(Deserialize)]
    struct Read {
        #[serde(default, rename = "type")]
        type_: String,
        #[serde(default)]
        status: String,
    }
    let read = Option::<Vec<Read>>::deserialize(deserializer)?;
    let asked_for = |condition: &Read| POD_CONDITIONS.contains(&condition.type_.as_str());
    let kept = read.into_iter().flatten().filter(asked_for);
    let kept = kept.map(|condition| ConditionView {
        type_: WORDS.share(condition.type_),
        status: WORDS.share(condition.status),
    });
    let mut kept: Vec<_> = kept.collect();
    kept.shrink_to_fit();
    Ok(kept)
}

/// An empty word is none.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Word>, D::Error> {
    let read = Option::<String>::deserialize(deserializer)?;
    Ok(read
        .filter(|word| !word.is_empty())
        .map(|word| WORDS.share(word)))
}

impl PodView {
    /// Whether it serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|condition| &*condition.type_ == "Ready" && &*condition.status == "True")
    }

    /// Whether it is being deleted.
    pub(crate) fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }
}

impl Resource for PodView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

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
        assert!(pod.is_ready() && !pod.has_ended());
        assert_eq!(pod.metadata.name.as_deref(), Some("a"));
        assert_eq!((pod.metadata.labels, pod.labels.len()), (None, 1));
        assert_eq!(
            (pod.metadata.annotations, pod.metadata.managed_fields),
            (None, None)
        );
        let port = |name: &str, number| NamedPort {
            name: name.into(),
            protocol: "TCP".into(),
            number,
        };
        assert_eq!(pod.spec.node_name.as_deref(), Some("n"));
        assert_eq!(*pod.spec.named_ports, [port("http", 8080)]);
        assert_eq!(*pod.spec.sidecar_ports, [port("proxy", 2)]);
        let addresses: [IpAddr; 2] = ["10.1.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(*pod.status.addresses, addresses);
        let empty: PodView = serde_json::from_value(json!({})).unwrap();
        assert_eq!(empty, PodView::default());
    }
}
