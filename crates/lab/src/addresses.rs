//! Addresses of simulated hosts and of their pods: each host has a block of its own, so that no two pods of
//! any process have the same one as long as hosts have different numbers.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The addresses of a host's pods.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    first: u32,
    size: u32,
    next: u32,
    used: Box<[u64]>,
}

/// How many addresses a block has for so many pods: more than pods, so that one is not used again at once.
pub(crate) fn block_size(pods: u32) -> u32 {
    pods.saturating_add(2)
        .checked_next_power_of_two()
        .unwrap_or(1 << 31)
        .max(4)
}

/// How many blocks fit into a range.
pub(crate) fn blocks(range: Ipv4Net, size: u32) -> u64 {
    (1_u64 << (32 - u32::from(range.prefix_len()))) / u64::from(size)
}

impl Block {
    /// The block of a host, by its number from 0 on. None if the range ends before it.
    pub(crate) fn new(range: Ipv4Net, size: u32, number: u32) -> Option<Self> {
        if u64::from(number) >= blocks(range, size) {
            return None;
        }
        let first = u32::from(range.network()).checked_add(number.checked_mul(size)?)?;
        Some(Self {
            first,
            size,
            // The block's own first and last address stay free, as those of networks do.
            next: 1,
            used: vec![0; (size as usize).div_ceil(64)].into(),
        })
    }

    /// Takes an address that is free, the one that was free for the longest time.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        for _ in 0..self.size {
            let offset = self.next;
            self.next = if offset + 2 >= self.size {
                1
            } else {
                offset + 1
            };
            let (word, bit) = (self.used.get_mut(offset as usize / 64)?, 1 << (offset % 64));
            if *word & bit == 0 {
                *word |= bit;
                return Some(Ipv4Addr::from(self.first + offset));
            }
        }
        None
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        let Some(offset) = u32::from(address).checked_sub(self.first) else {
            return;
        };
        if offset < self.size
            && let Some(word) = self.used.get_mut(offset as usize / 64)
        {
            *word &= !(1 << (offset % 64));
        }
    }

    /// Gives all addresses back.
    pub(crate) fn clear(&mut self) {
        self.used.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_pods_have_the_same_address() {
        let range: Ipv4Net = "10.128.0.0/9".parse().unwrap();
        let size = block_size(110);
        let mut seen = HashSet::new();
        for number in [0, 1, 2, 4_999] {
            let mut block = Block::new(range, size, number).unwrap();
            for _ in 0..110 {
                let address = block.take().unwrap();
                assert!(range.contains(&address));
                assert!(seen.insert(address), "{address} twice");
            }
        }
        assert!(
            Block::new(range, size, 65_536).is_none(),
            "the range is used up"
        );
    }

    #[test]
    fn what_is_given_back_is_used_again_but_not_at_once() {
        let mut block = Block::new("10.0.0.0/24".parse().unwrap(), 8, 1).unwrap();
        let all: Vec<_> = (0..6).map(|_| block.take().unwrap()).collect();
        assert_eq!(
            (all[0], all[5]),
            ([10, 0, 0, 9].into(), [10, 0, 0, 14].into())
        );
        assert_eq!(block.take(), None);
        block.release(all[3]);
        assert_eq!(block.take(), Some(all[3]));
        block.release(all[0]);
        block.release(all[5]);
        assert_eq!(block.take(), Some(all[5]), "the one that comes next");
        block.release([10, 9, 9, 9].into());
        block.clear();
        assert!(block.take().is_some());
    }
}
