//! Reads the few fields of a serialised object that selectors and indexes need, and skips the rest
//! without building it.

use std::{fmt, sync::Arc};

use mosaic_api::selector::Labels;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What selectors see of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The labels, in the order of their keys.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The values of the fields asked for, in the order they were asked; none where absent.
    pub fields: Box<[Option<Box<str>>]>,
}

impl Labels for Facts {
    fn label(&self, key: &str) -> Option<&str> {
        let at = self
            .labels
            .binary_search_by(|(known, _)| (**known).cmp(key))
            .ok()?;
        self.labels.get(at).map(|(_, value)| &**value)
    }
}

/// The fields to read: a tree of their paths.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    root: Node,
    count: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<(Box<str>, Node)>,
    index: Option<usize>,
}

impl Paths {
    /// The tree of paths such as `spec.nodeName`.
    pub fn new(paths: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut tree = Self::default();
        for path in paths {
            let mut node = &mut tree.root;
            for part in path.split('.') {
                let at = match node.children.iter().position(|(name, _)| &**name == part) {
                    Some(at) => at,
                    None => {
                        node.children.push((part.into(), Node::default()));
                        node.children.len() - 1
                    }
                };
                // `at` was found or pushed just above.
                #[allow(clippy::indexing_slicing)]
                {
                    node = &mut node.children[at].1;
                }
            }
            node.index = Some(tree.count);
            tree.count += 1;
        }
        tree
    }

    /// Reads the labels and the fields of a serialised object. What cannot be read counts as absent.
    pub fn extract(&self, bytes: &[u8]) -> Facts {
        let mut found = Found {
            labels: Vec::new(),
            fields: vec![None; self.count].into_boxed_slice(),
        };
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        // An object that the server has written itself parses; should it not, it has no labels.
        let _ = Walk {
            node: Some(&self.root),
            level: Level::Root,
            found: &mut found,
        }
        .deserialize(&mut deserializer);
        found.labels.sort();
        Facts {
            labels: found.labels.into_boxed_slice(),
            fields: found.fields,
        }
    }
}

struct Found {
    labels: Vec<(Box<str>, Box<str>)>,
    fields: Box<[Option<Box<str>>]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Metadata,
    Labels,
    Other,
}

struct Walk<'a> {
    node: Option<&'a Node>,
    level: Level,
    found: &'a mut Found,
}

impl Walk<'_> {
    fn note(&mut self, text: impl Into<Box<str>>) {
        let slot = self
            .node
            .and_then(|n| n.index)
            .and_then(|i| self.found.fields.get_mut(i));
        if let Some(slot) = slot {
            *slot = Some(text.into());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.note(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.note(value.to_string());
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.note(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if self.level == Level::Labels {
            while let Some((key, value)) = members.next_entry::<Box<str>, Box<str>>()? {
                self.found.labels.push((key, value));
            }
            return Ok(());
        }
        let key = Key {
            node: self.node,
            level: self.level,
        };
        while let Some((level, node)) = members.next_key_seed(key)? {
            if node.is_none() && level == Level::Other {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value_seed(Walk {
                    node,
                    level,
                    found: self.found,
                })?;
            }
        }
        Ok(())
    }
}

/// Looks up a member's name where it stands, without a copy of it: where it leads to, if that matters.
#[derive(Clone, Copy)]
struct Key<'a> {
    node: Option<&'a Node>,
    level: Level,
}

impl<'de, 'a> DeserializeSeed<'de> for Key<'a> {
    type Value = (Level, Option<&'a Node>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = (Level, Option<&'a Node>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let level = match (self.level, name) {
            (Level::Root, "metadata") => Level::Metadata,
            (Level::Metadata, "labels") => Level::Labels,
            _ => Level::Other,
        };
        let node = self
            .node
            .and_then(|node| node.children.iter().find(|(known, _)| **known == *name))
            .map(|(_, child)| child);
        Ok((level, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_asked_fields_are_read() {
        let paths =
            Paths::new(["spec.nodeName", "status.phase", "spec.on", "a.b.c"].map(Arc::from));
        let facts = paths.extract(
            br#"{"metadata":{"name":"x","labels":{"b":"2","a":"1"}},"spec":{"nodeName":"n1","on":true,"other":[{"nodeName":"no"}]},"status":{"phase":"Running"}}"#,
        );
        assert_eq!(
            &*facts.labels,
            [("a".into(), "1".into()), ("b".into(), "2".into())]
        );
        assert_eq!(
            &*facts.fields,
            [
                Some("n1".into()),
                Some("Running".into()),
                Some("true".into()),
                None
            ]
        );
    }

    #[test]
    fn broken_bytes_have_no_facts() {
        let facts = Paths::new([Arc::from("a")]).extract(b"{\"a\": [");
        assert_eq!(&*facts.fields, [None]);
    }
}
