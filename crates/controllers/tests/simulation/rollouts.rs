//! What a rollout of a Deployment promises: never more pods than it may have on top of those that are asked for, and, as
//! long as all hosts are well, never fewer that are available than it may.
//!
//! Both are a quarter, the one rounded up and the other down: the defaults of Kubernetes.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use crate::promises::{is, list, number, text};

/// For so long a controller may act on what was asked for before: messages are late by up to 12 s.
const MEMORY: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Deployment {
    uid: String,
    /// How many pods were asked for, and when.
    asked: Vec<(Duration, i64)>,
    replicas: i64,
    /// All pods were available since the number last changed, and since a host was not well.
    established: bool,
}

/// All Deployments, and what belongs to them.
#[derive(Default)]
pub struct Rollouts {
    deployments: HashMap<String, Deployment>,
    /// The owner and the size of each ReplicaSet.
    sets: HashMap<String, (String, i64)>,
    /// The workload of each pod that is available.
    available: HashMap<String, String>,
    nodes: HashMap<String, bool>,
    /// Whether hosts stay well, and nobody takes pods away: otherwise fewer may be available.
    pub gentle: bool,
}

impl Rollouts {
    /// Takes in a write. Tells which promise it breaks.
    pub fn saw(&mut self, key: &str, object: Option<&Value>, now: Duration) -> Option<String> {
        if let Some(name) = key.strip_prefix("/apps/deployments/default/") {
            self.saw_deployment(name, object, now);
        } else if key.starts_with("/apps/replicasets/default/") {
            return self.saw_set(key, object, now);
        } else if key.starts_with("/core/nodes/") {
            let well = object.is_some_and(|node| {
                is(node, "Ready") && list(node, "/spec/taints").next().is_none()
            });
            self.nodes.insert(key.to_owned(), well);
        } else if key.starts_with("/core/pods/default/") {
            self.saw_pod(key, object);
        } else {
            return None;
        }
        self.are_available()
    }

    fn saw_deployment(&mut self, name: &str, object: Option<&Value>, now: Duration) {
        let Some(object) = object else {
            self.deployments.remove(name);
            return;
        };
        let uid = text(object, "/metadata/uid");
        let replicas = number(object, "/spec/replicas");
        let known = self.deployments.entry(name.to_owned()).or_default();
        if known.uid != uid {
            *known = Deployment {
                uid: uid.to_owned(),
                ..Deployment::default()
            };
        }
        if known.asked.is_empty() || known.replicas != replicas {
            // What was asked for before counts until now.
            if let Some((until, _)) = known.asked.last_mut() {
                *until = now;
            }
            known.asked.push((now, replicas));
            known.replicas = replicas;
            known.established = false;
        }
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            self.deployments.remove(name);
        }
    }

    fn saw_set(&mut self, key: &str, object: Option<&Value>, now: Duration) -> Option<String> {
        let before = self.sets.remove(key).map_or(0, |(_, size)| size);
        let object = object?;
        let owner = list(object, "/metadata/ownerReferences").next()?;
        let (name, uid) = (text(owner, "/name"), text(owner, "/uid").to_owned());
        let size = number(object, "/spec/replicas");
        self.sets.insert(key.to_owned(), (uid.clone(), size));
        let deployment = self
            .deployments
            .get(name)
            .filter(|known| known.uid == uid)?;
        let all: i64 = self
            .sets
            .values()
            .filter(|(of, _)| *of == uid)
            .map(|(_, size)| size)
            .sum();
        let last = deployment.asked.len().saturating_sub(1);
        let asked = deployment.asked.iter().enumerate();
        let asked =
            asked.filter(|(index, (at, _))| *index == last || now.saturating_sub(*at) < MEMORY);
        let most = asked
            .map(|(_, (_, replicas))| replicas + (replicas + 3) / 4)
            .max()?;
        (size > before && all > most)
            .then(|| format!("Deployment {name}: its sets are to have {all} pods, {most} at most"))
    }

    fn saw_pod(&mut self, key: &str, object: Option<&Value>) {
        let available = object
            .filter(|pod| is(pod, "Ready") && pod.pointer("/metadata/deletionTimestamp").is_none());
        match available {
            Some(pod) => {
                let app = text(pod, "/metadata/labels/app").to_owned();
                self.available.insert(key.to_owned(), app)
            }
            None => self.available.remove(key),
        };
    }

    fn are_available(&mut self) -> Option<String> {
        let well = self.gentle && self.nodes.values().all(|well| *well);
        let mut broken = None;
        for (name, known) in &mut self.deployments {
            let available = self.available.values().filter(|app| *app == name).count();
            let available = i64::try_from(available).unwrap_or(i64::MAX);
            let least = known.replicas - known.replicas / 4;
            if !well {
                known.established = false;
            } else if available >= known.replicas {
                known.established = true;
            } else if known.established && available < least {
                known.established = false;
                broken = Some(format!(
                    "Deployment {name}: {available} pods are available, {least} at least"
                ));
            }
        }
        broken
    }
}
