//! ECDSA keys on the curve P-256.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
        EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};

use super::{PkiError, malformed};

/// `SubjectPublicKeyInfo` of a P-256 key up to the point, which is the 65 bytes that follow.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_LENGTH: usize = 65;

/// A private key. `Debug` shows the public half's id only.
pub struct SigningKey {
    pkcs8: Vec<u8>,
    certificates: EcdsaKeyPair,
    tokens: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, PkiError> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .map_err(|_| PkiError::Cryptography("a key could not be generated"))?;
        Self::from_pkcs8(document.as_ref().to_vec(), "a generated key")
    }

    /// Reads a key from PEM (`PRIVATE KEY`). `what` names it in errors.
    pub fn from_pem(pem: &str, what: &str) -> Result<Self, PkiError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| malformed(what, "it is not PEM with a PRIVATE KEY"))?;
        Self::from_pkcs8(der.secret_pkcs8_der().to_vec(), what)
    }

    fn from_pkcs8(pkcs8: Vec<u8>, what: &str) -> Result<Self, PkiError> {
        let random = SystemRandom::new();
        let wrong = |_| malformed(what, "it is not an ECDSA P-256 key");
        let certificates =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random)
                .map_err(wrong)?;
        let tokens = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random)
            .map_err(wrong)?;
        let public = PublicKey::from_point(certificates.public_key().as_ref());
        Ok(Self {
            pkcs8,
            certificates,
            tokens,
            public,
            random,
        })
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// The key as PKCS#8.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature as certificates hold it (ASN.1).
    pub(crate) fn sign_certificate(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        sign(&self.certificates, &self.random, message)
    }

    /// A signature as JSON web tokens hold it (64 bytes).
    pub(crate) fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        sign(&self.tokens, &self.random, message)
    }
}

fn sign(key: &EcdsaKeyPair, random: &SystemRandom, message: &[u8]) -> Result<Vec<u8>, PkiError> {
    let signature = key
        .sign(random, message)
        .map_err(|_| PkiError::Cryptography("a signature could not be made"))?;
    Ok(signature.as_ref().to_vec())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    point: Vec<u8>,
    id: String,
}

impl PublicKey {
    fn from_point(point: &[u8]) -> Self {
        let spki = [&SPKI_PREFIX[..], point].concat();
        let id = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &spki));
        Self {
            spki,
            point: point.to_vec(),
            id,
        }
    }

    /// Reads a key from PEM (`PUBLIC KEY`). `what` names it in errors.
    pub fn from_pem(pem: &str, what: &str) -> Result<Self, PkiError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| malformed(what, "it is not PEM with a PUBLIC KEY"))?;
        let point = der.as_ref().strip_prefix(&SPKI_PREFIX[..]);
        match point {
            Some(point) if point.len() == POINT_LENGTH => Ok(Self::from_point(point)),
            _ => Err(malformed(what, "it is not an ECDSA P-256 key")),
        }
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// What tells the key from others: the SHA-256 of its DER form, as `kid` in tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether a token's signature (64 bytes) is by this key.
    pub(crate) fn verifies_token(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, signature)
            .is_ok()
    }

    /// The key as a JSON web key.
    pub fn to_jwk(&self) -> serde_json::Value {
        // The point is 0x04, then x and y of 32 bytes each.
        let coordinate = |from: usize| {
            BASE64_URL_SAFE_NO_PAD.encode(self.point.get(from..from + 32).unwrap_or_default())
        };
        serde_json::json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(1), "y": coordinate(33),
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id).finish()
    }
}

/// PEM of DER, with lines of 64 characters.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so any index is between characters.
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
