//! Ranges of keys.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Result, StoreError, Write};

/// The first byte of keys that an engine keeps for itself.
pub(crate) const RESERVED: char = '\0';

/// A byte string that is greater than every key that starts with `prefix`, and no greater than any
/// later key. Keys are UTF-8, which has no byte 0xff.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX]
}

/// The smallest key of a list: the prefix itself, or what follows `after`.
pub(crate) fn list_start(prefix: &str, after: Option<&str>) -> String {
    match after {
        Some(after) if after >= prefix => format!("{after}\0"),
        _ => prefix.to_owned(),
    }
}

/// A key as text, from what an engine holds.
pub(crate) fn key_from_bytes(bytes: Vec<u8>) -> Result<Arc<str>> {
    match String::from_utf8(bytes) {
        Ok(key) => Ok(key.into()),
        Err(error) => Err(StoreError::Internal(format!(
            "a stored key is not UTF-8: {error}"
        ))),
    }
}

/// The longest key, in bytes.
const MAX_KEY: usize = 4096;

/// Whether a write makes sense at all.
pub(crate) fn check_write(write: &Write) -> Result<()> {
    if write.key.is_empty() || write.key.len() > MAX_KEY {
        return Err(StoreError::Internal(format!(
            "a key has 1 to {MAX_KEY} bytes, not {}",
            write.key.len()
        )));
    }
    if write.key.starts_with(RESERVED) {
        return Err(StoreError::Internal(format!(
            "keys that start with {RESERVED:?} belong to the store itself"
        )));
    }
    if write.value.is_none() && write.expect == crate::Expect::Absent {
        return Err(StoreError::Internal(format!(
            "a delete of {} must expect a revision",
            write.key
        )));
    }
    Ok(())
}

/// How many bytes a write or an event holds in memory, about.
pub(crate) fn weight(key: &str, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len) + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_past_everything_in_it() {
        assert_eq!(prefix_end(b"/a/b"), b"/a/c");
        assert_eq!(prefix_end("/ü".as_bytes()), b"/\xc3\xbd");
        assert_eq!(prefix_end(b""), b"\xff");
    }

    #[test]
    fn a_list_starts_after_a_key_but_never_before_its_prefix() {
        assert_eq!(list_start("/a/", None), "/a/");
        assert_eq!(list_start("/b/", Some("/a/x")), "/b/");
        assert_eq!(list_start("/b/", Some("/b/x")), "/b/x\0");
    }
}
