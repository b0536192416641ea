//! Who asks, and whether they may: the server's side of `mosaic-auth`.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use mosaic_api::{Reason, Status, meta};
use mosaic_auth::{
    Attributes, Authorizer, Decision, User,
    authn::{
        Authenticator, AuthnError, BootstrapSecrets, BoundKind, BoundObjects, ClientIdentity,
        Credentials, Impersonation, TokenIssuer, basic_password, websocket_token,
    },
    pki::Authority,
    rbac::RbacKind,
};
use serde_json::Value;

use crate::{
    cache::{Cache, Change, Object},
    http::path::ResourcePath,
};

/// What a connection's client certificate is worth.
pub type Certificate = Arc<Result<Option<ClientIdentity>, AuthnError>>;

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user that it goes on as.
    pub user: Arc<User>,
    /// The user who came, if it acts as another.
    pub impersonator: Option<Arc<User>>,
}

/// Who may do what.
pub struct Identity {
    /// The cluster's own authority.
    pub authority: Arc<Authority>,
    /// Finds out who asks.
    pub authenticator: Authenticator,
    /// Decides whether they may.
    pub authorizer: Arc<Authorizer>,
    /// Issues service-account tokens.
    pub issuer: TokenIssuer,
}

/// The objects that credentials are bound to, as the cache has them.
pub struct Bound<'a>(pub &'a Cache);

impl Bound<'_> {
    /// The object of a kind; the namespace of nodes is ignored.
    pub fn find(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<Value> {
        let key = match kind {
            BoundKind::ServiceAccount => format!("/core/serviceaccounts/{namespace}/{name}"),
            BoundKind::Pod => format!("/core/pods/{namespace}/{name}"),
            BoundKind::Secret => format!("/core/secrets/{namespace}/{name}"),
            BoundKind::Node => format!("/core/nodes/{name}"),
        };
        Some(self.0.get(&key)?.value())
    }
}

impl BoundObjects for Bound<'_> {
    fn uid_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<String> {
        Some(meta::uid(&self.find(kind, namespace, name)?).to_owned())
    }

    fn deletion_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<i64> {
        let object = self.find(kind, namespace, name)?;
        let at: Timestamp = meta::deletion_timestamp(&object)?.parse().ok()?;
        Some(at.as_second())
    }
}

impl BootstrapSecrets for Bound<'_> {
    fn bootstrap_secret(&self, name: &str) -> Option<Arc<Value>> {
        Some(Arc::new(
            self.0
                .get(&format!("/core/secrets/kube-system/{name}"))?
                .value(),
        ))
    }
}

impl Identity {
    /// Whose credential comes with a request.
    ///
    /// # Errors
    /// 401 for a credential that is wrong.
    pub fn authenticate(
        &self,
        cache: &Cache,
        certificate: Option<&Certificate>,
        headers: &HeaderMap,
    ) -> Result<Arc<User>, Status> {
        let upgrades = text(headers, header::UPGRADE)
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
        let protocol_token = text(headers, header::SEC_WEBSOCKET_PROTOCOL)
            .filter(|_| upgrades)
            .and_then(|protocols| websocket_token(&protocols));
        let authorization = text(headers, header::AUTHORIZATION);
        let credentials = Credentials {
            certificate: certificate.map(|certificate| &**certificate),
            authorization: authorization.as_deref(),
            token: protocol_token.as_deref(),
            audience: None,
        };
        self.check(cache, &credentials)
    }

    /// The same at another door of the process, where a token may be a password, and for one audience more.
    ///
    /// # Errors
    /// 401 for a credential that is wrong.
    pub fn authenticate_for(
        &self,
        cache: &Cache,
        certificate: Option<&Certificate>,
        headers: &HeaderMap,
        audience: &str,
    ) -> Result<Arc<User>, Status> {
        let authorization = text(headers, header::AUTHORIZATION);
        let password = authorization.as_deref().and_then(basic_password);
        let credentials = Credentials {
            certificate: certificate.map(|certificate| &**certificate),
            authorization: authorization.as_deref().filter(|_| password.is_none()),
            token: password.as_deref(),
            audience: Some(audience),
        };
        self.check(cache, &credentials)
    }

