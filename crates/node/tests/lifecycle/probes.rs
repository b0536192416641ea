use serde_json::json;

use crate::support::{Behaviour, World, pod, stops_after};

fn behaviour(kind: &'static str, results: &[bool]) -> Behaviour {
    Behaviour {
        probes: [(kind, results.to_vec())].into(),
        ..stops_after(0)
    }
}

#[test]
fn ready_from_the_first_good_probe_is_one_write() {
    let probe = json!({ "httpGet": { "port": 80 } });
    let containers = json!([{ "name": "a", "image": "i", "readinessProbe": probe }]);
    let mut world = World::new(pod(containers, json!({})));
    world.run(5);
    assert_eq!((world.writes.len(), world.is("Ready")), (1, true));
}

#[test]
fn readiness_follows_thresholds_and_periods() {
    let probe = json!({ "httpGet": { "port": 80 }, "initialDelaySeconds": 7, "periodSeconds": 5,
        "successThreshold": 2, "failureThreshold": 3 });
    let containers = json!([{ "name": "a", "image": "i", "readinessProbe": probe }]);
    let results = [false, true, true, false, false, true, false, false, false];
    let mut world =
        World::new(pod(containers, json!({}))).behave("a", behaviour("readiness", &results));
    let mut ready = Vec::new();
    for second in 0..60 {
        world.run(1);
        if ready
            .last()
            .is_none_or(|(_, last)| *last != world.is("Ready"))
        {
            ready.push((second + 1, world.is("Ready")));
        }
    }
    assert_eq!(world.whens("readiness a")[..4], [7, 12, 17, 22]);
    // Ready with the second success in a row, at 17; not any more with the third failure in a row, at 47.
    assert_eq!(ready, [(1, false), (17, true), (47, false)]);
    assert_eq!(world.phase(), "Running");
    assert_eq!(
        world
            .log()
            .iter()
            .filter(|text| text.starts_with("signal"))
            .count(),
        0
    );
}

#[test]
fn liveness_restarts_with_its_own_grace() {
    let probe = json!({ "exec": { "command": ["x"] }, "periodSeconds": 5, "failureThreshold": 2,
        "terminationGracePeriodSeconds": 4 });
    let hooks = json!({ "preStop": { "sleep": { "seconds": 1 } } });
    let containers =
        json!([{ "name": "a", "image": "i", "livenessProbe": probe, "lifecycle": hooks }]);
    let stubborn = Behaviour {
        stops_after: None,
        ..behaviour("liveness", &[true, false, false, true])
    };
    let mut world = World::new(pod(
        containers,
        json!({ "terminationGracePeriodSeconds": 60 }),
    ))
    .behave("a", stubborn);
    world.run(40);
    let wanted = [
        "PreStop a#0",
        "signal a#0",
        "kill a#0",
        "exit a#0",
        "start a#1",
    ];
    let log: Vec<_> = world
        .log()
        .into_iter()
        .filter(|text| !text.starts_with("liveness"))
        .collect();
    assert_eq!(log[1..], wanted);
    assert_eq!(
        (world.when("signal a#0"), world.when("kill a#0")),
        (Some(10), Some(14))
    );
    assert_eq!(
        world.container("a")["lastState"]["terminated"]["exitCode"],
        137
    );
    assert!(
        world
            .notices
            .iter()
            .any(|n| n.message == "Liveness probe failed: refused")
    );
}

#[test]
fn nothing_else_is_probed_until_the_startup_probe_succeeds() {
    let container = json!({ "name": "a", "image": "i",
        "startupProbe": { "tcpSocket": { "port": 1 }, "periodSeconds": 1, "failureThreshold": 30 },
        "livenessProbe": { "tcpSocket": { "port": 1 } }, "readinessProbe": { "tcpSocket": { "port": 1 } } });
    let slow = behaviour("startup", &[false, false, false, false, false, true]);
    let mut world = World::new(pod(json!([container]), json!({}))).behave("a", slow);
    world.run(4);
    assert_eq!(world.phase(), "Running");
    let told = world.container("a");
    assert_eq!(
        (&told["started"], &told["ready"]),
        (&json!(false), &json!(false))
    );
    world.run(10);
    assert_eq!(world.when("liveness a"), Some(5));
    assert_eq!(world.when("readiness a"), Some(5));
    assert_eq!(world.whens("startup a").len(), 6);
    assert!(world.is("Ready"));
}

#[test]
fn a_startup_probe_that_fails_for_good_restarts() {
    let container = json!({ "name": "a", "image": "i",
        "startupProbe": { "tcpSocket": { "port": 1 }, "periodSeconds": 2, "failureThreshold": 3 } });
    let mut world =
        World::new(pod(json!([container]), json!({}))).behave("a", behaviour("startup", &[false]));
    world.run(5);
    assert_eq!(world.when("start a#1"), Some(4));
}

#[test]
fn a_failed_post_start_hook_restarts() {
    let hooks = json!({ "postStart": { "exec": { "command": ["x"] } } });
    let containers = json!([{ "name": "a", "image": "i", "lifecycle": hooks }]);
    let bad = Behaviour {
        bad_hook: true,
        ..stops_after(0)
    };
    let mut world = World::new(pod(containers, json!({}))).behave("a", bad);
    world.run(5);
    assert_eq!(
        world.log()[..5],
        [
            "start a#0",
            "PostStart a#0",
            "signal a#0",
            "exit a#0",
            "start a#1"
        ]
    );
    assert!(!world.is("Ready"));
    assert_eq!(world.notices[0].reason, "FailedPostStartHook");
}

#[test]
fn who_is_killed_by_its_host_starts_again_unless_it_never_does() {
    let probe = json!({ "exec": { "command": ["x"] }, "failureThreshold": 1 });
    let containers = json!([{ "name": "a", "image": "i", "livenessProbe": probe }]);
    for (policy, phase, restarts) in [("OnFailure", "Running", 1), ("Never", "Succeeded", 0)] {
        let object = pod(containers.clone(), json!({ "restartPolicy": policy }));
        // It exits with code 0 when it is asked to.
        let mut world = World::new(object).behave("a", behaviour("liveness", &[true, false, true]));
        world.run(15);
        assert_eq!(
            (world.phase(), &world.container("a")["restartCount"]),
            (phase, &json!(restarts)),
            "{policy}"
        );
    }
}
