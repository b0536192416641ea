//! The authority that certificates and service-account tokens are signed by, and TLS made of it.
//!
//! A cluster has one [`Authority`]: the key and certificate that client and serving certificates are
//! signed with, and the key that signs service-account tokens. One server keeps it in its data
//! directory. Several servers on one store keep it as one object there ([`Authority::export`],
//! [`Authority::import`]): whoever writes it first decides, the others take what they find.
//!
//! Certificates are written here rather than by a library because a subject may name many groups
//! (one organization each) and a request's own subject and key must be carried over byte by byte.
//! All of them are read back by other people's parsers: in the tests, and by every client.

mod authority;
mod certificate;
mod encode;
mod keys;
mod kubeconfig;
mod request;
mod serving;
mod tls;

pub use authority::{Authority, AuthorityBundle};
pub(crate) use certificate::parse as parse_certificate;
pub use certificate::{IssuedCertificate, San};
pub use keys::{PublicKey, SigningKey, pem};
pub use kubeconfig::{KubeconfigUser, admin_kubeconfig, kubeconfig};
pub(crate) use request::names_of_subject;
pub use request::{
    CertificateRequest, RequestError, Signer, create_request, is_bootstrap_node_request,
    is_own_node_request,
};
pub use serving::{ServingCertificate, serving_names};
pub use tls::{ServingResolver, rustls_server_config};

use std::{io, path::PathBuf};

/// Why something about keys or certificates failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or directory could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key or certificate is not what it should be.
    #[error("{what} cannot be read: {problem}")]
    Malformed {
        /// Which one.
        what: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The random generator or a signature failed.
    #[error("{0}")]
    Cryptography(&'static str),
    /// A time is out of what a certificate can say.
    #[error("the time {0} cannot be written into a certificate")]
    Time(i64),
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A client's certificate is not valid here: expired, of another authority, or for another use.
    #[error("x509: {0}")]
    Untrusted(String),
}

pub(crate) fn malformed(what: impl Into<String>, problem: &'static str) -> PkiError {
    PkiError::Malformed {
        what: what.into(),
        problem,
    }
}

/// Seconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60;

/// How far back certificates begin, in seconds, so that hosts whose clocks are late accept them.
pub(crate) const BACKDATE: i64 = 5 * 60;
