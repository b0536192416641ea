//! Binds claims to volumes that are there, tells what becomes of volumes whose claim is gone, and keeps what is used
//! from being deleted. Nothing here makes or deletes what is stored: that is for provisioners.
//!
//! ```text
//!   watches of claims, volumes, classes ─▶ one key ─▶ plan for all of them (pure) ─▶ writes in order
//! ```
//!
//! One plan is made for everything, so that two claims never get the same volume.

mod matching;
mod plan;
#[cfg(test)]
mod plan_tests;
mod view;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, Resource,
    api::{ListParams, Patch, PatchParams},
    runtime::watcher,
};
use mosaic_scheduler::model::Node;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{Absent, Result},
    events::{self, Events},
    informer::Informer,
    readable::Readable,
    runner::{self, Next},
};
use plan::{About, Gone, Plan, Snapshot, Write};
use view::{Claim, Class, Volume, is_leaving, namespace};

const NAME: &str = "persistentvolume-controller";
/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// When what was not written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How many claims are written at the same time.
const CONCURRENCY: usize = 16;

struct Controller {
    context: Context,
    events: Events,
    claims: Arc<Informer<Claim>>,
    volumes: Arc<Informer<Volume>>,
    classes: Arc<Informer<Class>>,
    /// Whether a claim is being deleted, so that pods that go matter.
    leaving: Arc<AtomicBool>,
    /// What was told last of which object, by UID.
    told: Mutex<HashMap<String, String>>,
}

/// Binds claims to volumes, for as long as it is polled.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<()>();
    let client = context.client.clone();
    let (events, writer) = events::events(client.clone(), NAME, &context.options.identity);
    let controller = Controller {
        events,
        claims: Informer::new(),
        volumes: Informer::new(),
        classes: Informer::new(),
        leaving: Arc::default(),
        told: Mutex::default(),
        context,
    };
    let (claims, volumes) = (controller.claims.clone(), controller.volumes.clone());
    let classes = controller.classes.clone();
    let wake = queue.clone();
    claims.listen(move |_| wake.add_after((), GATHER));
    let wake = queue.clone();
    volumes.listen(move |_| wake.add_after((), GATHER));
    let wake = queue.clone();
    classes.listen(move |_| wake.add_after((), GATHER));
    let (wake, leaving) = (queue.clone(), controller.leaving.clone());
    controller.context.pods.listen(move |change| {
        if change.new.is_none() && leaving.load(Ordering::Relaxed) {
            wake.add_after((), GATHER);
        }
    });
    let config = watcher::Config::default;
    tokio::join!(
        writer.run(),
        claims.run(Api::all(client.clone()), config()),
        volumes.run(Api::all(client.clone()), config()),
        classes.run(Api::all(client.clone()), config()),
        async {
            tokio::join!(
                claims.ready(),
                volumes.ready(),
                classes.ready(),
                controller.context.nodes.ready()
            );
            queue.add(());
            runner::work("volumes", 1, &queue, requests, |()| controller.reconcile()).await;
        },
    );
}

impl Controller {
    async fn reconcile(&self) -> Result<Next> {
        let (claims, volumes) = (self.claims.all(), self.volumes.all());
        let classes = self.classes(&claims).await?;
        let leaving: BTreeSet<&str> = claims
            .iter()
            .filter(|claim| is_leaving(&claim.metadata))
            .map(|claim| namespace(&claim.metadata))
            .collect();
        // Before pods are looked at: one that goes meanwhile asks for another plan.
        self.leaving.store(!leaving.is_empty(), Ordering::Relaxed);
        let used = self.used(leaving).await?;
        let plan = plan::plan(&Snapshot {
            claims: &claims,
            volumes: &volumes,
            classes: &classes,
            hosts: &self.hosts(&claims),
            used: &used,
        });
        self.tell(&plan);
        let all = stream::iter(plan.writes).map(|writes| self.write(writes));
        // All are written, whatever becomes of one of them.
        let done = all.buffer_unordered(CONCURRENCY);
        let all_done = done.fold(true, async |all, done| all && done).await;
        Ok(if all_done {
            Next::Done
        } else {
            Next::After(RETRY)
        })
    }

    /// The classes: those in memory, unless a claim that wants a volume names another. Claims and classes are told of by
    /// different watches, so that one that was there before the claim may come after it.
    async fn classes(&self, claims: &[Arc<Claim>]) -> Result<Vec<Arc<Class>>> {
        let classes = self.classes.all();
        let known: BTreeSet<&str> = classes.iter().map(|class| &*class.model.name).collect();
        let is_known = |class: &str| class.is_empty() || known.contains(class);
        let mut wanting = claims.iter().filter(|claim| claim.volume().is_empty());
        if wanting.all(|claim| is_known(claim.class())) {
            return Ok(classes);
        }
        let api: Api<Readable<Class>> = Api::all(self.context.client.clone());
        let listed = api.list(&ListParams::default()).await?.items.into_iter();
        let read = listed.filter_map(|class| match class {
            Readable::Read(class) => Some(Arc::new(class)),
            // The watch tells of it.
            Readable::Unread(_) => None,
        });
        Ok(read.collect())
    }

