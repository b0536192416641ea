//! TLS of the server.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    crypto::{
        CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use super::{Authority, PkiError, ServingCertificate, malformed};

/// TLS for the server: 1.2 and 1.3 over ring, HTTP/2 and HTTP/1.1.
///
/// A client may show a certificate. The handshake checks only that it holds the certificate's key:
/// whether the certificate is the authority's is decided with the request
/// ([`client_identity`](crate::authn::client_identity)), so that a client with an unknown
/// certificate can still come with a token, and else reads why it is refused.
pub fn rustls_server_config(
    authority: &Authority,
    serving: Arc<ServingResolver>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = Arc::new(default_provider());
    let verifier = OfferedCertificate {
        provider: Arc::clone(&provider),
        hints: vec![DistinguishedName::from(authority.name().to_vec())],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Hands out the server's certificate, and can be given a new one while the server runs.
pub struct ServingResolver {
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for ServingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingResolver").finish_non_exhaustive()
    }
}

impl ServingResolver {
    /// Begins with this certificate.
    pub fn new(certificate: &ServingCertificate) -> Result<Arc<Self>, PkiError> {
        Ok(Arc::new(Self {
            current: RwLock::new(certified_key(certificate)?),
        }))
    }

    /// New connections see this certificate.
    pub fn replace(&self, certificate: &ServingCertificate) -> Result<(), PkiError> {
        *self.current.write() = certified_key(certificate)?;
        Ok(())
    }
}

fn certified_key(certificate: &ServingCertificate) -> Result<Arc<CertifiedKey>, PkiError> {
    let key = PrivatePkcs8KeyDer::from(certificate.issued.key.pkcs8().to_vec()).into();
    let key = default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| malformed("the serving key", "TLS cannot use it"))?;
    Ok(Arc::new(CertifiedKey::new(
        vec![certificate.der().clone()],
        key,
    )))
}

impl ResolvesServerCert for ServingResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

/// Asks for a client certificate and takes whatever is offered, once the client has proved that it
/// holds the key.
#[derive(Debug)]
struct OfferedCertificate {
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for OfferedCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
