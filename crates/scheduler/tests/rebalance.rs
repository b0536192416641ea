//! What a user notices of rebalancing, one behaviour a test; and what holds of every plan.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::{
    budget, cluster, host, key, naive, node, owned, placed, plain, pod,
    world::{Choices, World, many_choices, name_of, node_of, random_node, random_pod},
};
use mosaic_api::LabelSelector;
use mosaic_scheduler::{
    Cluster, PodKey,
    rebalance::{Goal, Move, Options, Reason, plan, why_nothing},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const PACKING: Goal = Goal::Packing { max_requested: 0.5 };
const SPREADING: Goal = Goal::Spreading { max_deviation: 0.1 };

fn ready(mut object: Value) -> Value {
    object["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    object
}

fn annotated(mut object: Value, key: &str, value: &str) -> Value {
    object["metadata"]["annotations"][key] = json!(value);
    object
}

/// A pod that serves, of a set.
fn member(name: &str, cpu: &str) -> Value {
    ready(owned(plain(name, cpu, "128Mi"), "ReplicaSet", "r"))
}

fn packed(name: &str, cpu: &str) -> Value {
    annotated(member(name, cpu), "mosaic/profile", "packing")
}

fn moves(cluster: &Cluster, goal: Goal) -> Vec<Move> {
    plan(cluster, &Options::new(goal)).moves
}

fn route(step: &Move) -> (&str, &str, &str) {
    (step.pod.name(), &step.from, &step.to)
}

#[test]
fn a_plan_of_nothing_says_why() {
    let hosts = [host("h1", "a", "4", "8Gi"), host("h2", "a", "4", "8Gi")];
    let why = |cluster: &Cluster, options: &Options| {
        assert_eq!(plan(cluster, options).moves, []);
        why_nothing(cluster, options)
    };
    let mut nodes = Options::new(PACKING);
    nodes.nodes = LabelSelector::parse("pool=none").unwrap();
    let mut cluster = cluster(&hosts);
    assert_eq!(why(&cluster, &nodes), "no host matches spec.nodeSelector");
    placed(&mut cluster, plain("lone", "1", "1Gi"), "h1");
    let told = why(&cluster, &Options::new(PACKING));
    assert!(
        told.starts_with("no pod of these hosts may be moved"),
        "{told}"
    );
    placed(&mut cluster, member("spread", "1"), "h1");
    let told = why(&cluster, &Options::new(PACKING));
    assert!(
        told.starts_with(
            "none of the 1 pods that may be moved has a profile that goes for packing"
        ),
        "{told}"
    );
    let told = why(&cluster, &Options::new(Goal::Constraints));
    assert_eq!(
        told,
        "each of the 1 pods that may be moved would be allowed where it is"
    );
    let told = why(
        &cluster,
        &Options::new(Goal::Spreading { max_deviation: 0.9 }),
    );
    assert!(
        told.starts_with("no host with pods that may be moved is more than 90% fuller"),
        "{told}"
    );
    // Alone on its host, and alone in the cluster: emptying it would put it onto an empty one.
    let mut single = self::cluster(&hosts);
    placed(&mut single, packed("a", "1"), "h1");
    let told = why(&single, &Options::new(PACKING));
    assert!(
        told.starts_with("1 hosts are at most 50% full; but"),
        "{told}"
    );
}

#[test]
fn an_almost_empty_host_is_emptied_if_its_pods_fit_elsewhere() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "a", "4", "8Gi")]);
    placed(&mut cluster, packed("a", "2"), "h1");
    placed(&mut cluster, packed("b", "500m"), "h2");
    let daemon = ready(owned(plain("daemon", "10m", "1Mi"), "DaemonSet", "d"));
    placed(&mut cluster, daemon, "h2");
    let found = plan(&cluster, &Options::new(PACKING));
    assert_eq!(
        found.moves.iter().map(route).collect::<Vec<_>>(),
        [("b", "h2", "h1")]
    );
    assert_eq!(
        found.moves[0].reason.to_string(),
        "its host is 13% full and can be emptied"
    );
    assert_eq!(
        (&*found.moves[0].uid, &*found.moves[0].controller),
        ("b", "r")
    );
    let (before, after) = (&found.before, &found.after);
    assert_eq!((before.empty_hosts, after.empty_hosts), (0, 1));
    assert_eq!(before.stranded, 1.0);
    assert!(after.stranded < 0.5, "{after:?}");
    assert_eq!((before.largest_free.0, after.largest_free.0), (3490, 3990));
    // Nobody would make it anew, so nothing is gained by emptying the rest.
    placed(&mut cluster, ready(plain("orphan", "10m", "1Mi")), "h2");
    assert_eq!(moves(&cluster, PACKING), []);
    cluster.remove_pod(&key("orphan"));
    assert_eq!(moves(&cluster, PACKING).len(), 1);
    // It is fuller than what is emptied.
    assert_eq!(moves(&cluster, Goal::Packing { max_requested: 0.1 }), []);
    // It would not stay away from a host that it likes better.
    assert_eq!(moves(&cluster, SPREADING), []);
}

