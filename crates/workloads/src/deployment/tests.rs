use std::sync::Arc;

use k8s_openapi::{
    api::apps::v1::{Deployment, ReplicaSet, ReplicaSetStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::{Value, json};

use super::*;
use crate::plan::Object;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A deployment and its sets, which obey at once: their pods are there and available as soon as they are
/// wanted, unless the test says otherwise.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    pods: Vec<Arc<Pod>>,
    failure: Option<Failure>,
    now: i64,
}

impl World {
    fn new(replicas: i32, more: Value) -> Self {
        let mut spec = json!({
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        Self {
            deployment: serde_json::from_value(json!({
                "metadata": {
                    "name": "web", "namespace": "shop", "uid": "d", "generation": 1,
                    "annotations": {"note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
                },
                "spec": spec,
            }))
            .unwrap(),
            sets: Vec::new(),
            pods: Vec::new(),
            failure: None,
            now: 0,
        }
    }

    fn plan(&self) -> Plan<DeploymentStatus> {
        let sets: Vec<_> = self.sets.iter().cloned().map(Arc::new).collect();
        plan(&Snapshot {
            deployment: &self.deployment,
            sets: &sets,
            pods: &self.pods,
            failure: self.failure.as_ref(),
            now: time(self.now),
        })
    }

    /// Carries a plan out, and tells what was done to the sets.
    fn step(&mut self) -> Vec<String> {
        self.now += 1;
        let plan = self.plan();
        let mut told = Vec::new();
        for action in plan.actions {
            match action {
                Action::Create {
                    object: Object::ReplicaSet(set),
                    ..
                } => {
                    let mut set = *set;
                    let number = self.sets.len() + 1;
                    set.metadata.uid = Some(format!("s{number}"));
                    set.metadata.resource_version = Some("1".into());
                    set.metadata.generation = Some(1);
                    set.metadata.creation_timestamp = Some(Time(time(self.now)));
                    told.push(format!(
                        "create {} with {}",
                        number,
                        set.spec.replicas.unwrap()
                    ));
                    self.sets.push(set);
                }
                Action::Patch {
                    target,
                    change:
                        Change::ReplicaSet {
                            replicas,
                            min_ready_seconds,
                            annotations,
                        },
                    ..
                } => {
                    let set = self
                        .sets
                        .iter_mut()
                        .find(|s| s.metadata.uid.as_ref() == Some(&target.uid))
                        .unwrap();
                    assert_eq!(target.resource_version, set.metadata.resource_version);
                    if let Some(replicas) = replicas {
                        told.push(format!("scale {} to {replicas}", &target.uid[1..]));
                        set.spec.replicas = Some(replicas);
                    }
                    set.spec.min_ready_seconds = min_ready_seconds.or(set.spec.min_ready_seconds);
                    for (key, value) in annotations {
                        set.metadata
                            .annotations
                            .get_or_insert_default()
                            .insert(key, value.unwrap());
                    }
                    let version: i32 = set
                        .metadata
                        .resource_version
                        .as_ref()
                        .unwrap()
                        .parse()
                        .unwrap();
                    set.metadata.resource_version = Some((version + 1).to_string());
                }
                Action::Patch {
                    change: Change::SetAnnotations(annotations),
                    ..
                } => {
                    self.deployment
                        .metadata
                        .annotations
                        .get_or_insert_default()
                        .extend(annotations);
                }
                Action::Delete { target, .. } => {
                    told.push(format!("delete {}", &target.uid[1..]));
                    self.sets
                        .retain(|s| s.metadata.uid.as_ref() != Some(&target.uid));
                }
                Action::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if let Some(status) = plan.status {
            self.deployment.status = Some(status);
        }
        told
    }

    /// The sets' pods become what their sets want; `available` of them work.
    fn settle(&mut self, available: impl Fn(&str, i32) -> i32) {
        for set in &mut self.sets {
            let replicas = set.spec.replicas.unwrap();
            let works = available(set.metadata.uid.as_deref().unwrap(), replicas);
            set.status = Some(ReplicaSetStatus {
                replicas,
                ready_replicas: Some(works),
                available_replicas: Some(works),
                observed_generation: set.metadata.generation,
                ..ReplicaSetStatus::default()
            });
        }
    }

    /// Everything that is done until nothing is left to do.
    fn run(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..100 {
            let steps = self.step();
            told.extend(steps);
            self.settle(|_, replicas| replicas);
            if self.plan().is_done() {
                return told;
            }
        }
        panic!("never done: {:?}", self.plan());
    }

    fn set_image(&mut self, image: &str) {
        let spec = self.deployment.spec.template.spec.as_mut().unwrap();
        spec.containers[0].image = Some(image.into());
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn scale(&mut self, replicas: i32) {
        self.deployment.spec.replicas = Some(replicas);
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn condition(&self, type_: &str) -> (String, String, String) {
        let status = self.deployment.status.as_ref().unwrap();
        let c = conditions::find(status, type_).unwrap_or_else(|| panic!("{type_}: {status:?}"));
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        (text(&c.status), text(&c.reason), text(&c.message))
    }

    fn annotation(&self, set: usize, key: &str) -> Option<&str> {
        owner::annotation(&self.sets[set].metadata, key)
    }
}

#[test]
fn a_new_deployment_gets_a_set_with_all_pods() {
    let mut world = World::new(3, json!({"minReadySeconds": 5}));
    assert_eq!(world.step(), ["create 1 with 3"]);
    let set = serde_json::to_value(&world.sets[0]).unwrap();
    let hash = set["metadata"]["labels"][TEMPLATE_HASH].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(
        set["spec"]["selector"]["matchLabels"],
        json!({"app": "web", TEMPLATE_HASH: hash})
    );
    assert_eq!(
        set["spec"]["template"]["metadata"]["labels"],
        json!({"app": "web", TEMPLATE_HASH: hash})
    );
    assert_eq!(set["spec"]["minReadySeconds"], 5);
    assert_eq!(
        set["metadata"]["annotations"],
        json!({"note": "n", REVISION: "1", DESIRED_REPLICAS: "3", MAX_REPLICAS: "4"})
    );
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetCreated");
    assert_eq!(world.condition("Available").1, "MinimumReplicasUnavailable");
    assert_eq!(world.run(), Vec::<String>::new());
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
    assert_eq!(
        world.condition("Available"),
        (
            "True".into(),
            "MinimumReplicasAvailable".into(),
            "Deployment has minimum availability.".into()
        )
    );
    assert_eq!(
        owner::annotation(&world.deployment.metadata, REVISION),
        Some("1")
    );
    // What `kubectl rollout status` waits for.
    let status = world.deployment.status.unwrap();
    assert_eq!(
        (
            status.observed_generation,
            status.replicas,
            status.updated_replicas,
            status.available_replicas
        ),
        (Some(1), Some(3), Some(3), Some(3))
    );
}

#[test]
fn a_rolling_update_stays_within_its_bounds() {
    for (surge, unavailable, expected) in [
        (
            json!(1),
            json!(0),
            "create 2 with 1, scale 1 to 2, scale 2 to 2, scale 1 to 1, scale 2 to 3, scale 1 to 0",
        ),
        (
            json!(0),
            json!(1),
            "create 2 with 0, scale 1 to 2, scale 2 to 1, scale 1 to 1, scale 2 to 2, scale 1 to 0, scale 2 to 3",
        ),
        (
            json!("25%"),
            json!("25%"),
            "create 2 with 1, scale 1 to 2, scale 2 to 2, scale 1 to 1, scale 2 to 3, scale 1 to 0",
        ),
        (json!("100%"), json!("0%"), "create 2 with 3, scale 1 to 0"),
        // They are never both nothing.
        (
            json!(0),
            json!("10%"),
            "create 2 with 0, scale 1 to 2, scale 2 to 1, scale 1 to 1, scale 2 to 2, scale 1 to 0, scale 2 to 3",
        ),
    ] {
        let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}});
        let mut world = World::new(3, strategy);
        world.run();
        world.set_image("i:2");
        assert_eq!(world.run().join(", "), expected, "{surge} {unavailable}");
        assert_eq!(world.annotation(1, REVISION), Some("2"));
    }
}

#[test]
fn new_pods_wait_until_old_ones_have_gone() {
    let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}});
    let mut world = World::new(4, strategy);
    world.run();
    world.set_image("i:2");
    assert_eq!(world.step(), ["create 2 with 0"]);
    assert_eq!(world.step(), ["scale 1 to 2"]);
    // The old set still has all of its pods: there is no room.
    assert_eq!(world.step(), Vec::<String>::new());
    world.settle(|_, replicas| replicas);
    assert_eq!(world.step(), ["scale 2 to 2"]);
}

#[test]
fn old_pods_that_do_not_work_go_first() {
    let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 2}}});
    let mut world = World::new(8, strategy);
    world.run();
    // Half of the first and all of the second template's pods are broken.
    world.set_image("i:2");
    world.step();
    world.step();
    let broken = |uid: &str, replicas: i32| match uid {
        "s1" => replicas / 2,
        "s2" => 0,
        _ => replicas,
    };
    world.settle(broken);
    let sizes = |world: &World| {
        world
            .sets
            .iter()
            .map(|s| s.spec.replicas.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(&world), [6, 2]);
    world.step();
    assert_eq!(sizes(&world), [6, 4]);
    world.settle(broken);
    world.set_image("i:3");
    world.step();
    world.settle(broken);
    world.step();
    // Two of ten may go, as eight are to stay or come: the first set's broken ones.
    assert_eq!(sizes(&world)[..2], [6 - 3, 4 - 1]);
}

