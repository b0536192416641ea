//! Requests for certificates: approves those of nodes for themselves, signs what is approved, and removes
//! what is old.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        certificates::v1::{
            CertificateSigningRequest, CertificateSigningRequestCondition,
            CertificateSigningRequestSpec,
        },
        core::v1::Node,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
    core::PartialObjectMeta,
    runtime::watcher,
};
use mosaic_auth::{
    User,
    pki::{Authority, CertificateRequest, RequestError, San, Signer, is_own_node_request},
};

use crate::{
    context::Context,
    error::{Absent, Result},
    readable::Readable,
    runner::{self, Next},
    watch,
};

const CONCURRENCY: usize = 4;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long a request is kept that was approved, denied or failed.
const KEPT: SignedDuration = HOUR;
/// How long a request is kept that nobody decided on.
const KEPT_PENDING: SignedDuration = SignedDuration::from_hours(24);
/// The signers that Kubernetes itself is; all others sign for themselves.
const OWN_SIGNERS: &str = "kubernetes.io/";

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// Approve it, if its author may create `certificatesigningrequests/<permission>`.
    ApproveIfAllowed {
        permission: &'static str,
        message: &'static str,
    },
    /// The same, if the names that it asks for are the node's own.
    ApproveIfNodesNames {
        permission: &'static str,
        message: &'static str,
    },
    /// Sign it.
    Sign,
    /// Delete it: it is old.
    Delete,
    /// Look again after this time.
    LookAgain(Duration),
}

/// What is to be done about a request, in this order.
fn plan(request: &CertificateSigningRequest, now: Timestamp) -> Vec<Action> {
    if let Some(left) = time_left(request, now) {
        let mut actions = Vec::new();
        if !is_decided(request) {
            actions.extend(approval(request));
        } else if has(request, APPROVED)
            && !has(request, FAILED)
            && !has(request, DENIED)
            && !has_certificate(request)
            && request.spec.signer_name.starts_with(OWN_SIGNERS)
        {
            actions.push(Action::Sign);
        }
        actions.push(Action::LookAgain(left));
        actions
    } else {
        vec![Action::Delete]
    }
}

/// How long a request is still kept; none if it is to go.
fn time_left(request: &CertificateSigningRequest, now: Timestamp) -> Option<Duration> {
    let decided = conditions(request)
        .iter()
        .filter(|condition| matches!(condition.type_.as_str(), APPROVED | DENIED | FAILED))
        .filter_map(|condition| {
            condition
                .last_update_time
                .as_ref()
                .or(condition.last_transition_time.as_ref())
        })
        .map(|time| time.0)
        .max();
    let created = request
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    let end = match decided {
        Some(decided) => decided.saturating_add(KEPT),
        None if is_decided(request) => created.saturating_add(KEPT),
        None => created.saturating_add(KEPT_PENDING),
    };
    let left = Duration::try_from(end.ok()?.duration_since(now)).ok()?;
    (!left.is_zero()).then_some(left + Duration::from_secs(1))
}

/// Which approval a request of a node for itself calls for.
fn approval(request: &CertificateSigningRequest) -> Option<Action> {
    let spec = &request.spec;
    let signer = Signer::from_name(&spec.signer_name)?;
    let read = CertificateRequest::from_pem(&spec.request.0).ok()?;
    read.check(signer, spec.usages.as_deref().unwrap_or_default())
        .ok()?;
    let user = User::new(
        spec.username.clone().unwrap_or_default(),
        spec.groups.clone().unwrap_or_default(),
    );
    match signer {
        Signer::ApiserverClientKubelet if is_own_node_request(&user, &read) => {
            Some(Action::ApproveIfAllowed {
                permission: "selfnodeclient",
                message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
            })
        }
        // To speak for any node is a right that an administrator gives, as to bootstrap tokens.
        Signer::ApiserverClientKubelet => Some(Action::ApproveIfAllowed {
            permission: "nodeclient",
            message: "Auto approving kubelet client certificate after SubjectAccessReview.",
        }),
        Signer::KubeletServing if is_own_node_request(&user, &read) => {
            Some(Action::ApproveIfNodesNames {
                permission: "selfnodeserver",
                message: "Auto approving self kubelet server certificate after SubjectAccessReview.",
            })
        }
        _ => None,
    }
}

fn conditions(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default()
}

fn has(request: &CertificateSigningRequest, ty: &str) -> bool {
    conditions(request)
        .iter()
        .any(|condition| condition.type_ == ty)
}

fn has_certificate(request: &CertificateSigningRequest) -> bool {
    let certificate = request
        .status
        .as_ref()
        .and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|certificate| !certificate.0.is_empty())
}

fn is_decided(request: &CertificateSigningRequest) -> bool {
    has(request, APPROVED) || has(request, DENIED) || has(request, FAILED)
}

