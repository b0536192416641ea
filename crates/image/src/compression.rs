//! What tars are compressed with, by how they begin, and how they are decompressed.

use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::media::Compression;

/// A reader of which the beginning was looked at.
pub(crate) type FromStart<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// What a reader's content is compressed with, or the name of a compression that images do not have; and the reader from
/// its beginning.
pub(crate) fn sniffed<R: Read>(
    mut source: R,
) -> io::Result<(Result<Compression, &'static str>, FromStart<R>)> {
    let mut head = Vec::new();
    source.by_ref().take(6).read_to_end(&mut head)?;
    Ok((sniff(&head), Cursor::new(head).chain(source)))
}

/// By the formats' magic numbers; six bytes are enough. Media types are not asked: they are often wrong.
fn sniff(head: &[u8]) -> Result<Compression, &'static str> {
    match head {
        [0x1f, 0x8b, 8, ..] => Ok(Compression::Gzip),
        // A frame, and one that is to be skipped.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', ..] => Err("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err("xz"),
        _ => Ok(Compression::None),
    }
}

/// What is compressed in `source`, of all its frames. Zstd may have a window of 2^`window_log` bytes.
pub(crate) fn decoder<'a>(
    compression: Compression,
    source: impl BufRead + 'a,
    window_log: u32,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            decoder.window_log_max(window_log)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_told_from_the_first_bytes() {
        for (head, compression) in [
            (&[0x1f, 0x8b, 8, 0][..], Ok(Compression::Gzip)),
            (&[0x28, 0xb5, 0x2f, 0xfd], Ok(Compression::Zstd)),
            (&[0x53, 0x2a, 0x4d, 0x18], Ok(Compression::Zstd)),
            (b"BZh91AY", Err("bzip2")),
            (b"\xfd7zXZ\0", Err("xz")),
            (b"dir/", Ok(Compression::None)),
            (b"", Ok(Compression::None)),
        ] {
            let (found, mut from_start) = sniffed(head).unwrap();
            assert_eq!(found, compression);
            let mut all = Vec::new();
            from_start.read_to_end(&mut all).unwrap();
            assert_eq!(all, head);
        }
    }
}
