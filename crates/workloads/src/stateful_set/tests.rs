use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use serde_json::{Value, json};

use super::*;
use crate::plan::{Action, Change, Object};

const NOW: &str = "2026-01-01T12:00:00Z";

/// What a pod of an ordinal is like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    Well,
    Starting,
    Failed,
    Leaving,
}
use Is::{Failed, Leaving, Starting, Well};

struct World {
    set: StatefulSet,
    pods: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
    claims: Vec<Arc<Claim>>,
}

impl World {
    /// A set with its first revision written.
    fn new(replicas: i32, more: Value) -> Self {
        let mut spec = json!({
            "replicas": replicas,
            "serviceName": "db",
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let set = json!({
            "metadata": {"name": "db", "namespace": "shop", "uid": "set", "generation": 1},
            "spec": spec,
        });
        let mut world = Self {
            set: serde_json::from_value(set).unwrap(),
            pods: Vec::new(),
            revisions: Vec::new(),
            claims: Vec::new(),
        };
        world.settle();
        world
    }

    fn plan(&self) -> Plan<StatefulSetStatus> {
        plan(&Snapshot {
            set: &self.set,
            pods: &self.pods,
            revisions: &self.revisions,
            claims: &self.claims,
            now: NOW.parse().unwrap(),
        })
    }

    /// Writes revisions and the status.
    fn settle(&mut self) {
        let plan = self.plan();
        for action in plan.actions {
            match action {
                Action::Create {
                    object: Object::Revision(revision),
                    ..
                } => {
                    let mut revision = *revision;
                    revision.metadata.uid = revision.metadata.name.clone();
                    self.revisions.push(Arc::new(revision));
                }
                Action::Patch {
                    target,
                    change: Change::Renumber(number),
                    ..
                } => {
                    let revision = self
                        .revisions
                        .iter_mut()
                        .find(|r| r.metadata.name.as_ref() == Some(&target.name));
                    Arc::make_mut(revision.unwrap()).revision = Some(number);
                }
                _ => {}
            }
        }
        if let Some(status) = plan.status {
            self.set.status = Some(status);
        }
    }

    fn set_image(&mut self, image: &str) {
        let spec = self.set.spec.template.spec.as_mut().unwrap();
        spec.containers[0].image = Some(image.into());
        self.settle();
    }

    fn revision(&self, number: i64) -> String {
        let revision = self.revisions.iter().find(|r| r.revision == Some(number));
        revision.unwrap().metadata.name.clone().unwrap()
    }

    /// A pod of the revision with this number.
    fn pod(&self, ordinal: i32, revision: i64, is: Is) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {
                "name": format!("db-{ordinal}"), "namespace": "shop", "uid": format!("u{ordinal}"),
                "labels": {
                    "app": "db", POD_NAME: format!("db-{ordinal}"), POD_INDEX: ordinal.to_string(),
                    REVISION: self.revision(revision),
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "set", "controller": true,
                }],
            },
            "status": {"phase": "Running", "conditions": [{
                "type": "Ready", "status": if is == Starting { "False" } else { "True" },
                "lastTransitionTime": "2026-01-01T11:59:30Z",
            }]},
        });
        if is == Failed {
            pod["status"] = json!({"phase": "Failed"});
        }
        if is == Leaving {
            pod["metadata"]["deletionTimestamp"] = json!(NOW);
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    /// Has pods of these revisions, from ordinal 0 on.
    fn with(&mut self, pods: &[(i64, Is)]) -> &mut Self {
        let pods = (0..)
            .zip(pods)
            .map(|(ordinal, (revision, is))| self.pod(ordinal, *revision, *is));
        self.pods = pods.collect();
        self.settle();
        self
    }

    /// What the plan does to pods and claims, in words.
    fn steps(&self) -> Vec<String> {
        let plan = self.plan();
        let step = |action: &Action| match action {
            Action::Create { object, .. } => {
                Some(format!("create {}", owner::name(object.metadata())))
            }
            Action::Delete { target, .. } => Some(format!("delete {}", target.name)),
            Action::Patch {
                target,
                change: Change::SetOwners(owners),
                ..
            } => {
                let owners: Vec<_> = owners.iter().map(|o| o.name.as_str()).collect();
                Some(format!("give {} to {}", target.name, owners.join(" and ")))
            }
            Action::Patch { target, .. } => Some(format!("change {}", target.name)),
            Action::Event(_) => None,
        };
        plan.actions.iter().filter_map(step).collect()
    }

    fn created(&self, name: &str) -> Value {
        let plan = self.plan();
        let object = plan.actions.iter().find_map(|action| match action {
            Action::Create {
                object: Object::Pod(pod),
                ..
            } if pod.metadata.name.as_deref() == Some(name) => serde_json::to_value(pod).ok(),
            Action::Create {
                object: Object::Claim(claim),
                ..
            } if claim.metadata.name.as_deref() == Some(name) => serde_json::to_value(claim).ok(),
            _ => None,
        });
        object.unwrap_or_else(|| panic!("{name} is not created"))
    }

    fn status(&self) -> Value {
        let mut world = serde_json::to_value(self.set.status.as_ref().unwrap()).unwrap();
        for field in ["currentRevision", "updateRevision"] {
            let name = world[field].as_str().unwrap().to_owned();
            let revision = self
                .revisions
                .iter()
                .find(|r| r.metadata.name.as_ref() == Some(&name));
            world[field] = json!(revision.unwrap().revision);
        }
        world
    }
}