#[test]
fn recreate_lets_old_pods_go_before_new_ones_come() {
    let mut world = World::new(3, json!({"strategy": {"type": "Recreate"}}));
    world.run();
    world.set_image("i:2");
    assert_eq!(world.step(), ["scale 1 to 0"]);
    // The set still has pods; then it has none, but one is on its way out.
    assert_eq!(world.step(), Vec::<String>::new());
    world.settle(|_, replicas| replicas);
    let pod = json!({"metadata": {
        "name": "p", "uid": "p", "deletionTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "s1", "controller": true}],
    }});
    world.pods = vec![Arc::new(serde_json::from_value(pod).unwrap())];
    assert_eq!(world.step(), Vec::<String>::new());
    world.pods.clear();
    assert_eq!(world.step(), ["create 2 with 3"]);
    assert_eq!(world.run(), Vec::<String>::new());
}

#[test]
fn a_paused_deployment_changes_sizes_and_nothing_else() {
    let mut world = World::new(4, json!({}));
    world.run();
    world.deployment.spec.paused = Some(true);
    world.set_image("i:2");
    assert_eq!(world.run(), Vec::<String>::new());
    assert_eq!(world.condition("Progressing").1, "DeploymentPaused");
    world.scale(6);
    assert_eq!(world.run(), ["scale 1 to 6"]);
    world.deployment.spec.paused = None;
    let steps = world.run();
    assert_eq!(steps[0], "create 2 with 2");
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn resuming_starts_the_clock_anew() {
    let mut world = World::new(4, json!({"paused": true}));
    world.step();
    world.deployment.spec.paused = None;
    world.now += 10_000;
    let plan = world.plan();
    let progressing = conditions::reason(plan.status.as_ref().unwrap(), "Progressing");
    assert_eq!(progressing, Some("NewReplicaSetCreated"));
}

#[test]
fn a_template_that_comes_back_gets_its_old_set_with_a_new_number() {
    let mut world = World::new(2, json!({}));
    world.run();
    world.set_image("i:2");
    world.run();
    world.set_image("i:1");
    let steps = world.run();
    assert!(
        steps.iter().all(|step| step.starts_with("scale")),
        "{steps:?}"
    );
    assert_eq!(world.annotation(0, REVISION), Some("3"));
    assert_eq!(world.annotation(0, REVISION_HISTORY), Some("1"));
    assert_eq!(world.annotation(1, REVISION), Some("2"));
    assert_eq!(
        owner::annotation(&world.deployment.metadata, REVISION),
        Some("3")
    );
}

#[test]
fn old_sets_are_deleted_beyond_the_limit() {
    let mut world = World::new(1, json!({"revisionHistoryLimit": 1}));
    world.run();
    for image in ["i:2", "i:3", "i:4"] {
        world.set_image(image);
        world.run();
    }
    let names: Vec<_> = world
        .sets
        .iter()
        .map(|s| annotations::revision(&s.metadata))
        .collect();
    assert_eq!(names, [3, 4]);
}

#[test]
fn sets_are_scaled_in_proportion_during_a_rollout() {
    // The example of Kubernetes' documentation: 10 replicas, maxSurge 3, maxUnavailable 2, a new image that does not come up,
    // and then 15 replicas.
    let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}});
    let mut world = World::new(10, strategy);
    world.run();
    world.set_image("i:broken");
    for _ in 0..5 {
        world.step();
        world.settle(|uid, replicas| if uid == "s1" { replicas } else { 0 });
    }
    let sizes = |world: &World| {
        world
            .sets
            .iter()
            .map(|s| s.spec.replicas.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(&world), [8, 5]);
    world.scale(15);
    world.step();
    assert_eq!(sizes(&world), [11, 7]);
    assert_eq!(world.annotation(0, DESIRED_REPLICAS), Some("15"));
    assert_eq!(world.annotation(1, MAX_REPLICAS), Some("18"));
    world.settle(|uid, replicas| if uid == "s1" { replicas } else { 0 });
    assert_eq!(world.step(), Vec::<String>::new());
    // And down again to nothing.
    world.scale(0);
    world.step();
    assert_eq!(sizes(&world), [0, 0]);
}

