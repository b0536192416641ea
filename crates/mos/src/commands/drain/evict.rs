//! Evicting pods, and waiting until they are gone.
//!
//! One watch of the host's pods tells which of them are there; a watch for each would take as many streams.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use kube::core::WatchEvent;
use mosaic_api::meta;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::{ApiError, Client, Form, Query, Resource};
use crate::commands::DryRun;
use crate::failure::Failure;
use crate::progress::Progress;

/// How long to wait before an eviction that was not allowed is tried again, as kubectl does.
const AGAIN: Duration = Duration::from_secs(5);
/// The same while nothing answers.
const UNANSWERED: Duration = Duration::from_secs(1);

/// How the pods of a host are evicted.
pub(super) struct Eviction<'a> {
    pub(super) client: &'a Client,
    pub(super) pods: &'a Resource,
    /// Which pods there are: those of the host.
    pub(super) query: Query,
    pub(super) grace_period: Option<u32>,
    pub(super) delete: bool,
    pub(super) dry_run: DryRun,
    pub(super) timeout: Option<Duration>,
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Evicted {
    /// It was evicted and is gone.
    Gone,
    /// It was deleted and is gone.
    Deleted,
    /// It would go, if this was not a trial.
    Would,
    /// It may not be evicted now, and why.
    Blocked(String),
    /// It is on its way out, and what it waits for.
    Terminating(String),
    /// Something else went wrong.
    Failed(String),
}

/// The pods that are there, by their UIDs; nothing before they were read.
type There = Option<BTreeSet<String>>;

