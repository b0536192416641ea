//! A registry, as its client (OCI distribution-spec 1.1).
//!
//! One [`Remote`] talks to all registries: which one is in each name. What comes from them is read no further than it
//! may be long, a download that broke off goes on where it was, and credentials go to their own registry only.

mod auth;
mod body;
mod http;
mod lists;

use std::sync::Arc;

use ::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use reqwest::{Response, Url};

pub use auth::{ConfigFileError, Credentials, Keyring};
use http::{Action, Http, SharedHttp, Target, bounded, request};

use crate::digest::{self, Digest};
use crate::document::{self, Descriptor, Document};
use crate::media;
use crate::name::{Name, Reference};
use crate::place::{As, Body, Listed, Place, PlaceError};
use crate::store::broken_body;

/// Which registries are spoken to without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Plain {
    /// Those on this machine, if they do not speak TLS.
    #[default]
    Loopback,
    /// All but Docker's own, where names without a registry lead in the end.
    All,
}

/// How registries are spoken to.
#[derive(Debug, Clone, Default)]
pub struct RemoteOptions {
    /// Who one is for them.
    pub keyring: Keyring,
    /// Certificates of authorities to be trusted, in PEM.
    pub authorities: Vec<String>,
    /// Which are spoken to without TLS.
    pub plain: Plain,
    /// The registry whose repositories are listed when no repository is named.
    pub home: Option<String>,
}

/// A client of registries.
#[derive(Clone)]
pub struct Remote {
    http: SharedHttp,
    home: Option<String>,
}

impl Remote {
    /// A client. TLS is done with ring's provider, which is installed if the process has none.
    ///
    /// # Errors
    ///
    /// When the authorities' certificates cannot be read.
    pub fn new(options: RemoteOptions) -> Result<Self, PlaceError> {
        let home = options.home.clone();
        Ok(Self {
            http: Arc::new(Http::new(options)?),
            home,
        })
    }

    fn target(
        &self,
        name: &Name,
        action: Action,
        step: &'static str,
        object: impl ToString,
    ) -> Target {
        let name = name.normal();
        Target {
            registry: name.registry().unwrap_or_default().to_owned(),
            repository: Some(name.repository().clone()),
            action,
            step,
            object: format!("{} of {}", object.to_string(), without_reference(&name)),
        }
    }

    async fn url(&self, target: &Target, end: &str) -> Result<Url, PlaceError> {
        let base = self.http.base(target).await?;
        let path = match &target.repository {
            Some(repository) => format!("{repository}/{end}"),
            None => end.to_owned(),
        };
        base.join(&path).map_err(|error| {
            PlaceError::Unfit(format!("{path} at {} is no URL: {error}", target.registry))
        })
    }

    async fn ask(
        &self,
        target: &Target,
        method: &Method,
        url: &Url,
        headers: &[(::http::HeaderName, String)],
    ) -> Result<Response, PlaceError> {
        self.http
            .send(target, |client| {
                headers
                    .iter()
                    .fold(request(client, method, url), |request, (key, value)| {
                        request.header(key, value)
                    })
            })
            .await
    }

