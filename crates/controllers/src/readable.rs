//! Objects of a watch, each read by itself: one that cannot be read costs that one only, and not the list that it
//! came with.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::value::RawValue;

use crate::informer::{Key, key_of};

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

/// What a watch needs to go on.
#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
    metadata: HeadMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMetadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Readable<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let reason = match serde_json::from_str(json.get()) {
            Ok(object) => return Ok(Self::Read(object)),
            Err(reason) => reason.to_string(),
        };
        let head: Head = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self::Unread(Box::new(Unread {
            metadata: ObjectMeta {
                name: head.metadata.name,
                namespace: head.metadata.namespace,
                resource_version: head.metadata.resource_version,
                ..ObjectMeta::default()
            },
            kind: head.kind,
            reason,
        })))
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn api_version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::api_version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unread(unread) => &unread.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unread(unread) => &mut unread.metadata,
        }
    }
}

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
    use kube::core::ObjectList;

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
