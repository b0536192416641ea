//! What of its quotas a namespace has used: counted when quotas change, when counted objects come, go or
//! end, and now and then to repair what was miscounted. The API itself adds to the figures whenever it
//! admits an object, so they are never waited for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaStatus},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ListMeta},
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PostParams},
    core::{DynamicObject, Request},
    discovery::ApiResource,
    runtime::watcher::{self, Event},
};
use mosaic_api::GroupKind;
use mosaic_validation::quota::{self, Amounts};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::watch as channel,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{
    context::Context,
    discovery::{Kind, Kinds},
    error::{Absent, Error, Result},
    readable::Readable,
    runner::{self, Next, Queue},
    views::{MetadataView, PodView},
    watch,
};

const CONCURRENCY: usize = 2;
/// How often a namespace is counted anew without a reason.
const RECOUNT: Duration = Duration::from_secs(300);
/// The shortest and longest time that changes of objects are gathered before a new count.
const SETTLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Counting takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// Objects that are read at once.
const PAGE: u32 = 500;
/// How long an object that the API admitted, and counted, may take to show up.
const ADMISSION: Duration = Duration::from_millis(100);
/// An object this young may not have been counted yet.
const YOUNG: SignedDuration = SignedDuration::from_secs(30);

/// What a quota says, and what was counted for it.
struct Snapshot<'a> {
    quota: &'a ResourceQuota,
    counted: &'a Amounts,
}

/// The status that a quota should have, if it has another one.
fn plan(snapshot: &Snapshot<'_>) -> Option<ResourceQuotaStatus> {
    let hard = snapshot
        .quota
        .spec
        .as_ref()
        .and_then(|spec| spec.hard.clone())
        .unwrap_or_default();
    let old = snapshot.quota.status.clone().unwrap_or_default();
    let kept = |name: &String| {
        let told = old.used.as_ref()?.get(name)?;
        (name == quota::IMAGE_STORAGE).then(|| told.clone())
    };
    let used = hard.keys().map(|name| {
        let counted = || Quantity(snapshot.counted.get(name).unwrap_or_default().to_string());
        (name.clone(), kept(name).unwrap_or_else(counted))
    });
    let status = ResourceQuotaStatus {
        used: Some(used.collect()),
        hard: Some(hard),
    };
    let same = |a: &Option<BTreeMap<String, Quantity>>, b: &Option<BTreeMap<String, Quantity>>| {
        let read = |list: &Option<BTreeMap<String, Quantity>>| {
            Amounts::read(serde_json::to_value(list).ok().as_ref())
        };
        a.as_ref().map(BTreeMap::len) == b.as_ref().map(BTreeMap::len) && read(a) == read(b)
    };
    (!same(&old.hard, &status.hard) || !same(&old.used, &status.used)).then_some(status)
}

/// The group and plural of the kind that a limit is about.
fn counted_by(limit: &str) -> (&str, &str) {
    if let Some(name) = limit.strip_prefix("count/") {
        return name
            .split_once('.')
            .map_or(("", name), |(plural, group)| (group, plural));
    }
    match limit {
        // The registry counts these.
        quota::IMAGE_STORAGE => ("", ""),
        "configmaps"
        | "secrets"
        | "resourcequotas"
        | "replicationcontrollers"
        | "services"
        | "persistentvolumeclaims" => ("", limit),
        _ if limit.starts_with("services.") => ("", "services"),
        _ if limit == "requests.storage" || limit.contains(".storageclass.storage.k8s.io/") => {
            ("", "persistentvolumeclaims")
        }
        _ => ("", "pods"),
    }
}

/// The kinds that quotas with these limits are about.
fn counted_kinds<'a>(limits: impl IntoIterator<Item = &'a String>, kinds: &Kinds) -> Vec<Kind> {
    let names: BTreeSet<(&str, &str)> = limits.into_iter().map(|limit| counted_by(limit)).collect();
    let is_counted = |kind: &&Kind| {
        kind.namespaced
            && kind.can(&["list", "watch"])
            && names.contains(&(kind.resource.group.as_str(), kind.resource.plural.as_str()))
    };
    kinds.0.iter().filter(is_counted).cloned().collect()
}

/// The limits of all quotas, and how long changes are gathered before the next count.
#[derive(Debug, Default)]
struct Known {
    limits: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    settle: HashMap<String, Duration>,
}

impl Known {
    fn all_limits(&self) -> BTreeSet<String> {
        self.limits
            .values()
            .flat_map(BTreeMap::values)
            .flatten()
            .cloned()
            .collect()
    }

    fn settle(&self, namespace: &str) -> Option<Duration> {
        let known = self.limits.contains_key(namespace);
        known.then(|| self.settle.get(namespace).copied().unwrap_or(SETTLE.0))
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(quotas) = self.limits.get_mut(namespace) {
            quotas.remove(name);
            if quotas.is_empty() {
                self.limits.remove(namespace);
                self.settle.remove(namespace);
            }
        }
    }
}

struct Counter {
    context: Context,
    known: Mutex<Known>,
    queue: Queue<String>,
}

