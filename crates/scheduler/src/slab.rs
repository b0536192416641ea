//! Things with small numbers that are used again.

/// Index of a host.
pub(crate) type NodeIndex = u32;
/// Index of a pod.
pub(crate) type PodIndex = u32;
/// Index of a class.
pub(crate) type ClassIndex = u32;
/// Index of an affinity term of placed pods.
pub(crate) type TermIndex = u32;

#[derive(Debug, Clone)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            *place = Some(value);
            return index;
        }
        self.places.push(Some(value));
        // Four billion objects do not fit into memory.
        self.places.len() as u32 - 1
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..)
            .zip(&self.places)
            .filter_map(|(index, place)| Some((index, place.as_ref()?)))
    }
}
