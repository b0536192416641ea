//! A call that did not succeed, and what a person can do about it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kube::core::Status;

use super::{Origin, Resource};
use crate::failure::Failure;

/// What was asked for; for messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    verb: &'static str,
    /// The type as it is written on the command line.
    what: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Call {
    pub(crate) fn new(
        verb: &'static str,
        resource: &Resource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        Self {
            verb,
            what: resource.qualified(),
            namespace: namespace.filter(|_| resource.namespaced).map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    /// A part of an object that has a path of its own.
    pub(crate) fn of_part(
        verb: &'static str,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        part: &str,
    ) -> Self {
        let mut call = Self::new(verb, resource, namespace, Some(name));
        call.what = format!("{}/{part}", call.what);
        call
    }

    /// A path outside of the objects.
    pub(crate) fn raw(path: &str) -> Self {
        Self {
            verb: "get",
            what: path.split('?').next().unwrap_or(path).to_owned(),
            ..Self::default()
        }
    }

    fn namespace_flag(&self) -> String {
        self.namespace
            .as_ref()
            .map(|name| format!(" -n {name}"))
            .unwrap_or_default()
    }
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The server said no.
    Refused {
        /// What it said.
        status: Box<Status>,
        /// What it was asked.
        call: Box<Call>,
        /// Which server, as whom.
        origin: Arc<Origin>,
    },
    /// No answer came.
    Unanswered(Failure),
    /// The answer could not be read.
    Malformed(String),
}

impl ApiError {
    pub(super) fn refused(status: Status, call: Call, origin: &Arc<Origin>) -> Self {
        Self::Refused {
            status: Box::new(status),
            call: Box::new(call),
            origin: Arc::clone(origin),
        }
    }

    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    pub(super) fn timeout(limit: Duration, origin: &Origin) -> Self {
        Self::Unanswered(
            Failure::new(format!("{} did not answer within {limit:?}", origin.server))
                .hint("try again, or give a longer --request-timeout"),
        )
    }

    pub(super) fn interrupted(error: &(dyn StdError + 'static), origin: &Origin) -> Self {
        Self::Unanswered(Failure::new(format!(
            "the answer of {} broke off: {}",
            origin.server,
            innermost(error)
        )))
    }

    pub(super) fn from_kube(error: kube::Error, call: Call, origin: &Arc<Origin>) -> Self {
        match error {
            kube::Error::Api(status) => Self::refused(*status, call, origin),
            error => Self::Unanswered(unanswered(&error, origin)),
        }
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The object or the type is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// The object was changed or fields belong to others.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 409 && status.reason != "AlreadyExists")
    }

    /// The resource version or the continue token is too old.
    pub(crate) fn is_gone(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// It is to be tried again later: an eviction that a disruption budget does not allow now.
    pub(crate) fn is_too_many(&self) -> bool {
        self.status().is_some_and(|status| status.code == 429)
    }

    /// What the server said: the causes, if it gave some that say more than the message.
    pub(crate) fn causes(&self) -> Vec<&str> {
        let details = self.status().and_then(|status| status.details.as_ref());
        let causes = details.iter().flat_map(|details| &details.causes);
        causes
            .map(|cause| cause.message.as_str())
            .filter(|message| !message.is_empty())
            .collect()
    }

    /// The object itself is not acceptable, so that editing it can help.
    pub(crate) fn is_about_the_object(&self) -> bool {
        self.status()
            .is_some_and(|status| matches!(status.code, 400 | 403 | 409 | 422))
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status, .. } => f.write_str(&message(status)),
            Self::Unanswered(failure) => failure.fmt(f),
            Self::Malformed(text) => f.write_str(text),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unanswered(failure) => failure,
            ApiError::Malformed(text) => Failure::new(text),
            ApiError::Refused {
                status,
                call,
                origin,
            } => {
                let failure = Failure::new(message(&status));
                hints(&status, &call, &origin)
                    .into_iter()
                    .fold(failure, Failure::hint)
            }
        }
    }
}

/// The message of a refusal, with its reason, and with one line for each of several causes.
fn message(status: &Status) -> String {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    let reason = if status.reason.is_empty() {
        format!("HTTP {}", status.code)
    } else {
        status.reason.clone()
    };
    if causes.len() < 2 {
        return format!("{} ({reason})", status.message);
    }
    // The message repeats all causes in one line; they are easier to read one below the other.
    let head = match (&status.details, status.reason.as_str()) {
        (Some(details), "Invalid") => format!("{} \"{}\" is invalid", details.kind, details.name),
        (Some(_), "Conflict") => "fields belong to other managers".to_owned(),
        _ => status.message.clone(),
    };
    let mut text = format!("{head} ({reason}):");
    for cause in causes {
        text.push_str("\n  ");
        if !cause.field.is_empty() {
            text.push_str(&cause.field);
            text.push_str(": ");
        }
        text.push_str(&cause.message);
    }
    text
}

fn hints(status: &Status, call: &Call, origin: &Origin) -> Vec<String> {
    let Call {
        verb, what, name, ..
    } = call;
    let flag = call.namespace_flag();
    let has_cause = |reason: &str| {
        status
            .details
            .as_ref()
            .is_some_and(|d| d.causes.iter().any(|cause| cause.reason == reason))
    };
    match status.reason.as_str() {
        "NotFound" if is_missing_namespace(status, call) => {
            vec!["`mos get namespaces` lists them".into()]
        }
        "NotFound" if name.is_some() => vec![format!("`mos get {what}{flag}` lists what there is")],
        "NotFound" => vec!["`mos api-resources` lists the types that this server knows".into()],
        // Limits, quotas and other rules refuse with the same reason, and no right helps against those.
        "Forbidden" if is_about_rights(&status.message) && !what.starts_with('/') => {
            vec![format!(
                "`mos auth can-i {verb} {what}{flag}` asks whether you may; an administrator grants it by a Role and a RoleBinding"
            )]
        }
        "Unauthorized" => vec![format!(
            "the credential of user `{}` (context `{}`, {}) is not accepted by {}: it has expired, or is another server's",
            origin.user,
            origin.context,
            origin.files(),
            origin.server
        )],
        "Conflict" if has_cause("FieldManagerConflict") => vec![
            "take the fields over with --force-conflicts, or leave them out of the file".into(),
        ],
        "Conflict" => vec!["the object changed in the meantime: try again".into()],
        "AlreadyExists" => vec!["`mos apply` changes what is there already".into()],
        "TooManyRequests" | "ServiceUnavailable" | "Timeout" | "ServerTimeout" => {
            vec!["the server is busy or starting: try again in a moment".into()]
        }
        _ => Vec::new(),
    }
}

/// Whether the namespace is what was not found, rather than the object in it.
fn is_missing_namespace(status: &Status, call: &Call) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| details.kind == "namespaces" && call.what != "namespaces")
}