#[test]
fn what_may_not_be_moved_stays() {
    type Change = fn(Value) -> Value;
    let odd: [(&str, Change); 9] = [
        ("nobody makes it anew", |mut pod| {
            pod["metadata"]["ownerReferences"] = json!([]);
            pod
        }),
        ("its owner is a daemon set", |pod| {
            owned(pod, "DaemonSet", "d")
        }),
        ("its owner is a job", |pod| owned(pod, "Job", "j")),
        ("it is a mirror pod", |pod| {
            annotated(pod, "kubernetes.io/config.mirror", "x")
        }),
        ("it says so", |pod| {
            annotated(pod, "mosaic/movable", "false")
        }),
        ("it says so in another's words", |pod| {
            annotated(
                pod,
                "cluster-autoscaler.kubernetes.io/safe-to-evict",
                "false",
            )
        }),
        ("it does not serve", |mut pod| {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
            pod
        }),
        ("another scheduler decides", |mut pod| {
            pod["spec"]["schedulerName"] = json!("another");
            pod
        }),
        ("the cluster runs on it", |mut pod| {
            pod["spec"]["priority"] = json!(2_000_000_000);
            pod
        }),
    ];
    let trial = |change: &dyn Fn(Value) -> Value| {
        let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "a", "4", "8Gi")]);
        placed(&mut cluster, packed("a", "2"), "h1");
        placed(&mut cluster, change(packed("b", "500m")), "h2");
        moves(&cluster, PACKING).len()
    };
    assert_eq!(trial(&|pod| pod), 1);
    for (why, change) in odd {
        assert_eq!(trial(&change), 0, "{why}");
    }
    assert_eq!(
        trial(&|pod| annotated(owned(pod, "Job", "j"), "mosaic/movable", "true")),
        1
    );
}

