//! Who asks, and what they may do. Both are told from outside.

use std::sync::Arc;

use http::request::Parts;
use serde::{Deserialize, Serialize};

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Their name; none for somebody who did not say who they are.
    pub name: Option<Arc<str>>,
    /// The groups that they are in.
    pub groups: Arc<[Arc<str>]>,
}

impl Identity {
    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: None,
            groups: Arc::new([]),
        }
    }
}

/// What is done to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Reading manifests, blobs, tags and referrers.
    Pull,
    /// Uploading blobs, putting manifests and tags.
    Push,
    /// Deleting any of them.
    Delete,
}

/// Whether something may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, for a reason that the client is told.
    Deny(String),
}

/// A namespace as what repositories belong to: they go with it, and are not those of the next one of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Its cluster. What is of another one, which was lost, belongs to whichever namespace has its name in this one.
    pub cluster: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
}

/// Identities, rights and limits. Asked for each request, and for each repository in a list, so it must be quick.
pub trait Access: Send + Sync + 'static {
    /// Who sends a request, from its head: a certificate that the listener put into the extensions, a token, a user and
    /// a password. [`Identity::anonymous`] if there are no credentials; so is everybody where nobody is asked.
    ///
    /// # Errors
    /// If the credentials are wrong: why, which the client is told.
    fn authenticate(&self, head: &Parts) -> Result<Identity, String> {
        let _ = head;
        Ok(Identity::anonymous())
    }

    /// Whether somebody may do something to a repository. The empty name stands for every repository: who may push
    /// there without a name is never asked for one, and who may pull there without one is shown the list of repositories.
    fn may(&self, who: &Identity, action: Action, repository: &str) -> Decision;

    /// The namespace that has a name now; none if there is none, or if namespaces are no more than names.
    fn owner(&self, namespace: &str) -> Option<Owner> {
        let _ = namespace;
        None
    }

    /// How many bytes the images of a namespace may have together, each blob counted once; none for no limit.
    fn quota(&self, namespace: &str) -> Option<u64> {
        let _ = namespace;
        None
    }
}

/// Nobody is asked who they are, and everybody may do everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Access for AllowAll {
    fn may(&self, _: &Identity, _: Action, _: &str) -> Decision {
        Decision::Allow
    }
}

/// The namespace of a repository: the first component of several, else `default`.
#[must_use]
pub fn namespace(repository: &str) -> &str {
    repository
        .split_once('/')
        .map_or("default", |(namespace, _)| namespace)
}
