//! Decisions about random small clusters, held to a checker that knows nothing of how they are made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::{
    naive,
    world::{Choices, World, choices, name_of, node_of, random_node, random_pod, random_world},
};
use mosaic_scheduler::{
    Cluster, Decision, Event, GroupDecision, Pod, PodKey, Profile, could_help, decide,
    decide_group, explain, preempt,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn cluster(world: &World) -> Cluster {
    let mut cluster = Cluster::new();
    for object in &world.namespaces {
        cluster.upsert_namespace(common::namespace(object));
    }
    for object in &world.nodes {
        cluster.upsert_node(common::node(object));
    }
    for object in &world.pods {
        cluster.upsert_pod(common::pod(object));
    }
    for object in &world.budgets {
        cluster.upsert_budget(common::budget(object));
    }
    cluster
}

fn profile(choices: &mut Choices) -> &'static Profile {
    choices.of::<&Profile>(&Profile::ALL)
}

fn key(object: &Value) -> PodKey {
    PodKey::new(
        object["metadata"]["namespace"].as_str().unwrap(),
        name_of(object),
    )
}

/// A pod is placed if and only if some host will do, on one of those, and what is said about the others
/// adds up.
fn check_decision(cluster: &Cluster, world: &World, object: &Value, profile: &Profile) {
    let pod = common::pod(object);
    let hosts = naive::hosts_for(world, object);
    let decision = decide(cluster, &pod, profile);
    assert_eq!(
        decision,
        decide(&cluster.clone(), &pod, profile),
        "not the same twice"
    );
    match decision {
        Decision::Place(placement) => {
            assert!(
                hosts.contains(&*placement.host),
                "{} is not one of {hosts:?}",
                placement.host
            );
            assert_eq!(placement.possible, hosts.len(), "{hosts:?}");
            assert!(placement.score.is_finite() && placement.score > -0.01);
            assert_eq!(explain(cluster, &pod), None);
        }
        Decision::Unschedulable(explanation) => {
            assert!(hosts.is_empty(), "{hosts:?} would do, but: {explanation}");
            assert_eq!(
                explanation.failed.values().sum::<usize>(),
                world.nodes.len()
            );
            assert!(
                explanation
                    .reasons
                    .values()
                    .all(|count| *count <= world.nodes.len())
            );
            assert!(explanation.nearest.is_some());
        }
        Decision::Gated(gates) => panic!("{gates:?}"),
    }
}

