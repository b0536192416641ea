//! The images of a registry, listed and watched: for those who show them.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::Digest;
use mosaic_store::{Entry, Event, ListOptions, Revision};

use crate::metadata::record::TagRecord;
use crate::metadata::{Metadata, MetadataError, Result, keys, parse};
use crate::registry::Registry;

/// A tag, and what it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The media type of that.
    pub media_type: String,
    /// The bytes of the manifest and of all that it names; of an index, of all its images.
    pub size: u64,
    /// How many layers it has; of an index, the most that one of its images has.
    pub layers: u32,
    /// When the tag was last set, in seconds since 1970.
    pub pushed: u64,
    /// When it was last pulled by this tag, in seconds since 1970, to the hour; none if it was not yet.
    pub pulled: Option<u64>,
}

/// A part of the list of images.
#[derive(Debug, Clone)]
pub struct Images {
    /// The images, in the order of `repository:tag`.
    pub images: Vec<Image>,
    /// The revision that the list shows, from which a watch goes on.
    pub revision: Revision,
    /// Whether there are more after the last.
    pub more: bool,
}

/// What a watch of images tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// A tag was set, or pulled.
    Applied(Image),
    /// A tag is gone.
    Removed {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
}

impl Registry {
    /// The images in the order of `repository:tag`: after one of them, at a revision or as of now, at most `limit`.
    ///
    /// # Errors
    /// When the store fails, or no longer has the revision.
    pub async fn images(
        &self,
        after: Option<(&str, &str)>,
        at: Option<Revision>,
        limit: usize,
    ) -> Result<Images> {
        let after = after.map(|(repository, tag)| Arc::from(keys::tag(repository, tag)));
        let options = ListOptions {
            at,
            after,
            limit: Some(limit),
            ..ListOptions::default()
        };
        let page = self.0.metadata.store.list(keys::TAGS, options).await;
        let page = page.map_err(|source| MetadataError::Store {
            action: "list",
            key: keys::TAGS.into(),
            source,
        })?;
        let images: Result<Vec<Option<Image>>> = page.entries.iter().map(listed).collect();
        Ok(Images {
            images: images?.into_iter().flatten().collect(),
            revision: page.revision,
            more: page.remaining > 0,
        })
    }

    /// One image by its tag.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn image(&self, repository: &str, tag: &str) -> Result<Option<Image>> {
        let stored = self.0.metadata.tag(repository, tag).await?;
        Ok(stored.map(|stored| image(repository, tag, stored.value)))
    }

    /// Whether a manifest or index is in a repository.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_image(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let manifest = self.0.metadata.manifest(repository, digest).await?;
        Ok(manifest.is_some())
    }

    /// What happens to images after a revision. Ends with an error when the store is lost or the watch cannot follow;
    /// then the images are to be listed anew.
    ///
    /// # Errors
    /// When the watch cannot begin, such as after a revision that is no longer kept.
    pub async fn watch_images(
        &self,
        after: Revision,
    ) -> Result<BoxStream<'static, Result<ImageEvent>>> {
        let failed = |source| MetadataError::Store {
            action: "watch",
            key: keys::TAGS.into(),
            source,
        };
        let metadata: &Metadata = &self.0.metadata;
        let events = metadata.store.watch(keys::TAGS, after).await;
        let events = events.map_err(failed)?.map_err(failed);
        let told = events.map(|event| match event? {
            Event::Put(entry) => Ok(listed(&entry)?.map(ImageEvent::Applied)),
            Event::Delete { key, .. } => {
                let tag = keys::parse_tag(&key);
                Ok(tag.map(|(repository, tag)| ImageEvent::Removed {
                    repository: repository.into(),
                    tag: tag.into(),
                }))
            }
            Event::Progress(_) => Ok(None),
        });
        Ok(told.filter_map(|event| async { event.transpose() }).boxed())
    }
}

fn listed(entry: &Entry) -> Result<Option<Image>> {
    let Some((repository, tag)) = keys::parse_tag(&entry.key) else {
        return Ok(None);
    };
    let record = parse::<TagRecord>(entry)?.value;
    Ok(Some(image(repository, tag, record)))
}

fn image(repository: &str, tag: &str, record: TagRecord) -> Image {
    Image {
        repository: repository.into(),
        tag: tag.into(),
        digest: record.digest,
        media_type: record.media_type,
        size: record.size,
        layers: record.layers,
        pushed: record.pushed,
        pulled: record.pulled,
    }
}
