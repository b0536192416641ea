//! What all controllers share.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;

use crate::{
    Options,
    caches::PodsByNode,
    discovery::Discovery,
    events::{self, Recorder},
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
    recorder: Arc<Recorder>,
}

impl Context {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        let (pods, pods_by_node) = (Informer::new(), Arc::<PodsByNode>::default());
        let index = pods_by_node.clone();
        // First of all listeners: the others find the index as a change left it.
        pods.listen(move |change| index.moved(change));
        Self {
            recorder: Arc::new(Recorder::new(
                client.clone(),
                "mosaic-controllers",
                &options.identity,
            )),
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
        let told = events::told(true, about, None, (reason, action), note);
        self.recorder.publish(&told).await;
    }
}