#[test]
fn selectors_limit_hosts_and_pods() {
    let mut hosts = [
        host("h1", "a", "4", "8Gi"),
        host("h2", "a", "4", "8Gi"),
        host("h3", "a", "4", "8Gi"),
    ];
    hosts[1]["metadata"]["labels"]["pool"] = json!("db");
    hosts[2]["metadata"]["labels"]["pool"] = json!("db");
    let mut cluster = cluster(&hosts);
    placed(&mut cluster, packed("a", "2"), "h1");
    placed(&mut cluster, packed("b", "500m"), "h2");
    placed(&mut cluster, packed("c", "600m"), "h3");
    let only = |change: fn(&mut Options, LabelSelector), text: &str| {
        let mut options = Options::new(PACKING);
        change(&mut options, LabelSelector::parse(text).unwrap());
        let found = plan(&cluster, &options);
        found
            .moves
            .iter()
            .map(|step| step.pod.name().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        only(|options, pods| options.pods = pods, "app=web"),
        ["b", "c"]
    );
    assert_eq!(only(|options, pods| options.pods = pods, "app=db"), [""; 0]);
    assert_eq!(
        only(
            |options, namespaces| options.namespaces = namespaces,
            "team"
        ),
        [""; 0]
    );
    // Out of the pool there would be a better place, where nothing goes.
    assert_eq!(
        only(|options, nodes| options.nodes = nodes, "pool=db"),
        [""; 0]
    );
    cluster.remove_pod(&key("a"));
    let mut options = Options::new(PACKING);
    options.nodes = LabelSelector::parse("pool=db").unwrap();
    let found = plan(&cluster, &options);
    assert_eq!(
        found.moves.iter().map(route).collect::<Vec<_>>(),
        [("b", "h2", "h3")]
    );
    assert_eq!(found.before.hosts, 2);
}

#[test]
fn each_move_must_win_enough() {
    let mut cluster = cluster(&[host("h1", "a", "8", "8Gi"), host("h2", "a", "8", "8Gi")]);
    placed(&mut cluster, packed("a", "4"), "h1");
    for index in 0..4 {
        placed(&mut cluster, packed(&format!("b{index}"), "100m"), "h2");
    }
    let wins = |min_gain: f32, most_moves: usize| {
        let options = Options {
            min_gain,
            most_moves,
            ..Options::new(PACKING)
        };
        plan(&cluster, &options).moves.len()
    };
    assert_eq!((wins(0.25, 4), wins(0.26, 4)), (4, 0));
    // All of a host or nothing of it.
    assert_eq!(wins(0.0, 3), 0);
}

#[test]
fn what_is_no_longer_allowed_where_it_is_moves() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "b", "4", "8Gi")]);
    placed(&mut cluster, member("a", "1"), "h1");
    assert_eq!(moves(&cluster, Goal::Constraints), []);
    let mut tainted = host("h1", "a", "4", "8Gi");
    tainted["spec"] = json!({ "taints": [{ "key": "pool", "effect": "NoSchedule" }] });
    cluster.upsert_node(node(&tainted));
    let found = plan(&cluster, &Options::new(Goal::Constraints));
    assert_eq!(
        found.moves[0].reason.to_string(),
        "its host has the taint pool:NoSchedule, which the pod does not tolerate"
    );
    assert_eq!(route(&found.moves[0]), ("a", "h1", "h2"));
    assert_eq!((found.before.misplaced, found.after.misplaced), (1, 0));
    let none = Options {
        most_moves: 0,
        ..Options::new(Goal::Constraints)
    };
    assert_eq!(plan(&cluster, &none).moves, []);
}

#[test]
fn pods_that_keep_others_away_are_taken_apart() {
    let zones = [
        host("h1", "a", "4", "8Gi"),
        host("h2", "b", "4", "8Gi"),
        host("h3", "b", "4", "8Gi"),
    ];
    let mut cluster = cluster(&zones);
    let mut apart = member("apart", "1");
    apart["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "tier": "noisy" } } }]);
    placed(&mut cluster, apart, "h1");
    for name in ["n1", "n2"] {
        let mut noisy = member(name, "1");
        noisy["metadata"]["labels"]["tier"] = json!("noisy");
        placed(&mut cluster, noisy, "h1");
    }
    let found = plan(&cluster, &Options::new(Goal::Constraints));
    assert_eq!((found.before.misplaced, found.after.misplaced), (3, 0));
    // One move is enough.
    assert_eq!(found.moves.len(), 1);
    assert_eq!(found.moves[0].pod.name(), "apart");
}

/// A pod that nobody moves and that bears one more pod with the label `crowd` in its domain than there is in the emptiest
/// one, itself among them.
fn loner(domain: &str) -> Value {
    let mut pod = annotated(member("loner", "100m"), "mosaic/movable", "false");
    pod["metadata"]["labels"]["crowd"] = json!("a");
    pod["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": domain, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchExpressions": [{ "key": "crowd", "operator": "Exists" }] },
    }]);
    pod
}

