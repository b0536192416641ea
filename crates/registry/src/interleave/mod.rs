//! Pushes, deletions and collectors of several servers, interleaved at every step, killed at every step, while time
//! passes as it likes and namespaces follow one another: what a manifest names is always there, a namespace has nothing of
//! the one before, and in the end everything else is gone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use mosaic_image::{Digest, digest};
use mosaic_store::{ListOptions, Memory, Store};
use proptest::prelude::*;

use self::world::{Stepped, TestBlobs, TestClock, advance};
use crate::access::Owner;
use crate::blobs::{Blobs, UploadId};
use crate::collect::Collector;
use crate::metadata::record::{
    BlobRecord, LinkRecord, ManifestRecord, NamespaceRecord, Reference, ReferrerRecord, TagRecord,
};
use crate::metadata::{Claim, Commit, Grace, Metadata, MetadataError, Source, keys, parse};

const GRACE: u64 = 100;
const NAMESPACE: &str = "team";
const REPOSITORIES: [&str; 2] = ["team/app", "team/base"];

/// What one client, or one collector, does.
#[derive(Debug, Clone)]
enum Job {
    /// Uploads the blobs that are not there and pushes an image of them.
    Push {
        repository: usize,
        blobs: Vec<u8>,
        tag: u8,
    },
    /// Pushes an index of an image, which is pushed before it.
    PushIndex {
        repository: usize,
        blob: u8,
        tag: u8,
    },
    DeleteManifest {
        repository: usize,
        blobs: Vec<u8>,
    },
    /// Removes an image, unless a tag is at it.
    Prune {
        repository: usize,
        blobs: Vec<u8>,
    },
    DeleteBlob {
        repository: usize,
        blob: u8,
    },
    DeleteTag {
        repository: usize,
        tag: u8,
    },
    Collect,
    /// The namespace is deleted, and there is another one of its name.
    NextNamespace,
    /// Takes away what is of namespaces that are gone.
    Clear,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Happening {
    Starts(Job),
    /// One of those that run makes some steps.
    Runs {
        who: usize,
        steps: u8,
    },
    /// One of those that run is killed.
    Dies {
        who: usize,
    },
    Passes {
        seconds: u64,
    },
}

fn job() -> impl Strategy<Value = Job> {
    let repository = 0..REPOSITORIES.len();
    let blobs = proptest::collection::vec(0..3u8, 1..3);
    prop_oneof![
        4 => (repository.clone(), blobs.clone(), 0..2u8)
            .prop_map(|(repository, blobs, tag)| Job::Push { repository, blobs, tag }),
        2 => (repository.clone(), 0..3u8, 0..2u8)
            .prop_map(|(repository, blob, tag)| Job::PushIndex { repository, blob, tag }),
        2 => (repository.clone(), blobs.clone())
            .prop_map(|(repository, blobs)| Job::DeleteManifest { repository, blobs }),
        1 => (repository.clone(), blobs)
            .prop_map(|(repository, blobs)| Job::Prune { repository, blobs }),
        3 => (repository.clone(), 0..3u8)
            .prop_map(|(repository, blob)| Job::DeleteBlob { repository, blob }),
        1 => (repository, 0..2u8).prop_map(|(repository, tag)| Job::DeleteTag { repository, tag }),
        3 => Just(Job::Collect),
        1 => Just(Job::NextNamespace),
        2 => Just(Job::Clear),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => job().prop_map(Happening::Starts),
        12 => (0..8usize, 1..12u8).prop_map(|(who, steps)| Happening::Runs { who, steps }),
        1 => (0..8usize).prop_map(|who| Happening::Dies { who }),
        2 => prop_oneof![2..40u64, 120..300u64].prop_map(|seconds| Happening::Passes { seconds }),
    ]
}

fn blob_bytes(blob: u8) -> Bytes {
    Bytes::from(vec![blob; 10 + usize::from(blob)])
}

fn blob_digest(blob: u8) -> Digest {
    digest::sha256(&blob_bytes(blob))
}

fn reference(bytes: &Bytes) -> Reference {
    Reference {
        digest: digest::sha256(bytes),
        size: bytes.len() as u64,
    }
}

/// The bytes of an image of these blobs. That they are no JSON is nobody's matter here.
fn image_bytes(blobs: &[u8], owner: &Owner) -> Bytes {
    Bytes::from(format!("image of {blobs:?} by {}", owner.uid))
}

fn index_bytes(blob: u8, owner: &Owner) -> Bytes {
    Bytes::from(format!("index of {blob} by {}", owner.uid))
}

fn record(
    bytes: &Bytes,
    blobs: Vec<Reference>,
    manifests: Vec<Reference>,
    now: u64,
    owner: &Owner,
) -> ManifestRecord {
    ManifestRecord {
        // Says whose it is.
        media_type: owner.uid.to_string(),
        size: bytes.len() as u64,
        layers: 0,
        total: 0,
        depth: u8::from(!manifests.is_empty()),
        // Everything refers to something, which is not there.
        subject: Some(blob_digest(9)),
        artifact_type: None,
        blobs,
        manifests,
        pushed: now,
        committed: true,
    }
}

#[derive(Clone)]
struct World {
    store: Memory,
    blobs: TestBlobs,
    clock: TestClock,
    /// Whether somebody has deleted a blob or a manifest.
    deletes: Arc<AtomicBool>,
    /// Which namespace it is that has the name now.
    namespace: Arc<AtomicU64>,
}

type Task = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl World {
    fn new() -> Self {
        let clock = TestClock::default();
        clock.0.store(1_000, Ordering::Relaxed);
        let blobs = TestBlobs {
            clock: clock.clone(),
            ..TestBlobs::default()
        };
        Self {
            store: Memory::new(),
            blobs,
            clock,
            deletes: Arc::default(),
            namespace: Arc::default(),
        }
    }

    fn owner(&self) -> Owner {
        Owner {
            cluster: "cluster".into(),
            uid: self.namespace.load(Ordering::Relaxed).to_string().into(),
        }
    }

    /// A server of its own.
    fn metadata(&self) -> Arc<Metadata> {
        Arc::new(Metadata::new(
            Arc::new(Stepped(self.store.clone())),
            Arc::new(self.blobs.clone()),
            Arc::new(self.clock.clone()),
            Grace::seconds(GRACE),
        ))
    }

    fn start(&self, job: Job) -> Task {
        let (world, metadata) = (self.clone(), self.metadata());
        let (began, owner) = (metadata.now(), self.owner());
        Box::pin(async move {
            let done = world.carry_out(&metadata, &job, &owner).await;
            let slow = metadata.now() - began >= GRACE / 2;
            match done {
                // Others may delete what a push counts on; otherwise only who is slow is refused.
                Err(MetadataError::Absent { .. }) if slow => Ok(()),
                Err(MetadataError::Absent { .. }) if world.deletes.load(Ordering::Relaxed) => {
                    Ok(())
                }
                Err(MetadataError::Refused { .. }) if world.owner() != owner => Ok(()),
                // Only if others are slow or dead.
                Err(MetadataError::Busy { .. }) => Ok(()),
                other => other.map_err(|error| format!("{job:?}: {error}")),
            }
        })
    }

    async fn upload(
        &self,
        metadata: &Metadata,
        repository: &str,
        blob: u8,
        claim: &Claim<'_>,
    ) -> Result<(), MetadataError> {
        let (bytes, digest) = (blob_bytes(blob), blob_digest(blob));
        let held = metadata.hold(repository, &digest, &|_: &str| true).await?;
        if held.is_some() {
            return Ok(());
        }
        let id = UploadId::new(repository);
        let grown = (bytes.clone(), metadata.now());
        self.blobs.uploads.lock().insert(id.clone(), grown);
        metadata.check_claim(repository, claim).await?;
        let kept = metadata
            .keep(
                &digest,
                bytes.len() as u64,
                Source::Upload(&id),
                Some(repository),
            )
            .await;
        match kept {
            // It lay there for so long that it was taken for abandoned.
            Err(MetadataError::Blobs(crate::blobs::BlobsError::NoUpload(_))) => {
                return Err(MetadataError::Absent {
                    repository: repository.into(),
                    digest,
                });
            }
            kept => kept?,
        }
        self.blobs.discard(&id).await?;
        Ok(())
    }

    async fn push(
        &self,
        metadata: &Metadata,
        repository: &str,
        bytes: Bytes,
        record: ManifestRecord,
        tag: Option<u8>,
        claim: &Claim<'_>,
    ) -> Result<(), MetadataError> {
        let digest = digest::sha256(&bytes);
        let size = bytes.len() as u64;
        metadata
            .keep(&digest, size, Source::Bytes(&bytes), None)
            .await?;
        let tag = tag.map(|tag| format!("v{tag}"));
        let commit = Commit {
            repository,
            claim,
            digest: &digest,
            record,
            referrer: Some(ReferrerRecord {
                media_type: String::new(),
                size,
                artifact_type: None,
                annotations: Default::default(),
            }),
            tag: tag.as_deref(),
            lazy: false,
        };
        metadata.commit(commit, &|_: &str| true).await
    }

    async fn push_image(
        &self,
        metadata: &Metadata,
        repository: &str,
        blobs: &[u8],
        tag: Option<u8>,
        claim: &Claim<'_>,
    ) -> Result<(), MetadataError> {
        for blob in blobs {
            self.upload(metadata, repository, *blob, claim).await?;
        }
        let owner = claim.owner.as_ref().unwrap();
        let named = blobs.iter().map(|blob| reference(&blob_bytes(*blob)));
        let bytes = image_bytes(blobs, owner);
        let record = record(&bytes, named.collect(), Vec::new(), metadata.now(), owner);
        self.push(metadata, repository, bytes, record, tag, claim)
            .await
    }

    /// What belongs to the namespace from now on, once nothing is there of the one before. That the rights are gone is
    /// never seen here: the records have to be enough.
    async fn claim(
        &self,
        metadata: &Metadata,
        owner: &Owner,
    ) -> Result<Claim<'static>, MetadataError> {
        metadata.claim(NAMESPACE, owner, &|| ()).await?;
        Ok(Claim {
            owner: Some(owner.clone()),
            good: Box::new(|| true),
        })
    }

