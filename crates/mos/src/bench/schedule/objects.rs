//! The pods and Deployments that are created, as plain as users' are.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::objects::{self, NAME, NAMESPACE, PODS, Template};

/// Where Deployments are created.
pub(super) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/bench/deployments";
/// The label by which pods belong together.
pub(super) const GROUP: &str = "app";

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// What pods ask for, by turns: half a processor and 1 GiB on average.
const REQUESTS: [(&str, &str); 4] = [
    ("100m", "128Mi"),
    ("250m", "256Mi"),
    ("500m", "1Gi"),
    ("1", "2Gi"),
];

/// Pods of several kinds, which take turns by number.
pub(super) struct Pods(Vec<Template>);

impl Pods {
    /// Bare pods with requests.
    pub(super) fn plain() -> Self {
        let pod = |requests| pod(json!({ "app": "bench" }), spec(requests));
        Self(
            REQUESTS
                .iter()
                .map(|requests| template(&pod(requests)))
                .collect(),
        )
    }

    /// Pods of so many groups: those of each are to be spread evenly over the zones and never to share a host.
    pub(super) fn constrained(groups: usize) -> Self {
        let template = |group: usize| {
            let labels = json!({ GROUP: format!("group-{group}") });
            let selector = json!({ "matchLabels": labels });
            let requests = REQUESTS.get(group % REQUESTS.len());
            let mut spec = spec(requests.unwrap_or(&REQUESTS[0]));
            if let Some(spec) = spec.as_object_mut() {
                let spread = json!([{
                    "maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": selector,
                }]);
                let apart = json!({ "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution":
                        [{ "topologyKey": HOSTNAME, "labelSelector": selector }],
                } });
                spec.insert("topologySpreadConstraints".to_owned(), spread);
                spec.insert("affinity".to_owned(), apart);
            }
            template(&pod(labels, spec))
        };
        Self((0..groups.max(1)).map(template).collect())
    }

    /// The pod with a number.
    pub(super) fn body(&self, number: usize) -> Bytes {
        let template = self.0.get(number % self.0.len().max(1));
        template.map_or_else(Bytes::new, |template| template.body(&name(number), ""))
    }
}

/// The name of the pod with a number; [`super::ledger::number`] reads the number from it.
fn name(number: usize) -> String {
    objects::name(0, 0, number)
}

fn template(pod: &Value) -> Template {
    Template::new(PODS, 0, pod)
}

fn pod(labels: Value, spec: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels },
        "spec": spec,
    })
}

fn spec((cpu, memory): &(&str, &str)) -> Value {
    json!({ "containers": [{
        "name": "main",
        "image": "registry.example.com/shop/web:1.4.2",
        "ports": [{ "containerPort": 8080 }],
        "env": [{ "name": "ROLE", "value": "web" }],
        "resources": { "requests": { "cpu": cpu, "memory": memory } },
    }] })
}

/// A Deployment of so many pods.
pub(super) fn deployment(name: &str, replicas: usize) -> Bytes {
    let labels = json!({ GROUP: name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec(&REQUESTS[1]) },
        },
    })
    .to_string()
    .into()
}

/// A patch of a Deployment that changes its template.
pub(super) fn next_version() -> Bytes {
    json!({ "spec": { "template": { "metadata": { "annotations": { "example.com/version": "2" } } } } })
        .to_string()
        .into()
}

/// A patch of a Node by which its simulated host is cut off.
pub(super) fn silence() -> Bytes {
    json!({ "metadata": { "annotations": { "mosaic/sim": "silent" } } })
        .to_string()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_take_turns_and_groups_have_their_own_constraints() {
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
        let pods = Pods::plain();
        let cpu = |number| {
            let pod = read(pods.body(number));
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone()
        };
        assert_eq!((cpu(0), cpu(5)), (json!("100m"), json!("250m")));
        let pods = Pods::constrained(3);
        let pod = read(pods.body(5));
        assert_eq!(pod["metadata"]["name"], "00-000-0000005");
        let labels = json!({ "app": "group-2" });
        assert_eq!(pod["metadata"]["labels"], labels);
        let spread = &pod["spec"]["topologySpreadConstraints"][0];
        assert_eq!(spread["labelSelector"]["matchLabels"], labels);
    }
}