#[test]
fn nothing_is_put_right_where_another_goes_wrong_by_it() {
    let mut tainted = host("h1", "a", "4", "8Gi");
    tainted["spec"] = json!({ "taints": [{ "key": "pool", "effect": "NoSchedule" }] });
    let spare = |taints: Value| {
        let mut spare = host("h3", "a", "4", "8Gi");
        spare["spec"]["taints"] = taints;
        node(&spare)
    };
    // The rule that the pod has of its own is kept everywhere; only the taint is in its way.
    let mut bystander = member("bystander", "1");
    bystander["metadata"]["labels"]["crowd"] = json!("b");
    bystander["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "tier": "noisy" } } }]);
    let mut plain = bystander.clone();
    plain["spec"]["affinity"] = Value::Null;
    for bystander in [bystander, plain] {
        let mut cluster = cluster(&[tainted.clone(), host("h2", "a", "4", "8Gi")]);
        cluster.upsert_node(spare(tainted["spec"]["taints"].clone()));
        placed(&mut cluster, bystander, "h1");
        placed(&mut cluster, loner("kubernetes.io/hostname"), "h2");
        let options = Options::new(Goal::Constraints);
        let found = plan(&cluster, &options);
        assert_eq!(found.moves, []);
        assert_eq!((found.before.misplaced, found.after.misplaced), (1, 1));
        let told = why_nothing(&cluster, &options);
        assert!(
            told.starts_with(
                "1 pods would not be allowed where they are; but no other may go wrong"
            ),
            "{told}"
        );
        // There it is in nobody's way.
        cluster.upsert_node(spare(json!([])));
        let found = plan(&cluster, &options);
        assert_eq!(
            found.moves.iter().map(route).collect::<Vec<_>>(),
            [("bystander", "h1", "h3")]
        );
        assert_eq!((found.before.misplaced, found.after.misplaced), (1, 0));
    }
}

#[test]
fn neither_the_pool_nor_the_rest_pays_for_the_other() {
    let mut hosts = [
        host("h1", "a", "4", "8Gi"),
        host("h2", "b", "4", "8Gi"),
        host("outside", "a", "4", "8Gi"),
    ];
    for host in &mut hosts[..2] {
        host["metadata"]["labels"]["pool"] = json!("ours");
    }
    hosts[0]["spec"] = json!({ "taints": [{ "key": "pool", "effect": "NoSchedule" }] });
    let mut cluster = cluster(&hosts);
    let mut disturber = member("disturber", "1");
    disturber["metadata"]["labels"]["crowd"] = json!("b");
    placed(&mut cluster, disturber, "h1");
    for name in ["o1", "o2"] {
        let mut apart = member(name, "1");
        apart["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{ "topologyKey": "topology.kubernetes.io/zone", "labelSelector": { "matchLabels": { "crowd": "b" } } }]);
        placed(&mut cluster, apart, "outside");
    }
    let mut options = Options::new(Goal::Constraints);
    options.nodes = LabelSelector::parse("pool=ours").unwrap();
    let found = plan(&cluster, &options);
    assert_eq!(found.moves.len(), 1);
    assert_eq!((found.before.misplaced, found.after.misplaced), (1, 0));
    placed(&mut cluster, loner("kubernetes.io/hostname"), "h2");
    assert_eq!(plan(&cluster, &options).moves, []);
    // Nor the other way round: all that is won in the pool is lost outside of it.
    for name in ["o1", "o2", "loner"] {
        cluster.remove_pod(&key(name));
    }
    for (name, zone) in [("outside", "a"), ("beside", "b")] {
        let mut cordoned = host(name, zone, "4", "8Gi");
        cordoned["spec"]["unschedulable"] = json!(true);
        cluster.upsert_node(node(&cordoned));
    }
    assert_eq!(plan(&cluster, &options).moves.len(), 1);
    placed(&mut cluster, loner("topology.kubernetes.io/zone"), "beside");
    assert_eq!(plan(&cluster, &options).moves, []);
}

#[test]
fn pods_that_want_the_same_port_are_taken_apart() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "b", "4", "8Gi")]);
    for name in ["a", "b"] {
        let mut pod = member(name, "1");
        pod["spec"]["containers"][0]["ports"] = json!([{ "hostPort": 80, "containerPort": 80 }]);
        placed(&mut cluster, pod, "h1");
    }
    let found = plan(&cluster, &Options::new(Goal::Constraints));
    assert_eq!(
        found.moves.iter().map(route).collect::<Vec<_>>(),
        [("a", "h1", "h2")]
    );
    assert_eq!((found.before.misplaced, found.after.misplaced), (2, 0));
}

