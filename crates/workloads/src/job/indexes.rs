//! Sets of indexes, as statuses hold them: `1,3-5,7`.

use std::fmt;

/// A set of indexes, small if they are consecutive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last of each run; in order, and apart from each other.
    runs: Vec<(i32, i32)>,
}

impl Indexes {
    /// Reads the indexes below a limit. Whatever is not an index or a run of them is skipped.
    pub fn parse(text: &str, limit: i32) -> Self {
        let mut runs: Vec<(i32, i32)> = text
            .split(',')
            .filter_map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let first: i32 = first.trim().parse().ok()?;
                let last: i32 = last.trim().parse().ok()?;
                let last = last.min(limit.saturating_sub(1));
                (0 <= first && first <= last).then_some((first, last))
            })
            .collect();
        runs.sort_unstable();
        let mut indexes = Self::default();
        for (first, last) in runs {
            match indexes.runs.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => indexes.runs.push((first, last)),
            }
        }
        indexes
    }

    /// Whether an index is one of them.
    pub fn contains(&self, index: i32) -> bool {
        let position = self.runs.partition_point(|(_, last)| *last < index);
        self.runs
            .get(position)
            .is_some_and(|(first, _)| *first <= index)
    }

    /// Adds an index.
    pub fn insert(&mut self, index: i32) {
        if index < 0 || self.contains(index) {
            return;
        }
        let position = self.runs.partition_point(|(_, last)| *last < index);
        self.runs.insert(position, (index, index));
        // The new run may touch the one after it, and the one before.
        for at in [position, position.wrapping_sub(1)] {
            let next = at.wrapping_add(1);
            if let (Some((_, last)), Some((first, end))) =
                (self.runs.get(at).copied(), self.runs.get(next).copied())
                && last.saturating_add(1) == first
            {
                self.runs.remove(next);
                if let Some(run) = self.runs.get_mut(at) {
                    run.1 = end;
                }
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> i32 {
        let lengths = self.runs.iter().map(|(first, last)| last - first + 1);
        lengths.fold(0, i32::saturating_add)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The first index from this one on that is not one of them.
    pub fn next_absent(&self, index: i32) -> i32 {
        let position = self.runs.partition_point(|(_, last)| *last < index);
        match self.runs.get(position) {
            Some((first, last)) if *first <= index => last.saturating_add(1),
            _ => index,
        }
    }

    /// How many of these are among others.
    pub fn common(&self, others: &Self) -> i32 {
        let overlap = |(a, b): &(i32, i32)| {
            let runs = others.runs.iter();
            runs.map(|(first, last)| (last.min(b) - first.max(a)).saturating_add(1).max(0))
                .fold(0, i32::saturating_add)
        };
        self.runs.iter().map(overlap).fold(0, i32::saturating_add)
    }
}

impl fmt::Display for Indexes {
    /// Three or more in a row are written as a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.runs.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match last - first {
                0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_or_more_in_a_row_are_a_run() {
        let mut indexes = Indexes::default();
        for index in [7, 1, 4, 3, 5, 9, 10] {
            indexes.insert(index);
        }
        assert_eq!(indexes.to_string(), "1,3-5,7,9,10");
        assert_eq!(Indexes::parse("1,3-5,7,9,10", 100), indexes);
    }

    #[test]
    fn nonsense_and_what_is_beyond_the_limit_is_skipped() {
        let indexes = Indexes::parse("x,-1,3-1,2-2147483647,,0-", 5);
        assert_eq!(indexes.to_string(), "2-4");
        assert_eq!(Indexes::parse("0-2147483647", i32::MAX).len(), i32::MAX);
        assert!(Indexes::parse("0-5", 0).is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_set(added in prop::collection::vec(0_i32..30, 0..40), others in prop::collection::vec(0_i32..30, 0..40)) {
            let of = |list: &[i32]| {
                let mut indexes = Indexes::default();
                list.iter().for_each(|index| indexes.insert(*index));
                indexes
            };
            let (indexes, set) = (of(&added), added.iter().copied().collect::<BTreeSet<_>>());
            let (other, other_set) = (of(&others), others.iter().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(usize::try_from(indexes.len()).unwrap(), set.len());
            prop_assert_eq!(usize::try_from(indexes.common(&other)).unwrap(), set.intersection(&other_set).count());
            for index in 0..31 {
                prop_assert_eq!(indexes.contains(index), set.contains(&index));
                let next = (index..).find(|i| !set.contains(i)).unwrap();
                prop_assert_eq!(indexes.next_absent(index), next);
            }
            prop_assert_eq!(Indexes::parse(&indexes.to_string(), 30), indexes);
        }
    }
}
