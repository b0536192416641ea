//! The authority of a cluster.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use serde::{Deserialize, Serialize};

use super::{
    BACKDATE, DAY, IssuedCertificate, PkiError, PublicKey, SigningKey,
    certificate::{certificate_from_pem, parse},
    encode::{self, KeyUsage, Purpose, San, Template},
    keys::pem,
    malformed,
};
use crate::files::{LockedDirectory, read_if_there, write_private, write_public};

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const TOKEN_KEY: &str = "sa.key";
const OLD_TOKEN_KEYS: &str = "sa-old.pub";
const CA_NAME: &str = "mosaic-ca";
const CA_DAYS: i64 = 3650;
/// Older keys that tokens may still be signed by; further ones do not count.
const OLD_KEYS_KEPT: usize = 8;

/// The keys that a cluster's certificates and service-account tokens are signed by.
pub struct Authority {
    key: SigningKey,
    certificate: CertificateDer<'static>,
    /// The subject as DER: the issuer of what is signed.
    name: Vec<u8>,
    not_after: i64,
    token_key: Arc<SigningKey>,
    old_token_keys: Vec<PublicKey>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// An [`Authority`] as it is kept in a store. It holds private keys: whoever reads it can be anyone
/// in the cluster. `Debug` hides them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityBundle {
    /// The authority's certificate as PEM.
    pub ca_certificate: String,
    /// The authority's private key as PEM.
    pub ca_key: String,
    /// The private key that service-account tokens are signed by, as PEM.
    pub service_account_key: String,
    /// Public keys that they were signed by before, as PEM, newest first: whoever replaces
    /// `service_account_key` adds its public half here. The first eight count.
    #[serde(default)]
    pub old_service_account_keys: Vec<String>,
}

