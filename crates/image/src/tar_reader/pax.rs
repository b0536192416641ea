//! The records of an extended header (POSIX pax): `length key=value\n`, one after another.

use std::collections::HashMap;

use super::{MalformedReason, Sparse, Time};

/// The most segments of data that a sparse file may have.
pub const MAX_SEGMENTS: usize = 1 << 18;

/// The most extended attributes of an entry. Linux lists 64 KiB of their names.
pub const MAX_XATTRS: usize = 1_000;

/// What the records before an entry say of it. A key with an empty value takes an earlier one back.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<Time>,
    /// Extended attributes by name, in their order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseRecords,
}

/// What the records say of a sparse file (GNU tar's formats 0.0, 0.1 and 1.0).
#[derive(Default, Debug, PartialEq, Eq)]
pub struct SparseRecords {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Offsets and lengths in turn.
    pub map: Vec<u64>,
}

impl Records {
    /// Reads the whole body of an extended header.
    pub fn read(mut bytes: &[u8]) -> Result<Self, MalformedReason> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(MalformedReason::Record)?;
            records.take(key, value).ok_or(MalformedReason::Record)?;
            bytes = rest;
        }
        records.keep_last_xattrs();
        match records.xattrs.len() > MAX_XATTRS {
            true => Err(MalformedReason::Xattrs),
            false => Ok(records),
        }
    }

    /// Of several of one name the last counts.
    fn keep_last_xattrs(&mut self) {
        let mut last = HashMap::new();
        for (at, (name, _)) in self.xattrs.iter().enumerate() {
            last.insert(name.clone(), at);
        }
        let mut at = 0..;
        self.xattrs
            .retain(|(name, _)| last.get(name).copied() == at.next());
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        // A name with a NUL would be one name to who reads it here, and another to the kernel.
        let name = |value: &[u8]| match value {
            [] => Some(None),
            value if value.contains(&0) => None,
            value => Some(Some(value.to_vec())),
        };
        let count = |value: &[u8]| match value {
            [] => Some(None),
            value => decimal(value).map(Some),
        };
        let id = |value| count(value)?.map(i64::try_from).transpose().ok();
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = count(value)?,
            b"uid" => self.uid = id(value)?,
            b"gid" => self.gid = id(value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse.major = count(value)?,
            b"GNU.sparse.minor" => self.sparse.minor = count(value)?,
            b"GNU.sparse.name" => self.sparse.name = name(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = count(value)?,
            b"GNU.sparse.map" => {
                self.sparse.map.clear();
                for number in value
                    .split(|byte| *byte == b',')
                    .filter(|_| !value.is_empty())
                {
                    self.push_to_map(decimal(number)?)?;
                }
            }
            // Format 0.0 repeats the two keys for each segment.
            b"GNU.sparse.offset" if self.sparse.map.len().is_multiple_of(2) => {
                self.push_to_map(decimal(value)?)?;
            }
            b"GNU.sparse.numbytes" if !self.sparse.map.len().is_multiple_of(2) => {
                self.push_to_map(decimal(value)?)?;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => return None,
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }

    fn push_to_map(&mut self, number: u64) -> Option<()> {
        (self.sparse.map.len() < 2 * MAX_SEGMENTS).then(|| self.sparse.map.push(number))
    }
}

impl SparseRecords {
    /// Whether the file is in format 1.0, whose map stands before its data.
    pub fn has_map_in_data(&self) -> bool {
        (self.major, self.minor) == (Some(1), Some(0))
    }

    /// The map, where the records hold it (formats 0.0 and 0.1). `None`: the file is not in these formats.
    pub fn segments(&self) -> Result<Option<Vec<Sparse>>, MalformedReason> {
        match (self.major, self.minor) {
            (None, None) if self.map.is_empty() => return Ok(None),
            (None, None) | (Some(0), Some(0 | 1)) => {}
            (Some(1), Some(0)) => return Ok(None),
            _ => return Err(MalformedReason::Sparse),
        }
        pairs(&self.map).map(Some)
    }
}

/// Makes segments of offsets and lengths in turn.
pub fn pairs(numbers: &[u64]) -> Result<Vec<Sparse>, MalformedReason> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(MalformedReason::Sparse);
    }
    let segment = |[offset, len]: &[u64; 2]| Sparse {
        offset: *offset,
        len: *len,
    };
    Ok(pairs.iter().map(segment).collect())
}

