//! A loop around a planner, as simple as can be.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_workloads::{Action, Object, Plan, Pod};
use serde::Serialize;
use serde_json::Value;

use crate::api::{Api, View, name_of};

/// Creations and deletions of pods that a view does not show yet. A loop makes no plan before it shows all of them.
#[derive(Default)]
pub struct InFlight {
    /// Names of pods that were created.
    created: BTreeSet<String>,
    /// UIDs of pods that were deleted.
    deleted: BTreeSet<String>,
}

impl InFlight {
    /// Takes out what this pod shows.
    fn observe(&mut self, pod: &Pod) {
        self.created.remove(pod.name());
        if pod.is_terminating() {
            self.deleted.remove(pod.uid());
        }
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.deleted.is_empty()
    }
}

/// What a loop knows besides the objects: it is lost when the process ends.
pub struct Pods {
    pub view: View<Pod>,
    pub in_flight: InFlight,
    /// UIDs by name, of pods that were seen.
    uids: BTreeMap<String, String>,
}

impl Pods {
    pub fn new() -> Self {
        Self {
            view: View::new("Pod"),
            in_flight: InFlight::default(),
            uids: Default::default(),
        }
    }

    pub fn advance(&mut self, api: &Api, steps: usize) {
        let Self {
            view,
            in_flight,
            uids,
        } = self;
        view.advance(api, steps, |name, pod| match pod {
            Some(pod) => {
                uids.insert(name.to_owned(), pod.uid().to_owned());
                in_flight.observe(pod);
            }
            None => {
                if let Some(uid) = uids.remove(name) {
                    in_flight.deleted.remove(&uid);
                }
            }
        });
    }

    /// The process ends, and another one begins with a list of everything.
    pub fn restart(&mut self, api: &Api) {
        *self = Self::new();
        self.view.list(api);
        let pods = self.view.all();
        self.uids = pods
            .iter()
            .map(|pod| (pod.name().to_owned(), pod.uid().to_owned()))
            .collect();
    }
}

/// Carries out the first `limit` actions of a plan, and its status if that was all. Returns whether anything was refused.
pub fn carry_out<S: Serialize>(
    api: &mut Api,
    in_flight: &mut InFlight,
    plan: &Plan<S>,
    limit: usize,
    (kind, object): (&'static str, &Value),
) {
    for action in plan.actions.iter().take(limit) {
        match action {
            // One that is gone was seen to go before, or will be.
            Action::Create {
                object: Object::Pod(pod),
                ..
            } => {
                let name = pod.metadata.name.clone().unwrap();
                if api.get("Pod", &name).is_none() {
                    in_flight.created.insert(name);
                }
            }
            Action::Delete { target, .. } if name_of(target.kind) == "Pod" => {
                let known = api.get("Pod", &target.name);
                if known.is_some_and(|pod| {
                    pod["metadata"]["uid"] == target.uid.as_str()
                        && pod["metadata"]["deletionTimestamp"].is_null()
                }) {
                    in_flight.deleted.insert(target.uid.clone());
                }
            }
            _ => {}
        }
        if api.act(action).is_err() {
            return;
        }
    }
    if limit < plan.actions.len() {
        return;
    }
    if let Some(status) = &plan.status {
        let metadata = &object["metadata"];
        let version = metadata["resourceVersion"].as_str().unwrap();
        let status = serde_json::to_value(status).unwrap();
        // A conflict is the reason to plan anew.
        let _ = api.set_status(kind, metadata["name"].as_str().unwrap(), version, status);
    }
}
