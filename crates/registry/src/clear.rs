//! Namespaces that are gone, whose images go with them.

use crate::access::{Owner, namespace};
use crate::metadata::Result;
use crate::registry::Registry;

impl Registry {
    /// The namespaces that repositories belong to, or belonged to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn owners(&self) -> Result<Vec<(String, Owner)>> {
        let owners = self.0.metadata.owners().await?.into_iter();
        Ok(owners.map(|(name, record)| (name, record.owner)).collect())
    }

    /// Removes everything of a namespace that is gone. Its blobs go with the next collection. Returns how many records were
    /// removed: none, if the name is another namespace's by now.
    ///
    /// # Errors
    /// When the store fails, or somebody goes on pushing. What was removed until then stays so, and until it has ended, no
    /// other namespace of the name has images.
    pub async fn clear(&self, name: &str, gone: &Owner) -> Result<u64> {
        self.0.metadata.clear(name, gone).await
    }

    /// Waits until somebody needs the images of a namespace that is gone to be removed.
    pub async fn clear_wanted(&self) {
        self.0.clear_wanted.notified().await;
    }

    /// Whether nothing is left in a repository's namespace of an earlier one of the name, as far as is known.
    pub(crate) fn is_settled(&self, repository: &str) -> bool {
        let name = namespace(repository);
        let owner = self.0.access.owner(name);
        owner.is_none_or(|owner| self.0.settled.lock().get(name) == Some(&owner))
    }

    /// Waits until it is so.
    pub(crate) async fn settle(&self, repository: &str, owner: &Owner) -> Result<()> {
        let name = namespace(repository);
        if self.0.settled.lock().get(name) == Some(owner) {
            return Ok(());
        }
        let wanted = || self.0.clear_wanted.notify_one();
        self.0.metadata.claim(name, owner, &wanted).await?;
        self.0.settled.lock().insert(name.to_owned(), owner.clone());
        Ok(())
    }

    /// How many bytes the images of a namespace have together, each blob counted once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, namespace: &str) -> Result<u64> {
        self.used(namespace, &[]).await
    }
}
