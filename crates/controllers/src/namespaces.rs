//! Deletes what is in a terminating namespace, tells how far that has come, and then lets the namespace go.
//!
//! Pods go first: what they use, and what protects others from them, stays until they have ended.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceCondition, NamespaceSpec},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    core::{DynamicObject, PartialObjectMeta},
    discovery::verbs,
    runtime::watcher,
};

use crate::{
    context::Context,
    discovery::Kind,
    error::{Absent, Error, Result, code},
    readable::Readable,
    runner::{self, Next},
    service_accounts::is_active,
    watch,
};

/// The finalizer in `spec.finalizers` that stands for the content.
const FINALIZER: &str = "kubernetes";
const CONCURRENCY: usize = 4;
/// How many of the remaining objects of a kind are looked at for their finalizers.
const LOOKED_AT: u32 = 500;
/// The shortest and longest pauses between two looks at what remains.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

const DISCOVERY_FAILURE: &str = "NamespaceDeletionDiscoveryFailure";
const PARSING_FAILURE: &str = "NamespaceDeletionGroupVersionParsingFailure";
const CONTENT_FAILURE: &str = "NamespaceDeletionContentFailure";
const CONTENT_REMAINING: &str = "NamespaceContentRemaining";
const FINALIZERS_REMAINING: &str = "NamespaceFinalizersRemaining";

/// How far the deletion of the content has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    /// Why the kinds are not known.
    discovery_failure: Option<String>,
    /// Why content could not be deleted.
    failures: Vec<String>,
    /// How many objects remain, by `plural.group`.
    remaining: BTreeMap<String, u64>,
    /// How many objects have a finalizer, by its name.
    finalizers: BTreeMap<String, u64>,
}

/// What is to be done about a terminating namespace.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Write these conditions into its status.
    SetConditions(Vec<NamespaceCondition>),
    /// Take the finalizer away.
    Finalize,
    /// Look again after this time.
    LookAgain(Duration),
}

impl Progress {
    fn is_done(&self) -> bool {
        self.discovery_failure.is_none() && self.failures.is_empty() && self.remaining.is_empty()
    }

    /// The condition of each type: its status, reason and message.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let list = |counts: &BTreeMap<String, u64>, text: &dyn Fn(&str, u64) -> String| {
            counts
                .iter()
                .map(|(name, count)| text(name, *count))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let or = |wrong: Option<(&'static str, String)>, reason: &'static str, message: &str| {
            match wrong {
                Some((reason, message)) => (true, reason, message),
                None => (false, reason, message.to_owned()),
            }
        };
        let discovery = self
            .discovery_failure
            .clone()
            .map(|why| ("DiscoveryFailed", why));
        let content = (!self.failures.is_empty()).then(|| {
            let (count, list) = (self.failures.len(), self.failures.join(", "));
            (
                "ContentDeletionFailed",
                format!("Failed to delete all resource types, {count} remaining: {list}"),
            )
        });
        let remaining = (!self.remaining.is_empty()).then(|| {
            let list = list(&self.remaining, &|name, count| {
                format!("{name} has {count} resource instances")
            });
            (
                "SomeResourcesRemain",
                format!("Some resources are remaining: {list}"),
            )
        });
        let finalizers = (!self.finalizers.is_empty()).then(|| {
            let list = list(&self.finalizers, &|name, count| {
                format!("{name} in {count} resource instances")
            });
            let message = format!("Some content in the namespace has finalizers remaining: {list}");
            ("SomeFinalizersRemain", message)
        });
        [
            (
                DISCOVERY_FAILURE,
                or(
                    discovery,
                    "ResourcesDiscovered",
                    "All resources successfully discovered",
                ),
            ),
            (
                PARSING_FAILURE,
                or(
                    None,
                    "ParsedGroupVersions",
                    "All legacy kube types successfully parsed",
                ),
            ),
            (
                CONTENT_FAILURE,
                or(
                    content,
                    "ContentDeleted",
                    "All content successfully deleted, may be waiting on finalization",
                ),
            ),
            (
                CONTENT_REMAINING,
                or(
                    remaining,
                    "ContentRemoved",
                    "All content successfully removed",
                ),
            ),
            (
                FINALIZERS_REMAINING,
                or(
                    finalizers,
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                ),
            ),
        ]
        .map(|(ty, (status, reason, message))| (ty, status, reason, message))
    }
}

