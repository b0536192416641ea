//! A DaemonSet has one pod on each host that it is meant for, whatever else is to stay away from it.

use crate::objects::{event, hosts, items, name, uid};
use crate::{Cluster, get, until};
use mosaic_tests::SimulatedHosts;

fn agent(spec: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      terminationGracePeriodSeconds: 1
      {spec}
      containers: [{{name: agent, image: "agent:1"}}]
"#
    )
}

#[test]
fn one_pod_on_each_host_also_on_new_and_cordoned_ones() {
    let cluster = Cluster::start(2, &[]);
    let kubectl = cluster.namespace("daemon-set");
    kubectl.run("cordon sim-2").ok();
    kubectl.run_with_input("apply -f -", &agent("")).ok();
    kubectl.run("rollout status daemonset/agent").ok();
    assert_eq!(hosts(&get(&kubectl, "pods")), ["sim-1", "sim-2"]);
    let set = get(&kubectl, "daemonset agent");
    assert_eq!(set["status"]["desiredNumberScheduled"], 2);
    assert_eq!(set["status"]["numberReady"], 2);

    let _more = SimulatedHosts::start(&cluster.server, 1, &["--first", "3"]);
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["numberReady"] == 3
    });
    assert_eq!(hosts(&get(&kubectl, "pods")), ["sim-1", "sim-2", "sim-3"]);

    // One that is deleted comes back, on its host.
    let pods = get(&kubectl, "pods");
    let gone = items(&pods)
        .iter()
        .find(|pod| pod["spec"]["nodeName"] == "sim-2");
    let gone = gone.expect("a pod on it");
    kubectl.run(&format!("delete pod {}", name(gone))).ok();
    until(&kubectl, "pods", |now| {
        hosts(now) == ["sim-1", "sim-2", "sim-3"]
            && items(now).iter().all(|pod| uid(pod) != uid(gone))
    });
}

#[test]
fn only_hosts_that_match_and_whose_taints_are_tolerated() {
    let cluster = Cluster::start(4, &[]);
    let kubectl = cluster.namespace("daemon-set-selects");
    kubectl.run("label node sim-1 sim-2 sim-3 disk=fast").ok();
    let selector = agent("nodeSelector: {disk: fast}");
    kubectl.run_with_input("apply -f -", &selector).ok();
    until(&kubectl, "pods", |pods| {
        hosts(pods) == ["sim-1", "sim-2", "sim-3"]
    });
    kubectl.run("rollout status daemonset/agent").ok();

    // A label that goes takes the pod with it, as does a taint that nobody tolerates; one that lets no new pods
    // come leaves those that are there.
    kubectl.run("label node sim-1 disk-").ok();
    until(&kubectl, "pods", |pods| hosts(pods) == ["sim-2", "sim-3"]);
    kubectl.run("taint node sim-2 pool=db:NoExecute").ok();
    kubectl.run("taint node sim-3 pool=db:NoSchedule").ok();
    until(&kubectl, "pods", |pods| hosts(pods) == ["sim-3"]);
    until(&kubectl, "daemonset agent", |set| {
        set["status"]["desiredNumberScheduled"] == 0 && set["status"]["numberMisscheduled"] == 1
    });
    let tolerates =
        agent("nodeSelector: {disk: fast}\n      tolerations: [{key: pool, operator: Exists}]");
    kubectl.run_with_input("apply -f -", &tolerates).ok();
    kubectl.run("rollout status daemonset/agent").ok();
    until(&kubectl, "pods", |pods| hosts(pods) == ["sim-2", "sim-3"]);

    // Affinity instead of the selector: every host but one.
    let affinity = agent(
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
         [{matchExpressions: [{key: kubernetes.io/hostname, operator: NotIn, values: [sim-4]}]}]}}}\n      \
         tolerations: [{operator: Exists}]",
    );
    kubectl.run_with_input("apply -f -", &affinity).ok();
    kubectl.run("rollout status daemonset/agent").ok();
    until(&kubectl, "pods", |pods| {
        hosts(pods) == ["sim-1", "sim-2", "sim-3"]
    });
    event(&kubectl, "agent", "SuccessfulDelete");
}
