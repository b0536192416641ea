//! The status of a replica set.

use std::sync::Arc;

use k8s_openapi::{
    api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::Snapshot;
use crate::{
    counts::{count, some},
    pod::Pod,
    template,
};

const FAILURE: &str = "ReplicaFailure";

/// What the set's pods are like.
pub(super) fn status(snapshot: &Snapshot<'_>, owned: &[&Arc<Pod>]) -> ReplicaSetStatus {
    let Snapshot { set, now, .. } = *snapshot;
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let labels = set.spec.template.as_ref().and_then(template::labels);
    let mut status = ReplicaSetStatus {
        observed_generation: set.metadata.generation,
        conditions: conditions(snapshot),
        ..ReplicaSetStatus::default()
    };
    let (mut replicas, mut labelled, mut ready, mut available, mut terminating) = (0, 0, 0, 0, 0);
    for pod in owned {
        if !pod.is_active() {
            terminating += usize::from(!pod.has_ended());
            continue;
        }
        let has_all = |labels: &std::collections::BTreeMap<String, String>| {
            labels
                .iter()
                .all(|(key, value)| pod.label(key) == Some(value))
        };
        replicas += 1;
        labelled += usize::from(labels.is_none_or(has_all));
        ready += usize::from(pod.ready);
        available += usize::from(pod.is_available(min_ready, now));
    }
    status.replicas = count(replicas);
    status.fully_labeled_replicas = some(count(labelled));
    status.ready_replicas = some(count(ready));
    status.available_replicas = some(count(available));
    status.terminating_replicas = some(count(terminating));
    status
}

/// Whether pods could be created or deleted.
fn conditions(snapshot: &Snapshot<'_>) -> Option<Vec<ReplicaSetCondition>> {
    let old = snapshot.set.status.as_ref();
    let old = old
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let is_failure = |c: &ReplicaSetCondition| c.type_.as_deref() == Some(FAILURE);
    let mut conditions: Vec<_> = old.iter().filter(|c| !is_failure(c)).cloned().collect();
    if let Some(failure) = snapshot.failure {
        let reason = if failure.creating {
            "FailedCreate"
        } else {
            "FailedDelete"
        };
        // The first failure stays as it is, so that trying again does not write a status each time.
        let known = old
            .into_iter()
            .find(|c| is_failure(c) && c.reason.as_deref() == Some(reason));
        conditions.push(known.unwrap_or_else(|| ReplicaSetCondition {
            type_: Some(FAILURE.to_owned()),
            status: Some("True".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(snapshot.now)),
        }));
    }
    (!conditions.is_empty()).then_some(conditions)
}