/// What is to be done about a terminating namespace whose content has come so far.
fn plan(namespace: &Namespace, progress: &Progress, now: Timestamp) -> Vec<Action> {
    let finalizers = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.as_deref())
        .unwrap_or_default();
    let waits = finalizers.iter().any(|name| name == FINALIZER);
    let mut actions = Vec::new();
    let old = namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let new = merge_conditions(old, progress, now);
    if new != old {
        actions.push(Action::SetConditions(new));
    }
    if progress.is_done() {
        if waits {
            actions.push(Action::Finalize);
        }
    } else {
        let since = namespace
            .metadata
            .deletion_timestamp
            .as_ref()
            .map_or(now, |at| at.0);
        let elapsed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        actions.push(Action::LookAgain((elapsed / 8).clamp(PAUSES.0, PAUSES.1)));
    }
    actions
}

/// The conditions after this progress; those of other types stay.
fn merge_conditions(
    old: &[NamespaceCondition],
    progress: &Progress,
    now: Timestamp,
) -> Vec<NamespaceCondition> {
    let mut conditions = old.to_vec();
    for (ty, status, reason, message) in progress.conditions() {
        let status = if status { "True" } else { "False" }.to_owned();
        let known = conditions
            .iter_mut()
            .find(|condition| condition.type_ == ty);
        let mut new = NamespaceCondition {
            type_: ty.to_owned(),
            status,
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        };
        match known {
            Some(known) => {
                if known.status == new.status {
                    new.last_transition_time
                        .clone_from(&known.last_transition_time);
                }
                *known = new;
            }
            None => conditions.push(new),
        }
    }
    conditions
}

/// Empties terminating namespaces.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<String>();
    let namespaces: Api<Readable<PartialObjectMeta<Namespace>>> = Api::all(context.client.clone());
    tokio::join!(
        watch::objects(namespaces, watcher::Config::default(), |object| {
            if let (Some(name), Some(_)) =
                (object.metadata.name, object.metadata.deletion_timestamp)
            {
                queue.add(name);
            }
        }),
        runner::work("namespaces", CONCURRENCY, &queue, requests, |name| {
            reconcile(&context, name)
        }),
    );
}

async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let Some(namespace) = namespaces.get_opt(&name).await? else {
        return Ok(Next::Done);
    };
    if is_active(&namespace) || namespace.metadata.deletion_timestamp.is_none() {
        return Ok(Next::Done);
    }
    let progress = delete_content(context, &name).await;
    let mut next = Next::Done;
    let mut current = namespace.clone();
    for action in plan(&namespace, &progress, Timestamp::now()) {
        match action {
            Action::SetConditions(conditions) => {
                current.status.get_or_insert_default().conditions = Some(conditions);
                let Some(written) = namespaces
                    .replace_status(&name, &PostParams::default(), &current)
                    .await
                    .or_absent()?
                else {
                    return Ok(Next::Done);
                };
                current = written;
            }
            Action::Finalize => {
                let finalizers = current
                    .spec
                    .take()
                    .and_then(|spec| spec.finalizers)
                    .unwrap_or_default();
                let rest = finalizers
                    .into_iter()
                    .filter(|name| name != FINALIZER)
                    .collect();
                current.spec = Some(NamespaceSpec {
                    finalizers: Some(rest),
                });
                let options = PostParams::default();
                namespaces
                    .replace_subresource("finalize", &name, &options, &current)
                    .await
                    .or_absent()?;
            }
            Action::LookAgain(pause) => next = Next::After(pause),
        }
    }
    Ok(next)
}

/// Deletes everything in a namespace that can be deleted, and counts what remains.
async fn delete_content(context: &Context, namespace: &str) -> Progress {
    let mut progress = Progress::default();
    let kinds = match context.discovery.refresh(&context.client).await {
        Ok(kinds) => kinds,
        Err(error) => {
            progress.discovery_failure = Some(error.to_string());
            context.discovery.kinds()
        }
    };
    let is_pod = |kind: &&Kind| kind.resource.group.is_empty() && kind.resource.kind == "Pod";
    let namespaced: Vec<&Kind> = kinds.deletable().filter(|kind| kind.namespaced).collect();
    for kind in namespaced.iter().copied().filter(is_pod) {
        delete_kind(&context.client, kind, namespace, &mut progress).await;
    }
    if !progress.remaining.is_empty() || !progress.failures.is_empty() {
        return progress;
    }
    for kind in namespaced.into_iter().filter(|kind| !is_pod(kind)) {
        delete_kind(&context.client, kind, namespace, &mut progress).await;
    }
    progress
}

async fn delete_kind(client: &Client, kind: &Kind, namespace: &str, progress: &mut Progress) {
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(client.clone(), namespace, &kind.resource);
    if let Err(error) = delete_all(&api, kind, progress).await {
        // A kind that is not served any more has no objects.
        if !matches!(&error, Error::Api(error) if code(error) == Some(404)) {
            progress
                .failures
                .push(format!("{}: {error}", kind.resource.plural));
        }
    }
}