/// Keeps the status of quotas up to date.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<String>();
    let counter = std::sync::Arc::new(Counter {
        context,
        known: Mutex::default(),
        queue: queue.clone(),
    });
    let (limits, changed) = channel::channel(BTreeSet::new());
    tokio::join!(
        counter.watch_quotas(limits),
        counter.watch_counted(changed),
        runner::work("quotas", CONCURRENCY, &queue, requests, |namespace| counter
            .reconcile(namespace)),
    );
}

impl Counter {
    async fn watch_quotas(&self, limits: channel::Sender<BTreeSet<String>>) {
        let quotas: Api<Readable<ResourceQuota>> = Api::all(self.context.client.clone());
        watch::events(quotas, watcher::Config::default(), |event| {
            let mut known = self.known.lock();
            match &event {
                Event::Init => known.limits.clear(),
                Event::InitApply(quota) | Event::Apply(quota) => {
                    let meta = quota.meta();
                    if let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) {
                        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
                        let names: BTreeSet<String> =
                            hard.into_iter().flatten().map(|(n, _)| n.clone()).collect();
                        let of_namespace = known.limits.entry(namespace.clone()).or_default();
                        let old = of_namespace.insert(name.clone(), names);
                        let is_written = quota
                            .status
                            .as_ref()
                            .is_some_and(|s| s.hard.as_ref() == hard);
                        // The figures change with every object that is admitted: no reason to count.
                        if old.is_none() || !is_written {
                            self.queue.add(namespace.clone());
                        }
                    }
                }
                Event::Delete(quota) => {
                    let meta = quota.meta();
                    let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                    known.remove(namespace.unwrap_or_default(), name.unwrap_or_default());
                }
                Event::InitDone => {}
            }
            if !matches!(event, Event::Init | Event::InitApply(_)) {
                let all = known.all_limits();
                limits.send_if_modified(|old| {
                    let changed = *old != all;
                    *old = all;
                    changed
                });
            }
        })
        .await;
    }

    /// Watches the kinds that some quota counts, and no others.
    async fn watch_counted(
        self: &std::sync::Arc<Self>,
        mut limits: channel::Receiver<BTreeSet<String>>,
    ) {
        let mut discovered = self.context.discovery.changes();
        let mut tasks = JoinSet::new();
        let mut watched: Vec<(ApiResource, AbortHandle)> = Vec::new();
        loop {
            let kinds = discovered.borrow_and_update().clone().unwrap_or_default();
            let wanted = counted_kinds(&*limits.borrow_and_update(), &kinds);
            watched.retain(|(resource, task)| {
                let keep = wanted.iter().any(|kind| kind.resource == *resource);
                if !keep {
                    task.abort();
                }
                keep
            });
            for kind in wanted {
                if !watched
                    .iter()
                    .any(|(resource, _)| *resource == kind.resource)
                {
                    let task = tasks.spawn(self.clone().watch_kind(kind.resource.clone()));
                    watched.push((kind.resource, task));
                }
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                changed = limits.changed() => if changed.is_err() { return },
                changed = discovered.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn watch_kind(self: std::sync::Arc<Self>, resource: ApiResource) {
        let client = self.context.client.clone();
        let is_pod = resource.group.is_empty() && resource.kind == "Pod";
        if is_pod {
            let pods: Api<Readable<PodView>> = Api::all(client);
            watch::events(pods, watcher::Config::default(), |event| match event {
                Event::Apply(pod) if pod.has_ended() || is_young(&pod) => self.gather(&pod),
                Event::Delete(pod) => self.gather(&pod),
                _ => {}
            })
            .await;
        } else {
            let objects: Api<Readable<MetadataView>> = Api::all_with(client, &resource);
            // A service or a claim may change what it uses; others are counted one each.
            let changes = matches!(resource.kind.as_str(), "Service" | "PersistentVolumeClaim");
            watch::events(objects, watcher::Config::default(), |event| match event {
                Event::Apply(object) if changes || is_young(&object) => self.gather(&object),
                Event::Delete(object) => self.gather(&object),
                _ => {}
            })
            .await;
        }
    }

    fn gather(&self, object: &impl Resource) {
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        if let Some(settle) = self.known.lock().settle(namespace) {
            self.queue.add_after(namespace.to_owned(), settle);
        }
    }

    async fn reconcile(&self, namespace: String) -> Result<Next> {
        let client = &self.context.client;
        let api: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
        let quotas = api.list(&ListParams::default()).await?.items;
        if quotas.is_empty() {
            return Ok(Next::Done);
        }
        let was_counted =
            |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|s| s.used.is_some());
        if quotas.iter().any(was_counted) {
            // What was admitted before the quotas were read is counted in them, and must be there to be
            // counted again; what is admitted from now on makes the write a conflict.
            tokio::time::sleep(ADMISSION).await;
        }
        let begun = Instant::now();
        let counted = count(client, &self.context.discovery.kinds(), &namespace, &quotas).await?;
        let mut failure = None;
        for (quota, counted) in quotas.iter().zip(&counted) {
            let Some(status) = plan(&Snapshot { quota, counted }) else {
                continue;
            };
            let name = quota.metadata.name.as_deref().unwrap_or_default();
            let mut quota = quota.clone();
            quota.status = Some(status);
            // The version is that of before the count: whatever was admitted since then is not lost.
            if let Err(error) = api
                .replace_status(name, &PostParams::default(), &quota)
                .await
                .or_absent()
            {
                failure = Some(error);
            }
        }
        let settle = begun
            .elapsed()
            .saturating_mul(SHARE)
            .clamp(SETTLE.0, SETTLE.1);
        let mut known = self.known.lock();
        if known.limits.contains_key(&namespace) {
            known.settle.insert(namespace, settle);
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(Next::After(RECOUNT)),
        }
    }
}

fn is_young(object: &impl Resource) -> bool {
    let created = object.meta().creation_timestamp.as_ref();
    created.is_some_and(|created| Timestamp::now().duration_since(created.0) < YOUNG)
}

/// A page of objects, as the API sends them.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<Value>,
}

