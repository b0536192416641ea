//! Objects and changes as the cache holds them.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use mosaic_store::{Entry, Revision};
use serde_json::Value;

use super::extract::{Facts, Paths};
use crate::codec;

/// An object in the cache: the bytes that clients get, and what selectors need.
#[derive(Debug)]
pub struct Object {
    /// The key in the store, such as `/apps/deployments/default/web`.
    pub key: Arc<str>,
    /// The object as clients see it, with its `resourceVersion`.
    pub wire: Bytes,
    /// The revision of its last write.
    pub revision: Revision,
    /// Labels and selectable fields.
    pub facts: Facts,
    parsed: OnceLock<Arc<Value>>,
}

impl Object {
    /// Reads an entry of the store.
    pub fn from_entry(entry: &Entry, paths: &Paths) -> Self {
        Self {
            key: entry.key.clone(),
            wire: codec::with_revision(&entry.value, entry.revision),
            revision: entry.revision,
            facts: paths.extract(&entry.value),
            parsed: OnceLock::new(),
        }
    }

    /// The last state of a deleted object, with the revision of its deletion.
    pub fn deleted_at(&self, revision: Revision) -> Self {
        Self {
            key: self.key.clone(),
            wire: codec::replace_revision(&self.wire, revision),
            revision,
            facts: self.facts.clone(),
            parsed: OnceLock::new(),
        }
    }

    /// The same object with other facts read from it.
    pub(super) fn with_paths(&self, paths: &Paths) -> Self {
        Self {
            key: self.key.clone(),
            wire: self.wire.clone(),
            revision: self.revision,
            facts: paths.extract(&self.wire),
            parsed: OnceLock::new(),
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The object's namespace; empty for cluster-wide kinds.
    pub fn namespace(&self) -> &str {
        namespace_of(&self.key)
    }

    /// The object, parsed.
    pub fn value(&self) -> Value {
        // The server wrote these bytes itself.
        serde_json::from_slice(&self.wire).unwrap_or_default()
    }

    /// The object, parsed once and then kept. For the few objects that are asked again and again by
    /// requests about others, such as a namespace: kept ones take several times the memory.
    pub fn kept_value(&self) -> Arc<Value> {
        self.parsed.get_or_init(|| Arc::new(self.value())).clone()
    }
}

/// The namespace in a key `/group/plural/namespace/name`; empty in `/group/plural/name`.
fn namespace_of(key: &str) -> &str {
    let mut parts = key.split('/').skip(3);
    match (parts.next(), parts.next()) {
        (Some(namespace), Some(_)) => namespace,
        _ => "",
    }
}

/// What happened to an object.
#[derive(Debug)]
pub struct Change {
    /// The object after the change; if it was deleted, its last state.
    pub object: Arc<Object>,
    /// The object before the change; none if it was created.
    pub previous: Option<Arc<Object>>,
    /// Whether it was deleted.
    pub deleted: bool,
    /// The lines that were made of it. Most changes are remembered longer than anybody asks for them.
    lines: OnceLock<Box<Lines>>,
}

/// A line for each [`LineForm`] and [`EventType`].
type Lines = [[OnceLock<Bytes>; 3]; 4];

/// The forms of lines that are made once for all watchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// The object.
    Object,
    /// The object without its managed fields.
    Lean,
    /// The metadata.
    Metadata,
    /// The metadata without managed fields.
    LeanMetadata,
}

/// The `type` of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// The object came into the watcher's sight.
    Added,
    /// The object changed.
    Modified,
    /// The object went out of the watcher's sight.
    Deleted,
}

impl EventType {
    /// The text of the `type` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

impl Change {
    /// A change.
    pub fn new(object: Arc<Object>, previous: Option<Arc<Object>>, deleted: bool) -> Self {
        Self {
            object,
            previous,
            deleted,
            lines: OnceLock::new(),
        }
    }

    /// The change without the lines that were made of it, to be kept for later watches: those lines
    /// would be as large as the objects, and nobody may ever ask for them again.
    pub fn to_remember(&self) -> Self {
        Self::new(self.object.clone(), self.previous.clone(), self.deleted)
    }

    /// What the change is to a watcher that sees only objects for which `visible` holds; none if
    /// nothing.
    pub fn event_for(&self, visible: impl Fn(&Object) -> bool) -> Option<EventType> {
        let before = self.previous.as_deref().is_some_and(&visible);
        let after = !self.deleted && visible(&self.object);
        match (before, after) {
            (false, true) => Some(EventType::Added),
            (true, true) => Some(EventType::Modified),
            (true, false) => Some(EventType::Deleted),
            (false, false) => None,
        }
    }

    /// The line that a watch sends for the change; of what is shown in it, `show` makes the JSON, once for all watchers.
    pub fn line(&self, form: LineForm, event: EventType, show: impl FnOnce() -> Bytes) -> Bytes {
        let [object, lean, metadata, lean_metadata] = &**self.lines.get_or_init(Box::default);
        let [added, modified, deleted] = match form {
            LineForm::Object => object,
            LineForm::Lean => lean,
            LineForm::Metadata => metadata,
            LineForm::LeanMetadata => lean_metadata,
        };
        let slot = match event {
            EventType::Added => added,
            EventType::Modified => modified,
            EventType::Deleted => deleted,
        };
        slot.get_or_init(|| frame(event.as_str(), &show())).clone()
    }

    /// About how much memory the change holds beyond the objects that are current anyway, in bytes.
    pub fn weight(&self) -> usize {
        256 + self.previous.as_ref().map_or(0, |p| p.wire.len())
            + if self.deleted {
                self.object.wire.len()
            } else {
                0
            }
    }
}

/// A line of a watch.
pub fn frame(event_type: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event_type.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
