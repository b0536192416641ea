//! How long to wait after failures before more pods are created.

use jiff::Timestamp;

use super::{Planner, TRACKING, counting::attempts_before, policy::Verdict};
use crate::{
    counts::after,
    pod::{Phase, Pod},
};

/// The wait after the first failure, in seconds; it doubles with each further one.
const FIRST_WAIT: i64 = 10;
/// The longest wait, in seconds.
const LAST_WAIT: i64 = 360;

/// The wait after so many failures in a row.
fn wait(failures: u32) -> i64 {
    match failures {
        0 => 0,
        _ => (FIRST_WAIT << (failures - 1).min(16)).min(LAST_WAIT),
    }
}

/// When a pod ended.
fn ended(pod: &Pod, now: Timestamp) -> Timestamp {
    let at = pod.end.as_ref().and_then(|end| end.at);
    let asked = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let moment = at.or(pod.ready_since).or(asked).or(pod.created());
    moment.unwrap_or(now).min(now)
}

impl Planner<'_> {
    /// When pods may be created again: a while after the last failure, the longer the more pods failed since one last
    /// succeeded. Pods that are not there any more cannot be asked, and do not count; nor
    /// do those that were asked to go, as they did not fail by themselves.
    pub(super) fn backoff_until(&self) -> Timestamp {
        let now = self.snapshot.now;
        let mut last_success = Timestamp::MIN;
        let mut failures = Vec::new();
        for pod in &self.pods {
            // Pods that were stopped on purpose have neither failed nor succeeded.
            let counts = pod.has_finalizer(TRACKING) || !pod.is_terminating();
            if pod.phase == Phase::Succeeded {
                last_success = last_success.max(ended(pod, now));
            } else if counts && pod.phase == Phase::Failed && self.verdict(pod) != Verdict::Ignore {
                failures.push(ended(pod, now));
            }
        }
        let since = failures.iter().filter(|moment| **moment >= last_success);
        let failed = u32::try_from(since.clone().count()).unwrap_or(u32::MAX);
        since
            .max()
            .map_or(Timestamp::MIN, |last| after(*last, wait(failed)))
    }

    /// When the next pod of an index may be created, of which this was the last.
    pub(super) fn backoff_after(&self, last: &Pod) -> Timestamp {
        let failures = u32::try_from(attempts_before(last))
            .unwrap_or(0)
            .saturating_add(1);
        after(ended(last, self.snapshot.now), wait(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_six_minutes() {
        let waits: Vec<i64> = (0..8).map(wait).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 360]);
        assert_eq!(wait(u32::MAX), 360);
    }
}
