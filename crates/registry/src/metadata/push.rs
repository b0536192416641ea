//! What a push writes. `decide` says why it is in this order.

use mosaic_image::Digest;
use mosaic_store::Expect;

use super::record::{
    BlobRecord, ManifestRecord, Reference, ReferrerRecord, RepositoryRecord, TagRecord,
};
use super::{
    Change, Claim, LOOK, LOOKS, Metadata, MetadataError, Readable, Result, TRIES, decide, keys,
};
use crate::blobs::UploadId;

/// Where the bytes of a blob that is pushed are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// In an upload that has its digest.
    Upload(&'a UploadId),
    /// Here: a manifest's.
    Bytes(&'a bytes::Bytes),
}

/// A manifest to be put into a repository.
#[derive(Clone)]
pub(crate) struct Commit<'a> {
    pub(crate) repository: &'a str,
    pub(crate) claim: &'a Claim<'a>,
    pub(crate) digest: &'a Digest,
    pub(crate) record: ManifestRecord,
    /// What the list of its subject's referrers shows of it.
    pub(crate) referrer: Option<ReferrerRecord>,
    /// The tag to set, if any.
    pub(crate) tag: Option<&'a str>,
    /// What it names may be fetched later: it is a mirror's.
    pub(crate) lazy: bool,
}

impl Metadata {
    /// Keeps a blob: its record, its bytes and, unless it is a manifest's, its link to a repository.
    ///
    /// The record comes first. Bytes that come while it is young are under its protection; it alone says nothing,
    /// since whoever counts on a blob looks for its bytes too.
    pub(crate) async fn keep(
        &self,
        digest: &Digest,
        size: u64,
        source: Source<'_>,
        repository: Option<&str>,
    ) -> Result<()> {
        self.blobs.room().await?;
        let key = keys::blob(digest);
        let mut waited = 0;
        for _ in 0..TRIES + LOOKS {
            let stored = self.get::<BlobRecord>(&key).await?;
            let now = self.now();
            let record = stored.as_ref().map(|stored| &stored.value);
            match decide::touch(record, now, self.grace) {
                decide::Touch::Wait => {
                    self.wait(&key, &mut waited).await?;
                    continue;
                }
                decide::Touch::Enough => {}
                decide::Touch::Write(record) => {
                    let expect =
                        stored.map_or(Expect::Absent, |stored| Expect::At(stored.revision));
                    if !self.put(&key, expect, &record).await? {
                        continue;
                    }
                }
                decide::Touch::Missing => {
                    let record = BlobRecord {
                        size,
                        touched: now,
                        deleting: None,
                    };
                    let put = self.put(&key, Expect::Absent, &record);
                    let (put, settled) = futures::join!(put, self.settle(source));
                    settled?;
                    if !put? {
                        continue;
                    }
                }
            }
            // Of another size they are damaged, and these are not.
            if self
                .blobs
                .stat(digest)
                .await?
                .is_some_and(|stat| stat.size == size)
            {
                return self.link_to(repository, digest).await;
            }
            let (placed, linked) =
                futures::join!(self.place(digest, source), self.link_to(repository, digest));
            placed?;
            linked?;
            // Once more from the beginning: if that took longer than the grace, the record may be gone.
        }
        Err(MetadataError::Busy { key })
    }

    async fn settle(&self, source: Source<'_>) -> Result<()> {
        match source {
            Source::Upload(id) => Ok(self.blobs.settle(id).await?),
            Source::Bytes(_) => Ok(()),
        }
    }

    async fn place(&self, digest: &Digest, source: Source<'_>) -> Result<()> {
        match source {
            Source::Upload(id) => Ok(self.blobs.place(id, digest).await?),
            Source::Bytes(bytes) => Ok(self.blobs.put(digest, bytes.clone()).await?),
        }
    }

    async fn link_to(&self, repository: Option<&str>, digest: &Digest) -> Result<()> {
        match repository {
            Some(repository) => self.link(repository, digest).await,
            None => Ok(()),
        }
    }

    async fn wait(&self, key: &str, waited: &mut usize) -> Result<()> {
        if *waited == LOOKS {
            return Err(MetadataError::Busy { key: key.into() });
        }
        *waited += 1;
        self.clock.sleep(LOOK).await;
        Ok(())
    }