/// The first record's key and value, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(bytes.get(..space)?)?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

/// A whole number in decimal, digits only.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds since 1970 in decimal, with a sign and a fraction where there are; digits past the nanosecond are dropped.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = text.split_at(point.unwrap_or(text.len()));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanoseconds = 0;
    if let Some(fraction) = fraction.get(1..) {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for at in 0..9 {
            let digit = fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'));
            nanoseconds = nanoseconds * 10 + digit;
        }
    }
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds,
        },
        // The kernel counts nanoseconds forward, also before 1970.
        (true, nanoseconds) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Records, time};
    use crate::tar_reader::{MalformedReason, Sparse, Time};

    #[test]
    fn records_are_read_in_turn_and_the_last_of_a_key_counts() {
        let bytes =
            b"9 path=a\n9 path=b\n12 size=123\n23 SCHILY.xattr.user=\n\n9 uid=77\n8 gid=8\n";
        let records = Records::read(bytes).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"b"[..]));
        assert_eq!(
            (records.size, records.uid, records.gid),
            (Some(123), Some(77), Some(8))
        );
        assert_eq!(records.xattrs, [(b"user".to_vec(), b"\n".to_vec())]);
    }

    #[test]
    fn the_last_attribute_of_a_name_counts_and_not_too_many_do() {
        let record = |name: &str, value: &str| {
            let rest = format!(" SCHILY.xattr.{name}={value}\n");
            // All of them have two digits.
            format!("{}{rest}", rest.len() + 2)
        };
        let bytes = [("a", "1"), ("b", "2"), ("a", "3")].map(|(name, value)| record(name, value));
        let records = Records::read(bytes.concat().as_bytes()).unwrap();
        let own = |text: &str| text.as_bytes().to_vec();
        assert_eq!(records.xattrs, [(own("b"), own("2")), (own("a"), own("3"))]);
        let many = |count: usize| -> String {
            (0..count)
                .map(|number| record(&number.to_string(), ""))
                .collect()
        };
        assert_eq!(
            Records::read(many(1_000).as_bytes()).unwrap().xattrs.len(),
            1_000
        );
        // A header of 1 MiB; whoever compares each with each is at it for a minute.
        let refused = Records::read(many(40_000).as_bytes());
        assert_eq!(refused.err(), Some(MalformedReason::Xattrs));
    }

    #[test]
    fn records_that_lie_about_their_length_are_malformed() {
        for bytes in [
            &b"0 path=a\n"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"99999999999999999999 path=a\n",
            b"4294967296 path=a\n",
            b"-9 path=a\n",
            b"path=a\n",
            b"5 =a\n",
            b"11 size=-1\n",
            b"12 path=a\0b\n",
        ] {
            assert_eq!(
                Records::read(bytes),
                Err(MalformedReason::Record),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn maps_come_in_one_record_or_in_many() {
        let many = b"23 GNU.sparse.offset=0\n25 GNU.sparse.numbytes=5\n24 GNU.sparse.offset=9\n";
        assert!(
            Records::read(many).is_err(),
            "the length of the last is wrong"
        );
        let many = b"23 GNU.sparse.offset=0\n25 GNU.sparse.numbytes=5\n";
        let one = b"22 GNU.sparse.map=0,5\n";
        for bytes in [&many[..], one] {
            let segments = Records::read(bytes).unwrap().sparse.segments().unwrap();
            assert_eq!(segments, Some(vec![Sparse { offset: 0, len: 5 }]));
        }
        let twice = b"23 GNU.sparse.offset=0\n23 GNU.sparse.offset=0\n";
        assert!(Records::read(twice).is_err());
    }

    #[test]
    fn times_have_signs_and_fractions() {
        let at = |seconds, nanoseconds| {
            Some(Time {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.1234567899"), at(12, 123_456_789));
        assert_eq!(time(b"-1"), at(-1, 0));
        assert_eq!(time(b"-1.25"), at(-2, 750_000_000));
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b""), None);
        assert_eq!(time(b"99999999999999999999"), None);
    }
}
