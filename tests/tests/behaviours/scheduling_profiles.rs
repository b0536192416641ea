//! A pod chooses whether it is packed or spread: by the annotation `mosaic/profile`, or by its scheduler's name.

use crate::objects::{event, hosts, items, name};
use crate::{Cluster, get};

fn deployment(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{{annotations}}}
    spec:
      {spec}
      containers:
      - name: {name}
        image: "{name}:1"
        resources: {{requests: {{cpu: 500m, memory: 1Gi}}}}
"#
    )
}

#[test]
fn packed_or_spread() {
    let cluster = Cluster::start(4, &["--cpu", "8", "--memory", "16Gi"]);
    let kubectl = cluster.namespace("profiles");
    let run = |name: &str, annotations: &str, spec: &str| {
        let manifest = deployment(name, annotations, spec);
        kubectl.run_with_input("apply -f -", &manifest).ok();
        kubectl
            .run(&format!("rollout status deployment/{name}"))
            .ok();
        let mut on = hosts(&get(&kubectl, &format!("pods -l app={name}")));
        assert_eq!(on.len(), 4);
        on.dedup();
        on
    };
    assert_eq!(run("spread", "", "").len(), 4);
    let packed = run("packed", "mosaic/profile: packing", "");
    assert_eq!(packed.len(), 1, "{packed:?}");
    // The fullest host is the best for the next ones too.
    assert_eq!(run("by-name", "", "schedulerName: mosaic-packing"), packed);
    let again = run("spread-too", "mosaic/profile: spreading", "");
    assert!(again.len() >= 3, "{again:?}");
}

#[test]
fn a_profile_that_is_none_is_told_and_the_pod_is_placed_all_the_same() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("no-such-profile");
    let manifest = deployment("odd", "mosaic/profile: stacking", "");
    kubectl.run_with_input("apply -f -", &manifest).ok();
    kubectl.run("rollout status deployment/odd").ok();
    let pods = get(&kubectl, "pods");
    let told = event(&kubectl, name(&items(&pods)[0]), "UnknownProfile");
    assert!(
        told.contains("`stacking`") && told.contains("packing-memory"),
        "{told}"
    );
}
