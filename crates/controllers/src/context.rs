//! What all controllers share.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::{
    Options,
    caches::PodsByNode,
    discovery::Discovery,
    informer::Informer,
    views::{NodeView, PodView},
};

/// What all controllers share.
#[derive(Clone)]
pub(crate) struct Context {
    /// The API.
    pub(crate) client: Client,
    /// The settings.
    pub(crate) options: Arc<Options>,
    /// The kinds that are served.
    pub(crate) discovery: Discovery,
    /// All pods.
    pub(crate) pods: Arc<Informer<PodView>>,
    /// All hosts.
    pub(crate) nodes: Arc<Informer<NodeView>>,
    /// Which pods are on which host.
    pub(crate) pods_by_node: Arc<PodsByNode>,
    recorder: Recorder,
}

impl Context {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        let reporter = Reporter {
            controller: "mosaic-controllers".to_owned(),
            instance: Some(options.identity.clone()),
        };
        let (pods, pods_by_node) = (Informer::new(), Arc::<PodsByNode>::default());
        let index = pods_by_node.clone();
        // First of all listeners: the others find the index as a change left it.
        pods.listen(move |change| index.moved(change));
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            discovery: Discovery::new(),
            pods,
            nodes: Informer::new(),
            pods_by_node,
            options: Arc::new(options),
            client,
        }
    }

    /// Tells people about an object that something is wrong with. Should the event not be written, the
    /// log has it.
    pub(crate) async fn warn(
        &self,
        about: &ObjectReference,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::debug!(%error, reason, name = about.name, note = event.note, "an event was not written");
        }
    }
}
