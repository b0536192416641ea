//! Requests as they come from a listener, before it is known who sends them.

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::registry::Registry;
use crate::server::{Body, Nobody, RequestBody};

/// Answers one request: looks at who sends it, and gives tokens.
pub async fn answer<B: RequestBody>(registry: &Registry, request: Request<B>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    // What the token endpoint gave to somebody who did not say who they are.
    if bearer(&head) == Some(ANONYMOUS) {
        head.headers.remove(header::AUTHORIZATION);
        head.extensions.insert(Nobody);
    }
    let who = match registry.0.access.authenticate(&head) {
        Ok(who) => who,
        Err(reason) => return registry.refuse(&head, &reason),
    };
    if head.uri.path() == TOKENS && head.method == Method::GET {
        return token(&head);
    }
    registry.handle(Request::from_parts(head, body), &who).await
}

/// Where clients get tokens: with user and password, or without them for what everybody may pull. Docker's client does
/// not pull without a password from a registry that asks for one, so anonymous pulls need this.
pub(crate) const TOKENS: &str = "/token";
/// The token of those who did not say who they are.
const ANONYMOUS: &str = "anonymous";

fn bearer(head: &Parts) -> Option<&str> {
    let value = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Docker's token protocol, for those whose password is a token already: they get it back. The credentials have been
/// looked at, and are again with each request.
fn token(head: &Parts) -> Response<Body> {
    use base64::Engine;
    let value = head.headers.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let basic = value.and_then(|value| value.split_once(' '));
    let basic = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = basic.and_then(|(_, text)| {
        let engine = base64::engine::general_purpose::STANDARD;
        String::from_utf8(engine.decode(text.trim()).ok()?).ok()
    });
    let password = decoded
        .as_ref()
        .and_then(|pair| pair.split_once(':'))
        .map(|(_, password)| password);
    let token = password.or_else(|| bearer(head)).unwrap_or(ANONYMOUS);
    let body = serde_json::json!({ "token": token, "access_token": token, "expires_in": 300 });
    let mut response = crate::server::answer(StatusCode::OK, crate::server::full(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
