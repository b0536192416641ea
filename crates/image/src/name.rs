//! Names of images, as people write them: `[registry/]repository[:tag][@digest]`.
//!
//! The grammar is the distribution-spec's ("Pulling manifests"), and what a short name stands for is Docker's rule: the
//! first part is a registry if it has a `.` or a `:`, is `localhost`, or has a capital letter; without a registry it is
//! Docker's, and a name of one part there lies in `library/`.

use std::fmt;
use std::str::FromStr;

use crate::digest::{self, Digest, DigestError};

/// Docker's own registry, which names without one stand for.
pub const DOCKER: &str = "docker.io";
/// The tag of a name without one.
pub const LATEST: &str = "latest";

/// The longest repository's name, in bytes.
pub const REPOSITORY_MAX: usize = 255;
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 128;
const REGISTRY_MAX: usize = 255;

/// Why text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is named.
    #[error("the name of an image is empty")]
    Empty,
    /// Not a host with an optional port.
    #[error("{registry:?} is not a registry (a host, and maybe a port)")]
    Registry {
        /// What was read as one.
        registry: String,
    },
    /// Not a repository.
    #[error(
        "{repository:?} is not a repository: lower-case letters and digits, in parts between `/` which `.`, `_`, `__` or \
         `-` may divide, {REPOSITORY_MAX} bytes at most"
    )]
    Repository {
        /// What was read as one.
        repository: String,
    },
    /// Not a tag.
    #[error(
        "{tag:?} is not a tag: letters, digits, `_`, `.` and `-`, not first `.` or `-`, {TAG_MAX} bytes at most"
    )]
    Tag {
        /// What was read as one.
        tag: String,
    },
    /// Not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// What is shown of text that is wrong: it may be long.
fn shown(text: &str) -> String {
    text.chars().take(REPOSITORY_MAX + 1).collect()
}

/// A repository's name, such as `library/nginx`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Box<str>);

