//! `kube-public/cluster-info`: the cluster's address and authority, for hosts that know nothing of it but a
//! bootstrap token. It is signed with each of those tokens, so that whoever holds one can tell that it is
//! genuine.

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
    core::PartialObjectMeta,
    runtime::watcher,
};
use ring::hmac;
use serde_json::json;

use crate::{
    context::Context,
    error::{Absent, Result},
    readable::Readable,
    runner::{self, Next},
    tokens::{BOOTSTRAP_NAMESPACE, BOOTSTRAP_TOKEN, bootstrap_expiration},
    watch,
};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";
/// Tokens often come together.
const SETTLE: Duration = Duration::from_millis(200);

/// The data that the config map should hold: what is there, with the signatures of these tokens and no others.
fn plan(
    current: &BTreeMap<String, String>,
    kubeconfig: &str,
    tokens: &[Secret],
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut data = current.clone();
    data.retain(|key, _| !key.starts_with(SIGNATURE_PREFIX));
    data.insert(KUBECONFIG.to_owned(), kubeconfig.to_owned());
    for secret in tokens {
        let field = |name: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name));
            bytes
                .and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
                .unwrap_or_default()
        };
        let (id, key) = (field("token-id"), field("token-secret"));
        let has_expired = bootstrap_expiration(secret).is_some_and(|end| end <= now);
        if field("usage-bootstrap-signing") == "true"
            && !id.is_empty()
            && !key.is_empty()
            && !has_expired
        {
            data.insert(format!("{SIGNATURE_PREFIX}{id}"), sign(kubeconfig, id, key));
        }
    }
    data
}

/// A JSON web signature without the payload, which the reader has.
fn sign(payload: &str, id: &str, key: &str) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "kid": id }).to_string());
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
    format!(
        "{header}..{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
    )
}

fn kubeconfig(server_url: &str, ca_certificate: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    \
         certificate-authority-data: {}\n    server: {}\ncontexts: null\ncurrent-context: \"\"\n\
         preferences: {{}}\nusers: null\n",
        BASE64_STANDARD.encode(ca_certificate),
        // A JSON string is a YAML string.
        json!(server_url),
    )
}

/// Keeps the cluster's public description up to date.
pub(crate) async fn run(context: Context) {
    let Some(address) = context.options.advertised else {
        return std::future::pending().await;
    };
    let url = format!("https://{address}");
    let (queue, requests) = runner::queue::<()>();
    let tokens: Api<Readable<PartialObjectMeta<Secret>>> =
        Api::namespaced(context.client.clone(), BOOTSTRAP_NAMESPACE);
    let configs: Api<Readable<PartialObjectMeta<ConfigMap>>> =
        Api::namespaced(context.client.clone(), NAMESPACE);
    let of_type = watcher::Config::default().fields(&format!("type={BOOTSTRAP_TOKEN}"));
    let named = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    queue.add(());
    tokio::join!(
        watch::objects(tokens, of_type, |_| queue.add_after((), SETTLE)),
        watch::objects(configs, named, |_| queue.add_after((), SETTLE)),
        runner::work("cluster-info", 1, &queue, requests, |()| reconcile(
            &context, &url
        )),
    );
}

async fn reconcile(context: &Context, url: &str) -> Result<Next> {
    let tokens: Api<Secret> = Api::namespaced(context.client.clone(), BOOTSTRAP_NAMESPACE);
    let of_type = ListParams::default().fields(&format!("type={BOOTSTRAP_TOKEN}"));
    let tokens = tokens.list(&of_type).await?.items;
    let configs: Api<ConfigMap> = Api::namespaced(context.client.clone(), NAMESPACE);
    let config = configs.get_opt(NAME).await?;
    let current = config
        .as_ref()
        .and_then(|config| config.data.clone())
        .unwrap_or_default();
    let kubeconfig = kubeconfig(url, &context.options.authority.certificate_pem());
    let data = plan(&current, &kubeconfig, &tokens, Timestamp::now());
    match config {
        None => {
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                ..ObjectMeta::default()
            };
            let config = ConfigMap {
                metadata,
                data: Some(data),
                ..ConfigMap::default()
            };
            configs.create(&PostParams::default(), &config).await?;
        }
        Some(mut config) if data != current => {
            config.data = Some(data);
            configs
                .replace(NAME, &PostParams::default(), &config)
                .await
                .or_absent()?;
        }
        Some(_) => {}
    }
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn token(id: &str, fields: &[(&str, &str)]) -> Secret {
        let own = [
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
        ];
        let all = own.iter().chain(fields);
        let data =
            all.map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        Secret {
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn valid_tokens_sign_and_others_do_not() {
        let current = [("jws-kubeconfig-gone00", "x"), ("other", "kept")];
        let current = current
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let tokens = [
            token("aaaaaa", &[]),
            token("bbbbbb", &[("expiration", "1969-12-31T00:00:00Z")]),
            token("cccccc", &[("usage-bootstrap-signing", "false")]),
        ];
        let data = plan(&current, "config", &tokens, Timestamp::UNIX_EPOCH);
        assert_eq!(
            data.keys().collect::<Vec<_>>(),
            ["jws-kubeconfig-aaaaaa", "kubeconfig", "other"]
        );
        assert_eq!(plan(&data, "config", &tokens, Timestamp::UNIX_EPOCH), data);
    }

    #[test]
    fn signatures_are_detached_and_depend_on_key_and_text() {
        let signature = sign("text", "aaaaaa", "key");
        let parts: Vec<&str> = signature.split('.').collect();
        assert_eq!((parts.len(), parts[1]), (3, ""));
        assert_ne!(signature, sign("text", "aaaaaa", "other"));
        assert_ne!(signature, sign("texts", "aaaaaa", "key"));
    }
}
