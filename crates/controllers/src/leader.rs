//! One process at work at a time in each group of controllers, by the group's lease in `kube-system`.
//!
//! The holder renews the lease every [`RENEW`] and stops by itself when it could not for [`DEADLINE`].
//! Others take a lease that did not change for [`DURATION`], by their own clock: clocks that disagree do
//! no harm. `DEADLINE < DURATION` is what keeps two from being at work, and `DURATION` and a look at the
//! lease are what a holder's death costs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::{Absent, Error, Result};

const NAMESPACE: &str = "kube-system";
/// A lease that did not change for this long is anybody's.
const DURATION: Duration = Duration::from_secs(4);
/// How often the holder renews.
const RENEW: Duration = Duration::from_millis(1500);
/// A holder that could not renew for this long stops.
const DEADLINE: Duration = Duration::from_secs(3);
/// The pause after a failed call.
const RETRY: Duration = Duration::from_millis(500);

/// What a process that does not lead does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is no lease: create it.
    Create,
    /// The lease is free or run out: take it.
    Take,
    /// Look again after this time.
    Wait(Duration),
}

/// What a process that does not lead has seen of the lease, and when it first looked like that.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    version: Option<String>,
    since: Option<Instant>,
}

impl Seen {
    /// What to do about the lease as it is now.
    fn plan(&mut self, lease: Option<&Lease>, identity: &str, now: Instant) -> Step {
        let Some(lease) = lease else {
            return Step::Create;
        };
        let spec = lease.spec.as_ref();
        let holder = spec
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        if holder.is_empty() || holder == identity {
            return Step::Take;
        }
        let since = match self.since {
            Some(since) if self.version == lease.metadata.resource_version => since,
            _ => {
                self.version.clone_from(&lease.metadata.resource_version);
                self.since = Some(now);
                now
            }
        };
        // The holder's own word counts, within reason.
        let seconds = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .unwrap_or(0);
        let duration = Duration::from_secs(seconds.clamp(1, 60).unsigned_abs().into());
        match (since + duration).checked_duration_since(now) {
            Some(left) if !left.is_zero() => Step::Wait(left),
            _ => Step::Take,
        }
    }
}

/// Takes part in the election.
pub(crate) struct Elector {
    leases: Api<Lease>,
    group: &'static str,
    identity: String,
}

