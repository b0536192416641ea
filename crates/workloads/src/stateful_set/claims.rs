//! The claims of a set's pods, and who owns them: whether they outlive the set and their pod.

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::PersistentVolumeClaim,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use serde::{Deserialize, Deserializer};

use super::Planner;
use crate::{
    owner,
    plan::{Action, Change, Event, Kind, Object, Target},
    pod::Pod,
};

/// A claim for a volume, as far as planning looks at it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Claim {
    /// Its metadata, without annotations and managed fields.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    crate::pod::metadata(deserializer, &[])
}

impl k8s_openapi::Resource for Claim {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "PersistentVolumeClaim";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "persistentvolumeclaims";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Claim {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A reference to a pod as the owner of its claim.
fn pod_reference(pod: &Pod) -> OwnerReference {
    owner::Owner {
        api_version: "v1",
        kind: "Pod",
        metadata: &pod.metadata,
    }
    .reference()
}

fn is_pod(reference: &OwnerReference, name: &str) -> bool {
    reference.kind == "Pod" && reference.api_version == "v1" && reference.name == name
}

impl Planner<'_> {
    /// The claims of an ordinal: the volume's name and the claim's.
    pub(super) fn claim_names(&self, ordinal: i32) -> impl Iterator<Item = (String, String)> {
        let templates = self
            .snapshot
            .set
            .spec
            .volume_claim_templates
            .iter()
            .flatten();
        let set = self.owner.name();
        templates.map(move |template| {
            let name = owner::name(&template.metadata);
            (name.to_owned(), format!("{name}-{set}-{ordinal}"))
        })
    }

    /// Whether a claim of this ordinal, which has no pod, is still to go: then a new pod has to wait for it.
    pub(super) fn has_claim_on_its_way_out(&self, ordinal: i32) -> bool {
        let pod = self.pod_name(ordinal);
        self.claim_names(ordinal).any(|(_, name)| {
            self.claims.get(name.as_str()).is_some_and(|claim| {
                let owners = claim.metadata.owner_references.iter().flatten();
                claim.metadata.deletion_timestamp.is_some()
                    || owners.into_iter().any(|owner| is_pod(owner, &pod))
            })
        })
    }

    /// Plans the claims of an ordinal that are not there.
    pub(super) fn create_claims(&mut self, ordinal: i32) {
        let pod = self.pod_name(ordinal);
        let set = self.snapshot.set;
        let names: Vec<(String, String)> = self.claim_names(ordinal).collect();
        let templates = set.spec.volume_claim_templates.iter().flatten();
        for (template, (_, name)) in templates.zip(names) {
            if self.claims.contains_key(name.as_str()) {
                continue;
            }
            let mut labels = template.metadata.labels.clone().unwrap_or_default();
            labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
            let owners = self.claim_owners(&ObjectMeta::default(), None, &pod);
            let claim = PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: self.owner.metadata.namespace.clone(),
                    labels: (!labels.is_empty()).then_some(labels),
                    annotations: template.metadata.annotations.clone(),
                    finalizers: template.metadata.finalizers.clone(),
                    owner_references: owners.filter(|owners| !owners.is_empty()),
                    ..ObjectMeta::default()
                },
                spec: template.spec.clone(),
                status: None,
            };
            let message = format!(
                "create Claim {name} Pod {pod} in StatefulSet {} success",
                self.owner.name()
            );
            self.plan.actions.push(Action::Create {
                object: Object::Claim(Box::new(claim)),
                event: Some(Event::normal("SuccessfulCreate", message)),
            });
        }
    }

    /// Brings the owners of all claims with a pod in line with the retention policy.
    pub(super) fn keep_claims(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let mut actions = Vec::new();
        for (ordinal, pod) in &self.pods {
            let condemned = (!self.is_desired(*ordinal)).then_some(&***pod);
            for (_, name) in self.claim_names(*ordinal) {
                let Some(claim) = self.claims.get(name.as_str()) else {
                    continue;
                };
                let Some(owners) = self.claim_owners(&claim.metadata, condemned, pod.name()) else {
                    continue;
                };
                if claim
                    .metadata
                    .owner_references
                    .as_deref()
                    .unwrap_or_default()
                    != owners
                {
                    let target = Target::unchanged(Kind::PersistentVolumeClaim, &claim.metadata);
                    actions.push(Action::patch(target, Change::SetOwners(owners)));
                }
            }
        }
        self.plan.actions.extend(actions);
    }

    /// The owners that a claim is to have: the set, if it is to go with it, and the pod, if that is to go because of
    /// the set's size and the claim with it. A claim that another one controls is left alone.
    fn claim_owners(
        &self,
        claim: &ObjectMeta,
        condemned: Option<&Pod>,
        pod_name: &str,
    ) -> Option<Vec<OwnerReference>> {
        let is_own =
            |owner: &OwnerReference| owner.uid == self.owner.uid() || is_pod(owner, pod_name);
        if owner::controller(claim).is_some_and(|owner| !is_own(owner)) {
            return None;
        }
        let policy = self
            .snapshot
            .set
            .spec
            .persistent_volume_claim_retention_policy
            .as_ref();
        let deletes = |policy: Option<&String>| policy.is_some_and(|policy| policy == "Delete");
        let with_set = deletes(policy.and_then(|p| p.when_deleted.as_ref()));
        let with_pod = deletes(policy.and_then(|p| p.when_scaled.as_ref()));
        let owner = match condemned {
            Some(pod) if with_pod => Some(pod_reference(pod)),
            _ if with_set => Some(self.owner.reference()),
            _ => None,
        };
        let known = claim.owner_references.iter().flatten();
        if let Some(owner) = &owner
            && known.clone().filter(|o| is_own(o)).eq([owner])
        {
            return claim.owner_references.clone();
        }
        let others = known.filter(|owner| !is_own(owner)).cloned();
        Some(others.chain(owner).collect())
    }
}
