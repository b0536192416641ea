//! DER of certificates and of requests for them (RFC 5280, RFC 2986).

use std::net::IpAddr;

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use yasna::{DERWriter, DERWriterSeq, Tag, models::ObjectIdentifier, tags};

use super::{PkiError, SigningKey};

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113549, 1, 9, 14];
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// What a key may be used for: the bit of `KeyUsage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUsage {
    DigitalSignature = 0,
    KeyEncipherment = 2,
    CertificateSign = 5,
    RevocationSign = 6,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    ServerAuth,
    ClientAuth,
}

impl Purpose {
    fn oid(self) -> &'static [u64] {
        match self {
            Self::ServerAuth => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
            Self::ClientAuth => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

/// A name that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A DNS name, in ASCII.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

/// A certificate to be.
pub(crate) struct Template<'a> {
    /// The subject as DER.
    pub(crate) subject: &'a [u8],
    /// The subject's public key as DER (`SubjectPublicKeyInfo`).
    pub(crate) spki: &'a [u8],
    /// The issuer's subject as DER.
    pub(crate) issuer: &'a [u8],
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    pub(crate) usages: &'a [KeyUsage],
    pub(crate) purposes: &'a [Purpose],
    pub(crate) sans: &'a [San],
    pub(crate) is_authority: bool,
}

/// A subject: one organization for each group, and the common name.
pub(crate) fn subject<'a>(
    common_name: &str,
    organizations: impl IntoIterator<Item = &'a str>,
) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for organization in organizations {
                attribute(writer, ORGANIZATION, organization);
            }
            attribute(writer, COMMON_NAME, common_name);
        });
    })
}

fn attribute(writer: &mut DERWriterSeq<'_>, kind: &[u64], value: &str) {
    writer.next().write_set(|writer| {
        writer.next().write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(kind));
            writer.next().write_utf8_string(value);
        });
    });
}

/// Signs a certificate.
pub(crate) fn certificate(
    template: &Template<'_>,
    issuer: &SigningKey,
) -> Result<Vec<u8>, PkiError> {
    let not_before = time(template.not_before)?;
    let not_after = time(template.not_after)?;
    let serial = serial()?;
    let body = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer
                .next()
                .write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&serial, true);
            algorithm(writer.next());
            writer.next().write_der(template.issuer);
            writer.next().write_sequence(|writer| {
                for (tag, text) in [&not_before, &not_after] {
                    writer
                        .next()
                        .write_tagged_implicit(*tag, |writer| writer.write_bytes(text.as_bytes()));
                }
            });
            writer.next().write_der(template.subject);
            writer.next().write_der(template.spki);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| extensions(writer, template, issuer));
            });
        });
    });
    signed(&body, issuer)
}

fn extensions(writer: &mut DERWriterSeq<'_>, template: &Template<'_>, issuer: &SigningKey) {
    extension(writer, BASIC_CONSTRAINTS, true, |writer| {
        writer.write_sequence(|writer| {
            if template.is_authority {
                writer.next().write_bool(true);
            }
        });
    });
    let mut bits = [0_u8];
    let mut length = 0;
    for usage in template.usages {
        let bit = *usage as usize;
        bits[0] |= 0x80 >> bit;
        length = length.max(bit + 1);
    }
    if length > 0 {
        extension(writer, KEY_USAGE, true, |writer| {
            writer.write_bitvec_bytes(&bits, length)
        });
    }
    if !template.purposes.is_empty() {
        extension(writer, EXTENDED_KEY_USAGE, false, |writer| {
            writer.write_sequence(|writer| {
                for purpose in template.purposes {
                    writer
                        .next()
                        .write_oid(&ObjectIdentifier::from_slice(purpose.oid()));
                }
            });
        });
    }
    extension(writer, SUBJECT_KEY_ID, false, |writer| {
        writer.write_bytes(&key_id(template.spki))
    });
    extension(writer, AUTHORITY_KEY_ID, false, |writer| {
        writer.write_sequence(|writer| {
            writer
                .next()
                .write_tagged_implicit(Tag::context(0), |writer| {
                    writer.write_bytes(&key_id(issuer.public().spki()));
                });
        });
    });
    if !template.sans.is_empty() {
        extension(writer, SUBJECT_ALT_NAME, false, |writer| {
            names(writer, template.sans)
        });
    }
}

fn extension(
    writer: &mut DERWriterSeq<'_>,
    kind: &[u64],
    critical: bool,
    value: impl FnOnce(DERWriter<'_>),
) {
    let value = yasna::construct_der(value);
    writer.next().write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(kind));
        if critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(&value);
    });
}

fn names(writer: DERWriter<'_>, sans: &[San]) {
    writer.write_sequence(|writer| {
        for san in sans {
            match san {
                San::Dns(name) => writer
                    .next()
                    .write_tagged_implicit(Tag::context(2), |writer| {
                        writer.write_bytes(name.as_bytes());
                    }),
                San::Ip(address) => {
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(7), |writer| match address {
                            IpAddr::V4(address) => writer.write_bytes(&address.octets()),
                            IpAddr::V6(address) => writer.write_bytes(&address.octets()),
                        })
                }
            }
        }
    });
}

/// A request for a certificate (PKCS#10), signed with the key that it is for.
pub(crate) fn request(subject: &[u8], sans: &[San], key: &SigningKey) -> Result<Vec<u8>, PkiError> {
    let body = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            writer.next().write_der(subject);
            writer.next().write_der(key.public().spki());
            writer
                .next()
                .write_tagged_implicit(Tag::context(0), |writer| {
                    writer.write_set(|writer| {
                        if sans.is_empty() {
                            return;
                        }
                        writer.next().write_sequence(|writer| {
                            writer
                                .next()
                                .write_oid(&ObjectIdentifier::from_slice(EXTENSION_REQUEST));
                            writer.next().write_set(|writer| {
                                writer.next().write_sequence(|writer| {
                                    extension(writer, SUBJECT_ALT_NAME, false, |writer| {
                                        names(writer, sans)
                                    });
                                });
                            });
                        });
                    });
                });
        });
    });
    signed(&body, key)
}

fn signed(body: &[u8], key: &SigningKey) -> Result<Vec<u8>, PkiError> {
    let signature = key.sign_certificate(body)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(body);
            algorithm(writer.next());
            writer
                .next()
                .write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

fn algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        writer
            .next()
            .write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
    });
}

fn key_id(spki: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, spki)
        .as_ref()
        .iter()
        .copied()
        .take(20)
        .collect()
}

/// A positive serial number of 127 random bits.
fn serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| PkiError::Cryptography("there is no randomness for a serial number"))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// Times to 2049 have two digits of the year, later ones four.
fn time(seconds: i64) -> Result<(Tag, String), PkiError> {
    let time = jiff::Timestamp::from_second(seconds).map_err(|_| PkiError::Time(seconds))?;
    let year = time.to_zoned(jiff::tz::TimeZone::UTC).year();
    match year {
        1950..=2049 => Ok((
            tags::TAG_UTCTIME,
            time.strftime("%y%m%d%H%M%SZ").to_string(),
        )),
        2050..=9999 => Ok((
            tags::TAG_GENERALIZEDTIME,
            time.strftime("%Y%m%d%H%M%SZ").to_string(),
        )),
        _ => Err(PkiError::Time(seconds)),
    }
}
