//! Which version of each key a revision shows.

use crate::Revision;

/// One row of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    pub(crate) revision: Revision,
    pub(crate) deleted: bool,
}

/// Takes the rows of all keys in the order of key and revision, and gives the keys that are there at
/// one revision, each with the revision of its version.
pub(crate) struct Visible {
    at: Revision,
    key: Vec<u8>,
    latest: Option<Version>,
}

impl Visible {
    pub(crate) fn at(at: Revision) -> Self {
        Self {
            at,
            key: Vec::new(),
            latest: None,
        }
    }

    /// Takes a row; gives the key before it, if this row begins another and that one is there.
    pub(crate) fn next<E>(
        &mut self,
        key: &[u8],
        version: Version,
        give: impl FnMut(&[u8], Revision) -> Result<(), E>,
    ) -> Result<(), E> {
        if version.revision > self.at {
            return Ok(());
        }
        if self.key != key {
            self.finish(give)?;
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        self.latest = Some(version);
        Ok(())
    }

    /// Gives the last key, if it is there.
    pub(crate) fn finish<E>(
        &mut self,
        mut give: impl FnMut(&[u8], Revision) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.latest.take() {
            Some(version) if !version.deleted => give(&self.key, version.revision),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: Revision) -> Vec<(String, Revision)> {
        let rows = [
            ("a", 2, false),
            ("a", 5, false),
            ("a", 8, true),
            ("b", 3, false),
            ("b", 4, true),
            ("b", 9, false),
            ("c", 6, false),
        ];
        let mut seen = Vec::new();
        let mut give = |key: &[u8], revision| -> Result<(), ()> {
            seen.push((String::from_utf8(key.to_vec()).unwrap(), revision));
            Ok(())
        };
        let mut visible = Visible::at(at);
        for (key, revision, deleted) in rows {
            let version = Version { revision, deleted };
            visible.next(key.as_bytes(), version, &mut give).unwrap();
        }
        visible.finish(&mut give).unwrap();
        seen
    }

    #[test]
    fn a_revision_shows_the_last_version_that_is_not_later() {
        assert_eq!(seen(1), []);
        assert_eq!(seen(3), [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert_eq!(seen(4), [("a".to_owned(), 2)]);
        assert_eq!(seen(7), [("a".to_owned(), 5), ("c".to_owned(), 6)]);
        assert_eq!(seen(9), [("b".to_owned(), 9), ("c".to_owned(), 6)]);
    }
}
