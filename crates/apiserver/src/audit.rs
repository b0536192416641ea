//! What is written down of a request.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Response, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use jiff::Timestamp;
use mosaic_api::Status;
use mosaic_auth::{
    Attributes, Decision, User,
    audit::{AuditEvent, Level, Stage, new_audit_id},
};
use serde_json::Value;

use crate::{
    app::App,
    http::{
        path::ResourcePath,
        respond::{self, Body},
    },
    identity::Caller,
    streams,
};

/// The address that a connection came from, in the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The trail of one request.
#[derive(Default)]
pub struct Trail {
    id: String,
    enabled: bool,
    received_at: i64,
    verb: &'static str,
    uri: String,
    raw_path: String,
    agent: String,
    source_ips: Vec<String>,
    caller: Option<Caller>,
    path: Option<ResourcePath>,
    decision: Option<Decision>,
    status: Option<Value>,
    body: Bytes,
}

impl Trail {
    /// The request's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes what came from where.
    pub fn begin(&mut self, app: &App, parts: &Parts, verb: &'static str) {
        self.id = new_audit_id();
        self.enabled = app.audit.is_some();
        if !self.enabled {
            return;
        }
        self.received_at = Timestamp::now().as_microsecond();
        self.verb = verb;
        self.uri = parts.uri.to_string();
        self.raw_path = parts.uri.path().to_owned();
        self.agent = text(&parts.headers, header::USER_AGENT.as_str()).to_owned();
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        self.source_ips = source_ips(&parts.headers, peer);
    }

    /// Notes what it is about.
    pub fn about(&mut self, path: &ResourcePath) {
        if self.enabled {
            self.path = Some(path.clone());
        }
    }

    /// Notes who came.
    pub fn caller(&mut self, caller: &Caller) {
        if self.enabled {
            self.caller = Some(caller.clone());
        }
    }

    /// Notes whether they may.
    pub fn decided(&mut self, decision: &Decision) {
        if self.enabled {
            self.decision = Some(decision.clone());
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

    /// Writes the request down, if the policy asks for it. Of an answer that goes on (a watch, a log)
    /// that is its start.
    pub async fn finished(&self, app: &App, mut response: Response<Body>) -> Response<Body> {
        let Some((policy, log)) = &app.audit else {
            return response;
        };
        // Who came with a wrong credential is nobody.
        let nobody = Arc::new(User::default());
        let user = self.caller.as_ref().map_or(&nobody, |caller| &caller.user);
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
        let goes_on = self.verb == "watch" || streams::is_stream(path);
        let stage = if goes_on {
            Stage::ResponseStarted
        } else {
            Stage::ResponseComplete
        };
        let wanted = policy.decide(&attributes);
        if !wanted.writes(stage) {
            return response;
        }
        let request: Option<Value> = serde_json::from_slice(&self.body).ok();
        let mut answer = None;
        let known = response.body().size_hint().exact().is_some();
        if wanted.level >= Level::RequestResponse && known {
            let (parts, body) = response.into_parts();
            // It is all there: nothing is waited for, and nothing fails.
            let bytes = body
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            answer = serde_json::from_slice(&bytes).ok();
            response = Response::from_parts(parts, respond::full(bytes));
        }
        let event = AuditEvent {
            level: wanted.level,
            stage,
            audit_id: &self.id,
            request_uri: &self.uri,
            attributes,
            api_version: &path.version,
            impersonator: self
                .caller
                .as_ref()
                .and_then(|caller| caller.impersonator.as_deref()),
            source_ips: &self.source_ips,
            user_agent: &self.agent,
            decision: self.decision.as_ref(),
            code: Some(response.status().as_u16()),
            status: self.status.as_ref(),
            request_object: request.as_ref(),
            response_object: answer.as_ref(),
            omit_managed_fields: wanted.omit_managed_fields,
            received_at: self.received_at,
            stage_at: Timestamp::now().as_microsecond(),
        };
        log.record(event.to_line());
        response
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Where a request came from, as proxies say it, and last the peer itself, which alone is certain.
/// What is no address is left out.
fn source_ips(headers: &HeaderMap, peer: Option<IpAddr>) -> Vec<String> {
    let address = |text: &str| text.trim().parse::<IpAddr>().ok();
    let mut ips: Vec<IpAddr> = text(headers, "x-forwarded-for")
        .split(',')
        .filter_map(address)
        .collect();
    let real = address(text(headers, "x-real-ip"));
    for ip in [real, peer].into_iter().flatten() {
        if !ips.contains(&ip) || Some(ip) == peer && ips.last() != Some(&ip) {
            ips.push(ip);
        }
    }
    ips.iter().map(IpAddr::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_comes_last_whatever_headers_say() {
        let ips = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| {
                    (
                        header::HeaderName::from_static(name),
                        value.parse().unwrap(),
                    )
                })
                .collect();
            source_ips(&headers, Some([10, 0, 0, 9].into()))
        };
        assert_eq!(ips(&[]), ["10.0.0.9"]);
        assert_eq!(
            ips(&[("x-forwarded-for", "1.2.3.4, nonsense, fd00::1")]),
            ["1.2.3.4", "fd00::1", "10.0.0.9"]
        );
        assert_eq!(
            ips(&[("x-forwarded-for", "1.2.3.4"), ("x-real-ip", "1.2.3.4")]),
            ["1.2.3.4", "10.0.0.9"]
        );
        assert_eq!(
            ips(&[("x-forwarded-for", "10.0.0.9,1.2.3.4")]),
            ["10.0.0.9", "1.2.3.4", "10.0.0.9"]
        );
    }
}
