//! Digests of content: computing them, in one process or across several, and holding bytes to them.
//!
//! A [`Digest`] is checked for its grammar when it is parsed (image-spec, descriptor.md, "Digests"), so it never has a
//! `/` in it and is safe as two components of a path. Of the algorithms that the grammar allows, sha256 and sha512 are
//! computed here; content that is named by another cannot be verified and is therefore refused.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::io::{AsyncRead, ReadBuf};

/// The longest text that is looked at as a digest, in bytes: sha512 in hexadecimal has 135.
const TEXT_MAX: usize = 256;

/// The first byte of a saved state: a form that changes gets another.
const STATE_SHA256: u8 = 1;

/// What is wrong with a digest, or with content that should have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text is not `algorithm:encoded`.
    #[error("{text:?} is not a digest: {reason}")]
    Malformed {
        /// The text, cut to a bounded length.
        text: String,
        /// What the grammar misses.
        reason: String,
    },
    /// The algorithm is not computed here.
    #[error("digest algorithm {algorithm:?} is not supported (sha256 and sha512 are)")]
    Algorithm {
        /// The algorithm's name.
        algorithm: String,
    },
    /// A saved state is not one.
    #[error("the saved state of a digest cannot be read")]
    State,
    /// The content is another.
    #[error("content has digest {found}, not {expected}")]
    Mismatch {
        /// What it should have been.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// The content is shorter or longer than it should be.
    #[error("content of {digest} has {found} bytes, not {expected}")]
    Size {
        /// The content.
        digest: Digest,
        /// Its size by its descriptor, in bytes.
        expected: u64,
        /// How many bytes there were, or were read before it was given up.
        found: u64,
    },
}

impl From<DigestError> for io::Error {
    fn from(error: DigestError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl DigestError {
    /// The error inside an [`io::Error`] that a [`Verifier`] returned.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

/// A digest from text, of an algorithm that is computed here.
///
/// # Errors
///
/// When the text is not a digest, or its algorithm is neither sha256 nor sha512.
pub fn parse(text: &str) -> Result<Digest, DigestError> {
    let malformed = |reason: String| DigestError::Malformed {
        text: text.chars().take(TEXT_MAX).collect(),
        reason,
    };
    if text.len() > TEXT_MAX {
        return Err(malformed(format!("longer than {TEXT_MAX} bytes")));
    }
    let digest = Digest::try_from(text).map_err(|error| malformed(error.to_string()))?;
    supported(digest.algorithm())?;
    Ok(digest)
}

/// Whether content named by this algorithm can be verified.
///
/// # Errors
///
/// When it is neither sha256 nor sha512.
pub fn supported(algorithm: &DigestAlgorithm) -> Result<(), DigestError> {
    match algorithm {
        DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512 => Ok(()),
        other => Err(DigestError::Algorithm {
            algorithm: other.to_string(),
        }),
    }
}

/// The sha256 digest of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::sha256();
    hasher.update(bytes);
    hasher.finish()
}

/// Computes a digest from bytes as they come, and counts them.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    length: u64,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Of sha256, which is what names everything that is made here.
    #[must_use]
    pub fn sha256() -> Self {
        Self {
            state: State::Sha256(Sha256::new()),
            length: 0,
        }
    }

    /// Of the algorithm given.
    ///
    /// # Errors
    ///
    /// When it is neither sha256 nor sha512.
    pub fn new(algorithm: &DigestAlgorithm) -> Result<Self, DigestError> {
        let state = match algorithm {
            DigestAlgorithm::Sha256 => State::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => State::Sha512(Sha512::new()),
            other => {
                return Err(DigestError::Algorithm {
                    algorithm: other.to_string(),
                });
            }
        };
        Ok(Self { state, length: 0 })
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    /// How many bytes there were so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        let text = match self.state {
            State::Sha256(state) => format!("sha256:{}", hex(&state.finalize())),
            State::Sha512(state) => format!("sha512:{}", hex(&state.finalize())),
        };
        #[allow(clippy::expect_used)] // the algorithm's own length, in lower-case hexadecimal
        Digest::try_from(text).expect("a computed digest is a digest")
    }

