//! The garbage collector: takes away what nothing names any more, while pushes and pulls go on, and what a crash left.
//!
//! Only one runs in a process. Several servers may each run one: every step is a compare-and-write, and one that died
//! is taken over. What it holds in memory is bounded by [`BATCH`], whatever there is in the registry.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use mosaic_image::Digest;
use mosaic_store::{Expect, Revision};

use crate::metadata::record::{BlobRecord, LinkRecord, ManifestRecord, ReferrerRecord};
use crate::metadata::{Judgement, Metadata, PAGE, Result, judge, keys, parse};

/// So many candidates are compared with all manifests at once.
const BATCH: usize = 50_000;
/// For how many seconds a server that began to take a blob away may be at it, where several share a store. No deletion
/// is begun in the second half.
const TAKEOVER: u64 = 600;

/// What a run took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Blobs, with those that no record knew of.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Repositories' claims on blobs that no manifest of theirs names.
    pub links: u64,
    /// Uploads that nobody went on with.
    pub uploads: u64,
    /// Manifests of pushes and deletions that did not end.
    pub manifests: u64,
    /// Tags and referrers without a manifest.
    pub dangling: u64,
}

/// The garbage collector.
pub struct Collector {
    metadata: Arc<Metadata>,
    /// When this process began, if no other one is at work: what is half done since before that stays so.
    began: Option<u64>,
    takeover: u64,
    turn: tokio::sync::Mutex<()>,
}

