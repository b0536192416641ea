//! What every namespace has from the start: the service account `default`, and the cluster's authority as
//! the config map `kube-root-ca.crt`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::watcher,
};
use serde_json::json;

use crate::{
    context::Context,
    error::{Absent, Result, code},
    readable::Readable,
    runner::{self, Next},
    watch,
};

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";
const CONCURRENCY: usize = 4;

/// What is to be done in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    CreateAccount,
    CreateRootCa,
    RewriteRootCa,
}

/// What there is in an active namespace.
#[derive(Debug, Clone, Copy)]
struct Snapshot<'a> {
    has_account: bool,
    root_ca: Option<&'a ConfigMap>,
}

fn plan(snapshot: &Snapshot<'_>, ca_certificate: &str) -> Vec<Action> {
    let mut actions = Vec::new();
    if !snapshot.has_account {
        actions.push(Action::CreateAccount);
    }
    match snapshot.root_ca {
        None => actions.push(Action::CreateRootCa),
        Some(config) if config.data != Some(root_ca(ca_certificate)) => {
            actions.push(Action::RewriteRootCa)
        }
        Some(_) => {}
    }
    actions
}

fn root_ca(ca_certificate: &str) -> BTreeMap<String, String> {
    [(ROOT_CA_KEY.to_owned(), ca_certificate.to_owned())].into()
}

/// Whether a namespace is not on its way out.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

/// Gives every namespace what it has from the start.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<String>();
    let client = &context.client;
    let namespaces: Api<Readable<PartialObjectMeta<Namespace>>> = Api::all(client.clone());
    let accounts: Api<Readable<PartialObjectMeta<ServiceAccount>>> = Api::all(client.clone());
    let configs: Api<Readable<PartialObjectMeta<ConfigMap>>> = Api::all(client.clone());
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let add_namespace =
        |namespace: Option<String>| namespace.into_iter().for_each(|name| queue.add(name));
    tokio::join!(
        watch::objects(namespaces, watcher::Config::default(), |object| {
            add_namespace(object.metadata.name)
        }),
        watch::objects(accounts, named(ACCOUNT), |object| add_namespace(
            object.metadata.namespace
        )),
        watch::objects(configs, named(ROOT_CA), |object| add_namespace(
            object.metadata.namespace
        )),
        runner::work("service-accounts", CONCURRENCY, &queue, requests, |name| {
            reconcile(&context, name)
        }),
    );
}

async fn reconcile(context: &Context, namespace: String) -> Result<Next> {
    let client = &context.client;
    let found = Api::<Namespace>::all(client.clone())
        .get_opt(&namespace)
        .await?;
    if !found.is_some_and(|found| is_active(&found)) {
        return Ok(Next::Done);
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let certificate = context.options.authority.certificate_pem();
    let root_ca_config = configs.get_opt(ROOT_CA).await?;
    let has_account = accounts.get_metadata_opt(ACCOUNT).await?.is_some();
    let snapshot = Snapshot {
        has_account,
        root_ca: root_ca_config.as_ref(),
    };
    for action in plan(&snapshot, &certificate) {
        match action {
            Action::CreateAccount => {
                let account = ServiceAccount {
                    metadata: named(ACCOUNT),
                    ..ServiceAccount::default()
                };
                unless_there(accounts.create(&PostParams::default(), &account).await)?;
            }
            Action::CreateRootCa => {
                let mut metadata = named(ROOT_CA);
                let text = "The certificates that prove that it is this cluster's API that a program talks to.";
                metadata.annotations =
                    Some([("kubernetes.io/description".to_owned(), text.to_owned())].into());
                let config = ConfigMap {
                    metadata,
                    data: Some(root_ca(&certificate)),
                    ..ConfigMap::default()
                };
                unless_there(configs.create(&PostParams::default(), &config).await)?;
            }
            Action::RewriteRootCa => {
                let data = json!({ "$patch": "replace", ROOT_CA_KEY: certificate });
                let patch = Patch::Strategic(json!({ "data": data }));
                configs
                    .patch(ROOT_CA, &PatchParams::default(), &patch)
                    .await
                    .or_absent()?;
            }
        }
    }
    Ok(Next::Done)
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// An object that somebody else made meanwhile is as good; and a namespace may be on its way out by now.
fn unless_there<T>(result: Result<T, kube::Error>) -> Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(409) || is_terminating(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the API refused because the namespace is on its way out, or gone.
pub(crate) fn is_terminating(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            status.code == 404
                || causes
                    .into_iter()
                    .any(|cause| cause.reason == "NamespaceTerminating")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_gets_what_it_lacks_and_what_was_changed() {
        let new = Snapshot {
            has_account: false,
            root_ca: None,
        };
        assert_eq!(
            plan(&new, "pem"),
            [Action::CreateAccount, Action::CreateRootCa]
        );
        let mut config = ConfigMap {
            data: Some(root_ca("pem")),
            ..ConfigMap::default()
        };
        assert_eq!(
            plan(
                &Snapshot {
                    has_account: true,
                    root_ca: Some(&config)
                },
                "pem"
            ),
            []
        );
        assert_eq!(
            plan(
                &Snapshot {
                    has_account: true,
                    root_ca: Some(&config)
                },
                "new"
            ),
            [Action::RewriteRootCa]
        );
        config
            .data
            .as_mut()
            .unwrap()
            .insert("more".into(), "x".into());
        assert_eq!(
            plan(
                &Snapshot {
                    has_account: true,
                    root_ca: Some(&config)
                },
                "pem"
            ),
            [Action::RewriteRootCa]
        );
    }
}
