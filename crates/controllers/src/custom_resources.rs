//! Deletes the objects of a kind whose definition is being deleted, and then lets the definition go.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, CustomResourceDefinitionCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, PartialObjectMeta},
    discovery::ApiResource,
    runtime::watcher,
};
use serde_json::json;

use crate::{
    context::Context,
    error::{Absent, Result},
    readable::Readable,
    runner::{self, Next},
    watch,
};

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const TERMINATING: &str = "Terminating";
const CONCURRENCY: usize = 4;
/// The pause between two looks at objects that are held by finalizers.
const PAUSE: Duration = Duration::from_secs(2);

/// What is to be done about a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// Say in its status whether its objects are being deleted, and why.
    SetTerminating {
        status: &'static str,
        reason: &'static str,
        message: &'static str,
    },
    /// Delete all of its objects.
    DeleteObjects,
    /// Look again later.
    LookAgain,
    /// Take the finalizer away.
    RemoveFinalizer,
}

/// What is to be done about a definition, of whose objects so many are there; none if nobody counted.
fn plan(definition: &CustomResourceDefinition, remaining: Option<usize>) -> Vec<Action> {
    let has_finalizer = definition
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER);
    if definition.metadata.deletion_timestamp.is_none() || !has_finalizer {
        return Vec::new();
    }
    match remaining {
        // A kind that was never served has no objects.
        None if !has_condition(definition, "Established") => vec![Action::RemoveFinalizer],
        None => {
            let mut actions = Vec::new();
            if !has_condition(definition, TERMINATING) {
                actions.push(Action::SetTerminating {
                    status: "True",
                    reason: "InstanceDeletionInProgress",
                    message: "CustomResource deletion is in progress",
                });
            }
            actions.push(Action::DeleteObjects);
            actions
        }
        Some(0) => vec![
            Action::SetTerminating {
                status: "False",
                reason: "InstanceDeletionCompleted",
                message: "removed all instances",
            },
            Action::RemoveFinalizer,
        ],
        Some(_) => vec![Action::LookAgain],
    }
}

fn has_condition(definition: &CustomResourceDefinition, ty: &str) -> bool {
    let conditions = definition
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == ty && condition.status == "True")
}

/// Cleans up after definitions.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<String>();
    let definitions: Api<Readable<PartialObjectMeta<CustomResourceDefinition>>> =
        Api::all(context.client.clone());
    tokio::join!(
        watch::objects(definitions, watcher::Config::default(), |object| {
            if let (Some(name), Some(_)) =
                (object.metadata.name, object.metadata.deletion_timestamp)
            {
                queue.add(name);
            }
        }),
        runner::work("custom-resources", CONCURRENCY, &queue, requests, |name| {
            reconcile(&context, name)
        }),
    );
}

async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let definitions: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let Some(mut definition) = definitions.get_opt(&name).await? else {
        return Ok(Next::Done);
    };
    let mut next = Next::Done;
    let mut actions = plan(&definition, None);
    actions.reverse();
    while let Some(action) = actions.pop() {
        match action {
            Action::SetTerminating {
                status,
                reason,
                message,
            } => {
                let condition = CustomResourceDefinitionCondition {
                    type_: TERMINATING.to_owned(),
                    status: status.to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message.to_owned()),
                    last_transition_time: Some(Time(Timestamp::now())),
                    ..CustomResourceDefinitionCondition::default()
                };
                let conditions = definition
                    .status
                    .get_or_insert_default()
                    .conditions
                    .get_or_insert_default();
                conditions.retain(|condition| condition.type_ != TERMINATING);
                conditions.push(condition);
                definition = definitions
                    .replace_status(&name, &PostParams::default(), &definition)
                    .await?;
            }
            Action::DeleteObjects => {
                let remaining = delete_objects(context, &definition).await?;
                actions = plan(&definition, Some(remaining));
                actions.reverse();
            }
            Action::LookAgain => next = Next::After(PAUSE),
            Action::RemoveFinalizer => {
                let mut finalizers = definition.metadata.finalizers.clone().unwrap_or_default();
                finalizers.retain(|finalizer| finalizer != FINALIZER);
                let patch = Patch::Merge(json!({ "metadata": {
                    "resourceVersion": definition.metadata.resource_version,
                    "finalizers": finalizers,
                }}));
                definitions
                    .patch_metadata(&name, &PatchParams::default(), &patch)
                    .await
                    .or_absent()?;
            }
        }
    }
    Ok(next)
}

/// Deletes the objects of a kind and returns how many are still there.
async fn delete_objects(context: &Context, definition: &CustomResourceDefinition) -> Result<usize> {
    let spec = &definition.spec;
    // All versions show the same objects.
    let Some(version) = spec.versions.iter().find(|version| version.served) else {
        return Ok(0);
    };
    let resource = ApiResource {
        group: spec.group.clone(),
        version: version.name.clone(),
        api_version: format!("{}/{}", spec.group, version.name),
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
    };
    let everywhere: Api<PartialObjectMeta<DynamicObject>> =
        Api::all_with(context.client.clone(), &resource);
    let count = async || -> Result<(usize, BTreeSet<String>)> {
        let Some(page) = everywhere
            .list_metadata(&ListParams::default())
            .await
            .or_absent()?
        else {
            return Ok((0, BTreeSet::new()));
        };
        let namespaces = page
            .items
            .iter()
            .filter(|object| object.metadata.deletion_timestamp.is_none());
        let namespaces =
            namespaces.map(|object| object.metadata.namespace.clone().unwrap_or_default());
        Ok((page.items.len(), namespaces.collect()))
    };
    let (_, namespaces) = count().await?;
    for namespace in namespaces {
        let api: Api<PartialObjectMeta<DynamicObject>> = if namespace.is_empty() {
            everywhere.clone()
        } else {
            Api::namespaced_with(context.client.clone(), &namespace, &resource)
        };
        api.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .or_absent()?;
    }
    Ok(count().await?.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionStatus;

    use super::*;

    fn deleting(conditions: &[&str]) -> CustomResourceDefinition {
        let mut definition = CustomResourceDefinition::default();
        definition.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        definition.metadata.finalizers = Some(vec![FINALIZER.into()]);
        let conditions = conditions
            .iter()
            .map(|ty| CustomResourceDefinitionCondition {
                type_: (*ty).to_owned(),
                status: "True".to_owned(),
                ..CustomResourceDefinitionCondition::default()
            });
        definition.status = Some(CustomResourceDefinitionStatus {
            conditions: Some(conditions.collect()),
            ..CustomResourceDefinitionStatus::default()
        });
        definition
    }

    #[test]
    fn objects_go_before_their_definition() {
        assert_eq!(plan(&CustomResourceDefinition::default(), None), []);
        assert_eq!(plan(&deleting(&[]), None), [Action::RemoveFinalizer]);
        assert_eq!(
            plan(&deleting(&["Established", TERMINATING]), None),
            [Action::DeleteObjects]
        );
        let actions = plan(&deleting(&["Established"]), None);
        assert!(matches!(
            actions[..],
            [
                Action::SetTerminating { status: "True", .. },
                Action::DeleteObjects
            ]
        ));
        assert_eq!(
            plan(&deleting(&["Established"]), Some(3)),
            [Action::LookAgain]
        );
        let actions = plan(&deleting(&["Established"]), Some(0));
        assert!(matches!(
            actions[..],
            [
                Action::SetTerminating {
                    status: "False",
                    ..
                },
                Action::RemoveFinalizer
            ]
        ));
    }
}
