//! Service-account tokens: JSON web tokens with Kubernetes' claims, bound to the objects that they
//! were issued for.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{AuthnError, MAX_TOKEN_BYTES, cache::TokenCache, jwt};
use crate::{
    User,
    pki::{Authority, PkiError, PublicKey, SigningKey},
    user::{service_account_user_name, split_service_account},
};

/// The issuer where none is configured.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The shortest life of a token that may be asked for.
pub const MIN_EXPIRATION_SECONDS: i64 = 600;
/// The longest life that a token gets; who asks for more gets this.
pub const MAX_EXPIRATION_SECONDS: i64 = 365 * 24 * 60 * 60;
/// The longest life that may be asked for.
const MAX_ASKED_SECONDS: i64 = 1 << 32;
/// The life of a token when none is asked for.
const DEFAULT_EXPIRATION_SECONDS: i64 = 3600;
/// The life of a pass.
const PASS_SECONDS: i64 = 3600;
/// How far the clocks of two servers may be apart: a token of the other's future is good.
const CLOCK_SKEW: i64 = 60;
/// How long tokens stay good after the deletion of their object was asked for, so that a pod can
/// finish its work.
const DELETION_GRACE: i64 = 60;
/// How many verified tokens are remembered.
const CACHED_TOKENS: usize = 65_536;
/// More audiences than this are refused.
const MAX_AUDIENCES: usize = 32;

/// The kinds of objects that a token can be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundKind {
    /// A ServiceAccount: every token is bound to its own.
    ServiceAccount,
    /// A Pod.
    Pod,
    /// A Secret.
    Secret,
    /// A Node; its namespace is empty.
    Node,
}

impl BoundKind {
    /// The kind of that name (`spec.boundObjectRef.kind`); service accounts cannot be asked for.
    pub fn from_kind(kind: &str) -> Option<Self> {
        match kind {
            "Pod" => Some(Self::Pod),
            "Secret" => Some(Self::Secret),
            "Node" => Some(Self::Node),
            _ => None,
        }
    }
}

/// What is known of the objects that tokens are bound to: the caller's cache.
pub trait BoundObjects {
    /// The uid of an object; none if there is no such object. The namespace of nodes is empty.
    fn uid_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<String>;

    /// When the deletion of an object was asked for (`metadata.deletionTimestamp`), in seconds since
    /// 1970; none where it was not.
    fn deletion_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<i64> {
        let _ = (kind, namespace, name);
        None
    }
}

/// Name and uid of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundRef {
    /// The name.
    pub name: String,
    /// The uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: Audiences,
    exp: i64,
    #[serde(default)]
    iat: i64,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    jti: String,
    #[serde(
        rename = "kubernetes.io",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    kubernetes: Option<KubernetesClaims>,
    /// Who a pass stands for.
    #[serde(rename = "mosaic", default, skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(default)]
    nbf: i64,
    #[serde(default)]
    sub: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Audiences {
    Many(Vec<String>),
    One(String),
}

impl Audiences {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::Many(audiences) => audiences,
            Self::One(audience) => std::slice::from_ref(audience),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<BoundRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<BoundRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<BoundRef>,
    serviceaccount: BoundRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnafter: Option<i64>,
}

/// A token that is wanted (`TokenRequest`).
#[derive(Debug, Clone, Default)]
pub struct TokenSpec {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account's name.
    pub name: String,
    /// The service account's uid.
    pub uid: String,
    /// Who the token is for; none means the API server.
    pub audiences: Vec<String>,
    /// How long it is to hold; none means an hour.
    pub expiration_seconds: Option<i64>,
    /// The object that it is bound to besides the service account.
    pub bound: Option<(BoundKind, BoundRef)>,
    /// The host that the bound pod runs on.
    pub node: Option<BoundRef>,
    /// Seconds after which use of the token is to be warned about.
    pub warn_after_seconds: Option<i64>,
}

/// A token. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
    /// Its id (`jti`), for the audit log.
    pub id: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("expires_at", &self.expires_at)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a token is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// `spec.expirationSeconds` is out of range; the text is the cause's.
    #[error("{0}")]
    Expiration(&'static str),
    /// There are too many audiences, or one is empty.
    #[error("audiences must be at most 32 texts that are not empty")]
    Audiences,
    /// The token could not be signed.
    #[error("the token could not be signed")]
    Pki(#[from] PkiError),
}

/// Issues service-account tokens.
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    issuer: String,
    audiences: Vec<String>,
    key: Arc<SigningKey>,
}

