use serde_json::{Value, json};

use crate::support::{Behaviour, World, exits, pod, stops_after};

fn one() -> Value {
    pod(json!([{ "name": "a", "image": "i" }]), json!({}))
}

#[test]
fn another_agent_goes_on_without_touching_anything() {
    let probe = json!({ "httpGet": { "port": 80 }, "periodSeconds": 10 });
    let containers = json!([{ "name": "a", "image": "i", "readinessProbe": probe,
        "resources": { "requests": { "cpu": "500m" }, "limits": { "memory": "1Gi" } } }]);
    let init = json!([{ "name": "init", "image": "i" }, { "name": "side", "image": "i", "restartPolicy": "Always" }]);
    let mut world = World::new(pod(containers, json!({ "initContainers": init })))
        .behave("init", exits(&[(1, 0)]))
        .behave("a", exits(&[(5, 1), (1000, 0)]));
    world.run(10);
    let (writes, log, status) = (
        world.writes.len(),
        world.log().len(),
        world.status().clone(),
    );
    world.restart_agent();
    world.run(1);
    world.restart_agent();
    world.run(20);
    assert_eq!(world.writes.len(), writes, "{:#?}", world.writes.last());
    assert_eq!(world.status(), &status);
    let news: Vec<_> = world.log()[log..]
        .iter()
        .copied()
        .filter(|text| *text != "readiness a")
        .collect();
    assert!(news.is_empty(), "{news:?}");
}

#[test]
fn a_restart_that_was_missed_is_made_up_for() {
    let mut world = World::new(one()).behave("a", exits(&[(5, 1), (1000, 0)]));
    world.run(4);
    // It exits while no agent is there.
    world.runtime.now += jiff::SignedDuration::from_secs(10);
    world.runtime.due();
    world.restart_agent();
    world.run(1);
    let told = world.container("a");
    assert_eq!(
        (
            &told["restartCount"],
            &told["lastState"]["terminated"]["exitCode"]
        ),
        (&json!(1), &json!(1))
    );
    assert_eq!(world.runtime.running(), ["a"]);
}

#[test]
fn after_a_reboot_everything_starts_over() {
    let init = json!([{ "name": "init", "image": "i" }]);
    let mut world = World::new(pod(
        json!([{ "name": "a", "image": "i" }]),
        json!({ "initContainers": init }),
    ))
    .behave("init", exits(&[(1, 0)]));
    world.run(10);
    world.runtime.reboot();
    world.restart_agent();
    world.run(10);
    assert_eq!(
        world.log()[3..],
        ["start init#1", "exit init#1", "start a#1"]
    );
    let told = world.container("a");
    assert_eq!(
        told["lastState"]["terminated"]["reason"],
        "ContainerStatusUnknown"
    );
    assert_eq!((world.phase(), world.is("Ready")), ("Running", true));
}

#[test]
fn after_a_reboot_a_pod_that_never_restarts_has_failed() {
    let mut world = World::new(pod(
        json!([{ "name": "a", "image": "i" }]),
        json!({ "restartPolicy": "Never" }),
    ));
    world.run(10);
    world.runtime.reboot();
    world.restart_agent();
    world.run(10);
    assert_eq!((world.phase(), world.runtime.sandboxes), ("Failed", 1));
}

#[test]
fn a_deletion_goes_on_where_it_was() {
    let mut world = World::new(one());
    world.run(5);
    world.delete(30);
    world.run(20);
    world.restart_agent();
    world.run(60);
    // The rest of the grace, and not all of it again.
    assert_eq!(world.when("kill a#0"), Some(35));
    assert!(world.object_deleted);
}

#[test]
fn a_post_start_hook_that_nobody_saw_ending_runs_again() {
    let hooks = json!({ "postStart": { "exec": { "command": ["x"] } } });
    let containers = json!([{ "name": "a", "image": "i", "lifecycle": hooks }]);
    let mut world = World::new(pod(containers, json!({}))).behave(
        "a",
        Behaviour {
            hook: 5,
            ..stops_after(0)
        },
    );
    world.run(2);
    world.restart_agent();
    world.run(10);
    assert_eq!(world.whens("PostStart a#0"), [0, 2]);
    assert!(world.is("Ready"));
}

#[test]
fn what_ended_stays_as_it_was_told() {
    let mut world = World::new(pod(
        json!([{ "name": "a", "image": "i" }]),
        json!({ "restartPolicy": "Never" }),
    ))
    .behave("a", exits(&[(1, 7)]));
    world.run(10);
    let (status, writes) = (world.status().clone(), world.writes.len());
    world.runtime.reboot();
    world.restart_agent();
    world.state.changed();
    world.run(10);
    assert_eq!((world.status(), world.writes.len()), (&status, writes));
}
