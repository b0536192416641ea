//! How long decisions take: `cargo run --release -p mosaic-scheduler --example decide`.
//!
//! Each line is a cluster with 30,000 placed pods, to which pods of one more workload are added.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::Instant;

use mosaic_scheduler::{
    Cluster, Decision, Pod, Profile, decide,
    model::{Namespace, Node},
    preempt,
    rebalance::{self, Goal, Options},
};
use serde_json::{Value, json};

const PLACED: usize = 30_000;
const DECISIONS: usize = 3_000;

fn main() {
    for hosts in [1_000, 5_000] {
        let start = Instant::now();
        let before = resident();
        let mut cluster = cluster(hosts);
        let took = start.elapsed();
        let pods = (resident() - before) * 1024 / PLACED as i64;
        println!(
            "{hosts} hosts, {PLACED} pods: made in {took:.1?}, {pods} bytes a pod with everything"
        );
        measure(&mut cluster, "plain", &plain);
        measure(&mut cluster, "plain, without a controller", &|pod| {
            plain(pod);
            pod["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("ownerReferences");
        });
        measure(&mut cluster, "packing", &|pod| {
            plain(pod);
            pod["metadata"]["annotations"] = json!({ "mosaic/profile": "packing" });
        });
        measure(
            &mut cluster,
            "spread over zones and hosts, self anti-affinity",
            &constrained,
        );
        measure(
            &mut cluster,
            "the same, each pod with labels of its own",
            &|pod| {
                constrained(pod);
                pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] =
                    pod["metadata"]["name"].clone();
            },
        );
        measure(&mut cluster, "a pool by taint and label", &pool);
        unschedulable(&mut cluster);
        for goal in [
            Goal::Constraints,
            Goal::Packing { max_requested: 0.5 },
            Goal::Spreading { max_deviation: 0.1 },
        ] {
            let start = Instant::now();
            let moves = rebalance::plan(&cluster, &Options::new(goal)).moves.len();
            println!(
                "  a plan for {goal:?}: {:.1?}, {moves} moves",
                start.elapsed()
            );
        }
        let start = Instant::now();
        drop(cluster.clone());
        println!(
            "  a copy of it all, made and dropped: {:.1?}",
            start.elapsed()
        );
    }
}