    /// The claims that pods on hosts use, in these namespaces: asked for, as what is in memory may be old.
    async fn used(&self, namespaces: BTreeSet<&str>) -> Result<BTreeSet<(String, String)>> {
        let mut used = BTreeSet::new();
        for namespace in namespaces {
            let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), namespace);
            for pod in pods.list(&ListParams::default()).await?.items {
                for claim in used_by(&pod) {
                    used.insert((namespace.to_owned(), claim));
                }
            }
        }
        Ok(used)
    }

    /// The hosts that were selected for claims, as the rules of volumes look at them.
    fn hosts(&self, claims: &[Arc<Claim>]) -> HashMap<String, Node> {
        let selected = claims
            .iter()
            .filter_map(|claim| claim.model.selected_node.as_deref());
        let host = |name: &str| {
            let key = (Arc::from(""), Arc::from(name));
            let node = self.context.nodes.get(&key)?;
            Some(Node {
                name: name.into(),
                labels: node.metadata.labels.clone().into(),
                ..Node::default()
            })
        };
        selected
            .filter_map(|name| Some((name.to_owned(), host(name)?)))
            .collect()
    }

    /// Tells what is new.
    fn tell(&self, plan: &Plan) {
        let mut told = self.told.lock();
        let mut now = HashMap::new();
        for tell in &plan.tells {
            let metadata = tell.about.metadata();
            let uid = metadata.uid.clone().unwrap_or_default();
            if told.get(&uid) != Some(&tell.note) {
                let kind = match tell.about {
                    About::Claim(_) => "PersistentVolumeClaim",
                    About::Volume(_) => "PersistentVolume",
                };
                let about = events::about("v1", kind, metadata);
                let note = tell.note.clone();
                self.events
                    .tell_of(tell.is_warning, about, None, tell.reason, note);
            }
            now.insert(uid, tell.note.clone());
        }
        *told = now;
    }

    /// Writes in order, up to the first that fails. False if one did.
    async fn write(&self, writes: Vec<Write>) -> bool {
        let mut written: BTreeSet<Option<String>> = BTreeSet::new();
        for write in writes {
            let metadata = write.about.metadata();
            // The first write of an object is for the version that the plan was made from.
            let first = written.insert(metadata.uid.clone());
            let version = metadata.resource_version.clone().filter(|_| first);
            let done = match self.is_gone(write.only_if.as_ref()).await {
                Ok(true) => self.patch(&write, version).await,
                Ok(false) => return true,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let name = metadata.name.as_deref().unwrap_or_default();
                if error.is_conflict() {
                    tracing::debug!(name, %error, "tried again after a conflict");
                } else {
                    tracing::warn!(name, %error, "a claim or a volume was not written; tried again");
                }
                return false;
            }
        }
        true
    }

    async fn is_gone(&self, gone: Option<&Gone>) -> Result<bool> {
        let client = self.context.client.clone();
        Ok(match gone {
            None => true,
            Some(Gone::Volume(name)) => {
                let volumes: Api<PersistentVolume> = Api::all(client);
                volumes.get_metadata(name).await.or_absent()?.is_none()
            }
            Some(Gone::Claim(namespace, name, uid)) => {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
                let found = claims.get_metadata(name).await.or_absent()?;
                found.is_none_or(|claim| claim.metadata.uid.as_deref() != Some(uid))
            }
        })
    }

    async fn patch(&self, write: &Write, version: Option<String>) -> Result<()> {
        let client = self.context.client.clone();
        match &write.about {
            About::Claim(claim) => {
                let claims = Api::<Claim>::namespaced(client, namespace(&claim.metadata));
                patch(&claims, write, version).await
            }
            About::Volume(_) => patch(&Api::<Volume>::all(client), write, version).await,
        }
    }
}

/// Nothing is to be done to what is not there any more.
async fn patch<K: Resource + DeserializeOwned + Clone + std::fmt::Debug>(
    api: &Api<K>,
    write: &Write,
    version: Option<String>,
) -> Result<()> {
    let metadata = write.about.metadata();
    let mut body = write.patch.clone();
    let mut given = json!({ "uid": metadata.uid });
    if let (Some(fields), Some(version)) = (given.as_object_mut(), version) {
        fields.insert("resourceVersion".to_owned(), Value::String(version));
    }
    if let (Some(body), Some(given)) = (body.as_object_mut(), given.as_object_mut()) {
        let metadata = body.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.append(given);
        }
    }
    let (name, parameters) = (view::name(metadata), PatchParams::default());
    let written = if write.is_status {
        let patch = Patch::Merge(&body);
        api.patch_status(name, &parameters, &patch).await
    } else {
        api.patch(name, &parameters, &Patch::Merge(&body)).await
    };
    written.or_absent()?;
    Ok(())
}

/// The claims that a pod on a host uses. Before it has a host, nothing of it needs them: its host starts no pod whose
/// claim is being deleted.
fn used_by(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.as_ref().filter(|spec| spec.node_name.is_some());
    let volumes = spec
        .into_iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| {
            if let Some(claim) = &volume.persistent_volume_claim {
                return Some(claim.claim_name.clone());
            }
            volume.ephemeral.as_ref()?;
            let pod = pod.metadata.name.as_deref()?;
            Some(format!("{pod}-{}", volume.name))
        })
        .collect()
}
