//! From credentials to a [`User`].
//!
//! [`Authenticator`] tries, in this order, the client certificate and the bearer token, and gives
//! whoever shows neither the anonymous user, where that is allowed. A credential that is shown and
//! is wrong is never anonymous: it is refused.

mod bootstrap;
mod cache;
mod certificate;
mod impersonation;
mod jwt;
mod service_account;

pub use bootstrap::{BootstrapSecrets, bootstrap_user};
pub use certificate::{ClientIdentity, client_identity};
pub use impersonation::{Impersonation, ImpersonationCheck, ImpersonationError};
pub use service_account::{
    BoundKind, BoundObjects, BoundRef, DEFAULT_ISSUER, IssueError, IssuedToken,
    MAX_EXPIRATION_SECONDS, MIN_EXPIRATION_SECONDS, ServiceAccountTokens, TokenIssuer, TokenSpec,
};

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{User, pki::PkiError};

/// Longer tokens are refused unread.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Why a credential is refused. The text names the fault and never the credential.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// Nobody here knows such a token.
    #[error("invalid bearer token")]
    UnknownToken,
    /// The `Authorization` header is of another scheme or malformed.
    #[error("the Authorization header is not a bearer token")]
    Scheme,
    /// The token is longer than [`MAX_TOKEN_BYTES`].
    #[error("the token is too long")]
    TooLong,
    /// A service-account token is wrong.
    #[error("invalid bearer token, {0}")]
    Token(String),
    /// A bootstrap token is wrong.
    #[error("bootstrap token: {0}")]
    Bootstrap(&'static str),
    /// A client certificate is wrong.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// No credential was shown, and anonymous requests are not allowed.
    #[error("no credentials were provided")]
    Missing,
}

/// What a request shows. `Debug` hides the token.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// What the connection's client certificate is worth, found once per connection with
    /// [`client_identity`]; none where the client showed no certificate.
    pub certificate: Option<&'a Result<Option<ClientIdentity>, AuthnError>>,
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// A token that came in another way (see [`websocket_token`]).
    pub token: Option<&'a str>,
    /// An audience that tokens may be for, besides the API server's own.
    pub audience: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate.is_some())
            .field("authorization", &self.authorization.is_some())
            .field("token", &self.token.is_some())
            .finish()
    }
}

/// Finds out who asks.
pub struct Authenticator {
    tokens: Arc<ServiceAccountTokens>,
    allow_anonymous: bool,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("allow_anonymous", &self.allow_anonymous)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// An authenticator that takes these service-account tokens.
    pub fn new(tokens: Arc<ServiceAccountTokens>, allow_anonymous: bool) -> Self {
        Self {
            tokens,
            allow_anonymous,
        }
    }

    /// The verifier of service-account tokens.
    pub fn tokens(&self) -> &Arc<ServiceAccountTokens> {
        &self.tokens
    }

    /// The user who shows these credentials at `now` (seconds since 1970). Where a certificate is
    /// refused and a token is good, the token counts.
    pub fn authenticate<O: BoundObjects + BootstrapSecrets + ?Sized>(
        &self,
        credentials: &Credentials<'_>,
        objects: &O,
        now: i64,
    ) -> Result<Arc<User>, AuthnError> {
        let mut refused = None;
        match credentials.certificate {
            Some(Ok(Some(identity))) => match identity.user_at(now) {
                Ok(user) => return Ok(user),
                Err(error) => refused = Some(error),
            },
            Some(Err(error)) => {
                refused = Some(AuthnError::Certificate(PkiError::Untrusted(
                    error.to_string(),
                )))
            }
            Some(Ok(None)) | None => {}
        }
        let token = match (credentials.authorization, credentials.token) {
            (Some(header), _) => match bearer_token(header) {
                Some(token) => Some(token),
                None => return Err(refused.unwrap_or(AuthnError::Scheme)),
            },
            (None, token) => token,
        };
        if let Some(token) = token {
            let own = self.tokens.default_audiences();
            return match credentials.audience {
                None => self.authenticate_token(token, own, objects, now),
                Some(audience) => {
                    let audiences = [own, &[audience.to_owned()]].concat();
                    self.authenticate_token(token, &audiences, objects, now)
                }
            };
        }
        match refused {
            Some(error) => Err(error),
            None if self.allow_anonymous => Ok(Arc::new(User::anonymous())),
            None => Err(AuthnError::Missing),
        }
    }

    /// The user of a bearer token that is for one of these audiences.
    fn authenticate_token<O: BoundObjects + BootstrapSecrets + ?Sized>(
        &self,
        token: &str,
        audiences: &[String],
        objects: &O,
        now: i64,
    ) -> Result<Arc<User>, AuthnError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthnError::TooLong);
        }
        if let Some(user) = bootstrap::authenticate(token, objects, now)? {
            return Ok(Arc::new(user));
        }
        let verified = self.tokens.verify(token, audiences, objects, now)?;
        Ok(verified.user)
    }

    /// Answers a TokenReview: its `status`, for a token and the audiences that the review names (none
    /// means the API server's own).
    pub fn review<O: BoundObjects + BootstrapSecrets + ?Sized>(
        &self,
        token: &str,
        audiences: &[String],
        objects: &O,
        now: i64,
    ) -> Value {
        let own = self.tokens.default_audiences();
        let asked = if audiences.is_empty() { own } else { audiences };
        let answer = if token.len() > MAX_TOKEN_BYTES {
            Err(AuthnError::TooLong)
        } else {
            match bootstrap::authenticate(token, objects, now) {
                Err(error) => Err(error),
                Ok(Some(user)) => {
                    // Such a token is for the API server and nobody else.
                    let common: Vec<String> = asked
                        .iter()
                        .filter(|audience| own.contains(audience))
                        .cloned()
                        .collect();
                    if common.is_empty() {
                        Err(AuthnError::UnknownToken)
                    } else {
                        Ok((Arc::new(user), common))
                    }
                }
                Ok(None) => self
                    .tokens
                    .verify(token, asked, objects, now)
                    .map(|verified| (verified.user, verified.audiences)),
            }
        };
        match answer {
            Ok((user, audiences)) => {
                json!({ "authenticated": true, "user": &*user, "audiences": audiences })
            }
            Err(error) => json!({ "error": error.to_string() }),
        }
    }
}

/// The token of an `Authorization: Bearer …` header.
pub fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' '))
        .then_some(token)
}

/// The password of an `Authorization: Basic …` header (RFC 7617), whatever the user's name is.
pub fn basic_password(header: &str) -> Option<String> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// The token that a browser hides among the WebSocket subprotocols it asks for
/// (`base64url.bearer.authorization.k8s.io.<token>`), from the value of `Sec-WebSocket-Protocol`.
/// That entry must not be answered with; one that comes alone has nothing that could be, and is no token.
pub fn websocket_token(protocols: &str) -> Option<String> {
    const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
    let entries = || protocols.split(',').map(str::trim);
    let encoded = entries().find_map(|entry| entry.strip_prefix(PREFIX))?;
    if entries().all(|entry| entry.starts_with(PREFIX)) {
        return None;
    }
    if encoded.len() > MAX_TOKEN_BYTES * 2 {
        return None;
    }
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}
