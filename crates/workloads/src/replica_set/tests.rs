use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::*;
use crate::plan::{Change, Object};

const NOW: &str = "2026-01-01T12:00:00Z";

fn set(replicas: i32, more: Value) -> ReplicaSet {
    let mut set = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "set", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    });
    merge(&mut set, more);
    serde_json::from_value(set).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A pod that runs and is ready, and whatever differs from that.
fn pod(name: &str, more: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web", "tier": "front"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true,
            }],
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"},
        ]},
    });
    merge(&mut pod, more);
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn not_ready() -> Value {
    json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
}

struct World {
    set: ReplicaSet,
    pods: Vec<Arc<Pod>>,
    siblings: Vec<Arc<Pod>>,
    failure: Option<Failure>,
}

impl World {
    fn new(replicas: i32, pods: &[Arc<Pod>]) -> Self {
        Self {
            set: set(replicas, json!({})),
            pods: pods.to_vec(),
            siblings: Vec::new(),
            failure: None,
        }
    }

    fn plan(&self) -> Plan<ReplicaSetStatus> {
        plan(&Snapshot {
            set: &self.set,
            pods: &self.pods,
            siblings: &self.siblings,
            failure: self.failure.as_ref(),
            now: now(),
        })
    }

    fn created(&self) -> Vec<String> {
        let plan = self.plan();
        let names = plan.actions.iter().filter_map(|action| match action {
            Action::Create {
                object: Object::Pod(pod),
                ..
            } => pod.metadata.name.clone(),
            _ => None,
        });
        names.collect()
    }

    fn deleted(&self) -> Vec<String> {
        let plan = self.plan();
        let names = plan.actions.iter().filter_map(|action| match action {
            Action::Delete { target, .. } => Some(target.uid.clone()),
            _ => None,
        });
        names.collect()
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

#[test]
fn missing_pods_are_created_from_the_template() {
    let world = World::new(3, &[pod("a", json!({}))]);
    let plan = world.plan();
    assert_eq!(world.created().len(), 2);
    let Action::Create {
        object: Object::Pod(pod),
        event,
    } = &plan.actions[0]
    else {
        panic!()
    };
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("web-"));
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["tier"], "front");
    assert_eq!(
        pod.metadata.owner_references.as_ref().unwrap()[0].uid,
        "set"
    );
    let name = pod.metadata.name.as_deref().unwrap();
    assert_eq!(
        event.as_ref().unwrap().message,
        format!("Created pod: {name}")
    );
}

#[test]
fn pods_that_ended_or_are_asked_to_go_are_replaced() {
    let gone = json!({"metadata": {"deletionTimestamp": NOW}});
    let pods = [
        pod("failed", json!({"status": {"phase": "Failed"}})),
        pod("succeeded", json!({"status": {"phase": "Succeeded"}})),
        pod("leaving", gone),
        pod("well", json!({})),
    ];
    let world = World::new(3, &pods);
    assert_eq!((world.created().len(), world.deleted().len()), (2, 0));
}

#[test]
fn two_plans_of_one_state_ask_for_the_same_pods() {
    let world = World::new(400, &[]);
    let names = world.created();
    assert_eq!(names, world.created());
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), 400);
}

#[test]
fn one_plan_creates_no_more_than_a_burst_and_asks_to_be_made_again() {
    let world = World::new(5000, &[]);
    assert_eq!(world.created().len(), BURST);
    assert_eq!(world.plan().again, Some(now()));
}

#[test]
fn pods_go_in_the_documented_order() {
    let young = json!({"metadata": {"creationTimestamp": "2026-01-01T11:59:00Z"}});
    let recently_ready = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:00Z"},
    ]}});
    let restarted = json!({"status": {"containerStatuses": [{"name": "c", "restartCount": 5}]}});
    let cost = |cost: &str| json!({"metadata": {"annotations": {DELETION_COST: cost}}});
    let on = |node: &str| json!({"spec": {"nodeName": node}});
    use crate::pod::DELETION_COST;
    let order = [
        (
            "unbound",
            json!({"spec": {"nodeName": null}, "status": {"phase": "Pending", "conditions": []}}),
        ),
        (
            "pending",
            json!({"status": {"phase": "Pending", "conditions": []}}),
        ),
        ("unknown", json!({"status": {"phase": "Unknown"}})),
        ("not-ready", not_ready()),
        ("cheap", cost("-10")),
        ("crowded", on("crowded")),
        ("recently-ready", recently_ready),
        ("restarted", restarted),
        ("young", young),
        ("old", json!({})),
        ("dear", cost("10")),
    ];
    // In another order than the expected one, so that it is not found by chance.
    let mut pods: Vec<_> = order
        .iter()
        .map(|(name, more)| pod(name, more.clone()))
        .collect();
    pods.sort_by(|a, b| a.name().cmp(b.name()));
    let mut world = World::new(0, &pods);
    world.siblings = (0..20)
        .map(|i| pod(&format!("sibling-{i}"), on("crowded")))
        .collect();
    let expected: Vec<&str> = order.iter().map(|(name, _)| *name).collect();
    assert_eq!(world.deleted(), expected);
    world.set.spec.replicas = Some(9);
    assert_eq!(world.deleted(), ["unbound", "pending"]);
}

