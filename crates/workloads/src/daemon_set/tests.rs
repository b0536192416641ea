use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use serde_json::{Value, json};

use super::*;
use crate::plan::{Action, Change, Object};

const NOW: &str = "2026-01-01T12:00:00Z";

struct World {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
    backoff: Backoff,
}

fn node(name: &str, more: Value) -> Arc<Node> {
    let mut node = json!({"metadata": {"name": name, "labels": {}}, "spec": {}});
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "labels" => node["metadata"]["labels"] = value.clone(),
            _ => node["spec"][key] = value.clone(),
        }
    }
    Arc::new(serde_json::from_value(node).unwrap())
}

impl World {
    fn new(nodes: &[Arc<Node>], more: Value) -> Self {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": "log"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {
                "metadata": {"labels": {"app": "log"}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            match key.as_str() {
                "pod" => {
                    for (key, value) in value.as_object().unwrap() {
                        spec["template"]["spec"][key] = value.clone();
                    }
                }
                _ => spec[key] = value.clone(),
            }
        }
        let set = json!({"metadata": {"name": "log", "namespace": "shop", "uid": "set", "generation": 1}, "spec": spec});
        let mut world = Self {
            set: serde_json::from_value(set).unwrap(),
            nodes: nodes.to_vec(),
            pods: Vec::new(),
            revisions: Vec::new(),
            backoff: Backoff::default(),
        };
        world.settle();
        world
    }

    /// So many plain hosts: n0, n1 and so on.
    fn of(nodes: usize, strategy: Value) -> Self {
        let nodes: Vec<_> = (0..nodes)
            .map(|i| node(&format!("n{i}"), json!({})))
            .collect();
        Self::new(&nodes, json!({"updateStrategy": strategy}))
    }

    fn plan(&self) -> Plan<DaemonSetStatus> {
        plan(&Snapshot {
            set: &self.set,
            pods: &self.pods,
            nodes: &self.nodes,
            revisions: &self.revisions,
            backoff: &self.backoff,
            now: NOW.parse().unwrap(),
        })
    }

    fn settle(&mut self) {
        let plan = self.plan();
        for action in plan.actions {
            match action {
                Action::Create {
                    object: Object::Revision(revision),
                    ..
                } => {
                    self.revisions.push(Arc::new(*revision));
                }
                Action::Patch {
                    target,
                    change: Change::Renumber(number),
                    ..
                } => {
                    let revision = self
                        .revisions
                        .iter_mut()
                        .find(|r| r.metadata.name.as_ref() == Some(&target.name));
                    Arc::make_mut(revision.unwrap()).revision = Some(number);
                }
                _ => {}
            }
        }
        self.set.status = plan.status.or(self.set.status.take());
    }

    fn set_image(&mut self, image: &str) {
        let spec = self.set.spec.template.spec.as_mut().unwrap();
        spec.containers[0].image = Some(image.into());
        self.settle();
    }

