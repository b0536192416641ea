//! The EndpointSlices of a Service follow what its pods say of their readiness, and let go of pods that leave.

use mosaic_tests::Kubectl;
use serde_json::Value;

use crate::objects::{is, items, name, names, pods};
use crate::{Cluster, get, until};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {mosaic/sim-stop: 2s}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: web
        image: "web:1"
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: everybody}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"#;

/// The endpoints of a service: the name of each one's pod, and whether it is ready, serves and leaves.
fn endpoints(slices: &Value) -> Vec<(String, bool, bool, bool)> {
    let all = items(slices)
        .iter()
        .filter_map(|slice| slice["endpoints"].as_array());
    let mut endpoints: Vec<_> = all
        .flatten()
        .map(|endpoint| {
            let says = |what: &str| endpoint["conditions"][what] == true;
            let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
            (
                pod.to_owned(),
                says("ready"),
                says("serving"),
                says("terminating"),
            )
        })
        .collect();
    endpoints.sort();
    endpoints
}

fn until_endpoints(
    kubectl: &Kubectl,
    service: &str,
    expected: impl Fn(&[(String, bool, bool, bool)]) -> bool,
) -> Value {
    let what = format!("endpointslices -l kubernetes.io/service-name={service}");
    until(kubectl, &what, |slices| expected(&endpoints(slices)))
}

#[test]
fn through_a_rollout_that_does_not_get_ready() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("services-readiness");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    let old = names(&get(&kubectl, "pods"));
    let ready = |pod: &String| (pod.clone(), true, true, false);
    let both: Vec<_> = old.iter().map(ready).collect();
    let slices = until_endpoints(&kubectl, "web", |found| found == both);
    let slice = &items(&slices)[0];
    assert_eq!(slice["ports"][0]["port"], 8080);
    let pod = get(&kubectl, &format!("pod {}", old[0]));
    let address = pod["status"]["podIP"].as_str().expect("an address");
    assert!(slice.to_string().contains(&format!("\"{address}\"")));

    let broken =
        r#"{"spec":{"template":{"metadata":{"annotations":{"mosaic/sim-readiness":"fail"}}}}}"#;
    kubectl
        .run(&format!("patch deployment web -p '{broken}'"))
        .ok();
    let three = pods(&kubectl, "app=web", 3);
    let new = items(&three)
        .iter()
        .map(name)
        .find(|pod| !old.iter().any(|known| known == pod));
    let new = new.expect("a third").to_owned();
    until(&kubectl, &format!("pod {new}"), |pod| {
        pod["status"]["phase"] == "Running"
    });
    let of_new = |found: &[(String, bool, bool, bool)], ready: bool| {
        let one = found.iter().find(|(pod, ..)| *pod == new);
        one.is_some_and(|one| one.1 == ready && !one.3)
    };
    until_endpoints(&kubectl, "web", |found| {
        found.len() == 3 && of_new(found, false) && both.iter().all(|one| found.contains(one))
    });
    // Who wants all addresses gets those as ready that are not.
    until_endpoints(&kubectl, "everybody", |found| {
        found.len() == 3 && of_new(found, true)
    });
    let older = get(&kubectl, "endpoints web");
    let subset = &older["subsets"][0];
    assert_eq!(subset["addresses"].as_array().map(Vec::len), Some(2));
    assert_eq!(subset["notReadyAddresses"][0]["targetRef"]["name"], new);

    kubectl.run("rollout undo deployment/web").ok();
    kubectl.run("rollout status deployment/web").ok();
    until_endpoints(&kubectl, "web", |found| found == both);
}

#[test]
fn pods_that_leave_serve_until_they_have_ended() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("services-leaving");
    kubectl.run_with_input("apply -f -", WEB).ok();
    kubectl.run("rollout status deployment/web").ok();
    let old = names(&get(&kubectl, "pods"));
    until_endpoints(&kubectl, "web", |found| {
        found.iter().filter(|one| one.1).count() == 2
    });
    kubectl
        .run(&format!("delete pod {} --wait=false", old[0]))
        .ok();
    until_endpoints(&kubectl, "web", |found| {
        found.contains(&(old[0].clone(), false, true, true))
    });
    let left = until_endpoints(&kubectl, "web", |found| {
        found.len() == 2 && found.iter().all(|one| one.0 != old[0] && one.1)
    });
    let pods = get(&kubectl, "pods");
    assert!(items(&pods).iter().all(|pod| is(pod, "Ready")));
    let found = endpoints(&left);
    assert!(
        names(&pods)
            .iter()
            .all(|pod| found.iter().any(|one| one.0 == *pod))
    );
    // With no pods, there is nobody.
    kubectl.run("scale deployment/web --replicas=0").ok();
    until_endpoints(&kubectl, "web", <[_]>::is_empty);
}
