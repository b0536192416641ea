//! Bootstrap tokens: what a new host comes with before it has a certificate. Each is a Secret of
//! type `bootstrap.kubernetes.io/token` in `kube-system`.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use mosaic_api::meta;
use serde_json::Value;

use super::AuthnError;
use crate::{User, groups, users, values};

const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// The Secrets that bootstrap tokens are: the caller's cache.
pub trait BootstrapSecrets {
    /// A Secret of the namespace `kube-system`.
    fn bootstrap_secret(&self, name: &str) -> Option<Arc<Value>>;
}

/// Id and secret of a text that has the form of a bootstrap token.
fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && plain(id) && plain(secret))
        .then_some((id, secret))
}

/// The user of a bootstrap token; none where the text is not of that form.
pub(crate) fn authenticate<S: BootstrapSecrets + ?Sized>(
    token: &str,
    secrets: &S,
    now: i64,
) -> Result<Option<User>, AuthnError> {
    let Some((id, _)) = split(token) else {
        return Ok(None);
    };
    match secrets.bootstrap_secret(&format!("bootstrap-token-{id}")) {
        Some(secret) => bootstrap_user(token, &secret, now).map(Some),
        // The same answer as for a wrong secret: which ids exist is nobody's business.
        None => Err(AuthnError::UnknownToken),
    }
}

/// The user of a bootstrap token, given the Secret that the token names, at `now` in seconds since
/// 1970.
pub fn bootstrap_user(token: &str, secret: &Value, now: i64) -> Result<User, AuthnError> {
    let Some((id, given)) = split(token) else {
        return Err(AuthnError::UnknownToken);
    };
    let field = |name: &str| {
        let decoded = BASE64_STANDARD
            .decode(values::text(secret, &["data", name]))
            .unwrap_or_default();
        String::from_utf8(decoded).unwrap_or_default()
    };
    // The secret first: only its holder learns what else is wrong.
    if !same(given.as_bytes(), field("token-secret").as_bytes()) || field("token-id") != id {
        return Err(AuthnError::UnknownToken);
    }
    if values::text(secret, &["type"]) != SECRET_TYPE || meta::namespace(secret) != NAMESPACE {
        return Err(AuthnError::Bootstrap(
            "the secret is not a bootstrap token of kube-system",
        ));
    }
    if meta::is_being_deleted(secret) {
        return Err(AuthnError::Bootstrap("the token has been deleted"));
    }
    let expiration = field("expiration");
    if !expiration.is_empty() {
        match expiration.parse::<jiff::Timestamp>() {
            Ok(end) if end.as_second() > now => {}
            Ok(_) => return Err(AuthnError::Bootstrap("the token has expired")),
            Err(_) => {
                return Err(AuthnError::Bootstrap(
                    "the token's expiration cannot be read",
                ));
            }
        }
    }
    if field("usage-bootstrap-authentication") != "true" {
        return Err(AuthnError::Bootstrap("the token is not for authentication"));
    }
    let mut user = User::new(
        format!("{}{id}", users::BOOTSTRAP_PREFIX),
        [groups::BOOTSTRAPPERS],
    );
    for group in field("auth-extra-groups")
        .split(',')
        .filter(|group| !group.is_empty())
    {
        if !is_bootstrap_group(group) {
            return Err(AuthnError::Bootstrap(
                "an extra group is not one of system:bootstrappers:",
            ));
        }
        if !user.in_group(group) {
            user.groups.push(group.to_owned());
        }
    }
    user.groups.push(groups::AUTHENTICATED.to_owned());
    Ok(user)
}

/// `system:bootstrappers:` and up to 256 of lower-case letters, digits, `:` and `-`, the last a
/// letter or digit.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group
        .strip_prefix(groups::BOOTSTRAPPERS)
        .and_then(|rest| rest.strip_prefix(':'))
    else {
        return false;
    };
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().last().is_some_and(word)
        && rest
            .bytes()
            .all(|byte| word(byte) || byte == b':' || byte == b'-')
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |diff, (l, r)| diff | (l ^ r))
            == 0
}
