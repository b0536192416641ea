//! The objects that every cluster starts with.

use std::{net::SocketAddr, sync::Arc};

use http::Method;
use mosaic_api::{Reason, Status, meta};
use mosaic_auth::{User, groups};
use serde_json::{Value, json};

use crate::{
    app::App,
    http::{accept::Accept, path::ResourcePath, query::Query},
    verbs::{
        Call,
        body::FieldValidation,
        write::{self, Part, WriteOptions},
    },
};

/// Writes what is missing of the objects that every cluster has. Roles are brought up to date, unless
/// they say that they are not to be.
///
/// # Errors
/// What the first write that fails says.
pub async fn run(app: &Arc<App>, address: SocketAddr) -> Result<(), Status> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(
            app,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
        .await?;
    }
    for role in mosaic_auth::rbac::bootstrap_roles() {
        ensure_role(app, role).await?;
    }
    for (name, value) in [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        let description = "Used for system critical pods that must run in the cluster.";
        ensure(
            app,
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "description": description}),
        )
        .await?;
    }
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(
            app,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}),
        )
        .await?;
        let ca = app.identity.authority.certificate_pem();
        ensure(
            app,
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "kube-root-ca.crt", "namespace": namespace,
                    "annotations": {"kubernetes.io/description": "The certificate authority of this cluster's API server."}},
                "data": {"ca.crt": ca}}),
        )
        .await?;
    }
    kubernetes_service(app, address).await
}

/// The service `kubernetes`, through which pods reach the API.
async fn kubernetes_service(app: &Arc<App>, address: SocketAddr) -> Result<(), Status> {
    let first = match app.service_range.network() {
        std::net::IpAddr::V4(base) => std::net::IpAddr::V4(u32::from(base).wrapping_add(1).into()),
        std::net::IpAddr::V6(base) => std::net::IpAddr::V6(u128::from(base).wrapping_add(1).into()),
    };
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    ensure(
        app,
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {"clusterIP": first.to_string(), "type": "ClusterIP", "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()}]}}),
    )
    .await?;
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    if address.ip().is_loopback() {
        // Nobody else can reach a server that listens on the loopback only.
        return Ok(());
    }
    ensure(
        app,
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}]}),
    )
    .await
}

/// A call as the server itself makes it.
fn call(app: &App, object: &Value, method: Method) -> Result<Call, Status> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let kinds = app.kinds.snapshot();
    let kind = kinds
        .by_api_version(text("apiVersion"), text("kind"))
        .cloned()
        .ok_or_else(|| Status::internal(format!("{} is not served", text("kind"))))?;
    let path = ResourcePath {
        group: kind.group.to_string(),
        version: kind.version.to_string(),
        namespace: meta::namespace(object).to_owned(),
        plural: kind.plural.to_string(),
        name: meta::name(object).to_owned(),
        ..ResourcePath::default()
    };
    Ok(Call {
        user: User::new("system:apiserver", [groups::MASTERS, groups::AUTHENTICATED]).into(),
        path,
        query: Query::default(),
        kind,
        accept: Accept::default(),
        method,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        wire: crate::streams::Wire::default(),
    })
}

fn options() -> WriteOptions {
    WriteOptions {
        dry_run: false,
        manager: "mosaic".to_owned(),
        validation: FieldValidation::Strict,
    }
}

/// Creates an object that is not there yet.
async fn ensure(app: &Arc<App>, object: Value) -> Result<(), Status> {
    let call = call(app, &object, Method::POST)?;
    if app.cache.get(&call.key()).is_some() {
        return Ok(());
    }
    match write::create(app, &call, &options(), object).await {
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        Err(mut status) => {
            status.message = format!("{} {}: {}", call.kind.kind, call.path.name, status.message);
            Err(status)
        }
        Ok(_) => Ok(()),
    }
}

/// Creates a role or binding, or brings its rules and subjects up to date.
async fn ensure_role(app: &Arc<App>, wanted: Value) -> Result<(), Status> {
    let call = call(app, &wanted, Method::PATCH)?;
    let Some(current) = app.cache.get(&call.key()) else {
        return ensure(app, wanted).await;
    };
    let current = current.value();
    let frozen = current
        .pointer("/metadata/annotations/rbac.authorization.kubernetes.io~1autoupdate")
        .is_some_and(|value| value == "false");
    let differs = ["rules", "subjects", "aggregationRule"]
        .iter()
        .any(|key| current.get(key) != wanted.get(key));
    if frozen || !differs {
        return Ok(());
    }
    let change = |current: &Value| {
        let mut object = current.clone();
        if let (Some(object), Some(wanted)) = (object.as_object_mut(), wanted.as_object()) {
            for key in ["rules", "subjects", "aggregationRule"] {
                match wanted.get(key) {
                    Some(value) => object.insert(key.to_owned(), value.clone()),
                    None => object.remove(key),
                };
            }
        }
        Ok(object)
    };
    write::modify(app, &call, &options(), Part::Main, Vec::new(), &change)
        .await
        .map(|_| ())
}
