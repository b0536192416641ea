//! What pushes and the collector decide, without store or clock.
//!
//! The store writes one key at a time, and several servers share it, so a push and the collector meet only in the
//! record of a blob:
//!
//! ```text
//! push:       write the manifest ─► touch each blob it names ─► commit it ─► tag
//! collector:  read the blob: old ─► list manifests: none names it ─► mark it, at the revision that was read ─► bytes ─► record
//! ```
//!
//! An upload writes the record of its blob before it puts the bytes in their place, and whoever counts on a blob looks at
//! the record first and for the bytes then: bytes under a young record stay.
//!
//! A manifest that the collector's list does not show was written after it, so its blobs are touched later still: before
//! the mark, then the mark fails since the record changed; or after it, then the push sees the mark, waits for the end,
//! and is refused or uploads anew. Touching an already young record writes nothing, since the collector does not even
//! look at those. So only one thing rests on clocks: that those of two servers are less than half the grace apart.

use super::record::{BlobRecord, LinkRecord, TagRecord};

/// For how long, in seconds, a blob stays that nothing names. A push may take half of it between its first question
/// for a blob and its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(u64);

impl Grace {
    /// A grace of so many seconds, at least two.
    pub fn seconds(seconds: u64) -> Self {
        Self(seconds.max(2))
    }

    /// Whether what was last touched at `touched` has to be touched again by whoever counts on it.
    fn is_old(self, touched: u64, now: u64) -> bool {
        now.saturating_sub(touched) >= self.0 / 2
    }

    /// Whether what was last touched at `touched` may be taken if nothing names it.
    pub(crate) fn is_over(self, touched: u64, now: u64) -> bool {
        now.saturating_sub(touched) > self.0
    }
}

/// What somebody does who counts on a blob, with its record as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It is not there.
    Missing,
    /// It is being taken away: wait for the end of that.
    Wait,
    /// It is there; this has to be written.
    Write(BlobRecord),
    /// It is there and young.
    Enough,
}

pub(crate) fn touch(record: Option<&BlobRecord>, now: u64, grace: Grace) -> Touch {
    match record {
        None => Touch::Missing,
        Some(record) if record.deleting.is_some() => Touch::Wait,
        Some(record) if grace.is_old(record.touched, now) => Touch::Write(BlobRecord {
            touched: now,
            ..record.clone()
        }),
        Some(_) => Touch::Enough,
    }
}

/// The link to write for a push that counts on it; none if the one that is there is young.
pub(crate) fn link(record: Option<&LinkRecord>, now: u64, grace: Grace) -> Option<LinkRecord> {
    match record {
        Some(link) if !link.removed && !grace.is_old(link.since, now) => None,
        _ => Some(LinkRecord {
            since: now,
            removed: false,
        }),
    }
}

/// What the collector makes of a blob's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It stays, whoever names it.
    Young,
    /// It goes if nothing names it.
    Candidate,
    /// Somebody else takes it away.
    Taken,
    /// Somebody began to take it away and did not end in time: go on with it.
    Resume,
}

/// Judges a blob. `takeover` is for how many seconds whoever marked it may be at work.
pub(crate) fn judge(record: &BlobRecord, now: u64, grace: Grace, takeover: u64) -> Judgement {
    match record.deleting {
        Some(since) if now.saturating_sub(since) >= takeover => Judgement::Resume,
        Some(_) => Judgement::Taken,
        None if grace.is_over(record.touched, now) => Judgement::Candidate,
        None => Judgement::Young,
    }
}

/// The hour: how exactly a pull is remembered.
const PULL_RESOLUTION: u64 = 3600;

/// What to write when a tag was pulled; none if that is known already.
pub(crate) fn pulled(record: &TagRecord, now: u64) -> Option<TagRecord> {
    let known = record
        .pulled
        .is_some_and(|pulled| now.saturating_sub(pulled) < PULL_RESOLUTION);
    (!known).then(|| TagRecord {
        pulled: Some(now),
        ..record.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Grace = Grace(100);

    fn record(touched: u64, deleting: Option<u64>) -> BlobRecord {
        BlobRecord {
            size: 1,
            touched,
            deleting,
        }
    }

    #[test]
    fn whoever_counts_on_a_blob_touches_it_long_before_it_may_be_taken() {
        assert_eq!(touch(None, 0, GRACE), Touch::Missing);
        assert_eq!(touch(Some(&record(10, Some(1))), 10, GRACE), Touch::Wait);
        assert_eq!(touch(Some(&record(10, None)), 59, GRACE), Touch::Enough);
        let write = touch(Some(&record(10, None)), 60, GRACE);
        assert_eq!(write, Touch::Write(record(60, None)));
    }

    #[test]
    fn only_an_untouched_blob_is_a_candidate() {
        assert_eq!(
            judge(&record(0, None), 100, GRACE, 10),
            Judgement::Young,
            "the grace has to be over, not only reached"
        );
        assert_eq!(
            judge(&record(0, None), 101, GRACE, 10),
            Judgement::Candidate
        );
        assert_eq!(
            judge(&record(0, Some(95)), 101, GRACE, 10),
            Judgement::Taken
        );
        assert_eq!(
            judge(&record(0, Some(91)), 101, GRACE, 10),
            Judgement::Resume
        );
        // A clock that went back makes nothing old.
        assert_eq!(judge(&record(500, None), 101, GRACE, 10), Judgement::Young);
    }

    #[test]
    fn a_deleted_link_is_written_anew_however_young() {
        let removed = LinkRecord {
            since: 10,
            removed: true,
        };
        let there = LinkRecord {
            since: 10,
            removed: false,
        };
        assert!(link(Some(&removed), 10, GRACE).is_some());
        assert!(link(None, 10, GRACE).is_some());
        assert!(link(Some(&there), 10, GRACE).is_none());
        assert!(link(Some(&there), 60, GRACE).is_some());
    }

    #[test]
    fn a_pull_is_written_down_once_an_hour() {
        let tag = TagRecord {
            digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            media_type: String::new(),
            size: 0,
            layers: 0,
            pushed: 0,
            pulled: None,
            checked: None,
        };
        let first = pulled(&tag, 10).unwrap();
        assert_eq!(first.pulled, Some(10));
        assert_eq!(pulled(&first, 3609), None);
        assert_eq!(pulled(&first, 3610).unwrap().pulled, Some(3610));
    }
}
