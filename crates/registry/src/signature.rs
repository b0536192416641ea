//! Signatures of images, as cosign makes them: a manifest whose layers are payloads in the *simple signing* form, each
//! with its signature in an annotation. It is found by its tag, `sha256-<hex>.sig`, or as a referrer of the image.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use futures::TryStreamExt;
use mosaic_image::{Descriptor, Digest, Document, digest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde::Deserialize;

use crate::blobs::BlobsError;
use crate::metadata::record::{ManifestRecord, ReferrerRecord};
use crate::metadata::{MetadataError, PAGE, keys, parse};
use crate::registry::Registry;

/// The media type of a payload.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The artifact type of a signature that is a referrer.
pub const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The artifact type of a signature in the form of newer signers, with its certificates; such are not verified here.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The annotation that a payload's signature is in.
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What a payload says it is.
const PAYLOAD_TYPE: &str = "cosign container image signature";
/// The most bytes of a payload.
const PAYLOAD_MAX: u64 = 64 << 10;
/// The most payloads of one signature manifest, and the most manifests of one image, that are looked at.
const PAYLOADS_MAX: usize = 100;
const SIGNATURES_MAX: usize = 1_000;

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not a PEM file of a public key.
    #[error("not a public key in PEM form")]
    NotPem,
    /// It is of a kind that is not known here.
    #[error("the public key is neither ECDSA P-256 nor Ed25519")]
    Kind,
}

/// A public key that signatures are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    bytes: Arc<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    P256,
    Ed25519,
}

/// What stands before the point of a P-256 key in its `SubjectPublicKeyInfo` (RFC 5480): a sequence of the algorithm
/// `id-ecPublicKey` with the curve `secp256r1`, and of a bit string of 65 bytes.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same for Ed25519 (RFC 8410): the algorithm, and a bit string of 32 bytes.
const ED25519_INFO: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

impl PublicKey {
    /// A key from its PEM form (`-----BEGIN PUBLIC KEY-----`), as `cosign generate-key-pair` writes it.
    ///
    /// # Errors
    /// If it is none, or of another kind than ECDSA P-256 and Ed25519.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let begun = pem.split_once("-----BEGIN PUBLIC KEY-----");
        let ended = begun.and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"));
        let (text, _) = ended.ok_or(KeyError::NotPem)?;
        let text: String = text.split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| KeyError::NotPem)?;
        Self::from_der(&der)
    }

    /// A key from its DER form, a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// If it is of another kind than ECDSA P-256 and Ed25519.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = |kind, bytes: &[u8]| Self {
            kind,
            bytes: bytes.into(),
        };
        match (der.strip_prefix(&P256), der.strip_prefix(&ED25519_INFO)) {
            // Uncompressed: a 4 and two coordinates.
            (Some(point), _) if point.len() == 65 && point.first() == Some(&4) => {
                Ok(key(Kind::P256, point))
            }
            (_, Some(bytes)) if bytes.len() == 32 => Ok(key(Kind::Ed25519, bytes)),
            _ => Err(KeyError::Kind),
        }
    }

    /// Whether a signature of these bytes is by this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.kind {
            Kind::P256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.bytes)
                .verify(message, signature),
            Kind::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// The parts of a payload that are looked at.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: PayloadImage,
    r#type: String,
}

#[derive(Deserialize)]
struct PayloadImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether a payload is a signature of an image by a key. Which name the signer gave the image is not looked at: images
/// are copied and mirrored with their signatures.
#[must_use]
pub fn is_signature(payload: &[u8], signature: &str, image: &Digest, key: &PublicKey) -> bool {
    let Ok(signature) = STANDARD.decode(signature.trim()) else {
        return false;
    };
    // The signature before the content: nobody's bytes but the signer's are parsed.
    key.verifies(payload, &signature)
        && serde_json::from_slice::<Payload>(payload).is_ok_and(|payload| {
            payload.critical.r#type == PAYLOAD_TYPE
                && payload.critical.image.digest == image.as_ref()
        })
}

