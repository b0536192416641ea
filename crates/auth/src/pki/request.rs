//! Requests for certificates, as CertificateSigningRequests carry them (PKCS#10).

use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::X509Name,
};

use super::{
    Authority, BACKDATE, DAY, PkiError, SigningKey,
    encode::{self, KeyUsage, Purpose, San, Template},
    keys::pem,
    serving::san_of,
};
use crate::{User, groups, users};

/// Larger requests are refused unread.
const MAX_REQUEST_BYTES: usize = 64 << 10;
/// How long a certificate holds when the request does not say.
const DEFAULT_DAYS: i64 = 365;
/// The shortest life that a request may ask for, in seconds.
const MIN_SECONDS: i64 = 600;

/// The signers that Mosaic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`: users and programs.
    ApiserverClient,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: hosts, as clients.
    ApiserverClientKubelet,
    /// `kubernetes.io/kubelet-serving`: hosts, as servers.
    KubeletServing,
}

impl Signer {
    /// The signer of that name (`spec.signerName`).
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::ApiserverClient,
            Self::ApiserverClientKubelet,
            Self::KubeletServing,
        ]
        .into_iter()
        .find(|signer| signer.name() == name)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiserverClient => "kubernetes.io/kube-apiserver-client",
            Self::ApiserverClientKubelet => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
        }
    }
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is not PEM with a `CERTIFICATE REQUEST`, or not PKCS#10, or too large.
    #[error("the certificate request cannot be read: {0}")]
    Malformed(&'static str),
    /// Its signature is not by the key that it is for.
    #[error("the certificate request is not signed by the key that it is for")]
    Signature,
    /// It asks for what the signer does not sign.
    #[error("{0}")]
    Refused(String),
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Pki(#[from] PkiError),
}

fn refused(text: impl Into<String>) -> RequestError {
    RequestError::Refused(text.into())
}

/// A request for a certificate that has been read, and whose signature is by its own key.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    subject: Vec<u8>,
    spki: Vec<u8>,
    /// The common name: the user.
    pub common_name: String,
    /// The organizations: the groups.
    pub organizations: Vec<String>,
    /// DNS names and addresses.
    pub sans: Vec<San>,
    emails: bool,
    uris: bool,
}

impl CertificateRequest {
    /// Reads `spec.request`, after base64.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RequestError> {
        if pem.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::Malformed("it is larger than 64 KiB"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_| RequestError::Malformed("it is not PEM with a CERTIFICATE REQUEST"))?;
        let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
            return Err(RequestError::Malformed("it is not PKCS#10"));
        };
        request
            .verify_signature()
            .map_err(|_| RequestError::Signature)?;
        let info = &request.certification_request_info;
        let mut read = Self {
            subject: info.subject.as_raw().to_vec(),
            spki: info.subject_pki.raw.to_vec(),
            common_name: String::new(),
            organizations: Vec::new(),
            sans: Vec::new(),
            emails: false,
            uris: false,
        };
        (read.common_name, read.organizations) = names_of_subject(&info.subject)
            .ok_or(RequestError::Malformed("its subject is not text"))?;
        for extension in request.requested_extensions().into_iter().flatten() {
            // What else is asked for (usages, constraints) is the signer's to say, not the request's.
            let ParsedExtension::SubjectAlternativeName(names) = extension else {
                continue;
            };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(_) | GeneralName::IPAddress(_) => read.sans.push(
                        san_of(name)
                            .ok_or(RequestError::Malformed("it holds a malformed address"))?,
                    ),
                    GeneralName::RFC822Name(_) => read.emails = true,
                    GeneralName::URI(_) => read.uris = true,
                    _ => {
                        return Err(RequestError::Malformed(
                            "it asks for a name of an unknown kind",
                        ));
                    }
                }
            }
        }
        Ok(read)
    }

    fn has_dns(&self) -> bool {
        self.sans.iter().any(|san| matches!(san, San::Dns(_)))
    }

    fn has_ip(&self) -> bool {
        self.sans.iter().any(|san| matches!(san, San::Ip(_)))
    }

    /// Whether the signer signs this for these usages (`spec.usages`): Kubernetes' rules.
    pub fn check(&self, signer: Signer, usages: &[String]) -> Result<(), RequestError> {
        match signer {
            Signer::ApiserverClient => {
                if self
                    .organizations
                    .iter()
                    .any(|group| group == groups::MASTERS)
                {
                    return Err(refused(format!(
                        "use of {} signer with {} group is not allowed",
                        signer.name(),
                        groups::MASTERS
                    )));
                }
                let known = ["digital signature", "key encipherment", "client auth"];
                if let Some(other) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
                    return Err(refused(format!(
                        "usage {other:?} is not allowed for {}",
                        signer.name()
                    )));
                }
                if !usages.iter().any(|usage| usage == "client auth") {
                    return Err(refused("usages did not contain \"client auth\""));
                }
            }
            Signer::ApiserverClientKubelet => {
                self.check_node_subject()?;
                if self.has_dns() {
                    return Err(refused("DNS subjectAltNames are not allowed"));
                }
                if self.has_ip() {
                    return Err(refused("IP subjectAltNames are not allowed"));
                }
                self.check_no_other_names()?;
                check_usages(usages, "client auth")?;
            }
            Signer::KubeletServing => {
                self.check_node_subject()?;
                if self.sans.is_empty() {
                    return Err(refused("DNS or IP subjectAltName is required"));
                }
                self.check_no_other_names()?;
                check_usages(usages, "server auth")?;
            }
        }
        Ok(())
    }

    fn check_node_subject(&self) -> Result<(), RequestError> {
        if self.organizations != [groups::NODES] {
            return Err(refused("subject organization is not system:nodes"));
        }
        match self.common_name.strip_prefix(users::NODE_PREFIX) {
            Some(name) if !name.is_empty() => Ok(()),
            _ => Err(refused(
                "subject common name does not begin with system:node:",
            )),
        }
    }

    fn check_no_other_names(&self) -> Result<(), RequestError> {
        if self.emails {
            return Err(refused("Email subjectAltNames are not allowed"));
        }
        if self.uris {
            return Err(refused("URI subjectAltNames are not allowed"));
        }
        Ok(())
    }
}

