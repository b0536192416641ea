//! Objects of a watch, each read by itself: one that cannot be read costs that one only, and not the list that it
//! came with.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::value::RawValue;

use crate::{
    informer::{Key, key_of},
    views::is_a,
};

/// More objects than this that cannot be read are not remembered.
const MAX_TOLD: usize = 1024;

/// An object, or what is known of one that cannot be read.
#[derive(Debug, Clone)]
pub(crate) enum Readable<K> {
    /// It could be read.
    Read(K),
    /// It could not.
    Unread(Box<Unread>),
}

/// What is known of an object that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    metadata: ObjectMeta,
    kind: Option<String>,
    reason: String,
}

/// What a watch needs of an object to go on.
#[derive(Deserialize)]
pub(crate) struct Head {
    kind: Option<String>,
    pub(crate) metadata: HeadMetadata,
}

/// Which object it is, and of which version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadMetadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

impl From<HeadMetadata> for ObjectMeta {
    fn from(head: HeadMetadata) -> Self {
        Self {
            name: head.name,
            namespace: head.namespace,
            resource_version: head.resource_version,
            ..Self::default()
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Readable<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Most can be read: the text is not copied for the few that cannot.
        let json = <&RawValue>::deserialize(deserializer)?;
        let reason = match serde_json::from_str(json.get()) {
            Ok(object) => return Ok(Self::Read(object)),
            Err(reason) => reason.to_string(),
        };
        let head: Head = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self::Unread(Box::new(Unread {
            metadata: head.metadata.into(),
            kind: head.kind,
            reason,
        })))
    }
}

impl<K: Resource> Readable<K> {
    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unread(unread) => &unread.metadata,
        }
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unread(unread) => &mut unread.metadata,
        }
    }
}

is_a!(Readable<K>, K where K: Resource, |object| object.metadata(), |object| object.metadata_mut());

/// Tells of objects that cannot be read: of each version of one once, however often it is listed.
#[derive(Debug)]
pub(crate) struct Reader {
    /// What the objects are, where they do not say so themselves.
    resource: String,
    told: BTreeMap<Key, Option<String>>,
}

impl Reader {
    /// A reader of what is found under a URL of the API.
    pub(crate) fn of(url: &str) -> Self {
        Self {
            resource: url.rsplit('/').next().unwrap_or_default().to_owned(),
            told: BTreeMap::new(),
        }
    }

    /// The object, unless it cannot be read.
    pub(crate) fn read<K: Resource>(&mut self, object: Readable<K>) -> Option<K> {
        match object {
            Readable::Read(object) => {
                if !self.told.is_empty() {
                    self.told.remove(&key_of(object.meta()));
                }
                Some(object)
            }
            Readable::Unread(unread) => {
                if self.is_news(&unread.metadata) {
                    let (namespace, name) = key_of(&unread.metadata);
                    tracing::warn!(
                        kind = unread.kind.as_deref().unwrap_or(&self.resource),
                        object = %format_args!("{namespace}/{name}"),
                        reason = unread.reason,
                        "an object cannot be read; it is treated as if it were not there"
                    );
                }
                None
            }
        }
    }

    fn is_news(&mut self, metadata: &ObjectMeta) -> bool {
        let (key, version) = (key_of(metadata), &metadata.resource_version);
        if self.told.get(&key) == Some(version) {
            return false;
        }
        if self.told.len() >= MAX_TOLD {
            self.told.clear();
        }
        self.told.insert(key, version.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    fn items(json: &str) -> Vec<Readable<ConfigMap>> {
        let list: ObjectList<Readable<ConfigMap>> = serde_json::from_str(json).unwrap();
        list.items
    }

    #[test]
    fn one_that_cannot_be_read_leaves_the_others_of_its_list() {
        let items = items(
            r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[
                {"metadata":{"namespace":"n","name":"a","resourceVersion":"1"},"data":7},
                {"metadata":{"namespace":"n","name":"b","resourceVersion":"2"},"data":{"k":"v"}}]}"#,
        );
        let versions: Vec<_> = items
            .iter()
            .map(|item| item.meta().resource_version.clone().unwrap())
            .collect();
        assert_eq!(versions, ["1", "2"]);
        let mut reader = Reader::of("/api/v1/configmaps");
        let read: Vec<_> = items.into_iter().map(|item| reader.read(item)).collect();
        let [None, Some(read)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(read.metadata.name.as_deref(), Some("b"));
        assert_eq!(read.data.as_ref().unwrap()["k"], "v");
    }

    #[test]
    fn one_that_cannot_be_read_is_an_event_of_its_watch() {
        let read = |data: &str| {
            let line = format!(
                r#"{{"type":"ADDED","object":{{"metadata":{{"name":"a","resourceVersion":"7"}},"data":{data}}}}}"#
            );
            match serde_json::from_str(&line).unwrap() {
                WatchEvent::<Readable<ConfigMap>>::Added(object) => {
                    assert_eq!(object.meta().resource_version.as_deref(), Some("7"));
                    Reader::of("").read(object).is_some()
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(read("{}") && !read("7"));
    }

    #[test]
    fn each_version_is_told_of_once() {
        let at = |version: &str| ObjectMeta {
            name: Some("a".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        let mut reader = Reader::of("/api/v1/configmaps");
        let news = ["1", "1", "2", "2"].map(|version| reader.is_news(&at(version)));
        assert_eq!(news, [true, false, true, false]);
    }
}
