//! Taking away manifests that no tag and no index leads to. Only when it is asked for: a manifest that is pulled by its
//! digest looks the same.

use std::collections::HashSet;

use mosaic_image::Digest;

use crate::metadata::record::{ManifestRecord, TagRecord};
use crate::metadata::{Removed, Result, keys, parse};
use crate::registry::Registry;

/// The most that one call takes away.
const AT_MOST: usize = 10_000;

/// What decides about a manifest: its record may be long.
struct Found {
    digest: Digest,
    subject: Option<Digest>,
    old: bool,
}

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
            let mut found: Vec<Found> = Vec::new();
            let mut kept: HashSet<Digest> = HashSet::new();
            metadata
                .find(&keys::manifests(repository), |entry| {
                    let manifest = parse::<ManifestRecord>(entry)?.value;
                    kept.extend(manifest.manifests.into_iter().map(|named| named.digest));
                    if let Some((_, digest)) = keys::parse_manifest(&entry.key) {
                        found.push(Found {
                            digest,
                            subject: manifest.subject,
                            old: metadata.grace.is_over(manifest.pushed, now),
                        });
                    }
                    Ok(None::<()>)
                })
                .await?;
            metadata
                .find(&keys::tags(repository), |entry| {
                    kept.insert(parse::<TagRecord>(entry)?.value.digest);
                    Ok(None::<()>)
                })
                .await?;
            let there: HashSet<&Digest> = found.iter().map(|it| &it.digest).collect();
            let room = AT_MOST.saturating_sub(pruned.len());
            let unreachable = found.iter().filter(|it| {
                let subject = it.subject.as_ref();
                let refers = subject.is_some_and(|subject| there.contains(subject));
                it.old && !refers && !kept.contains(&it.digest)
            });
            let unreachable = unreachable.take(room);
            let before = pruned.len();
            for Found { digest, .. } in unreachable {
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
