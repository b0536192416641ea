use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    nodes::{
        has_to_be_marked,
        hearing::{Eviction, Standing},
        plan::{Plan, plan},
    },
    views::{NodeView, PodView, TaintView},
};

const HEARD: Standing = Standing::Heard;
const UNCLEAR: Standing = Standing::Unclear;
const SILENT: Standing = Standing::Silent(Eviction::Go);
const PROTECTED: Standing = Standing::Silent(Eviction::Wait);
const ALL_SILENT: Standing = Standing::Silent(Eviction::Stop);
const NOT_READY: Standing = Standing::NotReady(Eviction::Go);

/// A host with these conditions and taints, each as `key=value` or `key:effect` without the long part of its name.
fn node(conditions: &str, taints: &str) -> NodeView {
    let conditions: Vec<Value> = conditions
        .split_whitespace()
        .map(|text| text.split_once('=').unwrap())
        .map(|(type_, status)| json!({ "type": type_, "status": status }))
        .collect();
    let taints: Vec<Value> = taints
        .split_whitespace()
        .map(|text| text.split_once(':').unwrap())
        .map(
            |(key, effect)| json!({ "key": format!("node.kubernetes.io/{key}"), "effect": effect }),
        )
        .collect();
    let node = json!({ "metadata": { "name": "n" }, "spec": { "taints": taints }, "status": { "conditions": conditions } });
    serde_json::from_value(node).unwrap()
}

fn now() -> Timestamp {
    "2020-01-01T00:00:00.5Z".parse().unwrap()
}

