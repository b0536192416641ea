use mosaic_node::lifecycle::{Phase, Verdict};
use serde_json::{Value, json};

use crate::support::{Behaviour, World, exits, pod, stops_after};

fn one() -> Value {
    pod(json!([{ "name": "a", "image": "i" }]), json!({}))
}

#[test]
fn deletion_signals_tells_and_then_deletes() {
    let mut world = World::new(one()).behave("a", stops_after(3));
    world.run(5);
    world.delete(30);
    world.run(2);
    assert_eq!(world.writes.len(), 1, "that it ends is no news yet");
    world.run(28);
    assert_eq!(
        world.log()[1..],
        ["signal a#0", "exit a#0", "remove sandbox", "delete object"]
    );
    assert_eq!(world.when("delete object"), Some(8));
    assert_eq!((world.writes.len(), world.phase()), (2, "Succeeded"));
    assert!(!world.is("Ready"));
    assert_eq!(world.status()["observedGeneration"], 2);
}

#[test]
fn who_ignores_the_signal_is_killed_when_the_grace_is_over() {
    let mut world = World::new(one()).behave("a", Behaviour::default());
    world.run(5);
    world.delete(30);
    world.run(60);
    assert_eq!(
        (world.when("signal a#0"), world.when("kill a#0")),
        (Some(5), Some(35))
    );
    assert_eq!((world.phase(), world.object_deleted), ("Failed", true));
}

#[test]
fn a_second_deletion_shortens_the_grace() {
    let mut world = World::new(one()).behave("a", Behaviour::default());
    world.run(5);
    world.delete(300);
    world.run(10);
    world.delete(5);
    world.run(10);
    assert_eq!(world.when("kill a#0"), Some(15));
}

#[test]
fn who_ignores_the_kill_is_killed_again_and_holds_its_pod() {
    let mut world = World::new(one()).behave(
        "a",
        Behaviour {
            hangs: true,
            ..Behaviour::default()
        },
    );
    world.run(5);
    world.delete(5);
    world.run(30);
    assert_eq!(world.whens("kill a#0"), [10, 20, 30]);
    assert!(!world.object_deleted);
    assert_eq!(world.runtime.running(), ["a"]);
}

#[test]
fn the_pre_stop_hook_is_inside_the_grace() {
    let hooks = json!({ "preStop": { "exec": { "command": ["x"] } } });
    let containers = json!([{ "name": "a", "image": "i", "lifecycle": hooks }]);
    let object = pod(containers, json!({}));
    let hook = |seconds| Behaviour {
        hook: seconds,
        ..Behaviour::default()
    };
    let mut world = World::new(object.clone()).behave("a", hook(4));
    world.run(5);
    world.delete(10);
    world.run(20);
    let times = ["PreStop a#0", "signal a#0", "kill a#0"].map(|text| world.when(text));
    assert_eq!(times, [Some(5), Some(9), Some(15)]);
    // A hook that takes all of it leaves the container the least there is.
    let mut world = World::new(object).behave("a", hook(100));
    world.run(5);
    world.delete(10);
    world.run(20);
    let times = ["PreStop a#0", "signal a#0", "kill a#0"].map(|text| world.when(text));
    assert_eq!(times, [Some(5), Some(15), Some(17)]);
}

#[test]
fn sidecars_stop_last_and_in_reverse() {
    let init = json!([
        { "name": "one", "image": "i", "restartPolicy": "Always" },
        { "name": "two", "image": "i", "restartPolicy": "Always" },
    ]);
    let object = pod(
        json!([{ "name": "a", "image": "i" }, { "name": "b", "image": "i" }]),
        json!({ "initContainers": init }),
    );
    let mut world = World::new(object.clone())
        .behave("one", stops_after(1))
        .behave("two", stops_after(1))
        .behave("a", stops_after(2))
        .behave("b", stops_after(4));
    world.run(5);
    world.delete(30);
    world.run(30);
    let times = ["a", "b", "two", "one"].map(|name| world.when(&format!("signal {name}#0")));
    assert_eq!(times, [Some(5), Some(5), Some(9), Some(10)]);
    assert!(world.object_deleted);
    // When the time is up nobody waits for anybody.
    let mut world = World::new(object);
    world.run(5);
    world.delete(10);
    world.run(30);
    let times = [
        "signal a#0",
        "kill a#0",
        "signal two#0",
        "signal one#0",
        "kill two#0",
    ]
    .map(|text| world.when(text));
    assert_eq!(times, [Some(5), Some(15), Some(15), Some(15), Some(17)]);
}

