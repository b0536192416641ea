//! Which endpoint a path is (distribution-spec, "Endpoints").

use mosaic_image::{Digest, Repository, digest};
use percent_encoding::percent_decode_str;

use super::error::{ApiError, Code};
use crate::blobs::UploadId;

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/…`
    In(String, Resource),
}

/// What of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Tags,
    Referrers(Digest),
    /// By what is written there: a tag or a digest, as a rule.
    Manifest(String),
    Blob(Digest),
    Uploads,
    Upload(UploadId),
    /// `/v2/<name>/_mosaic/prune`, an extension as the specification wants them to be called ("Extensions").
    Prune,
}

fn decoded(text: &str) -> Result<String, ApiError> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| ApiError::bad(Code::NameInvalid, "the path is not UTF-8"))?;
    Ok(text.into_owned())
}

/// The endpoint of a path; none if there is none.
pub(crate) fn route(path: &str) -> Result<Option<Route>, ApiError> {
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Some(Route::Base)),
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    let Some(rest) = rest else { return Ok(None) };
    if rest == "_catalog" {
        return Ok(Some(Route::Catalog));
    }
    // From the end, since a repository may have components of any of these names.
    let Some((rest, last)) = rest.rsplit_once('/') else {
        return Ok(None);
    };
    let last = decoded(last)?;
    let (name, resource) = match rest.rsplit_once('/') {
        Some((name, "tags")) if last == "list" => (name, Resource::Tags),
        Some((name, "_mosaic")) if last == "prune" => (name, Resource::Prune),
        Some((name, "referrers")) => (name, Resource::Referrers(digest::parse(&last)?)),
        Some((name, "manifests")) => (name, Resource::Manifest(last)),
        Some((name, "blobs")) if last == "uploads" => (name, Resource::Uploads),
        Some((name, "blobs")) => (name, Resource::Blob(digest::parse(&last)?)),
        Some((name, "uploads")) => match name.strip_suffix("/blobs") {
            Some(name) if last.is_empty() => (name, Resource::Uploads),
            Some(name) => match UploadId::parse(&last) {
                Some(id) => (name, Resource::Upload(id)),
                None => {
                    let message = format!("there is no upload {last:?}");
                    return Err(ApiError::missing(Code::BlobUploadUnknown, message));
                }
            },
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let name = decoded(name)?;
    let repository: Repository = name
        .parse()
        .map_err(|error| ApiError::bad(Code::NameInvalid, error))?;
    Ok(Some(Route::In(repository.as_str().into(), resource)))
}

/// A parameter of a query; the first of several.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    parameters(query, name).next()
}

/// All parameters of a name, of at most a hundred.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> impl Iterator<Item = String> {
    let pairs = query.unwrap_or_default().split('&').take(100);
    pairs.filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', "%20");
        let matches = key == name;
        matches.then(|| percent_decode_str(&value).decode_utf8_lossy().into_owned())
    })
}

/// The first and the last byte of a `Content-Range` of an upload, which the distribution-spec writes `0-99`.
pub(crate) fn content_range(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let text = text
        .strip_prefix("bytes")
        .map_or(text, |rest| rest.trim_start_matches(['=', ' ']));
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (start, end) = text.split_once('-')?;
    let (start, end) = (number(start)?, number(end)?);
    (start <= end && end < u64::MAX).then_some((start, end))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What of a blob a `Range` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Whole,
    Part(std::ops::Range<u64>),
    Unsatisfiable,
}

/// Reads `Range` (RFC 9110, 14.2). Several ranges, and units that are not bytes, are answered with the whole.
pub(crate) fn range(header: Option<&str>, size: u64) -> Asked {
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Asked::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), _) if first >= size => Asked::Unsatisfiable,
        // HTTP would have this ignored; the specification's conformance suite wants it refused.
        (Some(first), Some(last)) if last < first => Asked::Unsatisfiable,
        (Some(first), Some(last)) => Asked::Part(first..last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => Asked::Part(first..size),
        (None, Some(0)) if first.is_empty() => Asked::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && size == 0 => Asked::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => Asked::Part(size.saturating_sub(suffix)..size),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn found(path: &str) -> Route {
        route(path).unwrap().unwrap()
    }

    #[test]
    fn a_repository_may_be_called_like_an_endpoint() {
        let digest: Digest = DIGEST.parse().unwrap();
        let of = |name: &str, resource| Route::In(name.into(), resource);
        assert_eq!(found("/v2"), Route::Base);
        assert_eq!(found("/v2/"), Route::Base);
        assert_eq!(
            found(&format!("/v2/blobs/uploads/blobs/{DIGEST}")),
            of("blobs/uploads", Resource::Blob(digest))
        );
        assert_eq!(
            found("/v2/a/manifests/manifests/latest"),
            of("a/manifests", Resource::Manifest("latest".into()))
        );
        assert_eq!(
            found(
                "/v2/a/manifests/sha256%3Ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            ),
            of("a", Resource::Manifest(DIGEST.into()))
        );
        assert_eq!(
            found("/v2/a/b/blobs/uploads/"),
            of("a/b", Resource::Uploads)
        );
        assert_eq!(found("/v2/a/b/blobs/uploads"), of("a/b", Resource::Uploads));
        assert_eq!(found("/v2/tags/tags/list"), of("tags", Resource::Tags));
        let id = UploadId::new("a");
        assert_eq!(
            found(&format!("/v2/a/blobs/uploads/{id}")),
            of("a", Resource::Upload(id))
        );
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for path in [
            "/v2/../etc/manifests/x",
            "/v2/a//b/tags/list",
            "/v2/A/tags/list",
            "/v2/%2e%2e/tags/list",
            "/v2/a%2fb%00/tags/list",
            "/v2/a/blobs/sha256:../../etc/passwd",
            "/v2/a/blobs/sha256:%2e%2e%2fx",
            "/v2/a/blobs/uploads/..",
            "/v2/a/referrers/latest",
        ] {
            assert!(!matches!(route(path), Ok(Some(_))), "{path}");
        }
    }

    #[test]
    fn ranges_are_read_as_http_writes_them() {
        assert_eq!(range(None, 10), Asked::Whole);
        assert_eq!(range(Some("bytes=0-0"), 10), Asked::Part(0..1));
        assert_eq!(range(Some("bytes=3-"), 10), Asked::Part(3..10));
        assert_eq!(range(Some("bytes=-3"), 10), Asked::Part(7..10));
        assert_eq!(range(Some("bytes=-30"), 10), Asked::Part(0..10));
        assert_eq!(range(Some("bytes=3-99"), 10), Asked::Part(3..10));
        assert_eq!(range(Some("bytes=10-"), 10), Asked::Unsatisfiable);
        assert_eq!(range(Some("bytes=-0"), 10), Asked::Unsatisfiable);
        assert_eq!(range(Some("bytes=4-3"), 10), Asked::Unsatisfiable);
        assert_eq!(range(Some("bytes=0-1,4-5"), 10), Asked::Whole);
        assert_eq!(range(Some("pages=0-1"), 10), Asked::Whole);
        assert_eq!(range(Some("bytes=+1-2"), 10), Asked::Whole);
        assert_eq!(content_range("0-99"), Some((0, 99)));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9)));
        for text in ["", "-", "5-4", "a-b", "-5", "5-", "0-18446744073709551615"] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
