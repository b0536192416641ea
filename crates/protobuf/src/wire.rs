//! Protobuf's wire format: fields of a number and a value of one of four forms.

use crate::ProtobufError;

/// The value of a field, as the wire tells it without knowing the field's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wire<'a> {
    /// A whole number or a boolean.
    Varint(u64),
    /// A double.
    Fixed64(u64),
    /// Nothing that Kubernetes uses.
    Fixed32,
    /// A string, bytes, a message, or packed scalars.
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and value; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let illegal = ProtobufError::Tag { tag };
        let number = match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => number,
            _ => return Err(illegal),
        };
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Wire::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length =
                    usize::try_from(self.varint()?).map_err(|_| ProtobufError::Truncated)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return Err(illegal),
        };
        Ok(Some((number, value)))
    }

    /// Whether all bytes have been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A varint without a tag, as in packed scalars.
    pub(crate) fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(ProtobufError::Truncated)?;
            self.rest = rest;
            // The tenth byte has room for one bit only.
            if shift == 63 && byte > 1 {
                return Err(ProtobufError::Overflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Overflow)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, ProtobufError> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.next()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn each_form_is_read() {
        assert_eq!(
            read(b"\x08\x96\x01\x12\x02hi\x1d\0\0\0\0\x21\x01\0\0\0\0\0\0\0").unwrap(),
            [
                (1, Wire::Varint(150)),
                (2, Wire::Bytes(b"hi")),
                (3, Wire::Fixed32),
                (4, Wire::Fixed64(1)),
            ]
        );
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        let longest = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(read(longest).unwrap(), [(1, Wire::Varint(u64::MAX))]);
        let longer = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
        assert_eq!(read(longer), Err(ProtobufError::Overflow));
        for cut in [
            &b"\x08"[..],
            b"\x0a\x02a",
            b"\x0d\0\0\0",
            b"\x09\0",
            b"\x80",
        ] {
            assert_eq!(read(cut), Err(ProtobufError::Truncated), "{cut:?}");
        }
        for tag in [0x00, 0x02, 0x0b, 0x0c, 0x0e, 0x0f] {
            assert_eq!(
                read(&[tag, 0]),
                Err(ProtobufError::Tag { tag: tag.into() }),
                "{tag}"
            );
        }
    }
}
