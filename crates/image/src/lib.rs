//! Container images: what they are called, what they are made of, and the places that they are in.
//!
//! ```text
//!   name        what people call an image          document   manifests and indexes
//!   digest      what content is called             config     what an image wants to be run as
//!   media       what content is                    unpack     layers to directories
//! ```

pub mod digest;
pub mod document;
pub mod media;
pub mod name;
pub mod unpack;

pub use digest::{Digest, DigestAlgorithm, DigestError, Hasher, Verifier};
pub use document::{Descriptor, Document, DocumentError, Platform, Role};
pub use media::{Compression, DocumentKind, MediaType};
pub use name::{Name, NameError, Reference, Repository, Tag};