    async fn manifest(
        &self,
        name: &Name,
        reference: &str,
    ) -> Result<Option<(Option<String>, bytes::Bytes)>, PlaceError> {
        let target = self.target(name, Action::Pull, "get manifest", reference);
        let url = self.url(&target, &format!("manifests/{reference}")).await?;
        let accept = [(ACCEPT, media::DOCUMENTS.join(", "))];
        let answer = self.ask(&target, &Method::GET, &url, &accept).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(target.refused(answer).await),
        }
        // Anything else is the word of a server that does not know what it serves.
        let media_type = text(answer.headers(), &CONTENT_TYPE).filter(|media_type| {
            let media_type = media_type.split(';').next().unwrap_or_default().trim();
            media::document_kind(media_type).is_some() || media::is_schema_1(media_type)
        });
        let bytes = bounded(&target, answer, document::SIZE_MAX).await?;
        Ok(Some((media_type, bytes)))
    }

    /// Begins an upload, or mounts: the place to upload to, none if the blob is there now.
    async fn begin(
        &self,
        target: &Target,
        query: &[(&str, &str)],
    ) -> Result<Option<Url>, PlaceError> {
        let mut url = self.url(target, "blobs/uploads/").await?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let length = [(CONTENT_LENGTH, "0".to_owned())];
        let answer = self.ask(target, &Method::POST, &url, &length).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => location(target, &url, answer.headers()).map(Some),
            _ => Err(target.refused(answer).await),
        }
    }

    /// Gives an upload up, so that the registry need not wait for its end. It may go wrong: the registry's own expiry is
    /// there for that.
    async fn cancel(&self, target: &Target, upload: &Url) {
        let _ = self.ask(target, &Method::DELETE, upload, &[]).await;
    }

    async fn upload(
        &self,
        target: &Target,
        upload: &Url,
        descriptor: &Descriptor,
        body: Body,
    ) -> Result<(), PlaceError> {
        let mut url = upload.clone();
        url.query_pairs_mut()
            .append_pair("digest", descriptor.digest().as_ref());
        let (body, broken) = body::sent(body);
        let answer = self
            .http
            .send_body(target, |client| {
                request(client, &Method::PUT, &url)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .header(CONTENT_LENGTH, descriptor.size())
                    .body(reqwest::Body::wrap_stream(body))
            })
            .await;
        // What the source said is the cause, whatever it looked like from here.
        if let Some(error) = broken.take() {
            return Err(broken_body(descriptor, error));
        }
        let answer = answer?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            StatusCode::UNAUTHORIZED => Err(PlaceError::Unreachable {
                step: target.step,
                object: target.object.clone(),
                reason: "the token ended meanwhile".to_owned(),
            }),
            _ => Err(target.refused(answer).await),
        }
    }

    async fn put_manifest(
        &self,
        name: &Name,
        reference: &Reference,
        document: &Document,
    ) -> Result<HeaderMap, PlaceError> {
        let target = self.target(name, Action::Push, "put manifest", reference);
        let url = self.url(&target, &format!("manifests/{reference}")).await?;
        let answer = self
            .http
            .send(&target, |client| {
                request(client, &Method::PUT, &url)
                    .header(CONTENT_TYPE, document.media_type().as_ref())
                    .body(document.bytes().clone())
            })
            .await?;
        if answer.status() == StatusCode::CREATED {
            Ok(answer.headers().clone())
        } else {
            Err(target.refused(answer).await)
        }
    }
}

fn without_reference(name: &Name) -> String {
    format!(
        "{}/{}",
        name.registry().unwrap_or_default(),
        name.repository()
    )
}

fn text(headers: &HeaderMap, key: &::http::HeaderName) -> Option<String> {
    headers.get(key)?.to_str().ok().map(ToOwned::to_owned)
}

fn location(target: &Target, asked: &Url, headers: &HeaderMap) -> Result<Url, PlaceError> {
    let wrong = || {
        PlaceError::Unfit(format!(
            "cannot {} {}: the registry does not say where to",
            target.step, target.object
        ))
    };
    let text = text(headers, &LOCATION).ok_or_else(wrong)?;
    let url = asked.join(&text).map_err(|_error| wrong())?;
    // Bytes that went by TLS so far do not go without.
    let secure = url.scheme() == "https" || (url.scheme() == "http" && asked.scheme() == "http");
    if secure { Ok(url) } else { Err(wrong()) }
}

#[async_trait]
impl Place for Remote {
    fn describe(&self) -> String {
        self.home
            .clone()
            .unwrap_or_else(|| "the registry".to_owned())
    }

    async fn resolve(&self, name: &Name) -> Result<Option<Document>, PlaceError> {
        let name = name.normal();
        let reference = name.reference();
        let Some((media_type, bytes)) = self.manifest(&name, &reference.to_string()).await? else {
            return Ok(None);
        };
        let wrong = |source| PlaceError::Document {
            name: name.to_string(),
            source,
        };
        let document = Document::parse(media_type.as_deref(), bytes).map_err(wrong)?;
        match reference {
            Reference::Tag(_) => Ok(Some(document)),
            Reference::Digest(digest) => {
                let size = document.bytes().len() as u64;
                let asked = Descriptor::new(document.media_type().clone(), size, digest);
                Document::parse_as(&asked, document.bytes().clone())
                    .map(Some)
                    .map_err(wrong)
            }
        }
    }