#[test]
fn a_host_that_is_fuller_than_others_gives_pods_away() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "b", "4", "8Gi")]);
    for index in 0..4 {
        placed(&mut cluster, member(&format!("p{index}"), "1"), "h1");
    }
    let found = plan(&cluster, &Options::new(SPREADING));
    assert_eq!(found.moves.len(), 2, "{found:?}");
    assert!(
        found
            .moves
            .iter()
            .all(|step| (&*step.from, &*step.to) == ("h1", "h2"))
    );
    assert!(
        found.before.imbalance > 0.4 && found.after.imbalance == 0.0,
        "{found:?}"
    );
    assert_eq!(
        found.moves[0].reason,
        Reason::Relieved {
            share: 1.0,
            average: 0.5
        }
    );
    // Little is better than nothing only if one says so.
    let choosy = Options {
        min_gain: 0.3,
        ..Options::new(SPREADING)
    };
    assert_eq!(plan(&cluster, &choosy).moves.len(), 0);
    assert_eq!(moves(&cluster, Goal::Spreading { max_deviation: 0.6 }), []);
    assert_eq!(moves(&cluster, PACKING), []);
}

#[test]
fn rounds_keep_within_budgets_and_wait_for_the_room_that_they_make() {
    let mut cluster = cluster(&[host("h1", "a", "4", "8Gi"), host("h2", "b", "4", "8Gi")]);
    for index in 0..4 {
        placed(&mut cluster, member(&format!("p{index}"), "1"), "h1");
    }
    let rounds = |cluster: &Cluster, at_a_time: usize| {
        let options = Options {
            at_a_time,
            ..Options::new(SPREADING)
        };
        let moves = plan(cluster, &options).moves;
        moves.iter().map(|step| step.round).collect::<Vec<_>>()
    };
    assert_eq!(rounds(&cluster, 1), [0, 1]);
    assert_eq!(rounds(&cluster, 2), [0, 0]);
    let allow = |cluster: &mut Cluster, allowed: i64| {
        cluster.upsert_budget(budget(&json!({
            "metadata": { "name": "b", "namespace": "default" }, "spec": { "selector": {} },
            "status": { "disruptionsAllowed": allowed },
        })));
    };
    allow(&mut cluster, 1);
    assert_eq!(rounds(&cluster, 2), [0, 1]);
    allow(&mut cluster, 0);
    assert_eq!(rounds(&cluster, 2), [0; 0]);
}

#[test]
fn room_that_the_last_round_makes_is_used() {
    let mut narrow = host("h1", "a", "1", "4Gi");
    narrow["status"]["allocatable"]["pods"] = json!("1");
    let mut cluster = cluster(&[narrow, host("h2", "b", "4", "8Gi")]);
    placed(&mut cluster, member("large", "1"), "h1");
    placed(
        &mut cluster,
        ready(owned(plain("small", "250m", "1Gi"), "ReplicaSet", "s")),
        "h2",
    );
    for at_a_time in [1, 2] {
        let options = Options {
            at_a_time,
            ..Options::new(SPREADING)
        };
        let found = plan(&cluster, &options).moves;
        // The small one has to wait until the large one is gone.
        assert_eq!(
            found.iter().map(route).collect::<Vec<_>>(),
            [("large", "h1", "h2"), ("small", "h2", "h1")]
        );
        assert_eq!((found[0].round, found[1].round), (0, 1));
    }
}

fn cluster_of(world: &World) -> Cluster {
    let mut cluster = cluster(&world.nodes);
    for object in &world.namespaces {
        cluster.upsert_namespace(common::namespace(object));
    }
    for object in &world.pods {
        cluster.upsert_pod(pod(object));
    }
    for object in &world.budgets {
        cluster.upsert_budget(budget(object));
    }
    cluster
}

fn key_of(object: &Value) -> PodKey {
    PodKey::new(
        object["metadata"]["namespace"].as_str().unwrap(),
        name_of(object),
    )
}

