//! Taking away manifests that no tag and no index leads to. Only when it is asked for: a manifest that is pulled by its
//! digest looks the same.

use std::collections::HashSet;

use mosaic_image::Digest;

use crate::metadata::record::{ManifestRecord, TagRecord};
use crate::metadata::{Removed, Result, keys, parse};
use crate::registry::Registry;

/// The most that one call takes away.
const AT_MOST: usize = 10_000;

impl Registry {
    /// Removes the manifests of a repository that were pushed more than the grace ago, and that no tag, no index and, for
    /// referrers, no subject leads to. Returns their digests, of very many a part; their blobs go with the next collection.
    /// With `dry_run` nothing is removed, and what only goes with something else is not told.
    ///
    /// # Errors
    /// When the store fails. What was removed until then stays so.
    pub async fn prune(&self, repository: &str, dry_run: bool) -> Result<Vec<Digest>> {
        let (metadata, now) = (&self.0.metadata, self.0.metadata.now());
        // Indexes first, then the manifests that only they named.
        let mut pruned = Vec::new();
        loop {
            let mut found: Vec<(Digest, ManifestRecord)> = Vec::new();
            metadata
                .find(&keys::manifests(repository), |entry| {
                    let manifest = parse::<ManifestRecord>(entry)?.value;
                    if let Some((_, digest)) = keys::parse_manifest(&entry.key) {
                        found.push((digest, manifest));
                    }
                    Ok(None::<()>)
                })
                .await?;
            let mut kept: HashSet<Digest> = found
                .iter()
                .flat_map(|(_, manifest)| &manifest.manifests)
                .map(|named| named.digest.clone())
                .collect();
            metadata
                .find(&keys::tags(repository), |entry| {
                    kept.insert(parse::<TagRecord>(entry)?.value.digest);
                    Ok(None::<()>)
                })
                .await?;
            let there: HashSet<&Digest> = found.iter().map(|(digest, _)| digest).collect();
            let room = AT_MOST.saturating_sub(pruned.len());
            let unreachable = found.iter().filter(|(digest, manifest)| {
                let refers = manifest
                    .subject
                    .as_ref()
                    .is_some_and(|it| there.contains(it));
                let old = metadata.grace.is_over(manifest.pushed, now);
                old && !refers && !kept.contains(digest)
            });
            let unreachable = unreachable.take(room);
            let before = pruned.len();
            for (digest, _) in unreachable {
                let goes = dry_run
                    || metadata.remove_manifest(repository, digest, false).await? == Removed::Done;
                if goes {
                    pruned.push(digest.clone());
                }
            }
            if dry_run || pruned.len() == before || pruned.len() >= AT_MOST {
                return Ok(pruned);
            }
        }
    }
}