    async fn document(&self, name: &Name, descriptor: &Descriptor) -> Result<Document, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let reference = descriptor.digest().to_string();
        let (_, bytes) =
            self.manifest(name, &reference)
                .await?
                .ok_or_else(|| PlaceError::NotFound {
                    what: reference.clone(),
                    place: without_reference(&name.normal()),
                })?;
        Document::parse_as(descriptor, bytes).map_err(|source| PlaceError::Document {
            name: reference,
            source,
        })
    }

    async fn read(&self, name: &Name, descriptor: &Descriptor) -> Result<Body, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let target = self.target(name, Action::Pull, "get blob", descriptor.digest());
        let url = self
            .url(&target, &format!("blobs/{}", descriptor.digest()))
            .await?;
        body::download(Arc::clone(&self.http), target, url, descriptor.size()).await
    }

    async fn has(&self, name: &Name, descriptor: &Descriptor) -> Result<bool, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        // Only who writes asks; so one token does for all that follows.
        let target = self.target(name, Action::Push, "look for blob", descriptor.digest());
        let url = self
            .url(&target, &format!("blobs/{}", descriptor.digest()))
            .await?;
        let answer = self.ask(&target, &Method::HEAD, &url, &[]).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(target.refused(answer).await),
        }
    }

    async fn write(
        &self,
        name: &Name,
        descriptor: &Descriptor,
        body: Body,
    ) -> Result<(), PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let target = self.target(name, Action::Push, "put blob", descriptor.digest());
        let Some(upload) = self.begin(&target, &[]).await? else {
            return Ok(());
        };
        let written = self.upload(&target, &upload, descriptor, body).await;
        if written.is_err() {
            self.cancel(&target, &upload).await;
        }
        written
    }

    async fn mount(
        &self,
        name: &Name,
        from: &Name,
        descriptor: &Descriptor,
    ) -> Result<bool, PlaceError> {
        let (to, from) = (name.normal(), from.normal());
        if to.registry() != from.registry() || to.repository() == from.repository() {
            return Ok(false);
        }
        let target = self.target(name, Action::Push, "mount blob", descriptor.digest());
        let query = [
            ("mount", descriptor.digest().as_ref()),
            ("from", from.repository().as_str()),
        ];
        match self.begin(&target, &query).await {
            Ok(None) => Ok(true),
            Ok(Some(upload)) => {
                self.cancel(&target, &upload).await;
                Ok(false)
            }
            // Whoever may not read there can still send the bytes.
            Err(PlaceError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, name: &Name, document: &Document, role: As) -> Result<(), PlaceError> {
        let reference = match (role, name.tag()) {
            (As::Root, Some(tag)) => Reference::Tag(tag.clone()),
            (As::Root, None) if name.digest().is_none() => name.reference(),
            _ => Reference::Digest(document.digest().clone()),
        };
        let headers = self.put_manifest(name, &reference, document).await?;
        match document.subject() {
            Some(subject) if !headers.contains_key("oci-subject") => {
                self.tag_referrer(name, subject.digest(), document).await
            }
            _ => Ok(()),
        }
    }

    async fn list(&self, within: Option<&Name>) -> Result<Vec<Listed>, PlaceError> {
        match (within, &self.home) {
            (Some(name), _) => self.tags(name).await,
            (None, Some(home)) => self.all_tags(home).await,
            (None, None) => Err(PlaceError::Unfit(
                "which registry, or which repository, shall be listed?".to_owned(),
            )),
        }
    }

    async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PlaceError> {
        self.all_referrers(name, digest, artifact_type).await
    }

    async fn delete(&self, name: &Name) -> Result<bool, PlaceError> {
        let reference = name.reference();
        let target = self.target(name, Action::Delete, "delete", &reference);
        let url = self.url(&target, &format!("manifests/{reference}")).await?;
        let answer = self.ask(&target, &Method::DELETE, &url, &[]).await?;
        match answer.status() {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(target.refused(answer).await),
        }
    }
}