#[test]
fn a_rollout_without_progress_is_told_after_the_deadline() {
    let mut world = World::new(3, json!({}));
    world.run();
    world.set_image("i:broken");
    for _ in 0..4 {
        world.step();
        world.settle(|uid, replicas| if uid == "s1" { replicas } else { 0 });
    }
    assert_eq!(world.condition("Progressing").1, "ReplicaSetUpdated");
    let again = world.plan().again.unwrap();
    world.now = again.as_second() - time(0).as_second() - 2;
    assert!(world.plan().is_done());
    world.now += 2;
    world.step();
    let (status, reason, message) = world.condition("Progressing");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "ProgressDeadlineExceeded")
    );
    assert!(message.ends_with("has timed out progressing."), "{message}");
    assert!(world.plan().is_done());
    assert_eq!(world.plan().again, None);
    // When it works after all, that is progress.
    world.run();
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn pods_that_break_after_a_rollout_do_not_undo_it() {
    let mut world = World::new(4, json!({}));
    world.run();
    world.settle(|_, _| 1);
    world.step();
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
    assert_eq!(world.condition("Available").1, "MinimumReplicasUnavailable");
    assert_eq!(
        world
            .deployment
            .status
            .as_ref()
            .unwrap()
            .unavailable_replicas,
        Some(3)
    );
}

