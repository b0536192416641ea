//! A certificate together with what it was issued for.

use std::fmt;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::X509Certificate;

pub use super::encode::San;
use super::{PkiError, SigningKey, keys::pem, malformed};

/// A certificate and its private key. `Debug` hides the key.
pub struct IssuedCertificate {
    /// The certificate as DER.
    pub(crate) der: CertificateDer<'static>,
    /// Its key.
    pub(crate) key: SigningKey,
}

impl IssuedCertificate {
    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// The certificate as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Reads the first certificate of a PEM text.
pub(crate) fn certificate_from_pem(
    pem: &str,
    what: &str,
) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| malformed(what, "it is not PEM with a CERTIFICATE"))
}

/// Parses a certificate, which must be all of the bytes.
pub(crate) fn parse<'a>(der: &'a [u8], what: &str) -> Result<X509Certificate<'a>, PkiError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(malformed(what, "it is not an X.509 certificate")),
    }
}
