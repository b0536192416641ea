//! The kinds that the API serves, as they come and go with custom resource definitions.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    discovery::{ApiCapabilities, ApiResource, Scope, verbs},
    runtime::watcher,
};
use mosaic_api::meta;
use tokio::sync::watch as channel;

use crate::{
    context::Context,
    error::Result,
    readable::Readable,
    runner::{self, Next},
    watch,
};

/// How long after a definition changed its kind is looked for: definitions often come in groups.
const SETTLE: Duration = Duration::from_millis(200);
/// How long after a change the kinds are read once more, for a server that was not up to date yet.
const CONFIRM: Duration = Duration::from_secs(3);
/// How often the kinds are read without a reason.
const REREAD: Duration = Duration::from_secs(300);

/// A kind that is served, in the version that the API prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its names.
    pub(crate) resource: ApiResource,
    /// Whether its objects are in namespaces.
    pub(crate) namespaced: bool,
    /// What can be done with its objects.
    pub(crate) verbs: Vec<String>,
}

impl Kind {
    fn new((resource, capabilities): (ApiResource, ApiCapabilities)) -> Self {
        Self {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
            verbs: capabilities.operations,
        }
    }

    /// Whether all of these can be done.
    pub(crate) fn can(&self, verbs: &[&str]) -> bool {
        verbs
            .iter()
            .all(|verb| self.verbs.iter().any(|known| known == verb))
    }

    /// Whether it is a kind of events, which come and go without anybody's care.
    pub(crate) fn is_event(&self) -> bool {
        self.resource.kind == "Event"
            && matches!(self.resource.group.as_str(), "" | "events.k8s.io")
    }
}

/// The kinds that are served.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) Vec<Kind>);

impl Kinds {
    /// The kind of that name.
    pub(crate) fn find(&self, group: &str, kind: &str) -> Option<&Kind> {
        self.0
            .iter()
            .find(|known| known.resource.kind == kind && known.resource.group == group)
    }

    /// The kind whose `apiVersion` (of any version) and `kind` these are.
    pub(crate) fn find_by_api_version(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        self.find(meta::group_of(api_version), kind)
    }

    /// The kinds whose objects the API can list and delete: the ones that something can be done about.
    pub(crate) fn deletable(&self) -> impl Iterator<Item = &Kind> {
        self.0
            .iter()
            .filter(|kind| kind.can(&[verbs::LIST, verbs::DELETE]))
    }
}

/// The kinds that are served, now and later.
#[derive(Clone)]
pub(crate) struct Discovery {
    kinds: Arc<channel::Sender<Option<Arc<Kinds>>>>,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self {
            kinds: Arc::new(channel::Sender::new(None)),
        }
    }

    /// Waits for the kinds to be known.
    pub(crate) async fn ready(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.kinds.subscribe().wait_for(Option::is_some).await;
    }

    /// The kinds as they are known.
    pub(crate) fn kinds(&self) -> Arc<Kinds> {
        self.kinds.borrow().clone().unwrap_or_default()
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> channel::Receiver<Option<Arc<Kinds>>> {
        self.kinds.subscribe()
    }

    /// Reads the kinds now.
    pub(crate) async fn refresh(&self, client: &Client) -> Result<Arc<Kinds>> {
        let kinds = Arc::new(read(client).await?);
        self.kinds.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&kinds);
            if changed {
                *known = Some(kinds.clone());
            }
            changed
        });
        Ok(kinds)
    }
}

async fn read(client: &Client) -> Result<Kinds> {
    let discovery = kube::Discovery::new(client.clone());
    let discovery = match discovery.run_aggregated().await {
        Ok(discovery) => discovery,
        Err(_) => kube::Discovery::new(client.clone()).run().await?,
    };
    let groups = discovery.groups_alphabetical();
    let kinds = groups
        .iter()
        .flat_map(|group| group.recommended_resources())
        .map(Kind::new);
    let mut kinds: Vec<Kind> = kinds.collect();
    kinds.sort_by(|a, b| {
        (&a.resource.group, &a.resource.kind).cmp(&(&b.resource.group, &b.resource.kind))
    });
    Ok(Kinds(kinds))
}

/// Keeps the kinds up to date.
pub(crate) async fn follow(context: Context) {
    let (queue, requests) = runner::queue();
    let definitions: Api<Readable<PartialObjectMeta<CustomResourceDefinition>>> =
        Api::all(context.client.clone());
    queue.add(Duration::ZERO);
    let seen = watch::objects(definitions, watcher::Config::default(), |_| {
        queue.add_after(SETTLE, SETTLE);
        queue.add_after(CONFIRM, CONFIRM);
    });
    let worker = runner::work("discovery", 1, &queue, requests, |key| {
        let context = &context;
        async move {
            context.discovery.refresh(&context.client).await?;
            Ok(if key.is_zero() {
                Next::After(REREAD)
            } else {
                Next::Done
            })
        }
    });
    tokio::join!(seen, worker);
}
