//! Rows of the kind table from the `CustomResourceDefinition`s in the cache.

use std::{collections::HashMap, sync::Arc};

use mosaic_api::{Resource, custom::rows};
use mosaic_store::Revision;
use serde_json::Value;

use crate::{
    app::App,
    cache::{Change, Object},
};

/// The prefix of the definitions' keys.
pub const PREFIX: &str = "/apiextensions.k8s.io/customresourcedefinitions/";

/// The rows that definitions make, by the definition's key and revision: compiling a schema is much work,
/// and the rows of all definitions are needed whenever one changes.
#[derive(Debug, Default)]
pub struct Compiled(HashMap<Arc<str>, (Revision, Vec<Resource>)>);

impl Compiled {
    /// The rows of these definitions, and of no others from now on.
    fn rows(&mut self, definitions: &[Arc<Object>]) -> Vec<Resource> {
        let mut known = std::mem::take(&mut self.0);
        for definition in definitions {
            let same = known
                .remove(&definition.key)
                .filter(|(revision, _)| *revision == definition.revision);
            let compiled = same.unwrap_or_else(|| (definition.revision, rows(&definition.value())));
            self.0.insert(definition.key.clone(), compiled);
        }
        definitions
            .iter()
            .filter_map(|definition| self.0.get(&definition.key))
            .flat_map(|(_, rows)| rows.clone())
            .collect()
    }
}

/// Brings the kind table up to the definitions in the cache.
pub fn refresh(app: &App) {
    let mut definitions = app.cache.kind(PREFIX).list(PREFIX);
    definitions.sort_by(|a, b| a.key.cmp(&b.key));
    let custom = app.kinds.compiled.lock().rows(&definitions);
    app.kinds.set_custom(&app.cache, custom);
}

/// Keeps the kind table up with the definitions from now on.
pub fn observe(app: &Arc<App>) {
    let weak = Arc::downgrade(app);
    let observer = move |change: &Change| {
        let Some(app) = weak.upgrade() else { return };
        // Most writes of a definition are to its status; what it serves is in its spec.
        let relevant = |value: &Value| {
            let conditions = value.pointer("/status/conditions").cloned();
            (value.get("spec").cloned(), conditions)
        };
        let same = !change.deleted
            && change
                .previous
                .as_ref()
                .is_some_and(|old| relevant(&old.value()) == relevant(&change.object.value()));
        if !same {
            refresh(&app);
        }
    };
    app.cache.observe(PREFIX, Box::new(observer));
}