    /// A pod `name` on a host, of the revision with this number.
    fn add(&mut self, name: &str, host: &str, number: i64, more: Value) {
        let revision = self
            .revisions
            .iter()
            .find(|r| r.revision == Some(number))
            .unwrap();
        let hash = owner::label(&revision.metadata, REVISION_HASH).unwrap();
        let mut pod = json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": name, "labels": {"app": "log", REVISION_HASH: hash},
                "creationTimestamp": format!("2026-01-01T0{number}:00:00Z"),
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "set", "controller": true,
                }],
            },
            "spec": {"nodeName": host},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:30Z"},
            ]},
        });
        for (key, value) in more.as_object().unwrap() {
            match key.as_str() {
                "ready" => {
                    pod["status"]["conditions"][0]["status"] =
                        json!(if value == true { "True" } else { "False" })
                }
                "phase" => pod["status"] = json!({"phase": value}),
                _ => pod["metadata"][key] = value.clone(),
            }
        }
        self.pods
            .push(Arc::new(serde_json::from_value(pod).unwrap()));
    }

    fn created(&self) -> Vec<Value> {
        let plan = self.plan();
        let pods = plan.actions.iter().filter_map(|action| match action {
            Action::Create {
                object: Object::Pod(pod),
                ..
            } => serde_json::to_value(pod).ok(),
            _ => None,
        });
        pods.collect()
    }

    /// What the plan does to pods, in words.
    fn steps(&self) -> Vec<String> {
        let plan = self.plan();
        let step = |action: &Action| match action {
            Action::Create {
                object: Object::Pod(pod),
                ..
            } => {
                let pod: Pod = serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap();
                Some(format!("create on {}", pod.pinned.unwrap()))
            }
            Action::Delete { target, .. } => Some(format!("delete {}", target.name)),
            Action::Event(event) => Some(format!("tell {}", event.reason)),
            _ => None,
        };
        plan.actions.iter().filter_map(step).collect()
    }

    fn status(&self) -> Value {
        let status = self.plan().status.or(self.set.status.clone());
        serde_json::to_value(status.unwrap()).unwrap()
    }
}

#[test]
fn each_host_that_is_meant_gets_a_pod() {
    let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "effect": effect}]});
    let nodes = [
        node("plain", json!({})),
        node("labelled", json!({"labels": {"disk": "ssd"}})),
        node("tainted", taint("pool", "NoSchedule")),
        node("soft", taint("pool", "PreferNoSchedule")),
        node(
            "cordoned",
            json!({"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}),
        ),
        node(
            "silent",
            taint("node.kubernetes.io/unreachable", "NoExecute"),
        ),
        node(
            "no-network",
            taint("node.kubernetes.io/network-unavailable", "NoSchedule"),
        ),
    ];
    for (pod, hosts) in [
        (
            json!({}),
            vec!["cordoned", "labelled", "plain", "silent", "soft"],
        ),
        (
            json!({"hostNetwork": true}),
            vec![
                "cordoned",
                "labelled",
                "no-network",
                "plain",
                "silent",
                "soft",
            ],
        ),
        (json!({"nodeSelector": {"disk": "ssd"}}), vec!["labelled"]),
        (json!({"nodeName": "plain"}), vec!["plain"]),
        (
            json!({"tolerations": [{"key": "pool", "operator": "Exists"}]}),
            vec!["cordoned", "labelled", "plain", "silent", "soft", "tainted"],
        ),
    ] {
        let world = World::new(&nodes, json!({"pod": pod}));
        let hosts: Vec<_> = hosts
            .into_iter()
            .map(|host| format!("create on {host}"))
            .collect();
        assert_eq!(world.steps(), hosts, "{pod}");
    }
}

#[test]
fn a_pod_is_bound_to_its_host_by_affinity_and_tolerates_what_is_wrong_with_hosts() {
    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]);
    let affinity = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "Exists"}]},
        ]},
        "preferredDuringSchedulingIgnoredDuringExecution": preferred,
    }});
    let world = World::new(
        &[node("n", json!({"labels": {"disk": "ssd"}}))],
        json!({"pod": {"affinity": affinity}}),
    );
    let pod = &world.created()[0];
    assert_eq!(
        pod["spec"]["affinity"]["nodeAffinity"],
        json!({
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
            ]},
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        })
    );
    let tolerated: Vec<_> = pod["spec"]["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            format!(
                "{} {}",
                t["key"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("node.kubernetes.io/"),
                t["effect"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        tolerated,
        [
            "not-ready NoExecute",
            "unreachable NoExecute",
            "disk-pressure NoSchedule",
            "memory-pressure NoSchedule",
            "pid-pressure NoSchedule",
            "unschedulable NoSchedule",
        ]
    );
    assert_eq!(pod["metadata"]["generateName"], "log-");
    assert_eq!(
        pod["metadata"]["labels"][REVISION_HASH]
            .as_str()
            .unwrap()
            .len(),
        10
    );
}

#[test]
fn a_host_never_gets_two_pods_because_the_first_is_not_visible() {
    let mut world = World::of(2, json!({"type": "RollingUpdate"}));
    let names = |world: &World| -> Vec<String> {
        world
            .created()
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    // Another plan of the same state asks for the same pods.
    let first = names(&world);
    assert_eq!((first.len(), &first), (2, &names(&world)));
    world.add(&first[0], "n0", 1, json!({}));
    assert_eq!(names(&world), first[1..]);
}

#[test]
fn a_pod_that_was_let_go_keeps_its_name() {
    let mut world = World::of(1, json!({}));
    let before = world.created()[0]["metadata"]["name"].clone();
    let name = before.as_str().unwrap();
    let free = json!({"labels": {"app": "other"}, "ownerReferences": null});
    world.add(name, "n0", 1, free);
    let after = world.created();
    assert_eq!(after.len(), 1);
    assert_ne!(after[0]["metadata"]["name"], before);
}

#[test]
fn pods_on_hosts_that_are_not_meant_go() {
    let taint = |effect: &str| json!({"taints": [{"key": "pool", "effect": effect}]});
    let nodes = [
        node("plain", json!({})),
        node("other", json!({"labels": {"disk": "hdd"}})),
        node("no-schedule", taint("NoSchedule")),
        node("no-execute", taint("NoExecute")),
    ];
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "disk", "operator": "DoesNotExist"}]},
    ]}}});
    let mut world = World::new(&nodes, json!({"pod": {"affinity": affinity}}));
    for host in ["plain", "other", "no-schedule", "no-execute"] {
        world.add(&format!("on-{host}"), host, 1, json!({}));
    }
    // A taint that only keeps new pods away lets those stay that are there.
    assert_eq!(world.steps(), ["delete on-no-execute", "delete on-other"]);
    assert_eq!(
        world.status(),
        json!({
            "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 3, "numberReady": 1,
            "numberAvailable": 1, "updatedNumberScheduled": 1, "observedGeneration": 1,
        })
    );
}

