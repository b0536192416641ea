//! The OpenAPI documents: what kubectl explains, completes and validates by.
//!
//! ```text
//!  rows of the kind table ──┬── schemas   components: built-in definitions, schemas of custom kinds
//!                           ├── paths     operations: which verbs, with which parameters
//!                           └── v2        the same as Swagger 2.0, as JSON and as protobuf
//! ```
//!
//! Documents are rendered when they are asked for and then forgotten: all of them together are some
//! megabytes, and clients keep them for long, by the hash in the address.

mod operation;
mod paths;
mod protobuf;
mod schemas;
mod v2;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kind::{Resource, Source};

pub use protobuf::encode as v2_protobuf;
pub use schemas::definition_of;
pub use v2::v2_document;

/// The media type of the Swagger 2.0 document as protobuf, as answers name it: in what clients ask for, an
/// `@` stands before the version, which Go's `mime` package cannot parse.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The version of Kubernetes whose API is served: documents carry it, since clients decide by it.
pub const KUBERNETES_VERSION: &str = "v1.37.0";

/// Where a group's version is served, without a leading slash: `api/v1`, `apis/apps/v1`.
pub fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// The index at `/openapi/v3`: an address for each group and version, which changes with its content.
pub fn v3_index<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Value {
    let mut groups: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
    for resource in resources {
        groups
            .entry(group_version_path(&resource.group, &resource.version))
            .or_default()
            .push(resource);
    }
    let paths: Map<String, Value> = groups
        .into_iter()
        .map(|(path, resources)| {
            let url = format!("/openapi/v3/{path}?hash={}", v3_hash(&resources));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The document of one group and version, with all of its kinds.
pub fn v3_document(resources: &[&Resource]) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths::paths(resources),
        "components": {"schemas": schemas::schemas(resources)},
    })
}

/// What changes whenever the document of these kinds does; the same on every server.
pub fn v3_hash(resources: &[&Resource]) -> String {
    let mut hash = Fnv::default();
    hash.write(KUBERNETES_VERSION);
    hash.write(env!("CARGO_PKG_VERSION"));
    for resource in resources {
        for text in [
            &resource.group,
            &resource.version,
            &resource.kind,
            &resource.list_kind,
            &resource.plural,
        ] {
            hash.write(text);
        }
        let flags = [
            resource.namespaced,
            resource.status,
            resource.scale.is_some(),
        ];
        hash.write(&format!("{flags:?}{:?}", resource.verbs));
        if let Source::Custom(version) = &resource.source {
            hash.write(&version.schema.to_string());
        }
    }
    format!("{:016X}", hash.0)
}

/// FNV-1a, 64 bits: it tells documents apart and guards nothing.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, text: &str) {
        // The byte at the end keeps `ab`, `c` apart from `a`, `bc`.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Group, version and kind as an extension of schemas and operations.
fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