impl Eviction<'_> {
    /// Evicts these pods, and tells of each what became of it.
    pub(super) async fn run(&self, pods: &[Value]) -> Result<Vec<Evicted>, Failure> {
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let progress = Progress::new(pods.len(), "moved");
        let states: Mutex<HashMap<usize, Evicted>> = Mutex::default();
        let (told, there) = watch::channel::<There>(None);
        let note = |index: usize, state: Evicted| {
            let name = pods.get(index).map(meta::name).unwrap_or_default();
            if let Evicted::Blocked(why) = &state {
                progress.message(&format!("{name}: {why}"));
            }
            let mut states = states
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let old = states.insert(index, state.clone());
            if progress.is_hidden()
                && let Evicted::Blocked(why) = &state
                && old.as_ref() != Some(&state)
            {
                eprintln!("waiting for pod/{name}: {why}");
            }
        };
        let mut all: FuturesUnordered<_> = pods
            .iter()
            .enumerate()
            .map(|(index, pod)| {
                let note = &note;
                let there = there.clone();
                async move {
                    let end = self.one(pod, there, |state| note(index, state)).await;
                    note(index, end);
                }
            })
            .collect();
        let evictions = async {
            while all.next().await.is_some() {
                progress.step();
            }
        };
        let work = async {
            tokio::select! {
                () = evictions => Ok(()),
                failure = self.follow(&told), if self.dry_run == DryRun::None => Err(failure),
            }
        };
        match self.timeout {
            None => work.await?,
            // Who is not through by then has its last state.
            Some(limit) => match tokio::time::timeout_at(Instant::now() + limit, work).await {
                Ok(result) => result?,
                Err(_) => progress.message("time is up"),
            },
        }
        drop(all);
        let mut states = states
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let unheard = || Evicted::Failed("nothing was heard of it".into());
        let ends = (0..pods.len()).map(|index| states.remove(&index).unwrap_or_else(unheard));
        Ok(ends.collect())
    }

    /// Evicts a pod, and waits until it is gone.
    async fn one(
        &self,
        pod: &Value,
        mut there: watch::Receiver<There>,
        note: impl Fn(Evicted),
    ) -> Evicted {
        let uid = meta::uid(pod);
        loop {
            match self.ask(pod).await {
                Ok(()) if self.dry_run == DryRun::Server => return Evicted::Would,
                Ok(()) => break,
                Err(error) if error.is_not_found() => break,
                // Another pod has its name now, or somebody wrote at the same moment.
                Err(error) if error.is_conflict() && self.dry_run == DryRun::None => {
                    if there
                        .borrow()
                        .as_ref()
                        .is_some_and(|some| !some.contains(uid))
                    {
                        break;
                    }
                    sleep(UNANSWERED).await;
                }
                Err(error) if error.is_too_many() => {
                    let blocked = Evicted::Blocked(why(error));
                    if self.dry_run == DryRun::Server {
                        return blocked;
                    }
                    note(blocked);
                    sleep(AGAIN).await;
                }
                Err(ApiError::Unanswered(failure)) => {
                    note(Evicted::Failed(failure.to_string()));
                    sleep(UNANSWERED).await;
                }
                Err(error) => return Evicted::Failed(Failure::from(error).to_string()),
            }
        }
        let finalizers: Vec<&str> = meta::finalizers(pod).collect();
        note(Evicted::Terminating(match finalizers.as_slice() {
            [] => "it has not ended yet".to_owned(),
            some => format!("it has finalizers: {}", some.join(", ")),
        }));
        let gone = there.wait_for(|there| there.as_ref().is_some_and(|some| !some.contains(uid)));
        match gone.await {
            Ok(_) if self.delete => Evicted::Deleted,
            Ok(_) => Evicted::Gone,
            Err(_) => Evicted::Failed("the host's pods could not be followed".into()),
        }
    }

    async fn ask(&self, pod: &Value) -> Result<(), ApiError> {
        let (namespace, name) = (meta::namespace(pod), meta::name(pod));
        let options = self.options(pod);
        if self.delete {
            self.client
                .delete(self.pods, Some(namespace), name, &options)
                .await?;
            return Ok(());
        }
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "namespace": namespace, "name": name }, "deleteOptions": options,
        });
        self.client
            .create_part(self.pods, Some(namespace), name, "eviction", &eviction)
            .await?;
        Ok(())
    }

    fn options(&self, pod: &Value) -> Value {
        // Not another pod of the same name that came meanwhile.
        let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": meta::uid(pod) } });
        if let Some(fields) = options.as_object_mut() {
            if let Some(seconds) = self.grace_period {
                fields.insert("gracePeriodSeconds".into(), seconds.into());
            }
            if self.dry_run == DryRun::Server {
                fields.insert("dryRun".into(), json!(["All"]));
            }
        }
        options
    }

    /// Tells which pods are there, until that is not possible any more.
    async fn follow(&self, told: &watch::Sender<There>) -> Failure {
        loop {
            match self.follow_once(told).await {
                Ok(()) => {}
                Err(error) if error.is_gone() => {}
                Err(ApiError::Unanswered(_)) => sleep(UNANSWERED).await,
                Err(error) => return error.into(),
            }
        }
    }

    async fn follow_once(&self, told: &watch::Sender<There>) -> Result<(), ApiError> {
        // Not by the labels: a pod that is on its way out and gets others is not gone.
        let of_host = |(key, _): &&(&str, String)| *key != "labelSelector";
        let mut query: Query = self.query.iter().filter(of_host).cloned().collect();
        let list = self
            .client
            .list(self.pods, None, Form::Objects, &query)
            .await?;
        let items = list.get("items").and_then(Value::as_array);
        let there = items
            .into_iter()
            .flatten()
            .map(|pod| meta::uid(pod).to_owned());
        told.send_replace(Some(there.collect()));
        query.push(("resourceVersion", meta::resource_version(&list).to_owned()));
        let events = self
            .client
            .watch(self.pods, None, Form::Objects, &query)
            .await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let (pod, is_there) = match event? {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, true),
                WatchEvent::Deleted(pod) => (pod, false),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
            };
            let uid = meta::uid(&pod).to_owned();
            told.send_if_modified(|there| {
                let some = there.get_or_insert_default();
                if is_there {
                    some.insert(uid)
                } else {
                    some.remove(&uid)
                }
            });
        }
        Ok(())
    }
}

/// What a disruption budget says.
fn why(error: ApiError) -> String {
    let causes = error.causes().join("; ");
    if causes.is_empty() {
        Failure::from(error).to_string()
    } else {
        causes
    }
}
