use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use mosaic_workloads::{
    Action, Object,
    stateful_set::{Claim, Snapshot, plan},
};
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
    See(usize, usize, usize),
    Pod(usize, Step),
    Image(u8),
    Scale(i32),
    Restart,
}

fn op(faults: bool) -> impl Strategy<Value = Op> {
    let step = if faults {
        prop_oneof![6 => Just(Step::On), 1 => Just(Step::Fail), 1 => Just(Step::Delete), 1 => Just(Step::Unready)].boxed()
    } else {
        Just(Step::On).boxed()
    };
    let fault = u32::from(faults);
    prop_oneof![
        6 => prop_oneof![3 => Just(usize::MAX), 1 => 0..3_usize].prop_map(Op::Plan),
        6 => (0..3_usize, 0..4_usize, 0..3_usize).prop_map(|(a, b, c)| Op::See(a, b, c)),
        10 => (0..10_usize, step).prop_map(|(pod, step)| Op::Pod(pod, step)),
        1 => (0..3_u8).prop_map(Op::Image),
        fault => (0..5_i32).prop_map(Op::Scale),
        1 => Just(Op::Restart),
    ]
}

struct World {
    api: Api,
    sets: View<StatefulSet>,
    pods: Pods,
    revisions: View<ControllerRevision>,
    claims: View<Claim>,
    /// What was created and deleted, with whether each ordinal below was there and ready.
    created: Vec<(usize, bool)>,
}

impl World {
    fn new(replicas: i32, parallel: bool, away: usize) -> Self {
        let mut api = Api::default();
        let set = json!({
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "serviceName": "db",
                "podManagementPolicy": if parallel { "Parallel" } else { "OrderedReady" },
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": away}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
                "selector": {"matchLabels": {"app": "db"}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "0"}]}},
            },
        });
        api.create("StatefulSet", set).unwrap();
        Self {
            api,
            sets: View::new("StatefulSet"),
            pods: Pods::new(),
            revisions: View::new("ControllerRevision"),
            claims: View::new("PersistentVolumeClaim"),
            created: Vec::new(),
        }
    }

    fn plan(&mut self, limit: usize) -> bool {
        let Some(set) = self.sets.get("db") else {
            return true;
        };
        let (pods, revisions, claims) = (
            self.pods.view.all(),
            self.revisions.all(),
            self.claims.all(),
        );
        let plan = plan(&Snapshot {
            set: &set,
            pods: &pods,
            revisions: &revisions,
            claims: &claims,
            now: self.api.time(),
        });
        for action in plan.actions.iter().take(limit) {
            if let Action::Create {
                object: Object::Pod(pod),
                ..
            } = action
            {
                let name = pod.metadata.name.as_deref().unwrap();
                if self.api.get("Pod", name).is_none() {
                    let ordinal: usize = name.strip_prefix("db-").unwrap().parse().unwrap();
                    let below = (0..ordinal).all(|o| {
                        self.api
                            .get("Pod", &format!("db-{o}"))
                            .is_some_and(hosts::is_available)
                    });
                    self.created.push((ordinal, below));
                }
            }
        }
        let object = serde_json::to_value(&*set).unwrap();
        carry_out(
            &mut self.api,
            &mut self.pods.in_flight,
            &plan,
            limit,
            ("StatefulSet", &object),
        );
        plan.is_done()
    }

    fn run(&mut self, op: &Op) {
        self.api.now += 1;
        match op {
            Op::Plan(limit) => {
                self.plan(*limit);
            }
            Op::See(sets, pods, others) => {
                self.sets.advance(&self.api, *sets, |_, _| {});
                self.pods.advance(&self.api, *pods);
                self.revisions.advance(&self.api, *others, |_, _| {});
                self.claims.advance(&self.api, *others, |_, _| {});
            }
            Op::Pod(number, step) => {
                if let Some(name) = hosts::names(&self.api).get(*number) {
                    hosts::step(&mut self.api, name, *step);
                }
            }
            Op::Image(image) => self.api.respecify("StatefulSet", "db", |spec| {
                spec["template"]["spec"]["containers"][0]["image"] = json!(image.to_string());
            }),
            Op::Scale(replicas) => self.api.respecify("StatefulSet", "db", |spec| {
                spec["replicas"] = json!(replicas)
            }),
            Op::Restart => {
                self.see_all();
                self.pods.restart(&self.api);
            }
        }
    }

    fn see_all(&mut self) {
        self.sets.advance(&self.api, usize::MAX, |_, _| {});
        self.pods.advance(&self.api, usize::MAX);
        self.revisions.advance(&self.api, usize::MAX, |_, _| {});
        self.claims.advance(&self.api, usize::MAX, |_, _| {});
    }

    fn settle(&mut self) {
        for _ in 0..300 {
            self.api.now += 1;
            hosts::all_on(&mut self.api);
            self.see_all();
            if self.plan(usize::MAX) && self.api.all("Pod").all(hosts::is_available) {
                return;
            }
        }
        panic!(
            "never done: {:#?}",
            self.api.all("StatefulSet").collect::<Vec<_>>()
        );
    }

    fn set(&self) -> &Value {
        self.api.get("StatefulSet", "db").unwrap()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let set = self.set();
        let wanted = set["spec"]["replicas"].as_u64().unwrap();
        let names: Vec<String> = hosts::names(&self.api);
        let expected: Vec<String> = (0..wanted).map(|ordinal| format!("db-{ordinal}")).collect();
        prop_assert_eq!(names, expected);
        let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
        for pod in self.api.all("Pod") {
            prop_assert_eq!(&pod["spec"]["containers"][0]["image"], image);
        }
        let status = &set["status"];
        prop_assert_eq!(&status["currentRevision"], &status["updateRevision"]);
        prop_assert_eq!(status["updatedReplicas"].as_u64().unwrap_or(0), wanted);
        let uid = &set["metadata"]["uid"];
        for ordinal in 0..wanted {
            let claim = self
                .api
                .get("PersistentVolumeClaim", &format!("data-db-{ordinal}"))
                .unwrap();
            prop_assert_eq!(&claim["metadata"]["ownerReferences"][0]["uid"], uid);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pods_come_in_order_and_few_are_away_during_updates(
        replicas in 1..5_i32, away in 1..3_usize, ops in prop::collection::vec(op(false), 0..150),
    ) {
        let mut world = World::new(replicas, false, away);
        world.settle();
        let replicas = usize::try_from(replicas).unwrap();
        prop_assert_eq!(world.created.iter().map(|(ordinal, _)| *ordinal).collect::<Vec<_>>(), (0..replicas).collect::<Vec<_>>());
        for op in &ops {
            world.run(op);
            let available = world.api.all("Pod").filter(|pod| hosts::is_available(pod)).count();
            prop_assert!(available + away >= replicas, "{} available after {:?}", available, op);
        }
        world.settle();
        world.check()?;
        prop_assert!(world.created.iter().all(|(_, below)| *below), "{:?}", world.created);
    }

    #[test]
    fn whatever_happens_there_is_one_pod_an_ordinal_of_the_last_template(
        replicas in 0..5_i32, away in 1..3_usize, ops in prop::collection::vec(op(true), 0..100),
    ) {
        let mut world = World::new(replicas, true, away);
        ops.iter().for_each(|op| world.run(op));
        world.settle();
        world.check()?;
    }
}