    fn check(&self, cache: &Cache, credentials: &Credentials<'_>) -> Result<Arc<User>, Status> {
        let now = Timestamp::now().as_second();
        self.authenticator
            .authenticate(credentials, &Bound(cache), now)
            .map_err(|error| {
                tracing::debug!(%error, "a request is not authenticated");
                Status::new(Reason::Unauthorized, "Unauthorized")
            })
    }

    /// Whom a request goes on as: who came, or whom they may act as.
    ///
    /// # Errors
    /// 400 for headers that say nothing sensible; 403 for impersonation that is not allowed.
    pub fn impersonate(&self, user: Arc<User>, headers: &HeaderMap) -> Result<Caller, Status> {
        let mut pairs = Vec::new();
        for (name, value) in headers {
            // Passed over, it would let the request go on as the one who may act as others.
            match std::str::from_utf8(value.as_bytes()) {
                Ok(value) => pairs.push((name.as_str(), value)),
                Err(_) if name.as_str().starts_with("impersonate-") => {
                    return Err(Status::bad_request(format!(
                        "the value of the header {name} is not UTF-8"
                    )));
                }
                Err(_) => {}
            }
        }
        let Some(impersonation) =
            Impersonation::parse(pairs).map_err(|error| Status::bad_request(error.to_string()))?
        else {
            return Ok(Caller {
                user,
                impersonator: None,
            });
        };
        for check in impersonation.checks() {
            let attributes = check.attributes(&user);
            require(&attributes, &self.authorizer.authorize(&attributes))?;
        }
        Ok(Caller {
            user: Arc::new(impersonation.user()),
            impersonator: Some(user),
        })
    }

    /// Answers a `TokenReview`'s question.
    pub fn review(&self, cache: &Cache, token: &str, audiences: &[String]) -> Value {
        self.authenticator.review(
            token,
            audiences,
            &Bound(cache),
            Timestamp::now().as_second(),
        )
    }
}

/// The text of a header. What cannot be read is a wrong credential, not a missing one.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<std::borrow::Cow<'_, str>> {
    let value: &HeaderValue = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}

/// Lets a request through, or says why not.
///
/// # Errors
/// 403 with Kubernetes' words.
pub fn require(attributes: &Attributes<'_>, decision: &Decision) -> Result<(), Status> {
    if decision.allowed {
        return Ok(());
    }
    let message = attributes.forbidden_message(&decision.reason);
    Err(if attributes.is_resource() {
        Status::forbidden(
            attributes.group,
            attributes.resource,
            attributes.name,
            &message,
        )
    } else {
        Status::new(Reason::Forbidden, format!("forbidden: {message}"))
    })
}

/// What a request for objects asks the authorizer.
pub fn resource_attributes<'a>(
    user: &'a User,
    verb: &'a str,
    path: &'a ResourcePath,
    field_selector: &'a str,
) -> Attributes<'a> {
    let selected = |field: &str| {
        field_selector.split(',').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key == field).then(|| value.trim_start_matches('='))
        })
    };
    // A list or watch of one object by name is a right to that object.
    let name = if path.name.is_empty() && matches!(verb, "list" | "watch" | "deletecollection") {
        selected("metadata.name").unwrap_or_default()
    } else {
        &path.name
    };
    Attributes {
        user,
        verb,
        group: &path.group,
        resource: &path.plural,
        subresource: &path.subresource,
        namespace: &path.namespace,
        name,
        path: "",
        selected_node: selected("spec.nodeName"),
    }
}

