//! The objects that are written: as plain as users' objects are, and of a known size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::client::Connection;
use crate::failure::Failure;

/// The namespace that everything is written to.
pub(super) const NAMESPACE: &str = "bench";
/// Where ConfigMaps are created.
pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/bench/configmaps";
/// Where pods are created.
pub(super) const PODS: &str = "/api/v1/namespaces/bench/pods";

/// Stands for the name in a template. Names have its length, so that all objects are equally long.
pub(super) const NAME: &str = "name-name-name";
/// Stands for the node in a template; node names have its length.
const NODE: &str = "node-node";

/// A kind of object, ready to be written under many names.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// The path to create it at.
    pub(super) path: &'static str,
    /// How long the server's answer is, in bytes; what clients read, and about what is stored.
    pub(super) size: usize,
    parts: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Name,
    Node,
}

/// A name for the object of a client; unique in a process.
pub(super) fn name(round: usize, client: usize, number: usize) -> String {
    format!(
        "{:02}-{:03}-{:07}",
        round % 100,
        client % 1000,
        number % 10_000_000
    )
}

/// The name of a node.
pub(super) fn node(number: usize) -> String {
    format!("node-{number:04}")
}

impl Template {
    /// ConfigMaps which are so long as clients see them, in bytes.
    pub(super) async fn config_map(
        connection: &mut Connection,
        size: usize,
    ) -> Result<Self, Failure> {
        Self::fitted(connection, CONFIG_MAPS, size, |padding| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app": "bench"}},
                "data": {"settings.toml": padding},
            })
        })
        .await
    }

    /// Pods which are so long as clients see them, in bytes; longer if a pod cannot be as short.
    pub(super) async fn pod(
        connection: &mut Connection,
        size: usize,
        on_node: bool,
    ) -> Result<Self, Failure> {
        Self::fitted(connection, PODS, size, |padding| {
            let mut pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": NAME, "namespace": NAMESPACE,
                    "labels": {"app": "bench", "tier": "web"},
                    "annotations": {"example.com/notes": padding},
                },
                "spec": {"containers": [{
                    "name": "main",
                    "image": "registry.example.com/shop/web:1.4.2",
                    "ports": [{"containerPort": 8080}],
                    "env": [{"name": "ROLE", "value": "web"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                }]},
            });
            if let (true, Some(spec)) =
                (on_node, pod.get_mut("spec").and_then(Value::as_object_mut))
            {
                spec.insert("nodeName".to_owned(), json!(NODE));
            }
            pod
        })
        .await
    }

    /// Hosts, as small as they can be.
    pub(super) fn host() -> Self {
        Self::new(
            "/api/v1/nodes",
            0,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}}),
        )
    }

    /// Tries out how long the server makes an object, and fills it up to the size.
    async fn fitted(
        connection: &mut Connection,
        path: &'static str,
        size: usize,
        object: impl Fn(&str) -> Value,
    ) -> Result<Self, Failure> {
        let try_out = format!("{path}?dryRun=All");
        let bare = Self::new(path, 0, &object(""));
        let length = connection
            .create(&try_out, bare.body(&name(0, 0, 0), &node(0)))
            .await?;
        let padding = "setting = \"value\"; ".repeat(size / 16 + 1);
        // Only ASCII, so any byte is a boundary.
        let padding = padding
            .get(..size.saturating_sub(length))
            .unwrap_or_default();
        let padding = padding.replace('"', "'");
        let mut full = Self::new(path, 0, &object(&padding));
        full.size = connection
            .create(&try_out, full.body(&name(0, 0, 0), &node(0)))
            .await?;
        Ok(full)
    }

    /// Objects like this one, whose names are to replace [`NAME`].
    pub(super) fn new(path: &'static str, size: usize, object: &Value) -> Self {
        let text = object.to_string();
        let mut parts = Vec::new();
        for (number, around) in text.split(NAME).enumerate() {
            if number > 0 {
                parts.push(Piece::Name);
            }
            for (number, text) in around.split(NODE).enumerate() {
                if number > 0 {
                    parts.push(Piece::Node);
                }
                parts.push(Piece::Text(text.to_owned()));
            }
        }
        Self { path, size, parts }
    }

    /// The object under a name, for a node.
    pub(super) fn body(&self, name: &str, node: &str) -> Bytes {
        let mut out = String::with_capacity(self.size + 64);
        for piece in &self.parts {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Name => name,
                Piece::Node => node,
            });
        }
        Bytes::from(out)
    }
}

/// What a node reports of a pod: a change of its status, different each time. A report that repeats the
/// last one would change nothing, and no watcher would hear of it.
pub(super) fn status_patch() -> Bytes {
    static REPORTS: AtomicU64 = AtomicU64::new(0);
    let number = REPORTS.fetch_add(1, Ordering::Relaxed);
    Bytes::from(
        json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "message": format!("report {number}")}})
            .to_string(),
    )
}

/// Makes the namespace, and waits until pods can be made in it.
pub(super) async fn prepare_namespace(connection: &mut Connection) -> Result<(), Failure> {
    const WITHIN: Duration = Duration::from_secs(30);
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    connection
        .create("/api/v1/namespaces", namespace.to_string().into())
        .await?;
    let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", NAMESPACE);
    let until = Instant::now() + WITHIN;
    loop {
        match connection.get(&account).await {
            Ok(_) => return Ok(()),
            Err(failure) if Instant::now() > until => {
                return Err(failure.at("waiting for the namespace's service account"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_nodes_take_their_places() {
        let object = json!({"metadata": {"name": NAME}, "spec": {"nodeName": NODE, "x": 1}});
        let template = Template::new(PODS, 0, &object);
        let body: Value = serde_json::from_slice(&template.body(&name(1, 2, 3), &node(4))).unwrap();
        let wanted = json!({"metadata": {"name": "01-002-0000003"}, "spec": {"nodeName": "node-0004", "x": 1}});
        assert_eq!(body, wanted);
    }

    #[test]
    fn names_are_as_long_as_their_place() {
        assert_eq!(name(3, 63, 1234).len(), NAME.len());
        assert_eq!(node(999).len(), NODE.len());
    }
}