impl Registry {
    /// Whether an image of a repository is signed by a key. An index is signed by its own digest.
    ///
    /// # Errors
    /// When the store or the blobs fail. A signature that cannot be read is none.
    pub async fn verify(
        &self,
        repository: &str,
        image: &Digest,
        key: &PublicKey,
    ) -> Result<bool, MetadataError> {
        for signature in self.signatures(repository, image).await? {
            if self.signs(repository, &signature, image, key).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The manifests that may be signatures of an image.
    async fn signatures(
        &self,
        repository: &str,
        image: &Digest,
    ) -> Result<Vec<Digest>, MetadataError> {
        let metadata = &self.0.metadata;
        let mut found = Vec::new();
        let tag = format!("{}-{}.sig", image.algorithm(), image.digest());
        if let Some(tag) = metadata.tag(repository, &tag).await? {
            found.push(tag.value.digest);
        }
        let prefix = keys::referrers(repository, image);
        // All of them: other referrers must not put a signature out of sight.
        let mut entries = metadata.entries(&prefix, None, PAGE);
        while found.len() < SIGNATURES_MAX
            && let Some(entry) = entries.try_next().await?
        {
            let referrer = parse::<ReferrerRecord>(&entry)?.value;
            if referrer.artifact_type.as_deref() == Some(ARTIFACT) {
                let parsed = keys::parse_referrer(&entry.key);
                found.extend(parsed.map(|(_, _, digest)| digest));
            }
        }
        Ok(found)
    }

    async fn signs(
        &self,
        repository: &str,
        signature: &Digest,
        image: &Digest,
        key: &PublicKey,
    ) -> Result<bool, MetadataError> {
        let manifest = self.0.metadata.manifest(repository, signature).await?;
        let Some(ManifestRecord {
            media_type, size, ..
        }) = manifest
        else {
            return Ok(false);
        };
        let Some(bytes) = self.small(signature, size).await? else {
            return Ok(false);
        };
        let Ok(document) = Document::parse(Some(&media_type), bytes) else {
            return Ok(false);
        };
        for layer in document.layers().iter().take(PAYLOADS_MAX) {
            let Some(text) = annotation(layer) else {
                continue;
            };
            if let Some(payload) = self.small(layer.digest(), layer.size()).await?
                && digest::sha256(&payload) == *layer.digest()
                && is_signature(&payload, text, image, key)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The bytes of something small; none if it is absent, or larger than it should be.
    pub(crate) async fn small(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<bytes::Bytes>, MetadataError> {
        let read = self.0.blobs.read(digest, 0..u64::MAX).await?;
        let Some((actual, mut stream)) = read else {
            return Ok(None);
        };
        if actual != size || size > PAYLOAD_MAX.max(mosaic_image::document::SIZE_MAX as u64) {
            return Ok(None);
        }
        let mut bytes = BytesMut::new();
        let failed = |error| BlobsError::io("read blob", digest, error);
        while let Some(piece) = stream.try_next().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.freeze()))
    }
}

/// The signature in a layer's annotation, if it is a payload's.
fn annotation(layer: &Descriptor) -> Option<&str> {
    let payload = layer.media_type().as_ref() == PAYLOAD && layer.size() <= PAYLOAD_MAX;
    let annotations = layer.annotations().as_ref().filter(|_| payload)?;
    annotations.get(ANNOTATION).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    fn image() -> Digest {
        digest::sha256(b"image")
    }

    fn payload(digest: &Digest, kind: &str) -> Vec<u8> {
        let payload = serde_json::json!({
            "critical": {
                "identity": { "docker-reference": "example.com/app" },
                "image": { "docker-manifest-digest": digest },
                "type": kind,
            },
            "optional": null,
        });
        payload.to_string().into_bytes()
    }

    #[test]
    fn a_signature_is_by_this_key_of_this_image() {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let der = [&P256[..], pair.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(&der)
        );
        let key = PublicKey::from_pem(&pem).unwrap();
        let sign = |message: &[u8]| STANDARD.encode(pair.sign(&random, message).unwrap());
        let signed = payload(&image(), PAYLOAD_TYPE);
        let signature = sign(&signed);
        assert!(is_signature(&signed, &signature, &image(), &key));

        let other = digest::sha256(b"another image");
        assert!(!is_signature(&signed, &signature, &other, &key));
        let forged = payload(&other, PAYLOAD_TYPE);
        assert!(!is_signature(&forged, &signature, &other, &key));
        let another_kind = payload(&image(), "attestation");
        assert!(!is_signature(
            &another_kind,
            &sign(&another_kind),
            &image(),
            &key
        ));
        assert!(!is_signature(&signed, "no base64", &image(), &key));
    }

    #[tokio::test]
    async fn other_referrers_put_no_signature_out_of_sight() {
        use mosaic_store::{Expect, Memory};

        use crate::{AllowAll, Disk, Settings};
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(directory.path()).unwrap());
        let store = Arc::new(Memory::new());
        let registry = Registry::new(store, disk, Arc::new(AllowAll), Settings::default());
        let mut digests: Vec<Digest> = (0..=PAGE)
            .map(|number| digest::sha256(&number.to_be_bytes()))
            .collect();
        digests.sort_by_key(ToString::to_string);
        let last = digests.last().unwrap();
        for digest in &digests {
            let kind = if digest == last {
                ARTIFACT
            } else {
                "other/kind"
            };
            let referrer = ReferrerRecord {
                media_type: mosaic_image::media::OCI_MANIFEST.into(),
                size: 1,
                artifact_type: Some(kind.into()),
                annotations: std::collections::BTreeMap::new(),
            };
            let key = keys::referrer("r", &image(), digest);
            let put = registry.0.metadata.put(&key, Expect::Absent, &referrer);
            assert!(put.await.unwrap());
        }
        let found = registry.signatures("r", &image()).await.unwrap();
        assert_eq!(found, std::slice::from_ref(last));
    }

    #[test]
    fn keys_of_both_kinds_are_read_and_others_are_not() {
        let random = SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let der = [&ED25519_INFO[..], pair.public_key().as_ref()].concat();
        let key = PublicKey::from_der(&der).unwrap();
        let signed = payload(&image(), PAYLOAD_TYPE);
        let signature = STANDARD.encode(pair.sign(&signed));
        assert!(is_signature(&signed, &signature, &image(), &key));

        assert_eq!(PublicKey::from_pem("none"), Err(KeyError::NotPem));
        assert_eq!(PublicKey::from_der(&der[1..]), Err(KeyError::Kind));
        assert_eq!(
            PublicKey::from_der(&der[..der.len() - 1]),
            Err(KeyError::Kind)
        );
    }
}
