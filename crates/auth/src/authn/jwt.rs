//! JSON web tokens with ES256, and nothing else: the algorithm is not the token's to choose.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::pki::{PkiError, PublicKey, SigningKey};

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Why a token is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not three parts of base64 with JSON in the first.
    Malformed,
    /// Signed in another way.
    Algorithm,
    /// By a key that is not known.
    Key,
    /// The signature does not fit.
    Signature,
    /// The claims are not JSON of the right form.
    Claims,
}

impl Fault {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the token is not a JSON web token",
            Self::Algorithm => "the token is not signed with ES256",
            Self::Key => "the token is signed by an unknown key",
            Self::Signature => "the token's signature is wrong",
            Self::Claims => "the token's claims cannot be read",
        }
    }
}

/// Signs claims.
pub(crate) fn sign<C: Serialize>(claims: &C, key: &SigningKey) -> Result<String, PkiError> {
    let header = Header {
        alg: "ES256".to_owned(),
        kid: key.public().id().to_owned(),
    };
    let unreadable = |_| PkiError::Cryptography("a token's claims could not be written");
    let header = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(unreadable)?);
    let claims = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).map_err(unreadable)?);
    let mut token = format!("{header}.{claims}");
    let signature = key.sign_token(token.as_bytes())?;
    token.push('.');
    token.push_str(&BASE64_URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

/// The claims of a token that one of the keys has signed.
pub(crate) fn verify<C: DeserializeOwned>(token: &str, keys: &[PublicKey]) -> Result<C, Fault> {
    let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Fault::Malformed)?;
    let decode = |part: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| Fault::Malformed)
    };
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Fault::Malformed)?;
    if header.alg != "ES256" {
        return Err(Fault::Algorithm);
    }
    let key = keys
        .iter()
        .find(|key| key.id() == header.kid)
        .ok_or(Fault::Key)?;
    // The dots are in the message: a fourth part makes the claims undecodable below.
    if !key.verifies_token(message.as_bytes(), &decode(signature)?) {
        return Err(Fault::Signature);
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| Fault::Claims)
}
