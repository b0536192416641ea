use serde_json::{Value, json};

use crate::support::{Behaviour, World, exits, pod};

fn one(policy: &str) -> Value {
    pod(
        json!([{ "name": "a", "image": "i" }]),
        json!({ "restartPolicy": policy }),
    )
}

#[test]
fn policies_say_how_a_pod_ends() {
    let cases = [
        ("Never", 0, "Succeeded", 0),
        ("Never", 3, "Failed", 0),
        ("OnFailure", 0, "Succeeded", 0),
        ("OnFailure", 3, "Running", 3),
        ("Always", 0, "Running", 3),
    ];
    for (policy, code, phase, restarts) in cases {
        let mut world = World::new(one(policy)).behave("a", exits(&[(5, code)]));
        world.run(50);
        assert_eq!(world.phase(), phase, "{policy} {code}");
        assert_eq!(
            world.container("a")["restartCount"],
            restarts,
            "{policy} {code}"
        );
    }
}

#[test]
fn what_ended_says_why_and_lets_its_sandbox_go() {
    let mut world = World::new(one("Never")).behave("a", exits(&[(5, 3)]));
    world.run(50);
    let ended = &world.container("a")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(3), &json!("Error"))
    );
    for ty in ["Ready", "ContainersReady"] {
        assert_eq!(world.condition(ty)["reason"], "PodFailed");
    }
    assert!(!world.is("PodReadyToStartContainers"));
    assert!(world.is("Initialized"));
    assert_eq!(world.log(), ["start a#0", "exit a#0", "stop sandbox"]);
    assert!(!world.object_deleted);
    // Running, and ended.
    assert_eq!(world.writes.len(), 2, "{:#?}", world.writes);
}

#[test]
fn crashes_wait_longer_and_longer() {
    let mut world = World::new(one("Always")).behave("a", exits(&[(1, 1)]));
    world.run(1000);
    let starts: Vec<i64> = (0..8)
        .filter_map(|n| world.when(&format!("start a#{n}")))
        .collect();
    let waits: Vec<i64> = starts
        .windows(2)
        .map(|pair| pair[1] - pair[0] - 1)
        .collect();
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300]);
    let container = world.container("a");
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(world.phase(), "Running");
}

#[test]
fn waits_may_be_shorter_than_a_second() {
    let mut world = World::new(one("Always")).behave("a", exits(&[(1, 1)]));
    world.settings.back_off = jiff::SignedDuration::from_millis(500);
    world.run(10);
    let starts: Vec<i64> = (0..5)
        .filter_map(|n| world.when(&format!("start a#{n}")))
        .collect();
    // In full seconds: 0, 1, 2.5, 4.5 and 7.5.
    assert_eq!(starts, [0, 1, 2, 4, 7]);
}

#[test]
fn a_good_run_is_forgiven() {
    let mut world =
        World::new(one("Always")).behave("a", exits(&[(1, 1), (1, 1), (700, 1), (5, 1)]));
    world.run(800);
    // The third attempt ran for more than ten minutes: the next starts at once.
    let third = world.when("start a#2").unwrap();
    assert_eq!(world.when("start a#3"), Some(third + 700));
}

#[test]
fn memory_and_last_states_are_told() {
    let oom = Behaviour {
        oom: true,
        ..exits(&[(5, 137), (100, 0)])
    };
    let mut world = World::new(one("Always")).behave("a", oom);
    world.run(10);
    let container = world.container("a");
    assert_eq!(container["lastState"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(container["restartCount"], 1);
    assert!(container["state"]["running"].is_object());
    assert_eq!((world.runtime.sandboxes, world.phase()), (1, "Running"));
    assert!(world.is("Ready"));
}

#[test]
fn containers_have_rules_of_their_own() {
    let rules = json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [42] } }]);
    let containers = json!([{ "name": "a", "image": "i", "restartPolicy": "Never", "restartPolicyRules": rules }]);
    let mut world = World::new(pod(containers, json!({ "restartPolicy": "Never" })))
        .behave("a", exits(&[(5, 42), (5, 1)]));
    world.run(30);
    assert_eq!(
        (world.phase(), &world.container("a")["restartCount"]),
        ("Failed", &json!(1))
    );
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let spec =
        json!({ "restartPolicy": "Never", "initContainers": [{ "name": "init", "image": "i" }] });
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), spec))
        .behave("init", exits(&[(1, 1)]));
    world.run(30);
    assert_eq!((world.phase(), world.when("start a#0")), ("Failed", None));
    assert_eq!(
        world.container("a")["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    let spec = json!({ "initContainers": [{ "name": "init", "image": "i" }] });
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), spec))
        .behave("init", exits(&[(1, 1), (1, 0)]));
    world.run(30);
    assert_eq!(
        (world.phase(), world.when("start a#0")),
        ("Running", Some(2))
    );
}

#[test]
fn sidecars_are_restarted_and_end_with_the_pod() {
    let spec = json!({ "restartPolicy": "Never",
        "initContainers": [{ "name": "side", "image": "i", "restartPolicy": "Always" }] });
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), spec))
        .behave("side", exits(&[(3, 1), (1000, 0)]))
        .behave("a", exits(&[(20, 0)]));
    world.run(10);
    assert_eq!(world.runtime.running(), ["side", "a"]);
    world.run(30);
    assert_eq!(world.phase(), "Succeeded");
    assert_eq!(
        world.log()[3..],
        [
            "start side#1",
            "exit a#0",
            "signal side#1",
            "exit side#1",
            "stop sandbox"
        ]
    );
}

#[test]
fn an_active_deadline_fails_the_pod() {
    let spec = json!({ "activeDeadlineSeconds": 30 });
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), spec))
        .behave("a", exits(&[(1000, 0)]));
    world.run(60);
    assert_eq!(
        (world.phase(), world.when("signal a#0")),
        ("Failed", Some(30))
    );
    assert_eq!(world.status()["reason"], "DeadlineExceeded");
    assert!(!world.object_deleted, "it stays to be looked at");
}