#[test]
fn orphans_count_once_they_are_taken_over_and_pods_let_go_do_not() {
    let orphan = json!({"metadata": {"ownerReferences": null}});
    let relabelled = json!({"metadata": {"labels": {"app": "other"}}});
    let world = World::new(1, &[pod("orphan", orphan), pod("relabelled", relabelled)]);
    let plan = world.plan();
    let changes: Vec<_> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Patch {
                target,
                change: Change::Adopt { .. },
                ..
            } => format!("adopt {}", target.name),
            Action::Patch {
                target,
                change: Change::Release { .. },
                ..
            } => format!("release {}", target.name),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(changes, ["adopt orphan", "release relabelled"]);
}

#[test]
fn a_pod_that_was_let_go_keeps_its_name() {
    let mut world = World::new(2, &[]);
    let before = world.created();
    let free = json!({"metadata": {"labels": {"app": "other"}, "ownerReferences": null}});
    world.pods.push(pod(&before[0], free));
    let after = world.created();
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&before[0]), "{after:?}");
}

#[test]
fn the_status_counts_what_pods_are_like() {
    let mut world = World::new(4, &[]);
    world.set.spec.min_ready_seconds = Some(60);
    let recently = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:30Z"},
    ]}});
    world.pods = vec![
        pod("available", json!({})),
        pod("ready", recently),
        pod("starting", not_ready()),
        pod("unlabelled", json!({})),
        pod("leaving", json!({"metadata": {"deletionTimestamp": NOW}})),
    ];
    world.pods[3] = {
        let mut pod = Pod::clone(&world.pods[0]);
        pod.metadata.name = Some("unlabelled".into());
        pod.metadata.uid = Some("unlabelled".into());
        pod.metadata.labels.as_mut().unwrap().remove("tier");
        Arc::new(pod)
    };
    let plan = world.plan();
    let status = serde_json::to_value(plan.status.as_ref().unwrap()).unwrap();
    assert_eq!(
        status,
        json!({
            "replicas": 4, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 2,
            "terminatingReplicas": 1, "observedGeneration": 3,
        })
    );
    // It looks again when the next pod becomes available.
    assert_eq!(plan.again.unwrap().to_string(), "2026-01-01T12:00:30Z");
    world.set.status = plan.status;
    assert!(world.plan().is_done());
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let mut world = World::new(1, &[]);
    world.failure = Some(Failure {
        creating: true,
        message: "exceeded quota".into(),
    });
    let status = world.plan().status.unwrap();
    let condition = &status.conditions.as_ref().unwrap()[0];
    assert_eq!(condition.type_.as_deref(), Some("ReplicaFailure"));
    assert_eq!(condition.reason.as_deref(), Some("FailedCreate"));
    assert_eq!(condition.message.as_deref(), Some("exceeded quota"));
    world.set.status = Some(status);
    world.failure = Some(Failure {
        creating: true,
        message: "exceeded quota again".into(),
    });
    assert_eq!(world.plan().status, None);
    world.failure = None;
    assert_eq!(world.plan().status.unwrap().conditions, None);
}

#[test]
fn a_set_on_its_way_out_creates_and_deletes_nothing() {
    let mut world = World::new(5, &[pod("a", json!({}))]);
    world.set = set(
        5,
        json!({"metadata": {"deletionTimestamp": NOW, "deletionGracePeriodSeconds": 0}}),
    );
    assert_eq!(world.plan().actions, []);
    world.set.spec.replicas = Some(0);
    assert_eq!(world.plan().actions, []);
}
