use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use mosaic_workloads::{Action, deployment, replica_set};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    api::{Api, View},
    controller::{Pods, carry_out},
    hosts::{self, Step},
};

#[derive(Debug, Clone)]
enum Op {
    PlanDeployment(usize),
    PlanSet(usize, usize),
    DeploymentSees(usize, usize),
    SetsSee(usize, usize),
    Pod(usize, Step),
    Image(u8),
    Scale(i32),
    Pause(bool),
    Restart,
}

fn op(faults: bool) -> impl Strategy<Value = Op> {
    let step = if faults {
        prop_oneof![6 => Just(Step::On), 1 => Just(Step::Fail), 1 => Just(Step::Delete), 1 => Just(Step::Unready)].boxed()
    } else {
        Just(Step::On).boxed()
    };
    let limit = || prop_oneof![3 => Just(usize::MAX), 1 => 0..3_usize];
    let fault = u32::from(faults);
    prop_oneof![
        6 => limit().prop_map(Op::PlanDeployment),
        8 => (0..4_usize, limit()).prop_map(|(set, limit)| Op::PlanSet(set, limit)),
        5 => (0..3_usize, 0..4_usize).prop_map(|(a, b)| Op::DeploymentSees(a, b)),
        8 => (0..4_usize, 0..5_usize).prop_map(|(a, b)| Op::SetsSee(a, b)),
        12 => (0..30_usize, step).prop_map(|(pod, step)| Op::Pod(pod, step)),
        1 => (0..3_u8).prop_map(Op::Image),
        fault => (0..7_i32).prop_map(Op::Scale),
        fault => any::<bool>().prop_map(Op::Pause),
        1 => Just(Op::Restart),
    ]
}

struct World {
    api: Api,
    deployments: View<Deployment>,
    /// What the deployments' controller has seen, and what the sets' controller has.
    sets: View<ReplicaSet>,
    own_sets: View<ReplicaSet>,
    pods: BTreeMap<String, Pods>,
    all_pods: Pods,
}

