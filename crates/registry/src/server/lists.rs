//! Lists (distribution-spec, "Listing Tags": end-8; "Listing Referrers": end-12) and Docker's catalog.

use futures::TryStreamExt;
use http::request::Parts as Head;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use mosaic_image::{Digest, media};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

use super::body::{Body, answer, full};
use super::error::{ApiError, Code};
use super::{Answer, Call, method_not_allowed, set};
use crate::access::{Action, Decision, Identity};
use crate::metadata::record::{ReferrerRecord, RepositoryRecord};
use crate::metadata::{PAGE, keys, parse};
use crate::registry::Registry;
use crate::server::route::parameter;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The most tags of one answer.
const TAGS_MAX: usize = 10_000;
/// The most referrers of one answer, and the bytes after which it ends.
const REFERRERS_MAX: usize = 1_000;
const REFERRERS_BYTES: usize = 2 << 20;
/// What stands for itself in a parameter of a link.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn json_answer(body: &serde_json::Value) -> Response<Body> {
    let mut response = answer(StatusCode::OK, full(body.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// How many entries were asked for, at most `most`.
fn wanted(query: Option<&str>, most: usize) -> Result<usize, ApiError> {
    let Some(text) = parameter(query, "n") else {
        return Ok(most);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        let message = format!("n is not a number: {text:?}");
        return Err(ApiError::bad(Code::PaginationNumberInvalid, message));
    }
    Ok(text.parse().unwrap_or(most).min(most))
}

/// The link to the rest of a list (RFC 5988).
fn next(path: &str, n: usize, last: &str, more: &str) -> String {
    let last = utf8_percent_encode(last, PARAMETER);
    format!("<{path}?n={n}&last={last}{more}>; rel=\"next\"")
}

impl Call<'_> {
    /// Takes away what no tag leads to; with `dryRun=true` only tells what that is.
    pub(super) async fn prune(&self) -> Answer {
        self.refuse_mirror()?;
        let dry_run = self.query("dryRun").is_some_and(|text| text == "true");
        let pruned = self.registry.prune(self.repository, dry_run).await?;
        let digests: Vec<&str> = pruned.iter().map(AsRef::as_ref).collect();
        Ok(json_answer(&json!({ "digests": digests })))
    }

    pub(super) async fn tags(&self) -> Answer {
        let metadata = &self.registry.0.metadata;
        let n = wanted(self.head.uri.query(), TAGS_MAX)?;
        let prefix = keys::tags(self.repository);
        let after = self
            .query("last")
            .map(|last| keys::tag(self.repository, &last).into());
        let (mut tags, mut more) = (Vec::new(), false);
        let mut entries = metadata.entries(&prefix, after, PAGE.min(n + 1));
        while n > 0
            && let Some(entry) = entries.try_next().await?
        {
            if tags.len() == n {
                more = true;
                break;
            }
            tags.extend(keys::parse_tag(&entry.key).map(|(_, tag)| tag.to_owned()));
        }
        if tags.is_empty() {
            let key = keys::repository(self.repository);
            if metadata.get::<RepositoryRecord>(&key).await?.is_none() {
                let message = format!("there is no repository {}", self.repository);
                return Err(ApiError::missing(Code::NameUnknown, message));
            }
        }
        let mut response = json_answer(&json!({ "name": self.repository, "tags": tags }));
        if let Some(last) = tags.last().filter(|_| more) {
            let path = self.location(format_args!("tags/list"));
            set(&mut response, header::LINK, &next(&path, n, last, ""));
        }
        Ok(response)
    }

    pub(super) async fn referrers(&self, subject: &Digest) -> Answer {
        let metadata = &self.registry.0.metadata;
        let filter = self
            .query("artifactType")
            .filter(|filter| !filter.is_empty());
        let n = wanted(self.head.uri.query(), REFERRERS_MAX)?.max(1);
        let prefix = keys::referrers(self.repository, subject);
        let after = self
            .query("last")
            .map(|last| format!("{prefix}{last}").into());
        let (mut shown, mut bytes) = (Vec::new(), 0);
        let (mut last, mut more) = (None, false);
        let mut entries = metadata.entries(&prefix, after, PAGE);
        while let Some(entry) = entries.try_next().await? {
            let Some((_, _, digest)) = keys::parse_referrer(&entry.key) else {
                continue;
            };
            let referrer = parse::<ReferrerRecord>(&entry)?.value;
            if filter.is_some() && filter != referrer.artifact_type {
                continue;
            }
            // One is always shown: a list that is empty is at its end.
            let full = bytes + entry.value.len() > REFERRERS_BYTES && !shown.is_empty();
            if shown.len() >= n || full {
                more = true;
                break;
            }
            bytes += entry.value.len();
            last = Some(digest.to_string());
            shown.push(json!(Shown {
                digest: &digest,
                referrer: &referrer
            }));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_INDEX,
            "manifests": shown,
        });
        let mut response = json_answer(&index);
        set(&mut response, header::CONTENT_TYPE, media::OCI_INDEX);
        if filter.is_some() {
            set(&mut response, FILTERS_APPLIED, "artifactType");
        }
        if let Some(last) = last.filter(|_| more) {
            let path = self.location(format_args!("referrers/{subject}"));
            let more = filter.map_or_else(String::new, |filter| {
                format!("&artifactType={}", utf8_percent_encode(&filter, PARAMETER))
            });
            set(&mut response, header::LINK, &next(&path, n, &last, &more));
        }
        Ok(response)
    }
}