/// A world in which much can be moved: hosts have room for several pods, and most pods ask for little else.
fn movable_world(choices: &mut Choices) -> World {
    let mut world = World {
        namespaces: vec![
            json!({ "metadata": { "name": "default", "labels": { "team": "x" } } }),
            json!({ "metadata": { "name": "other", "labels": { "team": "y" } } }),
        ],
        ..World::default()
    };
    for index in 0..choices.below(6) + 2 {
        let name = format!("n{index}");
        let mut node = if choices.one_in(3) {
            random_node(choices, &name)
        } else {
            host(&name, choices.of::<&str>(&["a", "b", "c"]), "4", "8Gi")
        };
        if choices.one_in(10) {
            node["spec"]["unschedulable"] = json!(true);
        }
        world.nodes.push(node);
    }
    let skew = choices.below(4) + 1;
    for index in 0..choices.below(16) + 2 {
        let name = format!("p{index}");
        let mut pod = if choices.one_in(3) {
            random_pod(choices, &name)
        } else {
            plain(
                &name,
                choices.of::<&str>(&["500m", "1", "1500m", "100m"]),
                choices.of::<&str>(&["128Mi", "2Gi"]),
            )
        };
        if !choices.one_in(8) {
            pod = ready(owned(pod, "ReplicaSet", choices.of::<&str>(&["u1", "u2"])));
        }
        if choices.one_in(2) {
            pod = annotated(pod, "mosaic/profile", "packing");
        }
        if choices.one_in(10) {
            pod = annotated(pod, "mosaic/movable", "false");
        }
        // Some hosts get more than others.
        let at = choices.below(world.nodes.len()) * choices.below(skew + 1) / skew;
        let node = name_of(&world.nodes[at]).to_owned();
        pod["spec"]["nodeName"] = json!(node);
        if naive::has_room(&world, &pod, &node) {
            world.pods.push(pod);
        }
    }
    if choices.one_in(3) {
        world.budgets.push(json!({
            "metadata": { "name": "b", "namespace": "default" },
            "spec": { "selector": { "matchLabels": { "app": choices.of(&["web", "a"]) } } },
            "status": { "disruptionsAllowed": choices.below(3) },
        }));
    }
    world
}

fn random_options(choices: &mut Choices) -> Options {
    let goal = *choices.of(&[
        PACKING,
        SPREADING,
        Goal::Constraints,
        Goal::Packing { max_requested: 1.0 },
        Goal::Spreading { max_deviation: 0.0 },
    ]);
    let mut options = Options {
        at_a_time: choices.below(3) + 1,
        most_moves: 1000,
        min_gain: *choices.of(&[0.0, 0.02, 0.3]),
        ..Options::new(goal)
    };
    if choices.one_in(5) {
        options.pods = LabelSelector::parse("app in (a, b)").unwrap();
    }
    if choices.one_in(5) {
        options.nodes = LabelSelector::parse("topology.kubernetes.io/zone in (a, b)").unwrap();
    }
    options
}

/// Carries a move out, as if its pod had gone and its replacement came. While its round lasts, the pod is still there.
fn carry_out(world: &mut World, step: &Move) {
    let at = world
        .pods
        .iter()
        .position(|pod| key_of(pod) == step.pod)
        .unwrap();
    let mut leaving = world.pods[at].clone();
    world.pods[at]["spec"]["nodeName"] = json!(&*step.to);
    let name = format!("{}-leaving-{}", step.pod.name(), step.round);
    leaving["metadata"]["name"] = json!(name);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    leaving["metadata"]["labels"]["leaving"] = json!(step.round.to_string());
    world.pods.push(leaving);
}

