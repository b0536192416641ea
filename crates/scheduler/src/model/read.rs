//! The narrow forms in which objects are parsed.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use mosaic_api::Quantity;
use serde::{Deserialize, Deserializer, de};

use super::ReadError;

pub(super) fn parse<'a, T: Deserialize<'a>>(
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|source| ReadError::Form { kind, source })
}

/// What is wanted of an object's metadata, with the annotations that a kind is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "A: Deserialize<'de>"))]
pub(super) struct Metadata<A = de::IgnoredAny> {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<A>,
    pub creation_timestamp: Option<String>,
    pub deletion_timestamp: Option<String>,
    pub owner_references: Option<Vec<OwnerReference>>,
}

impl<A> Metadata<A> {
    pub(super) fn name(&mut self, kind: &'static str) -> Result<String, ReadError> {
        let name = self.name.take().filter(|name| !name.is_empty());
        name.ok_or(ReadError::Nameless { kind })
    }
}

#[derive(Deserialize)]
pub(super) struct OwnerReference {
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub uid: String,
    pub controller: Option<bool>,
}

/// A quantity as objects hold it: a string or a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount(pub Quantity);

/// Resources by name.
pub(super) type ResourceList<'a> = BTreeMap<Cow<'a, str>, Amount>;

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.trim().parse().map(Amount).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Amount, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Seconds since 1970 of a moment as objects hold it.
pub(super) fn seconds(moment: Option<&str>) -> Option<i64> {
    moment
        .and_then(mosaic_api::time::parse)
        .map(|moment| moment.as_second())
}