#[test]
fn a_name_that_is_taken_is_a_collision() {
    let mut world = World::new(1, json!({}));
    let Action::Create {
        object: Object::ReplicaSet(set),
        ..
    } = &world.plan().actions[0]
    else {
        panic!()
    };
    let mut other = ReplicaSet::clone(set);
    other.metadata.owner_references = None;
    other.metadata.labels = None;
    other.spec.template = None;
    world.sets.push(other);
    assert_eq!(world.step(), Vec::<String>::new());
    assert_eq!(
        world.deployment.status.as_ref().unwrap().collision_count,
        Some(1)
    );
    assert_eq!(world.step(), ["create 2 with 1"]);
    assert_ne!(world.sets[0].metadata.name, world.sets[1].metadata.name);
}

#[test]
fn failures_are_passed_on() {
    let mut world = World::new(1, json!({}));
    world.failure = Some(Failure {
        creating: true,
        message: "no".into(),
    });
    let status = world.plan().status.unwrap();
    assert_eq!(
        conditions::reason(&status, "Progressing"),
        Some("ReplicaSetCreateError")
    );
    world.failure = None;
    world.run();
    let condition = k8s_openapi::api::apps::v1::ReplicaSetCondition {
        type_: Some("ReplicaFailure".into()),
        status: Some("True".into()),
        reason: Some("FailedCreate".into()),
        ..Default::default()
    };
    world.sets[0].status.as_mut().unwrap().conditions = Some(vec![condition]);
    world.step();
    assert_eq!(world.condition("ReplicaFailure").1, "FailedCreate");
    world.run();
    assert!(
        conditions::find(world.deployment.status.as_ref().unwrap(), "ReplicaFailure").is_none()
    );
}

#[test]
fn a_selector_of_everything_is_refused() {
    let mut world = World::new(1, json!({"selector": {}}));
    let plan = world.plan();
    assert!(matches!(&plan.actions[..], [Action::Event(event)] if event.reason == "SelectingAll"));
    world.step();
    assert_eq!(world.plan().actions, []);
}
