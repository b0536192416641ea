//! The table of the kinds that are served at the moment.

use std::{collections::HashMap, sync::Arc};

use mosaic_api::{
    Resource,
    kind::{CustomVersion, SelectableField, Source},
};
use parking_lot::{Mutex, RwLock};

use crate::{cache::Cache, custom::Compiled};

/// A kind in one version, with what the server derives from its row once.
#[derive(Debug)]
pub struct Kind {
    /// The row.
    pub row: Resource,
    /// `v1` or `apps/v1`.
    pub api_version: String,
    /// The prefix of the objects' keys.
    pub prefix: String,
    /// What is done to stored objects before they are sent.
    pub conversion: Conversion,
    /// The fields that a selector may name.
    pub fields: Vec<Selectable>,
    /// The paths whose values the cache keeps of each object, for selectors.
    facts: Vec<Arc<str>>,
}

/// A field that a selector may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectable {
    /// The path that a selector names.
    pub path: Arc<str>,
    /// The places of its value in the cache's facts; the first that is not empty counts.
    pub places: Vec<usize>,
    /// What an absent field counts as.
    pub default: &'static str,
}

/// How the stored form of an object differs from the served one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Not at all.
    None,
    /// Only the `apiVersion` may differ (a custom kind with several versions).
    ApiVersion,
    /// `events.k8s.io/v1` over stored `v1` events.
    Event,
}

impl std::ops::Deref for Kind {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        &self.row
    }
}

impl Kind {
    /// Whether it is this kind, which custom kinds of the same name in another group are not.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        *self.group == *group && *self.kind == *kind
    }

    /// The row of a custom kind's definition, if it is one.
    pub fn custom(&self) -> Option<&CustomVersion> {
        match &self.row.source {
            Source::BuiltIn => None,
            Source::Custom(version) => Some(version),
        }
    }
}

/// An immutable state of the table.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order in which discovery shows them.
    pub rows: Vec<Arc<Kind>>,
    by_path: HashMap<String, Arc<Kind>>,
    /// Counts the changes of the table, for caches of what is derived from it.
    pub generation: u64,
}

impl Snapshot {
    /// The kind that a path names.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&format!("{group}/{version}/{plural}"))
    }

    /// The kind of a group, in whatever version comes first.
    pub fn by_kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.rows
            .iter()
            .find(|row| *row.kind == *kind && *row.group == *group)
    }

    /// The kind of an `apiVersion`.
    pub fn by_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.rows
            .iter()
            .find(|row| row.api_version == api_version && *row.kind == *kind)
    }
}

/// The table of kinds: built-in rows, and those of custom kinds.
#[derive(Debug)]
pub struct KindTable {
    current: RwLock<Arc<Snapshot>>,
    built_in: Vec<Arc<Kind>>,
    /// The rows of custom kinds, as they were compiled.
    pub compiled: Mutex<Compiled>,
}

/// The field of pods that watchers are indexed by: each host's agent watches its own pods.
const INDEXED: &str = "spec.nodeName";

impl KindTable {
    /// The table of the kinds that are compiled in; tells the cache which fields are selectable.
    pub fn new(cache: &Cache) -> Self {
        let mut rows = mosaic_api::builtin::resources();
        rows.extend(mosaic_api::own::resources());
        let built_in: Vec<Arc<Kind>> = rows
            .iter()
            .filter(|row| row.can("create") || row.can("get"))
            .map(|row| {
                // Two rows over the same objects share the selectable fields of the stored one.
                let stored = rows
                    .iter()
                    .find(|other| other.storage_prefix() == row.storage_prefix())
                    .unwrap_or(row);
                Arc::new(kind(row.clone(), &stored.selectable_fields))
            })
            .collect();
        for kind in built_in
            .iter()
            .filter(|kind| kind.conversion != Conversion::Event)
        {
            declare(cache, kind);
        }
        let table = Self {
            current: RwLock::default(),
            built_in,
            compiled: Mutex::default(),
        };
        table.set_custom(cache, Vec::new());
        table
    }

    /// The table as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().clone()
    }

    /// Replaces the rows of all custom kinds.
    pub fn set_custom(&self, cache: &Cache, custom: Vec<Resource>) {
        let custom: Vec<Arc<Kind>> = custom
            .into_iter()
            .map(|row| {
                let fields = row.selectable_fields.clone();
                Arc::new(kind(row, &fields))
            })
            .collect();
        let before = self.snapshot();
        for kind in &custom {
            // Reading the fields of every object again is only worth it where they changed.
            let same = before
                .by_path
                .get(&path_key(kind))
                .is_some_and(|old| old.fields == kind.fields);
            if !same {
                declare(cache, kind);
            }
        }
        let rows: Vec<Arc<Kind>> = self.built_in.iter().cloned().chain(custom).collect();
        let by_path = rows
            .iter()
            .map(|kind| (path_key(kind), kind.clone()))
            .collect();
        *self.current.write() = Arc::new(Snapshot {
            rows,
            by_path,
            generation: before.generation + 1,
        });
    }
}

fn path_key(kind: &Kind) -> String {
    format!("{}/{}/{}", kind.group, kind.version, kind.plural)
}

fn declare(cache: &Cache, kind: &Kind) {
    let indexed = kind.facts.iter().position(|path| **path == *INDEXED);
    cache.declare(&kind.prefix, kind.facts.iter().cloned(), indexed);
}

fn kind(row: Resource, stored_fields: &[SelectableField]) -> Kind {
    let conversion = match &row.source {
        Source::BuiltIn if &*row.group == "events.k8s.io" => Conversion::Event,
        Source::BuiltIn => Conversion::None,
        Source::Custom(_) => Conversion::ApiVersion,
    };
    let mut facts: Vec<Arc<str>> = Vec::new();
    let stored: Vec<Selectable> = stored_fields
        .iter()
        .map(|field| Selectable {
            path: field.path.clone(),
            places: places(field, &mut facts),
            default: field.default,
        })
        .collect();
    let fields = if conversion == Conversion::Event {
        row.selectable_fields
            .iter()
            .filter_map(|field| {
                let core = mosaic_api::events::core_path(&field.path);
                let stored = stored.iter().find(|stored| *stored.path == *core)?;
                Some(Selectable {
                    path: field.path.clone(),
                    ..stored.clone()
                })
            })
            .collect()
    } else {
        stored
    };
    Kind {
        api_version: row.api_version(),
        prefix: row.storage_prefix(),
        conversion,
        fields,
        facts,
        row,
    }
}

/// The places of a field's values among the facts, which get what is not there yet.
fn places(field: &SelectableField, facts: &mut Vec<Arc<str>>) -> Vec<usize> {
    let own = [&*field.path];
    let paths = if field.stored_at.is_empty() {
        &own
    } else {
        field.stored_at
    };
    paths
        .iter()
        .map(|path| {
            facts
                .iter()
                .position(|known| **known == **path)
                .unwrap_or_else(|| {
                    facts.push((*path).into());
                    facts.len() - 1
                })
        })
        .collect()
}
