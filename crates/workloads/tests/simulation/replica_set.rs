use mosaic_workloads::replica_set::{Snapshot, plan};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    api::{Api, View},
    controller::{Pods, carry_out},
    hosts::{self, Step},
};

use k8s_openapi::api::apps::v1::ReplicaSet;

#[derive(Debug, Clone)]
pub enum Op {
    Plan(usize),
    SeePods(usize),
    SeeSet,
    Pod(usize, Step),
    Scale(i32),
    Restart,
}

fn op(faults: bool) -> impl Strategy<Value = Op> {
    let step = if faults {
        prop_oneof![4 => Just(Step::On), 1 => Just(Step::Fail), 1 => Just(Step::Delete), 1 => Just(Step::Unready)].boxed()
    } else {
        Just(Step::On).boxed()
    };
    let scale = if faults { 1 } else { 0 };
    prop_oneof![
        6 => prop_oneof![Just(usize::MAX), 0..4_usize].prop_map(Op::Plan),
        6 => (1..4_usize).prop_map(Op::SeePods),
        3 => Just(Op::SeeSet),
        6 => (0..20_usize, step).prop_map(|(pod, step)| Op::Pod(pod, step)),
        scale => (0..6_i32).prop_map(Op::Scale),
        1 => Just(Op::Restart),
    ]
}

struct World {
    api: Api,
    sets: View<ReplicaSet>,
    pods: Pods,
}

impl World {
    fn new(replicas: i32) -> Self {
        let mut api = Api::default();
        let set = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}},
            },
        });
        api.create("ReplicaSet", set).unwrap();
        Self {
            api,
            sets: View::new("ReplicaSet"),
            pods: Pods::new(),
        }
    }

    fn plan(&mut self, limit: usize) -> bool {
        let Some(set) = self.sets.get("web") else {
            return true;
        };
        if !self.pods.in_flight.is_empty() {
            return false;
        }
        let pods = self.pods.view.all();
        let plan = plan(&Snapshot {
            set: &set,
            pods: &pods,
            siblings: &[],
            failure: None,
            now: self.api.time(),
        });
        let object = serde_json::to_value(&*set).unwrap();
        carry_out(
            &mut self.api,
            &mut self.pods.in_flight,
            &plan,
            limit,
            ("ReplicaSet", &object),
        );
        plan.is_done()
    }

    fn run(&mut self, op: &Op) {
        self.api.now += 1;
        match op {
            Op::Plan(limit) => {
                self.plan(*limit);
            }
            Op::SeePods(steps) => self.pods.advance(&self.api, *steps),
            Op::SeeSet => self.sets.advance(&self.api, 1, |_, _| {}),
            Op::Pod(number, step) => {
                let names = hosts::names(&self.api);
                if let Some(name) = names.get(*number) {
                    hosts::step(&mut self.api, name, *step);
                }
            }
            Op::Scale(replicas) => self.api.respecify("ReplicaSet", "web", |spec| {
                spec["replicas"] = json!(replicas)
            }),
            Op::Restart => {
                self.pods.restart(&self.api);
                self.sets.advance(&self.api, usize::MAX, |_, _| {});
            }
        }
    }

    fn active(&self) -> usize {
        self.api
            .all("Pod")
            .filter(|pod| hosts::is_active(pod))
            .count()
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            self.api.now += 1;
            hosts::all_on(&mut self.api);
            self.pods.advance(&self.api, usize::MAX);
            self.sets.advance(&self.api, usize::MAX, |_, _| {});
            let stays = self
                .api
                .all("Pod")
                .all(|pod| hosts::is_available(pod) || pod["status"]["phase"] == "Failed");
            if self.plan(usize::MAX) && stays {
                return;
            }
        }
        panic!("never done");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_the_end_there_are_as_many_pods_as_wanted(replicas in 0..6_i32, ops in prop::collection::vec(op(true), 0..80)) {
        let mut world = World::new(replicas);
        ops.iter().for_each(|op| world.run(op));
        world.settle();
        let set = world.api.get("ReplicaSet", "web").unwrap();
        let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap()).unwrap();
        prop_assert_eq!(world.active(), wanted);
        prop_assert_eq!(&set["status"]["replicas"], &json!(wanted));
        prop_assert_eq!(set["status"]["availableReplicas"].as_u64().unwrap_or(0), u64::try_from(wanted).unwrap());
    }

    #[test]
    fn no_pod_is_created_twice_however_old_the_state(replicas in 1..6_i32, ops in prop::collection::vec(op(false), 0..80)) {
        let mut world = World::new(replicas);
        for op in &ops {
            world.run(op);
            prop_assert!(world.active() <= usize::try_from(replicas).unwrap());
        }
        world.settle();
        // None was too many at any time, so none had to go.
        prop_assert_eq!(hosts::names(&world.api).len(), usize::try_from(replicas).unwrap());
    }
}
