//! What a user notices of preemption, groups and reports, one behaviour a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{budget, cluster, host, host_for, key, node, placed, plain, pod, why_not};
use mosaic_scheduler::{
    Cluster, GroupDecision, Part, Pod, Profile, decide_group, explain_placement, preempt,
};
use serde_json::json;

#[test]
fn room_that_is_made_for_others_is_left_to_them() {
    let mut cluster = cluster(&[host("h", "a", "4", "8Gi")]);
    let important = |name: &str, priority: i64| {
        let mut object = plain(name, "3", "1Gi");
        object["spec"]["priority"] = json!(priority);
        object
    };
    let mut nominated = important("nominated", 10);
    nominated["status"] = json!({ "nominatedNodeName": "h" });
    cluster.upsert_pod(pod(&nominated));
    assert_eq!(host_for(&cluster, &nominated), "h");
    assert_eq!(
        why_not(&cluster, &important("equal", 10)).kubernetes(),
        "0/1 nodes are available: 1 Insufficient cpu."
    );
    assert_eq!(host_for(&cluster, &important("higher", 11)), "h");
    cluster.remove_pod(&key("nominated"));
    assert_eq!(host_for(&cluster, &important("equal", 10)), "h");
}

#[test]
fn as_little_as_possible_is_evicted() {
    let mut cluster = cluster(&[
        host("h1", "a", "4", "8Gi"),
        host("h2", "a", "4", "8Gi"),
        host("h3", "a", "4", "8Gi"),
    ]);
    let with = |name: &str, cpu: &str, priority: i64, app: &str| {
        let mut object = plain(name, cpu, "128Mi");
        object["spec"]["priority"] = json!(priority);
        object["metadata"]["labels"]["app"] = json!(app);
        object
    };
    placed(&mut cluster, with("protected", "4", 1, "protected"), "h1");
    placed(&mut cluster, with("small", "1", 1, "a"), "h2");
    placed(&mut cluster, with("large", "3", 2, "a"), "h2");
    placed(&mut cluster, with("dear", "4", 5, "a"), "h3");
    cluster.upsert_budget(budget(&json!({
        "metadata": { "name": "b", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "protected" } } },
        "status": { "disruptionsAllowed": 0 },
    })));
    let victims = |cluster: &Cluster, cpu: &str| {
        let preemption = preempt(cluster, &pod(&with("new", cpu, 9, "new"))).unwrap();
        let names: Vec<String> = preemption
            .victims
            .iter()
            .map(|pod| pod.name().to_owned())
            .collect();
        (preemption.host.to_string(), names, preemption.violations)
    };
    assert_eq!(
        victims(&cluster, "1"),
        ("h2".to_owned(), vec!["small".to_owned()], 0)
    );
    assert_eq!(
        victims(&cluster, "2"),
        ("h2".to_owned(), vec!["large".to_owned()], 0)
    );
    // Without a budget in the way, the least important one is the one to go.
    cluster.remove_budget("default", "b");
    assert_eq!(
        victims(&cluster, "4"),
        ("h1".to_owned(), vec!["protected".to_owned()], 0)
    );
    let mut patient = with("new", "1", 9, "new");
    patient["spec"]["preemptionPolicy"] = json!("Never");
    assert_eq!(preempt(&cluster, &pod(&patient)), None);
    assert_eq!(preempt(&cluster, &pod(&with("new", "1", 1, "new"))), None);
    assert_eq!(
        preempt(&cluster, &pod(&with("new", "5", 9, "new"))),
        None,
        "no host is that large"
    );
    // While somebody makes room already, nobody else has to go.
    let mut leaving = with("small", "1", 1, "a");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    placed(&mut cluster, leaving, "h2");
    let mut waiting = with("new", "1", 9, "new");
    waiting["status"] = json!({ "nominatedNodeName": "h2" });
    assert_eq!(preempt(&cluster, &pod(&waiting)), None);
}

#[test]
fn of_equally_important_ones_the_youngest_is_evicted() {
    let mut cluster = cluster(&[host("h1", "a", "2", "8Gi"), host("h2", "a", "2", "8Gi")]);
    for (name, host, start) in [
        ("old", "h1", "2026-01-01T00:00:00Z"),
        ("young", "h2", "2026-01-02T00:00:00Z"),
    ] {
        let mut object = plain(name, "2", "128Mi");
        object["status"] = json!({ "startTime": start });
        placed(&mut cluster, object, host);
    }
    let mut object = plain("new", "1", "128Mi");
    object["spec"]["priority"] = json!(1);
    assert_eq!(
        preempt(&cluster, &pod(&object)).unwrap().victims,
        [key("young")]
    );
}

#[test]
fn a_group_that_does_not_fit_is_not_placed_in_parts() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "a", "4", "8Gi")]);
    let members = |cpus: &[&str]| -> Vec<Pod> {
        let count = cpus.len().to_string();
        cpus.iter()
            .enumerate()
            .map(|(index, cpu)| {
                let mut object = plain(&format!("g{index}"), cpu, "128Mi");
                object["metadata"]["annotations"] =
                    json!({ "mosaic/pod-group": "train", "mosaic/pod-group-size": count });
                pod(&object)
            })
            .collect()
    };
    // Spread first, the two small ones would leave no room for the large one.
    let placed = decide_group(
        &mut cluster,
        &members(&["2", "2", "4"]),
        &Profile::SPREADING,
    );
    assert!(
        matches!(&placed, GroupDecision::Place(hosts) if hosts.len() == 3),
        "{placed:?}"
    );
    let refused = decide_group(
        &mut cluster,
        &members(&["3", "3", "3"]),
        &Profile::SPREADING,
    );
    let GroupDecision::Unschedulable {
        placed,
        pod,
        explanation,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((placed, pod), (2, key("g2")));
    assert_eq!(
        explanation.kubernetes(),
        "0/2 nodes are available: 2 Insufficient cpu."
    );
    assert_eq!(cluster.pods().count(), 0);
}

#[test]
fn why_a_pod_is_where_it_is() {
    let mut cluster = cluster(&[
        host("h1", "a", "4", "8Gi"),
        host("h2", "a", "8", "8Gi"),
        host("h3", "a", "1", "8Gi"),
    ]);
    let web = placed(&mut cluster, plain("web", "2", "1Gi"), "h2");
    let report = explain_placement(&cluster, &web).unwrap();
    assert_eq!((&*report.host, report.possible, report.hosts), ("h2", 2, 3));
    let (own, other) = (
        report.own.clone().unwrap(),
        report.runner_up.clone().unwrap(),
    );
    assert_eq!(&*other.host, "h1");
    assert!(own.score > other.score);
    assert!(own.parts.iter().any(|(part, _)| *part == Part::Resources));
    assert_eq!(report.others.reasons.get("Insufficient cpu"), Some(&1));
    let text = report.to_string();
    assert!(
        text.starts_with(
            "default/web is on h2; 2 of 3 hosts would do (profile spreading). Its score now is "
        ),
        "{text}"
    );
    // Things changed since it came.
    let mut tainted = host("h2", "a", "8", "8Gi");
    tainted["spec"] =
        json!({ "taints": [{ "key": "pool", "value": "db", "effect": "NoSchedule" }] });
    cluster.upsert_node(node(&tainted));
    let text = explain_placement(&cluster, &web).unwrap().to_string();
    assert!(text.contains("It could not come there now: h2 has the taint pool=db:NoSchedule, which the pod does not tolerate."), "{text}");
    assert_eq!(explain_placement(&cluster, &key("nobody")), None);
}