/// Whether a refusal is the authorizer's: `… is forbidden: User "jane" cannot list resource …`.
fn is_about_rights(message: &str) -> bool {
    message
        .split_once("User \"")
        .is_some_and(|(_, rest)| rest.contains("\" cannot "))
}

/// A failure to get any answer.
fn unanswered(error: &kube::Error, origin: &Origin) -> Failure {
    let place = format!(
        "{} (context `{}` in {})",
        origin.server,
        origin.context,
        origin.files()
    );
    let cause = innermost(error);
    let mut kind = None;
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = Some(error.kind());
        }
        source = error.source();
    }
    let refused = matches!(kind, Some(io::ErrorKind::ConnectionRefused));
    if refused {
        return Failure::new(format!("nothing listens at {place}"))
            .hint("start a server with `mos server --data-dir DIR`, or choose another with --context or KUBECONFIG");
    }
    let failure = Failure::new(format!("cannot reach {place}: {cause}"));
    let cause = cause.to_lowercase();
    if cause.contains("certificate") || cause.contains("unknownissuer") {
        failure.hint("the server's certificate is not of the authority in the kubeconfig: is the kubeconfig another server's, or from before its data directory was renewed?")
    } else if cause.contains("lookup") || cause.contains("resolve") {
        failure.hint(
            "the server's name cannot be resolved: check the cluster's `server` in the kubeconfig",
        )
    } else {
        failure
    }
}