async fn delete_all(
    api: &Api<PartialObjectMeta<DynamicObject>>,
    kind: &Kind,
    progress: &mut Progress,
) -> Result<()> {
    let page = ListParams::default().limit(LOOKED_AT);
    let first = api.list_metadata(&page).await?;
    if first.items.is_empty() {
        return Ok(());
    }
    let is_pending = first
        .metadata
        .continue_
        .as_ref()
        .is_some_and(|token| !token.is_empty());
    if is_pending
        || first
            .items
            .iter()
            .any(|object| object.metadata.deletion_timestamp.is_none())
    {
        if kind.can(&[verbs::DELETE_COLLECTION]) {
            api.delete_collection(&DeleteParams::background(), &ListParams::default())
                .await?;
        } else {
            // The rest comes with the next look.
            for object in &first.items {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                api.delete(name, &DeleteParams::background())
                    .await
                    .or_absent()?;
            }
        }
    }
    let remaining = api.list_metadata(&page).await?;
    let more = remaining
        .metadata
        .remaining_item_count
        .unwrap_or(0)
        .max(0)
        .unsigned_abs();
    let count = more.saturating_add(u64::try_from(remaining.items.len()).unwrap_or(u64::MAX));
    if count > 0 {
        progress.remaining.insert(
            format!("{}.{}", kind.resource.plural, kind.resource.group),
            count,
        );
    }
    for finalizer in remaining
        .items
        .iter()
        .flat_map(|object| object.metadata.finalizers.iter().flatten())
    {
        *progress.finalizers.entry(finalizer.clone()).or_insert(0) += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;

    use super::*;

    fn terminating(seconds_ago: i64) -> (Namespace, Timestamp) {
        let mut namespace = Namespace::default();
        namespace.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        namespace.spec = Some(NamespaceSpec {
            finalizers: Some(vec![FINALIZER.into()]),
        });
        (namespace, Timestamp::from_second(seconds_ago).unwrap())
    }

    fn conditions(actions: &[Action]) -> Vec<String> {
        let Some(Action::SetConditions(conditions)) = actions.first() else {
            return Vec::new();
        };
        let text = |c: &NamespaceCondition| {
            format!("{}={} {}", c.type_, c.status, c.message.as_deref().unwrap())
        };
        conditions.iter().map(text).collect()
    }

    #[test]
    fn an_empty_namespace_is_let_go() {
        let (namespace, now) = terminating(1);
        let actions = plan(&namespace, &Progress::default(), now);
        assert_eq!(conditions(&actions).len(), 5);
        assert!(
            conditions(&actions)
                .iter()
                .all(|condition| condition.contains("=False "))
        );
        assert_eq!(actions.last(), Some(&Action::Finalize));
    }

    #[test]
    fn what_remains_is_told_and_waited_for() {
        let (mut namespace, now) = terminating(40);
        let mut progress = Progress::default();
        progress.remaining.insert("pods.".into(), 2);
        progress.finalizers.insert("example.com/hold".into(), 1);
        let actions = plan(&namespace, &progress, now);
        let told = conditions(&actions);
        assert!(told.contains(
            &"NamespaceContentRemaining=True Some resources are remaining: pods. has 2 resource instances".into()
        ));
        assert!(
            told.iter()
                .any(|condition| condition.ends_with("example.com/hold in 1 resource instances"))
        );
        assert_eq!(
            actions.last(),
            Some(&Action::LookAgain(Duration::from_secs(5)))
        );
        // The same progress is not written twice.
        let Some(Action::SetConditions(written)) = actions.first() else {
            panic!("no conditions")
        };
        namespace.status = Some(NamespaceStatus {
            conditions: Some(written.clone()),
            ..NamespaceStatus::default()
        });
        assert_eq!(
            plan(&namespace, &progress, now),
            [Action::LookAgain(Duration::from_secs(5))]
        );
    }

    #[test]
    fn a_failure_keeps_the_namespace() {
        let (namespace, now) = terminating(0);
        let progress = Progress {
            discovery_failure: Some("down".into()),
            ..Progress::default()
        };
        let actions = plan(&namespace, &progress, now);
        assert!(
            conditions(&actions).contains(&"NamespaceDeletionDiscoveryFailure=True down".into())
        );
        assert!(!actions.contains(&Action::Finalize));
        assert_eq!(actions.last(), Some(&Action::LookAgain(PAUSES.0)));
    }
}
