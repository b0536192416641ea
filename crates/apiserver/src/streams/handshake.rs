//! The opening of a WebSocket (RFC 6455, section 4.2), whose other half is said to the host in HTTP/2's
//! way (RFC 8441): key and answer stay between client and server, protocols go through.

use base64::Engine;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use mosaic_api::{Reason, Status};

use crate::http::respond::{self, Body};

/// Protocols with this prefix carry a client's token: they are for the server alone.
const TOKEN: &str = "base64url.bearer.authorization.k8s.io.";
/// What RFC 6455 appends to a client's key.
const SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The most protocols that are looked at.
const MAX_PROTOCOLS: usize = 32;

/// What a client wants to turn its connection into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Plain,
    /// A WebSocket.
    WebSocket(WebSocket),
    /// SPDY, which older clients speak and newer ones fall back to.
    Spdy,
    /// Something else.
    Other,
}

/// The opening of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    key: String,
    protocols: Vec<String>,
}

impl Opening {
    /// Reads a request's head.
    ///
    /// # Errors
    /// 400 for a WebSocket that is opened wrongly.
    pub fn read(method: &Method, headers: &HeaderMap) -> Result<Self, Status> {
        let wanted = tokens(headers, header::UPGRADE);
        let says_upgrade =
            tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
        let mut opening = Self::Plain;
        for token in wanted.filter(|_| says_upgrade) {
            if token.eq_ignore_ascii_case("websocket") {
                return WebSocket::read(method, headers).map(Self::WebSocket);
            }
            opening = match token {
                spdy if spdy.to_ascii_uppercase().starts_with("SPDY/") => Self::Spdy,
                _ => Self::Other,
            };
        }
        Ok(opening)
    }

    /// Why a stream cannot be opened this way.
    pub fn refusal(&self) -> Status {
        Status::bad_request(match self {
            Self::Spdy => {
                "this server opens streams by WebSocket, not by SPDY: use kubectl 1.31 or newer, without \
                 KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false or KUBECTL_PORT_FORWARD_WEBSOCKETS=false"
            }
            Self::Plain => "Upgrade request required: this is a stream, open it as a WebSocket",
            _ => "streams are opened as WebSockets; this server knows no other upgrade",
        })
    }
}

impl WebSocket {
    fn read(method: &Method, headers: &HeaderMap) -> Result<Self, Status> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
                .unwrap_or_default()
        };
        if method != Method::GET {
            return Err(Status::bad_request("a WebSocket is opened by a GET"));
        }
        if text(header::SEC_WEBSOCKET_VERSION) != "13" {
            return Err(Status::bad_request(
                "this server speaks version 13 of WebSocket",
            ));
        }
        let key = text(header::SEC_WEBSOCKET_KEY);
        let decoded = base64::engine::general_purpose::STANDARD.decode(key);
        if key.len() != 24 || !decoded.is_ok_and(|bytes| bytes.len() == 16) {
            return Err(Status::bad_request(
                "Sec-WebSocket-Key is not 16 bytes in base64",
            ));
        }
        let protocols = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL)
            .filter(|protocol| !protocol.starts_with(TOKEN))
            .take(MAX_PROTOCOLS)
            .map(str::to_owned)
            .collect();
        Ok(Self {
            key: key.to_owned(),
            protocols,
        })
    }

    /// The protocols that the client offers, without its token.
    pub fn offered(&self) -> Option<HeaderValue> {
        if self.protocols.is_empty() {
            return None;
        }
        HeaderValue::from_str(&self.protocols.join(", ")).ok()
    }

    /// The answer to the client, once the host has taken the stream with these headers.
    ///
    /// # Errors
    /// 500 if the host chose a protocol that was not offered.
    pub fn accept(&self, of_host: &HeaderMap) -> Result<Response<Body>, Status> {
        let mut response = Response::new(respond::full(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let value = HeaderValue::from_str(&accept_key(&self.key))
            .map_err(|error| Status::internal(error.to_string()))?;
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
        if let Some(chosen) = of_host.get(header::SEC_WEBSOCKET_PROTOCOL) {
            let offered = self
                .protocols
                .iter()
                .any(|protocol| protocol.as_bytes() == chosen.as_bytes());
            if !offered {
                return Err(Status::new(
                    Reason::InternalError,
                    "the host chose a WebSocket protocol that was not offered",
                ));
            }
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen.clone());
        }
        Ok(response)
    }
}

/// The proof that the server has read the key.
fn accept_key(key: &str) -> String {
    // SHA-1 is what the protocol says; nothing's safety rests on it.
    let digest = ring::digest::digest(
        &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{SUFFIX}").as_bytes(),
    );
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// The tokens of a header that is a list, over all its lines.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn websocket(protocols: &str) -> HeaderMap {
        headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocols),
        ])
    }

    fn open(headers: &HeaderMap) -> WebSocket {
        match Opening::read(&Method::GET, headers).unwrap() {
            Opening::WebSocket(opening) => opening,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_specifications_own_example_is_answered_as_it_says() {
        let opening = open(&websocket("chat"));
        let chosen = headers(&[("sec-websocket-protocol", "chat")]);
        let answer = opening.accept(&chosen).unwrap();
        assert_eq!(answer.status(), 101);
        assert_eq!(
            answer.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    }

    #[test]
    fn a_token_among_the_protocols_reaches_nobody() {
        let token = format!("{TOKEN}c2VjcmV0");
        let opening = open(&websocket(&format!("{token}, v5.channel.k8s.io")));
        assert_eq!(opening.offered().unwrap(), "v5.channel.k8s.io");
        let chosen = headers(&[("sec-websocket-protocol", token.as_str())]);
        assert!(opening.accept(&chosen).is_err());
    }

    #[test]
    fn other_openings_are_told_apart() {
        let read =
            |pairs: &[(&'static str, &str)]| Opening::read(&Method::POST, &headers(pairs)).unwrap();
        assert_eq!(read(&[]), Opening::Plain);
        assert_eq!(
            read(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]),
            Opening::Spdy
        );
        assert_eq!(
            read(&[("connection", "upgrade"), ("upgrade", "h2c")]),
            Opening::Other
        );
        assert_eq!(read(&[("upgrade", "websocket")]), Opening::Plain);
    }

    #[test]
    fn a_wrong_opening_is_refused() {
        let mut old = websocket("");
        old.insert("sec-websocket-version", "8".parse().unwrap());
        assert!(Opening::read(&Method::GET, &old).is_err());
        for key in ["", "short", "not base64 at all, surely"] {
            let mut headers = websocket("");
            headers.insert("sec-websocket-key", key.parse().unwrap());
            assert!(Opening::read(&Method::GET, &headers).is_err(), "{key}");
        }
        assert!(Opening::read(&Method::POST, &websocket("")).is_err());
    }
}
