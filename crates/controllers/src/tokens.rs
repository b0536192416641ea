//! Secrets that hold tokens: those of service accounts are filled, and go with their account; those that
//! new hosts come with go when they expire.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
        core::v1::{Secret, ServiceAccount},
    },
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    context::Context,
    error::{Absent, Error, Result},
    readable::Readable,
    runner::{self, Next},
    watch,
};

const CONCURRENCY: usize = 4;
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The type of the Secrets that bootstrap tokens are.
pub(crate) const BOOTSTRAP_TOKEN: &str = "bootstrap.kubernetes.io/token";
/// Where bootstrap tokens are.
pub(crate) const BOOTSTRAP_NAMESPACE: &str = "kube-system";
/// How long a token in a Secret is asked to hold.
const TOKEN_SECONDS: i64 = 365 * 24 * 60 * 60;
/// A token that ends sooner than this is replaced.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A Secret, by namespace and name.
    Secret(String, String),
    /// A service account that is gone, by its namespace.
    AccountGone(String),
}

/// What is to be done about a Secret with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// Delete it.
    Delete,
    /// Write what it lacks; with a new token if that is lacking.
    Fill { token: bool },
    /// Look again after this time.
    LookAgain(Duration),
}

/// What is to be done about the Secret of a service account, whose UID this is, if it is there.
fn plan_account_token(
    secret: &Secret,
    account: Option<&str>,
    ca_certificate: &str,
    now: Timestamp,
) -> Vec<Action> {
    let annotation = |name: &str| {
        secret
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(name))
    };
    let Some(account) = account else {
        return vec![Action::Delete];
    };
    let known = annotation(ACCOUNT_UID);
    // An account of the same name that was made anew is another account.
    if known.is_some_and(|known| !known.is_empty() && known != account) {
        return vec![Action::Delete];
    }
    let field = |name: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(name))
            .map(|value| value.0.as_slice())
    };
    let left = field("token").and_then(expiration).and_then(|end| {
        let left = (end - RENEW_BEFORE).duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    });
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let is_whole = field("ca.crt") == Some(ca_certificate.as_bytes())
        && field("namespace") == Some(namespace.as_bytes())
        && known.is_some();
    match left {
        None => vec![Action::Fill { token: true }],
        Some(left) if is_whole => vec![Action::LookAgain(left)],
        Some(left) => vec![Action::Fill { token: false }, Action::LookAgain(left)],
    }
}

/// What is to be done about a bootstrap token.
fn plan_bootstrap_token(secret: &Secret, now: Timestamp) -> Option<Action> {
    let end = bootstrap_expiration(secret)?;
    Some(match Duration::try_from(end.duration_since(now)) {
        Ok(left) if !left.is_zero() => Action::LookAgain(left + Duration::from_millis(500)),
        _ => Action::Delete,
    })
}

/// When a bootstrap token expires, if it does.
pub(crate) fn bootstrap_expiration(secret: &Secret) -> Option<Timestamp> {
    let text = secret.data.as_ref()?.get("expiration")?;
    std::str::from_utf8(&text.0).ok()?.parse().ok()
}

/// When a token ends. It is only read here, not trusted.
fn expiration(token: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split(|byte| *byte == b'.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

/// Keeps Secrets with tokens in order.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<Key>();
    let secrets: Api<Readable<PartialObjectMeta<Secret>>> = Api::all(context.client.clone());
    let bootstrap: Api<Readable<PartialObjectMeta<Secret>>> =
        Api::namespaced(context.client.clone(), BOOTSTRAP_NAMESPACE);
    let accounts: Api<Readable<PartialObjectMeta<ServiceAccount>>> =
        Api::all(context.client.clone());
    let of_type = |ty: &str| watcher::Config::default().fields(&format!("type={ty}"));
    let add_secret = |secret: PartialObjectMeta<Secret>| {
        if let (Some(namespace), Some(name)) = (secret.metadata.namespace, secret.metadata.name) {
            queue.add(Key::Secret(namespace, name));
        }
    };
    tokio::join!(
        watch::objects(secrets, of_type(ACCOUNT_TOKEN), add_secret),
        watch::objects(bootstrap, of_type(BOOTSTRAP_TOKEN), add_secret),
        watch::events(accounts, watcher::Config::default(), |event| {
            if let Event::Delete(account) = event {
                account
                    .metadata
                    .namespace
                    .into_iter()
                    .for_each(|namespace| queue.add(Key::AccountGone(namespace)));
            }
        }),
        runner::work("tokens", CONCURRENCY, &queue, requests, |key| {
            let (context, queue) = (&context, &queue);
            async move {
                match key {
                    Key::Secret(namespace, name) => reconcile(context, &namespace, &name).await,
                    Key::AccountGone(namespace) => {
                        let secrets: Api<Secret> =
                            Api::namespaced(context.client.clone(), &namespace);
                        let options =
                            ListParams::default().fields(&format!("type={ACCOUNT_TOKEN}"));
                        for secret in secrets.list_metadata(&options).await?.items {
                            let name = secret.metadata.name.unwrap_or_default();
                            queue.add(Key::Secret(namespace.clone(), name));
                        }
                        Ok(Next::Done)
                    }
                }
            }
        }),
    );
}

async fn reconcile(context: &Context, namespace: &str, name: &str) -> Result<Next> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let Some(secret) = secrets.get_opt(name).await? else {
        return Ok(Next::Done);
    };
    if secret.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Done);
    }
    let now = Timestamp::now();
    let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), namespace);
    let mut owner = None;
    let actions = match secret.type_.as_deref() {
        Some(BOOTSTRAP_TOKEN) => plan_bootstrap_token(&secret, now).into_iter().collect(),
        Some(ACCOUNT_TOKEN) => {
            let annotations = secret.metadata.annotations.as_ref();
            let account = annotations
                .and_then(|all| all.get(ACCOUNT_NAME))
                .cloned()
                .unwrap_or_default();
            let found = accounts.get_metadata_opt(&account).await?;
            owner = found.and_then(|found| Some((account, found.metadata.uid?)));
            let uid = owner.as_ref().map(|(_, uid)| uid.as_str());
            plan_account_token(
                &secret,
                uid,
                &context.options.authority.certificate_pem(),
                now,
            )
        }
        _ => Vec::new(),
    };
    let mut next = Next::Done;
    for action in actions {
        match action {
            Action::LookAgain(pause) => next = Next::After(pause),
            Action::Delete => {
                let preconditions = Preconditions {
                    uid: secret.metadata.uid.clone(),
                    resource_version: secret.metadata.resource_version.clone(),
                };
                secrets
                    .delete(name, &DeleteParams::default().preconditions(preconditions))
                    .await
                    .or_absent()?;
            }
            Action::Fill { token } => {
                let Some((account, uid)) = &owner else {
                    continue;
                };
                let token = if token {
                    Some(new_token(&accounts, account, &secret).await?)
                } else {
                    None
                };
                fill(context, &secrets, &secret, uid, token).await?;
            }
        }
    }
    Ok(next)
}

