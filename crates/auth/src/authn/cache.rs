//! Tokens whose signature has been found good lately.
//!
//! A signature costs some 100 µs to verify and is good for ever; whether the token has expired and
//! what it is bound to is cheap to ask and is asked each time. So the cache holds what the signature
//! says, under the SHA-256 of the token.

use std::{collections::HashMap, mem, sync::Arc};

use parking_lot::Mutex;
use ring::digest;

type Key = [u8; 32];

/// At most `2 × half` values; those used least lately go first, roughly: of two halves the older is
/// dropped when the younger is full, and what is used moves to the younger.
pub(crate) struct TokenCache<V> {
    halves: Mutex<Halves<V>>,
    half: usize,
}

struct Halves<V> {
    young: HashMap<Key, Arc<V>>,
    old: HashMap<Key, Arc<V>>,
}

impl<V> TokenCache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let halves = Halves {
            young: HashMap::new(),
            old: HashMap::new(),
        };
        Self {
            halves: Mutex::new(halves),
            half: (capacity / 2).max(1),
        }
    }

    pub(crate) fn key(token: &str) -> Key {
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        let mut key = Key::default();
        for (to, from) in key.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        key
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<V>> {
        let mut halves = self.halves.lock();
        if let Some(value) = halves.young.get(key) {
            return Some(Arc::clone(value));
        }
        let value = halves.old.remove(key)?;
        self.put(&mut halves, *key, Arc::clone(&value));
        Some(value)
    }

    pub(crate) fn insert(&self, key: Key, value: Arc<V>) {
        self.put(&mut self.halves.lock(), key, value);
    }

    fn put(&self, halves: &mut Halves<V>, key: Key, value: Arc<V>) {
        if halves.young.len() >= self.half {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }

    pub(crate) fn remove(&self, key: &Key) {
        let mut halves = self.halves.lock();
        halves.young.remove(key);
        halves.old.remove(key);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let halves = self.halves.lock();
        halves.young.len() + halves.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_capacity_and_keeps_what_is_used() {
        let cache = TokenCache::new(8);
        let hot = TokenCache::<u32>::key("hot");
        cache.insert(hot, Arc::new(0));
        for number in 1..1000_u32 {
            cache.insert(
                TokenCache::<u32>::key(&number.to_string()),
                Arc::new(number),
            );
            assert!(cache.len() <= 8);
            assert!(
                cache.get(&hot).is_some(),
                "dropped while in use, at {number}"
            );
        }
        assert!(cache.get(&TokenCache::<u32>::key("1")).is_none());
    }
}
