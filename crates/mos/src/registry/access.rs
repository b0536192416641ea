//! Who may do what with a repository: the cluster's identities, and its rights to `repositories.mosaic` in the namespace
//! that the repository's name begins with.

use http::header;
use http::request::Parts;
use mosaic_api::quantity::Quantity;
use mosaic_apiserver::identity::Certificate;
use mosaic_apiserver::{Gate, REGISTRY_AUDIENCE};
use mosaic_auth::{User, groups};
use mosaic_registry::access::namespace;
use mosaic_registry::{Access, Action, Decision, Identity, Owner};
use mosaic_validation::quota::IMAGE_STORAGE;
use serde_json::Value;

/// What a role names to give rights to repositories.
const RESOURCE: &str = "repositories";
/// The namespace whose UID is the cluster's, as others take it too: nobody can delete it.
pub(super) const CLUSTER: &str = "kube-system";

/// The verb of a role that stands for an action.
fn verb(action: Action) -> &'static str {
    match action {
        Action::Pull => "get",
        Action::Push => "update",
        Action::Delete => "delete",
    }
}

/// Identities and rights of the API server in the same process.
pub(super) struct ByGate {
    gate: Gate,
    anonymous_pull: bool,
}

impl ByGate {
    pub(super) fn new(gate: Gate, anonymous_pull: bool) -> Self {
        Self {
            gate,
            anonymous_pull,
        }
    }
}

pub(super) fn identity(user: &User) -> Identity {
    if user.in_group(groups::UNAUTHENTICATED) {
        return Identity::anonymous();
    }
    Identity {
        name: Some(user.name.as_str().into()),
        groups: user
            .groups
            .iter()
            .map(|group| group.as_str().into())
            .collect(),
    }
}

/// Whether somebody belongs to a namespace: its service accounts may pull what it holds without a role.
fn is_of(who: &Identity, namespace: &str) -> bool {
    let own = format!("{}:{namespace}", groups::SERVICE_ACCOUNTS);
    who.groups.iter().any(|group| **group == *own)
}

impl Access for ByGate {
    fn authenticate(&self, head: &Parts) -> Result<Identity, String> {
        let certificate = head.extensions.get::<Certificate>();
        if certificate.is_none() && !head.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Identity::anonymous());
        }
        let user = self
            .gate
            .authenticate(certificate, &head.headers, REGISTRY_AUDIENCE)
            .map_err(|_| {
                "the password has to be a token that is good at the API server, such as one of `kubectl create token`"
                    .to_owned()
            })?;
        Ok(identity(&user))
    }

    fn may(&self, who: &Identity, action: Action, repository: &str) -> Decision {
        let namespace = namespace(repository);
        let allowed = match &who.name {
            None => self.anonymous_pull && action == Action::Pull,
            Some(name) => {
                (action == Action::Pull && (self.anonymous_pull || is_of(who, namespace)))
                    || self.gate.allows(
                        &User::new(&**name, who.groups.iter().map(|group| &**group)),
                        verb(action),
                        RESOURCE,
                        namespace,
                        repository,
                    )
            }
        };
        if !allowed {
            return Decision::Deny(match &who.name {
                None => "a user and a token are wanted".into(),
                Some(name) => format!(
                    "user {name:?} cannot {} resource \"{RESOURCE}\" in API group \"mosaic\" in the namespace {namespace:?}",
                    verb(action)
                ),
            });
        }
        if action == Action::Push && self.gate.namespace(namespace).is_none() {
            return Decision::Deny(format!(
                "there is no namespace {namespace:?}, which the repository would belong to; make it with `kubectl create namespace {namespace}`"
            ));
        }
        Decision::Allow
    }

    fn owner(&self, namespace: &str) -> Option<Owner> {
        let uid = |name: &str| {
            let namespace = self.gate.namespace(name)?;
            let uid = namespace.get("metadata")?.get("uid")?.as_str()?;
            Some(Box::from(uid))
        };
        Some(Owner {
            uid: uid(namespace)?,
            cluster: uid(CLUSTER)?,
        })
    }

    fn quota(&self, namespace: &str) -> Option<u64> {
        let quotas = self.gate.objects("ResourceQuota", namespace);
        quotas.iter().filter_map(|quota| limit(quota)).min()
    }
}

/// What a quota allows the images of its namespace, in bytes.
fn limit(quota: &Value) -> Option<u64> {
    let hard = quota.get("spec")?.get("hard")?.get(IMAGE_STORAGE)?;
    let bytes = Quantity::from_value(hard).ok()?.value();
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_quota_limits_the_bytes_of_images_if_it_says_so() {
        let quota = |hard: Value| json!({ "spec": { "hard": hard } });
        assert_eq!(
            limit(&quota(json!({ IMAGE_STORAGE: "2Gi" }))),
            Some(2 << 30)
        );
        assert_eq!(limit(&quota(json!({ "pods": "3" }))), None);
    }

    #[test]
    fn service_accounts_belong_to_their_namespace_alone() {
        let robot = identity(&User::service_account("shop", "robot"));
        assert!(is_of(&robot, "shop"));
        assert!(!is_of(&robot, "sho"));
        assert!(!is_of(&Identity::anonymous(), "shop"));
    }
}