fn end_round(world: &mut World) {
    world
        .pods
        .retain(|pod| pod["metadata"]["labels"]["leaving"].is_null());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// At every step, by Kubernetes' rules as they are documented: the pod may be moved, its replacement may run where it is
    /// expected, with the pod gone and with it still leaving, and budgets hold.
    #[test]
    fn every_move_is_allowed(mut choices in many_choices()) {
        let options = random_options(&mut choices);
        let mut world = movable_world(&mut choices);
        let cluster = cluster_of(&world);
        let found = plan(&cluster, &options);
        cluster.verify().unwrap();
        let mut round = 0;
        let mut in_round = 0;
        let mut disrupted: BTreeMap<String, i64> = BTreeMap::new();
        for step in &found.moves {
            if step.round != round {
                prop_assert_eq!(step.round, round + 1);
                (round, in_round) = (step.round, 0);
                disrupted.clear();
                end_round(&mut world);
            }
            in_round += 1;
            prop_assert!(in_round <= options.at_a_time);
            let object = world.pods.iter().find(|pod| key_of(pod) == step.pod).unwrap().clone();
            let of = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            prop_assert!(["ReplicaSet"].contains(&of("/metadata/ownerReferences/0/kind")), "{}", object);
            prop_assert_eq!(of("/status/conditions/0/status"), "True");
            prop_assert_ne!(of("/metadata/annotations/mosaic~1movable"), "false");
            prop_assert!(object["metadata"]["deletionTimestamp"].is_null());
            prop_assert!(options.pods.matches_object(&object));
            prop_assert_eq!(node_of(&object), Some(&*step.from));
            prop_assert_ne!(&step.from, &step.to);
            for host in [&step.from, &step.to] {
                let host = world.nodes.iter().find(|node| name_of(node) == &**host).unwrap();
                prop_assert!(options.nodes.matches_object(host));
            }
            for known in &world.budgets {
                let budget = budget(known);
                if *budget.namespace == *step.pod.namespace() && budget.pods.matches_object(&object) {
                    let spent = disrupted.entry(name_of(known).to_owned()).or_default();
                    *spent += 1;
                    prop_assert!(*spent <= budget.allowed);
                }
            }
            let mut gone = world.clone();
            gone.pods.retain(|pod| key_of(pod) != step.pod);
            prop_assert!(naive::may_run(&gone, &object, &step.to), "{step:?}");
            carry_out(&mut world, step);
            let at = world.pods.iter().position(|pod| key_of(pod) == step.pod).unwrap();
            let mut leaving = world.clone();
            let replacement = leaving.pods.remove(at);
            prop_assert!(naive::may_run(&leaving, &replacement, &step.to), "{step:?}");
        }
    }

    /// What a plan leads to is left alone by the next one, and is better by the goal's own measure.
    #[test]
    fn a_second_plan_is_empty(mut choices in many_choices()) {
        let options = random_options(&mut choices);
        let mut world = movable_world(&mut choices);
        let found = plan(&cluster_of(&world), &options);
        for step in &found.moves {
            carry_out(&mut world, step);
        }
        end_round(&mut world);
        let second = plan(&cluster_of(&world), &options);
        prop_assert_eq!(&second.moves, &[], "after {:?}", found.moves);
        prop_assert_eq!(&second.before, &found.after);
        if found.moves.is_empty() {
            prop_assert_eq!(&found.before, &found.after);
            return Ok(());
        }
        match options.goal {
            Goal::Packing { .. } => {
                prop_assert!(found.after.empty_hosts > found.before.empty_hosts);
            }
            Goal::Constraints => prop_assert!(found.after.misplaced < found.before.misplaced),
            Goal::Spreading { .. } => {}
        }
    }

    /// However few moves there may be, they are the first of those that there would be, as far as hosts are not emptied whole.
    #[test]
    fn no_plan_is_longer_than_allowed(mut choices in many_choices()) {
        let mut options = random_options(&mut choices);
        let world = movable_world(&mut choices);
        let cluster = cluster_of(&world);
        let all = plan(&cluster, &options).moves;
        options.most_moves = choices.below(4);
        let some = plan(&cluster, &options).moves;
        prop_assert!(some.len() <= options.most_moves);
        if !matches!(options.goal, Goal::Packing { .. }) {
            prop_assert_eq!(&some[..], &all[..some.len()]);
            prop_assert_eq!(some.len(), all.len().min(options.most_moves));
        }
    }
}
