//! Which volume a claim gets.

use mosaic_scheduler::model;

use super::view::{Claim, Volume};

/// The best volume that nobody has and that would do, of those in `volumes`. `host`, if given, has to reach it, unless it
/// is kept for the claim. With `only_reserved`, one that is, and no other.
pub(super) fn best<'a>(
    claim: &Claim,
    volumes: impl Iterator<Item = &'a Volume>,
    host: Option<&model::Node>,
    only_reserved: bool,
) -> Option<&'a Volume> {
    let may_have = |volume: &model::Volume| {
        volume.is_candidate(&claim.model)
            && (volume.claim.is_some()
                || !only_reserved && host.is_none_or(|host| volume.is_reached_from(host)))
    };
    volumes
        .filter(|volume| may_have(&volume.model))
        .min_by(|a, b| a.model.preference().cmp(&b.model.preference()))
}
