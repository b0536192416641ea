//! Another size in the middle of a rollout: each set gets its share.

use super::{Member, Planner, Which, annotations, exists};
use crate::owner;

impl Planner<'_> {
    /// Whether the desired number of pods has changed since the sets were last scaled.
    pub(super) fn is_resized(&self) -> bool {
        // With `Recreate`, pods of several sets are none to be kept in proportion.
        if self.recreates() && self.all().filter(|set| set.replicas > 0).count() > 1 {
            return false;
        }
        self.all().any(|set| {
            let desired = number(set, annotations::DESIRED_REPLICAS);
            set.replicas > 0 && desired.is_some_and(|desired| desired != self.desired())
        })
    }

    /// Changes the sizes of sets without going on with a rollout.
    pub(super) fn resize(&mut self) {
        let desired = self.desired();
        if let Some(only) = self.only() {
            self.scale(only, desired);
        } else if self.is_saturated() {
            for index in 0..self.old.len() {
                if self.old.get(index).is_some_and(|old| old.replicas > 0) {
                    self.scale(Which::Old(index), 0);
                }
            }
        } else {
            self.share();
        }
    }

    /// The one set that has pods; if there is none, the newest.
    fn only(&self) -> Option<Which> {
        let active: Vec<Which> = self
            .which()
            .filter(|(_, s)| s.replicas > 0)
            .map(|(w, _)| w)
            .collect();
        match (active.as_slice(), &self.new) {
            ([only], _) => Some(*only),
            ([], Some(_)) => Some(Which::New),
            ([], None) => self.old.len().checked_sub(1).map(Which::Old),
            _ => None,
        }
    }

    fn which(&self) -> impl Iterator<Item = (Which, &Member<'_>)> {
        let old = self.old.iter().enumerate();
        old.map(|(index, set)| (Which::Old(index), set))
            .chain(self.new.iter().map(|set| (Which::New, set)))
    }

    /// Whether the new set has all pods that it could have.
    fn is_saturated(&self) -> bool {
        let desired = self.desired();
        self.new.as_ref().is_some_and(|new| {
            new.replicas == desired
                && number(new, annotations::DESIRED_REPLICAS) == Some(desired)
                && new.available() == desired
        })
    }

    /// Spreads what is to be added or taken away over the sets that have pods, in proportion to their sizes. Larger
    /// sets come first, and get what is left over by rounding; of equal ones, the newer first when pods are added, the
    /// older first when they are taken away.
    fn share(&mut self) {
        let desired = self.desired();
        let most = if desired > 0 {
            desired.saturating_add(self.bounds().0)
        } else {
            0
        };
        let mut active: Vec<(Which, i32, i32)> = self
            .which()
            .filter(|(_, set)| set.replicas > 0)
            .map(|(which, set)| (which, set.replicas, self.fair_change(set, most)))
            .collect();
        let total = active
            .iter()
            .map(|(_, size, _)| *size)
            .fold(0, i32::saturating_add);
        let to_add = most.saturating_sub(total);
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|(_, size, _)| std::cmp::Reverse(*size));
        let mut left = to_add;
        for (_, size, change) in &mut active {
            let step = if to_add >= 0 {
                (*change).clamp(0, left.max(0))
            } else {
                (*change).clamp(left.min(0), 0)
            };
            *size += step;
            left -= step;
        }
        if let Some((_, size, _)) = active.first_mut() {
            *size = size.saturating_add(left).max(0);
        }
        for (which, size, _) in active {
            self.scale(which, size);
        }
    }

    /// How much a set would grow or shrink if it were to keep its share.
    fn fair_change(&self, set: &Member<'_>, most: i32) -> i32 {
        if self.desired() == 0 {
            return -set.replicas;
        }
        let before = number(set, annotations::MAX_REPLICAS).filter(|n| *n > 0);
        let existing = || self.all().map(|set| exists(set.set));
        let before = before.unwrap_or_else(|| existing().fold(0, i32::saturating_add).max(1));
        let size = f64::from(set.replicas) * f64::from(most) / f64::from(before);
        // A share never exceeds `i32`: it is compared with what may be added before it is used.
        let rounded = size.round().clamp(0.0, f64::from(i32::MAX));
        #[allow(clippy::cast_possible_truncation)]
        let rounded = rounded as i32;
        rounded.saturating_sub(set.replicas)
    }
}

fn number(set: &Member<'_>, key: &str) -> Option<i32> {
    owner::annotation(&set.set.metadata, key)?.parse().ok()
}