#[test]
fn a_pod_deleted_before_it_ran_starts_nothing() {
    let mut world = World::new(one()).behave(
        "a",
        Behaviour {
            bad_pulls: 9,
            ..Behaviour::default()
        },
    );
    world.run(1);
    world.delete(30);
    world.run(60);
    assert_eq!(world.log(), ["remove sandbox", "delete object"]);
    assert_eq!(world.phase(), "Failed");
    let mut world = World::new(one());
    world.delete(30);
    world.run(60);
    assert_eq!((world.runtime.sandboxes, world.object_deleted), (0, true));
}

#[test]
fn an_ended_pod_is_removed_at_once_when_deleted() {
    let mut world = World::new(pod(
        json!([{ "name": "a", "image": "i" }]),
        json!({ "restartPolicy": "Never" }),
    ))
    .behave("a", exits(&[(1, 0)]));
    world.run(10);
    let writes = world.writes.len();
    world.delete(30);
    world.run(0);
    world.run(0);
    assert_eq!((world.object_deleted, world.writes.len()), (true, writes));
    assert_eq!(world.seconds(), 10);
}

#[test]
fn an_object_that_is_gone_takes_what_runs_with_it() {
    let mut world = World::new(one());
    world.run(5);
    let writes = world.writes.len();
    world.pod.gone = true;
    world.run(10);
    assert_eq!(
        world.log()[1..],
        ["signal a#0", "kill a#0", "exit a#0", "remove sandbox"]
    );
    assert_eq!((world.writes.len(), world.state.is_over()), (writes, true));
}

#[test]
fn an_evicted_pod_fails_and_says_that_it_was_disturbed() {
    let mut world = World::new(one()).behave("a", stops_after(1));
    world.run(5);
    world.state.end(Verdict {
        reason: "Evicted".into(),
        message: "The node was low on resource: memory.".into(),
        grace: Some(0),
        disruption: true,
    });
    world.run(10);
    assert_eq!(
        (world.phase(), &world.status()["reason"]),
        ("Failed", &json!("Evicted"))
    );
    assert_eq!(
        world.condition("DisruptionTarget")["reason"],
        "TerminationByKubelet"
    );
    assert_eq!(world.state.ended(), Some(Phase::Failed));
    assert!(!world.object_deleted);
}

#[test]
fn a_pod_that_others_gave_up_is_stopped() {
    let mut world = World::new(one()).behave("a", stops_after(0));
    world.run(5);
    world.change(|object| object["status"]["phase"] = json!("Failed"));
    world.run(10);
    assert_eq!(
        (world.runtime.running().len(), world.phase()),
        (0, "Failed")
    );
}

#[test]
fn readiness_goes_on_while_a_pod_ends() {
    let probe = json!({ "httpGet": { "port": 80 }, "periodSeconds": 1, "failureThreshold": 1 });
    let containers =
        json!([{ "name": "a", "image": "i", "readinessProbe": probe, "livenessProbe": probe }]);
    let failing = Behaviour {
        probes: [
            ("readiness", [vec![true; 6], vec![false]].concat()),
            ("liveness", [vec![true; 6], vec![false]].concat()),
        ]
        .into(),
        ..Behaviour::default()
    };
    let mut world = World::new(pod(containers, json!({}))).behave("a", failing);
    world.run(5);
    assert!(world.is("Ready"));
    world.delete(60);
    world.run(5);
    assert!(!world.is("Ready"));
    assert_eq!(
        world.runtime.running(),
        ["a"],
        "liveness does not cut the grace short"
    );
}
