//! One 512-byte header block: fields at fixed places, in the dialects V7, ustar (POSIX) and GNU.

use super::{MalformedReason, Sparse, Time};

/// The size of a block, the unit of everything in an archive.
pub const BLOCK: usize = 512;

/// What a header says its archive's dialect is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
}

/// A header block whose checksum is right.
pub struct Header<'a> {
    block: &'a [u8; BLOCK],
    dialect: Dialect,
}

impl<'a> Header<'a> {
    /// Reads a block. `None` is a block of zeros, of which two end an archive.
    pub fn read(block: &'a [u8; BLOCK]) -> Result<Option<Self>, MalformedReason> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Self {
            block,
            dialect: match (&block[257..263], &block[263..265]) {
                (b"ustar\0", b"00") => Dialect::Ustar,
                (b"ustar ", b" \0") => Dialect::Gnu,
                _ => Dialect::V7,
            },
        };
        // The field counts as eight spaces. Some old programs summed signed bytes.
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        let stated = header.number(148, 8)?;
        if stated != unsigned && stated != signed {
            return Err(MalformedReason::Checksum);
        }
        Ok(Some(header))
    }

    /// The bytes of a field up to its first NUL.
    fn text(&self, at: usize, len: usize) -> &'a [u8] {
        let field = self.block.get(at..at + len).unwrap_or_default();
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn number(&self, at: usize, len: usize) -> Result<i64, MalformedReason> {
        number(self.block.get(at..at + len).unwrap_or_default()).ok_or(MalformedReason::Number)
    }

    pub fn kind(&self) -> u8 {
        self.block[156]
    }

    pub fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        if self.dialect == Dialect::Ustar {
            let prefix = self.text(345, 155);
            if !prefix.is_empty() {
                return [prefix, b"/", name].concat();
            }
        }
        name.to_vec()
    }

    pub fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub fn mode(&self) -> Result<i64, MalformedReason> {
        self.number(100, 8)
    }

    pub fn uid(&self) -> Result<i64, MalformedReason> {
        self.number(108, 8)
    }

    pub fn gid(&self) -> Result<i64, MalformedReason> {
        self.number(116, 8)
    }

    pub fn size(&self) -> Result<u64, MalformedReason> {
        u64::try_from(self.number(124, 12)?).map_err(|_| MalformedReason::Number)
    }

    pub fn mtime(&self) -> Result<Time, MalformedReason> {
        Ok(Time {
            seconds: self.number(136, 12)?,
            nanoseconds: 0,
        })
    }

    /// The major and minor number of a device.
    pub fn device(&self) -> Result<(i64, i64), MalformedReason> {
        match self.dialect {
            Dialect::V7 => Ok((0, 0)),
            _ => Ok((self.number(329, 8)?, self.number(337, 8)?)),
        }
    }

    /// The start of an old GNU sparse file's map: what of it is in the header, whether blocks of it follow,
    /// and the file's real size.
    pub fn sparse(&self) -> Result<(Vec<Sparse>, bool, u64), MalformedReason> {
        if self.dialect != Dialect::Gnu {
            return Err(MalformedReason::Sparse);
        }
        let map = sparse_segments(&self.block[386..482])?;
        let real = u64::try_from(self.number(483, 12)?).map_err(|_| MalformedReason::Sparse)?;
        Ok((map, self.block[482] != 0, real))
    }
}

/// The segments in a header or in a block that follows it: pairs of two 12-byte numbers, up to an empty one.
pub fn sparse_segments(bytes: &[u8]) -> Result<Vec<Sparse>, MalformedReason> {
    let mut segments = Vec::new();
    for pair in bytes.as_chunks::<24>().0 {
        if pair[0] == 0 {
            break;
        }
        let field = |bytes: &[u8]| {
            number(bytes)
                .and_then(|number| u64::try_from(number).ok())
                .ok_or(MalformedReason::Sparse)
        };
        segments.push(Sparse {
            offset: field(&pair[..12])?,
            len: field(&pair[12..])?,
        });
    }
    Ok(segments)
}

/// A number as octal text, or, where the first bit is set, in base 256.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement over all bits but the first, the second being the sign.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte = match (at, negative) {
                (0, false) => byte & 0x7f,
                (0, true) => byte | 0x80,
                _ => *byte,
            };
            value = value.checked_shl(8)? | i128::from(byte);
            // Twelve bytes of base 256 are more than any count of this world.
            i64::try_from(value).ok()?;
        }
        return i64::try_from(value).ok();
    }
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_padding(byte));
    let Some(start) = start else { return Some(0) };
    let digits = field.get(start..)?;
    let end = digits.iter().position(is_padding).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(is_padding) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000755\0"), Some(0o755));
        assert_eq!(number(b"  755 \0\0"), Some(0o755));
        assert_eq!(number(b"77777777777\0"), Some(0o77_777_777_777));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"        "), Some(0));
        assert_eq!(number(b"7 7\0"), None);
        assert_eq!(number(b"0x10\0"), None);
        assert_eq!(number(b"-1\0"), None);
        assert_eq!(number(b"8\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 8]), Some(-1));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        let mut large = [0u8; 12];
        large[0] = 0x80;
        large[4] = 0x7f;
        assert_eq!(number(&large), Some(0x7f << 56));
        large[3] = 1;
        assert_eq!(number(&large), None, "beyond 64 bits");
    }
}
