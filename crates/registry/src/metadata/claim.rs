//! Whose repositories are. A namespace's record says it, from the first request to one of them until all of them have been
//! taken away, so that the next namespace of the name finds nothing, whatever crashes in between.
//!
//! ```text
//! push:     claim ─► write the manifest, hidden ─► is the claim good? ─► show it ─► tag ─► is it still there?
//! clearing: mark the record ─► delete everything, until there is nothing ─► delete the record
//! ```
//!
//! A claim that was good after the manifest was written is older than the mark, so the clearing finds the manifest,
//! hidden or shown; and hidden, it is not shown any more, since that expects the record that was deleted.

use futures::TryStreamExt;
use mosaic_store::{Expect, Revision};

use super::record::NamespaceRecord;
use super::{LOOK, LOOKS, Metadata, MetadataError, PAGE, Result, keys, parse};
use crate::access::{Owner, namespace};

/// So many records are deleted between two looks at whether somebody else has ended it.
const CHUNK: usize = 256;
/// After so many times there should be nothing left.
const PASSES: usize = 16;

/// By what right a repository is written to.
pub(crate) struct Claim<'a> {
    /// The namespace that it belongs to; none if nobody says.
    pub(crate) owner: Option<Owner>,
    /// Whether the caller may still do it, to a repository of that namespace.
    pub(crate) good: Box<dyn Fn() -> bool + Send + Sync + 'a>,
}

impl Metadata {
    /// Refuses what is not allowed any more, by rights or because the namespace is gone.
    pub(crate) async fn check_claim(&self, repository: &str, claim: &Claim<'_>) -> Result<()> {
        let refused = || MetadataError::Refused {
            repository: repository.into(),
        };
        if let Some(owner) = &claim.owner {
            let key = keys::namespace(namespace(repository));
            let stored = self.get::<NamespaceRecord>(&key).await?;
            let own = stored.map(|stored| stored.value);
            own.filter(|own| own.owner == *owner && !own.clearing)
                .ok_or_else(refused)?;
        }
        (claim.good)().then_some(()).ok_or_else(refused)
    }

    /// Sees to it that a namespace has nothing of those of the same name before it: its own repositories, or none. Waits
    /// for others to be taken away, which `wanted` asks for.
    pub(crate) async fn claim(
        &self,
        name: &str,
        owner: &Owner,
        wanted: &(dyn Fn() + Send + Sync),
    ) -> Result<()> {
        let key = keys::namespace(name);
        for look in 0..LOOKS {
            let stored = self.get::<NamespaceRecord>(&key).await?;
            let expect = match &stored {
                None => Expect::Absent,
                Some(stored) if stored.value.owner.cluster != owner.cluster => {
                    Expect::At(stored.revision)
                }
                Some(stored) if stored.value.owner == *owner && !stored.value.clearing => {
                    return Ok(());
                }
                Some(_) => {
                    if look == 0 {
                        wanted();
                    }
                    self.clock.sleep(LOOK).await;
                    continue;
                }
            };
            let own = NamespaceRecord {
                owner: owner.clone(),
                clearing: false,
            };
            self.put(&key, expect, &own).await?;
        }
        Err(MetadataError::Busy { key })
    }

    /// Whose the repositories are, by namespace.
    pub(crate) async fn owners(&self) -> Result<Vec<(String, NamespaceRecord)>> {
        let mut owners = Vec::new();
        self.find(keys::NAMESPACES, |entry| {
            if let Some(name) = entry.key.strip_prefix(keys::NAMESPACES) {
                owners.push((name.to_owned(), parse::<NamespaceRecord>(entry)?.value));
            }
            Ok(None::<()>)
        })
        .await?;
        Ok(owners)
    }

    /// Removes all that a namespace has, which is gone; how many records that were. Several servers may be at it: who comes
    /// last finds nothing more to do.
    pub(crate) async fn clear(&self, name: &str, gone: &Owner) -> Result<u64> {
        let key = keys::namespace(name);
        let Some(stored) = self.get::<NamespaceRecord>(&key).await? else {
            return Ok(0);
        };
        if stored.value.owner != *gone {
            return Ok(0);
        }
        let marked = NamespaceRecord {
            clearing: true,
            ..stored.value.clone()
        };
        let mark = match stored.value.clearing {
            true => Some(stored.revision),
            false => {
                let expect = Expect::At(stored.revision);
                self.put_at(&key, expect, &marked).await?
            }
        };
        let Some(mark) = mark else {
            return Ok(0);
        };
        let mut removed = 0;
        for _ in 0..PASSES {
            let before = removed;
            for prefix in [
                keys::TAGS,
                keys::MANIFESTS,
                keys::REFERRERS,
                keys::LINKS,
                keys::REPOSITORIES,
            ] {
                match self.clear_part(prefix, name, &key, mark).await? {
                    Some(part) => removed += part,
                    None => return Ok(removed),
                }
            }
            if removed == before {
                self.delete(&key, mark).await?;
                return Ok(removed);
            }
        }
        Err(MetadataError::Busy { key })
    }

    /// None if another server has ended it.
    async fn clear_part(
        &self,
        part: &str,
        name: &str,
        key: &str,
        mark: Revision,
    ) -> Result<Option<u64>> {
        // Links are by blob, and the repositories of `default` have no slash: they are anywhere.
        let prefix = match name {
            name if name != "default" && part != keys::LINKS => format!("{part}{name}/"),
            _ => part.to_owned(),
        };
        let own = |entry: &mosaic_store::Entry| {
            let repository = keys::parse_repository(&entry.key);
            repository.is_some_and(|repository| namespace(repository) == name)
        };
        let mut removed = 0;
        let entries = self.entries(&prefix, None, PAGE);
        let entries = entries.try_filter(|entry| futures::future::ready(own(entry)));
        let mut chunks = entries
            .map_ok(|entry| (entry.key, entry.revision))
            .try_chunks(CHUNK);
        while let Some(chunk) = chunks.try_next().await.map_err(|error| error.1)? {
            // While the mark stands, all that was listed before is of the namespace that is gone.
            let stored = self.get::<NamespaceRecord>(key).await?;
            if stored.is_none_or(|stored| stored.revision != mark) {
                return Ok(None);
            }
            for (key, revision) in chunk {
                removed += u64::from(self.delete(&key, revision).await?);
            }
        }
        Ok(Some(removed))
    }
}
