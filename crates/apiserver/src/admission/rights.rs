//! Nobody hands out rights that they do not hold; hosts write only what is theirs.

use mosaic_api::Status;
use mosaic_auth::{
    groups,
    node::{NodeWrite, Operation, RestrictError, restrict},
    rbac,
};
use serde_json::{Value, json};

use super::Attempt;
use crate::{app::App, identity::Bound};

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";

/// Notes who asks for a certificate.
pub(super) fn mutate(attempt: &Attempt<'_>, new: &mut Value) {
    if !attempt.is(CERTIFICATES, "CertificateSigningRequest") || !attempt.creates() {
        return;
    }
    let user = &attempt.call.user;
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for gone in ["username", "uid", "groups", "extra"] {
        spec.remove(gone);
    }
    spec.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    spec.insert("groups".to_owned(), json!(user.groups));
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
}

/// Checks the rights that a write would hand out.
pub(super) fn check(app: &App, attempt: &Attempt<'_>, new: &Value) -> Result<(), Status> {
    if *attempt.kind().group == *RBAC {
        let index = app.identity.authorizer.rbac();
        let user = &attempt.call.user;
        let done = match &*attempt.kind().kind {
            "Role" | "ClusterRole" => rbac::check_role(&index, user, new, attempt.old),
            "RoleBinding" | "ClusterRoleBinding" => {
                rbac::check_binding(&index, user, new, attempt.old)
            }
            _ => Ok(()),
        };
        return done.map_err(|error| attempt.forbidden(&error.to_string()));
    }
    if attempt.is(CERTIFICATES, "CertificateSigningRequest")
        && attempt.creates()
        && new
            .pointer("/spec/signerName")
            .is_some_and(|name| name == "kubernetes.io/kube-apiserver-client")
        && requests_masters(new)
    {
        return Err(attempt.forbidden("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"));
    }
    node_writes_its_own(app, attempt, Some(new))
}

/// Checks whether a host may delete what it deletes.
pub(super) fn check_delete(app: &App, attempt: &Attempt<'_>) -> Result<(), Status> {
    node_writes_its_own(app, attempt, None)
}

fn requests_masters(csr: &Value) -> bool {
    use base64::Engine;
    let pem = csr
        .pointer("/spec/request")
        .and_then(Value::as_str)
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .unwrap_or_default();
    mosaic_auth::pki::CertificateRequest::from_pem(&pem)
        .is_ok_and(|request| request.organizations.iter().any(|o| o == groups::MASTERS))
}

fn node_writes_its_own(
    app: &App,
    attempt: &Attempt<'_>,
    new: Option<&Value>,
) -> Result<(), Status> {
    let Some(node) = attempt.call.user.node_name() else {
        return Ok(());
    };
    let operation = match (new, attempt.old) {
        (None, _) => Operation::Delete,
        (Some(_), None) => Operation::Create,
        (Some(_), Some(_)) => Operation::Update,
    };
    let write = NodeWrite {
        operation,
        group: &attempt.kind().group,
        resource: &attempt.kind().plural,
        subresource: attempt.part.subresource(),
        namespace: attempt.namespace,
        name: attempt.name,
        object: new,
        old: attempt.old,
    };
    let graph = app.identity.authorizer.graph();
    restrict(node, &write, &graph, &Bound(&app.cache)).map_err(|error| match error {
        RestrictError::Forbidden(why) => attempt.forbidden(&why),
        RestrictError::NotFound { resource, name } => Status::not_found("", resource, &name),
    })
}