impl World {
    fn new(replicas: i32, strategy: &Value) -> Self {
        let mut api = Api::default();
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "strategy": strategy,
                "revisionHistoryLimit": 10,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "0"}]}},
            },
        });
        api.create("Deployment", deployment).unwrap();
        let mut world = Self {
            api,
            deployments: View::new("Deployment"),
            sets: View::new("ReplicaSet"),
            own_sets: View::new("ReplicaSet"),
            pods: BTreeMap::new(),
            all_pods: Pods::new(),
        };
        world.settle();
        world
    }

    fn plan_deployment(&mut self, limit: usize) -> bool {
        let Some(deployment) = self.deployments.get("web") else {
            return true;
        };
        let (sets, pods) = (self.sets.all(), self.all_pods.view.all());
        let plan = deployment::plan(&deployment::Snapshot {
            deployment: &deployment,
            sets: &sets,
            pods: &pods,
            failure: None,
            now: self.api.time(),
        });
        let object = serde_json::to_value(&*deployment).unwrap();
        carry_out(
            &mut self.api,
            &mut self.all_pods.in_flight,
            &plan,
            limit,
            ("Deployment", &object),
        );
        // A loop waits until it sees what it created: a set that is not seen takes no room.
        let creates = |action: &Action| matches!(action, Action::Create { .. });
        if plan.actions.iter().take(limit).any(creates) {
            self.sets.advance(&self.api, usize::MAX, |_, _| {});
        }
        plan.is_done()
    }

    fn plan_set(&mut self, number: usize, limit: usize) -> bool {
        let Some(set) = self.own_sets.all().get(number).cloned() else {
            return true;
        };
        let name = set.metadata.name.clone().unwrap();
        let known = self.pods.entry(name).or_insert_with(Pods::new);
        if !known.in_flight.is_empty() {
            return false;
        }
        let pods = known.view.all();
        let plan = replica_set::plan(&replica_set::Snapshot {
            set: &set,
            pods: &pods,
            siblings: &[],
            failure: None,
            now: self.api.time(),
        });
        let object = serde_json::to_value(&*set).unwrap();
        carry_out(
            &mut self.api,
            &mut known.in_flight,
            &plan,
            limit,
            ("ReplicaSet", &object),
        );
        plan.is_done()
    }

    fn see_all(&mut self) {
        self.deployments.advance(&self.api, usize::MAX, |_, _| {});
        self.sets.advance(&self.api, usize::MAX, |_, _| {});
        self.own_sets.advance(&self.api, usize::MAX, |_, _| {});
        self.all_pods.advance(&self.api, usize::MAX);
        for pods in self.pods.values_mut() {
            pods.advance(&self.api, usize::MAX);
        }
    }

    fn run(&mut self, op: &Op) {
        self.api.now += 1;
        match op {
            Op::PlanDeployment(limit) => {
                self.plan_deployment(*limit);
            }
            Op::PlanSet(number, limit) => {
                self.plan_set(*number, *limit);
            }
            Op::DeploymentSees(deployments, sets) => {
                self.deployments.advance(&self.api, *deployments, |_, _| {});
                self.sets.advance(&self.api, *sets, |_, _| {});
                self.all_pods.advance(&self.api, *sets);
            }
            Op::SetsSee(sets, pods) => {
                self.own_sets.advance(&self.api, *sets, |_, _| {});
                for known in self.pods.values_mut() {
                    known.advance(&self.api, *pods);
                }
            }
            Op::Pod(number, step) => {
                if let Some(name) = hosts::names(&self.api).get(*number) {
                    hosts::step(&mut self.api, name, *step);
                }
            }
            Op::Image(image) => self.api.respecify("Deployment", "web", |spec| {
                spec["template"]["spec"]["containers"][0]["image"] = json!(image.to_string());
            }),
            Op::Scale(replicas) => self.api.respecify("Deployment", "web", |spec| {
                spec["replicas"] = json!(replicas)
            }),
            Op::Pause(paused) => self
                .api
                .respecify("Deployment", "web", |spec| spec["paused"] = json!(paused)),
            Op::Restart => {
                self.pods.clear();
                self.all_pods.restart(&self.api);
                self.see_all();
                for set in self.own_sets.all() {
                    let mut pods = Pods::new();
                    pods.restart(&self.api);
                    self.pods.insert(set.metadata.name.clone().unwrap(), pods);
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..300 {
            self.api.now += 1;
            hosts::all_on(&mut self.api);
            self.see_all();
            let mut done = self.plan_deployment(usize::MAX);
            for number in 0..self.own_sets.all().len() {
                done &= self.plan_set(number, usize::MAX);
            }
            let stays = self
                .api
                .all("Pod")
                .all(|pod| hosts::is_available(pod) || pod["status"]["phase"] == "Failed");
            if done && stays {
                return;
            }
        }
        panic!(
            "never done: {:#?}",
            self.api.all("Deployment").collect::<Vec<_>>()
        );
    }

    fn active(&self) -> usize {
        self.api
            .all("Pod")
            .filter(|pod| hosts::is_active(pod))
            .count()
    }

    fn available(&self) -> usize {
        self.api
            .all("Pod")
            .filter(|pod| hosts::is_available(pod))
            .count()
    }

    /// Whether the pods are as many as wanted, of the right image, and the status says so.
    fn check(&self) -> Result<(), TestCaseError> {
        let deployment = self.api.get("Deployment", "web").unwrap();
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap();
        let paused = deployment["spec"]["paused"] == true;
        let right = self.api.all("Pod").filter(|pod| {
            hosts::is_available(pod) && (paused || pod["spec"]["containers"][0]["image"] == *image)
        });
        let status = &deployment["status"];
        if !paused {
            prop_assert_eq!(u64::try_from(right.count()).unwrap(), wanted);
            prop_assert_eq!(u64::try_from(self.active()).unwrap(), wanted);
            prop_assert_eq!(status["updatedReplicas"].as_u64().unwrap_or(0), wanted);
            prop_assert_eq!(status["replicas"].as_u64().unwrap_or(0), wanted);
        }
        prop_assert_eq!(
            &status["observedGeneration"],
            &deployment["metadata"]["generation"]
        );
        Ok(())
    }
}

fn rolling() -> impl Strategy<Value = (i32, usize, usize)> {
    (1..6_i32, 0..3_usize, 0..3_usize).prop_filter("one moves", |(_, surge, away)| surge + away > 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rolling_update_never_leaves_its_bounds((replicas, surge, away) in rolling(), ops in prop::collection::vec(op(false), 0..200)) {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": away}});
        let mut world = World::new(replicas, &strategy);
        let replicas = usize::try_from(replicas).unwrap();
        for op in &ops {
            world.run(op);
            prop_assert!(world.active() <= replicas + surge, "{} pods after {:?}", world.active(), op);
            prop_assert!(world.available() + away >= replicas, "{} available after {:?}", world.available(), op);
        }
        world.settle();
        world.check()?;
    }

    #[test]
    fn whatever_happens_the_last_template_takes_over(
        (replicas, surge, away) in rolling(),
        recreate in any::<bool>(),
        ops in prop::collection::vec(op(true), 0..120),
    ) {
        let mut strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": away}});
        if recreate {
            strategy = json!({"type": "Recreate"});
        }
        let mut world = World::new(replicas, &strategy);
        ops.iter().for_each(|op| world.run(op));
        world.settle();
        world.check()?;
    }
}