impl Repository {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= REPOSITORY_MAX && text.split('/').all(is_path_component) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Repository {
                repository: shown(text),
            })
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| is_word(**byte)).count();
        if word == 0 {
            return false;
        }
        rest = rest.get(word..).unwrap_or_default();
        let divider = rest.iter().take_while(|byte| !is_word(**byte)).count();
        match rest.get(..divider).unwrap_or_default() {
            [] => return true,
            [b'.'] | [b'_'] | [b'_', b'_'] => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = rest.get(divider..).unwrap_or_default();
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `latest`.
    #[must_use]
    pub fn latest() -> Self {
        Self(LATEST.into())
    }

    /// The tags under which cosign 2 keeps signatures, attestations and lists of contents of a document.
    #[must_use]
    pub fn of_cosign(digest: &Digest) -> Vec<Self> {
        let digest = digest.as_ref().replace(':', "-");
        ["sig", "att", "sbom"]
            .map(|kind| Self(format!("{digest}.{kind}").into()))
            .into()
    }

    /// Whether it only leads to documents about another one: of cosign, or of the distribution-spec's "Referrers Tag
    /// Schema".
    #[must_use]
    pub fn refers(&self) -> bool {
        let hex = self.0.strip_prefix("sha256-").unwrap_or_default();
        let (hex, kind) = hex.split_once('.').unwrap_or((hex, ""));
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex && matches!(kind, "" | "sig" | "att" | "sbom")
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let right = matches!(text.as_bytes(), [first, rest @ ..]
            if is_first(*first) && rest.iter().all(|byte| is_first(*byte) || matches!(byte, b'.' | b'-')));
        if right && text.len() <= TAG_MAX {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Tag { tag: shown(text) })
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a name says about which manifest of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The one that the tag is at now.
    Tag(Tag),
    /// This one.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = NameError;

    /// As in a URL's `<reference>`: a digest if it has a `:`, otherwise a tag.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            Ok(Self::Digest(digest::parse(text)?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    registry: Option<Box<str>>,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Name {
    /// From its parts; `registry` is a host with an optional port.
    ///
    /// # Errors
    ///
    /// When `registry` is not one.
    pub fn new(
        registry: Option<&str>,
        repository: Repository,
        tag: Option<Tag>,
        digest: Option<Digest>,
    ) -> Result<Self, NameError> {
        if let Some(registry) = registry
            && !is_registry(registry)
        {
            return Err(NameError::Registry {
                registry: shown(registry),
            });
        }
        Ok(Self {
            registry: registry.map(Into::into),
            repository,
            tag,
            digest,
        })
    }

    /// The registry that it names: a host and maybe a port.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// The repository as it was written.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Which manifest is meant: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(Tag::latest()),
        }
    }

    /// The same image of the same repository by a digest, whatever the tag moves to.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Another tag of the same repository.
    #[must_use]
    pub fn with_tag(&self, tag: Tag) -> Self {
        Self {
            tag: Some(tag),
            digest: None,
            ..self.clone()
        }
    }

    /// The same without a tag.
    #[must_use]
    pub fn untagged(&self) -> Self {
        Self {
            tag: None,
            ..self.clone()
        }
    }

    /// The same with `latest` where neither tag nor digest was written.
    #[must_use]
    pub fn with_default_tag(&self) -> Self {
        let mut name = self.clone();
        if name.tag.is_none() && name.digest.is_none() {
            name.tag = Some(Tag::latest());
        }
        name
    }

    /// What Docker makes of it: registry, `library/` and tag are written out.
    #[must_use]
    pub fn normal(&self) -> Self {
        let mut name = self.with_default_tag();
        match name.registry.as_deref() {
            None | Some("index.docker.io") => name.registry = Some(DOCKER.into()),
            Some(_) => {}
        }
        if name.registry.as_deref() == Some(DOCKER) && !name.repository.0.contains('/') {
            name.repository = Repository(format!("library/{}", name.repository).into());
        }
        name
    }

    /// As short as Docker shows it: the inverse of [`Name::normal`], but for the tag, which stays.
    #[must_use]
    pub fn familiar(&self) -> Self {
        let mut name = self.normal();
        if name.registry.as_deref() != Some(DOCKER) {
            return name;
        }
        let short = match name.repository.0.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => Repository(rest.into()),
            _ => name.repository.clone(),
        };
        // `docker.io/localhost/app` would be another image without its registry.
        if !short
            .0
            .split_once('/')
            .is_some_and(|(first, _)| names_registry(first))
        {
            name.registry = None;
            name.repository = short;
        }
        name
    }

    /// The same image in this registry (a host, and maybe a port), whichever it named.
    ///
    /// # Errors
    ///
    /// When `registry` is not one.
    pub fn in_registry(&self, registry: &str) -> Result<Self, NameError> {
        let Self {
            repository,
            tag,
            digest,
            ..
        } = self.with_default_tag();
        Self::new(Some(registry), repository, tag, digest)
    }

    /// The names to ask for, in this order. A name with a registry stands for itself. One without is asked of the
    /// cluster's registry (a host, and maybe a port) as it was written, and then of Docker's.
    #[must_use]
    pub fn candidates(&self, cluster: Option<&str>) -> Vec<Self> {
        if self.registry.is_some() {
            return vec![self.normal()];
        }
        let here = cluster
            .filter(|registry| is_registry(registry))
            .map(|registry| Self {
                registry: Some(registry.into()),
                ..self.with_default_tag()
            });
        here.into_iter().chain([self.normal()]).collect()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest::parse(digest)?)),
            None => (text, None),
        };
        let (registry, rest) = match text.split_once('/') {
            Some((first, rest)) if names_registry(first) => (Some(first), rest),
            _ => (None, text),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (rest, None),
        };
        Self::new(registry, repository.parse()?, tag, digest)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(formatter, "{registry}/")?;
        }
        write!(formatter, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

fn names_registry(first: &str) -> bool {
    first == "localhost"
        || first
            .bytes()
            .any(|byte| matches!(byte, b'.' | b':' | b'[') || byte.is_ascii_uppercase())
}

/// Whether text is a host (a name, an IPv4 address or an IPv6 address in brackets) with an optional port.
#[must_use]
pub fn is_registry(text: &str) -> bool {
    if text.len() > REGISTRY_MAX {
        return false;
    }
    let is_port = |port: &str| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, rest)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests;
