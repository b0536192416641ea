//! Pods and hosts in memory, once for all controllers that look at all of them.
//!
//! Whoever wants to hear of changes uses [`follow`], which also tells what is there already: controllers
//! start at the same time as the caches.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    sync::Arc,
};

use kube::{Api, Resource, runtime::watcher};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;

use crate::{
    context::Context,
    informer::{Change, Informer, Key, key_of},
    views::PodView,
};

/// Calls `listener` with every object that is there, and with every change from now on. Something may be
/// told twice, or late, after a change that came later: who depends on the order looks at what is in memory.
pub(crate) fn follow<K>(
    informer: &Informer<K>,
    listener: impl Fn(&Change<K>) + Clone + Send + Sync + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    informer.listen(listener.clone());
    for object in informer.all() {
        listener(&Change {
            old: None,
            new: Some(object),
        });
    }
}

/// Which pods are on which host.
#[derive(Debug, Default)]
pub(crate) struct PodsByNode(RwLock<HashMap<Arc<str>, BTreeSet<Key>>>);

impl PodsByNode {
    /// The pods on this host.
    pub(crate) fn on(&self, node: &str) -> Vec<Key> {
        let nodes = self.0.read();
        nodes.get(node).into_iter().flatten().cloned().collect()
    }

    /// Whether no pod is on this host.
    pub(crate) fn is_empty(&self, node: &str) -> bool {
        !self.0.read().contains_key(node)
    }

    /// Takes in a change of a pod.
    pub(crate) fn moved(&self, change: &Change<PodView>) {
        let node = |pod: &Option<Arc<PodView>>| pod.as_ref().and_then(|pod| pod.node.clone());
        let (old, new) = (node(&change.old), node(&change.new));
        if old == new {
            return;
        }
        let Some(pod) = change.both().next() else {
            return;
        };
        let key = key_of(&pod.metadata);
        let mut nodes = self.0.write();
        if let Some(old) = old
            && let Some(pods) = nodes.get_mut(&old)
        {
            pods.remove(&key);
            if pods.is_empty() {
                nodes.remove(&old);
            }
        }
        if let Some(new) = new {
            nodes.entry(new).or_default().insert(key);
        }
    }
}

/// Keeps the caches up to date, for as long as it is polled.
pub(crate) async fn run(context: Context) {
    tokio::join!(
        context
            .pods
            .run(Api::all(context.client.clone()), watcher::Config::default()),
        context
            .nodes
            .run(Api::all(context.client.clone()), watcher::Config::default()),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(name: u8, node: Option<u8>) -> PodView {
        let mut pod = PodView::default();
        pod.metadata.namespace = Some("default".into());
        pod.metadata.name = Some(format!("p{name}"));
        pod.node = node.map(|node| format!("n{node}").into());
        pod
    }

    proptest! {
        #[test]
        fn pods_are_found_on_their_hosts(
            steps in prop::collection::vec((0..4_u8, any::<bool>(), prop::option::of(0..3_u8)), 0..30),
        ) {
            let index = PodsByNode::default();
            let mut pods: HashMap<u8, Arc<PodView>> = HashMap::new();
            for (name, there, node) in steps {
                let new = there.then(|| Arc::new(pod(name, node)));
                let old = match &new {
                    Some(new) => pods.insert(name, new.clone()),
                    None => pods.remove(&name),
                };
                index.moved(&Change { old, new });
                for node in (0..3).map(|node| format!("n{node}")) {
                    let mut expected: Vec<Key> = pods
                        .values()
                        .filter(|pod| pod.node.as_deref() == Some(&*node))
                        .map(|pod| key_of(&pod.metadata))
                        .collect();
                    expected.sort();
                    prop_assert_eq!(index.is_empty(&node), expected.is_empty());
                    prop_assert_eq!(index.on(&node), expected);
                }
            }
        }
    }
}
