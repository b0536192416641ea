//! Simulated hosts at work on a server, as a client sees it.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{collections::HashSet, sync::Arc, time::Duration};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Node, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use mosaic_apiserver::Server;
use mosaic_auth::{User, groups};
use mosaic_lab::{Options, Progress, SimulatedHosts};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Cluster {
    client: Client,
    server: Server,
    shutdown: CancellationToken,
    directory: tempfile::TempDir,
    pods: Api<Pod>,
    nodes: Api<Node>,
    leases: Api<Lease>,
}

impl Cluster {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = mosaic_store::Sqlite::open(directory.path()).unwrap();
        let options = mosaic_apiserver::Options {
            data_dir: directory.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            names: Vec::new(),
            anonymous: false,
            service_range: "10.96.0.0/16".parse().unwrap(),
            toleration_seconds: mosaic_apiserver::TolerationSeconds::default(),
            registry: false,
            audit: None,
        };
        let server = Server::start(options, Arc::new(store)).await.unwrap();
        let user = User::new("test", [groups::MASTERS, groups::AUTHENTICATED]);
        let client = Client::new(server.local(user), "default");
        Self {
            pods: Api::default_namespaced(client.clone()),
            nodes: Api::all(client.clone()),
            leases: Api::namespaced(client.clone(), "kube-node-lease"),
            client,
            server,
            shutdown: CancellationToken::new(),
            directory,
        }
    }

    /// Hosts that are all ready.
    async fn hosts(&self, options: Options) -> watch::Receiver<Progress> {
        self.hosts_of(self.client.clone(), options).await
    }

    async fn hosts_of(&self, client: Client, options: Options) -> watch::Receiver<Progress> {
        let count = options.count;
        let hosts = SimulatedHosts::new(client, options).unwrap();
        let mut progress = hosts.progress();
        let running = tokio::spawn(hosts.run(self.shutdown.clone()));
        let ready = progress.wait_for(|progress| progress.ready == count).await;
        if ready.is_err() {
            panic!("{:?}", running.await.unwrap());
        }
        drop(ready);
        progress
    }

    /// A pod that is put on a host.
    async fn pod(&self, name: &str, host: &str, annotations: Value, spec: Value) {
        let mut pod = json!({
            "metadata": { "name": name, "annotations": annotations },
            "spec": { "containers": [{ "name": "c", "image": "i" }] },
        });
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        let pod = serde_json::from_value(pod).unwrap();
        self.pods
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "kind": "Node", "name": host } });
        let path = format!("/api/v1/namespaces/default/pods/{name}/binding");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(binding.to_string().into_bytes())
            .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    async fn status(&self, name: &str) -> Value {
        let pod = self.pods.get_opt(name).await.unwrap();
        serde_json::to_value(pod.and_then(|pod| pod.status)).unwrap()
    }

    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1500 {
            let status = self.status(name).await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{name}: {what}: it did not come to that: {:#}",
            self.status(name).await
        );
    }

    async fn is_running(&self, name: &str) -> Value {
        self.until(name, "it runs", |status| {
            let conditions = status["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            status["phase"] == "Running"
                && conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
        .await
    }

    async fn delete(&self, name: &str) {
        self.pods
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    async fn is_gone(&self, name: &str) {
        self.until(name, "it goes", Value::is_null).await;
    }

    async fn annotate(&self, host: &str, value: Value) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { "mosaic/sim": value } } }));
        self.nodes
            .patch(host, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn renewed(&self, host: &str) -> Value {
        let lease = self.leases.get(host).await.unwrap();
        serde_json::to_value(lease.spec.unwrap().renew_time).unwrap()
    }

    /// Waits until a host's lease was renewed so many times more.
    async fn renewals(&self, host: &str, count: u32) {
        for _ in 0..count {
            let before = self.renewed(host).await;
            while self.renewed(host).await == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until one host is silent while another one is not.
    async fn is_silent(&self, silent: &str, other: &str) {
        for _ in 0..50 {
            let before = self.renewed(silent).await;
            self.renewals(other, 3).await;
            if self.renewed(silent).await == before {
                return;
            }
        }
        panic!("{silent} is not silent");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.server.stop().await;
    }
}

fn quick(count: u32) -> Options {
    Options {
        count,
        start: Duration::from_millis(1),
        lease_interval: Duration::from_millis(100),
        back_off: Duration::from_secs(1),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_register_as_hosts_do() {
    let cluster = Cluster::start().await;
    let options = Options {
        zones: 2,
        ..quick(3)
    };
    cluster.hosts(options).await;
    let node = cluster.nodes.get("sim-2").await.unwrap();
    let node = serde_json::to_value(node).unwrap();
    let labels = &node["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "sim-2");
    assert_eq!(labels["topology.kubernetes.io/zone"], "zone-2");
    assert_eq!(node["status"]["allocatable"]["memory"], "128Gi");
    assert_eq!(node["status"]["allocatable"]["pods"], "110");
    let conditions = node["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    );
    let lease = cluster.leases.get("sim-2").await.unwrap();
    assert_eq!(
        lease.metadata.owner_references.as_ref().unwrap()[0].name,
        "sim-2"
    );
    cluster.renewals("sim-2", 2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_exit_restart_and_go() {
    let cluster = Cluster::start().await;
    let mut progress = cluster.hosts(quick(2)).await;
    for (name, host) in [("a", "sim-1"), ("b", "sim-1"), ("c", "sim-2")] {
        cluster.pod(name, host, json!({}), json!({})).await;
    }
    let script = json!({ "mosaic/sim-exit-after": "10ms:3" });
    cluster
        .pod(
            "fails",
            "sim-1",
            script.clone(),
            json!({ "restartPolicy": "Never" }),
        )
        .await;
    cluster.pod("crashes", "sim-2", script, json!({})).await;
    let mut addresses = HashSet::new();
    for name in ["a", "b", "c"] {
        let status = cluster.is_running(name).await;
        assert!(addresses.insert(status["podIP"].clone()), "{addresses:?}");
    }
    let failed = cluster
        .until("fails", "it fails", |status| status["phase"] == "Failed")
        .await;
    assert_eq!(
        failed["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        3
    );
    let waits = |status: &Value| {
        status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let crashed = cluster.until("crashes", "it waits", waits).await;
    assert_eq!(
        crashed["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        3
    );
    let restarts =
        |status: &Value| status["containerStatuses"][0]["restartCount"].as_i64() > Some(1);
    cluster.until("crashes", "it is restarted", restarts).await;
    for name in ["a", "fails", "crashes"] {
        cluster.delete(name).await;
        cluster.is_gone(name).await;
    }
    assert_eq!(cluster.status("b").await["phase"], "Running");
    progress
        .wait_for(|progress| progress.pods == 2)
        .await
        .unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_follow_their_script_and_bad_scripts_are_told() {
    let cluster = Cluster::start().await;
    cluster.hosts(quick(1)).await;
    let probe = json!({ "httpGet": { "port": 80 }, "periodSeconds": 1 });
    let containers =
        json!({ "containers": [{ "name": "c", "image": "i", "readinessProbe": probe }] });
    let script = json!({ "mosaic/sim-readiness": "after=1s", "mosaic/sim-exit-after": "soon" });
    cluster.pod("late", "sim-1", script, containers).await;
    let status = cluster
        .until("late", "it runs", |status| status["phase"] == "Running")
        .await;
    assert_eq!(status["containerStatuses"][0]["ready"], false);
    cluster.is_running("late").await;
    let events: Api<Event> = Api::default_namespaced(cluster.client.clone());
    for _ in 0..500 {
        let all = events.list(&ListParams::default()).await.unwrap();
        let mut messages = all
            .items
            .iter()
            .map(|event| event.message.clone().unwrap_or_default());
        if messages.any(|text| text.contains("mosaic/sim-exit-after: `soon` is no duration")) {
            return cluster.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_catches_up_when_it_is_back() {
    let cluster = Cluster::start().await;
    cluster.hosts(quick(2)).await;
    for name in ["stays", "goes", "is-taken-away"] {
        cluster.pod(name, "sim-1", json!({}), json!({})).await;
    }
    let before = cluster.is_running("stays").await;
    cluster.is_running("goes").await;
    cluster.is_running("is-taken-away").await;
    cluster.annotate("sim-1", json!("silent")).await;
    cluster.is_silent("sim-1", "sim-2").await;
    cluster.delete("goes").await;
    let force = DeleteParams::default().grace_period(0);
    cluster.pods.delete("is-taken-away", &force).await.unwrap();
    cluster.pod("comes", "sim-1", json!({}), json!({})).await;
    cluster.renewals("sim-2", 3).await;
    assert!(!cluster.status("goes").await.is_null(), "nobody lets it go");
    assert_eq!(cluster.status("comes").await["phase"], "Pending");
    cluster.annotate("sim-1", Value::Null).await;
    cluster.is_gone("goes").await;
    cluster.is_running("comes").await;
    assert_eq!(
        cluster.status("stays").await,
        before,
        "what runs was not touched"
    );
    cluster.renewals("sim-1", 2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_anew_finds_what_runs_and_a_reboot_does_not() {
    let cluster = Cluster::start().await;
    cluster.hosts(quick(2)).await;
    cluster.pod("a", "sim-1", json!({}), json!({})).await;
    let before = cluster.is_running("a").await;
    cluster.annotate("sim-1", json!("restart")).await;
    // What comes after the restart shows that it is over.
    cluster.renewals("sim-1", 3).await;
    cluster.pod("b", "sim-1", json!({}), json!({})).await;
    cluster.is_running("b").await;
    assert_eq!(cluster.status("a").await, before);
    cluster.annotate("sim-1", json!("down")).await;
    cluster.is_silent("sim-1", "sim-2").await;
    cluster.annotate("sim-1", Value::Null).await;
    let restarted = |status: &Value| status["containerStatuses"][0]["restartCount"] == 1;
    let status = cluster.until("a", "it starts over", restarted).await;
    let last = &status["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["reason"], "ContainerStatusUnknown");
    cluster.is_running("a").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_host_refuses_pods() {
    let cluster = Cluster::start().await;
    cluster
        .hosts(Options {
            pods: 2,
            ..quick(1)
        })
        .await;
    let greedy = json!({ "containers": [{ "name": "c", "image": "i", "resources": { "requests": { "cpu": "20" } } }] });
    cluster.pod("a", "sim-1", json!({}), greedy.clone()).await;
    cluster.is_running("a").await;
    cluster.pod("b", "sim-1", json!({}), greedy.clone()).await;
    let refused = cluster
        .until("b", "it is refused", |status| status["phase"] == "Failed")
        .await;
    assert_eq!(refused["reason"], "OutOfcpu");
    cluster.pod("c", "sim-1", json!({}), json!({})).await;
    cluster.is_running("c").await;
    cluster.pod("d", "sim-1", json!({}), json!({})).await;
    let refused = cluster
        .until("d", "it is refused", |status| status["phase"] == "Failed")
        .await;
    assert_eq!(refused["reason"], "OutOfpods");
    // Room that is given back can be had.
    cluster.delete("a").await;
    cluster.is_gone("a").await;
    cluster.pod("e", "sim-1", json!({}), greedy).await;
    cluster.is_running("e").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_be_killed_gives_its_room_back_once_its_object_is_gone() {
    let cluster = Cluster::start().await;
    let mut progress = cluster
        .hosts(Options {
            pods: 1,
            ..quick(1)
        })
        .await;
    let stubborn = json!({ "mosaic/sim-stop": "ignore-kill" });
    cluster.pod("a", "sim-1", stubborn, json!({})).await;
    cluster.is_running("a").await;
    let force = DeleteParams::default().grace_period(0);
    cluster.pods.delete("a", &force).await.unwrap();
    progress.wait_for(|all| all.pods == 0).await.unwrap();
    cluster.pod("b", "sim-1", json!({}), json!({})).await;
    cluster.is_running("b").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_may_act_as_themselves_and_be_removed() {
    let cluster = Cluster::start().await;
    let options = Options {
        as_nodes: true,
        remove_on_exit: true,
        ..quick(2)
    };
    let hosts = SimulatedHosts::new(cluster.client.clone(), options).unwrap();
    let mut progress = hosts.progress();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(hosts.run(shutdown.clone()));
    let ready = progress.wait_for(|progress| progress.ready == 2).await;
    assert!(ready.is_ok());
    drop(ready);
    cluster.pod("a", "sim-1", json!({}), json!({})).await;
    cluster.is_running("a").await;
    let managers = cluster.pods.get("a").await.unwrap();
    assert!(managers.uid().is_some());
    cluster.delete("a").await;
    cluster.is_gone("a").await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let left = cluster.nodes.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 0);
    assert!(cluster.leases.get_opt("sim-1").await.unwrap().is_none());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_register_anew_where_their_nodes_are_left() {
    let cluster = Cluster::start().await;
    let hosts = SimulatedHosts::new(cluster.client.clone(), quick(2)).unwrap();
    let mut progress = hosts.progress();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(hosts.run(shutdown.clone()));
    progress
        .wait_for(|progress| progress.ready == 2)
        .await
        .unwrap();
    cluster.pod("a", "sim-1", json!({}), json!({})).await;
    cluster.is_running("a").await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let uid = cluster.nodes.get("sim-1").await.unwrap().uid();
    cluster
        .hosts(Options {
            zones: 7,
            ..quick(2)
        })
        .await;
    let node = cluster.nodes.get("sim-2").await.unwrap();
    assert_eq!(node.labels()["topology.kubernetes.io/zone"], "zone-2");
    assert_eq!(cluster.nodes.get("sim-1").await.unwrap().uid(), uid);
    // Another process has nothing of what ran in the one before.
    let restarted = |status: &Value| status["containerStatuses"][0]["restartCount"] == 1;
    cluster.until("a", "it starts over", restarted).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_share_a_few_connections() {
    let cluster = Cluster::start().await;
    let kubeconfig =
        Kubeconfig::read_from(cluster.directory.path().join("admin.kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let client = mosaic_lab::client(config).await.unwrap();
    // More watches than one connection takes.
    let options = Options {
        lease_interval: Duration::from_secs(10),
        ..quick(300)
    };
    cluster.hosts_of(client, options).await;
    cluster.pod("a", "sim-300", json!({}), json!({})).await;
    cluster.is_running("a").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_faults_come_and_go() {
    let cluster = Cluster::start().await;
    let options = Options {
        zones: 2,
        faults: vec![
            "zone=zone-2@0s".parse().unwrap(),
            "silent=1@0s/1s".parse().unwrap(),
        ],
        ..quick(4)
    };
    let hosts = SimulatedHosts::new(cluster.client.clone(), options).unwrap();
    tokio::spawn(hosts.run(cluster.shutdown.clone()));
    for _ in 0..1000 {
        if cluster.leases.get_opt("sim-1").await.unwrap().is_some()
            && cluster.leases.get_opt("sim-3").await.unwrap().is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.renewals("sim-1", 2).await;
    cluster.renewals("sim-3", 2).await;
    for silent in ["sim-2", "sim-4"] {
        assert!(
            cluster.nodes.get_opt(silent).await.unwrap().is_none(),
            "{silent} was never heard of"
        );
    }
    cluster.stop().await;
}
