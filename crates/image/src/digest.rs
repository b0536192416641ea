//! Digests of content: computing them, in one process or across several, and holding bytes to them.
//!
//! A [`Digest`] is checked for its grammar when it is parsed (image-spec, descriptor.md, "Digests"), so it never has a
//! `/` in it and is safe as two components of a path. Of the algorithms that the grammar allows, sha256 and sha512 are
//! computed here; content that is named by another cannot be verified and is therefore refused.

use std::io;

pub use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

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
    /// The error inside an [`io::Error`] that it was made into.
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

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn content_is_held_to_its_digest_and_size() {
        let digest = sha256(b"content");
        let check = |pieces: &[&[u8]], size| {
            let mut check = Check::new(&digest, size)?;
            for piece in pieces {
                check.update(piece)?;
            }
            check.finish()
        };
        assert_eq!(check(&[b"cont", b"ent"], Some(7)), Ok(()));
        assert_eq!(check(&[b"content"], None), Ok(()));
        assert!(matches!(
            check(&[b"Content"], None),
            Err(DigestError::Mismatch { .. })
        ));
        assert!(matches!(
            check(&[b"conten"], Some(7)),
            Err(DigestError::Size { found: 6, .. })
        ));
        // As soon as it is longer.
        assert!(matches!(
            check(&[b"content!", b" and more"], Some(7)),
            Err(DigestError::Size { found: 8, .. })
        ));
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