/// Keeps the authorizer up with the objects that it decides by.
pub fn observe(cache: &Cache, authorizer: &Arc<Authorizer>) {
    for (plural, kind) in [
        ("roles", RbacKind::Role),
        ("clusterroles", RbacKind::ClusterRole),
        ("rolebindings", RbacKind::RoleBinding),
        ("clusterrolebindings", RbacKind::ClusterRoleBinding),
    ] {
        let authorizer = authorizer.clone();
        let observer = move |change: &Change| {
            let mut rbac = authorizer.rbac_mut();
            if change.deleted {
                rbac.remove(kind, change.object.namespace(), change.object.name());
            } else {
                rbac.upsert(&change.object.value());
            }
        };
        cache.observe(
            &format!("/rbac.authorization.k8s.io/{plural}/"),
            Box::new(observer),
        );
    }
    let graph = authorizer.clone();
    let pods = move |change: &Change| {
        let object = &change.object;
        if change.deleted {
            graph
                .graph_mut()
                .remove_pod(object.namespace(), object.name());
        } else if may_change_references(change) {
            graph.graph_mut().upsert_pod(&referring_part(object));
        }
    };
    cache.observe("/core/pods/", Box::new(pods));
    let graph = authorizer.clone();
    let volumes = move |change: &Change| {
        if change.deleted {
            graph.graph_mut().remove_volume(change.object.name());
        } else {
            graph.graph_mut().upsert_volume(&change.object.value());
        }
    };
    cache.observe("/core/persistentvolumes/", Box::new(volumes));
    let graph = authorizer.clone();
    let attachments = move |change: &Change| {
        if change.deleted {
            graph.graph_mut().remove_attachment(change.object.name());
        } else {
            graph.graph_mut().upsert_attachment(&change.object.value());
        }
    };
    cache.observe("/storage.k8s.io/volumeattachments/", Box::new(attachments));
}

/// A pod without its status and who owns its fields: what it refers to stands in the rest, and a server
/// that starts reads every pod.
fn referring_part(object: &Object) -> Value {
    #[derive(Default, serde::Deserialize)]
    struct Part {
        #[serde(default)]
        metadata: Metadata,
        #[serde(default)]
        spec: Value,
    }
    #[derive(Default, serde::Deserialize)]
    struct Metadata {
        #[serde(default)]
        name: Value,
        #[serde(default)]
        namespace: Value,
        #[serde(default)]
        uid: Value,
        #[serde(default)]
        annotations: Value,
    }
    // The server wrote these bytes itself.
    let Part { metadata, spec } = serde_json::from_slice(&object.wire).unwrap_or_default();
    let metadata = [
        ("name", metadata.name),
        ("namespace", metadata.namespace),
        ("uid", metadata.uid),
        ("annotations", metadata.annotations),
    ];
    let members = |members: &mut dyn Iterator<Item = (&str, Value)>| -> Value {
        Value::Object(
            members
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    };
    let metadata = members(&mut metadata.into_iter());
    members(&mut [("metadata", metadata), ("spec", spec)].into_iter())
}

/// Whether a pod may refer to other objects, or belong to another host, than before. What a pod refers
/// to is fixed once it is on a host, but for containers that are added to look into it; most writes
/// are of its status and must not cost a parse.
fn may_change_references(change: &Change) -> bool {
    let has = |object: &Object, field: &[u8]| memchr::memmem::find(&object.wire, field).is_some();
    let on_host = |object: &Object| has(object, b"\"nodeName\":");
    on_host(&change.object)
        && (change
            .previous
            .as_deref()
            .is_none_or(|previous| !on_host(previous))
            || has(&change.object, b"\"ephemeralContainers\":"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::extract::Paths;

    #[test]
    fn what_pods_refer_by_is_read_and_the_rest_is_not() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"a": "b"}, "labels": {"x": "y"},
                "managedFields": [{"manager": "m"}]},
            "spec": {"nodeName": "host", "volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            "status": {"phase": "Running"},
        });
        let entry = mosaic_store::Entry {
            key: "/core/pods/n/p".into(),
            value: crate::codec::encode(&pod, &mosaic_patch::managed::Ledger::default()).unwrap(),
            revision: 2,
        };
        let part = referring_part(&Object::from_entry(&entry, &Paths::default()));
        assert_eq!(
            part,
            json!({
                "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"a": "b"}},
                "spec": pod["spec"],
            })
        );
    }
}
