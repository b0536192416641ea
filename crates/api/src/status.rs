//! `Status`: how the API says that something failed.
//!
//! Reasons, codes and message texts are Kubernetes' (`meta/v1` `Status`), since clients decide by them.

use http::StatusCode;
use mosaic_schema::FieldError;
use serde_json::{Value, json};

/// Kubernetes' machine-readable reason of a failure, with its HTTP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: who is asking is not known.
    Unauthorized,
    /// 403: who is asking may not do this.
    Forbidden,
    /// 404: there is no such object or path.
    NotFound,
    /// 405: this kind does not do that.
    MethodNotAllowed,
    /// 406: no representation that the client accepts.
    NotAcceptable,
    /// 409: an object of that name is there.
    AlreadyExists,
    /// 409: the object has changed meanwhile, or another rule stands against it.
    Conflict,
    /// 410: the revision asked for is no longer kept.
    Expired,
    /// 413: the request is larger than allowed.
    RequestEntityTooLarge,
    /// 415: the body's media type is not understood.
    UnsupportedMediaType,
    /// 422: the object breaks a rule.
    Invalid,
    /// 429: try again later.
    TooManyRequests,
    /// 500: the server failed.
    InternalError,
    /// 503: the server cannot do this right now.
    ServiceUnavailable,
    /// 504: it took too long.
    Timeout,
    /// 507: the store has no room.
    InsufficientStorage,
}

impl Reason {
    /// The text of the `reason` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::InsufficientStorage => "InsufficientStorage",
        }
    }

    /// The HTTP code.
    pub fn code(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::AlreadyExists | Self::Conflict => StatusCode::CONFLICT,
            Self::Expired => StatusCode::GONE,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// One detail of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueRequired`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The path of the field it is about; empty if none.
    pub field: String,
}

/// A failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The machine-readable reason.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
    /// The name of the object it is about; empty if none.
    pub name: String,
    /// The group of the object's kind.
    pub group: String,
    /// The kind, or the resource's plural name, as Kubernetes mixes them.
    pub kind: String,
    /// The details.
    pub causes: Vec<Cause>,
    /// After how many seconds to try again; 0 for no advice.
    pub retry_after_seconds: u32,
}

impl Status {
    /// A failure with a reason and a message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        }
    }

    /// The same, about an object: `kind` is the kind or plural, as Kubernetes has it in `details.kind`.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.group = group.to_owned();
        self.kind = kind.to_owned();
        self.name = name.to_owned();
        self
    }

    /// 400 with a message.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 404 for an object: `deployments.apps "web" not found`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, plural));
        Self::new(Reason::NotFound, message).about(group, plural, name)
    }

    /// 404 for a path.
    pub fn no_such_path() -> Self {
        Self::new(
            Reason::NotFound,
            "the server could not find the requested resource",
        )
    }

    /// 409 for a name that is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, plural));
        Self::new(Reason::AlreadyExists, message).about(group, plural, name)
    }

    /// 409 for an object that cannot be written as asked.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(group, plural)
        );
        Self::new(Reason::Conflict, message).about(group, plural, name)
    }

    /// 409 for a stale `resourceVersion`.
    pub fn stale(group: &str, plural: &str, name: &str) -> Self {
        Self::conflict(
            group,
            plural,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 for an object that a rule of admission stands against.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", qualified(group, plural))
        } else {
            format!("{} {name:?} is forbidden: {why}", qualified(group, plural))
        };
        Self::new(Reason::Forbidden, message).about(group, plural, name)
    }

    /// 422 for an object with wrong fields. `errors` must not be empty.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let subject = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut status = Self::new(
            Reason::Invalid,
            format!("{subject} {name:?} is invalid: {list}"),
        )
        .about(group, kind, name);
        status.causes = errors
            .iter()
            .map(|e| Cause {
                reason: e.kind.reason().to_owned(),
                message: e.body(),
                field: e.path.clone(),
            })
            .collect();
        status
    }

    /// 422 for a parameter of a request; `options` is the kind that it belongs to, such as `PatchOptions`.
    pub fn invalid_option(options: &str, error: FieldError) -> Self {
        Self::invalid("meta.k8s.io", options, "", &[error])
    }

    /// 405: the kind does not serve this verb.
    pub fn method_not_allowed(why: impl Into<String>) -> Self {
        Self::new(Reason::MethodNotAllowed, why)
    }

    /// 410: a revision that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            Reason::InternalError,
            format!("Internal error occurred: {}", message.into()),
        )
    }

    /// The `Status` object of `v1`.
    pub fn to_object(&self) -> Value {
        let mut object = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason.as_str(),
            "code": self.reason.code().as_u16(),
        });
        let mut details = serde_json::Map::new();
        let texts = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
        ];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            details.insert(key.to_owned(), json!(text));
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_object).collect();
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            details.insert(
                "retryAfterSeconds".to_owned(),
                json!(self.retry_after_seconds),
            );
        }
        if let (false, Some(map)) = (details.is_empty(), object.as_object_mut()) {
            map.insert("details".to_owned(), Value::Object(details));
        }
        object
    }
}

impl Cause {
    fn to_object(&self) -> Value {
        let mut object = json!({"reason": self.reason, "message": self.message});
        if let (false, Some(map)) = (self.field.is_empty(), object.as_object_mut()) {
            map.insert("field".to_owned(), json!(self.field));
        }
        object
    }
}

fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