async fn new_token(
    accounts: &Api<ServiceAccount>,
    account: &str,
    secret: &Secret,
) -> Result<String> {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: secret.metadata.name.clone(),
                uid: secret.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    let token = answer.status.and_then(|status| status.token);
    token.ok_or_else(|| Error::Other("the API issued no token".to_owned()))
}

async fn fill(
    context: &Context,
    secrets: &Api<Secret>,
    secret: &Secret,
    uid: &str,
    token: Option<String>,
) -> Result<()> {
    let mut data: BTreeMap<&str, ByteString> = BTreeMap::new();
    let namespace = secret.metadata.namespace.clone().unwrap_or_default();
    data.insert(
        "ca.crt",
        ByteString(context.options.authority.certificate_pem().into_bytes()),
    );
    data.insert("namespace", ByteString(namespace.into_bytes()));
    if let Some(token) = token {
        data.insert("token", ByteString(token.into_bytes()));
    }
    let metadata = json!({
        "resourceVersion": secret.metadata.resource_version,
        "annotations": { ACCOUNT_UID: uid },
    });
    let patch = Patch::Merge(json!({ "metadata": metadata, "data": data }));
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    secrets
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await
        .or_absent()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(end: i64) -> String {
        format!(
            "e30.{}.sig",
            BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{end}}}"#))
        )
    }

    fn secret(annotations: &[(&str, &str)], data: &[(&str, &str)]) -> Secret {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut secret = Secret::default();
        secret.metadata.namespace = Some("ns".into());
        secret.metadata.annotations = Some(annotations.iter().map(text).collect());
        let bytes = data
            .iter()
            .map(text)
            .map(|(key, value)| (key, ByteString(value.into_bytes())));
        secret.data = Some(bytes.collect());
        secret
    }

    #[test]
    fn a_secret_goes_with_its_account() {
        let plan =
            |secret: &Secret, uid| plan_account_token(secret, uid, "pem", Timestamp::UNIX_EPOCH);
        let new = secret(&[(ACCOUNT_NAME, "sa")], &[]);
        assert_eq!(plan(&new, None), [Action::Delete]);
        assert_eq!(plan(&new, Some("1")), [Action::Fill { token: true }]);
        assert_eq!(
            plan(&secret(&[(ACCOUNT_UID, "0")], &[]), Some("1")),
            [Action::Delete]
        );
    }

    #[test]
    fn a_secret_is_filled_once_and_renewed_in_time() {
        let day = 24 * 60 * 60;
        let token = token(90 * day);
        let whole = secret(
            &[(ACCOUNT_UID, "1")],
            &[("token", &token), ("ca.crt", "pem"), ("namespace", "ns")],
        );
        let plan = |ca: &str, now| {
            plan_account_token(&whole, Some("1"), ca, Timestamp::from_second(now).unwrap())
        };
        assert_eq!(
            plan("pem", 59 * day),
            [Action::LookAgain(Duration::from_secs(86_400))]
        );
        assert_eq!(plan("pem", 60 * day), [Action::Fill { token: true }]);
        assert_eq!(plan("new", 59 * day)[0], Action::Fill { token: false });
    }

    #[test]
    fn bootstrap_tokens_go_when_they_expire() {
        let secret = secret(&[], &[("expiration", "1970-01-01T01:00:00Z")]);
        let plan = |now| plan_bootstrap_token(&secret, Timestamp::from_second(now).unwrap());
        assert!(matches!(plan(0), Some(Action::LookAgain(_))));
        assert_eq!(plan(3600), Some(Action::Delete));
        assert_eq!(
            plan_bootstrap_token(&Secret::default(), Timestamp::UNIX_EPOCH),
            None
        );
    }
}