impl fmt::Debug for AuthorityBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityBundle")
            .field("ca_certificate", &self.ca_certificate)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("key", &self.key)
            .field("token_key", &self.token_key)
            .field("old_token_keys", &self.old_token_keys)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority. `now` is in seconds since 1970.
    pub fn generate(now: i64) -> Result<Self, PkiError> {
        let key = SigningKey::generate()?;
        let name = encode::subject(CA_NAME, []);
        let template = Template {
            subject: &name,
            spki: key.public().spki(),
            issuer: &name,
            not_before: now - BACKDATE,
            not_after: now + CA_DAYS * DAY,
            usages: &[
                KeyUsage::DigitalSignature,
                KeyUsage::CertificateSign,
                KeyUsage::RevocationSign,
            ],
            purposes: &[],
            sans: &[],
            is_authority: true,
        };
        let certificate = encode::certificate(&template, &key)?.into();
        Self::assemble(key, certificate, SigningKey::generate()?, Vec::new())
    }

    /// The authority that is kept in a directory; where there is none, a new one is made and kept.
    /// Servers that start at the same time on one directory get the same one. Private keys have
    /// mode 600. A directory with half of an authority is an error: nothing is overwritten.
    pub fn load_or_create(directory: &Path) -> Result<Self, PkiError> {
        let locked = lock(directory)?;
        if let Some(authority) = Self::load_locked(&locked)? {
            return Ok(authority);
        }
        let authority = Self::generate(jiff::Timestamp::now().as_second())?;
        authority.save_locked(&locked)?;
        Ok(authority)
    }

    /// The authority that is kept in a directory, if there is one.
    pub fn load(directory: &Path) -> Result<Option<Self>, PkiError> {
        Self::load_locked(&lock(directory)?)
    }

    /// Keeps this authority in a directory, in the place of the one that is there: for a server
    /// that took its authority from the store.
    pub fn save(&self, directory: &Path) -> Result<(), PkiError> {
        self.save_locked(&lock(directory)?)
    }

    fn load_locked(directory: &LockedDirectory) -> Result<Option<Self>, PkiError> {
        // The key is written last, so an authority is there when its key is.
        let Some(ca_key) = read_text(directory, CA_KEY)? else {
            return Ok(None);
        };
        let needed = |name: &'static str| match read_text(directory, name)? {
            Some(text) => Ok(text),
            None => Err(malformed(
                directory.file(name).display().to_string(),
                "the file is missing",
            )),
        };
        let old = read_text(directory, OLD_TOKEN_KEYS)?.unwrap_or_default();
        let bundle = AuthorityBundle {
            ca_certificate: needed(CA_CERTIFICATE)?,
            ca_key,
            service_account_key: needed(TOKEN_KEY)?,
            old_service_account_keys: split_pem(&old),
        };
        Self::from_bundle(&bundle).map(Some)
    }

    fn save_locked(&self, directory: &LockedDirectory) -> Result<(), PkiError> {
        let bundle = self.to_bundle();
        let old = bundle.old_service_account_keys.concat();
        for (name, text, private) in [
            (CA_CERTIFICATE, &bundle.ca_certificate, false),
            (OLD_TOKEN_KEYS, &old, false),
            (TOKEN_KEY, &bundle.service_account_key, true),
            (CA_KEY, &bundle.ca_key, true),
        ] {
            let path = directory.file(name);
            let write = if private { write_private } else { write_public };
            write(&path, text.as_bytes()).map_err(|source| PkiError::File { path, source })?;
        }
        Ok(())
    }

    /// The authority as bytes that [`Authority::import`] reads. They hold private keys.
    pub fn export(&self) -> Result<Vec<u8>, PkiError> {
        serde_json::to_vec(&self.to_bundle())
            .map_err(|_| malformed("the authority", "it cannot be written as JSON"))
    }

    /// Reads what [`Authority::export`] wrote.
    pub fn import(bytes: &[u8]) -> Result<Self, PkiError> {
        // serde's own message may quote what it read, which here are keys.
        let bundle: AuthorityBundle = serde_json::from_slice(bytes)
            .map_err(|_| malformed("the stored authority", "it is not the JSON of an authority"))?;
        Self::from_bundle(&bundle)
    }

    /// The authority as it is kept in a store.
    pub fn to_bundle(&self) -> AuthorityBundle {
        AuthorityBundle {
            ca_certificate: self.certificate_pem(),
            ca_key: self.key.to_pem(),
            service_account_key: self.token_key.to_pem(),
            old_service_account_keys: self.old_token_keys.iter().map(PublicKey::to_pem).collect(),
        }
    }

    /// Reads an authority from its kept form.
    pub fn from_bundle(bundle: &AuthorityBundle) -> Result<Self, PkiError> {
        let old = bundle
            .old_service_account_keys
            .iter()
            .take(OLD_KEYS_KEPT)
            .map(|pem| PublicKey::from_pem(pem, "an older service-account key"))
            .collect::<Result<_, _>>()?;
        Self::assemble(
            SigningKey::from_pem(&bundle.ca_key, "the authority's key")?,
            certificate_from_pem(&bundle.ca_certificate, "the authority's certificate")?,
            SigningKey::from_pem(&bundle.service_account_key, "the service-account key")?,
            old,
        )
    }

    fn assemble(
        key: SigningKey,
        certificate: CertificateDer<'static>,
        token_key: SigningKey,
        old_token_keys: Vec<PublicKey>,
    ) -> Result<Self, PkiError> {
        const WHAT: &str = "the authority's certificate";
        let parsed = parse(&certificate, WHAT)?;
        if parsed.public_key().raw != key.public().spki() {
            return Err(malformed(WHAT, "it belongs to another key"));
        }
        if !parsed.is_ca() {
            return Err(malformed(WHAT, "it is not the certificate of an authority"));
        }
        let name = parsed.subject().as_raw().to_vec();
        let not_after = parsed.validity().not_after.timestamp();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).map_err(PkiError::Tls)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| malformed(WHAT, "it cannot be a root of trust"))?;
        let token_key = Arc::new(token_key);
        Ok(Self {
            key,
            certificate,
            name,
            not_after,
            token_key,
            old_token_keys,
            verifier,
        })
    }

    /// The authority's certificate as PEM: what clients trust.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The authority's certificate as DER.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The subject as DER.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// When the authority's certificate ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The key that service-account tokens are signed by.
    pub fn token_key(&self) -> &Arc<SigningKey> {
        &self.token_key
    }

    /// The keys that service-account tokens may be signed by, the present one first.
    pub fn token_public_keys(&self) -> Vec<PublicKey> {
        std::iter::once(self.token_key.public())
            .chain(&self.old_token_keys)
            .cloned()
            .collect()
    }

    /// The public token keys as a JSON web key set, for `/openid/v1/jwks`.
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .token_public_keys()
            .iter()
            .map(PublicKey::to_jwk)
            .collect();
        serde_json::json!({ "keys": keys })
    }

    /// A client certificate for a user in groups, valid for so many days from now, at most to the
    /// end of the authority's own.
    pub fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        days: u32,
    ) -> Result<IssuedCertificate, PkiError> {
        let now = jiff::Timestamp::now().as_second();
        let subject = encode::subject(user, groups.iter().copied());
        let usages = [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment];
        self.issue(
            &subject,
            &[],
            now,
            now + i64::from(days) * DAY,
            &usages,
            &[Purpose::ClientAuth],
        )
    }

    pub(crate) fn issue(
        &self,
        subject: &[u8],
        sans: &[San],
        now: i64,
        not_after: i64,
        usages: &[KeyUsage],
        purposes: &[Purpose],
    ) -> Result<IssuedCertificate, PkiError> {
        let key = SigningKey::generate()?;
        let template = Template {
            subject,
            spki: key.public().spki(),
            issuer: &self.name,
            not_before: now - BACKDATE,
            not_after: not_after.min(self.not_after),
            usages,
            purposes,
            sans,
            is_authority: false,
        };
        let der = encode::certificate(&template, &self.key)?.into();
        Ok(IssuedCertificate { der, key })
    }

    /// Whether a client's certificates (its own first) lead to this authority, are valid at `now`
    /// (seconds since 1970) and are for clients.
    pub(crate) fn verify_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: i64,
    ) -> Result<(), PkiError> {
        let Some((own, intermediates)) = chain.split_first() else {
            return Err(PkiError::Untrusted("no certificate was given".to_owned()));
        };
        let now =
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.try_into().unwrap_or(0)));
        match self.verifier.verify_client_cert(own, intermediates, now) {
            Ok(_) => Ok(()),
            Err(error) => Err(PkiError::Untrusted(error.to_string())),
        }
    }

    /// The discovery document of the token issuer, for `/.well-known/openid-configuration`.
    pub fn openid_configuration(issuer: &str, jwks_uri: &str) -> serde_json::Value {
        let mut document = BTreeMap::new();
        document.insert("issuer", serde_json::json!(issuer));
        document.insert("jwks_uri", serde_json::json!(jwks_uri));
        document.insert("response_types_supported", serde_json::json!(["id_token"]));
        document.insert("subject_types_supported", serde_json::json!(["public"]));
        document.insert(
            "id_token_signing_alg_values_supported",
            serde_json::json!(["ES256"]),
        );
        serde_json::json!(document)
    }
}

pub(crate) fn lock(directory: &Path) -> Result<LockedDirectory, PkiError> {
    LockedDirectory::open(directory).map_err(|source| PkiError::File {
        path: directory.to_owned(),
        source,
    })
}

pub(crate) fn read_text(
    directory: &LockedDirectory,
    name: &str,
) -> Result<Option<String>, PkiError> {
    let path = directory.file(name);
    match read_if_there(&path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(malformed(path.display().to_string(), "it is not text")),
        },
        Err(source) => Err(PkiError::File { path, source }),
    }
}

/// Each PEM section of a text by itself.
fn split_pem(text: &str) -> Vec<String> {
    text.split_inclusive("-----END PUBLIC KEY-----\n")
        .filter(|section| section.contains("-----BEGIN"))
        .map(str::to_owned)
        .collect()
}