#[test]
fn pods_come_one_after_the_other_each_when_the_one_before_is_ready() {
    let mut world = World::new(3, json!({}));
    for (pods, steps) in [
        (vec![], vec!["create db-0"]),
        (vec![(1, Starting)], vec![]),
        (vec![(1, Well)], vec!["create db-1"]),
        (vec![(1, Well), (1, Well)], vec!["create db-2"]),
        (vec![(1, Starting), (1, Well)], vec![]),
        (vec![(1, Leaving), (1, Well)], vec![]),
        (vec![(1, Well), (1, Well), (1, Well)], vec![]),
    ] {
        assert_eq!(world.with(&pods).steps(), steps, "{pods:?}");
    }
    assert!(world.plan().is_done());
}

#[test]
fn pods_come_all_at_once_if_asked() {
    let mut world = World::new(3, json!({"podManagementPolicy": "Parallel"}));
    assert_eq!(world.steps(), ["create db-0", "create db-1", "create db-2"]);
    assert_eq!(
        world.with(&[(1, Starting)]).steps(),
        ["create db-1", "create db-2"]
    );
    world.with(&[
        (1, Starting),
        (1, Failed),
        (1, Well),
        (1, Leaving),
        (1, Well),
    ]);
    assert_eq!(world.steps(), ["delete db-1", "delete db-4"]);
}

#[test]
fn a_pod_knows_who_it_is() {
    let mut world = World::new(1, json!({"ordinals": {"start": 5}}));
    let pod = world.created("db-5");
    let labels = json!({
        "app": "db", POD_NAME: "db-5", POD_INDEX: "5", REVISION: world.revision(1),
    });
    assert_eq!(pod["metadata"]["labels"], labels);
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("db-5"), &json!("db"))
    );
    // Pods before the first ordinal are none of the set's, either.
    world.pods = vec![world.pod(0, 1, Well), world.pod(5, 1, Well)];
    assert_eq!(world.steps(), ["delete db-0"]);
    // One that was taken over gets the labels.
    let mut orphan = Pod::clone(&world.pod(5, 1, Well));
    orphan.metadata.owner_references = None;
    orphan.metadata.labels.as_mut().unwrap().remove(POD_INDEX);
    world.pods = vec![Arc::new(orphan)];
    assert_eq!(world.steps(), ["change db-5", "change db-5"]);
    // Names that only look like the set's are others'.
    for name in [
        "db-05",
        "db-",
        "db-x",
        "db--5",
        "db-+5",
        "db-4294967296",
        "other-5",
    ] {
        assert_eq!(identity::ordinal("db", name), None, "{name}");
    }
}

