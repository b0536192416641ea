use serde_json::json;

use crate::support::{Behaviour, World, exits, pod, stops_after};

#[test]
fn a_quick_start_is_one_write() {
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), json!({})));
    world.run(5);
    assert_eq!(world.writes.len(), 1, "{:#?}", world.writes);
    assert_eq!(world.phase(), "Running");
    for ty in [
        "PodReadyToStartContainers",
        "Initialized",
        "ContainersReady",
        "Ready",
        "PodScheduled",
    ] {
        assert!(world.is(ty), "{ty}");
    }
    let status = world.status();
    assert_eq!(status["podIP"], "10.1.0.5");
    assert_eq!(status["podIPs"], json!([{ "ip": "10.1.0.5" }]));
    assert_eq!(status["hostIP"], "172.16.0.1");
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["startTime"], "1970-01-12T13:46:40Z");
    assert_eq!(status["observedGeneration"], 1);
    let container = world.container("a");
    assert_eq!(
        container["state"]["running"]["startedAt"],
        "1970-01-12T13:46:40Z"
    );
    assert_eq!(
        (&container["ready"], &container["started"]),
        (&json!(true), &json!(true))
    );
    world.run(100);
    assert_eq!(world.writes.len(), 1, "nothing changed, nothing is written");
}

#[test]
fn what_others_say_of_readiness_is_put_right() {
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), json!({})));
    world.run(5);
    assert!(world.is("Ready"));
    let since = world.condition("Ready")["lastTransitionTime"].clone();
    // Who does not hear the host says so of its pods.
    world.change(|object| {
        for condition in object["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
                condition["lastTransitionTime"] = json!("1970-01-12T13:50:00Z");
            }
        }
    });
    assert!(world.hears());
    world.run(1);
    assert!(world.is("Ready"));
    assert_eq!(world.condition("Ready")["lastTransitionTime"], since);
    assert_eq!(world.writes.len(), 2);
    assert!(!world.hears(), "its own word is no contradiction");
    world.run(10);
    assert_eq!(world.writes.len(), 2);
}

#[test]
fn a_slow_start_is_shown_while_it_lasts() {
    let containers = json!([{ "name": "a", "image": "i", "lifecycle": { "postStart": { "sleep": { "seconds": 5 } } } }]);
    let slow = Behaviour {
        hook: 5,
        ..Behaviour::default()
    };
    let mut world = World::new(pod(containers, json!({}))).behave("a", slow);
    world.run(4);
    assert_eq!(world.phase(), "Pending");
    assert_eq!(
        world.container("a")["state"]["waiting"]["reason"],
        "ContainerCreating"
    );
    assert_eq!(world.condition("Ready")["reason"], "ContainersNotReady");
    assert_eq!(
        world.condition("Ready")["message"],
        "containers with unready status: [a]"
    );
    world.run(3);
    assert_eq!((world.phase(), world.writes.len()), ("Running", 2));
    // What took away a reason takes it away from the object too.
    assert!(world.condition("Ready")["reason"].is_null());
}

