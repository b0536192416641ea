//! The table of field numbers, read one definition at a time when it is first needed.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// The table, as the script of its first line writes it.
static TABLE: &str = include_str!("numbers.txt");

/// The fields of definitions that have been needed.
type Known = HashMap<&'static str, Arc<[Numbered]>>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// Its number on the wire.
    pub(crate) number: u32,
    /// Its name in JSON; for [`Mark::Inline`] the definition of the message.
    pub(crate) name: &'static str,
    /// Whether its zero is a value, rather than an absent field.
    pub(crate) keep_zero: bool,
    /// What its type does not tell.
    pub(crate) mark: Mark,
}

/// What a structural type does not tell of a field on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing.
    #[default]
    Plain,
    /// A time in microseconds.
    Microseconds,
    /// A schema of a custom kind.
    SchemaProps,
    /// The message's fields are those of the object that it stands in.
    Inline,
}

/// The fields of a definition, by number; none for one that is not in the table.
pub(crate) fn find(definition: &str) -> Option<Arc<[Numbered]>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fields) = known.get(definition) {
        return Some(fields.clone());
    }
    let (name, words) = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .find(|&(name, _)| name == definition)?;
    let mut fields: Vec<Numbered> = words.split(' ').filter_map(numbered).collect();
    fields.sort_unstable_by_key(|field| field.number);
    let fields: Arc<[Numbered]> = fields.into();
    known.insert(name, fields.clone());
    Some(fields)
}

/// Reads `NAME=NUMBER` with its marks.
fn numbered(word: &'static str) -> Option<Numbered> {
    let (name, rest) = word.split_once('=')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, marks) = rest.split_at_checked(end)?;
    let mark = marks
        .chars()
        .find_map(|mark| match mark {
            'u' => Some(Mark::Microseconds),
            's' => Some(Mark::SchemaProps),
            '<' => Some(Mark::Inline),
            _ => None,
        })
        .unwrap_or_default();
    Some(Numbered {
        number: number.parse().ok()?,
        name,
        keep_zero: marks.contains('*'),
        mark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let of = |name, number, keep_zero, mark| {
            Some(Numbered {
                number,
                name,
                keep_zero,
                mark,
            })
        };
        assert_eq!(numbered("a=1"), of("a", 1, false, Mark::Plain));
        assert_eq!(numbered("a=12*"), of("a", 12, true, Mark::Plain));
        assert_eq!(numbered("a=3u"), of("a", 3, false, Mark::Microseconds));
        assert_eq!(numbered("a.b=2<"), of("a.b", 2, false, Mark::Inline));
        assert_eq!(numbered("a="), None);
        assert_eq!(numbered("a"), None);
    }

    #[test]
    fn the_whole_table_is_read() {
        let mut fields = 0;
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (name, words) = line.split_once(' ').unwrap_or((line, ""));
            let found = find(name).unwrap_or_else(|| panic!("{name} is not found"));
            assert_eq!(
                found.len(),
                words.split(' ').filter(|w| !w.is_empty()).count()
            );
            assert!(found.is_sorted_by(|a, b| a.number < b.number), "{name}");
            fields += found.len();
        }
        assert!(fields > 1900, "{fields}");
        assert_eq!(find("io.k8s.api.core.v1.Nothing"), None);
        assert_eq!(find("#"), None);
    }
}
