//! Audit events: `Event` of `audit.k8s.io/v1`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Level;
use crate::{Attributes, Decision, User};

/// When in a request's life an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Before anything was done.
    RequestReceived,
    /// The headers of a long answer (a watch) are sent.
    ResponseStarted,
    /// The answer is sent.
    ResponseComplete,
    /// The server failed.
    Panic,
}

impl Stage {
    /// The stage's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A new id for a request, which all its events share.
pub fn new_audit_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What is known of a request when an event is written.
#[derive(Debug, Clone)]
pub struct AuditEvent<'a> {
    /// The level that the policy chose. Below `Request` the bodies are left out even if they are
    /// given.
    pub level: Level,
    /// The stage.
    pub stage: Stage,
    /// The id of the request (`Audit-ID`).
    pub audit_id: &'a str,
    /// Path and query as the client sent them.
    pub request_uri: &'a str,
    /// What was asked, with the user that the request went on as.
    pub attributes: Attributes<'a>,
    /// The version of the resource's group.
    pub api_version: &'a str,
    /// The user who came, where it acts as another.
    pub impersonator: Option<&'a User>,
    /// The addresses of the client and of proxies, the client first.
    pub source_ips: &'a [String],
    /// The client's `User-Agent`.
    pub user_agent: &'a str,
    /// What the authorizer said; none where it was not asked.
    pub decision: Option<&'a Decision>,
    /// The answer's code; none where there was none yet.
    pub code: Option<u16>,
    /// The message and reason of a `Status` that was answered.
    pub status: Option<&'a Value>,
    /// The request's body.
    pub request_object: Option<&'a Value>,
    /// The answer's body.
    pub response_object: Option<&'a Value>,
    /// Whether `metadata.managedFields` are left out of bodies.
    pub omit_managed_fields: bool,
    /// When the request came, in microseconds since 1970.
    pub received_at: i64,
    /// When the stage was reached, in microseconds since 1970.
    pub stage_at: i64,
}

/// Longer user agents and addresses are cut.
const MAX_HEADER: usize = 1024;

impl AuditEvent<'_> {
    /// The event as one line of JSON, with the newline.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = self.to_value().to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// The event as JSON.
    pub fn to_value(&self) -> Value {
        let mut event = Map::new();
        let mut put = |field: &str, value: Value| {
            event.insert(field.to_owned(), value);
        };
        let request = &self.attributes;
        put("kind", json!("Event"));
        put("apiVersion", json!("audit.k8s.io/v1"));
        put("level", json!(self.level.as_str()));
        put("auditID", json!(self.audit_id));
        put("stage", json!(self.stage.as_str()));
        put("requestURI", json!(without_tokens(self.request_uri)));
        put("verb", json!(request.verb));
        match self.impersonator {
            Some(impersonator) => {
                put("user", json!(impersonator));
                put("impersonatedUser", json!(request.user));
            }
            None => put("user", json!(request.user)),
        }
        if !self.source_ips.is_empty() {
            let ips: Vec<&str> = self.source_ips.iter().take(16).map(|ip| cut(ip)).collect();
            put("sourceIPs", json!(ips));
        }
        if !self.user_agent.is_empty() {
            put("userAgent", json!(cut(self.user_agent)));
        }
        if request.is_resource() {
            put("objectRef", self.object_ref());
        }
        if let Some(code) = self.code {
            put("responseStatus", self.response_status(code));
        }
        let body = |object: Option<&Value>| object.map(|object| self.body(object));
        if self.level >= Level::Request
            && let Some(object) = body(self.request_object)
        {
            put("requestObject", object);
        }
        if self.level >= Level::RequestResponse
            && let Some(object) = body(self.response_object)
        {
            put("responseObject", object);
        }
        put(
            "requestReceivedTimestamp",
            json!(micro_time(self.received_at)),
        );
        put("stageTimestamp", json!(micro_time(self.stage_at)));
        if let Some(decision) = self.decision {
            let word = if decision.allowed { "allow" } else { "forbid" };
            put(
                "annotations",
                json!({
                    "authorization.k8s.io/decision": word,
                    "authorization.k8s.io/reason": decision.reason.to_string(),
                }),
            );
        }
        Value::Object(event)
    }

    fn object_ref(&self) -> Value {
        let request = &self.attributes;
        let mut reference = Map::new();
        for (field, value) in [
            ("resource", request.resource),
            ("namespace", request.namespace),
            ("name", request.name),
            ("apiGroup", request.group),
            ("apiVersion", self.api_version),
            ("subresource", request.subresource),
        ] {
            if !value.is_empty() {
                reference.insert(field.to_owned(), json!(value));
            }
        }
        Value::Object(reference)
    }

    fn response_status(&self, code: u16) -> Value {
        let mut status = Map::from_iter([("metadata".to_owned(), json!({}))]);
        for field in ["status", "message", "reason"] {
            if let Some(value) = self.status.and_then(|status| status.get(field)) {
                status.insert(field.to_owned(), value.clone());
            }
        }
        status.insert("code".to_owned(), json!(code));
        Value::Object(status)
    }

    fn body(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if self.omit_managed_fields {
            drop_managed_fields(&mut object);
            if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
                items.iter_mut().for_each(drop_managed_fields);
            }
        }
        object
    }
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_HEADER.min(text.len())))
        .unwrap_or_default()
}

/// The address without the values of parameters that hold credentials.
fn without_tokens(uri: &str) -> String {
    let Some((path, query)) = uri.split_once('?') else {
        return uri.to_owned();
    };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| {
            let key = parameter.split('=').next().unwrap_or_default();
            let secret = ["token", "access_token", "password", "secret"]
                .iter()
                .any(|secret| key.eq_ignore_ascii_case(secret));
            if secret {
                format!("{key}=REDACTED")
            } else {
                parameter.to_owned()
            }
        })
        .collect();
    format!("{path}?{}", parameters.join("&"))
}

/// Time with six digits of the second's fraction, as Kubernetes' `MicroTime`.
fn micro_time(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
        .unwrap_or_default()
}
