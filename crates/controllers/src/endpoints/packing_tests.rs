use proptest::prelude::*;

use super::*;

/// An endpoint of a state: a state more is a change.
fn endpoint(number: usize, state: u8) -> Endpoint {
    Endpoint {
        addresses: vec![format!("10.0.{}.{}", number / 256, number % 256)],
        hostname: (state > 0).then(|| format!("s{state}")),
        ..Endpoint::default()
    }
}

fn some(numbers: impl IntoIterator<Item = usize>) -> Vec<Endpoint> {
    numbers
        .into_iter()
        .map(|number| endpoint(number, 0))
        .collect()
}

fn repack(wanted: Vec<Endpoint>, slices: &[Vec<Endpoint>]) -> Vec<Packed> {
    let slices: Vec<&[Endpoint]> = slices.iter().map(Vec::as_slice).collect();
    pack(wanted, &slices)
}

fn in_use(packed: &[Packed]) -> Vec<Vec<Endpoint>> {
    let in_use = packed.iter().filter(|one| !one.endpoints.is_empty());
    in_use.map(|one| one.endpoints.clone()).collect()
}

fn lengths(packed: &[Packed]) -> Vec<usize> {
    packed.iter().map(|one| one.endpoints.len()).collect()
}

fn changed(packed: &[Packed]) -> Vec<bool> {
    packed.iter().map(|one| one.is_changed).collect()
}

#[test]
fn new_endpoints_fill_slices() {
    assert_eq!(lengths(&repack(some(0..250), &[])), [100, 100, 50]);
    // The fullest that takes them all is written, and no other.
    let there = [some(0..60), some(100..180), some(200..300)];
    let wanted = some((0..60).chain(100..180).chain(200..300).chain(400..410));
    let packed = repack(wanted, &there);
    assert_eq!(
        (lengths(&packed), changed(&packed)),
        (vec![60, 90, 100], vec![false, true, false])
    );
    // Too many for any of those: one new slice is one write, two fuller ones would be two.
    let wanted = some((0..60).chain(100..180).chain(200..300).chain(400..450));
    let packed = repack(wanted, &there);
    assert_eq!(lengths(&packed), [60, 80, 100, 50]);
    assert_eq!(changed(&packed), [false, false, false, true]);
}

#[test]
fn what_is_written_anyway_takes_new_endpoints_first() {
    let there = [some(0..100), some(100..160)];
    let wanted = some((0..90).chain(100..160).chain(400..410));
    let packed = repack(wanted, &there);
    assert_eq!(
        (lengths(&packed), changed(&packed)),
        (vec![100, 60], vec![true, false])
    );
    assert!(packed[0].grows && !packed[1].grows);
}

#[test]
fn slices_that_are_written_anyway_are_emptied_into_each_other() {
    let there: Vec<_> = (0..10)
        .map(|slice| some(slice * 100..slice * 100 + 100))
        .collect();
    let packed = repack(some((0..1000).filter(|number| number % 10 == 0)), &there);
    let left = in_use(&packed);
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [100]);
}

#[test]
fn a_change_of_state_stays_in_its_place() {
    let there = [some(0..100), some(100..200)];
    let mut wanted = some(0..200);
    wanted[150] = endpoint(150, 1);
    let packed = repack(wanted, &there);
    assert_eq!(changed(&packed), [false, true]);
    assert_eq!(packed[1].endpoints[50], endpoint(150, 1));
    assert!(!packed[1].grows);
}

#[test]
fn slices_that_others_overfilled_are_brought_to_order() {
    let there = [some((0..150).chain(0..10))];
    let packed = repack(some(0..150), &there);
    assert_eq!(
        (lengths(&packed), changed(&packed)),
        (vec![100, 50], vec![true, true])
    );
}

/// Endpoints that come, change and go, a few steps long.
fn steps() -> impl Strategy<Value = Vec<Vec<(usize, u8)>>> {
    let change = prop_oneof![
        // Single ones, stretches, and each so many-th.
        (0..600_usize, 0..3_u8).prop_map(|(number, state)| vec![(number, state)]),
        (0..600_usize, 1..300_usize, 0..3_u8)
            .prop_map(|(from, count, state)| (from..from + count).map(|n| (n, state)).collect()),
        (2..12_usize, 0..3_u8)
            .prop_map(|(step, state)| (0..600).step_by(step).map(|n| (n, state)).collect()),
    ];
    prop::collection::vec(change, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// State 2 means that an endpoint is gone.
    #[test]
    fn each_endpoint_is_in_one_slice_and_few_slices_are_written(steps in steps()) {
        let mut slices: Vec<Vec<Endpoint>> = Vec::new();
        let mut states: std::collections::BTreeMap<usize, u8> = std::collections::BTreeMap::new();
        for step in steps {
            let before = states.clone();
            for (number, state) in step {
                if state == 2 { states.remove(&number) } else { states.insert(number, state) };
            }
            let wanted: Vec<_> = states.iter().map(|(number, state)| endpoint(*number, *state)).collect();
            let packed = repack(wanted.clone(), &slices);

            let mut held: Vec<_> = packed.iter().flat_map(|one| one.endpoints.clone()).collect();
            let key = |endpoint: &Endpoint| endpoint.addresses.clone();
            held.sort_by_key(key);
            let mut sorted = wanted.clone();
            sorted.sort_by_key(key);
            prop_assert_eq!(held, sorted, "each is in exactly one slice");
            prop_assert!(packed.iter().all(|one| one.endpoints.len() <= MOST));
            let used = in_use(&packed).len();
            prop_assert!(used <= 2 * wanted.len().div_ceil(MOST), "{used} slices for {}", wanted.len());

            for (one, slice) in packed.iter().zip(&slices) {
                prop_assert_eq!(one.is_changed, one.endpoints != *slice, "what is written differs");
                let grows = one.endpoints.iter().any(|endpoint| !slice.iter().any(|old| old.addresses == endpoint.addresses));
                prop_assert_eq!(one.grows, grows);
            }

            // What has to be written: slices of which something changed or went, and what the new ones need
            // beyond the room in these. Merging may cost more, but only if too many slices were in use.
            let must: Vec<bool> = slices.iter().map(|slice| {
                let mut slice = slice.iter();
                slice.any(|old| !wanted.contains(old))
            }).collect();
            let stay = |slice: &Vec<Endpoint>| slice.iter().filter(|old| {
                wanted.iter().any(|new| new.addresses == old.addresses)
            }).count();
            let room: usize = slices.iter().zip(&must).filter(|(_, must)| **must).map(|(slice, _)| MOST - stay(slice)).sum();
            let new = states.keys().filter(|number| !before.contains_key(number)).count();
            let least = must.iter().filter(|must| **must).count() + new.saturating_sub(room).div_ceil(MOST);
            let written = packed.iter().filter(|one| one.is_changed).count();
            if slices.len() <= 2 * wanted.len().div_ceil(MOST) {
                prop_assert!(written <= least, "{written} written instead of {least}");
            }

            slices = in_use(&packed);
            let again = repack(wanted, &slices);
            prop_assert!(again.iter().all(|one| !one.is_changed), "looking twice writes once");
        }
    }
}
