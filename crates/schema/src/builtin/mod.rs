//! The types of built-in kinds.
//!
//! ```text
//!  k8s-openapi's JSON schemas ──┐
//!   (fields, JSON types)        ├── convert ──► Type       (decode, defaults, merging)
//!  merge_keys, facts  ──────────┴── openapi ──► documents  (kubectl explain, clients' validation)
//!   (list keys, patch strategies)
//! ```
//!
//! A kind is converted when it is first asked for. Definitions that kinds share, such as `PodSpec`,
//! are converted once and shared, so that all of them together take about two megabytes.

mod convert;
mod facts;
mod kinds;
mod merge_keys;
mod openapi;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use schemars::generate::SchemaSettings;
use serde_json::{Map as JsonMap, Value};

use crate::Type;

pub use openapi::{definition, definitions, reference_to};

static TYPES: LazyLock<Mutex<HashMap<Box<str>, Arc<Type>>>> = LazyLock::new(Mutex::default);

/// The names of all definitions, so that others are refused without a search.
static NAMES: LazyLock<HashSet<Box<str>>> = LazyLock::new(|| {
    let generated = generate(kinds::KINDS.iter().copied());
    generated
        .into_iter()
        .map(|(name, _)| name.into_boxed_str())
        .collect()
});

/// The type of a built-in definition, such as `io.k8s.api.core.v1.Pod`; none for a name that is not
/// known.
pub fn builtin(name: &str) -> Option<Arc<Type>> {
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = types.get(name) {
        return Some(known.clone());
    }
    let generated = match kinds::find(name) {
        Some(kind) => generate([kind]),
        None if NAMES.contains(name) => generate(kinds::KINDS.iter().copied()),
        None => return None,
    };
    Some(
        convert::Converter {
            definitions: &generated,
            types: &mut types,
        }
        .definition(name, 0),
    )
}

/// The names of all built-in kinds that [`builtin`] knows, in no particular order.
pub fn builtin_names() -> impl Iterator<Item = String> {
    kinds::KINDS.iter().map(|kind| (kind.name)().into_owned())
}

/// The JSON schemas of kinds and of all that they refer to, as `k8s-openapi` gives them.
fn generate(kinds: impl IntoIterator<Item = kinds::Kind>) -> JsonMap<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = convert::DEFINITIONS.into();
        settings.transforms.clear();
    });
    let mut generator = settings.into_generator();
    for kind in kinds {
        (kind.generate)(&mut generator);
    }
    generator.take_definitions(false)
}