/// What is used of each of the quotas of a namespace.
async fn count(
    client: &Client,
    kinds: &Kinds,
    namespace: &str,
    quotas: &[ResourceQuota],
) -> Result<Vec<Amounts>> {
    let limits = quotas
        .iter()
        .filter_map(|quota| quota.spec.as_ref()?.hard.as_ref())
        .flatten();
    let kinds = counted_kinds(limits.map(|(name, _)| name), kinds);
    let specs = quotas.iter().map(|quota| serde_json::to_value(&quota.spec));
    let specs: Vec<Value> = specs
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Other(error.to_string()))?;
    let mut sums = vec![Amounts::new(); quotas.len()];
    for kind in &kinds {
        let group_kind = GroupKind {
            group: kind.resource.group.as_str().into(),
            kind: kind.resource.kind.as_str().into(),
        };
        let path = Request::new(DynamicObject::url_path(&kind.resource, Some(namespace)));
        let mut options = ListParams::default().limit(PAGE);
        loop {
            let request = path
                .list(&options)
                .map_err(|error| Error::Other(error.to_string()))?;
            let page: Page = client.request(request).await?;
            for object in &page.items {
                let usage = quota::usage(&group_kind, &kind.resource.plural, object);
                for (spec, sum) in specs.iter().zip(&mut sums) {
                    if quota::covers(spec, &group_kind, object) {
                        sum.add_all(&usage);
                    }
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => options = options.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(hard: Value, status: Value) -> ResourceQuota {
        serde_json::from_value(json!({ "spec": { "hard": hard }, "status": status })).unwrap()
    }

    fn status(quota: &ResourceQuota, counted: &Value) -> Option<Value> {
        let status = plan(&Snapshot {
            quota,
            counted: &Amounts::read(Some(counted)),
        })?;
        Some(serde_json::to_value(status).unwrap())
    }

    #[test]
    fn what_is_limited_is_counted_and_nothing_else() {
        let quota = quota(json!({ "pods": "3", "requests.memory": "1Gi" }), json!({}));
        assert_eq!(
            status(&quota, &json!({ "pods": "2", "secrets": "9" })),
            Some(
                json!({ "hard": { "pods": "3", "requests.memory": "1Gi" }, "used": { "pods": "2", "requests.memory": "0" } })
            )
        );
    }

    #[test]
    fn figures_that_are_worth_the_same_are_not_written() {
        let hard = json!({ "cpu": "1" });
        let quota = quota(
            hard.clone(),
            json!({ "hard": { "cpu": "1000m" }, "used": { "cpu": "0.5" } }),
        );
        assert_eq!(status(&quota, &json!({ "cpu": "500m" })), None);
        assert!(status(&quota, &json!({ "cpu": "501m" })).is_some());
    }

    #[test]
    fn what_the_registry_counted_stays() {
        let hard = json!({ "mosaic/image-storage": "10Gi", "pods": "1" });
        let used = json!({ "mosaic/image-storage": "3Gi", "pods": "0" });
        let quota = quota(hard.clone(), json!({ "hard": hard, "used": used }));
        assert_eq!(status(&quota, &json!({})), None);
        let planned = status(&quota, &json!({ "pods": "1" })).unwrap();
        assert_eq!(
            planned["used"],
            json!({ "mosaic/image-storage": "3Gi", "pods": "1" })
        );
    }

    #[test]
    fn limits_name_their_kinds() {
        for (limit, group, plural) in [
            ("pods", "", "pods"),
            ("limits.cpu", "", "pods"),
            ("requests.nvidia.com/gpu", "", "pods"),
            ("requests.storage", "", "persistentvolumeclaims"),
            (
                "gold.storageclass.storage.k8s.io/requests.storage",
                "",
                "persistentvolumeclaims",
            ),
            ("services.nodeports", "", "services"),
            ("count/deployments.apps", "apps", "deployments"),
            ("count/widgets.example.com", "example.com", "widgets"),
            ("count/secrets", "", "secrets"),
        ] {
            assert_eq!(counted_by(limit), (group, plural), "{limit}");
        }
    }
}