fn cluster(hosts: usize) -> Cluster {
    let mut cluster = Cluster::new();
    let namespace = json!({ "metadata": { "name": "default" } });
    cluster.upsert_namespace(Namespace::from_json(&bytes(&namespace)).unwrap());
    for index in 0..hosts {
        let name = format!("host-{index}");
        let mut node = json!({
            "metadata": { "name": name, "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": format!("zone-{}", index % 3),
            } },
            "status": { "allocatable": { "cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "500Gi" } },
        });
        if index % 10 == 0 {
            node["metadata"]["labels"]["pool"] = json!("memory");
            node["spec"]["taints"] =
                json!([{ "key": "pool", "value": "memory", "effect": "NoSchedule" }]);
        }
        cluster.upsert_node(Node::from_json(&bytes(&node)).unwrap());
    }
    let mut pods = 0;
    for workload in 0..PLACED / 100 {
        let shape: &dyn Fn(&mut Value) = match workload % 10 {
            0 => &constrained,
            1 => &pool,
            _ => &plain,
        };
        for _ in 0..100 {
            let pod = pod(&format!("app-{workload}"), pods, shape);
            let key = pod.key.clone();
            cluster.upsert_pod(pod.clone());
            if let Decision::Place(placement) = decide(&cluster, &pod, Profile::of(&pod)) {
                cluster.assume(&key, &placement.host).unwrap();
            }
            pods += 1;
        }
    }
    cluster
}

fn measure(cluster: &mut Cluster, what: &str, shape: &dyn Fn(&mut Value)) {
    let decisions = DECISIONS.min(cluster.nodes().count() * 9 / 10);
    let pods: Vec<Vec<u8>> = (0..decisions)
        .map(|index| bytes(&object("measured", index, shape)))
        .collect();
    let start = Instant::now();
    let pods: Vec<Pod> = pods
        .iter()
        .map(|bytes| Pod::from_json(bytes).unwrap())
        .collect();
    let read = start.elapsed() / decisions as u32;
    let keys: Vec<_> = pods.iter().map(|pod| pod.key.clone()).collect();
    for pod in pods {
        cluster.upsert_pod(pod);
    }
    let pods: Vec<Pod> = keys
        .iter()
        .map(|key| cluster.pod(key).unwrap().clone())
        .collect();
    // In batches, as other work on the machine must not count.
    let mut batches = Vec::new();
    for batch in pods.chunks(50) {
        let start = Instant::now();
        for pod in batch {
            match decide(cluster, pod, Profile::of(pod)) {
                Decision::Place(placement) => cluster.assume(&pod.key, &placement.host).unwrap(),
                other => panic!("{what}: {other:?}"),
            }
        }
        batches.push(start.elapsed() / batch.len() as u32);
    }
    batches.sort();
    println!(
        "  {what}: {:.1?} median, {:.1?} best of {} batches to decide and assume; {read:.1?} to read",
        batches[batches.len() / 2],
        batches[0],
        batches.len()
    );
    for key in keys {
        cluster.remove_pod(&key);
    }
}

fn unschedulable(cluster: &mut Cluster) {
    let pod = pod("huge", 0, &|pod| {
        plain(pod);
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("31");
        pod["spec"]["priority"] = json!(1000);
    });
    let start = Instant::now();
    let decision = decide(cluster, &pod, &Profile::SPREADING);
    println!(
        "  one that fits nowhere, explained: {:.1?}",
        start.elapsed()
    );
    assert!(matches!(decision, Decision::Unschedulable(_)));
    let key = pod.key.clone();
    cluster.upsert_pod(pod.clone());
    decide(cluster, &pod, &Profile::SPREADING);
    let start = Instant::now();
    decide(cluster, &pod, &Profile::SPREADING);
    println!("  another one of its kind: {:.1?}", start.elapsed());
    let start = Instant::now();
    let found = preempt(cluster, &pod);
    println!(
        "  room made for it: {:.1?}, {:?} victims",
        start.elapsed(),
        found.map(|p| p.victims.len())
    );
    cluster.remove_pod(&key);
}

fn plain(_: &mut Value) {}

fn pool(pod: &mut Value) {
    pod["spec"]["nodeSelector"] = json!({ "pool": "memory" });
    pod["spec"]["tolerations"] = json!([{ "key": "pool", "operator": "Exists" }]);
}

fn constrained(pod: &mut Value) {
    let app = pod["metadata"]["labels"]["app"].clone();
    let selector = json!({ "matchLabels": { "app": app } });
    pod["spec"]["topologySpreadConstraints"] = json!([
        { "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector },
        { "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector },
    ]);
    pod["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "kubernetes.io/hostname", "labelSelector": selector },
        ] } });
}

fn object(app: &str, index: usize, shape: &dyn Fn(&mut Value)) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": format!("{app}-{index}"), "namespace": "default", "uid": format!("{index:036}"),
            "labels": { "app": app, "pod-template-hash": "5d8f9c7b4" },
            "ownerReferences": [{ "kind": "ReplicaSet", "name": app, "uid": format!("{app}-uid"), "controller": true }],
        },
        "spec": {
            "containers": [{
                "name": "main", "image": "registry.example/web:1",
                "resources": { "requests": { "cpu": "250m", "memory": "512Mi" } },
            }],
        },
    });
    shape(&mut pod);
    pod
}

fn pod(app: &str, index: usize, shape: &dyn Fn(&mut Value)) -> Pod {
    Pod::from_json(&bytes(&object(app, index, shape))).unwrap()
}

fn bytes(object: &Value) -> Vec<u8> {
    serde_json::to_vec(object).unwrap()
}

/// KiB of memory that are in use.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}
