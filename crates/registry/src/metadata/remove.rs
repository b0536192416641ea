//! What a deletion writes. A deletion and a push of the same thing each write first and look afterwards, so that one
//! of the two sees the other.

use futures::TryStreamExt;
use mosaic_image::Digest;
use mosaic_store::Expect;

use super::record::{LinkRecord, ManifestRecord, ReferrerRecord, TagRecord};
use super::{Change, Metadata, MetadataError, PAGE, Result, TRIES, keys, parse};

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It is done.
    Done,
    /// There was nothing.
    Absent,
    /// A manifest of the repository names it, so that it would be incomplete.
    NamedBy(Digest),
    /// A tag is at it, and it was to go only without.
    Tagged,
}

impl Metadata {
    /// A manifest of a repository that names something.
    pub(crate) async fn named_by(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<Digest>> {
        let prefix = keys::manifests(repository);
        self.find(&prefix, |entry| {
            let manifest = parse::<ManifestRecord>(entry)?.value;
            let mut named = manifest.blobs.iter().chain(&manifest.manifests);
            let names = named.any(|reference| reference.digest == *digest);
            let parsed = keys::parse_manifest(&entry.key);
            Ok(parsed.filter(|_| names).map(|(_, digest)| digest))
        })
        .await
    }

    /// Takes a blob out of a repository. Its bytes go when no repository has a use for them.
    pub(crate) async fn remove_blob(&self, repository: &str, digest: &Digest) -> Result<Removed> {
        let key = keys::link(digest, repository);
        for _ in 0..TRIES {
            let Some(stored) = self.get::<LinkRecord>(&key).await? else {
                return Ok(Removed::Absent);
            };
            if stored.value.removed {
                return Ok(Removed::Absent);
            }
            if let Some(manifest) = self.named_by(repository, digest).await? {
                return Ok(Removed::NamedBy(manifest));
            }
            let removed = LinkRecord {
                since: self.now(),
                removed: true,
            };
            if !self
                .put(&key, Expect::At(stored.revision), &removed)
                .await?
            {
                continue;
            }
            // A push that wrote its manifest meanwhile may have seen the link as it was.
            return match self.named_by(repository, digest).await? {
                None => Ok(Removed::Done),
                Some(manifest) => {
                    self.link(repository, digest).await?;
                    Ok(Removed::NamedBy(manifest))
                }
            };
        }
        Err(MetadataError::Busy { key })
    }

    /// Takes a manifest out of a repository: with all tags at it, or only if there are none.
    pub(crate) async fn remove_manifest(
        &self,
        repository: &str,
        digest: &Digest,
        with_tags: bool,
    ) -> Result<Removed> {
        let key = keys::manifest(repository, digest);
        for _ in 0..TRIES {
            let Some(stored) = self.get::<ManifestRecord>(&key).await? else {
                return Ok(Removed::Absent);
            };
            if let Some(index) = self.named_by(repository, digest).await? {
                return Ok(Removed::NamedBy(index));
            }
            // Before it is hidden, so that a crash leaves no tag at nothing; those that come now are seen below.
            if with_tags {
                self.remove_tags_at(repository, digest).await?;
            }
            // Hidden first (as what a push or a deletion that died left is already), with all that it names held still: an
            // index that comes now does not find it, and one that found it before is seen below.
            let hidden = ManifestRecord {
                committed: false,
                ..stored.value.clone()
            };
            let expect = Expect::At(stored.revision);
            let Some(revision) = self.put_at(&key, expect, &hidden).await? else {
                continue;
            };
            if let Some(index) = self.named_by(repository, digest).await? {
                // If this fails, somebody has pushed it again.
                self.put(&key, Expect::At(revision), &stored.value).await?;
                return Ok(Removed::NamedBy(index));
            }
            if with_tags {
                self.remove_tags_at(repository, digest).await?;
            } else if self.is_tagged(repository, digest).await? {
                self.put(&key, Expect::At(revision), &stored.value).await?;
                return Ok(Removed::Tagged);
            }
            if !self.delete(&key, revision).await? {
                continue;
            }
            if let Some(subject) = &stored.value.subject {
                self.remove_referrer(repository, subject, digest).await?;
            }
            return Ok(Removed::Done);
        }
        Err(MetadataError::Busy { key })
    }

    pub(crate) async fn remove_referrer(
        &self,
        repository: &str,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<()> {
        let key = keys::referrer(repository, subject, digest);
        if let Some(referrer) = self.get::<ReferrerRecord>(&key).await? {
            self.delete(&key, referrer.revision).await?;
            // Pushed again meanwhile, it saw the record before it was gone.
            let again = self.manifest(repository, digest).await?;
            if again.is_some() {
                self.put(&key, Expect::Absent, &referrer.value).await?;
            }
        }
        Ok(())
    }

    async fn is_tagged(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let prefix = keys::tags(repository);
        let tagged = self.find(&prefix, |entry| {
            let tag = parse::<TagRecord>(entry)?.value;
            Ok((tag.digest == *digest).then_some(()))
        });
        Ok(tagged.await?.is_some())
    }

    async fn remove_tags_at(&self, repository: &str, digest: &Digest) -> Result<()> {
        let prefix = keys::tags(repository);
        let mut entries = self.entries(&prefix, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            if parse::<TagRecord>(&entry)?.value.digest == *digest {
                self.remove_tag_at(&entry.key, digest).await?;
            }
        }
        Ok(())
    }

    async fn remove_tag_at(&self, key: &str, digest: &Digest) -> Result<()> {
        self.update(key, |tag: Option<&TagRecord>| match tag {
            Some(tag) if tag.digest == *digest => Change::Delete,
            _ => Change::Nothing,
        })
        .await?;
        Ok(())
    }

    /// Removes a tag that is at no manifest; whether it was. Whoever sets a tag writes it anew, so a deletion at the
    /// revision that was read is right.
    pub(crate) async fn remove_dangling_tag(&self, key: &str) -> Result<bool> {
        let (Some(tag), Some((repository, _))) =
            (self.get::<TagRecord>(key).await?, keys::parse_tag(key))
        else {
            return Ok(false);
        };
        let manifest = keys::manifest(repository, &tag.value.digest);
        match self.get::<ManifestRecord>(&manifest).await? {
            Some(_) => Ok(false),
            None => self.delete(key, tag.revision).await,
        }
    }

    /// Removes a tag; the manifest stays. Whether there was one.
    pub(crate) async fn remove_tag(&self, repository: &str, tag: &str) -> Result<bool> {
        self.update(&keys::tag(repository, tag), |tag: Option<&TagRecord>| {
            tag.map_or(Change::Nothing, |_| Change::Delete)
        })
        .await
    }
}
