//! What the scheduler hears of the cluster: one stream of changes of seven kinds.

use std::fmt::Debug;

use futures::{Stream, StreamExt, stream::BoxStream, stream::select_all};
use k8s_openapi::api::{
    core::v1 as core, policy::v1::PodDisruptionBudget, storage::v1::StorageClass as Class,
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use mosaic_scheduler::model::{
    Budget, Claim, Namespace, Node, Pod, ReadError, StorageClass, Volume,
};

use super::text::Text;

/// The kinds of objects that decisions look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Namespace,
    Node,
    Class,
    Volume,
    Claim,
    Budget,
    Pod,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Node,
        Self::Class,
        Self::Volume,
        Self::Claim,
        Self::Budget,
        Self::Pod,
    ];
}

/// An object, as decisions see it.
pub(super) enum Object {
    Namespace(Namespace),
    Node(Node),
    Class(StorageClass),
    Volume(Volume),
    Claim(Claim),
    Budget(Budget),
    Pod(Pod),
}

/// Which object of a kind: namespace (empty for kinds without) and name.
pub(super) type Name = (String, String);

/// A change of the cluster.
pub(super) enum Change {
    /// All objects of a kind follow, and then [`Change::Listed`].
    Listing(Kind),
    /// All objects of the kind were told; those that were not are gone.
    Listed(Kind),
    /// An object is there, or changed.
    Seen(Kind, Name, Object),
    /// An object is gone, or cannot be read: then it is left out of all decisions.
    Gone(Kind, Name),
}

/// All changes, for as long as it is polled. Nothing is read ahead of who polls.
pub(super) fn changes(client: &Client) -> impl Stream<Item = Change> + Send + use<> {
    let read = Read(client);
    select_all([
        read.all::<core::Namespace, _>(Kind::Namespace, Namespace::from_json, Object::Namespace),
        read.all::<core::Node, _>(Kind::Node, Node::from_json, Object::Node),
        read.all::<Class, _>(Kind::Class, StorageClass::from_json, Object::Class),
        read.all::<core::PersistentVolume, _>(Kind::Volume, Volume::from_json, Object::Volume),
        read.all::<core::PersistentVolumeClaim, _>(Kind::Claim, Claim::from_json, Object::Claim),
        read.all::<PodDisruptionBudget, _>(Kind::Budget, Budget::from_json, Object::Budget),
        read.all::<core::Pod, _>(Kind::Pod, Pod::from_json, Object::Pod),
    ])
}

struct Read<'a>(&'a Client);

impl Read<'_> {
    fn all<K, T>(
        &self,
        kind: Kind,
        read: fn(&[u8]) -> Result<T, ReadError>,
        wrap: fn(T) -> Object,
    ) -> BoxStream<'static, Change>
    where
        K: Resource<DynamicType = ()> + Send + 'static,
        K::Scope: Send,
        T: Debug + 'static,
    {
        let api: Api<Text<K>> = Api::all(self.0.clone());
        let config = watcher::Config::default();
        watcher::watcher(api, config)
            .default_backoff()
            .filter_map(move |event| {
                std::future::ready(match event {
                    Ok(event) => change(kind, event, read, wrap),
                    Err(error) => {
                        tracing::debug!(%error, ?kind, "a watch was interrupted");
                        None
                    }
                })
            })
            .boxed()
    }
}

fn change<K, T>(
    kind: Kind,
    event: Event<Text<K>>,
    read: fn(&[u8]) -> Result<T, ReadError>,
    wrap: fn(T) -> Object,
) -> Option<Change> {
    let name = |text: &Text<K>| (text.namespace().to_owned(), text.name().to_owned());
    Some(match event {
        Event::Init => Change::Listing(kind),
        Event::InitDone => Change::Listed(kind),
        Event::Delete(text) => Change::Gone(kind, name(&text)),
        Event::Apply(text) | Event::InitApply(text) => match read(text.bytes()) {
            Ok(object) => Change::Seen(kind, name(&text), wrap(object)),
            Err(error) => {
                tracing::warn!(%error, object = ?text, "left out of all decisions");
                Change::Gone(kind, name(&text))
            }
        },
    })
}
