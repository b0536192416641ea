//! The annotations by which a deployment remembers in its sets what it did.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Planner;
use crate::{
    owner,
    plan::{Action, Change, Kind, Target},
};

/// The number of the template, on sets and on the deployment: what `kubectl rollout history` lists.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers that a set had before, when its template came back.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many pods the deployment wanted when the set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// How many pods the deployment allowed when the set was last scaled.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a deployment that its sets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];

/// The number of a set's template; 0 without one.
pub(super) fn revision(metadata: &ObjectMeta) -> i64 {
    let revision = owner::annotation(metadata, REVISION);
    revision.and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Planner<'_> {
    /// The number that the present template is to have.
    pub(super) fn next_revision(&self) -> i64 {
        let newest = self.old.iter().map(|old| revision(&old.set.metadata)).max();
        newest.unwrap_or(0).saturating_add(1)
    }

    /// What a set's size is to be judged by later on.
    pub(super) fn size_annotations(&self) -> BTreeMap<String, Option<String>> {
        let most = self.desired().saturating_add(self.bounds().0);
        [
            (
                DESIRED_REPLICAS.to_owned(),
                Some(self.desired().to_string()),
            ),
            (MAX_REPLICAS.to_owned(), Some(most.to_string())),
        ]
        .into()
    }

    /// The deployment's annotations that its new set gets, too.
    pub(super) fn copied(&self) -> impl Iterator<Item = (String, String)> {
        let annotations = self.owner.metadata.annotations.iter().flatten();
        annotations
            .filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Brings the new set's annotations up to date, and the deployment's number.
    pub(super) fn keep_annotations(&mut self) {
        let Some(set) = self.new.as_ref().map(|new| new.set) else {
            return;
        };
        let metadata = &set.metadata;
        let mut changed: BTreeMap<String, Option<String>> = self
            .copied()
            .filter(|(key, value)| owner::annotation(metadata, key) != Some(value))
            .map(|(key, value)| (key, Some(value)))
            .collect();
        let (before, next) = (revision(metadata), self.next_revision());
        let number = before.max(next);
        if before < next {
            changed.insert(REVISION.to_owned(), Some(next.to_string()));
            if let Some(number) = owner::annotation(metadata, REVISION) {
                let known = owner::annotation(metadata, REVISION_HISTORY).unwrap_or_default();
                let mut history: Vec<&str> = known.split(',').filter(|n| !n.is_empty()).collect();
                history.push(number);
                changed.insert(REVISION_HISTORY.to_owned(), Some(history.join(",")));
            }
        }
        let ready_after = self.spec.min_ready_seconds.unwrap_or(0);
        let has = set.spec.min_ready_seconds;
        let ready_after = (has.unwrap_or(0) != ready_after).then_some(ready_after);
        if !changed.is_empty() || ready_after.is_some() {
            self.change_set(set, None, ready_after, changed, None);
        }
        self.number_deployment(number);
    }

    /// Writes the number of the present template on the deployment.
    pub(super) fn number_deployment(&mut self, number: i64) {
        let number = number.to_string();
        if owner::annotation(self.owner.metadata, REVISION) != Some(&number) {
            let target = Target::any_version(Kind::Deployment, self.owner.metadata);
            let change = Change::SetAnnotations([(REVISION.to_owned(), number)].into());
            self.plan.actions.push(Action::patch(target, change));
        }
    }
}