impl TokenIssuer {
    /// An issuer of that name that signs with the authority's present key. Tokens for which no
    /// audience is asked are for `audiences`; where that is empty, for the issuer.
    pub fn new(authority: &Authority, issuer: &str, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: own_audiences(issuer, audiences),
            key: Arc::clone(authority.token_key()),
        }
    }

    /// Issues a token at `now` (seconds since 1970). That the service account and the bound object
    /// exist is the caller's to check.
    pub fn issue(&self, spec: &TokenSpec, now: i64) -> Result<IssuedToken, IssueError> {
        let asked = spec
            .expiration_seconds
            .unwrap_or(DEFAULT_EXPIRATION_SECONDS);
        if asked < MIN_EXPIRATION_SECONDS {
            return Err(IssueError::Expiration(
                "may not specify a duration less than 10 minutes",
            ));
        }
        if asked > MAX_ASKED_SECONDS {
            return Err(IssueError::Expiration(
                "may not specify a duration larger than 2^32 seconds",
            ));
        }
        if spec.audiences.len() > MAX_AUDIENCES || spec.audiences.iter().any(String::is_empty) {
            return Err(IssueError::Audiences);
        }
        let audiences = if spec.audiences.is_empty() {
            &self.audiences
        } else {
            &spec.audiences
        };
        let mut kubernetes = KubernetesClaims {
            namespace: spec.namespace.clone(),
            node: None,
            pod: None,
            secret: None,
            serviceaccount: BoundRef {
                name: spec.name.clone(),
                uid: spec.uid.clone(),
            },
            warnafter: spec
                .warn_after_seconds
                .map(|seconds| now.saturating_add(seconds)),
        };
        match &spec.bound {
            Some((BoundKind::Pod, pod)) => {
                kubernetes.pod = Some(pod.clone());
                kubernetes.node = spec.node.clone();
            }
            Some((BoundKind::Secret, secret)) => kubernetes.secret = Some(secret.clone()),
            Some((BoundKind::Node, node)) => kubernetes.node = Some(node.clone()),
            Some((BoundKind::ServiceAccount, _)) | None => {}
        }
        let expires_at = now + asked.min(MAX_EXPIRATION_SECONDS);
        let claims = Claims {
            aud: Audiences::Many(audiences.clone()),
            exp: expires_at,
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Some(kubernetes),
            user: None,
            nbf: now,
            sub: service_account_user_name(&spec.namespace, &spec.name),
        };
        self.sign(claims)
    }

    /// Issues a pass at `now` (seconds since 1970): a token that stands for any user, however they came,
    /// before a part of the platform that cannot ask for a certificate. It is for `audience` alone, which
    /// must not be one of the API server's, and is bound to nothing, so it lives an hour.
    pub fn issue_pass(
        &self,
        user: &User,
        audience: &str,
        now: i64,
    ) -> Result<IssuedToken, IssueError> {
        if audience.is_empty() || self.audiences.iter().any(|own| own == audience) {
            return Err(IssueError::Audiences);
        }
        self.sign(Claims {
            aud: Audiences::Many(vec![audience.to_owned()]),
            exp: now + PASS_SECONDS,
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: None,
            user: Some(user.clone()),
            nbf: now,
            sub: user.name.clone(),
        })
    }

    fn sign(&self, claims: Claims) -> Result<IssuedToken, IssueError> {
        Ok(IssuedToken {
            token: jwt::sign(&claims, &self.key)?,
            expires_at: claims.exp,
            id: claims.jti,
        })
    }
}

/// The audiences of the API server.
fn own_audiences(issuer: &str, audiences: Vec<String>) -> Vec<String> {
    if audiences.is_empty() {
        vec![issuer.to_owned()]
    } else {
        audiences
    }
}

/// A token whose signature and claims are good.
struct Known {
    claims: Claims,
    user: Arc<User>,
}

/// A token that is good now.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) user: Arc<User>,
    /// Those of the audiences asked for that the token is for.
    pub(crate) audiences: Vec<String>,
}

/// Verifies service-account tokens.
pub struct ServiceAccountTokens {
    issuer: String,
    audiences: Vec<String>,
    keys: Vec<PublicKey>,
    cache: TokenCache<Known>,
}

