use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use mosaic_workloads::job::{Snapshot, TRACKING, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    api::{Api, View},
    controller::{Pods, carry_out},
    hosts::{self, Step},
};

#[derive(Debug, Clone)]
enum Op {
    Plan(usize),
    See(usize, usize),
    Pod(usize, Step),
    Time(i64),
    Suspend(bool),
    Parallelism(i32),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let step = prop_oneof![
        8 => Just(Step::On), 3 => Just(Step::Succeed), 1 => Just(Step::Fail), 1 => Just(Step::Delete),
    ];
    prop_oneof![
        8 => prop_oneof![3 => Just(usize::MAX), 1 => 0..3_usize].prop_map(Op::Plan),
        8 => (0..3_usize, 0..4_usize).prop_map(|(a, b)| Op::See(a, b)),
        12 => (0..10_usize, step).prop_map(|(pod, step)| Op::Pod(pod, step)),
        2 => (1..400_i64).prop_map(Op::Time),
        1 => any::<bool>().prop_map(Op::Suspend),
        1 => (1..5_i32).prop_map(Op::Parallelism),
        1 => Just(Op::Restart),
    ]
}

struct World {
    api: Api,
    jobs: View<Job>,
    pods: Pods,
    /// UIDs of pods that ended while they were to be counted.
    succeeded: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl World {
    fn new(more: Value) -> Self {
        let mut spec = json!({
            "parallelism": 2, "completions": 4, "backoffLimit": 1000, "completionMode": "NonIndexed",
            "selector": {"matchLabels": {"uid": "j"}},
            "template": {
                "metadata": {"labels": {"uid": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let mut api = Api::default();
        api.create(
            "Job",
            json!({"metadata": {"name": "sum", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap();
        Self {
            api,
            jobs: View::new("Job"),
            pods: Pods::new(),
            succeeded: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    fn plan(&mut self, limit: usize) -> bool {
        let Some(job) = self.jobs.get("sum") else {
            return true;
        };
        if !self.pods.in_flight.is_empty() {
            return false;
        }
        let pods = self.pods.view.all();
        let plan = plan(&Snapshot {
            job: &job,
            pods: &pods,
            now: self.api.time(),
        });
        let object = serde_json::to_value(&*job).unwrap();
        carry_out(
            &mut self.api,
            &mut self.pods.in_flight,
            &plan,
            limit,
            ("Job", &object),
        );
        plan.is_done()
    }

    fn run(&mut self, op: &Op) {
        self.api.now += 1;
        match op {
            Op::Plan(limit) => {
                self.plan(*limit);
            }
            Op::See(jobs, pods) => {
                self.jobs.advance(&self.api, *jobs, |_, _| {});
                self.pods.advance(&self.api, *pods);
            }
            Op::Pod(number, step) => {
                if let Some(name) = hosts::names(&self.api).get(*number) {
                    hosts::step(&mut self.api, name, *step);
                }
            }
            Op::Time(seconds) => self.api.now += seconds,
            Op::Suspend(suspend) => self
                .api
                .respecify("Job", "sum", |spec| spec["suspend"] = json!(suspend)),
            Op::Parallelism(number) => self
                .api
                .respecify("Job", "sum", |spec| spec["parallelism"] = json!(number)),
            Op::Restart => {
                self.jobs.advance(&self.api, usize::MAX, |_, _| {});
                self.pods.restart(&self.api);
            }
        }
        self.note();
    }

    /// Notes which pods have ended.
    fn note(&mut self) {
        for pod in self.api.all("Pod") {
            let finalizers = pod["metadata"]["finalizers"].as_array();
            if !finalizers.is_some_and(|f| f.contains(&json!(TRACKING))) {
                continue;
            }
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            // One that is to go before it came to a host never ends by itself.
            let never_ran = !pod["metadata"]["deletionTimestamp"].is_null()
                && pod["spec"]["nodeName"].is_null();
            match pod["status"]["phase"].as_str() {
                Some("Pending") if never_ran => self.failed.insert(uid),
                Some("Succeeded") => self.succeeded.insert(uid),
                Some("Failed") => self.failed.insert(uid),
                _ => false,
            };
        }
    }

    fn job(&self) -> &Value {
        self.api.get("Job", "sum").unwrap()
    }

    fn active(&self) -> usize {
        self.api
            .all("Pod")
            .filter(|pod| hosts::is_active(pod))
            .count()
    }

    fn settle(&mut self) {
        self.api
            .respecify("Job", "sum", |spec| spec["suspend"] = json!(false));
        for _ in 0..400 {
            self.api.now += 100;
            for name in hosts::names(&self.api) {
                let pod = self.api.get("Pod", &name).unwrap();
                let works = hosts::is_available(pod);
                hosts::step(
                    &mut self.api,
                    &name,
                    if works { Step::Succeed } else { Step::On },
                );
            }
            self.note();
            self.jobs.advance(&self.api, usize::MAX, |_, _| {});
            self.pods.advance(&self.api, usize::MAX);
            let done = self.plan(usize::MAX);
            self.note();
            let conditions = self.job()["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if done
                && conditions
                    .iter()
                    .any(|c| c["type"] == "Complete" && c["status"] == "True")
            {
                return;
            }
        }
        panic!(
            "never done: {:#?} {:#?}",
            self.job(),
            self.api.all("Pod").collect::<Vec<_>>()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_pod_counts_once(
        indexed in any::<bool>(), completions in 1..6_i32, ops in prop::collection::vec(op(), 0..150),
    ) {
        // Pods are only replaced and counted once they have ended, so that it is plain which of them failed.
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut world = World::new(json!({
            "completions": completions, "completionMode": mode, "podReplacementPolicy": "Failed",
        }));
        ops.iter().for_each(|op| world.run(op));
        world.settle();
        let status = &world.job()["status"];
        let (succeeded, failed) = (status["succeeded"].as_u64().unwrap_or(0), status["failed"].as_u64().unwrap_or(0));
        if indexed {
            prop_assert_eq!(succeeded, u64::try_from(completions).unwrap());
            let expected = if completions < 3 {
                (0..completions).map(|i| i.to_string()).collect::<Vec<_>>().join(",")
            } else {
                format!("0-{}", completions - 1)
            };
            prop_assert_eq!(&status["completedIndexes"], &json!(expected));
        } else {
            prop_assert_eq!(succeeded, u64::try_from(world.succeeded.len()).unwrap());
        }
        prop_assert_eq!(failed, u64::try_from(world.failed.len()).unwrap());
        prop_assert!(world.api.all("Pod").all(|pod| !hosts::is_active(pod)));
        prop_assert_eq!(&status["uncountedTerminatedPods"], &json!({}));
    }

    #[test]
    fn no_more_pods_are_at_work_than_allowed_however_old_the_state(
        indexed in any::<bool>(), parallelism in 1..5_i32, ops in prop::collection::vec(op(), 0..150),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut world = World::new(json!({"completions": 6, "completionMode": mode, "parallelism": parallelism}));
        for op in ops.iter().filter(|op| !matches!(op, Op::Parallelism(_))) {
            world.run(op);
            prop_assert!(world.active() <= usize::try_from(parallelism).unwrap(), "{} after {:?}", world.active(), op);
            if indexed {
                let mut indexes = BTreeSet::new();
                for pod in world.api.all("Pod").filter(|pod| hosts::is_active(pod)) {
                    let index = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
                    prop_assert!(indexes.insert(index.to_string()), "two for {} after {:?}", index, op);
                }
            }
        }
        world.settle();
        prop_assert!(world.job()["status"]["succeeded"].as_u64() >= Some(6));
    }

    #[test]
    fn each_index_fails_as_often_as_it_may(failing in prop::collection::btree_set(0..4_i32, 0..4), ops in prop::collection::vec(op(), 0..100)) {
        let mut world = World::new(json!({
            "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX, "podReplacementPolicy": "Failed",
        }));
        // Nobody interferes but the pods themselves: those of some indexes always fail.
        for op in ops.iter().filter(|op| !matches!(op, Op::Pod(..) | Op::Suspend(_) | Op::Parallelism(_))) {
            world.run(op);
            world.step_pods(&failing);
        }
        for _ in 0..100 {
            world.run(&Op::Restart);
            world.run(&Op::Plan(usize::MAX));
            world.api.now += 100;
            world.step_pods(&failing);
        }
        let status = &world.job()["status"];
        let end = if failing.is_empty() { "Complete" } else { "Failed" };
        let conditions = status["conditions"].as_array().unwrap();
        prop_assert!(conditions.iter().any(|c| c["type"] == end && c["status"] == "True"), "{:#?}", status);
        let count = u64::try_from(failing.len()).unwrap();
        prop_assert_eq!(status["succeeded"].as_u64().unwrap_or(0), 4 - count);
        prop_assert_eq!(status["failed"].as_u64().unwrap_or(0), 2 * count);
        let named = mosaic_workloads::job::Indexes::from_status(status["failedIndexes"].as_str().unwrap());
        prop_assert!((0..4).all(|index| named.contains(index) == failing.contains(&index)));
    }
}

impl World {
    fn step_pods(&mut self, failing: &BTreeSet<i32>) {
        for name in hosts::names(&self.api) {
            let pod = self.api.get("Pod", &name).unwrap();
            let index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
                .as_str()
                .unwrap();
            let fails = failing.contains(&index.parse().unwrap());
            let end = if fails { Step::Fail } else { Step::Succeed };
            let step = if hosts::is_available(pod) {
                end
            } else {
                Step::On
            };
            hosts::step(&mut self.api, &name, step);
        }
        self.note();
    }
}