#[test]
fn pods_go_one_after_the_other_from_the_highest_ordinal_while_the_others_are_well() {
    let mut world = World::new(1, json!({}));
    for (pods, steps) in [
        (vec![(1, Well), (1, Well), (1, Well)], vec!["delete db-2"]),
        (vec![(1, Well), (1, Well), (1, Leaving)], vec![]),
        (vec![(1, Well), (1, Starting)], vec!["delete db-1"]),
        (vec![(1, Well), (1, Starting), (1, Starting)], vec![]),
        (vec![(1, Starting), (1, Well)], vec![]),
        (
            vec![(1, Well), (1, Starting), (1, Failed)],
            vec!["delete db-2"],
        ),
    ] {
        assert_eq!(world.with(&pods).steps(), steps, "{pods:?}");
    }
}

#[test]
fn a_pod_that_ended_is_made_anew() {
    let mut world = World::new(2, json!({}));
    assert_eq!(
        world.with(&[(1, Failed), (1, Well)]).steps(),
        ["delete db-0"]
    );
    let plan = world.plan();
    let Action::Event(event) = &plan.actions[0] else {
        panic!()
    };
    assert_eq!(
        (event.reason, event.is_warning),
        ("RecreatingFailedPod", true)
    );
}

#[test]
fn a_pod_has_to_be_ready_for_some_time() {
    let mut world = World::new(2, json!({"minReadySeconds": 60}));
    assert_eq!(world.with(&[(1, Well)]).steps(), Vec::<String>::new());
    assert_eq!(
        world.plan().again.unwrap().to_string(),
        "2026-01-01T12:00:30Z"
    );
    assert_eq!(
        (
            &world.status()["readyReplicas"],
            &world.status()["availableReplicas"]
        ),
        (&json!(1), &json!(0))
    );
    world.set.spec.min_ready_seconds = Some(30);
    assert_eq!(world.steps(), ["create db-1"]);
}

#[test]
fn an_update_goes_from_the_highest_ordinal_down() {
    let mut world = World::new(3, json!({}));
    world.with(&[(1, Well), (1, Well), (1, Well)]);
    world.set_image("i:2");
    for (pods, steps) in [
        (vec![(1, Well), (1, Well), (1, Well)], vec!["delete db-2"]),
        (vec![(1, Well), (1, Well), (1, Leaving)], vec![]),
        (vec![(1, Well), (1, Well)], vec!["create db-2"]),
        (vec![(1, Well), (1, Well), (2, Starting)], vec![]),
        (vec![(1, Well), (1, Well), (2, Well)], vec!["delete db-1"]),
        (vec![(1, Well), (2, Well), (2, Well)], vec!["delete db-0"]),
    ] {
        assert_eq!(world.with(&pods).steps(), steps, "{pods:?}");
        assert_eq!(
            (
                &world.status()["currentRevision"],
                &world.status()["updateRevision"]
            ),
            (&json!(1), &json!(2))
        );
    }
    world.with(&[(1, Well), (2, Well), (2, Well)]);
    assert_eq!(
        (
            &world.status()["currentReplicas"],
            &world.status()["updatedReplicas"]
        ),
        (&json!(1), &json!(2))
    );
    world.with(&[(2, Well), (2, Well), (2, Well)]);
    assert_eq!(
        world.status(),
        json!({
            "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
            "currentRevision": 2, "updateRevision": 2, "observedGeneration": 1,
        })
    );
}

#[test]
fn a_partition_keeps_pods_below_it_at_the_template_before() {
    let mut world = World::new(
        3,
        json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}),
    );
    world.with(&[(1, Well), (1, Well), (1, Well)]);
    world.set_image("i:2");
    assert_eq!(world.steps(), ["delete db-2"]);
    assert_eq!(
        world.with(&[(1, Well), (1, Well), (2, Well)]).steps(),
        Vec::<String>::new()
    );
    // Also when such a pod is made anew.
    let created = world.with(&[(1, Well)]).created("db-1");
    assert_eq!(created["spec"]["containers"][0]["image"], "i:1");
    assert_eq!(
        created["metadata"]["labels"][REVISION],
        json!(world.revision(1))
    );
    let created = world.with(&[(1, Well), (1, Well)]).created("db-2");
    assert_eq!(created["spec"]["containers"][0]["image"], "i:2");
}

