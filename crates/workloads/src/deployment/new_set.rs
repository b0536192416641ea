//! The set of the present template.

use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Planner, annotations::REVISION};
use crate::{
    hash::content_hash,
    owner,
    plan::{Action, Event, Object},
    template::set_label,
};

/// The label that tells a set's pods from those of other sets of the same deployment.
pub const TEMPLATE_HASH: &str = "pod-template-hash";

/// Whether a set was made from this template. Its hash would not do: it differs if a newer server has
/// more defaults, although nothing has changed.
pub(super) fn is_of_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let own = set.spec.template.as_ref();
    own.is_some_and(|own| {
        let empty = ObjectMeta::default();
        let metadata = |t: &PodTemplateSpec| {
            let mut metadata = t.metadata.clone().unwrap_or_else(|| empty.clone());
            let labels = metadata.labels.get_or_insert_default();
            labels.remove(TEMPLATE_HASH);
            metadata.annotations.get_or_insert_default();
            metadata
        };
        own.spec == template.spec && metadata(own) == metadata(template)
    })
}

impl Planner<'_> {
    /// Plans the set of the present template. Its first pods come with it, as many as there is room for.
    /// There is none if its name is taken; then the next plan tries another one.
    pub(super) fn create_new(&mut self) {
        let spec = self.spec;
        let content = serde_json::to_value(&spec.template).unwrap_or_default();
        let hash = content_hash(&content, self.status.collision_count);
        let name = format!("{}-{hash}", self.owner.name());
        let sets = self.snapshot.sets.iter();
        if sets
            .into_iter()
            .any(|set| owner::name(&set.metadata) == name)
        {
            let collisions = self.status.collision_count.unwrap_or(0);
            self.status.collision_count = Some(collisions.saturating_add(1));
            return;
        }
        let replicas = self.new_size(0);
        let mut template = spec.template.clone();
        let metadata = template.metadata.get_or_insert_default();
        set_label(metadata, TEMPLATE_HASH, hash.as_str());
        let labels = metadata.labels.clone();
        let mut selector = spec.selector.clone();
        let match_labels = selector.match_labels.get_or_insert_default();
        match_labels.insert(TEMPLATE_HASH.to_owned(), hash);
        let number = self.next_revision();
        let mut annotations: std::collections::BTreeMap<_, _> = self.copied().collect();
        annotations.insert(REVISION.to_owned(), number.to_string());
        for (key, value) in self.size_annotations() {
            annotations.insert(key, value.unwrap_or_default());
        }
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: self.owner.metadata.namespace.clone(),
                labels,
                annotations: Some(annotations),
                owner_references: Some(vec![self.owner.reference()]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: spec.min_ready_seconds,
                selector,
                template: Some(template),
            },
            status: None,
        };
        let event = (replicas > 0).then(|| {
            Event::normal(
                "ScalingReplicaSet",
                format!("Scaled up replica set {name} from 0 to {replicas}"),
            )
        });
        self.plan.actions.push(Action::Create {
            object: Object::ReplicaSet(Box::new(set)),
            event,
        });
        self.number_deployment(number);
        self.note_created(&name);
    }
}
