//! Pulling, pushing and deleting manifests (distribution-spec: end-3, end-7, end-9).

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use mosaic_image::document::{DEPTH_MAX, SIZE_MAX};
use mosaic_image::{Descriptor, Digest, Document, DocumentKind, Hasher, Reference};

use super::blobs::named_by;
use super::body::{answer, collect, empty, stream};
use super::error::{ApiError, Code};
use super::route::parameters;
use super::{Answer, CONTENT_DIGEST, Call, set};
use crate::access::{Action, namespace};
use crate::blobs::ByteStream;
use crate::metadata::record::{self, ManifestRecord, ReferrerRecord, TagRecord};
use crate::metadata::{Commit, Removed, Source, Stored};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The most bytes of annotations of a manifest that refers to another: they are in the list of referrers.
const ANNOTATIONS_MAX: usize = 64 << 10;
/// The most tags that one push sets.
const TAGS_MAX: usize = 10;

impl Call<'_> {
    fn manifest_unknown(&self, reference: impl std::fmt::Display) -> ApiError {
        let message = format!("there is no manifest {reference} in {}", self.repository);
        ApiError::missing(Code::ManifestUnknown, message)
    }

    /// The tag or digest that is written in a path. By what is neither there is no manifest, and there will be none.
    pub(super) fn reference(&self, text: &str) -> Result<Reference, ApiError> {
        text.parse().map_err(|_| {
            if self.head.method != Method::PUT {
                return self.manifest_unknown(text);
            }
            let (code, what) = match text.contains(':') {
                true => (Code::DigestInvalid, "digest"),
                false => (Code::TagInvalid, "tag"),
            };
            ApiError::bad(code, format_args!("{text:?} is not a {what}"))
        })
    }

    /// `GET` and `HEAD`. What is stored is given, whatever the client would rather have: conversions would have another
    /// digest, and clients look at the type of what they get.
    pub(super) async fn get_manifest(&self, reference: &Reference) -> Answer {
        let warning = self.fetch_manifest(reference).await?;
        let metadata = &self.registry.0.metadata;
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => {
                let tag = tag.as_str();
                let stored = metadata.tag(self.repository, tag).await?;
                let stored = stored.ok_or_else(|| self.manifest_unknown(tag))?;
                let digest = stored.value.digest.clone();
                if !self.is_head() {
                    self.note_pull(tag, stored);
                }
                digest
            }
        };
        let manifest = metadata.manifest(self.repository, &digest).await?;
        let manifest = manifest.ok_or_else(|| self.manifest_unknown(&digest))?;
        let mut response = if self.is_current(&digest) {
            answer(StatusCode::NOT_MODIFIED, empty())
        } else if self.is_head() {
            answer(StatusCode::OK, empty())
        } else {
            let read = self.registry.0.blobs.read(&digest, 0..u64::MAX).await?;
            let (_, bytes) = read.ok_or_else(|| self.manifest_unknown(&digest))?;
            answer(StatusCode::OK, stream(bytes))
        };
        Self::describe(&mut response, &digest, &manifest.media_type);
        let headers = response.headers_mut();
        if let Some(warning) = warning {
            headers.insert(header::WARNING, HeaderValue::from_static(warning));
        }
        if response.status() == StatusCode::OK {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, manifest.size.into());
        }
        Ok(response)
    }

    /// Notes a pull, without the client waiting for that.
    fn note_pull(&self, tag: &str, stored: Stored<TagRecord>) {
        let metadata = self.registry.0.metadata.clone();
        let (repository, tag) = (self.repository.to_owned(), tag.to_owned());
        tokio::spawn(async move { metadata.note_pull(&repository, &tag, &stored).await });
    }

    pub(super) async fn put_manifest(&self, reference: Reference, body: ByteStream) -> Answer {
        self.refuse_mirror()?;
        let rooms = &self.registry.0.manifest_rooms;
        let (bytes, places) = collect(body, SIZE_MAX, rooms, namespace(self.repository)).await?;
        let document = Document::parse(self.header(header::CONTENT_TYPE), bytes)?;
        let (digest, tags) = self.pushed_as(reference, &document)?;
        self.check_children(&document).await?;
        let record = self.registry.record(self.repository, &document).await?;
        let referrer = referrer(&document)?;
        let admitted = self.registry.admit(self.repository, &digest, &record);
        let turn = admitted.await?;
        let source = Source::Bytes(document.bytes());
        let metadata = &self.registry.0.metadata;
        metadata.keep(&digest, record.size, source, None).await?;
        let readable = |repository: &str| self.may(Action::Pull, repository);
        let claim = self.claim(Action::Push);
        let targets: Vec<Option<&str>> = match tags.as_slice() {
            [] => vec![None],
            tags => tags.iter().map(|tag| Some(tag.as_str())).collect(),
        };
        for tag in targets {
            let commit = Commit {
                repository: self.repository,
                claim: &claim,
                digest: &digest,
                record: record.clone(),
                referrer: referrer.clone(),
                tag,
                lazy: false,
            };
            metadata.commit(commit, &readable).await?;
        }
        if let Some(turn) = turn {
            turn.end(&record);
        }
        drop(places);
        let mut response = answer(StatusCode::CREATED, empty());
        let location = self.location(format_args!("manifests/{digest}"));
        set(&mut response, header::LOCATION, &location);
        set(&mut response, CONTENT_DIGEST, digest.as_ref());
        if let Some(subject) = &record.subject {
            set(&mut response, OCI_SUBJECT, subject.as_ref());
        }
        for tag in &tags {
            if let Ok(tag) = HeaderValue::from_str(tag) {
                response.headers_mut().append(OCI_TAG, tag);
            }
        }
        Ok(response)
    }

    /// Refuses an index that says something else of a manifest than what it is: others would take it for damaged.
    async fn check_children(&self, index: &Document) -> Result<(), ApiError> {
        for named in index.manifests() {
            let (repository, digest) = (self.repository, named.digest());
            let kept = self
                .registry
                .0
                .metadata
                .manifest(repository, digest)
                .await?;
            // What is not there is refused where the index is committed.
            let Some(kept) = kept else { continue };
            if kept.size != named.size() || kept.media_type != named.media_type().as_ref() {
                let message = format!(
                    "{digest} is {} of {} bytes, not {} of {}",
                    kept.media_type,
                    kept.size,
                    named.media_type(),
                    named.size()
                );
                return Err(ApiError::bad(Code::ManifestInvalid, message));
            }
        }
        Ok(())
    }

    /// The digest and the tags that a document is pushed by.
    fn pushed_as(
        &self,
        reference: Reference,
        document: &Document,
    ) -> Result<(Digest, Vec<String>), ApiError> {
        match reference {
            Reference::Tag(tag) => Ok((document.digest().clone(), vec![tag.to_string()])),
            Reference::Digest(digest) => {
                let mut hasher = Hasher::new(digest.algorithm())?;
                hasher.update(document.bytes());
                if hasher.finish() != digest {
                    let message = format!("the manifest's digest is not {digest}");
                    return Err(ApiError::bad(Code::DigestInvalid, message));
                }
                let tags: Vec<String> = parameters(self.head.uri.query(), "tag").collect();
                if tags.len() > TAGS_MAX {
                    let message = format!("a push sets at most {TAGS_MAX} tags");
                    return Err(ApiError::bad(Code::TagInvalid, message));
                }
                for tag in &tags {
                    let valid = tag.parse::<mosaic_image::Tag>();
                    valid.map_err(|error| ApiError::bad(Code::TagInvalid, error))?;
                }
                Ok((digest, tags))
            }
        }
    }

    pub(super) async fn delete_manifest(&self, reference: Reference) -> Answer {
        let metadata = &self.registry.0.metadata;
        let digest = match reference {
            Reference::Tag(tag) => {
                return match metadata.remove_tag(self.repository, tag.as_str()).await? {
                    true => Ok(answer(StatusCode::ACCEPTED, empty())),
                    false => Err(self.manifest_unknown(tag)),
                };
            }
            Reference::Digest(digest) => digest,
        };
        match metadata
            .remove_manifest(self.repository, &digest, true)
            .await?
        {
            Removed::Done => Ok(answer(StatusCode::ACCEPTED, empty())),
            Removed::Absent => Err(self.manifest_unknown(digest)),
            Removed::NamedBy(index) => Err(named_by(&digest, &index)),
            // Its tags would have gone with it.
            Removed::Tagged => Err(self.manifest_unknown(digest)),
        }
    }
}

