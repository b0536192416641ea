//! Container images: what they are called, what they are made of, and the places that they are in.
//!
//! ```text
//!   name        what people call an image          place      where images are: list, read, write
//!   digest      what content is called             store        a local directory (OCI image layout)
//!   media       what content is                    remote       a registry
//!   document    manifests and indexes              copy       from one place to another: pull and push
//!   config      what an image is run as            archive    to and from one tar: save and load
//!   unpack      layers to directories              import     a tree to a layer
//!   tar_reader  tars, as unpack and archive read them
//! ```

pub mod archive;
mod compression;
pub mod config;
pub mod copy;
pub mod digest;
pub mod document;
pub mod import;
pub mod media;
pub mod name;
pub mod place;
pub mod remote;
mod retry;
pub mod store;
pub mod tar_reader;
pub mod unpack;
mod walk;

pub use config::Config;
pub use copy::{CopyOptions, Progress, copy};
pub use digest::{Digest, DigestAlgorithm, DigestError, Hasher};
pub use document::{Descriptor, Document, DocumentError, Platform, Role};
pub use media::{Compression, DocumentKind, MediaType};
pub use name::{Name, NameError, Reference, Repository, Tag};
pub use place::{As, Body, Place, PlaceError};
pub use remote::Remote;
pub use store::Layout;