    /// Makes sure that a blob will stay for half the grace; its size, or none if it is not there, or not whole.
    pub(crate) async fn touch(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.touch_record(digest).await? {
            // In this order: bytes under a young record stay.
            Some(size) => {
                let stat = self.blobs.stat(digest).await?;
                Ok(stat.filter(|stat| stat.size == size).map(|_| size))
            }
            None => Ok(None),
        }
    }

    async fn touch_record(&self, digest: &Digest) -> Result<Option<u64>> {
        let key = keys::blob(digest);
        let mut waited = 0;
        for _ in 0..TRIES + LOOKS {
            let Some(stored) = self.get::<BlobRecord>(&key).await? else {
                return Ok(None);
            };
            match decide::touch(Some(&stored.value), self.now(), self.grace) {
                decide::Touch::Missing => return Ok(None),
                decide::Touch::Enough => return Ok(Some(stored.value.size)),
                decide::Touch::Wait => self.wait(&key, &mut waited).await?,
                decide::Touch::Write(record) => {
                    if self.put(&key, Expect::At(stored.revision), &record).await? {
                        return Ok(Some(record.size));
                    }
                }
            }
        }
        Err(MetadataError::Busy { key })
    }

    /// Makes sure that a repository has a blob.
    pub(crate) async fn link(&self, repository: &str, digest: &Digest) -> Result<()> {
        self.update(&keys::link(digest, repository), |link| {
            decide::link(link, self.now(), self.grace).map_or(Change::Nothing, Change::Put)
        })
        .await?;
        Ok(())
    }

    /// Whether a blob is there for a push into a repository, which will then find it for half the grace: its size. One
    /// that is found in another repository is mounted by that.
    pub(crate) async fn hold(
        &self,
        repository: &str,
        digest: &Digest,
        readable: Readable<'_>,
    ) -> Result<Option<u64>> {
        if !self.has(repository, digest, Some(readable)).await? {
            return Ok(None);
        }
        let size = self.touch(digest).await?;
        if size.is_some() {
            // The collector may have judged the link before the blob was touched.
            self.link(repository, digest).await?;
        }
        Ok(size)
    }

    /// Puts a manifest into a repository, and a tag at it. Its own bytes are kept already.
    pub(crate) async fn commit(&self, commit: Commit<'_>, readable: Readable<'_>) -> Result<()> {
        // Most that is refused is refused here, before anything is written.
        self.check_claim(commit.repository, commit.claim).await?;
        if !commit.lazy {
            for blob in &commit.record.blobs {
                self.check_blob(commit.repository, blob, readable).await?;
            }
            self.check_manifests(&commit).await?;
        }
        let key = keys::repository(commit.repository);
        if self.get::<RepositoryRecord>(&key).await?.is_none() {
            let created = self.now();
            // Another push may have been here first.
            self.put(&key, Expect::Absent, &RepositoryRecord { created })
                .await?;
        }
        for _ in 0..TRIES {
            if let Err(error) = self.commit_manifest(&commit).await {
                self.undo(&commit).await?;
                return Err(error);
            }
            if let Some(tag) = commit.tag {
                self.set_tag(&commit, tag).await?;
            }
            // Whoever deletes the manifest looks for tags after that: one of the two sees the other.
            let kept = self.manifest(commit.repository, commit.digest).await?;
            if kept.is_some() {
                return Ok(());
            }
        }
        Err(MetadataError::Busy {
            key: keys::manifest(commit.repository, commit.digest),
        })
    }

    async fn check_blob(
        &self,
        repository: &str,
        blob: &Reference,
        readable: Readable<'_>,
    ) -> Result<()> {
        let absent = || MetadataError::Absent {
            repository: repository.into(),
            digest: blob.digest.clone(),
        };
        // First, since what the caller may not read has no size for them either.
        if !self.has(repository, &blob.digest, Some(readable)).await? {
            return Err(absent());
        }
        let record = self.blob(&blob.digest).await?;
        let record = record.filter(|stored| stored.value.deleting.is_none());
        let actual = record.ok_or_else(absent)?.value.size;
        if actual != blob.size {
            return Err(MetadataError::Size {
                digest: blob.digest.clone(),
                named: blob.size,
                actual,
            });
        }
        let stat = self.blobs.stat(&blob.digest).await?;
        stat.map(|_| ()).ok_or_else(absent)
    }

