mod indexed;
mod policies;

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::*;
use crate::plan::Object;

const NOW: i64 = 1_800_000_000;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

/// A job, its pods, and an API that does what plans say.
struct World {
    job: Job,
    pods: Vec<Pod>,
    now: i64,
    created: usize,
}

impl World {
    fn new(more: Value) -> Self {
        let mut spec = json!({
            "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
            "selector": {"matchLabels": {"uid": "j"}},
            "template": {
                "metadata": {"labels": {"uid": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}], "initContainers": [{"name": "i"}]},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            match key.as_str() {
                "restartPolicy" => spec["template"]["spec"][key] = value.clone(),
                _ => spec[key] = value.clone(),
            }
        }
        let job = json!({
            "metadata": {"name": "sum", "namespace": "shop", "uid": "j", "resourceVersion": "1"},
            "spec": spec,
        });
        Self {
            job: serde_json::from_value(job).unwrap(),
            pods: Vec::new(),
            now: 0,
            created: 0,
        }
    }

    fn plan(&self) -> Plan<JobStatus> {
        let pods: Vec<_> = self.pods.iter().cloned().map(Arc::new).collect();
        plan(&Snapshot {
            job: &self.job,
            pods: &pods,
            now: time(self.now),
        })
    }

    /// Carries one plan out, and tells what it did with pods.
    fn step(&mut self) -> Vec<String> {
        let plan = self.plan();
        let mut told = Vec::new();
        for action in plan.actions {
            match action {
                Action::Create {
                    object: Object::Pod(pod),
                    ..
                } => {
                    let mut pod: Pod =
                        serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap();
                    self.created += 1;
                    pod.metadata.uid = Some(format!("p{}", self.created));
                    pod.metadata.creation_timestamp = Some(Time(time(self.now)));
                    pod.phase = crate::Phase::Running;
                    pod.node = Some("n".into());
                    assert!(
                        self.pods.iter().all(|known| known.name() != pod.name()),
                        "{}",
                        pod.name()
                    );
                    told.push(match pod.annotation(annotations::COMPLETION_INDEX) {
                        Some(index) => format!("create #{index}"),
                        None => "create".to_owned(),
                    });
                    self.pods.push(pod);
                }
                Action::Delete { target, .. } if target.kind == Kind::Pod => {
                    told.push(format!("delete {}", target.uid));
                    let pod = self.pod(&target.uid);
                    pod.metadata.deletion_timestamp = Some(Time(time(0)));
                }
                Action::Delete { target, .. } => told.push(format!("delete {}", target.kind)),
                Action::Patch {
                    target,
                    change: Change::RemoveFinalizer(finalizer),
                    ..
                } => {
                    let pod = self.pod(&target.uid);
                    pod.metadata
                        .finalizers
                        .as_mut()
                        .unwrap()
                        .retain(|known| *known != finalizer);
                }
                Action::Event(event) => told.push(format!("tell {}", event.reason)),
                other => panic!("{other:?}"),
            }
        }
        if let Some(status) = plan.status {
            self.job.status = Some(status);
        }
        told
    }

    fn pod(&mut self, uid: &str) -> &mut Pod {
        self.pods
            .iter_mut()
            .find(|pod| pod.uid() == uid)
            .unwrap_or_else(|| panic!("{uid}"))
    }

    /// Everything that is done without time passing.
    fn run(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..20 {
            if self.plan().is_done() {
                return told;
            }
            told.extend(self.step());
        }
        panic!("never done: {:?}", self.plan());
    }

    fn end(&mut self, uid: &str, phase: crate::Phase, end: crate::pod::End) {
        let now = time(self.now);
        let pod = self.pod(uid);
        pod.phase = phase;
        pod.ready = false;
        pod.end = Some(Box::new(crate::pod::End {
            at: Some(now),
            ..end
        }));
    }

    fn succeed(&mut self, uid: &str) {
        self.end(uid, crate::Phase::Succeeded, crate::pod::End::default());
    }

    fn fail(&mut self, uid: &str) {
        self.end(uid, crate::Phase::Failed, crate::pod::End::default());
    }

    fn exit(&mut self, uid: &str, container: &str, code: i32) {
        let exits = vec![crate::pod::Exit {
            container: container.into(),
            code,
        }];
        self.end(
            uid,
            crate::Phase::Failed,
            crate::pod::End {
                exits,
                ..Default::default()
            },
        );
    }

    /// Pods that were asked to go, and have nothing that keeps them, vanish.
    fn vanish(&mut self) {
        self.pods
            .retain(|pod| !pod.is_terminating() || pod.has_finalizer(TRACKING));
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    /// Succeeded and failed, in the counters.
    fn counted(&self) -> (i32, i32) {
        let status = self.status();
        (status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
    }

    fn condition(&self, type_: &str) -> Option<(String, String)> {
        let status = self.status();
        let condition = conditions::holds(&status, type_)?;
        Some((
            condition.reason.clone().unwrap(),
            condition.message.clone().unwrap(),
        ))
    }
}

#[test]
fn a_job_is_complete_when_its_pods_have_succeeded() {
    let mut world =
        World::new(json!({"completions": 3, "parallelism": 2, "ttlSecondsAfterFinished": 50}));
    assert_eq!(world.run(), ["create", "create"]);
    assert_eq!(world.status().start_time.unwrap().0, time(0));
    assert_eq!(world.status().active, Some(2));
    world.succeed("p1");
    assert_eq!(world.run(), ["create"]);
    assert_eq!(world.counted(), (1, 0));
    world.succeed("p2");
    assert_eq!(world.run(), Vec::<String>::new());
    world.now = 100;
    world.succeed("p3");
    assert_eq!(world.run(), ["tell Completed"]);
    assert_eq!(world.counted(), (3, 0));
    assert_eq!(world.condition("Complete").unwrap().0, "CompletionsReached");
    assert_eq!(world.status().completion_time.unwrap().0, time(100));
    assert!(world.pods.iter().all(|pod| !pod.has_finalizer(TRACKING)));
    // And is deleted after a while.
    assert_eq!(world.plan().again, Some(time(150)));
    world.now = 150;
    assert_eq!(world.step(), ["delete Job"]);
}

#[test]
fn a_finished_pod_is_counted_in_three_steps() {
    let mut world = World::new(json!({"completions": 2}));
    world.run();
    world.succeed("p1");
    world.step();
    let uncounted = world.status().uncounted_terminated_pods.unwrap();
    assert_eq!(uncounted.succeeded, Some(vec!["p1".to_owned()]));
    assert_eq!(
        (world.counted(), world.pod("p1").has_finalizer(TRACKING)),
        ((0, 0), true)
    );
    world.step();
    assert_eq!(
        (world.counted(), world.pod("p1").has_finalizer(TRACKING)),
        ((0, 0), false)
    );
    world.step();
    assert_eq!(world.counted(), (1, 0));
    assert_eq!(
        world.status().uncounted_terminated_pods,
        Some(UncountedTerminatedPods::default())
    );
    // Not once more, whether it is there or not.
    assert!(world.plan().is_done());
    world.pods.retain(|pod| pod.uid() != "p1");
    assert!(world.plan().is_done());
    assert_eq!(world.counted(), (1, 0));
}

#[test]
fn a_pod_that_is_deleted_counts_as_failed_and_is_kept_until_it_does() {
    let mut world = World::new(json!({}));
    world.run();
    world.pod("p1").metadata.deletion_timestamp = Some(Time(time(0)));
    world.vanish();
    assert_eq!(world.pods.len(), 1);
    world.run();
    world.vanish();
    let names: Vec<_> = world.pods.iter().map(Pod::uid).collect();
    assert_eq!((world.counted(), names), ((0, 1), vec!["p2"]));
}

#[test]
fn after_failures_it_waits_longer_and_longer_and_fails_beyond_the_limit() {
    let mut world = World::new(json!({"backoffLimit": 3}));
    world.run();
    for (uid, wait) in [("p1", 10), ("p2", 20), ("p3", 40)] {
        world.fail(uid);
        assert_eq!(world.run(), Vec::<String>::new());
        assert_eq!(world.plan().again, Some(time(world.now + wait)));
        world.now += wait;
        assert_eq!(world.run(), ["create"]);
    }
    world.fail("p4");
    assert_eq!(world.run(), ["tell BackoffLimitExceeded"]);
    assert_eq!(world.counted(), (0, 4));
    assert_eq!(
        world.condition("Failed").unwrap(),
        (
            "BackoffLimitExceeded".into(),
            "Job has reached the specified backoff limit".into()
        )
    );
    assert_eq!(world.status().completion_time, None);
}

#[test]
fn a_job_that_fails_stops_its_pods_first() {
    let mut world = World::new(json!({"backoffLimit": 0, "parallelism": 2, "completions": 2}));
    world.run();
    world.fail("p1");
    assert_eq!(world.run(), ["delete p2"]);
    assert!(world.condition("FailureTarget").is_some() && world.condition("Failed").is_none());
    world.vanish();
    assert_eq!(world.run(), ["tell BackoffLimitExceeded"]);
    assert_eq!(world.counted(), (0, 2));
}

#[test]
fn containers_that_restart_count_towards_the_limit() {
    let mut world = World::new(json!({"restartPolicy": "OnFailure", "backoffLimit": 2}));
    world.run();
    world.pod("p1").restarts = 1;
    assert_eq!(world.run(), Vec::<String>::new());
    world.pod("p1").restarts = 2;
    assert_eq!(world.run(), ["delete p1"]);
}

#[test]
fn a_job_has_only_so_much_time() {
    let mut world = World::new(json!({"activeDeadlineSeconds": 60}));
    world.run();
    assert_eq!(world.plan().again, Some(time(60)));
    world.now = 60;
    assert_eq!(world.run(), ["delete p1"]);
    world.vanish();
    assert_eq!(world.run(), ["tell DeadlineExceeded"]);
}

#[test]
fn a_queue_of_work_is_done_when_one_has_succeeded_and_no_other_is_at_work() {
    let mut world = World::new(json!({"completions": null, "parallelism": 3}));
    assert_eq!(world.run().len(), 3);
    world.succeed("p1");
    assert_eq!(world.run(), Vec::<String>::new());
    world.fail("p2");
    assert_eq!(world.run(), Vec::<String>::new());
    world.succeed("p3");
    assert_eq!(world.run(), ["tell Completed"]);
    assert_eq!(world.counted(), (2, 1));
}

#[test]
fn a_suspended_job_has_no_pods_and_its_time_starts_anew() {
    let mut world = World::new(json!({"parallelism": 2, "completions": 2}));
    world.run();
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    assert_eq!(world.run(), ["tell Suspended", "delete p1", "delete p2"]);
    world.vanish();
    world.run();
    assert_eq!(
        (
            world.counted(),
            world.pods.len(),
            world.condition("Suspended").is_some()
        ),
        ((0, 0), 0, true)
    );
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.now = 500;
    assert_eq!(world.run(), ["tell Resumed", "create", "create"]);
    assert_eq!(world.status().start_time.unwrap().0, time(500));
    assert_eq!(world.condition("Suspended"), None);
}

#[test]
fn less_parallelism_stops_pods_without_counting_them() {
    let mut world = World::new(json!({"parallelism": 3, "completions": 9}));
    world.run();
    world.pod("p2").ready = true;
    world.job.spec.as_mut().unwrap().parallelism = Some(1);
    assert_eq!(world.run(), ["delete p1", "delete p3"]);
    world.vanish();
    world.run();
    assert_eq!((world.counted(), world.pods.len()), ((0, 0), 1));
}

#[test]
fn a_pod_that_may_have_ended_meanwhile_is_not_stopped() {
    let mut world = World::new(json!({"completions": 2}));
    world.run();
    world.pod("p1").metadata.resource_version = Some("7".into());
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    let plan = world.plan();
    let patched = plan.actions.iter().find_map(|action| match action {
        Action::Patch { target, .. } => Some(target.resource_version.clone()),
        _ => None,
    });
    assert_eq!(patched, Some(Some("7".to_owned())));
}

#[test]
fn a_pod_that_would_not_be_counted_is_replaced() {
    let mut world = World::new(json!({}));
    world.run();
    world.pod("p1").metadata.finalizers = None;
    assert_eq!(world.run()[0], "delete p1");
}

#[test]
fn a_job_of_another_manager_is_left_alone() {
    let mut world = World::new(json!({"managedBy": "example.com/queue"}));
    assert!(world.plan().is_done());
    world = World::new(json!({"managedBy": MANAGER}));
    assert_eq!(world.run(), ["create"]);
}

#[test]
fn pods_of_jobs_that_are_gone_or_go_are_released() {
    let mut world = World::new(json!({}));
    world.run();
    assert!(plan_orphan(&world.pods[0]).is_some());
    world.job.metadata.deletion_timestamp = Some(Time(time(0)));
    assert_eq!(world.run(), Vec::<String>::new());
    assert!(plan_orphan(&world.pods[0]).is_none());
}

#[test]
fn orphans_that_are_taken_over_are_counted_from_then_on() {
    let mut world = World::new(json!({"manualSelector": true}));
    let orphan = json!({"metadata": {"name": "o", "uid": "o", "labels": {"uid": "j"}}});
    world.pods.push(serde_json::from_value(orphan).unwrap());
    let plan = world.plan();
    let [
        Action::Patch {
            change: Change::Adopt { finalizers, .. },
            ..
        },
    ] = &plan.actions[..]
    else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(finalizers[..], [TRACKING.to_owned()]);
}

#[test]
fn a_pod_that_was_let_go_keeps_its_name() {
    for mode in ["NonIndexed", "Indexed"] {
        let mut world = World::new(json!({"completionMode": mode, "completions": 1}));
        world.run();
        let pod = world.pod("p1");
        pod.metadata.labels = None;
        pod.metadata.owner_references = None;
        // The step itself makes sure that no name is given twice.
        let told = world.step();
        assert!(told[0].starts_with("create"), "{told:?}");
    }
}

#[test]
fn a_job_of_absurd_size_is_planned_in_bounded_steps() {
    for mode in ["NonIndexed", "Indexed"] {
        let world = World::new(
            json!({"completionMode": mode, "completions": i32::MAX, "parallelism": i32::MAX}),
        );
        assert_eq!(world.plan().actions.len(), crate::plan::BURST);
        assert_eq!(world.plan().again, Some(time(0)));
    }
}
