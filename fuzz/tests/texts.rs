//! The bodies that read text, on mutations of texts that mean something.

use mosaic_fuzz::texts::{field_selector, label_selector, quantity, schedule};

const SEEDS: [&str; 16] = [
    "a=b,c!=d",
    "a in (b,c),!d",
    "x notin (y),z",
    "n>1,m<2",
    "example.org/name==value",
    "metadata.name=x,spec.nodeName!=y",
    "status.phase=a\\,b\\=c\\\\",
    "100m",
    "1.5Gi",
    "-12e6",
    "+.5E",
    "9223372036854775807Ki",
    "*/5 0-6 1,15 jan-mar mon",
    "0 12 ? * SUN",
    "@every 1h30m",
    "@weekly",
];

/// A small generator of the same numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    let mut text = SEEDS[numbers.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..numbers.below(5) {
        let at = numbers.below(text.len());
        match numbers.below(4) {
            0 if !text.is_empty() => {
                text.remove(at);
            }
            1 => text.insert(at, u8::try_from(32 + numbers.below(95)).unwrap()),
            2 => text.extend_from_slice(SEEDS[numbers.below(SEEDS.len())].as_bytes()),
            _ => text.truncate(at),
        }
    }
    text
}

#[test]
fn texts_that_are_accepted_are_written_back_as_they_were_meant() {
    let mut numbers = Numbers(1);
    for _ in 0..100_000 {
        let text = mutated(&mut numbers);
        label_selector(&text);
        field_selector(&text);
        quantity(&text);
        schedule(&text);
    }
}
