//! Nobody hands out rights that they do not hold; hosts write only what is theirs.

use mosaic_api::Status;
use mosaic_auth::{
    Attributes, groups,
    node::{NodeWrite, Operation, RestrictError, restrict},
    pki::CertificateRequest,
    rbac,
};
use serde_json::{Value, json};

use super::Attempt;
use crate::{app::App, identity::Bound, verbs::write::Part};

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
    if attempt.is(CERTIFICATES, "CertificateSigningRequest") {
        certificate_request(app, attempt, new)?;
    }
    node_writes_its_own(app, attempt, Some(new))
}

/// Checks what is done with a request for a certificate: for whom it is, who approves it, who signs it
/// (Kubernetes' admission plugins CertificateSubjectRestriction, CertificateApproval, CertificateSigning
/// and NodeRestriction).
fn certificate_request(app: &App, attempt: &Attempt<'_>, new: &Value) -> Result<(), Status> {
    let signer = new
        .pointer("/spec/signerName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (attempt.old, attempt.part) {
        (None, _) => {
            let request = requested(new);
            if signer == "kubernetes.io/kube-apiserver-client"
                && request.as_ref().is_some_and(|request| {
                    request.organizations.iter().any(|o| o == groups::MASTERS)
                })
            {
                return Err(attempt.forbidden("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"));
            }
            let user = &attempt.call.user;
            let for_hosts = matches!(
                signer,
                "kubernetes.io/kube-apiserver-client-kubelet" | "kubernetes.io/kubelet-serving"
            );
            if for_hosts
                && user.node_name().is_some()
                && request.is_none_or(|request| request.common_name != user.name)
            {
                return Err(
                    attempt.forbidden(&format!("can only create a node CSR with CN={}", user.name))
                );
            }
            Ok(())
        }
        (Some(_), Part::Approval) => may_use_signer(app, attempt, "approve", signer),
        (Some(old), Part::Status)
            if old.pointer("/status/certificate") != new.pointer("/status/certificate") =>
        {
            may_use_signer(app, attempt, "sign", signer)
        }
        _ => Ok(()),
    }
}

/// Checks the right to a signer, by its name or by that of all signers of its domain.
fn may_use_signer(
    app: &App,
    attempt: &Attempt<'_>,
    verb: &str,
    signer: &str,
) -> Result<(), Status> {
    let domain = signer.split('/').next().unwrap_or_default();
    let allowed = [signer.to_owned(), format!("{domain}/*")]
        .iter()
        .any(|name| {
            let attributes = Attributes {
                name,
                ..Attributes::resource(&attempt.call.user, verb, CERTIFICATES, "signers")
            };
            app.identity.authorizer.authorize(&attributes).allowed
        });
    if allowed {
        return Ok(());
    }
    Err(attempt.forbidden(&format!(
        "user not permitted to {verb} requests with signerName {signer:?}"
    )))
}

/// Checks whether a host may delete what it deletes.
pub(super) fn check_delete(app: &App, attempt: &Attempt<'_>) -> Result<(), Status> {
    node_writes_its_own(app, attempt, None)
}

/// The request for a certificate inside of an object, if it can be read.
fn requested(csr: &Value) -> Option<CertificateRequest> {
    use base64::Engine;
    let pem = csr
        .pointer("/spec/request")
        .and_then(Value::as_str)
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .unwrap_or_default();
    CertificateRequest::from_pem(&pem).ok()
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
