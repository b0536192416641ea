//! `kill -9` in the middle of rollouts: of the server whose controllers are at work, of the other one, of both, of
//! hosts. After each the rollout comes to its end, with as many pods as asked for at every moment that one looks, each
//! bound once, and none left over.

use std::collections::BTreeMap;

use mosaic_tests::{Etcd, Http, Server, ServerOptions, SimulatedHosts, Store, wait_until};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

/// How often it kills; the long run is `MOSAIC_KILLS=100`.
fn kills(otherwise: usize) -> usize {
    std::env::var("MOSAIC_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

const REPLICAS: i64 = 20;
const SURGE: usize = 4;
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

fn template(app: &str, round: usize) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "c", "image": format!("{app}:{round}") }],
        },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": REPLICAS, "revisionHistoryLimit": 2,
            "strategy": { "rollingUpdate": { "maxSurge": SURGE, "maxUnavailable": 2 } },
            "selector": { "matchLabels": { "app": "web" } },
            "template": template("web", 0),
        },
    })
}

fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": {
            "replicas": 3, "serviceName": "db",
            "selector": { "matchLabels": { "app": "db" } },
            "template": template("db", 0),
        },
    })
}

/// A job whose pods end after a moment.
fn job(round: usize) -> Value {
    let mut template = template("job", round);
    template["metadata"]["annotations"] = json!({ "mosaic/sim-exit-after": "100ms:0" });
    template["spec"]["restartPolicy"] = "OnFailure".into();
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": format!("job-{round}") },
        "spec": { "completions": 5, "parallelism": 2, "template": template },
    })
}

/// What was seen of pods so far.
#[derive(Default)]
struct Seen {
    hosts: BTreeMap<String, String>,
}

impl Seen {
    /// Looks at all pods: there are no more than there may be, and none has moved.
    fn look(&mut self, http: &Http) {
        let Ok(answer) = http.try_get(PODS) else {
            return;
        };
        if answer.status != 200 {
            return;
        }
        let list = answer.json();
        let pods = list["items"].as_array().expect("items");
        let mut web = 0;
        let mut now = BTreeMap::new();
        for pod in pods {
            let uid = pod["metadata"]["uid"].as_str().expect("a UID").to_owned();
            if let Some(host) = pod["spec"]["nodeName"].as_str() {
                let before = self.hosts.get(&uid);
                let name = &pod["metadata"]["name"];
                assert!(
                    before.is_none_or(|b| b == host),
                    "{name}: {before:?}, {host}"
                );
                now.insert(uid, host.to_owned());
            }
            let stays = pod["metadata"]["deletionTimestamp"].is_null();
            web += usize::from(stays && pod["metadata"]["labels"]["app"] == "web");
        }
        self.hosts = now;
        let most = usize::try_from(REPLICAS).expect("a few") + SURGE;
        assert!(
            web <= most,
            "{web} pods where {most} may be at most:\n{}",
            state(http, pods)
        );
    }
}

/// The pods and their sets, for a report.
fn state(http: &Http, pods: &[Value]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for pod in pods {
        let metadata = &pod["metadata"];
        let text = json!([
            metadata["name"],
            metadata["ownerReferences"][0]["name"],
            metadata["creationTimestamp"],
            metadata["deletionTimestamp"],
            metadata["resourceVersion"],
            pod["status"]["phase"],
        ]);
        lines.push(text.to_string());
    }
    let sets = http
        .get("/apis/apps/v1/namespaces/default/replicasets")
        .ok();
    for set in sets["items"].as_array().into_iter().flatten() {
        let metadata = &set["metadata"];
        let text = json!([
            metadata["name"],
            metadata["generation"],
            metadata["resourceVersion"],
            set["spec"]["replicas"],
            set["status"],
        ]);
        lines.push(text.to_string());
    }
    lines.sort();
    lines.join("\n")
}

fn is_rolled_out(http: &Http, path: &str, replicas: i64) -> bool {
    let Ok(answer) = http.try_get(path) else {
        return false;
    };
    if answer.status != 200 {
        return false;
    }
    let object = answer.json();
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "readyReplicas"]
            .iter()
            .all(|field| status[*field].as_i64() == Some(replicas))
}

/// The pods are those of the last templates, and nothing else is left.
fn nothing_is_left_over(http: &Http, round: usize) -> bool {
    let list = http.get(PODS).ok();
    let pods = list["items"].as_array().expect("items");
    let of = |app: &str| -> Vec<&Value> {
        let labelled = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"]["app"] == *app);
        labelled.collect()
    };
    let is_of_round =
        |pod: &&Value, app: &str| pod["spec"]["containers"][0]["image"] == format!("{app}:{round}");
    let (web, db) = (of("web"), of("db"));
    web.len() == 20
        && db.len() == 3
        && web.iter().all(|pod| is_of_round(pod, "web"))
        && db.iter().all(|pod| is_of_round(pod, "db"))
}