#[test]
fn init_containers_run_one_after_another_and_sidecars_stay() {
    let init = json!([
        { "name": "first", "image": "i" },
        { "name": "side", "image": "i", "restartPolicy": "Always",
          "startupProbe": { "tcpSocket": { "port": 1 }, "periodSeconds": 2 } },
        { "name": "second", "image": "i" },
    ]);
    let slow_side = Behaviour {
        probes: [("startup", vec![false, false, true])].into(),
        ..stops_after(0)
    };
    let mut world = World::new(pod(
        json!([{ "name": "main", "image": "i" }]),
        json!({ "initContainers": init }),
    ))
    .behave("first", exits(&[(3, 0)]))
    .behave("second", exits(&[(2, 0)]))
    .behave("side", slow_side);
    world.run(2);
    assert_eq!(
        world.container("main")["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert_eq!(
        world.condition("Initialized")["message"],
        "containers with incomplete status: [first side second]"
    );
    world.run(20);
    let started =
        ["first", "side", "second", "main"].map(|name| world.when(&format!("start {name}#0")));
    assert_eq!(started, [Some(0), Some(3), Some(7), Some(9)]);
    assert_eq!(world.runtime.running(), ["side", "main"]);
    assert!(world.is("Ready") && world.is("Initialized"));
    assert_eq!(
        world.container("first")["state"]["terminated"]["reason"],
        "Completed"
    );
    assert_eq!(world.container("first")["ready"], true);
    assert_eq!(world.container("side")["ready"], true);
}

#[test]
fn an_image_that_cannot_be_pulled_is_tried_less_and_less_often() {
    let bad = Behaviour {
        bad_pulls: 3,
        ..Behaviour::default()
    };
    let mut world =
        World::new(pod(json!([{ "name": "a", "image": "i" }]), json!({}))).behave("a", bad);
    world.run(1);
    assert_eq!(
        world.container("a")["state"]["waiting"]["reason"],
        "ErrImagePull"
    );
    assert_eq!(world.phase(), "Pending");
    world.run(15);
    assert_eq!(
        world.container("a")["state"]["waiting"]["reason"],
        "ImagePullBackOff"
    );
    world.run(60);
    assert_eq!(world.when("start a#0"), Some(10 + 20 + 40));
    assert_eq!(world.phase(), "Running");
    assert!(
        world
            .notices
            .iter()
            .any(|notice| notice.reason == "Failed" && notice.warning)
    );
}

#[test]
fn a_start_that_fails_says_so_and_is_tried_again() {
    let bad = Behaviour {
        bad_starts: 2,
        ..Behaviour::default()
    };
    let mut world =
        World::new(pod(json!([{ "name": "a", "image": "i" }]), json!({}))).behave("a", bad);
    world.run(1);
    let waiting = &world.container("a")["state"]["waiting"];
    assert_eq!(
        (&waiting["reason"], &waiting["message"]),
        (&json!("RunContainerError"), &json!("no such command"))
    );
    world.run(60);
    assert_eq!(
        (world.phase(), world.when("start a#0")),
        ("Running", Some(30))
    );
    assert_eq!(world.container("a")["restartCount"], 0);
}

#[test]
fn a_sandbox_that_cannot_be_made_is_tried_again() {
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), json!({})));
    world.runtime.bad_sandboxes = 2;
    world.run(10);
    assert_eq!((world.runtime.sandboxes, world.phase()), (1, "Running"));
    assert_eq!(world.notices[0].reason, "FailedCreatePodSandBox");
}

#[test]
fn readiness_gates_are_waited_for() {
    let spec = json!({ "readinessGates": [{ "conditionType": "example.com/lb" }] });
    let mut world = World::new(pod(json!([{ "name": "a", "image": "i" }]), spec));
    world.run(5);
    assert!(world.is("ContainersReady") && !world.is("Ready"));
    assert_eq!(world.condition("Ready")["reason"], "ReadinessGatesNotReady");
    let gate = |status: &str| json!({ "type": "example.com/lb", "status": status });
    world.change(|object| {
        object["status"]["conditions"]
            .as_array_mut()
            .unwrap()
            .push(gate("True"))
    });
    world.run(1);
    assert!(world.is("Ready"));
    assert!(world.is("example.com/lb"), "others' conditions stay");
}

#[test]
fn a_changed_image_restarts_its_container_alone() {
    let containers = json!([{ "name": "a", "image": "i:1" }, { "name": "b", "image": "i:1" }]);
    // Whatever the policy is.
    let mut world = World::new(pod(containers, json!({ "restartPolicy": "Never" })))
        .behave("a", stops_after(1))
        .behave("b", stops_after(1));
    world.run(5);
    world.change(|object| {
        object["spec"]["containers"][0]["image"] = json!("i:2");
        object["metadata"]["generation"] = json!(2);
    });
    world.run(20);
    assert_eq!(
        world.log(),
        [
            "start a#0",
            "start b#0",
            "signal a#0",
            "exit a#0",
            "start a#1"
        ]
    );
    assert_eq!(world.container("a")["image"], "i:2");
    assert_eq!(world.status()["observedGeneration"], 2);
}