impl Collector {
    /// A collector over these records.
    pub fn new(metadata: Arc<Metadata>) -> Self {
        // Whatever another process of an exclusive store began, it is dead.
        let exclusive = metadata.store.exclusive();
        Self {
            began: exclusive.then(|| metadata.now()),
            metadata,
            takeover: if exclusive { 0 } else { TAKEOVER },
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Runs once over everything. Waits for a run that is under way.
    ///
    /// # Errors
    /// When the store or the blobs fail. What was done until then is right, and the next run does the rest.
    pub async fn run(&self) -> Result<Report> {
        let _turn = self.turn.lock().await;
        let mut report = Report::default();
        self.uploads(&mut report).await?;
        self.manifests(&mut report).await?;
        self.tags(&mut report).await?;
        self.referrers(&mut report).await?;
        self.links(&mut report).await?;
        self.blobs(&mut report).await?;
        self.orphans(&mut report).await?;
        Ok(report)
    }

    async fn uploads(&self, report: &mut Report) -> Result<()> {
        let now = self.metadata.now();
        for (id, touched) in self.metadata.blobs.uploads().await? {
            if self.metadata.grace.is_over(touched, now) {
                self.metadata.blobs.discard(&id).await?;
                report.uploads += 1;
            }
        }
        Ok(())
    }

    /// Ends what pushes and deletions that died left.
    async fn manifests(&self, report: &mut Report) -> Result<()> {
        let (metadata, now) = (&self.metadata, self.metadata.now());
        let mut entries = metadata.entries(keys::MANIFESTS, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            let manifest = parse::<ManifestRecord>(&entry)?;
            let pushed = manifest.value.pushed;
            let died = self.began.is_some_and(|began| pushed < began);
            let over = died || metadata.grace.is_over(pushed, now);
            let parsed = keys::parse_manifest(&entry.key);
            let Some((repository, digest)) = parsed.filter(|_| over) else {
                continue;
            };
            if manifest.value.committed {
                continue;
            }
            if metadata.named_by(repository, &digest).await?.is_some() {
                // Its deletion was overtaken by an index, which found it whole.
                let record = ManifestRecord {
                    committed: true,
                    ..manifest.value
                };
                let expect = Expect::At(manifest.revision);
                metadata.put(&entry.key, expect, &record).await?;
            } else if metadata.delete(&entry.key, manifest.revision).await? {
                report.manifests += 1;
            }
        }
        Ok(())
    }

    /// Tags without a manifest.
    async fn tags(&self, report: &mut Report) -> Result<()> {
        let metadata = &self.metadata;
        let mut entries = metadata.entries(keys::TAGS, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            report.dangling += u64::from(metadata.remove_dangling_tag(&entry.key).await?);
        }
        Ok(())
    }

    async fn referrers(&self, report: &mut Report) -> Result<()> {
        let metadata = &self.metadata;
        let mut entries = metadata.entries(keys::REFERRERS, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            parse::<ReferrerRecord>(&entry)?;
            let Some((repository, subject, digest)) = keys::parse_referrer(&entry.key) else {
                continue;
            };
            let key = keys::manifest(repository, &digest);
            if metadata.get::<ManifestRecord>(&key).await?.is_none() {
                metadata
                    .remove_referrer(repository, &subject, &digest)
                    .await?;
                report.dangling += 1;
            }
        }
        Ok(())
    }

    /// Repositories' claims on blobs that no manifest of theirs names. A push touches the link of each blob after it
    /// has written its manifest, so a deletion at the revision that was read is right.
    async fn links(&self, report: &mut Report) -> Result<()> {
        let (metadata, now) = (&self.metadata, self.metadata.now());
        let mut entries = metadata.entries(keys::LINKS, None, PAGE);
        let mut more = true;
        while more {
            let mut candidates: HashMap<(Box<str>, Digest), Revision> = HashMap::new();
            while candidates.len() < BATCH {
                let Some(entry) = entries.try_next().await? else {
                    more = false;
                    break;
                };
                let link = parse::<LinkRecord>(&entry)?;
                if let Some((digest, repository)) = keys::parse_link(&entry.key)
                    && metadata.grace.is_over(link.value.since, now)
                    && !self.is_young(&digest, now).await?
                {
                    candidates.insert((repository.into(), digest), link.revision);
                }
            }
            if !candidates.is_empty() {
                self.spare(|repository, _, manifest| {
                    for named in &manifest.blobs {
                        candidates.remove(&(repository.into(), named.digest.clone()));
                    }
                })
                .await?;
            }
            for ((repository, digest), revision) in candidates {
                let key = keys::link(&digest, &repository);
                report.links += u64::from(metadata.delete(&key, revision).await?);
            }
        }
        Ok(())
    }

    /// Whether somebody counts on a blob, in whichever repository that will be.
    async fn is_young(&self, digest: &Digest, now: u64) -> Result<bool> {
        let record = self.metadata.blob(digest).await?;
        let young = |blob: BlobRecord| !self.metadata.grace.is_over(blob.touched, now);
        Ok(record.is_some_and(|stored| young(stored.value)))
    }

    /// Shows all manifests, those that are not committed too.
    async fn spare(&self, mut show: impl FnMut(&str, &Digest, &ManifestRecord)) -> Result<()> {
        self.metadata
            .find(keys::MANIFESTS, |entry| {
                let manifest = parse::<ManifestRecord>(entry)?.value;
                if let Some((repository, digest)) = keys::parse_manifest(&entry.key) {
                    show(repository, &digest, &manifest);
                }
                Ok(None::<()>)
            })
            .await?;
        Ok(())
    }

    async fn blobs(&self, report: &mut Report) -> Result<()> {
        let metadata = &self.metadata;
        let mut entries = metadata.entries(keys::BLOBS, None, PAGE);
        let mut more = true;
        while more {
            let mut candidates: HashMap<Digest, (BlobRecord, Revision)> = HashMap::new();
            let mut resumed = Vec::new();
            while candidates.len() + resumed.len() < BATCH {
                let Some(entry) = entries.try_next().await? else {
                    more = false;
                    break;
                };
                let blob = parse::<BlobRecord>(&entry)?;
                let Some(digest) = keys::parse_blob(&entry.key) else {
                    continue;
                };
                match judge(&blob.value, metadata.now(), metadata.grace, self.takeover) {
                    Judgement::Young | Judgement::Taken => {}
                    Judgement::Candidate => {
                        candidates.insert(digest, (blob.value, blob.revision));
                    }
                    Judgement::Resume => resumed.push((digest, (blob.value, blob.revision))),
                }
            }
            if !candidates.is_empty() {
                self.spare(|_, digest, manifest| {
                    candidates.remove(digest);
                    for named in manifest.blobs.iter().chain(&manifest.manifests) {
                        candidates.remove(&named.digest);
                    }
                })
                .await?;
            }
            for (digest, (record, revision)) in candidates.into_iter().chain(resumed) {
                self.take(&digest, Expect::At(revision), record, report)
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes a blob away, unless its record changed.
    async fn take(
        &self,
        digest: &Digest,
        expect: Expect,
        record: BlobRecord,
        report: &mut Report,
    ) -> Result<()> {
        let (metadata, key) = (&self.metadata, keys::blob(digest));
        let since = metadata.now();
        let marked = BlobRecord {
            deleting: Some(since),
            ..record
        };
        let Some(revision) = metadata.put_at(&key, expect, &marked).await? else {
            return Ok(());
        };
        if self.takeover > 0 && metadata.now().saturating_sub(since) > self.takeover / 2 {
            // Somebody else may be about to take over: the next run will.
            return Ok(());
        }
        metadata.blobs.delete(digest).await?;
        // Before the record: whoever uploads it anew waits for that, and makes new links afterwards.
        let links = keys::links(digest);
        let mut entries = metadata.entries(&links, None, PAGE);
        while let Some(entry) = entries.try_next().await? {
            metadata.delete(&entry.key, entry.revision).await?;
        }
        if metadata.delete(&key, revision).await? {
            report.blobs += 1;
            report.bytes += marked.size;
        }
        Ok(())
    }

    /// Bytes that no record knows of: their upload's server died before it wrote one.
    async fn orphans(&self, report: &mut Report) -> Result<()> {
        let metadata = &self.metadata;
        let mut after: Option<Digest> = None;
        loop {
            let found = metadata.blobs.list(after.as_ref(), PAGE).await?;
            let now = metadata.now();
            for (digest, stat) in &found {
                if !metadata.grace.is_over(stat.modified, now)
                    || metadata.blob(digest).await?.is_some()
                {
                    continue;
                }
                let record = BlobRecord {
                    size: stat.size,
                    touched: stat.modified,
                    deleting: None,
                };
                self.take(digest, Expect::Absent, record, report).await?;
            }
            match found.last() {
                Some((digest, _)) => after = Some(digest.clone()),
                None => return Ok(()),
            }
        }
    }
}
