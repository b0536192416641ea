//! What many objects have in common, held once for all of them: what pods tolerate, the name of their host, the
//! words of their states.

use std::{borrow::Borrow, collections::HashSet, hash::Hash, sync::Arc};

use parking_lot::Mutex;

/// Values that were seen lately. It is only a help: whoever finds nothing in it holds a value of their own.
#[derive(Debug)]
pub(super) struct Pool<T: ?Sized> {
    values: Mutex<HashSet<Arc<T>>>,
    most: usize,
}

impl<T: Hash + Eq + ?Sized> Pool<T> {
    /// A pool of at most so many values.
    pub(super) fn new(most: usize) -> Self {
        Self {
            values: Mutex::default(),
            most,
        }
    }

    /// The value that is equal to this one, or this one from now on.
    pub(super) fn share<V>(&self, value: V) -> Arc<T>
    where
        V: Borrow<T> + Into<Arc<T>>,
    {
        let mut values = self.values.lock();
        if let Some(known) = values.get(value.borrow()) {
            return known.clone();
        }
        // To begin anew costs least, and finds again what is still common.
        if values.len() >= self.most {
            values.clear();
        }
        let value = value.into();
        values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_there_are_never_too_many() {
        let pool: Pool<str> = Pool::new(2);
        let one = pool.share("one".to_owned());
        assert!(Arc::ptr_eq(&one, &pool.share("one".to_owned())));
        for other in ["two", "three", "four"] {
            pool.share(other.to_owned());
            assert!(pool.values.lock().len() <= 2);
        }
        assert_eq!(pool.share("one".to_owned()), one);
    }
}