/// A descriptor in a list of referrers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    digest: &'a Digest,
    #[serde(flatten)]
    referrer: &'a ReferrerRecord,
}

impl Registry {
    /// Docker's list of repositories: those that the caller may pull from.
    pub(super) async fn catalog(&self, head: &Head, who: &Identity) -> Answer {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(method_not_allowed());
        }
        // Before the list is gone through: whoever said nothing may see a part of it only where all may be pulled so.
        let open = self.0.access.may(who, Action::Pull, "") == Decision::Allow;
        if who.name.is_none() && !open {
            return Err(self.unauthorized(head, None, "authentication required"));
        }
        let query = head.uri.query();
        let n = wanted(query, PAGE)?;
        let after = parameter(query, "last").map(|last| keys::repository(&last).into());
        let (mut names, mut more): (Vec<String>, bool) = (Vec::new(), false);
        let mut entries = self.0.metadata.entries(keys::REPOSITORIES, after, PAGE);
        while n > 0
            && let Some(entry) = entries.try_next().await?
        {
            let Some(name) = entry.key.strip_prefix(keys::REPOSITORIES) else {
                continue;
            };
            if self.0.access.may(who, Action::Pull, name) != Decision::Allow {
                continue;
            }
            if names.len() == n {
                more = true;
                break;
            }
            names.push(name.to_owned());
        }
        let mut response = json_answer(&json!({ "repositories": names }));
        if let Some(last) = names.last().filter(|_| more) {
            set(
                &mut response,
                header::LINK,
                &next("/v2/_catalog", n, last, ""),
            );
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use http::Request;
    use http_body_util::{BodyExt, Empty};
    use mosaic_image::digest;
    use mosaic_store::{Expect, Memory};

    use super::*;
    use crate::{AllowAll, Disk, Settings};

    #[tokio::test]
    async fn a_referrer_that_is_longer_than_a_page_hides_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(directory.path()).unwrap());
        let store = Arc::new(Memory::new());
        let registry = Registry::new(store, disk, Arc::new(AllowAll), Settings::default());
        let subject = digest::sha256(b"subject");
        let mut digests: Vec<Digest> = (0..3u8).map(|n| digest::sha256(&[n])).collect();
        digests.sort_by_key(ToString::to_string);
        for (number, digest) in digests.iter().enumerate() {
            let length = if number == 0 { 3 << 20 } else { 3 };
            let referrer = ReferrerRecord {
                media_type: media::OCI_MANIFEST.into(),
                size: 1,
                artifact_type: Some("a".repeat(length)),
                annotations: BTreeMap::new(),
            };
            let key = keys::referrer("r", &subject, digest);
            let put = registry.0.metadata.put(&key, Expect::Absent, &referrer);
            assert!(put.await.unwrap());
        }
        let mut path = format!("/v2/r/referrers/{subject}");
        let mut shown = Vec::new();
        loop {
            let request = Request::get(&path).body(Empty::<bytes::Bytes>::new());
            let who = Identity::anonymous();
            let answer = registry.handle(request.unwrap(), &who).await;
            let link = answer.headers().get(header::LINK).cloned();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let list: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let listed = list["manifests"].as_array().unwrap().iter();
            shown.extend(listed.map(|one| one["digest"].as_str().unwrap().to_owned()));
            let Some(link) = link else { break };
            let link = link.to_str().unwrap();
            path = link[1..link.find('>').unwrap()].to_owned();
        }
        let all: Vec<String> = digests.iter().map(ToString::to_string).collect();
        assert_eq!(shown, all);
    }
}