fn add_condition(
    request: &mut CertificateSigningRequest,
    ty: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let condition = CertificateSigningRequestCondition {
        type_: ty.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    request
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default()
        .push(condition);
}

/// Whether each of the names in a request is one of the addresses of the node.
fn are_names_of(node: &Node, names: &[San]) -> bool {
    let addresses = node
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref())
        .unwrap_or_default();
    names.iter().all(|name| {
        addresses.iter().any(|address| match name {
            San::Dns(dns) => {
                address.type_ != "InternalIP"
                    && address.type_ != "ExternalIP"
                    && address.address == *dns
            }
            San::Ip(ip) => address.address.parse() == Ok(*ip),
        })
    })
}

/// Approves, signs and removes certificate requests.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<String>();
    let api: Api<Readable<PartialObjectMeta<CertificateSigningRequest>>> =
        Api::all(context.client.clone());
    tokio::join!(
        watch::objects(api, watcher::Config::default(), |object| {
            object
                .metadata
                .name
                .into_iter()
                .for_each(|name| queue.add(name));
        }),
        runner::work("certificates", CONCURRENCY, &queue, requests, |name| {
            reconcile(&context, name)
        }),
    );
}

async fn reconcile(context: &Context, name: String) -> Result<Next> {
    let api: Api<CertificateSigningRequest> = Api::all(context.client.clone());
    let Some(request) = api.get_opt(&name).await? else {
        return Ok(Next::Done);
    };
    if request.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Done);
    }
    let now = Timestamp::now();
    let mut next = Next::Done;
    for action in plan(&request, now) {
        match action {
            Action::LookAgain(pause) => next = Next::After(pause),
            Action::ApproveIfAllowed {
                permission,
                message,
            } => {
                approve(context, &api, &request, permission, message).await?;
            }
            Action::ApproveIfNodesNames {
                permission,
                message,
            } => {
                if has_nodes_names(context, &request).await? {
                    approve(context, &api, &request, permission, message).await?;
                }
            }
            Action::Sign => sign(context, &api, request.clone()).await?,
            Action::Delete => {
                let preconditions = Preconditions {
                    uid: request.metadata.uid.clone(),
                    resource_version: request.metadata.resource_version.clone(),
                };
                api.delete(&name, &DeleteParams::default().preconditions(preconditions))
                    .await
                    .or_absent()?;
            }
        }
    }
    Ok(next)
}