#[test]
fn several_pods_may_be_away_at_a_time() {
    let strategy = |most: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}});
    for (most, steps) in [
        (json!(2), vec!["delete db-4", "delete db-3"]),
        // Rounded up.
        (json!("21%"), vec!["delete db-4", "delete db-3"]),
        (json!("1%"), vec!["delete db-4"]),
        (json!(0), vec!["delete db-4"]),
        (
            json!(9),
            vec![
                "delete db-4",
                "delete db-3",
                "delete db-2",
                "delete db-1",
                "delete db-0",
            ],
        ),
    ] {
        let mut world = World::new(5, strategy(most.clone()));
        world.with(&[(1, Well); 5]);
        world.set_image("i:2");
        assert_eq!(world.steps(), steps, "{most}");
    }
    let mut world = World::new(4, strategy(json!(2)));
    world.set.spec.pod_management_policy = Some("Parallel".into());
    world.with(&[(1, Well); 4]);
    world.set_image("i:2");
    for (pods, steps) in [
        // One is away: one more may go.
        (
            [(1, Well), (1, Well), (1, Well), (2, Starting)],
            vec!["delete db-2"],
        ),
        ([(1, Well), (1, Starting), (1, Well), (2, Starting)], vec![]),
        // One that is not available anyway costs nothing, but waits for its turn.
        (
            [(1, Well), (1, Starting), (1, Starting), (2, Starting)],
            vec!["delete db-2"],
        ),
        ([(1, Well), (1, Well), (2, Leaving), (2, Starting)], vec![]),
    ] {
        assert_eq!(world.with(&pods).steps(), steps, "{pods:?}");
    }
}

#[test]
fn on_delete_leaves_the_update_to_people() {
    let mut world = World::new(2, json!({"updateStrategy": {"type": "OnDelete"}}));
    world.with(&[(1, Well), (1, Well)]);
    world.set_image("i:2");
    assert_eq!(world.steps(), Vec::<String>::new());
    let created = world.with(&[(1, Well)]).created("db-1");
    assert_eq!(created["spec"]["containers"][0]["image"], "i:2");
}

#[test]
fn a_broken_template_that_is_taken_back_waits_for_somebody_to_delete_its_pod() {
    let mut world = World::new(2, json!({}));
    world.with(&[(1, Well), (1, Well)]);
    world.set_image("i:broken");
    world.with(&[(1, Well), (2, Starting)]);
    world.set_image("i:1");
    // The old revision has a new number, and is the current one, too.
    assert_eq!(world.revisions.len(), 2);
    assert_eq!(world.revisions[0].revision, Some(3));
    assert_eq!(world.steps(), Vec::<String>::new());
    let mut pods = world.pods.clone();
    pods.pop();
    world.pods = pods;
    assert_eq!(
        world.created("db-1")["spec"]["containers"][0]["image"],
        "i:1"
    );
}

#[test]
fn revisions_that_no_pod_has_are_forgotten_beyond_the_limit() {
    let mut world = World::new(1, json!({"revisionHistoryLimit": 1}));
    world.with(&[(1, Well)]);
    for image in ["i:2", "i:3", "i:4"] {
        world.set_image(image);
    }
    // The pod has the first, the last is to come.
    let oldest_idle = world.revision(2);
    assert_eq!(
        world.steps(),
        ["delete db-0".to_owned(), format!("delete {oldest_idle}")]
    );
}

