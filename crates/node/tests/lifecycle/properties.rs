//! Whatever containers do and whenever the agent dies.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Behaviour, World, pod};

#[derive(Debug, Clone)]
enum Event {
    Pass(i64),
    KillAgent,
    Reboot,
    LoseSandbox,
    Delete(i64),
    Gone,
    ChangeImage,
    Resize(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_i64..40).prop_map(Event::Pass),
        4 => Just(Event::KillAgent),
        1 => Just(Event::Reboot),
        1 => Just(Event::LoseSandbox),
        1 => (0_i64..60).prop_map(Event::Delete),
        1 => Just(Event::Gone),
        1 => Just(Event::ChangeImage),
        1 => (1_u8..9).prop_map(Event::Resize),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let exits = prop::collection::vec((0_i64..30, 0_i32..3), 0..4);
    let results = || prop::collection::vec(any::<bool>(), 1..6);
    let numbers = (0_u32..3, 0_u32..3, 0_i64..20);
    (
        exits,
        prop::option::of(0_i64..50),
        numbers,
        any::<bool>(),
        results(),
        results(),
        results(),
    )
        .prop_map(
            |(
                exits,
                stops_after,
                (bad_pulls, bad_starts, hook),
                bad_hook,
                startup,
                liveness,
                readiness,
            )| Behaviour {
                exits,
                stops_after,
                bad_pulls,
                bad_starts,
                hook,
                bad_hook,
                probes: [
                    ("startup", startup),
                    ("liveness", liveness),
                    ("readiness", readiness),
                ]
                .into(),
                ..Behaviour::default()
            },
        )
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let policy = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("Never")), 1 => Just(json!("OnFailure")), 1 => Just(json!("Always"))];
    (policy, any::<[bool; 5]>()).prop_map(
        move |(policy, [startup, liveness, readiness, post, pre])| {
            let probe =
                json!({ "tcpSocket": { "port": 1 }, "periodSeconds": 3, "failureThreshold": 2 });
            let mut container =
                json!({ "name": name, "image": "i", "resources": { "requests": { "cpu": "1" } } });
            let plain_init = name.starts_with("init") && policy != "Always";
            for (field, wanted) in [
                ("startupProbe", startup),
                ("livenessProbe", liveness),
                ("readinessProbe", readiness),
            ] {
                if wanted && !plain_init {
                    container[field] = probe.clone();
                }
            }
            if !plain_init {
                if post {
                    container["lifecycle"]["postStart"] = json!({ "sleep": { "seconds": 1 } });
                }
                if pre {
                    container["lifecycle"]["preStop"] = json!({ "sleep": { "seconds": 1 } });
                }
            }
            container["restartPolicy"] = policy;
            container
        },
    )
}

fn object() -> impl Strategy<Value = Value> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    let init = (container("init-1"), container("init-2"), 0_usize..3);
    let main = (container("main-1"), container("main-2"), 1_usize..3);
    (policy, init, main, 0_i64..60, prop::option::of(1_i64..200)).prop_map(|(policy, init, main, grace, deadline)| {
        let spec = json!({
            "restartPolicy": policy, "terminationGracePeriodSeconds": grace, "activeDeadlineSeconds": deadline,
            "initContainers": (&[init.0, init.1][..init.2]),
        });
        pod(json!(&[main.0, main.1][..main.2]), spec)
    })
}

fn behaviours() -> impl Strategy<Value = Vec<(&'static str, Behaviour)>> {
    let names = ["init-1", "init-2", "main-1", "main-2"];
    prop::collection::vec(behaviour(), 4).prop_map(move |all| names.into_iter().zip(all).collect())
}

fn check(world: &World, before: &str, log: usize) -> Result<(), TestCaseError> {
    let phase = world.phase();
    if matches!(before, "Succeeded" | "Failed") {
        prop_assert_eq!(before, phase, "an end is an end");
    }
    let deleted = world.pod.deletion.is_some() || world.pod.gone;
    if deleted {
        let started: Vec<_> = world.log()[log..]
            .iter()
            .copied()
            .filter(|text| text.starts_with("start"))
            .collect();
        prop_assert!(
            started.is_empty(),
            "started while being deleted: {:?}",
            started
        );
    }
    if matches!(phase, "Succeeded" | "Failed") && !world.pod.gone {
        prop_assert_eq!(
            world.runtime.running(),
            Vec::<String>::new(),
            "ended and running"
        );
    }
    Ok(())
}

proptest! {
    /// Two of a container never run, none runs without a sandbox and no sandbox goes before its containers:
    /// the runtime asserts it.
    #[test]
    fn a_pod_lives_and_ends(
        object in object(), behaviours in behaviours(), events in prop::collection::vec(event(), 0..20),
    ) {
        let mut world = World::new(object);
        for (name, behaviour) in behaviours {
            world = world.behave(name, behaviour);
        }
        for event in events {
            let before = world.phase().to_owned();
            let log = world.log().len();
            match event {
                Event::Pass(seconds) => world.run(seconds),
                Event::KillAgent => {
                    // In the middle of what it was doing.
                    world.step();
                    world.restart_agent();
                }
                Event::Reboot => {
                    world.runtime.reboot();
                    world.restart_agent();
                }
                Event::LoseSandbox => {
                    let lost = mosaic_node::lifecycle::Observation::SandboxLost;
                    if world.runtime.sandbox {
                        world.runtime.reboot();
                        world.state.observe(&world.pod, &world.settings, lost, world.runtime.now);
                        world.restart_agent();
                    }
                }
                Event::Delete(grace) if world.pod.deletion.is_none() => world.delete(grace),
                Event::Delete(_) => {}
                Event::Gone => world.pod.gone = true,
                Event::ChangeImage => world.change(|object| {
                    let count = object["metadata"]["generation"].as_i64().unwrap() + 1;
                    object["metadata"]["generation"] = json!(count);
                    object["spec"]["containers"][0]["image"] = json!(format!("i:{count}"));
                }),
                Event::Resize(cpu) => world.change(|object| {
                    let count = object["metadata"]["generation"].as_i64().unwrap() + 1;
                    object["metadata"]["generation"] = json!(count);
                    object["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!(cpu.to_string());
                }),
            }
            let deleted_before = world.log()[..log].len();
            check(&world, &before, deleted_before)?;
        }
        if world.pod.deletion.is_none() && !world.pod.gone {
            world.delete(20);
        }
        let log = world.log().len();
        world.run(1000);
        check(&world, "", log)?;
        prop_assert!(world.state.is_over(), "{:?}", world.runtime.log);
        prop_assert!(world.object_deleted || world.pod.gone);
        prop_assert!(!world.runtime.sandbox && world.runtime.running().is_empty());
    }
}