fn check_usages(usages: &[String], purpose: &str) -> Result<(), RequestError> {
    let mut given: Vec<&str> = usages.iter().map(String::as_str).collect();
    given.sort_unstable();
    given.dedup();
    let mut wanted = vec![purpose, "digital signature"];
    wanted.sort_unstable();
    let mut with_encipherment = vec![purpose, "digital signature", "key encipherment"];
    with_encipherment.sort_unstable();
    if given == wanted || given == with_encipherment {
        Ok(())
    } else {
        Err(refused(format!(
            "usages did not match {wanted:?}, with or without \"key encipherment\""
        )))
    }
}

/// The common name and the organizations of a subject; none if one of them is not text.
pub(crate) fn names_of_subject(subject: &X509Name<'_>) -> Option<(String, Vec<String>)> {
    // The last common name counts, as Go reads it.
    let common_name = match subject.iter_common_name().last() {
        Some(name) => name.as_str().ok()?.to_owned(),
        None => String::new(),
    };
    let organizations = subject
        .iter_organization()
        .map(|name| name.as_str().map(str::to_owned).ok())
        .collect::<Option<_>>()?;
    Some((common_name, organizations))
}

/// Whether a request is a host's for its own next client certificate or serving certificate: may be
/// approved without a person, where the user may create `certificatesigningrequests/selfnodeclient`.
pub fn is_own_node_request(user: &User, request: &CertificateRequest) -> bool {
    user.node_name().is_some() && user.name == request.common_name
}

/// Whether a request is the first one of a host that came with a bootstrap token: may be approved
/// where the user may create `certificatesigningrequests/nodeclient`.
pub fn is_bootstrap_node_request(user: &User, request: &CertificateRequest) -> bool {
    user.in_group(groups::BOOTSTRAPPERS) && request.check_node_subject().is_ok()
}

/// A new key and a request for a certificate for it, both as PEM: request first.
pub fn create_request(
    user: &str,
    groups: &[&str],
    sans: &[San],
) -> Result<(String, SigningKey), PkiError> {
    let key = SigningKey::generate()?;
    let subject = encode::subject(user, groups.iter().copied());
    let der = encode::request(&subject, sans, &key)?;
    Ok((pem("CERTIFICATE REQUEST", &der), key))
}

impl Authority {
    /// Signs a request for a signer, after [`CertificateRequest::check`], and returns the
    /// certificate as PEM. It holds for `expiration_seconds` (at least 600; one year if none is
    /// given, and never longer), and never longer than the authority.
    pub fn sign_request(
        &self,
        request: &CertificateRequest,
        signer: Signer,
        usages: &[String],
        expiration_seconds: Option<i64>,
        now: i64,
    ) -> Result<String, RequestError> {
        request.check(signer, usages)?;
        let seconds = expiration_seconds
            .unwrap_or(DEFAULT_DAYS * DAY)
            .clamp(MIN_SECONDS, DEFAULT_DAYS * DAY);
        let has = |name: &str| usages.iter().any(|usage| usage == name);
        let mut key_usages = Vec::new();
        if has("digital signature") {
            key_usages.push(KeyUsage::DigitalSignature);
        }
        if has("key encipherment") {
            key_usages.push(KeyUsage::KeyEncipherment);
        }
        let purpose = match signer {
            Signer::ApiserverClient | Signer::ApiserverClientKubelet => Purpose::ClientAuth,
            Signer::KubeletServing => Purpose::ServerAuth,
        };
        let template = Template {
            subject: &request.subject,
            spki: &request.spki,
            issuer: self.name(),
            not_before: now - BACKDATE,
            not_after: (now + seconds).min(self.not_after()),
            usages: &key_usages,
            purposes: &[purpose],
            sans: &request.sans,
            is_authority: false,
        };
        let der = encode::certificate(&template, self.key())?;
        Ok(pem("CERTIFICATE", &der))
    }
}