impl crate::registry::Registry {
    /// What is remembered of a document in a repository.
    pub(crate) async fn record(
        &self,
        repository: &str,
        document: &Document,
    ) -> Result<ManifestRecord, ApiError> {
        let size = document.bytes().len() as u64;
        let mut record = ManifestRecord {
            media_type: document.media_type().to_string(),
            size,
            blobs: references(document.blobs()),
            manifests: references(document.manifests().iter()),
            subject: document.subject().map(|subject| subject.digest().clone()),
            artifact_type: document.artifact_type().map(str::to_owned),
            layers: document.layers().len() as u32,
            total: document.content_size().saturating_add(size),
            depth: 0,
            pushed: self.0.metadata.now(),
            committed: true,
        };
        if document.kind() == DocumentKind::Index {
            record.total = size;
            record.depth = 1;
            for named in &record.manifests {
                let named = self.0.metadata.manifest(repository, &named.digest).await?;
                let Some(named) = named else { continue };
                record.total = record.total.saturating_add(named.total);
                record.layers = record.layers.max(named.layers);
                record.depth = record.depth.max(named.depth.saturating_add(1));
            }
        }
        if usize::from(record.depth) > DEPTH_MAX {
            let message = format!("indexes are nested deeper than {DEPTH_MAX}");
            return Err(ApiError::bad(Code::ManifestInvalid, message));
        }
        Ok(record)
    }
}

fn references<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<record::Reference> {
    let unique: BTreeMap<(String, u64), Digest> = descriptors
        .map(|named| {
            let digest = named.digest().clone();
            ((digest.to_string(), named.size()), digest)
        })
        .collect();
    unique
        .into_iter()
        .map(|((_, size), digest)| record::Reference { digest, size })
        .collect()
}

/// What the list of referrers shows of a document that refers to another (distribution-spec, "Listing Referrers").
pub(crate) fn referrer(document: &Document) -> Result<Option<ReferrerRecord>, ApiError> {
    if document.subject().is_none() {
        return Ok(None);
    }
    let annotations = document.annotations();
    // As they stand in the record, where a character may take six.
    let length = serde_json::to_string(annotations).map_or(usize::MAX, |text| text.len());
    if length > ANNOTATIONS_MAX {
        let message = format!("a referrer has more than {ANNOTATIONS_MAX} bytes of annotations");
        return Err(ApiError::bad(Code::ManifestInvalid, message));
    }
    Ok(Some(ReferrerRecord {
        media_type: document.media_type().to_string(),
        size: document.bytes().len() as u64,
        artifact_type: document.artifact_type().map(str::to_owned),
        annotations: annotations.clone(),
    }))
}

/// Says that a client got what the upstream may have replaced.
pub(crate) const STALE: &str = "110 - \"the upstream cannot be reached; this is what was cached\"";
