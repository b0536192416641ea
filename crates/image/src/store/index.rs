//! `index.json` of an image layout: which images are in it, by name. Pure.

use std::collections::HashMap;

use oci_spec::image::ImageIndex;

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::media::MediaType;
use crate::name::Name;

/// The name of an image (image-spec, annotations.md): what skopeo takes after `oci:DIRECTORY:`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, with registry and tag, as containerd and Docker write and read it.
const FULL_NAME: &str = "io.containerd.image.name";

/// The longest `index.json` that is read, in bytes: some 100,000 images.
pub(crate) const SIZE_MAX: u64 = 64 << 20;

/// The images of a layout.
#[derive(Debug, Clone)]
pub(crate) struct Index(ImageIndex);

impl Default for Index {
    fn default() -> Self {
        let mut index = ImageIndex::default();
        index.set_schema_version(oci_spec::image::SCHEMA_VERSION);
        index.set_media_type(Some(MediaType::ImageIndex));
        Self(index)
    }
}

/// JSON whose bytes depend on nothing but the content: oci-spec's maps have no order of their own.
pub(crate) fn canonical(content: &impl serde::Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(content)?;
    value.sort_all_objects();
    serde_json::to_vec(&value)
}

/// The name of an entry; none if it has none, or one that is not an image's.
pub(crate) fn name_of(entry: &Descriptor) -> Option<Name> {
    let annotations = entry.annotations().as_ref()?;
    [FULL_NAME, REF_NAME]
        .iter()
        .find_map(|key| annotations.get(*key)?.parse().ok())
}

/// A descriptor as the entry of a name.
pub(crate) fn named(descriptor: &Descriptor, name: &Name) -> Descriptor {
    let mut entry = descriptor.clone();
    let mut annotations = entry.annotations().clone().unwrap_or_default();
    annotations.insert(REF_NAME.to_owned(), name.familiar().to_string());
    annotations.insert(FULL_NAME.to_owned(), name.normal().to_string());
    entry.set_annotations(Some(annotations));
    entry
}

impl Index {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        canonical(&self.0)
    }

    /// All entries, with a name or without.
    pub(crate) fn entries(&self) -> &[Descriptor] {
        self.0.manifests()
    }

    /// The entry that a name stands for. One with a digest stands for that document, whatever else it is called.
    pub(crate) fn find(&self, name: &Name) -> Option<&Descriptor> {
        if let Some(digest) = name.digest() {
            return self.entries().iter().find(|entry| entry.digest() == digest);
        }
        let wanted = name.normal();
        self.entries()
            .iter()
            .find(|entry| name_of(entry).is_some_and(|name| name.normal() == wanted))
    }

    /// Whether a document is listed, by a name or without.
    pub(crate) fn lists(&self, digest: &Digest) -> bool {
        self.entries().iter().any(|entry| entry.digest() == digest)
    }

    /// Lets a name stand for a document, and for no other.
    pub(crate) fn set(&mut self, name: &Name, descriptor: &Descriptor) {
        let wanted = name.normal();
        let mut entries = self.0.manifests().clone();
        entries.retain(|entry| name_of(entry).is_none_or(|name| name.normal() != wanted));
        entries.push(named(descriptor, name));
        self.0.set_manifests(entries);
    }

    /// Lists a document without a name, unless it is listed.
    pub(crate) fn add(&mut self, descriptor: &Descriptor) {
        if !self.lists(descriptor.digest()) {
            let mut entries = self.0.manifests().clone();
            entries.push(descriptor.clone());
            self.0.set_manifests(entries);
        }
    }

    /// Takes a name away: the entry's that [`Index::find`] finds; with a digest, all entries of that document.
    pub(crate) fn remove(&mut self, name: &Name) -> bool {
        let wanted = name.normal();
        self.retain(|entry| match name.digest() {
            Some(digest) => entry.digest() != digest,
            None => name_of(entry).is_none_or(|name| name.normal() != wanted),
        })
    }

    /// Keeps the entries that are wanted; whether any went.
    pub(crate) fn retain(&mut self, wanted: impl FnMut(&Descriptor) -> bool) -> bool {
        let mut entries = self.0.manifests().clone();
        let before = entries.len();
        entries.retain(wanted);
        let changed = entries.len() != before;
        self.0.set_manifests(entries);
        changed
    }
}

/// Of an index that others wrote: the annotations of its entries that are not names.
pub(crate) fn without_names(entry: &Descriptor) -> Descriptor {
    let mut entry = entry.clone();
    let rest: HashMap<String, String> = entry
        .annotations()
        .iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), REF_NAME | FULL_NAME))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    entry.set_annotations((!rest.is_empty()).then_some(rest));
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest;

    fn descriptor(content: u8) -> Descriptor {
        Descriptor::new(MediaType::ImageManifest, 1, digest::sha256(&[content]))
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let mut index = Index::default();
        index.set(&"app:2".parse().unwrap(), &descriptor(1));
        for text in ["app:2", "docker.io/app:2", "docker.io/library/app:2"] {
            assert_eq!(
                index.find(&text.parse().unwrap()).unwrap().digest(),
                descriptor(1).digest()
            );
        }
        assert!(index.find(&"app".parse().unwrap()).is_none());
        assert!(index.find(&"example.com/app:2".parse().unwrap()).is_none());
        let annotations = index.entries()[0].annotations().clone().unwrap();
        assert_eq!(annotations[REF_NAME], "app:2");
        assert_eq!(annotations[FULL_NAME], "docker.io/library/app:2");
    }

    proptest! {
        #[test]
        fn a_name_stands_for_the_last_document_it_was_set_to(steps in proptest::collection::vec((0u8..4, 0u8..5), 0..30)) {
            let mut index = Index::default();
            let mut model = std::collections::BTreeMap::new();
            for (which, content) in steps {
                let name: Name = format!("app:{which}").parse().unwrap();
                if content == 4 {
                    prop_assert_eq!(index.remove(&name), model.remove(&which).is_some());
                } else {
                    index.set(&name, &descriptor(content));
                    model.insert(which, content);
                }
                index = Index::parse(&index.to_bytes().unwrap()).unwrap();
                prop_assert_eq!(index.entries().len(), model.len());
            }
            for which in 0..4 {
                let name = format!("app:{which}").parse().unwrap();
                let found = index.find(&name).map(|entry| entry.digest().clone());
                prop_assert_eq!(found, model.get(&which).map(|content| descriptor(*content).digest().clone()));
            }
        }
    }
}
