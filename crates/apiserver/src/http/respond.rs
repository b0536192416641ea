//! Building responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use mosaic_api::Status;
use serde_json::Value;

use super::accept::{Accept, Encoding};

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off. Only bodies that come from elsewhere do.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A response with bytes of a media type.
pub fn bytes(code: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// Plain text.
pub fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", body)
}

/// An object that is JSON already, in the encoding that the client asked for.
pub fn json_bytes(code: StatusCode, accept: Accept, json: Bytes) -> Response<Body> {
    match accept.encoding {
        Encoding::Json => bytes(code, "application/json", json),
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&json).unwrap_or_default();
            match serde_saphyr::to_string(&value) {
                Ok(yaml) => bytes(code, "application/yaml", yaml),
                Err(error) => status(&Status::internal(error.to_string())),
            }
        }
    }
}

/// An object, in the encoding that the client asked for.
pub fn json(code: StatusCode, accept: Accept, value: &Value) -> Response<Body> {
    json_bytes(code, accept, Bytes::from(value.to_string()))
}

/// A failure.
pub fn status(status: &Status) -> Response<Body> {
    let mut response = bytes(
        status.reason.code(),
        "application/json",
        status.to_object().to_string(),
    );
    if status.retry_after_seconds > 0 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, status.retry_after_seconds.into());
    }
    if status.reason == mosaic_api::Reason::Unauthorized {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"mosaic\""),
        );
    }
    response
}

/// Adds `Warning` headers (RFC 7234, section 5.5), which kubectl shows to its user.
pub fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings.iter().take(20) {
        let mut text: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .take(512)
            .collect();
        text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}