    /// The state as bytes, from which [`Hasher::restore`] goes on, in another process too. Only sha256 can be saved.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        let State::Sha256(state) = &self.state else {
            return None;
        };
        let mut saved = vec![STATE_SHA256];
        saved.extend_from_slice(&self.length.to_be_bytes());
        saved.extend_from_slice(&state.serialize());
        Some(saved)
    }

    /// The hasher that [`Hasher::save`] made these bytes of.
    ///
    /// # Errors
    ///
    /// When they are not such a state.
    pub fn restore(saved: &[u8]) -> Result<Self, DigestError> {
        let (kind, rest) = saved.split_first().ok_or(DigestError::State)?;
        let (length, state) = rest.split_first_chunk::<8>().ok_or(DigestError::State)?;
        if *kind != STATE_SHA256 {
            return Err(DigestError::State);
        }
        let state =
            SerializedState::<Sha256>::try_from(state).map_err(|_error| DigestError::State)?;
        let state = Sha256::deserialize(&state).map_err(|_error| DigestError::State)?;
        Ok(Self {
            state: State::Sha256(state),
            length: u64::from_be_bytes(*length),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        #[allow(clippy::indexing_slicing)] // four bits are below sixteen
        text.extend([
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    text
}

/// Holds a sequence of bytes to a digest and, where it is known, a size.
#[derive(Clone, Debug)]
pub struct Check {
    hasher: Hasher,
    expected: Digest,
    size: Option<u64>,
}

impl Check {
    /// For content that should have this digest and, if given, exactly this many bytes.
    ///
    /// # Errors
    ///
    /// When the digest's algorithm is not computed here.
    pub fn new(expected: &Digest, size: Option<u64>) -> Result<Self, DigestError> {
        Ok(Self {
            hasher: Hasher::new(expected.algorithm())?,
            expected: expected.clone(),
            size,
        })
    }

    /// Goes on from bytes that were hashed before.
    #[must_use]
    pub fn resume(hasher: Hasher, expected: &Digest, size: Option<u64>) -> Self {
        Self {
            hasher,
            expected: expected.clone(),
            size,
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    ///
    /// As soon as there are more than the size allows.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), DigestError> {
        self.hasher.update(bytes);
        match self.size {
            Some(size) if self.hasher.length() > size => Err(self.wrong_size(size)),
            _ => Ok(()),
        }
    }

    /// How many bytes there were so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// At the end: whether this was the content.
    ///
    /// # Errors
    ///
    /// When its size or its digest is another.
    pub fn finish(&self) -> Result<(), DigestError> {
        if let Some(size) = self.size
            && self.hasher.length() != size
        {
            return Err(self.wrong_size(size));
        }
        let found = self.hasher.clone().finish();
        if found == self.expected {
            Ok(())
        } else {
            Err(DigestError::Mismatch {
                expected: self.expected.clone(),
                found,
            })
        }
    }

    fn wrong_size(&self, expected: u64) -> DigestError {
        DigestError::Size {
            digest: self.expected.clone(),
            expected,
            found: self.hasher.length(),
        }
    }
}

/// A reader or writer that holds what passes through it to a digest.
///
/// A reader ([`Read`], [`AsyncRead`]) fails at its end, with an error of kind `InvalidData`, if what was read is not
/// the content, and as soon as it is longer. A writer is asked at the end with [`Verifier::finish`].
#[derive(Debug)]
pub struct Verifier<T> {
    inner: T,
    check: Check,
}

impl<T> Verifier<T> {
    /// Around `inner`, for content of this digest and, if given, size in bytes.
    ///
    /// # Errors
    ///
    /// When the digest's algorithm is not computed here.
    pub fn new(inner: T, expected: &Digest, size: Option<u64>) -> Result<Self, DigestError> {
        Ok(Self {
            inner,
            check: Check::new(expected, size)?,
        })
    }

    /// Whether what passed was the content; what is inside, if so.
    ///
    /// # Errors
    ///
    /// When its size or its digest is another.
    pub fn finish(self) -> Result<T, DigestError> {
        self.check.finish()?;
        Ok(self.inner)
    }

    /// How many bytes passed so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.check.length()
    }
}

impl<T: Read> Read for Verifier<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 {
            if !buffer.is_empty() {
                self.check.finish()?;
            }
        } else {
            self.check.update(buffer.get(..read).unwrap_or_default())?;
        }
        Ok(read)
    }
}

impl<T: Write> Write for Verifier<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.check
            .update(bytes.get(..written).unwrap_or_default())?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Verifier<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            if room > 0 {
                self.check.finish()?;
            }
        } else {
            self.check.update(new)?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

    #[test]
    fn digests_of_nothing_are_the_known_ones() {
        assert_eq!(sha256(b"").as_ref(), EMPTY);
        let hasher = Hasher::new(&DigestAlgorithm::Sha512).unwrap();
        assert_eq!(hasher.finish().as_ref(), EMPTY_512);
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            ":abc",
            "sha256:abc",
            "sha256:../../../etc/passwd",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "../x:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(
                matches!(parse(text), Err(DigestError::Malformed { .. })),
                "{text}"
            );
        }
        let long = format!("sha256:{}", "a".repeat(10_000));
        assert!(
            matches!(parse(&long), Err(DigestError::Malformed { text, .. }) if text.len() <= TEXT_MAX)
        );
        assert!(matches!(
            parse("md5:d41d8cd98f00b204e9800998ecf8427e"),
            Err(DigestError::Algorithm { .. })
        ));
        assert_eq!(parse(EMPTY).unwrap().as_ref(), EMPTY);
        assert_eq!(parse(EMPTY_512).unwrap().as_ref(), EMPTY_512);
    }

    #[test]
    fn a_state_that_was_not_saved_is_refused() {
        let saved = Hasher::sha256().save().unwrap();
        assert!(Hasher::restore(&[]).is_err());
        assert!(Hasher::restore(saved.get(..saved.len() - 1).unwrap()).is_err());
        let mut other = saved.clone();
        other[0] = 9;
        assert!(Hasher::restore(&other).is_err());
        let mut buffer_length = saved;
        *buffer_length.last_mut().unwrap() = 255;
        let _ = Hasher::restore(&buffer_length);
    }

    #[tokio::test]
    async fn a_reader_fails_at_the_end_of_the_wrong_content() {
        let digest = sha256(b"content");
        let read = |bytes: &'static [u8], size| {
            let mut reader = Verifier::new(bytes, &digest, size).unwrap();
            Read::read_to_end(&mut reader, &mut Vec::new())
        };
        assert_eq!(read(b"content", Some(7)).unwrap(), 7);
        let wrong = read(b"Content", None).unwrap_err();
        assert!(matches!(
            DigestError::of(&wrong),
            Some(DigestError::Mismatch { .. })
        ));
        let short = read(b"conten", Some(7)).unwrap_err();
        assert!(matches!(
            DigestError::of(&short),
            Some(DigestError::Size { found: 6, .. })
        ));
        let long = read(b"content and more", Some(7)).unwrap_err();
        assert!(matches!(
            DigestError::of(&long),
            Some(DigestError::Size { expected: 7, .. })
        ));

        let mut reader = Verifier::new(&b"Content"[..], &digest, Some(7)).unwrap();
        assert!(
            AsyncReadExt::read_to_end(&mut reader, &mut Vec::new())
                .await
                .is_err()
        );
        let mut reader = Verifier::new(&b"content"[..], &digest, Some(7)).unwrap();
        assert_eq!(
            AsyncReadExt::read_to_end(&mut reader, &mut Vec::new())
                .await
                .unwrap(),
            7
        );
    }

    #[test]
    fn a_writer_is_asked_at_the_end() {
        let digest = sha256(b"content");
        let mut writer = Verifier::new(Vec::new(), &digest, Some(7)).unwrap();
        writer.write_all(b"cont").unwrap();
        assert!(writer.check.finish().is_err());
        writer.write_all(b"ent").unwrap();
        assert_eq!(writer.finish().unwrap(), b"content");
        let mut writer = Verifier::new(Vec::new(), &digest, Some(7)).unwrap();
        assert!(writer.write_all(b"content!").is_err());
    }

    proptest! {
        #[test]
        fn a_digest_goes_on_in_another_process(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let mut straight = Hasher::sha256();
            let mut saved = Hasher::sha256();
            for piece in &pieces {
                straight.update(piece);
                saved.update(piece);
                saved = Hasher::restore(&saved.save().unwrap()).unwrap();
            }
            prop_assert_eq!(straight.length(), saved.length());
            prop_assert_eq!(straight.finish(), saved.finish());
        }
    }
}
