//! What registries have, page by page: repositories, tags, and what refers to a document.

use ::http::header::LINK;
use ::http::{Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;

use super::http::{Action, Target, bounded};
use super::{Remote, text};
use crate::digest::Digest;
use crate::document::{Descriptor, Document};
use crate::media;
use crate::name::{Name, Reference, Repository};
use crate::place::{Listed, PlaceError};
use crate::store::{canonical, is_of_type, referrer};

/// How many names are asked for at once, and how often; more are not listed.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 100;
/// The longest page of a list, in bytes.
const PAGE_MAX: usize = 4 << 20;

impl Remote {
    /// Where registries that know no referrers have them (distribution-spec, "Referrers Tag Schema").
    async fn tagged_referrers(
        &self,
        name: &Name,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, PlaceError> {
        let found = self.manifest(name, &referrers_tag(subject)).await?;
        let Some((media_type, bytes)) = found else {
            return Ok(Vec::new());
        };
        Document::parse(media_type.as_deref(), bytes)
            .map(|index| index.manifests().to_vec())
            .map_err(|source| PlaceError::Document {
                name: referrers_tag(subject),
                source,
            })
    }

    pub(super) async fn tag_referrer(
        &self,
        name: &Name,
        subject: &Digest,
        document: &Document,
    ) -> Result<(), PlaceError> {
        let mut manifests = self.tagged_referrers(name, subject).await?;
        if manifests
            .iter()
            .any(|one| one.digest() == document.digest())
        {
            return Ok(());
        }
        manifests.push(referrer(document));
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests,
        });
        let wrong =
            |reason: String| PlaceError::Unfit(format!("the referrers of {subject}: {reason}"));
        let bytes = canonical(&index).map_err(|error| wrong(error.to_string()))?;
        let index = Document::parse(None, bytes).map_err(|error| wrong(error.to_string()))?;
        let tag = referrers_tag(subject)
            .parse()
            .map_err(|_error| wrong("no tag can be made of that digest".to_owned()))?;
        self.put_manifest(name, &Reference::Tag(tag), &index)
            .await
            .map(drop)
    }

    /// All pages of a list.
    async fn pages<T: for<'a> Deserialize<'a>>(
        &self,
        target: &Target,
        first: Url,
    ) -> Result<Option<Vec<T>>, PlaceError> {
        let mut pages = Vec::new();
        let mut next = Some(first);
        while let Some(url) = next {
            if pages.len() >= PAGES_MAX {
                return Err(PlaceError::Unfit(format!(
                    "cannot {} {}: it has more than {PAGES_MAX} pages",
                    target.step, target.object
                )));
            }
            let answer = self.ask(target, &Method::GET, &url, &[]).await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if pages.is_empty() => return Ok(None),
                _ => return Err(target.refused(answer).await),
            }
            next = text(answer.headers(), &LINK).and_then(|link| next_page(&url, &link));
            let bytes = bounded(target, answer, PAGE_MAX).await?;
            let page = serde_json::from_slice(&bytes).map_err(|error| {
                PlaceError::Unfit(format!("cannot {} {}: {error}", target.step, target.object))
            })?;
            pages.push(page);
        }
        Ok(Some(pages))
    }

    /// The repositories of a registry, by names without tags.
    ///
    /// # Errors
    ///
    /// When it does not tell.
    pub async fn repositories(&self, registry: &str) -> Result<Vec<Name>, PlaceError> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let target = Target {
            registry: registry.to_owned(),
            repository: None,
            action: Action::Pull,
            step: "list",
            object: format!("the repositories of {registry}"),
        };
        let url = self.url(&target, &format!("_catalog?n={PAGE}")).await?;
        let pages: Vec<Page> = self.pages(&target, url).await?.unwrap_or_default();
        let repositories = pages.into_iter().flat_map(|page| page.repositories);
        // What is not a name cannot be asked for.
        let name = |text: String| {
            let repository: Repository = text.parse().ok()?;
            Name::new(Some(registry), repository, None, None).ok()
        };
        Ok(repositories.flatten().filter_map(name).collect())
    }

    pub(super) async fn all_tags(&self, registry: &str) -> Result<Vec<Listed>, PlaceError> {
        let mut listed = Vec::new();
        for repository in self.repositories(registry).await? {
            listed.extend(self.tags(&repository).await?);
        }
        Ok(listed)
    }

    /// Deletes what no tag leads to in a repository of Mosaic's registry, or with `dry_run` only tells what that is. Of
    /// very much it is a part, and nothing if nothing is left.
    ///
    /// # Errors
    ///
    /// When the registry refuses, or is another one.
    pub async fn prune(&self, name: &Name, dry_run: bool) -> Result<Vec<Digest>, PlaceError> {
        #[derive(Deserialize)]
        struct Pruned {
            digests: Vec<Digest>,
        }
        let target = self.target(name, Action::Delete, "prune", "the repository");
        let query = if dry_run { "?dryRun=true" } else { "" };
        let url = self.url(&target, &format!("_mosaic/prune{query}")).await?;
        let answer = self.ask(&target, &Method::POST, &url, &[]).await?;
        if answer.status() != StatusCode::OK {
            return Err(target.refused(answer).await);
        }
        let bytes = bounded(&target, answer, PAGE_MAX).await?;
        let pruned: Pruned = serde_json::from_slice(&bytes)
            .map_err(|error| PlaceError::Unfit(format!("the registry's answer: {error}")))?;
        Ok(pruned.digests)
    }

    pub(super) async fn tags(&self, name: &Name) -> Result<Vec<Listed>, PlaceError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let target = self.target(name, Action::Pull, "list", "the tags");
        let url = self.url(&target, &format!("tags/list?n={PAGE}")).await?;
        let pages: Vec<Page> = self.pages(&target, url).await?.unwrap_or_default();
        let normal = name.normal();
        let tags = pages.into_iter().flat_map(|page| page.tags).flatten();
        Ok(tags
            .filter_map(|tag| {
                let repository = normal.repository().clone();
                Name::new(normal.registry(), repository, Some(tag.parse().ok()?), None).ok()
            })
            .map(|name| Listed {
                name,
                descriptor: None,
            })
            .collect())
    }

    pub(super) async fn all_referrers(
        &self,
        name: &Name,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PlaceError> {
        #[derive(Deserialize)]
        struct Page {
            manifests: Option<Vec<Descriptor>>,
        }
        let target = self.target(name, Action::Pull, "list referrers", digest);
        let mut url = self.url(&target, &format!("referrers/{digest}")).await?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut()
                .append_pair("artifactType", artifact_type);
        }
        let mut found = match self.pages::<Page>(&target, url).await? {
            Some(pages) => pages
                .into_iter()
                .flat_map(|page| page.manifests)
                .flatten()
                .collect(),
            None => self.tagged_referrers(name, digest).await?,
        };
        found.retain(|one| is_of_type(one, artifact_type));
        Ok(found)
    }
}

