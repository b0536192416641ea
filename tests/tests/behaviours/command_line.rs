//! What `mos` does with workloads and hosts, in the place of kubectl.

use serde_json::Value;

use crate::objects::{hosts, is, items, name, pods};
use crate::{Cluster, get, mos_with, until};

fn web(namespace: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: "web:1"
        resources: {{requests: {{cpu: "1", memory: 1Gi}}}}
"#
    )
}

#[test]
fn rollouts_are_followed_undone_and_restarted_and_sizes_set() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("mos-rollout");
    let mos = |line: &str| mos_with(&cluster.server, &format!("{line} -n mos-rollout"));
    kubectl
        .run_with_input("apply -f -", &web("mos-rollout"))
        .ok();
    mos("rollout status deployment/web").ok();
    let image = |of: &Value| of["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let serves = |count: usize| {
        let web = get(&kubectl, "deployment web");
        assert_eq!(web["status"]["readyReplicas"], count);
        assert_eq!(web["status"]["updatedReplicas"], count);
        assert_eq!(
            web["status"]["observedGeneration"],
            web["metadata"]["generation"]
        );
        web
    };
    serves(3);
    kubectl.run("set image deployment/web web=web:2").ok();
    mos("rollout status deployment/web").ok();
    assert_eq!(image(&serves(3)), "web:2");
    mos("rollout history deployment/web").says("2");
    mos("rollout undo deployment/web").ok();
    mos("rollout status deployment/web").ok();
    assert_eq!(image(&serves(3)), "web:1");

    let before = get(&kubectl, "pods");
    mos("rollout restart deployment/web").ok();
    mos("rollout status deployment/web").ok();
    let old = |pod: &Value| items(&before).iter().any(|known| name(known) == name(pod));
    until(&kubectl, "pods", |pods| !items(pods).iter().any(old));

    mos("scale deployment/web --replicas 5 --wait").ok();
    serves(5);
    mos("scale deployment/web --current-replicas 3 --replicas 7").fails();
    mos("scale deployment/web --replicas 1 --wait").ok();
    serves(1);

    // A rollout that cannot end says so, and it is an error.
    let stuck = r#"{"spec":{"progressDeadlineSeconds":1,"template":{"metadata":{"annotations":{"mosaic/sim-image":"fail"}}}}}"#;
    kubectl
        .run(&format!("patch deployment web -p '{stuck}'"))
        .ok();
    mos("rollout status deployment/web").complains("progress");
}

#[test]
fn hosts_are_drained_and_pods_explained() {
    let cluster = Cluster::start(3, &["--cpu", "8", "--memory", "16Gi"]);
    let kubectl = cluster.namespace("mos-drain");
    let mos = |line: &str| mos_with(&cluster.server, &format!("{line} -n mos-drain"));
    kubectl.run_with_input("apply -f -", &web("mos-drain")).ok();
    mos("rollout status deployment/web").ok();
    let all = get(&kubectl, "pods");
    assert_eq!(hosts(&all), ["sim-1", "sim-2", "sim-3"]);
    let on = |host: &str| {
        let mut pods = items(&all).iter();
        let pod = pods.find(|pod| pod["spec"]["nodeName"] == host);
        name(pod.expect("one on each")).to_owned()
    };
    mos(&format!("why {}", on("sim-2"))).says("is on sim-2");
    mos("top pods").says(&on("sim-2")).says("1024Mi");
    mos("top nodes").says("sim-2").says("16384Mi");

    // A budget that allows none to go holds the drain up until it does.
    let budget = r#"
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: mos-drain}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
"#;
    kubectl.run_with_input("apply -f -", budget).ok();
    until(&kubectl, "pdb web", |pdb| {
        pdb["status"]["expectedPods"] == 3
    });
    mos("drain sim-2 --timeout 1s").complains("budget");
    assert_eq!(items(&get(&kubectl, "pods")).len(), 3);
    let patch = r#"{"spec":{"maxUnavailable":1}}"#;
    kubectl.run(&format!("patch pdb web -p '{patch}'")).ok();
    mos("drain sim-2").ok();
    let after = until(&kubectl, "pods", |pods| {
        items(pods).len() == 3 && items(pods).iter().all(|pod| is(pod, "Ready"))
    });
    assert!(!hosts(&after).contains(&"sim-2".to_owned()));
    kubectl.run("get node sim-2").says("SchedulingDisabled");
    mos("cordon sim-1 sim-3").ok();
    kubectl.run("scale deployment/web --replicas=4").ok();
    let four = pods(&kubectl, "app=web", 4);
    let waiting = items(&four)
        .iter()
        .find(|pod| pod["spec"]["nodeName"].is_null());
    let waiting = name(waiting.expect("a fourth")).to_owned();
    until(&kubectl, &format!("pod {waiting}"), |pod| {
        pod["status"]["conditions"][0]["reason"] == "Unschedulable"
    });
    mos(&format!("why {waiting}"))
        .says("waits for a host")
        .says("cordoned");
    mos("uncordon sim-2").ok();
    mos("rollout status deployment/web").ok();
    let fourth = get(&kubectl, &format!("pod {waiting}"));
    assert_eq!(fourth["spec"]["nodeName"], "sim-2");
}
