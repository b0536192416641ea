//! The `FieldsV1` format.

use std::fmt;

use serde::{
    Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

use super::{FieldSet, FieldSetError, Node, key::canonical};
use crate::limits::{MAX_DEPTH, MAX_FIELDS};

/// The key that stands for the node it is in.
const SELF: &str = ".";

impl FieldSet {
    /// Reads a set from `FieldsV1`. Keys are brought into canonical form, keys of unknown kinds are left
    /// out.
    ///
    /// # Errors
    /// When it is not an object, a key is malformed, or it is deeper or larger than
    /// [`MAX_DEPTH`] and [`MAX_FIELDS`].
    pub fn from_fields_v1(fields: &Value) -> Result<Self, FieldSetError> {
        read(fields, false)
    }

    /// Reads a set from text that a set was written to: its keys are canonical.
    ///
    /// # Errors
    /// When it is not an object, or it is deeper or larger than [`MAX_DEPTH`] and [`MAX_FIELDS`].
    pub(crate) fn from_stored(text: &str) -> Result<Self, FieldSetError> {
        read(&mut serde_json::Deserializer::from_str(text), true)
    }
}

fn read<'de>(fields: impl Deserializer<'de>, canonical: bool) -> Result<FieldSet, FieldSetError> {
    let mut reader = Reader {
        canonical,
        budget: MAX_FIELDS,
        depth: 0,
        refusal: None,
    };
    match reader.deserialize(fields) {
        Ok((set, _)) => Ok(set),
        Err(_) => Err(reader.refusal.unwrap_or(FieldSetError::NotAnObject)),
    }
}

/// Reads nodes: what is below one, and whether it is itself in the set.
struct Reader {
    /// Whether keys are in canonical form as they are.
    canonical: bool,
    /// How many more fields there may be.
    budget: usize,
    depth: usize,
    /// Why reading was given up, if it is not for the format.
    refusal: Option<FieldSetError>,
}

impl Reader {
    fn refuse<E: serde::de::Error>(&mut self, refusal: FieldSetError) -> E {
        let error = E::custom(&refusal);
        self.refusal = Some(refusal);
        error
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = (FieldSet, bool);

    fn deserialize<D: Deserializer<'de>>(self, fields: D) -> Result<Self::Value, D::Error> {
        fields.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = (FieldSet, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((FieldSet::default(), true))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        if self.depth > MAX_DEPTH {
            return Err(self.refuse(FieldSetError::TooDeep));
        }
        let mut owned = false;
        let mut nodes = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            let Some(budget) = self.budget.checked_sub(1) else {
                return Err(self.refuse(FieldSetError::TooManyFields));
            };
            self.budget = budget;
            if key == SELF {
                members.next_value::<IgnoredAny>()?;
                owned = true;
                continue;
            }
            let read = if self.canonical {
                Ok(Some(key))
            } else {
                canonical(key)
            };
            let key = match read {
                Ok(Some(key)) => key,
                Ok(None) => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Err(refusal) => return Err(self.refuse(refusal)),
            };
            self.depth += 1;
            let (children, child_owned) = members.next_value_seed(&mut *self)?;
            self.depth -= 1;
            nodes.push(Node {
                key,
                owned: child_owned,
                children,
            });
        }
        // A node without children stands for itself.
        owned |= nodes.is_empty();
        Ok((FieldSet::from_nodes(nodes), owned))
    }
}

/// Writes the set as `FieldsV1`.
impl Serialize for FieldSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self, false, serializer)
    }
}

fn write<S: Serializer>(set: &FieldSet, owned: bool, serializer: S) -> Result<S::Ok, S::Error> {
    // A node without children stands for itself.
    let says_so = owned && !set.is_empty();
    let mut members = serializer.serialize_map(Some(set.nodes.len() + usize::from(says_so)))?;
    if says_so {
        // It comes before all keys in the order of the text.
        members.serialize_entry(SELF, &FieldSet::default())?;
    }
    for node in &set.nodes {
        members.serialize_entry(&node.key, node)?;
    }
    members.end()
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(&self.children, self.owned, serializer)
    }
}
