//! What a host says went wrong, as `Status`.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use mosaic_api::{Reason, Status};
use serde_json::Value;

/// How much of a host's explanation is read, in bytes.
const MAX_BODY: usize = 64 << 10;
/// How much of it is passed on, in characters.
const MAX_MESSAGE: usize = 4_096;
/// How long a host has for its explanation.
const PATIENCE: Duration = Duration::from_secs(10);

/// The failure that a host answered with.
pub async fn status(host: &str, response: Response<Incoming>) -> Status {
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect();
    let bytes = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    explain(host, code, &bytes)
}

fn explain(host: &str, code: StatusCode, body: &[u8]) -> Status {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = if object.get("kind").is_some_and(|kind| kind == "Status") {
        object
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    } else {
        String::from_utf8_lossy(body).trim().to_owned()
    };
    let message: String = text
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .take(MAX_MESSAGE)
        .collect();
    if message.is_empty() {
        return Status::new(
            reason(code),
            format!("host {host:?} refused with {code} and gave no reason"),
        );
    }
    Status::new(reason(code), message)
}

/// The reason that stands for a code.
fn reason(code: StatusCode) -> Reason {
    match code.as_u16() {
        404 => Reason::NotFound,
        403 => Reason::Forbidden,
        409 => Reason::Conflict,
        410 => Reason::Expired,
        413 => Reason::RequestEntityTooLarge,
        429 => Reason::TooManyRequests,
        503 => Reason::ServiceUnavailable,
        504 => Reason::Timeout,
        // A client has shown its credential already: 401 from a host is not about it.
        400 | 402 | 405..=499 => Reason::BadRequest,
        _ => Reason::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_words_reach_the_client() {
        let explain = |code: u16, body: &str| {
            let code = StatusCode::from_u16(code).unwrap_or_default();
            let status = explain("n1", code, body.as_bytes());
            (status.reason, status.message)
        };
        assert_eq!(
            explain(
                400,
                r#"{"kind":"Status","message":"container a is waiting to start"}"#
            ),
            (
                Reason::BadRequest,
                "container a is waiting to start".to_owned()
            )
        );
        assert_eq!(
            explain(404, "no such container\n"),
            (Reason::NotFound, "no such container".to_owned())
        );
        assert_eq!(explain(401, "x").0, Reason::InternalError);
        assert_eq!(
            explain(500, "").1,
            "host \"n1\" refused with 500 Internal Server Error and gave no reason"
        );
    }
}
