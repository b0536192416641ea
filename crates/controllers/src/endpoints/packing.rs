//! Which endpoint goes into which slice: as few writes as can be, and slices that stay well filled.
//!
//! ```text
//!   stay      an endpoint stays in the slice that it is in
//!   fill      new ones go into slices that are written anyway, the fullest first; then into new slices, the
//!             rest into the one slice that it fills best
//!   merge     slices that are written anyway are emptied into each other; others only when more than twice
//!             as many slices are in use as are needed
//! ```
//!
//! Every write of a slice is sent to every host, so that a write more costs more than a slice that is half full.

use std::collections::HashMap;

use k8s_openapi::api::discovery::v1::Endpoint;

/// The most endpoints in a slice, as in Kubernetes by default.
pub(super) const MOST: usize = 100;

/// A slice as it should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Packed {
    /// What it holds; at most [`MOST`].
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether that differs from what there is.
    pub(super) is_changed: bool,
    /// Whether there is an endpoint in it that was not in it before.
    pub(super) grows: bool,
}

impl Packed {
    fn free(&self) -> usize {
        MOST.saturating_sub(self.endpoints.len())
    }

    fn is_in_use(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Takes as many endpoints as there is room for.
    fn take(&mut self, endpoints: &mut Vec<Endpoint>) {
        let some = endpoints.len().saturating_sub(self.free());
        if some < endpoints.len() {
            self.endpoints.extend(endpoints.drain(some..).rev());
            self.is_changed = true;
            self.grows = true;
        }
    }
}

/// What makes an endpoint the same one, whatever its state: whose it is, and its address.
fn identity(endpoint: &Endpoint) -> (&str, &str) {
    let target = endpoint.target_ref.as_ref();
    let uid = target.and_then(|target| target.uid.as_deref());
    let address = endpoint.addresses.first().map(String::as_str);
    (uid.unwrap_or_default(), address.unwrap_or_default())
}

/// Packs endpoints into slices: first those that there are, in their order (some may end up empty), then new
/// ones. What is wanted twice is packed once.
pub(super) fn pack(wanted: Vec<Endpoint>, slices: &[&[Endpoint]]) -> Vec<Packed> {
    let (mut packed, mut new) = stay(wanted, slices);
    // Taken from the end: the first comes first.
    new.reverse();
    fill(&mut packed, new);
    merge(&mut packed);
    packed
}

/// Leaves endpoints where they are; returns those that are nowhere yet.
fn stay(wanted: Vec<Endpoint>, slices: &[&[Endpoint]]) -> (Vec<Packed>, Vec<Endpoint>) {
    // Where each of those wanted is to go: nowhere yet, or to a slice.
    let mut places: Vec<Option<(usize, usize)>> = vec![None; wanted.len()];
    let mut packed: Vec<Packed> = slices.iter().map(|_| Packed::default()).collect();
    let mut known: HashMap<(&str, &str), usize> = HashMap::with_capacity(wanted.len());
    let mut twice = vec![false; wanted.len()];
    for ((index, endpoint), twice) in wanted.iter().enumerate().zip(&mut twice) {
        *twice = *known.entry(identity(endpoint)).or_insert(index) != index;
    }
    for (number, (slice, packed)) in slices.iter().zip(&mut packed).enumerate() {
        let mut count = 0;
        for endpoint in *slice {
            let index = known.get(&identity(endpoint)).copied();
            let wanted = index.and_then(|index| wanted.get(index));
            let place = index.and_then(|index| places.get_mut(index));
            match (wanted, place) {
                (Some(wanted), Some(place @ None)) if count < MOST => {
                    *place = Some((number, count));
                    count += 1;
                    packed.is_changed |= wanted != endpoint;
                }
                _ => packed.is_changed = true,
            }
        }
    }
    let mut new = Vec::new();
    let mut staying: Vec<((usize, usize), Endpoint)> = Vec::with_capacity(wanted.len());
    for ((endpoint, place), twice) in wanted.into_iter().zip(places).zip(twice) {
        match place {
            Some(place) => staying.push((place, endpoint)),
            None if twice => {}
            None => new.push(endpoint),
        }
    }
    // In the order that they have there: nothing changes by being looked at.
    staying.sort_by_key(|(place, _)| *place);
    for ((number, _), endpoint) in staying {
        if let Some(packed) = packed.get_mut(number) {
            packed.endpoints.push(endpoint);
        }
    }
    (packed, new)
}

/// Finds a place for new endpoints.
fn fill(packed: &mut Vec<Packed>, mut new: Vec<Endpoint>) {
    let mut changed: Vec<&mut Packed> = packed.iter_mut().filter(|one| one.is_changed).collect();
    changed.sort_by_key(|one| one.free());
    for one in changed {
        one.take(&mut new);
    }
    while new.len() >= MOST {
        let mut full = Packed::default();
        full.take(&mut new);
        packed.push(full);
    }
    if new.is_empty() {
        return;
    }
    let roomy = packed.iter_mut().filter(|one| one.free() >= new.len());
    match roomy.min_by_key(|one| one.free()) {
        Some(best) => best.take(&mut new),
        None => {
            let mut last = Packed::default();
            last.take(&mut new);
            packed.push(last);
        }
    }
}

/// Empties slices into others.
fn merge(packed: &mut [Packed]) {
    let total: usize = packed.iter().map(|one| one.endpoints.len()).sum();
    let enough = 2 * total.div_ceil(MOST);
    // Each round empties one: it ends.
    for _ in 0..packed.len() {
        let in_use = packed.iter().filter(|one| one.is_in_use()).count();
        let written_anyway = |one: &Packed| one.is_changed;
        if !(empty_one(packed, written_anyway) || in_use > enough && empty_one(packed, |_| true)) {
            return;
        }
    }
}

/// Empties the least filled of some slices into the others of them, if these have the room.
fn empty_one(packed: &mut [Packed], among: impl Fn(&Packed) -> bool) -> bool {
    let mut some: Vec<&mut Packed> = packed
        .iter_mut()
        .filter(|one| one.is_in_use() && among(one))
        .collect();
    // Those that are written anyway first, the fullest of them first.
    some.sort_by_key(|one| (!one.is_changed, one.free()));
    let least = some
        .iter()
        .enumerate()
        .min_by_key(|(_, one)| one.endpoints.len())
        .map(|(index, _)| index);
    let Some(least) = least.map(|index| some.remove(index)) else {
        return false;
    };
    let room: usize = some.iter().map(|one| one.free()).sum();
    if room < least.endpoints.len() {
        return false;
    }
    let mut moving = std::mem::take(&mut least.endpoints);
    least.is_changed = true;
    for one in some {
        one.take(&mut moving);
    }
    true
}

#[cfg(test)]
#[path = "packing_tests.rs"]
mod tests;
