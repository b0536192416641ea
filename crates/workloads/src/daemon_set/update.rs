//! Rolling updates.

use std::{collections::BTreeSet, sync::Arc};

use super::Planner;
use crate::{
    counts::{count, length},
    pod::Pod,
    scaled::{Rounding, scaled},
};

/// The pods of a host that count in an update: at most one of each kind.
struct Pair<'a> {
    host: &'a str,
    old: Option<&'a Arc<Pod>>,
    new: Option<&'a Arc<Pod>>,
}

impl<'a> Planner<'a> {
    /// How many hosts may have a second pod, and how many may be without one that is available. Shares are of
    /// the hosts that are meant, rounded up.
    pub(super) fn bounds(&self) -> (i32, i32) {
        let strategy = self.snapshot.set.spec.update_strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
            return (0, 0);
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let hosts = count(self.hosts.iter().filter(|host| host.meant.run).count());
        let share = |value| scaled(value, hosts, Rounding::Up);
        let surge = rolling.and_then(|r| r.max_surge.as_ref()).map_or(0, share);
        let unavailable = rolling
            .and_then(|r| r.max_unavailable.as_ref())
            .map_or(1, share);
        match (surge, unavailable) {
            (0, 0) => (0, 1),
            both => both,
        }
    }

    /// Decides which pods of another template give way now.
    pub(super) fn update(&mut self) {
        let (surge, unavailable) = self.bounds();
        if surge > 0 {
            self.surge(length(surge));
        } else if unavailable > 0 {
            self.replace_old(length(unavailable));
        }
    }

    /// The hosts that are meant, each with the pods that count. One whose pods are too many is left out until they
    /// are not.
    fn pairs(&self) -> Vec<Pair<'a>> {
        let deleted: BTreeSet<&str> = self.delete.iter().map(|(pod, _)| pod.uid()).collect();
        let leaves = |pod: &Pod| pod.is_terminating() || deleted.contains(pod.uid());
        let meant = self.hosts.iter().filter(|host| host.meant.run);
        meant
            .filter_map(|host| {
                let staying = || host.pods.iter().copied().filter(|pod| !leaves(pod));
                let mut new = staying().filter(|pod| self.is_updated(pod));
                let mut old = staying().filter(|pod| !self.is_updated(pod));
                let pair = Pair {
                    host: host.name,
                    old: old.next(),
                    new: new.next(),
                };
                (new.next().is_none() && old.next().is_none()).then_some(pair)
            })
            .collect()
    }

    /// Deletes old pods: those that are not available at once, others as far as enough remain.
    fn replace_old(&mut self, most: usize) {
        let pairs = self.pairs();
        let is_available =
            |pod: &Option<&'a Arc<Pod>>| pod.is_some_and(|pod| self.is_available(pod));
        let away = |pair: &&Pair<'a>| !is_available(&pair.old) && !is_available(&pair.new);
        let mut unavailable = pairs.iter().filter(away).count();
        let mut chosen = Vec::new();
        for pair in &pairs {
            let Some(old) = pair.old else { continue };
            if self.is_available(old) {
                if unavailable >= most {
                    continue;
                }
                unavailable += 1;
            }
            chosen.push((old, "its template has changed"));
        }
        self.delete.extend(chosen);
    }

    /// Creates new pods beside old ones, and deletes an old one when the new one is available. Where the old one is not
    /// available, nothing is lost by not waiting.
    fn surge(&mut self, most: usize) {
        let pairs = self.pairs();
        let beside = |pair: &&Pair<'a>| {
            pair.old.is_some_and(|old| self.is_available(old))
                && pair.new.is_some_and(|new| !self.is_available(new))
        };
        let mut surging = pairs.iter().filter(beside).count();
        let (mut create, mut delete) = (Vec::new(), Vec::new());
        for pair in &pairs {
            let Some(old) = pair.old else { continue };
            let serves = self.is_available(old);
            match pair.new {
                Some(new) if !serves || self.is_available(new) => {
                    delete.push((old, "its template has changed"));
                }
                Some(_) => {}
                None if !serves => create.push(pair.host),
                None if surging < most => {
                    surging += 1;
                    create.push(pair.host);
                }
                None => {}
            }
        }
        self.create.extend(create);
        self.delete.extend(delete);
    }
}