fn text(taints: &[TaintView]) -> String {
    let short = |taint: &TaintView| {
        let key = taint.key.strip_prefix("node.kubernetes.io/").unwrap();
        format!("{key}:{}", taint.effect)
    };
    taints.iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn hosts_get_the_taints_of_what_holds_for_them() {
    let well = "Ready=True MemoryPressure=False DiskPressure=False PIDPressure=False";
    let both = "unreachable:NoSchedule unreachable:NoExecute";
    for (conditions, before, standing, expected) in [
        (well, "", HEARD, ""),
        (well, "", SILENT, both),
        (well, "", PROTECTED, "unreachable:NoSchedule"),
        (well, both, PROTECTED, both),
        (well, both, ALL_SILENT, "unreachable:NoSchedule"),
        (well, both, HEARD, ""),
        (
            "Ready=False",
            "",
            NOT_READY,
            "not-ready:NoSchedule not-ready:NoExecute",
        ),
        (
            "Ready=False",
            "",
            Standing::NotReady(Eviction::Wait),
            "not-ready:NoSchedule",
        ),
        // The reason changes, and with it the taint, in one write.
        (
            "Ready=False",
            both,
            NOT_READY,
            "not-ready:NoSchedule not-ready:NoExecute",
        ),
        (
            "Ready=False",
            "not-ready:NoSchedule not-ready:NoExecute",
            PROTECTED,
            both,
        ),
        // Another process held it to be silent; until this one knows, all stays.
        ("Ready=Unknown", both, UNCLEAR, both),
        (
            "Ready=Unknown",
            "unreachable:NoSchedule",
            UNCLEAR,
            "unreachable:NoSchedule",
        ),
        // It renews its lease but has not yet said how it is: no new pods, and the old ones stay.
        ("Ready=Unknown", both, HEARD, "unreachable:NoSchedule"),
        // A host that registers itself says first of all that it is not ready.
        ("", "not-ready:NoSchedule", HEARD, "not-ready:NoSchedule"),
        ("", "", HEARD, ""),
        ("Ready=True", "not-ready:NoSchedule", HEARD, ""),
        (
            "Ready=True MemoryPressure=True",
            "",
            HEARD,
            "memory-pressure:NoSchedule",
        ),
        (
            "Ready=True DiskPressure=True PIDPressure=True",
            "",
            HEARD,
            "disk-pressure:NoSchedule pid-pressure:NoSchedule",
        ),
        (
            "Ready=True NetworkUnavailable=True",
            "",
            HEARD,
            "network-unavailable:NoSchedule",
        ),
        (
            "Ready=True MemoryPressure=Unknown",
            "memory-pressure:NoSchedule",
            HEARD,
            "",
        ),
        (
            "Ready=True MemoryPressure=True NetworkUnavailable=True",
            "",
            PROTECTED,
            "unreachable:NoSchedule network-unavailable:NoSchedule",
        ),
        // What others put there is theirs.
        (
            "Ready=True",
            "out-of-service:NoExecute unreachable:PreferNoSchedule",
            HEARD,
            "out-of-service:NoExecute unreachable:PreferNoSchedule",
        ),
    ] {
        let node = node(conditions, before);
        let plan = plan(&node, standing, now());
        let after = plan.taints.as_deref().unwrap_or(&node.spec.taints);
        assert_eq!(
            text(after),
            expected,
            "{conditions}, {before}, {standing:?}"
        );
        assert_eq!(
            plan.taints.is_some(),
            before != expected,
            "written only if it differs"
        );
    }
}

#[test]
fn a_cordoned_host_gets_a_taint_and_new_taints_their_time() {
    let mut cordoned = node("Ready=True", "");
    cordoned.spec.unschedulable = Some(true);
    let taints = plan(&cordoned, HEARD, now()).taints.unwrap();
    assert_eq!(
        serde_json::to_value(&taints).unwrap(),
        json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2020-01-01T00:00:00Z" }])
    );
    cordoned.spec.taints = taints;
    cordoned.spec.unschedulable = Some(false);
    assert_eq!(plan(&cordoned, HEARD, now()).taints.unwrap(), []);
}

#[test]
fn what_a_silent_host_said_of_itself_is_unknown() {
    let conditions = |node: &NodeView, standing| {
        let conditions = plan(node, standing, now()).conditions;
        serde_json::to_value(conditions).unwrap()
    };
    let reasons = |value: &Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|one| {
            format!("{}={} {}", one["type"], one["status"], one["reason"]).replace('"', "")
        })
        .collect()
    };
    let known = node(
        "Ready=True MemoryPressure=False NetworkUnavailable=False PIDPressure=Unknown",
        "",
    );
    assert_eq!(
        reasons(&conditions(&known, PROTECTED)),
        [
            "Ready=Unknown NodeStatusUnknown",
            "MemoryPressure=Unknown NodeStatusUnknown",
            "DiskPressure=Unknown NodeStatusNeverUpdated",
        ]
    );
    assert_eq!(conditions(&known, HEARD), json!([]));
    assert_eq!(conditions(&known, UNCLEAR), json!([]));
    assert_eq!(conditions(&known, NOT_READY), json!([]));
}

