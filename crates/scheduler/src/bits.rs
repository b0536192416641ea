//! Sets of hosts, and numbers of pods by host.

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Room for numbers below `capacity`, rounded up to whole words.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(vec![0; capacity.div_ceil(64)])
    }

    pub(crate) fn grow(&mut self, capacity: usize) {
        let words = capacity.div_ceil(64);
        if words > self.0.len() {
            self.0.resize(words, 0);
        }
    }

    pub(crate) fn get(&self, at: u32) -> bool {
        let word = self.0.get(at as usize / 64);
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(crate) fn set(&mut self, at: u32, on: bool) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            let bit = 1 << (at % 64);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0
            .iter()
            .zip(0u32..)
            .flat_map(|(word, index)| ones(*word).map(move |bit| index * 64 + bit))
    }

    /// Keeps those for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        for (word, index) in self.0.iter_mut().zip(0u32..) {
            for bit in ones(*word) {
                if !keep(index * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

/// The places of a word's ones.
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros();
            word &= word - 1;
            bit
        })
    })
}

/// How many pods are on each host, of hosts that have any, sorted by host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(Vec<(u32, u32)>);

impl Counts {
    pub(crate) fn add(&mut self, at: u32) {
        match self.0.binary_search_by_key(&at, |(known, _)| *known) {
            Ok(found) => {
                if let Some((_, count)) = self.0.get_mut(found) {
                    *count += 1;
                }
            }
            Err(place) => self.0.insert(place, (at, 1)),
        }
    }

    pub(crate) fn sub(&mut self, at: u32) {
        let Ok(found) = self.0.binary_search_by_key(&at, |(known, _)| *known) else {
            return;
        };
        match self.0.get_mut(found) {
            Some((_, count)) if *count > 1 => *count -= 1,
            _ => {
                self.0.remove(found);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }
}

/// The number at a place, which is nothing where nothing was put.
pub(crate) fn at(numbers: &[u32], place: u32) -> u32 {
    numbers.get(place as usize).copied().unwrap_or(0)
}

/// Room for the number at a place.
pub(crate) fn at_mut(numbers: &mut Vec<u32>, place: u32) -> Option<&mut u32> {
    if place as usize >= numbers.len() {
        numbers.resize(place as usize + 1, 0);
    }
    numbers.get_mut(place as usize)
}
