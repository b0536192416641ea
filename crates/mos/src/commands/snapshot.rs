//! What a scheduler would know, read from the API by whoever asks.

use mosaic_scheduler::Cluster;
use mosaic_scheduler::model::{Claim, Namespace, Node, Pod, StorageClass, Volume};
use serde_json::Value;

use crate::client::{Client, Discovery, Query};
use crate::failure::Failure;

/// What decides about the places of pods.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) nodes: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    pub(crate) namespaces: Vec<Value>,
    pub(crate) claims: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    pub(crate) classes: Vec<Value>,
}

impl Objects {
    /// Reads them all.
    pub(crate) async fn read(client: &Client, discovery: &Discovery) -> Result<Self, Failure> {
        let list = async |name: &str| list(client, discovery, name).await;
        Ok(Self {
            nodes: list("nodes").await?,
            pods: list("pods").await?,
            namespaces: list("namespaces").await?,
            claims: list("persistentvolumeclaims").await?,
            volumes: list("persistentvolumes").await?,
            classes: list("storageclasses.storage.k8s.io").await?,
        })
    }

    /// The cluster as the scheduler sees it. What cannot be read does not count.
    pub(crate) fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::new();
        for namespace in each(&self.namespaces, Namespace::from_json) {
            cluster.upsert_namespace(namespace);
        }
        for class in each(&self.classes, StorageClass::from_json) {
            cluster.upsert_storage_class(class);
        }
        for volume in each(&self.volumes, Volume::from_json) {
            cluster.upsert_volume(volume);
        }
        for claim in each(&self.claims, Claim::from_json) {
            cluster.upsert_claim(claim);
        }
        for node in each(&self.nodes, Node::from_json) {
            cluster.upsert_node(node);
        }
        for pod in each(&self.pods, Pod::from_json) {
            cluster.upsert_pod(pod);
        }
        cluster
    }
}

/// All objects of a type, of all namespaces.
pub(crate) async fn list(
    client: &Client,
    discovery: &Discovery,
    name: &str,
) -> Result<Vec<Value>, Failure> {
    let resource = discovery.resolve(name)?;
    Ok(client.list_all(resource, None, &Query::new()).await?)
}

/// Objects in a form that can be decided about; those that have none are left out.
pub(crate) fn each<T, E>(
    objects: &[Value],
    read: impl Fn(&[u8]) -> Result<T, E>,
) -> impl Iterator<Item = T> {
    objects
        .iter()
        .filter_map(move |object| read(object.to_string().as_bytes()).ok())
}