    async fn check_manifests(&self, commit: &Commit<'_>) -> Result<()> {
        for named in &commit.record.manifests {
            let kept = self.manifest(commit.repository, &named.digest).await?;
            if kept.is_none() {
                return Err(MetadataError::Absent {
                    repository: commit.repository.into(),
                    digest: named.digest.clone(),
                });
            }
        }
        Ok(())
    }

    async fn commit_manifest(&self, commit: &Commit<'_>) -> Result<()> {
        let key = keys::manifest(commit.repository, commit.digest);
        let mut created = false;
        for _ in 0..TRIES {
            let mut stored = self.get::<ManifestRecord>(&key).await?;
            if stored.is_none() {
                let pending = ManifestRecord {
                    committed: false,
                    ..commit.record.clone()
                };
                created |= self.put(&key, Expect::Absent, &pending).await?;
                stored = self.get::<ManifestRecord>(&key).await?;
            }
            let Some(stored) = stored else { continue };
            let mut secured = self.secure(commit).await;
            if secured.is_ok() {
                secured = self.check_claim(commit.repository, commit.claim).await;
            }
            if let Err(error) = secured {
                if created && !stored.value.committed {
                    // Another push of the same manifest may be about to commit it: then its write fails, and it looks
                    // for the blobs again.
                    self.delete(&key, stored.revision).await?;
                }
                return Err(error);
            }
            if !stored.value.committed {
                let committed = ManifestRecord {
                    committed: true,
                    ..stored.value
                };
                if !self
                    .put(&key, Expect::At(stored.revision), &committed)
                    .await?
                {
                    continue;
                }
            }
            return self.refer(commit).await;
        }
        Err(MetadataError::Busy { key })
    }

    /// Holds everything that a manifest names, which is in the store by now.
    async fn secure(&self, commit: &Commit<'_>) -> Result<()> {
        let absent = |digest: &Digest| MetadataError::Absent {
            repository: commit.repository.into(),
            digest: digest.clone(),
        };
        if self.touch(commit.digest).await?.is_none() {
            return Err(absent(commit.digest));
        }
        if commit.lazy {
            return Ok(());
        }
        for blob in &commit.record.blobs {
            if self.touch(&blob.digest).await?.is_none() {
                return Err(absent(&blob.digest));
            }
            self.link(commit.repository, &blob.digest).await?;
        }
        self.check_manifests(commit).await
    }

    /// Takes away what an earlier try of a push that fails may have left beside a manifest that is gone.
    async fn undo(&self, commit: &Commit<'_>) -> Result<()> {
        let (repository, digest) = (commit.repository, commit.digest);
        let key = keys::manifest(repository, digest);
        if self.get::<ManifestRecord>(&key).await?.is_some() {
            return Ok(());
        }
        if let Some(tag) = commit.tag {
            self.remove_dangling_tag(&keys::tag(repository, tag))
                .await?;
        }
        if let (Some(subject), Some(_)) = (&commit.record.subject, &commit.referrer) {
            self.remove_referrer(repository, subject, digest).await?;
        }
        Ok(())
    }

    async fn refer(&self, commit: &Commit<'_>) -> Result<()> {
        let (Some(subject), Some(record)) = (&commit.record.subject, &commit.referrer) else {
            return Ok(());
        };
        let key = keys::referrer(commit.repository, subject, commit.digest);
        if self.get::<ReferrerRecord>(&key).await?.is_none() {
            self.put(&key, Expect::Absent, record).await?;
        }
        Ok(())
    }

    /// Points a tag at a manifest.
    async fn set_tag(&self, commit: &Commit<'_>, tag: &str) -> Result<()> {
        let manifest = &commit.record;
        self.update(
            &keys::tag(commit.repository, tag),
            |stored: Option<&TagRecord>| {
                let now = self.now();
                Change::Put(TagRecord {
                    digest: commit.digest.clone(),
                    media_type: manifest.media_type.clone(),
                    size: manifest.total,
                    layers: manifest.layers,
                    pushed: now,
                    pulled: stored.and_then(|stored| stored.pulled),
                    checked: commit.lazy.then_some(now),
                })
            },
        )
        .await?;
        Ok(())
    }
}
