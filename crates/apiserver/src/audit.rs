//! What is written down of a request.

use std::sync::Arc;

use bytes::Bytes;
use http::{header, request::Parts};
use jiff::Timestamp;
use mosaic_api::Status;
use mosaic_auth::{
    Attributes, User,
    audit::{AuditEvent, Stage, new_audit_id},
};
use serde_json::Value;

use crate::{app::App, http::path::ResourcePath};

/// The trail of one request.
#[derive(Default)]
pub struct Trail {
    id: String,
    received_at: i64,
    uri: String,
    agent: String,
    user: Option<Arc<User>>,
    verb: &'static str,
    path: Option<ResourcePath>,
    raw_path: String,
    status: Option<Value>,
    body: Bytes,
    enabled: bool,
}

impl Trail {
    /// The request's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes who came with what.
    pub fn begin(&mut self, app: &App, parts: &Parts, user: Arc<User>) {
        self.id = new_audit_id();
        self.enabled = app.audit.is_some();
        if !self.enabled {
            return;
        }
        self.received_at = Timestamp::now().as_microsecond();
        self.uri = parts.uri.to_string();
        self.raw_path = parts.uri.path().to_owned();
        self.agent = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        self.user = Some(user);
    }

    /// Notes what it is about.
    pub fn about(&mut self, path: &ResourcePath, verb: &'static str) {
        self.verb = verb;
        if self.enabled {
            self.path = Some(path.clone());
        }
    }

    /// Notes the body.
    pub fn body(&mut self, body: &Bytes) {
        if self.enabled {
            self.body = body.clone();
        }
    }

    /// Notes a failure.
    pub fn failed(&mut self, status: &Status) {
        if self.enabled {
            self.status = Some(status.to_object());
        }
    }

    /// Writes the request down, if the policy asks for it.
    pub fn finished(&self, app: &App, code: u16) {
        let (Some((policy, log)), Some(user)) = (&app.audit, &self.user) else {
            return;
        };
        let empty = ResourcePath::default();
        let path = self.path.as_ref().unwrap_or(&empty);
        let attributes = match &self.path {
            Some(path) => Attributes {
                subresource: &path.subresource,
                namespace: &path.namespace,
                name: &path.name,
                ..Attributes::resource(user, self.verb, &path.group, &path.plural)
            },
            None => Attributes::path(user, self.verb, &self.raw_path),
        };
        let decision = policy.decide(&attributes);
        if !decision.writes(Stage::ResponseComplete) {
            return;
        }
        let request: Option<Value> = serde_json::from_slice(&self.body).ok();
        let event = AuditEvent {
            level: decision.level,
            stage: Stage::ResponseComplete,
            audit_id: &self.id,
            request_uri: &self.uri,
            attributes,
            api_version: &path.version,
            impersonator: None,
            source_ips: &[],
            user_agent: &self.agent,
            decision: None,
            code: Some(code),
            status: self.status.as_ref(),
            request_object: request.as_ref(),
            response_object: None,
            omit_managed_fields: decision.omit_managed_fields,
            received_at: self.received_at,
            stage_at: Timestamp::now().as_microsecond(),
            annotations: &[],
        };
        log.record(event.to_line());
    }
}