fn with_claims(more: Value) -> Value {
    let mut spec = json!({"volumeClaimTemplates": [{
        "metadata": {"name": "data", "labels": {"l": "1"}},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn claim_of(name: &str, owners: Value, deleting: bool) -> Arc<Claim> {
    let mut claim = json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "ownerReferences": owners}});
    if deleting {
        claim["metadata"]["deletionTimestamp"] = json!(NOW);
    }
    Arc::new(serde_json::from_value(claim).unwrap())
}

#[test]
fn claims_come_before_their_pod() {
    let mut world = World::new(2, with_claims(json!({})));
    assert_eq!(world.steps(), ["create data-db-0", "create db-0"]);
    assert_eq!(
        world.created("data-db-0"),
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-db-0", "namespace": "shop", "labels": {"app": "db", "l": "1"}},
            "spec": {"accessModes": ["ReadWriteOnce"]},
        })
    );
    let volumes = &world.created("db-0")["spec"]["volumes"];
    assert_eq!(
        *volumes,
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
    );
    // One that is there is used again, and one that is on its way out waited for.
    world.claims = vec![claim_of("data-db-0", json!(null), false)];
    assert_eq!(world.steps(), ["create db-0"]);
    world.claims = vec![claim_of("data-db-0", json!(null), true)];
    assert_eq!(world.steps(), Vec::<String>::new());
    let old_pod = json!([{"apiVersion": "v1", "kind": "Pod", "name": "db-0", "uid": "old", "controller": true}]);
    world.claims = vec![claim_of("data-db-0", old_pod, false)];
    assert_eq!(world.steps(), Vec::<String>::new());
}

#[test]
fn claims_go_with_the_set_or_with_their_pod_as_asked() {
    let policy = |deleted: &str, scaled: &str| {
        with_claims(
            json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}),
        )
    };
    for (deleted, scaled, steps) in [
        ("Retain", "Retain", vec!["delete db-1"]),
        (
            "Delete",
            "Retain",
            vec![
                "give data-db-0 to db",
                "give data-db-1 to db",
                "delete db-1",
            ],
        ),
        (
            "Retain",
            "Delete",
            vec!["give data-db-1 to db-1", "delete db-1"],
        ),
        (
            "Delete",
            "Delete",
            vec![
                "give data-db-0 to db",
                "give data-db-1 to db-1",
                "delete db-1",
            ],
        ),
    ] {
        let mut world = World::new(1, policy(deleted, scaled));
        world.claims = vec![
            claim_of("data-db-0", json!(null), false),
            claim_of("data-db-1", json!(null), false),
        ];
        assert_eq!(
            world.with(&[(1, Well), (1, Well)]).steps(),
            steps,
            "{deleted} {scaled}"
        );
    }
    // Others' claims are left alone, and others' references stay.
    let other = |controller: bool| json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": controller}]);
    let mut world = World::new(1, policy("Delete", "Retain"));
    world.claims = vec![claim_of("data-db-0", other(true), false)];
    assert_eq!(world.with(&[(1, Well)]).steps(), Vec::<String>::new());
    world.claims = vec![claim_of("data-db-0", other(false), false)];
    assert_eq!(world.steps(), ["give data-db-0 to x and db"]);
}

#[test]
fn a_set_of_absurd_size_is_planned_in_bounded_steps() {
    let world = World::new(
        i32::MAX,
        json!({"podManagementPolicy": "Parallel", "ordinals": {"start": i32::MAX - 2}}),
    );
    assert_eq!(world.steps().len(), 2);
    let world = World::new(i32::MAX, json!({"podManagementPolicy": "Parallel"}));
    assert_eq!(world.steps().len(), crate::plan::BURST);
    assert_eq!(world.plan().again, Some(NOW.parse().unwrap()));
}

/// The garbage collector deletes the revision first, and the set itself only when nothing of it is left.
#[test]
fn a_set_that_goes_makes_no_revision_anew() {
    let mut world = World::new(1, json!({}));
    world.with(&[(1, Well)]);
    world.revisions.clear();
    assert_eq!(world.plan().actions.len(), 1, "while it stays, it does");
    world.set.metadata.deletion_timestamp = Some(serde_json::from_value(json!(NOW)).unwrap());
    assert_eq!(world.plan().actions, []);
}