fn referrers_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm(), subject.digest())
        .chars()
        .take(crate::name::TAG_MAX)
        .collect()
}

/// The next page by a `Link` header (RFC 8288), if it is of the same registry.
fn next_page(asked: &Url, link: &str) -> Option<Url> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !rest.contains("next") {
        return None;
    }
    let url = asked.join(target).ok()?;
    (url.origin() == asked.origin()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    #[test]
    fn the_next_page_is_of_the_same_registry() {
        let asked = Url::parse("https://example.com/v2/a/tags/list?n=2").unwrap();
        let next = next_page(&asked, r#"</v2/a/tags/list?n=2&last=b>; rel="next""#).unwrap();
        assert_eq!(
            next.as_str(),
            "https://example.com/v2/a/tags/list?n=2&last=b"
        );
        assert!(next_page(&asked, r#"<https://other.example.com/x>; rel="next""#).is_none());
        assert!(next_page(&asked, r#"</x>; rel="prev""#).is_none());
        assert!(next_page(&asked, "nonsense").is_none());
    }

    #[test]
    fn a_tag_of_referrers_is_a_tag() {
        let digest = digest::sha256(b"x");
        assert!(referrers_tag(&digest).parse::<crate::Tag>().is_ok());
        let mut hasher = crate::Hasher::new(&crate::DigestAlgorithm::Sha512).unwrap();
        hasher.update(b"x");
        assert!(
            referrers_tag(&hasher.finish())
                .parse::<crate::Tag>()
                .is_ok()
        );
    }
}
