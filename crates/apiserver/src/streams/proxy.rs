//! HTTP to what pods and services serve, by way of the pod's host.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use mosaic_api::{Reason, Status};
use percent_encoding::percent_decode_str;
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::{POD_UID, connect, handshake::Opening, relay, wire::RequestBody};
use crate::{
    app::App,
    http::respond::{self, Body},
    verbs::Call,
};

/// Headers that are about one connection (RFC 9110, section 7.6.1), or for the API server alone.
const NOT_PASSED: &[&str] = &[
    "authorization",
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-uri",
];
/// Whatever starts with these is for the API server, or for the host's agent.
const NOT_PASSED_PREFIXES: &[&str] = &["impersonate-", "mosaic-", "x-remote-"];

/// What a name such as `https:web:443` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target<'a> {
    scheme: &'static str,
    name: &'a str,
    /// A number, or the name of a service's port; empty for the default.
    port: &'a str,
}

impl<'a> Target<'a> {
    /// Reads `name`, `name:port` or `scheme:name:port`.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        let (scheme, name, port) = match (second, third) {
            (None, _) => ("http", first, ""),
            (Some(port), None) => ("http", first, port),
            (Some(name), Some(port)) => match first {
                "" | "http" => ("http", name, port),
                "https" => ("https", name, port),
                _ => return None,
            },
        };
        let good = parts.next().is_none() && !name.is_empty();
        good.then_some(Self { scheme, name, port })
    }
}

/// A pod and its port.
struct Backend {
    pod: String,
    uid: String,
    host: String,
    port: u16,
}

/// Passes a request on to a pod or a service.
///
/// # Errors
/// 400 for names and ports that are none, 404 for what is not there, 503 for what cannot be reached.
pub async fn answer(app: &Arc<App>, call: &Call) -> Result<Response<Body>, Status> {
    let Some(target) = Target::read(&call.path.name) else {
        return Err(Status::bad_request(format!(
            "invalid {} request {:?}",
            call.kind.singular, call.path.name
        )));
    };
    let uri = call.wire.uri();
    let rest = rest(uri.path());
    if rest.is_empty() && matches!(call.method, Method::GET | Method::HEAD) {
        // Without it, relative links of the answer would lead elsewhere.
        return redirect(&uri);
    }
    if has_dots(rest) {
        return Err(Status::bad_request("the path must not have . or .. in it"));
    }
    app.cache
        .fresh()
        .await
        .map_err(|error| crate::error::from_store(&error))?;
    let what = format!("{} {:?}", call.kind.singular, target.name);
    let backend = if &*call.kind.kind == "Service" {
        of_service(app, call, target)?
    } else {
        of_pod(app, call, target)?
    };
    let host = super::reached(app, &backend.host, &what)?;
    let opening = Opening::read(&call.method, &call.headers)?;
    let mut request = request(call, target.scheme, &backend, rest, &uri)?;
    match opening {
        Opening::Plain => {}
        Opening::WebSocket(websocket) => {
            *request.method_mut() = Method::CONNECT;
            let call_headers = request.headers_mut();
            call_headers.remove(header::CONTENT_LENGTH);
            *request.body_mut() = super::wire::empty();
            return connect(call, &host, websocket, request, None).await;
        }
        Opening::Spdy | Opening::Other => return Err(opening.refusal()),
    }
    *request.body_mut() = call.wire.take_body();
    // Some answers are long in coming; that the host is there at all is the tunnel's own care.
    let (response, permit) = host.send(request, None).await?;
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(relay::body(body, permit));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = passed(&parts.headers);
    if let Some(location) = moved(call, &parts.headers) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// The request as the host's agent gets it.
fn request(
    call: &Call,
    scheme: &str,
    backend: &Backend,
    rest: &str,
    uri: &Uri,
) -> Result<Request<RequestBody>, Status> {
    let query = uri.query().map(|query| format!("?{query}"));
    let to = format!(
        "http://{}/podProxy/{}/{}/{scheme}/{}{rest}{}",
        backend.host,
        call.path.namespace,
        backend.pod,
        backend.port,
        query.unwrap_or_default()
    );
    let mut request = Request::new(super::wire::empty());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = to
        .parse()
        .map_err(|error| Status::bad_request(format!("the path cannot be passed on: {error}")))?;
    let headers = request.headers_mut();
    *headers = passed(&call.headers);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(POD_UID, &backend.uid);
    set("x-forwarded-proto", "https");
    set("x-forwarded-uri", uri.path());
    if let Some(host) = call.headers.get(header::HOST) {
        set("x-forwarded-host", host.to_str().unwrap_or_default());
    }
    Ok(request)
}

/// The headers that go from one side to the other.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        let text = name.as_str();
        let stays = NOT_PASSED.contains(&text)
            || NOT_PASSED_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix))
            || named.contains(name);
        if !stays {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Where a redirect of the backend leads when seen from outside.
fn moved(call: &Call, headers: &HeaderMap) -> Option<HeaderValue> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    if !location.starts_with('/') || location.starts_with("//") {
        return None;
    }
    let path = &call.path;
    let outside = format!(
        "/api/{}/namespaces/{}/{}/{}/proxy{location}",
        path.version, path.namespace, path.plural, path.name
    );
    HeaderValue::from_str(&outside).ok()
}

