//! Claims, volumes and classes of them.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::{Claim, StorageClass, Volume};

#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    /// By `namespace/name`.
    pub claims: BTreeMap<Box<str>, Arc<Claim>>,
    pub volumes: BTreeMap<Arc<str>, Arc<Volume>>,
    pub classes: BTreeMap<Arc<str>, Arc<StorageClass>>,
}

impl Volumes {
    pub(crate) fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<Claim>> {
        self.claims.get(&*format!("{namespace}/{name}"))
    }
}