impl Elector {
    /// A candidate of this name for the lease of a group.
    pub(crate) fn new(client: Client, group: &'static str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, NAMESPACE),
            group,
            identity,
        }
    }

    /// Runs `work` whenever this process leads, until shutdown.
    pub(crate) async fn run<F, Fut>(self, shutdown: CancellationToken, work: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        loop {
            let (lease, renewed) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                acquired = self.acquire() => acquired,
            };
            tracing::info!(group = self.group, identity = self.identity, "leading");
            let held = parking_lot::Mutex::new(lease);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    let lease = held.lock().clone();
                    self.release(lease).await;
                    return;
                }
                () = self.keep(&held, renewed) => {
                    tracing::warn!(group = self.group, identity = self.identity, "the lease is lost");
                }
                // It fails at once where it fails at all; leading goes on after a pause.
                () = work() => sleep(RETRY).await,
            }
        }
    }

    /// Returns the lease once this process holds it, and the time before it was written.
    async fn acquire(&self) -> (Lease, Instant) {
        let mut seen = Seen::default();
        loop {
            let now = Instant::now();
            let delay = match timeout(DEADLINE, self.try_acquire(&mut seen)).await {
                Ok(Ok(Ok(lease))) => return (lease, now),
                Ok(Ok(Err(delay))) => delay,
                Ok(Err(error)) if error.is_conflict() => RETRY,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the lease cannot be taken");
                    RETRY
                }
                Err(_) => RETRY,
            };
            sleep(delay).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Seen) -> Result<Result<Lease, Duration>> {
        let lease = self.leases.get(self.group).await.or_absent()?;
        match seen.plan(lease.as_ref(), &self.identity, Instant::now()) {
            Step::Wait(delay) => Ok(Err(delay)),
            Step::Create => {
                let metadata = ObjectMeta {
                    name: Some(self.group.to_owned()),
                    namespace: Some(NAMESPACE.to_owned()),
                    ..ObjectMeta::default()
                };
                let lease = taken(
                    Lease {
                        metadata,
                        spec: None,
                    },
                    &self.identity,
                );
                Ok(Ok(self
                    .leases
                    .create(&PostParams::default(), &lease)
                    .await?))
            }
            Step::Take => {
                let lease =
                    lease.ok_or_else(|| Error::Other("there is no lease to take".to_owned()))?;
                self.write(taken(lease, &self.identity)).await.map(Ok)
            }
        }
    }

    /// Renews the lease; returns when it is lost.
    async fn keep(&self, held: &parking_lot::Mutex<Lease>, mut renewed: Instant) {
        let mut delay = RENEW;
        loop {
            let deadline = renewed + DEADLINE;
            if timeout_at(deadline, sleep(delay)).await.is_err() {
                return;
            }
            let now = Instant::now();
            let lease = taken(held.lock().clone(), &self.identity);
            match timeout_at(deadline, self.write(lease)).await {
                Err(_) => return,
                Ok(Ok(lease)) => {
                    *held.lock() = lease;
                    (renewed, delay) = (now, RENEW);
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the lease cannot be renewed");
                    delay = RETRY;
                    // It may be that somebody touched the lease, or that an earlier write arrived after all.
                    if let Ok(Ok(lease)) = timeout_at(deadline, self.leases.get(self.group)).await {
                        if !is_held(&lease, &self.identity) {
                            return;
                        }
                        *held.lock() = lease;
                    }
                }
            }
        }
    }

    /// Lets the lease go, so that the next process need not wait for it to run out.
    async fn release(&self, mut lease: Lease) {
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        if let Ok(Err(error)) = timeout(DEADLINE, self.write(lease)).await {
            tracing::debug!(%error, "the lease is left to run out");
        }
    }

    async fn write(&self, lease: Lease) -> Result<Lease> {
        Ok(self
            .leases
            .replace(self.group, &PostParams::default(), &lease)
            .await?)
    }
}

fn is_held(lease: &Lease, identity: &str) -> bool {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        == Some(identity)
}

/// The lease in the hands of this process, renewed now.
fn taken(mut lease: Lease, identity: &str) -> Lease {
    let now = MicroTime(Timestamp::now());
    let old = lease.spec.take().unwrap_or_default();
    let same = old.holder_identity.as_deref() == Some(identity);
    let transitions = old.lease_transitions.unwrap_or(0);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if same {
            old.acquire_time
        } else {
            Some(now.clone())
        },
        renew_time: Some(now),
        lease_transitions: Some(if same {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        ..old
    });
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let mut lease = taken(Lease::default(), holder);
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_when_it_is_free_or_did_not_change_for_its_duration() {
        let now = Instant::now();
        let mut seen = Seen::default();
        assert_eq!(seen.plan(None, "me", now), Step::Create);
        assert_eq!(seen.plan(Some(&lease("", "1")), "me", now), Step::Take);
        assert_eq!(seen.plan(Some(&lease("me", "1")), "me", now), Step::Take);
        let other = lease("other", "2");
        assert_eq!(seen.plan(Some(&other), "me", now), Step::Wait(DURATION));
        let later = now + Duration::from_secs(3);
        assert_eq!(
            seen.plan(Some(&other), "me", later),
            Step::Wait(Duration::from_secs(1))
        );
        assert_eq!(
            seen.plan(Some(&lease("other", "3")), "me", later),
            Step::Wait(DURATION),
            "it was renewed"
        );
        assert_eq!(
            seen.plan(Some(&lease("other", "3")), "me", later + DURATION),
            Step::Take
        );
    }

    #[test]
    fn the_holder_stops_before_another_may_begin() {
        assert!(RENEW < DEADLINE && DEADLINE < DURATION && DURATION < Duration::from_secs(5));
    }

    #[test]
    fn taking_counts_transitions_and_renewing_does_not() {
        let first = taken(Lease::default(), "a");
        let renewed = taken(first.clone(), "a");
        let next = taken(renewed.clone(), "b");
        let transitions =
            |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        assert_eq!(transitions(&first), transitions(&renewed));
        assert_eq!(transitions(&next), Some(2));
        assert!(is_held(&next, "b") && !is_held(&next, "a"));
    }
}