#[test]
fn pods_for_hosts_that_do_not_exist_go_unless_they_are_bound() {
    let mut world = World::of(0, json!({"type": "RollingUpdate"}));
    world.add("bound", "lost", 1, json!({}));
    world.add("waiting", "lost", 1, json!({}));
    let waiting = Arc::make_mut(&mut world.pods[1]);
    waiting.pinned = waiting.node.take().as_deref().map(Into::into);
    assert_eq!(world.steps(), ["delete waiting"]);
}

#[test]
fn of_several_pods_on_a_host_the_oldest_stays() {
    let mut world = World::of(1, json!({"type": "OnDelete"}));
    world.add(
        "b-young",
        "n0",
        1,
        json!({"creationTimestamp": "2026-01-01T11:00:00Z"}),
    );
    world.add(
        "c-old",
        "n0",
        1,
        json!({"creationTimestamp": "2026-01-01T01:00:00Z"}),
    );
    world.add("a-leaving", "n0", 1, json!({"deletionTimestamp": NOW}));
    assert_eq!(world.steps(), ["delete b-young"]);
}

#[test]
fn a_failed_pod_is_replaced_and_its_replacement_later_and_later() {
    let now: Timestamp = NOW.parse().unwrap();
    let mut world = World::of(1, json!({"type": "RollingUpdate"}));
    world.add("bad", "n0", 1, json!({"phase": "Failed"}));
    assert_eq!(world.steps(), ["tell FailedDaemonPod", "delete bad"]);
    for (failures, wait) in [(1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (40, 900)] {
        world.backoff = Backoff::default();
        (0..failures).for_each(|_| world.backoff.note("n0", now));
        assert_eq!(world.steps(), Vec::<String>::new());
        assert_eq!(world.plan().again, Some(after(now, wait)), "{failures}");
    }
    assert_eq!(world.backoff.until("n1"), Timestamp::MIN);
    // After half an hour without a failure all is forgotten.
    world.backoff.note("n0", after(now, 1801));
    assert_eq!(world.backoff.until("n0"), after(now, 1802));
    // While one is on its way out, no other comes.
    world.pods.clear();
    world.add("leaving", "n0", 1, json!({"deletionTimestamp": NOW}));
    assert_eq!(world.steps(), Vec::<String>::new());
}

#[test]
fn an_update_keeps_enough_hosts_served() {
    for (most, steps) in [
        (json!(1), vec!["delete p0"]),
        (json!(3), vec!["delete p0", "delete p1", "delete p2"]),
        // Rounded up.
        (json!("30%"), vec!["delete p0", "delete p1"]),
        (json!(0), vec!["delete p0"]),
    ] {
        let mut world = World::of(
            4,
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}),
        );
        (0..4).for_each(|i| world.add(&format!("p{i}"), &format!("n{i}"), 1, json!({})));
        world.set_image("i:2");
        assert_eq!(world.steps(), steps, "{most}");
    }
    let mut world = World::of(
        5,
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}),
    );
    world.add("new", "n0", 1, json!({}));
    world.set_image("i:2");
    world.pods.clear();
    world.add("new", "n0", 2, json!({"ready": false}));
    world.add("old", "n1", 1, json!({}));
    world.add("broken", "n2", 1, json!({"ready": false}));
    world.add("other", "n3", 1, json!({}));
    world.add("leaving", "n4", 1, json!({"deletionTimestamp": NOW}));
    // Three are away already; the one that does not work anyway can go.
    assert_eq!(world.steps(), ["delete broken"]);
}

