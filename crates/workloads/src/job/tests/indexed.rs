//! Jobs whose pods have indexes.

use serde_json::json;

use super::{Action, Object, TRACKING, World, annotations, time};

#[test]
fn indexes_are_done_once_each() {
    let mut world =
        World::new(json!({"completionMode": "Indexed", "completions": 4, "parallelism": 2}));
    assert_eq!(world.run(), ["create #0", "create #1"]);
    let mut pod = world.plan();
    pod.actions.clear();
    world.succeed("p2");
    assert_eq!(world.run(), ["create #2"]);
    assert_eq!(world.status().completed_indexes.as_deref(), Some("1"));
    world.fail("p1");
    world.run();
    world.now = 10;
    assert_eq!(world.run(), ["create #0"]);
    for uid in ["p3", "p4"] {
        world.succeed(uid);
    }
    assert_eq!(world.run(), ["create #3"]);
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0-2"));
    world.succeed("p5");
    assert_eq!(world.run(), ["tell Completed"]);
    assert_eq!(world.counted(), (4, 1));
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0-3"));
}

#[test]
fn an_indexed_pod_knows_its_index() {
    let world = World::new(json!({"completionMode": "Indexed"}));
    let plan = world.plan();
    let Action::Create {
        object: Object::Pod(pod),
        ..
    } = &plan.actions[0]
    else {
        panic!()
    };
    let pod = serde_json::to_value(pod).unwrap();
    assert!(
        pod["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("sum-0-")
    );
    assert_eq!(pod["metadata"]["generateName"], "sum-0-");
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({annotations::COMPLETION_INDEX: "0"})
    );
    assert_eq!(
        pod["metadata"]["labels"][annotations::COMPLETION_INDEX],
        "0"
    );
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(pod["spec"]["hostname"], "sum-0");
    let variable = json!([{
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}},
    }]);
    assert_eq!(pod["spec"]["containers"][0]["env"], variable);
    assert_eq!(pod["spec"]["initContainers"][0]["env"], variable);
}

#[test]
fn an_index_may_fail_only_so_often() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX,
    }));
    world.run();
    world.fail("p1");
    world.run();
    // It holds what is known of its index until there is another one.
    assert!(world.pod("p1").has_finalizer(TRACKING));
    assert_eq!(world.plan().again, Some(time(10)));
    world.now = 10;
    assert_eq!(world.run(), ["create #0"]);
    assert_eq!(
        world.pod("p4").annotation(annotations::INDEX_FAILURES),
        Some("1")
    );
    assert!(!world.pod("p1").has_finalizer(TRACKING));
    world.fail("p4");
    assert_eq!(world.run(), Vec::<String>::new());
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    world.now = 1000;
    assert_eq!(world.run(), Vec::<String>::new());
    for uid in ["p2", "p3"] {
        world.succeed(uid);
    }
    assert_eq!(world.run(), ["tell FailedIndexes"]);
    assert_eq!(world.counted(), (2, 2));
}

#[test]
fn too_many_failed_indexes_fail_the_job() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 4, "parallelism": 4,
        "backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "backoffLimit": i32::MAX,
    }));
    world.run();
    world.fail("p1");
    world.run();
    world.fail("p2");
    assert_eq!(world.run(), ["delete p3", "delete p4"]);
    world.vanish();
    assert_eq!(world.run(), ["tell MaxFailedIndexesExceeded"]);
    assert_eq!(world.counted(), (0, 4));
}

#[test]
fn pods_of_wrong_indexes_and_second_ones_are_stopped() {
    let mut world =
        World::new(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    world.run();
    let mut double = world.pods[0].clone();
    double.metadata.uid = Some("double".into());
    double.metadata.name = Some("double".into());
    world.pods.push(double.clone());
    double.metadata.uid = Some("wrong".into());
    double.metadata.annotations = Some([(annotations::COMPLETION_INDEX.into(), "2".into())].into());
    world.pods.push(double);
    let steps = world.run();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps.contains(&"delete wrong".to_owned()));
    assert!(steps.contains(&"delete double".to_owned()) || steps.contains(&"delete p1".to_owned()));
}