/// What there is to kill.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Server(usize),
    BothServers,
    Hosts,
}

#[test]
fn rollouts_come_to_their_end_whatever_is_killed() {
    let etcd = Etcd::start(1);
    let on_etcd = || {
        Server::start_with(ServerOptions {
            store: Store::Etcd(etcd.addresses()),
            ..ServerOptions::default()
        })
    };
    let servers = [on_etcd(), on_etcd()];
    let start_hosts = || SimulatedHosts::start(&servers[0], 6, &["--first", "101"]);
    let _steady = SimulatedHosts::start(&servers[1], 6, &["--first", "1"]);
    let mut hosts = start_hosts();
    let http = servers[1].http();
    http.post(DEPLOYMENTS, &deployment()).ok();
    http.post(STATEFUL_SETS, &stateful_set()).ok();
    let (web, db) = (format!("{DEPLOYMENTS}/web"), format!("{STATEFUL_SETS}/db"));
    let mut seen = Seen::default();
    wait_until("the first rollout", || {
        is_rolled_out(&http, &web, REPLICAS) && is_rolled_out(&http, &db, 3)
    });
    for round in 1..=kills(4) {
        for (path, app) in [(&web, "web"), (&db, "db")] {
            let patch = json!({ "spec": { "template": template(app, round) } });
            http.patch(mosaic_tests::PatchKind::Merge, path, &patch)
                .ok();
        }
        http.post(JOBS, &job(round)).ok();
        let victims = [
            Victim::Server(0),
            Victim::Server(1),
            Victim::BothServers,
            Victim::Hosts,
        ];
        let victim = *victims.choose(&mut rand::rng()).expect("one of four");
        // At a random moment of the rollout.
        for _ in 0..rand::rng().random_range(0..40) {
            seen.look(&http);
        }
        match victim {
            Victim::Server(at) => servers[at].kill(),
            Victim::BothServers => servers.iter().for_each(Server::kill),
            Victim::Hosts => hosts.kill(),
        }
        for _ in 0..rand::rng().random_range(0..40) {
            seen.look(&http);
        }
        match victim {
            Victim::Server(at) => servers[at].start_again(),
            Victim::BothServers => servers.iter().for_each(Server::start_again),
            Victim::Hosts => hosts = start_hosts(),
        }
        let what = format!("the rollout of round {round}, after {victim:?}");
        wait_until(&what, || {
            seen.look(&http);
            is_rolled_out(&http, &web, REPLICAS) && is_rolled_out(&http, &db, 3)
        });
        let path = format!("{JOBS}/job-{round}");
        wait_until("the job", || {
            seen.look(&http);
            let job = http.get(&path).ok();
            job["status"]["completionTime"].is_string()
        });
        let job = http.get(&path).ok();
        assert_eq!(job["status"]["succeeded"], 5, "{job}");
        http.delete(&format!("{path}?propagationPolicy=Background"))
            .ok();
        wait_until("old pods to be gone", || nothing_is_left_over(&http, round));
        eprintln!("round {round}: {victim:?}");
    }
}

/// The group's name of the lease, and its holder.
fn holder(http: &Http, group: &str) -> String {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{group}");
    let lease = http.get(&path).ok();
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn another_server_takes_over_what_a_dead_one_led() {
    let etcd = Etcd::start(1);
    let start = || {
        Server::start_with(ServerOptions {
            store: Store::Etcd(etcd.addresses()),
            ..ServerOptions::default()
        })
    };
    let first = start();
    let groups = ["mosaic-controllers", "mosaic-scheduler"];
    let leaders: Vec<String> = groups
        .iter()
        .map(|group| {
            wait_until("a leader", || !holder(&first.http(), group).is_empty());
            holder(&first.http(), group)
        })
        .collect();
    let second = start();
    let _hosts = SimulatedHosts::start(&second, 3, &[]);
    let http = second.http();
    first.kill();
    let killed = std::time::Instant::now();
    // What is asked for while nobody leads is done, and once.
    http.post(DEPLOYMENTS, &deployment()).ok();
    wait_until("another leader", || {
        groups
            .iter()
            .zip(&leaders)
            .all(|(group, old)| holder(&http, group) != *old)
    });
    eprintln!("others lead after {:?}", killed.elapsed());
    wait_until("the pods", || {
        is_rolled_out(&http, &format!("{DEPLOYMENTS}/web"), REPLICAS)
    });
    eprintln!("the pods run after {:?}", killed.elapsed());
    let pods = http.get(PODS).ok();
    assert_eq!(pods["items"].as_array().map(Vec::len), Some(20));
}
