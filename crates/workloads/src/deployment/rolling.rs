//! Rolling updates: new pods as far as there is room, old ones away as far as they are not needed.

use super::{Member, Planner, Which};

impl Planner<'_> {
    /// One step of a rolling update.
    pub(super) fn roll(&mut self) {
        let Some(new) = &self.new else { return };
        let size = self.new_size(new.replicas);
        if self.scale(Which::New, size) {
            return;
        }
        self.shrink_old();
    }

    /// The size that the new set may have, which has this one now. Pods that old sets have yet to give up take
    /// up room, so that there are never more pods than `maxSurge` allows; where a set has not said yet how many those
    /// are, there is none.
    pub(super) fn new_size(&self, now: i32) -> i32 {
        let desired = self.desired();
        if self.recreates() || now > desired {
            return desired;
        }
        if !self.old.iter().all(Member::is_observed) {
            return now;
        }
        let most = desired.saturating_add(self.bounds().0);
        let others = self.old.iter().map(|old| old.present());
        let present = others.fold(now, i32::saturating_add);
        let room = most.saturating_sub(present).max(0);
        now.saturating_add(room.min(desired - now))
    }

    /// Scales old sets down, the oldest first: pods that are not available at once, as they serve nobody; others as
    /// far as enough remain.
    fn shrink_old(&mut self) {
        if self.old.iter().all(|old| old.replicas == 0) {
            return;
        }
        let least = self.desired() - self.bounds().1;
        let total = self
            .all()
            .map(|set| set.replicas)
            .fold(0, i32::saturating_add);
        let starting = self
            .new
            .as_ref()
            .map_or(0, |new| new.replicas - new.available());
        let mut excess = total.saturating_sub(least).saturating_sub(starting);
        if excess <= 0 {
            return;
        }
        let mut sizes: Vec<i32> = self.old.iter().map(|old| old.replicas).collect();
        for (size, old) in sizes.iter_mut().zip(&self.old) {
            let broken = (*size - old.available()).clamp(0, excess);
            *size -= broken;
            excess -= broken;
        }
        let available = self
            .all()
            .map(|set| set.available())
            .fold(0, i32::saturating_add);
        let mut excess = available.saturating_sub(least).max(0).min(excess);
        for size in &mut sizes {
            let spared = (*size).min(excess);
            *size -= spared;
            excess -= spared;
        }
        for (index, size) in sizes.into_iter().enumerate() {
            if self.old.get(index).is_some_and(|old| old.replicas != size) {
                self.scale(Which::Old(index), size);
            }
        }
    }
}