/// The text of the error that all others wrap.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn origin() -> Arc<Origin> {
        Arc::new(Origin {
            server: "https://127.0.0.1:1/".into(),
            context: "c".into(),
            user: "admin".into(),
            files: vec!["/k".into()],
        })
    }

    fn call(verb: &'static str, name: Option<&str>) -> Call {
        Call {
            verb,
            what: "deployments.apps".into(),
            namespace: Some("shop".into()),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn not_found_says_how_to_look() {
        let status =
            Status::failure("deployments.apps \"web\" not found", "NotFound").with_code(404);
        let failure: Failure =
            ApiError::refused(status, call("get", Some("web")), &origin()).into();
        assert_eq!(
            failure.message(),
            "deployments.apps \"web\" not found (NotFound)"
        );
        assert!(format!("{failure:?}").contains("mos get deployments.apps -n shop"));
    }

    #[test]
    fn conflicts_list_fields_and_say_how_to_force() {
        let cause = |field: &str| StatusCause {
            reason: "FieldManagerConflict".into(),
            message: "conflict with \"kubectl\"".into(),
            field: field.into(),
        };
        let details = StatusDetails {
            causes: vec![cause(".spec.a"), cause(".spec.b")],
            name: "web".into(),
            group: "apps".into(),
            kind: "deployments".into(),
            uid: String::new(),
            retry_after_seconds: 0,
        };
        let status = Status::failure("Apply failed with 2 conflicts", "Conflict")
            .with_code(409)
            .with_details(details);
        let failure: Failure =
            ApiError::refused(status, call("patch", Some("web")), &origin()).into();
        assert!(
            failure
                .message()
                .contains("\n  .spec.a: conflict with \"kubectl\"\n  .spec.b"),
            "{failure}"
        );
        assert!(format!("{failure:?}").contains("--force-conflicts"));
    }

    #[test]
    fn forbidden_says_which_verb_on_what() {
        let text = "deployments.apps is forbidden: User \"jane\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
        let status = Status::failure(text, "Forbidden").with_code(403);
        let failure: Failure = ApiError::refused(status, call("list", None), &origin()).into();
        assert!(format!("{failure:?}").contains("mos auth can-i list deployments.apps -n shop"));
    }

    #[test]
    fn a_missing_namespace_is_not_looked_for_in_itself() {
        let details = StatusDetails {
            name: "shp".into(),
            kind: "namespaces".into(),
            group: String::new(),
            causes: Vec::new(),
            uid: String::new(),
            retry_after_seconds: 0,
        };
        let status = Status::failure("namespaces \"shp\" not found", "NotFound")
            .with_code(404)
            .with_details(details);
        let failure: Failure =
            ApiError::refused(status, call("patch", Some("web")), &origin()).into();
        let text = format!("{failure:?}");
        assert!(text.contains("`mos get namespaces`"), "{text}");
        assert!(!text.contains("mos get deployments"), "{text}");
    }

    #[test]
    fn a_limit_is_not_a_matter_of_rights() {
        for text in [
            "pods \"big\" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi",
            "pods \"big\" is forbidden: exceeded quota: shop, requested: pods=1, used: pods=5, limited: pods=5",
            "namespaces \"default\" is forbidden: this namespace may not be deleted",
        ] {
            let status = Status::failure(text, "Forbidden").with_code(403);
            let failure: Failure =
                ApiError::refused(status, call("create", None), &origin()).into();
            assert!(!format!("{failure:?}").contains("can-i"), "{failure:?}");
        }
    }
}
