//! What a pod's end means.

use serde_json::{Value, json};

use super::{TRACKING, Time, World, annotations, time};

#[test]
fn a_success_policy_ends_a_job_early() {
    for (rule, done, message) in [
        (
            json!([{"succeededIndexes": "0,2-3", "succeededCount": 2}]),
            vec![1, 3],
            None,
        ),
        (
            json!([{"succeededIndexes": "0,2-3", "succeededCount": 2}]),
            vec![0, 3],
            Some("Matched rules at index 0"),
        ),
        (json!([{"succeededIndexes": "1"}]), vec![0, 2], None),
        (
            json!([{"succeededIndexes": "4"}, {"succeededIndexes": "1"}]),
            vec![1],
            Some("Matched rules at index 1"),
        ),
        (
            json!([{"succeededCount": 2}]),
            vec![4, 1],
            Some("Matched rules at index 0"),
        ),
        (json!([{"succeededIndexes": "7"}]), vec![0], None),
    ] {
        let mut world = World::new(json!({
            "completionMode": "Indexed", "completions": 5, "parallelism": 5, "successPolicy": {"rules": rule},
        }));
        world.run();
        done.iter()
            .for_each(|index| world.succeed(&format!("p{}", index + 1)));
        let steps = world.run();
        assert_eq!(
            world
                .condition("SuccessCriteriaMet")
                .map(|c| c.1)
                .as_deref(),
            message,
            "{rule}"
        );
        if message.is_some() {
            assert_eq!(steps.len(), 5 - done.len(), "{rule} {steps:?}");
            world.vanish();
            assert_eq!(world.run(), ["tell Completed"]);
            assert_eq!(world.condition("Complete").unwrap().0, "SuccessPolicy");
        }
    }
}

fn with_rule(rule: Value) -> World {
    let mut world = World::new(json!({
        "completions": 2, "parallelism": 2, "backoffLimit": 0, "podFailurePolicy": {"rules": [rule]},
    }));
    world.run();
    world
}

#[test]
fn a_failure_policy_says_what_a_failure_means() {
    let codes = |operator: &str, values: Value| json!({"operator": operator, "values": values});
    let mut world =
        with_rule(json!({"action": "FailJob", "onExitCodes": codes("In", json!([42]))}));
    world.exit("p1", "c", 42);
    assert_eq!(world.run(), ["delete p2"]);
    assert_eq!(
        world.condition("FailureTarget").unwrap().0,
        "PodFailurePolicy"
    );
    let name = world.pods[0].name().to_owned();
    assert_eq!(
        world.condition("FailureTarget").unwrap().1,
        format!(
            "Container c for pod shop/{name} failed with exit code 42 matching FailJob rule at index 0"
        )
    );
    // Its pods are only counted when they have really ended.
    assert_eq!(world.counted(), (0, 1));
    world.succeed("p2");
    assert_eq!(world.run(), ["tell PodFailurePolicy"]);
    assert_eq!(world.counted(), (1, 1));

    let mut world =
        with_rule(json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}));
    let conditions = vec![("DisruptionTarget".to_owned(), "True".to_owned())];
    world.end(
        "p1",
        crate::Phase::Failed,
        crate::pod::End {
            conditions,
            ..Default::default()
        },
    );
    assert_eq!(world.run(), ["create"]);
    assert_eq!(
        (world.counted(), world.pod("p1").has_finalizer(TRACKING)),
        ((0, 0), false)
    );

    for rule in [
        json!({"action": "Ignore", "onExitCodes": {"containerName": "i", "operator": "In", "values": [42]}}),
        json!({"action": "Ignore", "onExitCodes": codes("NotIn", json!([42]))}),
        json!({"action": "Count", "onExitCodes": codes("In", json!([42]))}),
        json!({"action": "Unheard", "onExitCodes": codes("In", json!([42]))}),
    ] {
        let mut world = with_rule(rule.clone());
        world.exit("p1", "c", 42);
        assert_eq!(world.run(), ["delete p2"], "{rule}");
        assert_eq!(
            world.condition("FailureTarget").unwrap().0,
            "BackoffLimitExceeded",
            "{rule}"
        );
    }
}

#[test]
fn a_failure_policy_can_fail_an_index_or_spare_it() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 2, "parallelism": 2,
        "backoffLimitPerIndex": 5, "backoffLimit": i32::MAX,
        "podFailurePolicy": {"rules": [
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}},
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2]}},
        ]},
    }));
    world.run();
    world.exit("p1", "c", 1);
    world.exit("p2", "c", 2);
    world.run();
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    world.now = 10;
    assert_eq!(world.run(), ["create #1"]);
    let pod = world.pod("p3").clone();
    assert_eq!(
        (
            pod.annotation(annotations::INDEX_FAILURES),
            pod.annotation(annotations::INDEX_IGNORED_FAILURES)
        ),
        (Some("0"), Some("1"))
    );
    assert_eq!(world.counted(), (0, 1));
}

#[test]
fn pods_are_replaced_when_they_are_asked_to_go_or_only_once_they_have_ended() {
    for (policy, steps) in [("TerminatingOrFailed", vec!["create"]), ("Failed", vec![])] {
        let mut world = World::new(json!({"podReplacementPolicy": policy}));
        world.run();
        world.pod("p1").metadata.deletion_timestamp = Some(Time(time(-100)));
        assert_eq!(world.run(), steps, "{policy}");
        let count = i32::from(policy != "Failed");
        assert_eq!(
            (world.counted(), world.status().terminating),
            ((0, count), Some(1))
        );
        world.fail("p1");
        world.now = 10;
        assert_eq!(
            (world.run().len(), world.counted()),
            (1 - steps.len(), (0, 1))
        );
    }
}
