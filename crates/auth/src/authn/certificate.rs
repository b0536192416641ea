//! Client certificates: the common name is the user, each organization a group.

use std::{fmt::Write, sync::Arc};

use ring::digest;
use rustls::pki_types::CertificateDer;

use super::AuthnError;
use crate::{
    User, groups,
    pki::{Authority, PkiError, names_of_subject, parse_certificate},
};

/// Longer chains are refused.
const MAX_CHAIN: usize = 8;

/// Who a client certificate says its holder is. Found once for each connection; each request asks
/// again whether the certificate still holds.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    user: Arc<User>,
    not_after: i64,
}

impl ClientIdentity {
    /// The user, unless the certificate has ended by `now` (seconds since 1970).
    pub fn user_at(&self, now: i64) -> Result<Arc<User>, AuthnError> {
        if now > self.not_after {
            return Err(AuthnError::Certificate(PkiError::Untrusted(
                "certificate has expired".to_owned(),
            )));
        }
        Ok(Arc::clone(&self.user))
    }
}

/// Who shows these certificates (the client's own first, as TLS gives them), at `now` in seconds
/// since 1970: none where the certificate names no user, an error where it is not valid here.
pub fn client_identity(
    authority: &Authority,
    chain: &[CertificateDer<'_>],
    now: i64,
) -> Result<Option<ClientIdentity>, AuthnError> {
    let Some(own) = chain.first() else {
        return Ok(None);
    };
    if chain.len() > MAX_CHAIN {
        return Err(PkiError::Untrusted("the chain of certificates is too long".to_owned()).into());
    }
    authority.verify_client(chain, now)?;
    let certificate = parse_certificate(own, "the client certificate")?;
    let Some((name, organizations)) = names_of_subject(certificate.subject()) else {
        return Err(PkiError::Untrusted("the subject is not text".to_owned()).into());
    };
    if name.is_empty() {
        return Ok(None);
    }
    let mut user = User::new(name, organizations);
    if !user.in_group(groups::AUTHENTICATED) {
        user.groups.push(groups::AUTHENTICATED.to_owned());
    }
    let mut id = "X509SHA256=".to_owned();
    for byte in digest::digest(&digest::SHA256, own).as_ref() {
        let _ = write!(id, "{byte:02x}");
    }
    user.extra.insert(
        "authentication.kubernetes.io/credential-id".to_owned(),
        vec![id],
    );
    let not_after = certificate.validity().not_after.timestamp();
    Ok(Some(ClientIdentity {
        user: Arc::new(user),
        not_after,
    }))
}
