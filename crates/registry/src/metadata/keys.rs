//! Where in the store which record is.
//!
//! A repository's name holds slashes, but neither `@` nor `:`, so what follows it stands behind one of these, as in
//! the name of an image: `tag/team/app:v1`. A list of one repository can then never run into the next.

use mosaic_image::Digest;

/// Records of blobs. All keys of the registry start with `/mosaic-registry/`, and nothing else does.
pub(crate) const BLOBS: &str = "/mosaic-registry/blob/";
/// Records of which repository has which blob, by blob.
pub(crate) const LINKS: &str = "/mosaic-registry/link/";
/// Records of manifests, by repository.
pub(crate) const MANIFESTS: &str = "/mosaic-registry/manifest/";
/// Records of tags, by repository.
pub(crate) const TAGS: &str = "/mosaic-registry/tag/";
/// Records of referrers, by repository and subject.
pub(crate) const REFERRERS: &str = "/mosaic-registry/referrer/";
/// Which repositories there are.
pub(crate) const REPOSITORIES: &str = "/mosaic-registry/repository/";
/// Whose the repositories of a namespace are.
pub(crate) const NAMESPACES: &str = "/mosaic-registry/namespace/";
/// Records of uploads into object storage.
pub(crate) const UPLOADS: &str = "/mosaic-registry/upload/";

pub(crate) fn blob(digest: &Digest) -> String {
    format!("{BLOBS}{digest}")
}

/// The links of one blob start with this.
pub(crate) fn links(digest: &Digest) -> String {
    format!("{LINKS}{digest}/")
}

pub(crate) fn link(digest: &Digest, repository: &str) -> String {
    format!("{LINKS}{digest}/{repository}")
}

/// The manifests of one repository start with this.
pub(crate) fn manifests(repository: &str) -> String {
    format!("{MANIFESTS}{repository}@")
}

pub(crate) fn manifest(repository: &str, digest: &Digest) -> String {
    format!("{MANIFESTS}{repository}@{digest}")
}

/// The tags of one repository start with this.
pub(crate) fn tags(repository: &str) -> String {
    format!("{TAGS}{repository}:")
}

pub(crate) fn tag(repository: &str, tag: &str) -> String {
    format!("{TAGS}{repository}:{tag}")
}

/// The referrers of one subject start with this.
pub(crate) fn referrers(repository: &str, subject: &Digest) -> String {
    format!("{REFERRERS}{repository}@{subject}/")
}

pub(crate) fn referrer(repository: &str, subject: &Digest, digest: &Digest) -> String {
    format!("{REFERRERS}{repository}@{subject}/{digest}")
}

pub(crate) fn repository(name: &str) -> String {
    format!("{REPOSITORIES}{name}")
}

pub(crate) fn namespace(name: &str) -> String {
    format!("{NAMESPACES}{name}")
}

pub(crate) fn upload(id: &str) -> String {
    format!("{UPLOADS}{id}")
}

/// The digest of a blob's key.
pub(crate) fn parse_blob(key: &str) -> Option<Digest> {
    key.strip_prefix(BLOBS)?.parse().ok()
}

/// The digest and the repository of a link's key.
pub(crate) fn parse_link(key: &str) -> Option<(Digest, &str)> {
    let (digest, repository) = key.strip_prefix(LINKS)?.split_once('/')?;
    Some((digest.parse().ok()?, repository))
}

/// The repository and the digest of a manifest's key.
pub(crate) fn parse_manifest(key: &str) -> Option<(&str, Digest)> {
    let (repository, digest) = key.strip_prefix(MANIFESTS)?.split_once('@')?;
    Some((repository, digest.parse().ok()?))
}

/// The repository and the tag of a tag's key.
pub(crate) fn parse_tag(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(TAGS)?.split_once(':')
}

/// The repository, the subject and the referrer of a referrer's key.
pub(crate) fn parse_referrer(key: &str) -> Option<(&str, Digest, Digest)> {
    let (repository, rest) = key.strip_prefix(REFERRERS)?.split_once('@')?;
    let (subject, digest) = rest.split_once('/')?;
    Some((repository, subject.parse().ok()?, digest.parse().ok()?))
}

/// The repository of the key of anything that is in one.
pub(crate) fn parse_repository(key: &str) -> Option<&str> {
    let manifest = || parse_manifest(key).map(|(repository, _)| repository);
    let tag = || parse_tag(key).map(|(repository, _)| repository);
    let referrer = || parse_referrer(key).map(|(repository, ..)| repository);
    let link = || parse_link(key).map(|(_, repository)| repository);
    let repository = key.strip_prefix(REPOSITORIES);
    repository
        .or_else(manifest)
        .or_else(tag)
        .or_else(referrer)
        .or_else(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> Digest {
        format!("sha256:{}", digit.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    #[test]
    fn a_key_says_what_it_was_made_of() {
        let (a, b) = (digest('a'), digest('b'));
        assert_eq!(parse_blob(&blob(&a)), Some(a.clone()));
        assert_eq!(parse_link(&link(&a, "t/app")), Some((a.clone(), "t/app")));
        assert_eq!(
            parse_manifest(&manifest("t/app", &a)),
            Some(("t/app", a.clone()))
        );
        assert_eq!(parse_tag(&tag("t/app", "v1")), Some(("t/app", "v1")));
        assert_eq!(
            parse_referrer(&referrer("t/app", &a, &b)),
            Some(("t/app", a.clone(), b.clone()))
        );
        for key in [
            link(&a, "t/app"),
            manifest("t/app", &a),
            tag("t/app", "v1"),
            referrer("t/app", &a, &b),
            repository("t/app"),
        ] {
            assert_eq!(parse_repository(&key), Some("t/app"), "{key}");
        }
    }

    #[test]
    fn a_repository_whose_name_begins_like_another_is_not_in_its_list() {
        assert!(!tag("team/app", "v1").starts_with(&tags("team")));
        assert!(!manifest("team-b", &digest('a')).starts_with(&manifests("team")));
        let subject = digest('c');
        assert!(!referrer("ab", &subject, &digest('a')).starts_with(&referrers("a", &subject)));
    }
}