/// Puts a pod onto a host, as binding does.
fn bind(world: &mut World, object: &Value, host: &str) {
    let mut object = object.clone();
    object["spec"]["nodeName"] = json!(host);
    world.pods.retain(|pod| key(pod) != key(&object));
    world.pods.push(object);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_can_be_placed_is_placed_where_it_may_be(mut choices in choices()) {
        let world = random_world(&mut choices);
        let cluster = cluster(&world);
        for index in 0..3 {
            let object = random_pod(&mut choices, &format!("new{index}"));
            check_decision(&cluster, &world, &object, profile(&mut choices));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_changing_cluster_is_what_a_new_one_would_be(mut choices in choices()) {
        let mut world = random_world(&mut choices);
        let mut cluster = cluster(&world);
        for step in 0..choices.below(25) {
            change(&mut choices, &mut world, &mut cluster, step);
            let object = random_pod(&mut choices, "asked");
            check_decision(&cluster, &world, &object, profile(&mut choices));
            cluster.verify().unwrap();
        }
    }

    #[test]
    fn victims_make_room_and_are_less_important(mut choices in choices()) {
        let world = random_world(&mut choices);
        let cluster = cluster(&world);
        let object = random_pod(&mut choices, "new");
        let pod = common::pod(&object);
        if !naive::hosts_for(&world, &object).is_empty() {
            return Ok(());
        }
        let without = |gone: &BTreeSet<PodKey>| {
            let mut world = world.clone();
            world.pods.retain(|pod| !gone.contains(&key(pod)));
            world
        };
        let lower = |host: &str| -> BTreeSet<PodKey> {
            let pods = world.pods.iter().filter(|other| node_of(other) == Some(host));
            pods.filter(|other| other["spec"]["priority"].as_i64() < object["spec"]["priority"].as_i64())
                .map(key).collect()
        };
        let Some(preemption) = preempt(&cluster, &pod) else {
            if object["spec"]["preemptionPolicy"] != "Never" {
                for node in &world.nodes {
                    let gone = lower(name_of(node));
                    prop_assert!(!naive::may_run(&without(&gone), &object, name_of(node)));
                }
            }
            return Ok(());
        };
        prop_assert!(object["spec"]["preemptionPolicy"] != "Never");
        let leaving = |pod: &&Value| !pod["metadata"]["deletionTimestamp"].is_null();
        let going: BTreeSet<PodKey> = world.pods.iter().filter(leaving)
            .filter(|pod| node_of(pod) == Some(&*preemption.host)).map(key).collect();
        let victims: BTreeSet<PodKey> = preemption.victims.iter().cloned().collect();
        let lower = lower(&preemption.host);
        prop_assert!(victims.is_subset(&lower), "{victims:?} of {lower:?}");
        let gone: BTreeSet<PodKey> = victims.union(&going.intersection(&lower).cloned().collect()).cloned().collect();
        prop_assert!(naive::may_run(&without(&gone), &object, &preemption.host));
        for spared in &victims {
            let mut fewer = gone.clone();
            fewer.remove(spared);
            prop_assert!(!naive::may_run(&without(&fewer), &object, &preemption.host), "{spared} need not go");
        }
    }

    #[test]
    fn a_group_is_placed_altogether_or_not_at_all(mut choices in choices()) {
        let mut world = random_world(&mut choices);
        let mut cluster = cluster(&world);
        let size = choices.below(4) + 1;
        let members: Vec<Value> = (0..size).map(|index| {
            let mut pod = random_pod(&mut choices, &format!("g{index}"));
            pod["metadata"]["namespace"] = json!("default");
            pod["metadata"]["annotations"] =
                json!({ "mosaic/pod-group": "g", "mosaic/pod-group-size": size.to_string() });
            pod
        }).collect();
        let pods: Vec<Pod> = members.iter().map(common::pod).collect();
        // Known to the cluster as waiting, or not yet.
        let known = pods.iter().filter(|_| choices.one_in(2)).filter(|pod| cluster.upsert_pod(Pod::clone(pod))).count();
        let decision = decide_group(&mut cluster, &pods, profile(&mut choices));
        cluster.verify().unwrap();
        prop_assert_eq!(cluster.pods().count(), world.pods.len() + known);
        prop_assert!(pods.iter().all(|pod| cluster.host_of(&pod.key).is_none()));
        match decision {
            GroupDecision::Place(hosts) => {
                prop_assert_eq!(hosts.len(), size);
                for (pod, host) in hosts {
                    let member = members.iter().find(|member| key(member) == pod).unwrap();
                    prop_assert!(naive::may_run(&world, member, &host));
                    bind(&mut world, member, &host);
                }
            }
            GroupDecision::Unschedulable { placed, .. } => prop_assert!(placed < size),
            GroupDecision::Incomplete { .. } => prop_assert!(false, "it is complete"),
        }
        if size > 1 {
            let decision = decide_group(&mut cluster, &pods[1..], &Profile::SPREADING);
            prop_assert_eq!(decision, GroupDecision::Incomplete { present: size - 1, wanted: size });
        }
    }

    #[test]
    fn a_pod_is_woken_by_what_lets_it_be_placed(mut choices in choices()) {
        let mut world = random_world(&mut choices);
        let mut cluster = cluster(&world);
        let object = random_pod(&mut choices, "waiting");
        let waiting = common::pod(&object);
        cluster.upsert_pod(waiting.clone());
        for step in 0..choices.below(12) {
            let hosts = naive::hosts_for(&world, &object);
            let decision = decide(&cluster, &waiting, &Profile::SPREADING);
            prop_assert_eq!(matches!(decision, Decision::Place(_)), !hosts.is_empty());
            let Decision::Unschedulable(explanation) = decision else {
                return Ok(());
            };
            let before = world.clone();
            change(&mut choices, &mut world, &mut cluster, step);
            let woken = woken_by(&before, &world).iter().any(|event| match event {
                Happened::Node(node) => could_help(&Event::NodeChanged(&common::node(node)), &waiting, &explanation),
                Happened::NodeGone => could_help(&Event::NodeRemoved, &waiting, &explanation),
                Happened::Placed(pod) => could_help(&Event::PodPlaced(&common::pod(pod)), &waiting, &explanation),
                Happened::Removed => could_help(&Event::PodRemoved, &waiting, &explanation),
            });
            if !naive::hosts_for(&world, &object).is_empty() {
                prop_assert!(woken, "it slept on: {explanation}");
            }
        }
    }
}

#[derive(Debug)]
enum Happened {
    Node(Value),
    NodeGone,
    Placed(Value),
    Removed,
}

fn woken_by(before: &World, after: &World) -> Vec<Happened> {
    let mut events = Vec::new();
    for node in &after.nodes {
        if !before.nodes.contains(node) {
            events.push(Happened::Node(node.clone()));
        }
    }
    if before.nodes.iter().any(|node| {
        !after
            .nodes
            .iter()
            .any(|other| name_of(other) == name_of(node))
    }) {
        events.push(Happened::NodeGone);
    }
    for pod in after
        .pods
        .iter()
        .filter(|pod| node_of(pod).is_some() && !before.pods.contains(pod))
    {
        events.push(Happened::Placed(pod.clone()));
    }
    let was_removed = |pod: &Value| node_of(pod).is_some() && !after.pods.contains(pod);
    if before.pods.iter().any(was_removed) {
        events.push(Happened::Removed);
    }
    events
}

/// Something happens, to the objects and to the cluster.
fn change(choices: &mut Choices, world: &mut World, cluster: &mut Cluster, step: usize) {
    match choices.below(8) {
        0 | 1 => {
            // A pod comes, and is placed if a host will do.
            let mut object = random_pod(choices, &format!("s{step}"));
            cluster.upsert_pod(common::pod(&object));
            let pod = cluster.pod(&key(&object)).unwrap().clone();
            match decide(cluster, &pod, profile(choices)) {
                Decision::Place(placement) => {
                    cluster.assume(&pod.key, &placement.host).unwrap();
                    assert!(
                        cluster.assume(&pod.key, &placement.host).is_err(),
                        "placed twice"
                    );
                    if choices.one_in(3) {
                        cluster.forget(&pod.key);
                        cluster.remove_pod(&pod.key);
                        return;
                    }
                    // The object as it was is seen again, and then as it is bound.
                    cluster.upsert_pod(common::pod(&object));
                    assert_eq!(cluster.host_of(&pod.key), Some(&placement.host));
                    object["spec"]["nodeName"] = json!(&*placement.host);
                    if choices.one_in(2) {
                        cluster.upsert_pod(common::pod(&object));
                    }
                    world.pods.push(object);
                }
                _ => cluster.remove_pod(&pod.key),
            }
        }
        2 if !world.pods.is_empty() => {
            let at = choices.below(world.pods.len());
            let pod = world.pods.swap_remove(at);
            cluster.remove_pod(&key(&pod));
        }
        3 if !world.pods.is_empty() => {
            let at = choices.below(world.pods.len());
            let pod = &mut world.pods[at];
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            cluster.upsert_pod(common::pod(pod));
        }
        4 if !world.pods.is_empty() => {
            let at = choices.below(world.pods.len());
            let pod = &mut world.pods[at];
            pod["metadata"]["labels"]["app"] = json!(choices.of(&["a", "b", "c"]));
            cluster.upsert_pod(common::pod(pod));
        }
        5 => {
            let name = format!("n{}", choices.below(8));
            let mut node = random_node(choices, &name);
            world.nodes.retain(|known| name_of(known) != name);
            // Enough for what is there, so that a host is not over its capacity by a change of it.
            node["status"]["allocatable"] =
                json!({ "cpu": "4", "memory": "16Gi", "pods": "20", "example.com/gpu": "4" });
            cluster.upsert_node(common::node(&node));
            world.nodes.push(node);
        }
        6 if world.nodes.len() > 1 => {
            let at = choices.below(world.nodes.len());
            let node = world.nodes.swap_remove(at);
            cluster.remove_node(name_of(&node));
        }
        _ => {}
    }
}