#[test]
fn an_update_with_surge_starts_the_new_pod_first() {
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let mut world = World::of(3, strategy);
    (0..3).for_each(|i| world.add(&format!("p{i}"), &format!("n{i}"), 1, json!({})));
    world.set_image("i:2");
    assert_eq!(world.steps(), ["create on n0"]);
    let name = world.created()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    world.add(&name, "n0", 2, json!({"ready": false}));
    assert_eq!(world.steps(), Vec::<String>::new());
    // The old one still counts.
    assert_eq!(world.status()["updatedNumberScheduled"], json!(null));
    world.pods.pop();
    world.add(&name, "n0", 2, json!({}));
    assert_eq!(
        world.steps(),
        ["delete p0", "create on n1"].map(str::to_owned).to_vec()
    );
    // Where the old pod does not work, there is nothing to wait for.
    let broken = Arc::make_mut(&mut world.pods[2]);
    broken.ready = false;
    assert_eq!(
        world.steps(),
        ["delete p0", "create on n1", "create on n2"]
            .map(str::to_owned)
            .to_vec()
    );
}

#[test]
fn on_delete_leaves_the_update_to_people() {
    let mut world = World::of(1, json!({"type": "OnDelete"}));
    world.add("p", "n0", 1, json!({}));
    world.set_image("i:2");
    assert_eq!(world.steps(), Vec::<String>::new());
    assert_eq!(world.status()["updatedNumberScheduled"], json!(null));
    world.pods.clear();
    assert_eq!(world.created()[0]["spec"]["containers"][0]["image"], "i:2");
}

#[test]
fn a_pod_is_available_after_some_time() {
    let mut world = World::of(1, json!({"type": "RollingUpdate"}));
    world.set.spec.min_ready_seconds = Some(60);
    world.add("p", "n0", 1, json!({}));
    let status = world.status();
    assert_eq!(
        (
            &status["numberReady"],
            &status["numberAvailable"],
            &status["numberUnavailable"]
        ),
        (&json!(1), &json!(null), &json!(1))
    );
    assert_eq!(
        world.plan().again.unwrap().to_string(),
        "2026-01-01T12:00:30Z"
    );
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let mut world = World::of(1, json!({"type": "RollingUpdate"}));
    world.add("p", "n0", 1, json!({}));
    world.settle();
    assert!(world.plan().is_done());
}