#[test]
fn pods_are_marked_that_nobody_can_vouch_for_and_that_stay() {
    let pod = |seconds: Value, ready: &str| -> PodView {
        let toleration = json!({ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": seconds });
        let pod = json!({ "spec": { "nodeName": "n", "tolerations": [toleration] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] } });
        serde_json::from_value(pod).unwrap()
    };
    let lost = node(
        "Ready=Unknown",
        "unreachable:NoSchedule unreachable:NoExecute",
    );
    let (stays, leaves) = (pod(json!(300), "True"), pod(json!(0), "True"));
    assert!(has_to_be_marked(&stays, &lost, SILENT));
    assert!(!has_to_be_marked(&leaves, &lost, SILENT));
    assert!(
        has_to_be_marked(&leaves, &lost, PROTECTED),
        "it does not leave"
    );
    assert!(!has_to_be_marked(&pod(json!(300), "False"), &lost, SILENT));
    assert!(!has_to_be_marked(&stays, &lost, HEARD));
    assert!(!has_to_be_marked(&stays, &lost, UNCLEAR));
    let mut going = stays.clone();
    going.metadata.deletion_timestamp =
        serde_json::from_value(json!("2020-01-01T00:00:00Z")).unwrap();
    assert!(!has_to_be_marked(&going, &lost, SILENT));
    let mut ended = stays;
    ended.phase = mosaic_workloads::Phase::Succeeded;
    assert!(!has_to_be_marked(&ended, &lost, SILENT));
}

/// The host after the plan was carried out.
fn carried_out(node: &NodeView, plan: Plan) -> NodeView {
    let mut node = node.clone();
    if let Some(taints) = plan.taints {
        node.spec.taints = taints;
    }
    for condition in plan.conditions {
        let conditions = &mut node.status.conditions;
        conditions.retain(|one| &*one.type_ != condition.type_);
        let one = json!({ "type": condition.type_, "status": condition.status });
        conditions.push(serde_json::from_value(one).unwrap());
    }
    node
}

fn any_node() -> impl Strategy<Value = NodeView> {
    let conditions = [
        "Ready",
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "NetworkUnavailable",
        "Other",
    ]
    .map(|type_| {
        prop::option::of(prop::sample::select(vec!["True", "False", "Unknown", "?"])).prop_map(
            move |status| status.map_or(String::new(), |status| format!("{type_}={status} ")),
        )
    });
    let keys = [
        "not-ready",
        "unreachable",
        "memory-pressure",
        "unschedulable",
        "out-of-service",
        "mine",
    ];
    let taint = (
        prop::sample::select(keys.to_vec()),
        prop::sample::select(vec!["NoSchedule", "NoExecute", "PreferNoSchedule"]),
    );
    let taints = prop::collection::btree_set(taint, 0..5);
    (conditions, taints, any::<Option<bool>>()).prop_map(|(conditions, taints, unschedulable)| {
        let taints: Vec<String> = taints
            .iter()
            .map(|(key, effect)| format!("{key}:{effect}"))
            .collect();
        let mut node = node(&conditions.concat(), &taints.join(" "));
        node.spec.unschedulable = unschedulable;
        node
    })
}

fn standing() -> impl Strategy<Value = Standing> {
    prop::sample::select(vec![
        HEARD, UNCLEAR, SILENT, PROTECTED, ALL_SILENT, NOT_READY,
    ])
}

proptest! {
    /// What was carried out is not planned again.
    #[test]
    fn a_plan_leaves_nothing_to_plan(node in any_node(), standing in standing()) {
        let done = carried_out(&node, plan(&node, standing, now()));
        prop_assert_eq!(plan(&done, standing, now()), Plan::default());
    }

    /// Whatever happened to it: once a host is heard and says that it is well, nothing of that is left, and all that
    /// others put there is as it was.
    #[test]
    fn all_is_undone_when_a_host_is_back(node in any_node(), standings in prop::collection::vec(standing(), 0..6)) {
        let others = |node: &NodeView| -> Vec<TaintView> {
            let ours = ["not-ready", "unreachable", "memory-pressure", "unschedulable"];
            let is_ours = |taint: &&TaintView| ours.iter().any(|key| taint.key.ends_with(key))
                && &*taint.effect != "PreferNoSchedule"
                && !(&*taint.effect == "NoExecute" && (taint.key.ends_with("pressure") || taint.key.ends_with("unschedulable")));
            node.spec.taints.iter().filter(|taint| !is_ours(taint)).cloned().collect()
        };
        let mut after = node.clone();
        for standing in standings {
            after = carried_out(&after, plan(&after, standing, now()));
        }
        after.status.conditions = vec![serde_json::from_value(json!({ "type": "Ready", "status": "True" })).unwrap()];
        after.spec.unschedulable = None;
        after = carried_out(&after, plan(&after, HEARD, now()));
        prop_assert_eq!(&after.spec.taints, &others(&node));
    }
}