fn redirect(uri: &Uri) -> Result<Response<Body>, Status> {
    let query = uri.query().map(|query| format!("?{query}"));
    let to = format!("{}/{}", uri.path(), query.unwrap_or_default());
    let value =
        HeaderValue::from_str(&to).map_err(|error| Status::bad_request(error.to_string()))?;
    let mut response = respond::text(StatusCode::MOVED_PERMANENTLY, "");
    response.headers_mut().insert(header::LOCATION, value);
    Ok(response)
}

/// What follows `/api/v1/namespaces/NS/KIND/NAME/proxy` in a path as it came.
fn rest(raw: &str) -> &str {
    let mut left = raw;
    for _ in 0..7 {
        let start = left.trim_start_matches('/');
        left = start
            .find('/')
            .and_then(|end| start.get(end..))
            .unwrap_or_default();
    }
    left
}

/// Whether a path, or what an agent might decode it to, leaves where it seems to be.
fn has_dots(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded
        .split(['/', '\\'])
        .any(|part| matches!(part, "." | ".."))
}

/// A pod's own port.
fn of_pod(app: &App, call: &Call, target: Target<'_>) -> Result<Backend, Status> {
    let namespace = &call.path.namespace;
    let pod = app
        .object("", "Pod", namespace, target.name)
        .ok_or_else(|| Status::not_found("", "pods", target.name))?;
    let port = match target.port {
        "" => first_port(&pod).unwrap_or(if target.scheme == "https" { 443 } else { 80 }),
        text => text.parse().map_err(|_| {
            Status::bad_request(format!(
                "{text:?} is not a port; one is a number from 1 to 65535"
            ))
        })?,
    };
    backend(&pod, port)
}

/// The port that a pod's containers name first.
fn first_port(pod: &Value) -> Option<u16> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    containers
        .iter()
        .find_map(|container| container.pointer("/ports/0/containerPort")?.as_u64())
        .and_then(|port| u16::try_from(port).ok())
}

fn backend(pod: &Value, port: u16) -> Result<Backend, Status> {
    let text = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let backend = Backend {
        pod: text("/metadata/name"),
        uid: text("/metadata/uid"),
        host: text("/spec/nodeName"),
        port,
    };
    if backend.host.is_empty() {
        return Err(Status::bad_request(format!(
            "pod {} does not have a host assigned",
            backend.pod
        )));
    }
    Ok(backend)
}

/// One of the pods behind a service's port: of those that are ready, one whose host is connected.
fn of_service(app: &App, call: &Call, target: Target<'_>) -> Result<Backend, Status> {
    let namespace = &call.path.namespace;
    let service = app
        .object("", "Service", namespace, target.name)
        .ok_or_else(|| Status::not_found("", "services", target.name))?;
    let port = port_name(&service, target)?;
    let slices = app.objects("discovery.k8s.io", "EndpointSlice", namespace);
    let pods: Vec<Backend> = slices
        .iter()
        .filter(|slice| {
            slice.pointer("/metadata/labels/kubernetes.io~1service-name")
                == Some(&Value::from(target.name))
        })
        .flat_map(|slice| ready_pods(slice, &port))
        .filter_map(|(pod, port)| {
            let pod = app.object("", "Pod", namespace, &pod)?;
            backend(&pod, port).ok()
        })
        .collect();
    let (connected, others): (Vec<_>, Vec<_>) = pods
        .into_iter()
        .partition(|backend| app.streams.is_connected(&backend.host));
    let candidates = if connected.is_empty() {
        others
    } else {
        connected
    };
    let count = candidates.len();
    let chosen = (0..count)
        .collect::<Vec<_>>()
        .choose(&mut rand::rng())
        .copied();
    chosen
        .and_then(|index| candidates.into_iter().nth(index))
        .ok_or_else(|| {
            Status::new(
                Reason::ServiceUnavailable,
                format!("no endpoints available for service {:?}", target.name),
            )
        })
}

