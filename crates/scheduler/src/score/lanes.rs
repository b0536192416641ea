//! Numbers of hosts, 64 at a time.

use crate::bits::Bits;

/// By the eight bits of a byte: nothing for a one, and less than anything for a zero.
static PENALTIES: [[f32; 8]; 256] = penalties();

#[expect(clippy::indexing_slicing, reason = "both are counted up to their ends")]
const fn penalties() -> [[f32; 8]; 256] {
    let mut table = [[0.0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte >> bit & 1 == 0 {
                table[byte][bit] = f32::NEG_INFINITY;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
}

/// A set of hosts, in a form in which numbers of those outside are passed over without a branch.
pub(crate) struct Candidates {
    pub(super) hosts: Bits,
    penalty: Vec<f32>,
}

impl Candidates {
    pub(crate) fn new(hosts: Bits) -> Self {
        let mut penalty = Vec::with_capacity(hosts.words().len() * 64);
        for word in hosts.words() {
            for byte in word.to_le_bytes() {
                if let Some(row) = PENALTIES.get(usize::from(byte)) {
                    penalty.extend_from_slice(row);
                }
            }
        }
        Self { hosts, penalty }
    }

    pub(crate) fn hosts(&self) -> &Bits {
        &self.hosts
    }

    /// How many places there are, of which hosts have some.
    pub(crate) fn len(&self) -> usize {
        self.penalty.len()
    }

    /// The lowest and the highest number of these hosts. By eights, which the compiler turns into a few
    /// instructions.
    pub(super) fn extremes(&self, numbers: &[f32]) -> Option<(f32, f32)> {
        let mut low = [f32::INFINITY; 8];
        let mut high = [f32::NEG_INFINITY; 8];
        let (rows, _) = numbers.as_chunks::<8>();
        let (penalties, _) = self.penalty.as_chunks::<8>();
        for (row, penalties) in rows.iter().zip(penalties) {
            let lanes = low.iter_mut().zip(&mut high).zip(row.iter().zip(penalties));
            for ((low, high), (number, penalty)) in lanes {
                let (least, most) = (number - penalty, number + penalty);
                *low = if least < *low { least } else { *low };
                *high = if most > *high { most } else { *high };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        (low <= high).then_some((low, high))
    }

    /// Adds `number * scale + offset` to each score; those of hosts outside may get anything.
    pub(super) fn add_scaled(&self, numbers: &[f32], scale: f32, offset: f32, scores: &mut [f32]) {
        let (blocks, _) = numbers.as_chunks::<64>();
        let (sums, _) = scores.as_chunks_mut::<64>();
        for ((word, block), sums) in self.hosts.words().iter().zip(blocks).zip(sums) {
            if *word == 0 {
                continue;
            }
            for (sum, number) in sums.iter_mut().zip(block) {
                *sum += number * scale + offset;
            }
        }
    }
}
