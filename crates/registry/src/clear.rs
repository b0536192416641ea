//! Taking away all that a namespace has, because the namespace is gone.

use mosaic_image::Digest;

use crate::access::namespace;
use crate::metadata::{MetadataError, Removed, Result, keys};
use crate::registry::Registry;

impl Registry {
    /// Removes every image of every repository of a namespace. Their blobs go with the next collection. Returns how many
    /// manifests were removed.
    ///
    /// # Errors
    /// When the store fails, or somebody goes on pushing. What was removed until then stays so.
    pub async fn clear(&self, wanted: &str) -> Result<u64> {
        let metadata = &self.0.metadata;
        let mut repositories: Vec<String> = Vec::new();
        metadata
            .find(keys::REPOSITORIES, |entry| {
                let repository = entry.key.strip_prefix(keys::REPOSITORIES);
                let own = repository.filter(|repository| namespace(repository) == wanted);
                repositories.extend(own.map(str::to_owned));
                Ok(None::<()>)
            })
            .await?;
        let mut removed = 0;
        for repository in &repositories {
            removed += self.clear_repository(repository).await?;
            let key = format!("{}{repository}", keys::REPOSITORIES);
            if let Some(stored) = metadata.get::<serde_json::Value>(&key).await? {
                metadata.delete(&key, stored.revision).await?;
            }
        }
        Ok(removed)
    }

    async fn clear_repository(&self, repository: &str) -> Result<u64> {
        let metadata = &self.0.metadata;
        let mut removed = 0;
        loop {
            let mut found: Vec<Digest> = Vec::new();
            metadata
                .find(&keys::manifests(repository), |entry| {
                    found.extend(keys::parse_manifest(&entry.key).map(|(_, digest)| digest));
                    Ok(None::<()>)
                })
                .await?;
            if found.is_empty() {
                return Ok(removed);
            }
            // What an index names goes after the index.
            let before = removed;
            for digest in found {
                let done = metadata.remove_manifest(repository, &digest, true).await?;
                removed += u64::from(done == Removed::Done);
            }
            if removed == before {
                return Err(MetadataError::Busy {
                    key: keys::manifests(repository),
                });
            }
        }
    }

    /// How many bytes the images of a namespace have together, each blob counted once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, namespace: &str) -> Result<u64> {
        self.used(namespace, &[]).await
    }
}