/// The name of the service's port that is meant; empty for one without a name.
fn port_name(service: &Value, target: Target<'_>) -> Result<String, Status> {
    let Ok(number) = target.port.parse::<u64>() else {
        return Ok(target.port.to_owned());
    };
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let found = ports
        .into_iter()
        .flatten()
        .find(|port| port.get("port").and_then(Value::as_u64) == Some(number));
    match found {
        Some(port) => Ok(port
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()),
        None => Err(Status::new(
            Reason::ServiceUnavailable,
            format!(
                "no service port {number} found for service {:?}",
                target.name
            ),
        )),
    }
}

/// The pods of a slice that are ready, with the port of this name.
fn ready_pods(slice: &Value, port: &str) -> Vec<(String, u16)> {
    let list = |key: &str| slice.get(key).and_then(Value::as_array);
    let number = list("ports")
        .into_iter()
        .flatten()
        .find(|entry| {
            entry
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                == port
        })
        .and_then(|entry| entry.get("port")?.as_u64())
        .and_then(|number| u16::try_from(number).ok());
    let Some(number) = number else {
        return Vec::new();
    };
    list("endpoints")
        .into_iter()
        .flatten()
        .filter(|endpoint| {
            endpoint
                .pointer("/conditions/ready")
                .is_none_or(|ready| ready != false)
        })
        .filter(|endpoint| endpoint.pointer("/targetRef/kind") == Some(&Value::from("Pod")))
        .filter_map(|endpoint| endpoint.pointer("/targetRef/name")?.as_str())
        .map(|pod| (pod.to_owned(), number))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_say_scheme_and_port() {
        let read = |text| Target::read(text).map(|t| (t.scheme, t.name, t.port));
        assert_eq!(read("web"), Some(("http", "web", "")));
        assert_eq!(read("web:80"), Some(("http", "web", "80")));
        assert_eq!(read("https:web:"), Some(("https", "web", "")));
        assert_eq!(read("https:web:api"), Some(("https", "web", "api")));
        for wrong in ["", ":80", "ftp:web:21", "http:web:80:1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_rest_of_a_path_keeps_its_spelling() {
        let base = "/api/v1/namespaces/a/pods/web/proxy";
        for rest_of in ["", "/", "/x//y/", "/a%2Fb"] {
            assert_eq!(rest(&format!("{base}{rest_of}")), rest_of);
        }
        assert_eq!(rest("/api/v1"), "");
        for bad in ["/..", "/a/../b", "/%2e%2E/x", "/a/.", "/a%2f..%2fb"] {
            assert!(has_dots(bad), "{bad}");
        }
        assert!(!has_dots("/a..b/...x"));
    }

    #[test]
    fn credentials_and_hops_are_not_passed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("impersonate-user", "root"),
            ("mosaic-pod-uid", "forged"),
            ("cookie", "a=b"),
            ("x-own", "kept"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let kept = passed(&headers);
        let names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["cookie", "x-own"]);
    }

    #[test]
    fn a_services_port_leads_to_ready_pods() {
        let service = json!({"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}});
        let name = |text| port_name(&service, Target::read(text).unwrap()).map_err(|s| s.message);
        assert_eq!(name("web:81").unwrap(), "admin");
        assert_eq!(name("web:http").unwrap(), "http");
        assert_eq!(
            name("web:9").unwrap_err(),
            "no service port 9 found for service \"web\""
        );
        let slice = json!({
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"targetRef": {"kind": "Pod", "name": "a"}},
                {"targetRef": {"kind": "Pod", "name": "b"}, "conditions": {"ready": false}},
                {"addresses": ["10.0.0.1"]},
            ],
        });
        assert_eq!(ready_pods(&slice, "http"), [("a".to_owned(), 8080)]);
        assert!(ready_pods(&slice, "admin").is_empty());
    }
}
