//! Zones, and whether one is cut off from us rather than dead.
//!
//! Of hosts that die by themselves a few are silent at a time. When most hosts of a zone are, it is far
//! more likely that nothing can be heard from there: its pods run, and to start them elsewhere would double the load on the
//! zones that are left, at the worst moment.

use std::time::Duration;

use super::{NodeSettings, hearing::Moment};

/// The share of a zone's hosts, in percent, from which on it counts as cut off. Kubernetes' default.
const CUT_OFF_PERCENT: usize = 55;
/// As many failing hosts are no zone's failure, however small it is. Kubernetes' number.
const FEW: usize = 2;

/// A zone.
#[derive(Debug, Default)]
pub(super) struct Zone {
    hosts: usize,
    failing: usize,
    state: State,
}

/// Whether a zone counts as cut off.
#[derive(Debug, Default)]
enum State {
    #[default]
    Well,
    /// Most of its hosts fail; the next of them may be evicted at that time.
    CutOff { next: Moment },
    /// It did until then. Its hosts are heard again one after the other, and those that are not yet must not
    /// be evicted for being the last.
    Returning { since: Moment },
}

impl Zone {
    pub(super) fn forget_counts(&mut self) {
        (self.hosts, self.failing) = (0, 0);
    }

    pub(super) fn count(&mut self, failing: bool) {
        self.hosts += 1;
        self.failing += usize::from(failing);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts == 0
    }

    /// Decides whether the zone counts as cut off.
    pub(super) fn judge(&mut self, now: Moment, settings: &NodeSettings) {
        let most = self.failing > FEW && self.failing * 100 >= self.hosts * CUT_OFF_PERCENT;
        match self.state {
            State::Well | State::Returning { .. } if most => {
                let next = now.saturating_add(settings.zone_eviction_delay);
                self.state = State::CutOff { next };
            }
            State::CutOff { .. } if !most => self.state = State::Returning { since: now },
            State::Returning { since } if now.saturating_sub(since) >= settings.grace_period => {
                self.state = State::Well;
            }
            _ => {}
        }
    }

    /// Nobody could listen until now: its hosts are about to be heard again.
    pub(super) fn begin_anew(&mut self, now: Moment) {
        self.state = State::Returning { since: now };
    }

    /// Whether one more of its hosts may be evicted now; nothing if the zone is well and does not limit that.
    pub(super) fn leave(&mut self, now: Moment, settings: &NodeSettings) -> Option<bool> {
        match &mut self.state {
            State::Well => None,
            State::Returning { .. } => Some(false),
            State::CutOff { next } => {
                let leave = now >= *next;
                if leave {
                    let interval = settings.zone_eviction_interval;
                    *next = now.saturating_add(interval.max(Duration::from_millis(1)));
                }
                Some(leave)
            }
        }
    }
}