impl fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountTokens")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl ServiceAccountTokens {
    /// Takes tokens of that issuer that one of the authority's token keys has signed. Requests must
    /// come with tokens for one of `audiences`; where that is empty, for the issuer.
    pub fn new(authority: &Authority, issuer: &str, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: own_audiences(issuer, audiences),
            keys: authority.token_public_keys(),
            cache: TokenCache::new(CACHED_TOKENS),
        }
    }

    /// The audiences of the API server itself.
    pub fn default_audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Checks a token for these audiences, at `now` in seconds since 1970.
    pub(crate) fn verify<O: BoundObjects + ?Sized>(
        &self,
        token: &str,
        audiences: &[String],
        objects: &O,
        now: i64,
    ) -> Result<Verified, AuthnError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthnError::TooLong);
        }
        let key = TokenCache::<Known>::key(token);
        let known = match self.cache.get(&key) {
            Some(known) => known,
            None => {
                let known = Arc::new(self.read(token)?);
                if known.claims.exp > now {
                    self.cache.insert(key, Arc::clone(&known));
                }
                known
            }
        };
        if known.claims.exp <= now {
            self.cache.remove(&key);
            return Err(refused("service account token has expired"));
        }
        if known.claims.nbf > now + CLOCK_SKEW || known.claims.iat > now + CLOCK_SKEW {
            return Err(refused("service account token is not valid yet"));
        }
        let common: Vec<String> = audiences
            .iter()
            .filter(|audience| known.claims.aud.as_slice().contains(audience))
            .cloned()
            .collect();
        if common.is_empty() {
            return Err(AuthnError::Token(format!(
                "token audiences {:?} is invalid for the target audiences {audiences:?}",
                known.claims.aud.as_slice()
            )));
        }
        if let Some(bound) = &known.claims.kubernetes {
            check_bindings(bound, objects, now)?;
        }
        Ok(Verified {
            user: Arc::clone(&known.user),
            audiences: common,
        })
    }

    /// What does not change about a token: its signature and what it says.
    fn read(&self, token: &str) -> Result<Known, AuthnError> {
        let claims: Claims = match jwt::verify(token, &self.keys) {
            Ok(claims) => claims,
            Err(jwt::Fault::Malformed) => return Err(AuthnError::UnknownToken),
            Err(fault) => return Err(refused(fault.text())),
        };
        if claims.iss != self.issuer {
            return Err(refused("the token is of another issuer"));
        }
        let Some(kubernetes) = &claims.kubernetes else {
            return self.read_pass(claims);
        };
        if split_service_account(&claims.sub)
            != Some((
                kubernetes.namespace.as_str(),
                kubernetes.serviceaccount.name.as_str(),
            ))
        {
            return Err(refused("the token's subject is not its service account"));
        }
        let user = Arc::new(user_of(&claims, kubernetes));
        Ok(Known { claims, user })
    }

    /// The same of a token that is bound to no objects: only a pass is not.
    fn read_pass(&self, claims: Claims) -> Result<Known, AuthnError> {
        let own = |audience: &String| self.audiences.contains(audience);
        match &claims.user {
            Some(user) if user.name == claims.sub && !claims.aud.as_slice().iter().any(own) => {
                let user = Arc::new(user.clone());
                Ok(Known { claims, user })
            }
            _ => Err(refused("the token has no kubernetes.io claims")),
        }
    }
}

fn refused(text: &str) -> AuthnError {
    AuthnError::Token(text.to_owned())
}

fn user_of(claims: &Claims, kubernetes: &KubernetesClaims) -> User {
    let mut user = User::service_account(&kubernetes.namespace, &kubernetes.serviceaccount.name);
    user.uid.clone_from(&kubernetes.serviceaccount.uid);
    let mut extra = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(
                format!("authentication.kubernetes.io/{key}"),
                vec![value.to_owned()],
            );
        }
    };
    if let Some(pod) = &kubernetes.pod {
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(node) = &kubernetes.node {
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    if !claims.jti.is_empty() {
        extra("credential-id", &format!("JTI={}", claims.jti));
    }
    user
}

/// Whether everything that a token is bound to is still there.
fn check_bindings<O: BoundObjects + ?Sized>(
    claims: &KubernetesClaims,
    objects: &O,
    now: i64,
) -> Result<(), AuthnError> {
    let namespace = claims.namespace.as_str();
    let account = Some(&claims.serviceaccount);
    // The host of a pod's token is told, not checked: the pod is what the token lives with.
    let node = if claims.pod.is_none() {
        claims.node.as_ref()
    } else {
        None
    };
    let bindings = [
        (
            BoundKind::ServiceAccount,
            namespace,
            account,
            "service account",
        ),
        (
            BoundKind::Secret,
            namespace,
            claims.secret.as_ref(),
            "secret",
        ),
        (BoundKind::Pod, namespace, claims.pod.as_ref(), "pod"),
        (BoundKind::Node, "", node, "node"),
    ];
    for (kind, namespace, bound, word) in bindings {
        let Some(bound) = bound else { continue };
        let Some(uid) = objects.uid_of(kind, namespace, &bound.name) else {
            return Err(AuthnError::Token(format!(
                "{word} {namespace}/{} has been deleted",
                bound.name
            )));
        };
        if uid != bound.uid {
            return Err(AuthnError::Token(format!(
                "{word} UID ({uid}) does not match claim ({})",
                bound.uid
            )));
        }
        let deletion = objects.deletion_of(kind, namespace, &bound.name);
        // A host is asked to go long before it does, with its pods still at work.
        if kind != BoundKind::Node && deletion.is_some_and(|at| at + DELETION_GRACE < now) {
            return Err(AuthnError::Token(format!(
                "{word} {namespace}/{} has been deleted",
                bound.name
            )));
        }
    }
    Ok(())
}
