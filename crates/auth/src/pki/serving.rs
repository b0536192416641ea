//! The certificate that the server shows.

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use super::{
    Authority, DAY, IssuedCertificate, PkiError, San, SigningKey,
    authority::{lock, read_text},
    certificate::{certificate_from_pem, parse},
    encode::{self, KeyUsage, Purpose},
};
use crate::files::{write_private, write_public};

const CERTIFICATE: &str = "serving.crt";
const KEY: &str = "serving.key";
const SERVING_DAYS: i64 = 365;
/// A certificate that ends sooner than this is replaced.
const RENEW_DAYS: i64 = 60;

/// The server's certificate with its key.
pub struct ServingCertificate {
    pub(crate) issued: IssuedCertificate,
    not_after: i64,
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl ServingCertificate {
    /// When it ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether it is time to ask [`Authority::serving_certificate`] for a new one.
    pub fn needs_renewal(&self, now: i64) -> bool {
        self.not_after - now < RENEW_DAYS * DAY
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        self.issued.certificate_pem()
    }

    /// The certificate as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issued.der()
    }
}

/// The names that clients reach a server by: the loopback, the listen address, this host's name,
/// the names and the address of the service `kubernetes`, and `extra` ones.
pub fn serving_names(listen: SocketAddr, extra: &[String]) -> Vec<San> {
    let fixed = [
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
    ];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut names: Vec<San> = fixed
        .into_iter()
        .chain([host.trim()])
        .chain(extra.iter().map(|name| name.trim()))
        .filter_map(san)
        .collect();
    if !listen.ip().is_unspecified() {
        names.push(San::Ip(listen.ip()));
    }
    names.sort();
    names.dedup();
    names
}

/// An address, or a DNS name; none for what is neither.
fn san(name: &str) -> Option<San> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(San::Ip(address));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let is_name = !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed);
    is_name.then(|| San::Dns(name.to_ascii_lowercase()))
}

impl Authority {
    /// The serving certificate that is kept in a directory, or a new one in its place where it is
    /// absent, is of another authority, is for other names, or ends soon.
    pub fn serving_certificate(
        &self,
        directory: &Path,
        names: &[San],
        now: i64,
    ) -> Result<ServingCertificate, PkiError> {
        let locked = lock(directory)?;
        if let (Some(certificate), Some(key)) =
            (read_text(&locked, CERTIFICATE)?, read_text(&locked, KEY)?)
            && let Some(kept) = self.usable(&certificate, &key, names, now)
        {
            return Ok(kept);
        }
        let fresh = self.issue_serving(names, now)?;
        for (name, text, private) in [
            (CERTIFICATE, fresh.issued.certificate_pem(), false),
            (KEY, fresh.issued.key_pem(), true),
        ] {
            let path = locked.file(name);
            let write = if private { write_private } else { write_public };
            write(&path, text.as_bytes()).map_err(|source| PkiError::File { path, source })?;
        }
        Ok(fresh)
    }

    /// A serving certificate that is kept nowhere.
    pub fn issue_serving(&self, names: &[San], now: i64) -> Result<ServingCertificate, PkiError> {
        let not_after = (now + SERVING_DAYS * DAY).min(self.not_after());
        let subject = encode::subject("mosaic-apiserver", []);
        let usages = [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment];
        let issued = self.issue(
            &subject,
            names,
            now,
            not_after,
            &usages,
            &[Purpose::ServerAuth],
        )?;
        Ok(ServingCertificate { issued, not_after })
    }

    /// The kept certificate, unless something about it calls for a new one. One that cannot be read
    /// (a crash between its two files) is such a reason, not an error.
    fn usable(
        &self,
        certificate: &str,
        key: &str,
        names: &[San],
        now: i64,
    ) -> Option<ServingCertificate> {
        let der = certificate_from_pem(certificate, CERTIFICATE).ok()?;
        let key = SigningKey::from_pem(key, KEY).ok()?;
        let authority = parse(self.certificate(), "the authority's certificate").ok()?;
        let parsed = parse(&der, CERTIFICATE).ok()?;
        parsed.verify_signature(Some(authority.public_key())).ok()?;
        let mut held = names_of(&parsed)?;
        held.sort();
        let mut wanted = names.to_vec();
        wanted.sort();
        wanted.dedup();
        let not_after = parsed.validity().not_after.timestamp();
        let same = parsed.public_key().raw == key.public().spki() && held == wanted;
        let kept = ServingCertificate {
            issued: IssuedCertificate {
                der: der.clone(),
                key,
            },
            not_after,
        };
        (same && !kept.needs_renewal(now)).then_some(kept)
    }
}

/// The names that a certificate is for; none if some are of another kind than addresses and DNS.
fn names_of(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Option<Vec<San>> {
    let extension = certificate.subject_alternative_name().ok()??;
    extension.value.general_names.iter().map(san_of).collect()
}

/// An address or DNS name of a certificate.
pub(crate) fn san_of(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            if let Ok(octets) = <[u8; 4]>::try_from(*bytes) {
                Some(San::Ip(IpAddr::from(octets)))
            } else {
                Some(San::Ip(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?)))
            }
        }
        _ => None,
    }
}