async fn approve(
    context: &Context,
    api: &Api<CertificateSigningRequest>,
    request: &CertificateSigningRequest,
    permission: &str,
    message: &str,
) -> Result<()> {
    let spec = &request.spec;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: spec.username.clone(),
            groups: spec.groups.clone(),
            uid: spec.uid.clone(),
            extra: spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".to_owned()),
                version: Some("*".to_owned()),
                resource: Some("certificatesigningrequests".to_owned()),
                subresource: Some(permission.to_owned()),
                verb: Some("create".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(context.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    if !answer.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    let mut approved = request.clone();
    add_condition(
        &mut approved,
        APPROVED,
        "AutoApproved",
        message.to_owned(),
        Timestamp::now(),
    );
    let name = request.metadata.name.as_deref().unwrap_or_default();
    api.replace_subresource("approval", name, &PostParams::default(), &approved)
        .await
        .or_absent()?;
    Ok(())
}

async fn has_nodes_names(context: &Context, request: &CertificateSigningRequest) -> Result<bool> {
    let Ok(read) = CertificateRequest::from_pem(&request.spec.request.0) else {
        return Ok(false);
    };
    let Some(name) = read.common_name.strip_prefix("system:node:") else {
        return Ok(false);
    };
    let nodes: Api<Node> = Api::all(context.client.clone());
    Ok(nodes
        .get_opt(name)
        .await?
        .is_some_and(|node| are_names_of(&node, &read.sans)))
}

/// The certificate (PEM) that a request asks for; none if its signer is not one that is served.
///
/// # Errors
/// Why it cannot be signed: shown in the request's `Failed` condition.
fn certificate(
    authority: &Authority,
    spec: &CertificateSigningRequestSpec,
    now: Timestamp,
) -> std::result::Result<Option<String>, RequestError> {
    let Some(signer) = Signer::from_name(&spec.signer_name) else {
        return Ok(None);
    };
    let request = CertificateRequest::from_pem(&spec.request.0)?;
    let usages = spec.usages.as_deref().unwrap_or_default();
    let expiration = spec.expiration_seconds.map(i64::from);
    authority
        .sign_request(&request, signer, usages, expiration, now.as_second())
        .map(Some)
}

async fn sign(
    context: &Context,
    api: &Api<CertificateSigningRequest>,
    mut request: CertificateSigningRequest,
) -> Result<()> {
    let now = Timestamp::now();
    match certificate(&context.options.authority, &request.spec, now) {
        Ok(None) => return Ok(()),
        Ok(Some(certificate)) => {
            request.status.get_or_insert_default().certificate =
                Some(ByteString(certificate.into_bytes()));
        }
        Err(error) => add_condition(
            &mut request,
            FAILED,
            "SignerValidationFailure",
            error.to_string(),
            now,
        ),
    }
    let name = request.metadata.name.clone().unwrap_or_default();
    api.replace_status(&name, &PostParams::default(), &request)
        .await
        .or_absent()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeAddress, NodeStatus};
    use mosaic_auth::pki::create_request;

    use super::*;

    fn request(
        user: &str,
        groups: &[&str],
        signer: Signer,
        subject: &str,
        sans: &[San],
    ) -> CertificateSigningRequest {
        let (pem, _) = create_request(subject, &["system:nodes"], sans).unwrap();
        let purpose = if signer == Signer::KubeletServing {
            "server auth"
        } else {
            "client auth"
        };
        let mut request = CertificateSigningRequest::default();
        request.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        request.spec.request = ByteString(pem.into_bytes());
        request.spec.username = Some(user.into());
        request.spec.groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        request.spec.signer_name = signer.name().into();
        request.spec.usages = Some(vec!["digital signature".into(), purpose.into()]);
        request
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn permission(request: &CertificateSigningRequest) -> Option<&'static str> {
        plan(request, at(0))
            .into_iter()
            .find_map(|action| match action {
                Action::ApproveIfAllowed { permission, .. }
                | Action::ApproveIfNodesNames { permission, .. } => Some(permission),
                _ => None,
            })
    }

    #[test]
    fn nodes_are_approved_for_themselves() {
        let (client, node) = (Signer::ApiserverClientKubelet, "system:node:a");
        let own = request(node, &["system:nodes"], client, node, &[]);
        assert_eq!(permission(&own), Some("selfnodeclient"));
        let first = request(
            "system:bootstrap:x",
            &["system:bootstrappers"],
            client,
            node,
            &[],
        );
        assert_eq!(permission(&first), Some("nodeclient"));
        let sans = [San::Dns("a".into())];
        let serving = request(node, &["system:nodes"], Signer::KubeletServing, node, &sans);
        assert_eq!(permission(&serving), Some("selfnodeserver"));
        let other = request(
            "system:node:b",
            &["system:nodes"],
            Signer::KubeletServing,
            node,
            &sans,
        );
        assert_eq!(permission(&other), None);
        let person = request("jane", &[], Signer::ApiserverClient, "jane", &[]);
        assert_eq!(permission(&person), None);
        let mut garbage = own.clone();
        garbage.spec.request = ByteString(b"garbage".to_vec());
        assert_eq!(permission(&garbage), None);
    }

    #[test]
    fn what_is_approved_is_signed_once() {
        let mut request = request("jane", &[], Signer::ApiserverClient, "jane", &[]);
        add_condition(&mut request, APPROVED, "", String::new(), at(0));
        assert_eq!(plan(&request, at(0))[0], Action::Sign);
        let mut signed = request.clone();
        signed.status.as_mut().unwrap().certificate = Some(ByteString(b"pem".to_vec()));
        assert!(!plan(&signed, at(0)).contains(&Action::Sign));
        let mut failed = request.clone();
        add_condition(&mut failed, FAILED, "", String::new(), at(0));
        assert!(!plan(&failed, at(0)).contains(&Action::Sign));
        request.spec.signer_name = "example.com/mine".into();
        assert!(!plan(&request, at(0)).contains(&Action::Sign));
    }

    #[test]
    fn the_authority_signs_for_the_signers_that_are_served() {
        let authority = Authority::generate(0).unwrap();
        let signed = |request: &CertificateSigningRequest| {
            certificate(&authority, &request.spec, at(0)).map_err(|error| error.to_string())
        };
        let mut request = request("jane", &[], Signer::ApiserverClient, "jane", &[]);
        let pem = signed(&request).unwrap().unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        request.spec.usages = Some(vec!["server auth".into()]);
        assert!(signed(&request).unwrap_err().contains("usage"));
        request.spec.signer_name = "kubernetes.io/legacy-unknown".into();
        assert_eq!(signed(&request), Ok(None));
    }

    #[test]
    fn old_requests_go() {
        let mut request = request("jane", &[], Signer::ApiserverClient, "jane", &[]);
        assert_eq!(
            plan(&request, at(86_399)),
            [Action::LookAgain(Duration::from_secs(2))]
        );
        assert_eq!(plan(&request, at(86_400)), [Action::Delete]);
        add_condition(&mut request, DENIED, "", String::new(), at(1000));
        assert_eq!(
            plan(&request, at(4599)),
            [Action::LookAgain(Duration::from_secs(2))]
        );
        assert_eq!(plan(&request, at(4600)), [Action::Delete]);
    }

    #[test]
    fn a_nodes_names_are_its_addresses() {
        let address = |ty: &str, address: &str| NodeAddress {
            type_: ty.into(),
            address: address.into(),
        };
        let status = NodeStatus {
            addresses: Some(vec![
                address("Hostname", "a"),
                address("InternalIP", "10.0.0.1"),
            ]),
            ..NodeStatus::default()
        };
        let node = Node {
            status: Some(status),
            ..Node::default()
        };
        let (dns, ip) = (San::Dns("a".into()), San::Ip("10.0.0.1".parse().unwrap()));
        assert!(are_names_of(&node, &[dns.clone(), ip]));
        assert!(!are_names_of(
            &node,
            &[dns, San::Dns("kubernetes.default".into())]
        ));
        assert!(!are_names_of(&node, &[San::Dns("10.0.0.1".into())]));
    }
}
