//! Sets of indexes of a job, as success policies and statuses hold them: `1,3-5,7`.

use std::{fmt, str::FromStr};

/// A set of indexes, small if they are consecutive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last of each run; in order, and apart from each other.
    runs: Vec<(i32, i32)>,
}

impl Indexes {
    /// Reads what a status says: whatever is not an index or a run of them is skipped, so that one wrong word does
    /// not undo what all others say.
    pub fn from_status(text: &str) -> Self {
        let mut runs: Vec<_> = text.split(',').filter_map(run).collect();
        runs.sort_unstable();
        let mut indexes = Self::default();
        for run in runs {
            indexes.push(run);
        }
        indexes
    }

    /// Those of them that are below a limit.
    #[must_use]
    pub fn below(mut self, limit: i32) -> Self {
        self.runs.retain(|(first, _)| *first < limit);
        if let Some((_, last)) = self.runs.last_mut() {
            *last = limit.saturating_sub(1).min(*last);
        }
        self
    }

    /// Adds a run that begins no earlier than the last one.
    fn push(&mut self, (first, last): (i32, i32)) {
        match self.runs.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => self.runs.push((first, last)),
        }
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
        let lengths = self
            .runs
            .iter()
            .map(|(first, last)| (last - first).saturating_add(1));
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

/// An index, or a run of more than one: its first and its last.
fn run(text: &str) -> Option<(i32, i32)> {
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|_| plain)
    };
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first < last).then_some((first, last))
        }
        None => number(text).map(|index| (index, index)),
    }
}

/// A text is no list of indexes and runs of them in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not indexes and runs of them in ascending order, such as 0,2-4")]
pub struct IndexesError;

impl FromStr for Indexes {
    type Err = IndexesError;

    fn from_str(text: &str) -> Result<Self, IndexesError> {
        let mut indexes = Self::default();
        let mut before = -1;
        for part in text.split(',') {
            let run = run(part).filter(|(first, _)| *first > before);
            let run = run.ok_or(IndexesError)?;
            before = run.1;
            indexes.push(run);
        }
        Ok(indexes)
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
        assert_eq!("1,3-5,7,9,10".parse(), Ok(indexes));
    }

    #[test]
    fn nonsense_and_what_is_beyond_the_limit_is_skipped() {
        let indexes = Indexes::from_status("x,-1,3-1,2-2147483647,,0-").below(5);
        assert_eq!(indexes.to_string(), "2-4");
        assert_eq!(Indexes::from_status("0-2147483647").len(), i32::MAX);
        assert!(Indexes::from_status("0-5").below(0).is_empty());
        assert_eq!(Indexes::from_status("5,1-2,4").to_string(), "1,2,4,5");
    }

    #[test]
    fn a_policy_is_read_whole_or_not_at_all() {
        let read = |text: &str| text.parse::<Indexes>().map(|indexes| indexes.to_string());
        assert_eq!(read("0,2-4"), Ok("0,2-4".to_owned()));
        assert_eq!(read("1,2,3"), Ok("1-3".to_owned()));
        for text in [
            "",
            "x",
            "1,",
            "1-",
            "-1",
            "3-1",
            "1-1",
            "2,1",
            "1,1",
            "+1",
            " 1",
            "0-5,3",
            "4294967296",
        ] {
            assert_eq!(read(text), Err(IndexesError), "{text}");
        }
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
            let text = indexes.to_string();
            prop_assert_eq!(&Indexes::from_status(&text), &indexes);
            if !set.is_empty() {
                prop_assert_eq!(text.parse(), Ok(indexes));
            }
        }
    }
}