    async fn carry_out(
        &self,
        metadata: &Arc<Metadata>,
        job: &Job,
        owner: &Owner,
    ) -> Result<(), MetadataError> {
        match job {
            Job::Push {
                repository,
                blobs,
                tag,
            } => {
                let repository = REPOSITORIES[*repository];
                let claim = self.claim(metadata, owner).await?;
                self.push_image(metadata, repository, blobs, Some(*tag), &claim)
                    .await
            }
            Job::PushIndex {
                repository,
                blob,
                tag,
            } => {
                let repository = REPOSITORIES[*repository];
                let claim = self.claim(metadata, owner).await?;
                self.push_image(metadata, repository, &[*blob], None, &claim)
                    .await?;
                let image = reference(&image_bytes(&[*blob], owner));
                let bytes = index_bytes(*blob, owner);
                let record = record(&bytes, Vec::new(), vec![image], metadata.now(), owner);
                self.push(metadata, repository, bytes, record, Some(*tag), &claim)
                    .await
            }
            Job::DeleteManifest { repository, blobs } => {
                self.deletes.store(true, Ordering::Relaxed);
                let digest = digest::sha256(&image_bytes(blobs, owner));
                let repository = REPOSITORIES[*repository];
                metadata
                    .remove_manifest(repository, &digest, true)
                    .await
                    .map(drop)
            }
            Job::Prune { repository, blobs } => {
                self.deletes.store(true, Ordering::Relaxed);
                let digest = digest::sha256(&image_bytes(blobs, owner));
                let repository = REPOSITORIES[*repository];
                metadata
                    .remove_manifest(repository, &digest, false)
                    .await
                    .map(drop)
            }
            Job::DeleteBlob { repository, blob } => {
                self.deletes.store(true, Ordering::Relaxed);
                let repository = REPOSITORIES[*repository];
                metadata
                    .remove_blob(repository, &blob_digest(*blob))
                    .await
                    .map(drop)
            }
            Job::DeleteTag { repository, tag } => {
                let repository = REPOSITORIES[*repository];
                metadata
                    .remove_tag(repository, &format!("v{tag}"))
                    .await
                    .map(drop)
            }
            Job::Collect => Collector::new(metadata.clone()).run().await.map(drop),
            Job::NextNamespace => {
                self.deletes.store(true, Ordering::Relaxed);
                self.namespace.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Job::Clear => {
                for (name, record) in metadata.owners().await? {
                    if record.owner != self.owner() {
                        metadata.clear(&name, &record.owner).await?;
                    }
                }
                Ok(())
            }
        }
    }

    fn records<T: serde::de::DeserializeOwned>(&self, prefix: &str) -> Vec<(String, T)> {
        let (store, prefix) = (self.store.clone(), prefix.to_owned());
        let list = async move { store.list(&prefix, ListOptions::default()).await };
        let page = list.now_or_never().unwrap().unwrap();
        let parsed = page.entries.iter().map(|entry| {
            let value = parse::<T>(entry).unwrap().value;
            (entry.key.to_string(), value)
        });
        parsed.collect()
    }

    /// What has to hold at every moment: all that a manifest names is there.
    fn check(&self) {
        let blobs = self.records::<BlobRecord>(keys::BLOBS);
        let there = |digest: &Digest| {
            let record = blobs.iter().find(|(key, _)| *key == keys::blob(digest));
            assert!(
                record.is_some_and(|(_, record)| record.deleting.is_none())
                    && self.blobs.has(digest),
                "{digest}: {record:?}, bytes: {}",
                self.blobs.has(digest)
            );
        };
        let manifests = self.records::<ManifestRecord>(keys::MANIFESTS);
        let owners = self.records::<NamespaceRecord>(keys::NAMESPACES);
        let owner = owners.first().map(|(_, record)| record);
        let clearing = owner.is_some_and(|owner| owner.clearing);
        for (key, manifest) in &manifests {
            if !manifest.committed || clearing {
                continue;
            }
            let own = owner.map(|owner| &*owner.owner.uid);
            assert_eq!(own, Some(&*manifest.media_type), "{key}");
            let (repository, digest) = keys::parse_manifest(key).unwrap();
            there(&digest);
            for named in &manifest.blobs {
                there(&named.digest);
            }
            for named in &manifest.manifests {
                let key = keys::manifest(repository, &named.digest);
                // Perhaps hidden for the moment, by a deletion that will see the index.
                assert!(manifests.iter().any(|(other, _)| *other == key), "{key}");
            }
        }
    }

    /// What has to hold when everybody has ended: a tag has its manifest, and a repository what its manifests name.
    fn check_ended(&self) {
        self.check_tags();
        for (key, manifest) in self.records::<ManifestRecord>(keys::MANIFESTS) {
            let (repository, _) = keys::parse_manifest(&key).unwrap();
            for blob in manifest.blobs.iter().filter(|_| manifest.committed) {
                let link = keys::link(&blob.digest, repository);
                let links = self.records::<LinkRecord>(&link);
                let there = links.first().is_some_and(|(_, link)| !link.removed);
                assert!(
                    there,
                    "{key} names a blob that its repository does not have"
                );
            }
        }
    }

    fn check_tags(&self) {
        let manifests = self.records::<ManifestRecord>(keys::MANIFESTS);
        for (key, tag) in self.records::<TagRecord>(keys::TAGS) {
            let (repository, _) = keys::parse_tag(&key).unwrap();
            let manifest = keys::manifest(repository, &tag.digest);
            let found = manifests.iter().find(|(key, _)| *key == manifest);
            assert!(found.is_some_and(|(_, found)| found.committed), "{key}");
        }
    }

    /// What has to hold when everybody has ended or died, and the collector has run after the grace.
    fn check_end(&self) {
        self.check();
        self.check_tags();
        let manifests = self.records::<ManifestRecord>(keys::MANIFESTS);
        let mut named: Vec<Digest> = Vec::new();
        for (key, manifest) in &manifests {
            assert!(manifest.committed, "{key} is left over");
            let (repository, digest) = keys::parse_manifest(key).unwrap();
            named.push(digest);
            for blob in &manifest.blobs {
                named.push(blob.digest.clone());
                let link = keys::link(&blob.digest, repository);
                let links = self.records::<LinkRecord>(&link);
                assert_eq!(
                    links.len(),
                    1,
                    "{key} names a blob that its repository does not have"
                );
            }
        }
        for (key, _) in self.records::<ReferrerRecord>(keys::REFERRERS) {
            let (repository, _, digest) = keys::parse_referrer(&key).unwrap();
            let manifest = keys::manifest(repository, &digest);
            assert!(manifests.iter().any(|(key, _)| *key == manifest), "{key}");
        }
        for (key, _) in self.records::<BlobRecord>(keys::BLOBS) {
            let digest = keys::parse_blob(&key).unwrap();
            assert!(named.contains(&digest), "nothing names {digest}");
        }
        for digest in self.blobs.content.lock().keys() {
            assert!(
                named.iter().any(|named| named.as_ref() == digest),
                "bytes of {digest}"
            );
        }
        assert!(self.blobs.uploads.lock().is_empty());
    }

    fn finish(&self, mut task: Task) {
        for _ in 0..100_000 {
            if let Some(result) = advance(&mut task) {
                result.unwrap();
                return;
            }
        }
        panic!("a task does not end");
    }
}

/// A push that died, or a deletion, leaves a manifest that is hidden. That holds nobody up who takes away the rest.
#[test]
fn what_died_in_a_namespace_goes_with_it() {
    let world = World::new();
    let manifests = || world.records::<ManifestRecord>(keys::MANIFESTS);
    let mut push = world.start(Job::Push {
        repository: 0,
        blobs: vec![1],
        tag: 0,
    });
    while manifests().is_empty() {
        assert!(advance(&mut push).is_none());
    }
    drop(push);
    assert!(!manifests()[0].1.committed);
    world.finish(world.start(Job::NextNamespace));
    world.finish(world.start(Job::Clear));
    assert!(manifests().is_empty());
    assert!(
        world
            .records::<NamespaceRecord>(keys::NAMESPACES)
            .is_empty()
    );
}

#[test]
fn a_deletion_that_died_leaves_no_tag_at_nothing_and_can_be_made_again() {
    let delete = Job::DeleteManifest {
        repository: 0,
        blobs: vec![1],
    };
    for steps in 1.. {
        let world = World::new();
        world.finish(world.start(Job::Push {
            repository: 0,
            blobs: vec![1],
            tag: 0,
        }));
        let mut deletion = world.start(delete.clone());
        let ended = (0..steps).any(|_| advance(&mut deletion).is_some());
        drop(deletion);
        world.check_tags();
        world.finish(world.start(delete.clone()));
        assert!(world.records::<ManifestRecord>(keys::MANIFESTS).is_empty());
        world.finish(world.start(Job::DeleteBlob {
            repository: 0,
            blob: 1,
        }));
        let links = world.records::<LinkRecord>(keys::LINKS);
        assert!(links.iter().all(|(_, link)| link.removed), "{links:?}");
        if ended {
            return;
        }
    }
}

/// As many as there is time for: `PROPTEST_CASES` says otherwise.
fn config() -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: told.and_then(|cases| cases.parse().ok()).unwrap_or(1_000),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_a_manifest_names_is_there_and_all_else_goes(
        happenings in proptest::collection::vec(happening(), 1..120)
    ) {
        let world = World::new();
        let mut tasks: Vec<Task> = Vec::new();
        let mut died = false;
        for happening in happenings {
            match happening {
                Happening::Starts(job) => tasks.push(world.start(job)),
                Happening::Runs { who, steps } if !tasks.is_empty() => {
                    let who = who % tasks.len();
                    for _ in 0..steps {
                        let ended = advance(&mut tasks[who]);
                        world.check();
                        if let Some(result) = ended {
                            drop(tasks.swap_remove(who));
                            result.unwrap();
                            break;
                        }
                    }
                }
                Happening::Dies { who } if !tasks.is_empty() => {
                    died = true;
                    let who = who % tasks.len();
                    drop(tasks.swap_remove(who));
                }
                Happening::Passes { seconds } => {
                    world.clock.0.fetch_add(seconds, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        // Nobody is left alone with a clock that stands still, except by death.
        while !tasks.is_empty() {
            let mut who = 0;
            while who < tasks.len() {
                match advance(&mut tasks[who]) {
                    Some(result) => {
                        drop(tasks.swap_remove(who));
                        result.unwrap();
                    }
                    None => who += 1,
                }
                world.check();
            }
        }
        world.finish(world.start(Job::Clear));
        if !died {
            world.check_ended();
        }
        for _ in 0..4 {
            world.clock.0.fetch_add(2_000, Ordering::Relaxed);
            world.finish(world.start(Job::Collect));
        }
        world.check_end();
    }
}
