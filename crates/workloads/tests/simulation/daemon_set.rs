use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use mosaic_workloads::{
    Node,
    daemon_set::{Backoff, Snapshot, plan},
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
    Label(usize, bool),
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
        fault => (0..HOSTS, any::<bool>()).prop_map(|(host, meant)| Op::Label(host, meant)),
        1 => Just(Op::Restart),
    ]
}

const HOSTS: usize = 5;

struct World {
    api: Api,
    sets: View<DaemonSet>,
    pods: Pods,
    nodes: View<Node>,
    revisions: View<ControllerRevision>,
}

impl World {
    fn new(surge: usize, away: usize) -> Self {
        let mut api = Api::default();
        let set = json!({
            "metadata": {"name": "log", "namespace": "shop"},
            "spec": {
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": away}},
                "selector": {"matchLabels": {"app": "log"}},
                "template": {
                    "metadata": {"labels": {"app": "log"}},
                    "spec": {"containers": [{"name": "c", "image": "0"}], "nodeSelector": {"meant": "yes"}},
                },
            },
        });
        api.create("DaemonSet", set).unwrap();
        for host in 0..HOSTS {
            let node = json!({"metadata": {"name": format!("n{host}"), "labels": {"meant": "yes"}}, "spec": {}});
            api.create("Node", node).unwrap();
        }
        let mut world = Self {
            api,
            sets: View::new("DaemonSet"),
            pods: Pods::new(),
            nodes: View::new("Node"),
            revisions: View::new("ControllerRevision"),
        };
        world.settle();
        world
    }

    fn plan(&mut self, limit: usize) -> bool {
        let Some(set) = self.sets.get("log") else {
            return true;
        };
        if !self.pods.in_flight.is_empty() {
            return false;
        }
        let (pods, nodes, revisions) =
            (self.pods.view.all(), self.nodes.all(), self.revisions.all());
        let plan = plan(&Snapshot {
            set: &set,
            pods: &pods,
            nodes: &nodes,
            revisions: &revisions,
            backoff: &Backoff::default(),
            now: self.api.time(),
        });
        let object = serde_json::to_value(&*set).unwrap();
        carry_out(
            &mut self.api,
            &mut self.pods.in_flight,
            &plan,
            limit,
            ("DaemonSet", &object),
        );
        plan.is_done()
    }

    fn see_all(&mut self) {
        self.sets.advance(&self.api, usize::MAX, |_, _| {});
        self.pods.advance(&self.api, usize::MAX);
        self.nodes.advance(&self.api, usize::MAX, |_, _| {});
        self.revisions.advance(&self.api, usize::MAX, |_, _| {});
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
                self.nodes.advance(&self.api, *others, |_, _| {});
                self.revisions.advance(&self.api, *others, |_, _| {});
            }
            Op::Pod(number, step) => {
                if let Some(name) = hosts::names(&self.api).get(*number) {
                    hosts::step(&mut self.api, name, *step);
                }
            }
            Op::Image(image) => self.api.respecify("DaemonSet", "log", |spec| {
                spec["template"]["spec"]["containers"][0]["image"] = json!(image.to_string());
            }),
            Op::Label(host, meant) => {
                let label = if *meant { json!("yes") } else { json!("no") };
                self.api.update("Node", &format!("n{host}"), |node| {
                    node["metadata"]["labels"]["meant"] = label
                });
            }
            Op::Restart => {
                self.see_all();
                self.pods.restart(&self.api);
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.api.now += 1;
            hosts::all_on(&mut self.api);
            self.see_all();
            if self.plan(usize::MAX) && self.api.all("Pod").all(hosts::is_available) {
                return;
            }
        }
        panic!("never done: {:#?}", self.api.all("Pod").collect::<Vec<_>>());
    }

    /// How many pods each host has, that count by the given rule.
    fn by_host(&self, counts: impl Fn(&Value) -> bool) -> BTreeMap<String, usize> {
        let mut hosts = BTreeMap::new();
        for pod in self.api.all("Pod").filter(|pod| counts(pod)) {
            let pod: mosaic_workloads::Pod = serde_json::from_value(pod.clone()).unwrap();
            *hosts.entry(pod.pinned.unwrap().into_string()).or_default() += 1;
        }
        hosts
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_update_never_leaves_its_bounds(surge in 0..3_usize, away in 0..3_usize, ops in prop::collection::vec(op(false), 0..150)) {
        prop_assume!(surge + away > 0);
        let mut world = World::new(surge, away);
        for op in &ops {
            world.run(op);
            let all = world.by_host(|_| true);
            prop_assert!(surge > 0 || all.values().all(|pods| *pods == 1), "{:?} after {:?}", all, op);
            let active = world.by_host(hosts::is_active);
            prop_assert!(active.values().all(|pods| *pods <= 2), "{:?} after {:?}", active, op);
            let served = world.by_host(hosts::is_available).len();
            let allowed = if surge > 0 { 0 } else { away };
            prop_assert!(served + allowed >= HOSTS, "{} served after {:?}", served, op);
        }
        world.settle();
        prop_assert_eq!(world.by_host(|_| true).values().sum::<usize>(), HOSTS);
    }

    #[test]
    fn whatever_happens_each_host_that_is_meant_has_one_pod_of_the_last_template(
        surge in 0..2_usize, ops in prop::collection::vec(op(true), 0..120),
    ) {
        let mut world = World::new(surge, 1 - surge);
        ops.iter().for_each(|op| world.run(op));
        world.settle();
        let meant: Vec<String> = world.api.all("Node")
            .filter(|node| node["metadata"]["labels"]["meant"] == "yes")
            .map(|node| node["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let pods = world.by_host(|_| true);
        prop_assert_eq!(pods.keys().cloned().collect::<Vec<_>>(), meant);
        prop_assert!(pods.values().all(|pods| *pods == 1));
        let set = world.api.get("DaemonSet", "log").unwrap();
        for pod in world.api.all("Pod") {
            prop_assert_eq!(&pod["spec"]["containers"][0]["image"], &set["spec"]["template"]["spec"]["containers"][0]["image"]);
        }
        prop_assert_eq!(&set["status"]["updatedNumberScheduled"].as_u64().unwrap_or(0), &u64::try_from(pods.len()).unwrap());
    }
}
