//! What is asked of a host: from the query and the pod to the path on the host's agent.
//!
//! Parameters and refusals are Kubernetes'; the agent's paths and parameters are the kubelet's.

use jiff::Timestamp;
use mosaic_api::Status;
use mosaic_schema::FieldError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::http::path::ResourcePath;

/// The annotation that names the container to take when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// What may stand in a parameter as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request to a host about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The host; empty if the pod is on none.
    pub host: String,
    /// The pod's uid.
    pub uid: String,
    /// What runs there, for people.
    pub what: String,
    /// What is asked.
    pub path_and_query: String,
}

/// Parameters, decoded, in order.
type Parameters = [(String, String)];

/// The log of a container.
///
/// # Errors
/// 400 for values of a wrong type and containers that are not there, 422 for values that make no sense.
pub fn log(path: &ResourcePath, pod: &Value, parameters: &Parameters) -> Result<Ask, Status> {
    let options = LogOptions::read(parameters)?;
    options.check(&path.name)?;
    let container = container(pod, &path.name, first(parameters, "container"))?;
    let mut query = Builder::default();
    for (key, on) in [
        ("follow", options.follow),
        ("previous", options.previous),
        ("timestamps", options.timestamps),
    ] {
        if on {
            query.add(key, "true");
        }
    }
    for (key, number) in [
        ("sinceSeconds", options.since_seconds),
        ("tailLines", options.tail_lines),
        ("limitBytes", options.limit_bytes),
    ] {
        if let Some(number) = number {
            query.add(key, &number.to_string());
        }
    }
    for (key, text) in [
        ("sinceTime", options.since_time),
        ("stream", options.stream),
    ] {
        if let Some(text) = text {
            query.add(key, text);
        }
    }
    let route = format!(
        "/containerLogs/{}/{}/{container}",
        path.namespace, path.name
    );
    Ok(ask(path, pod, query.after(route)))
}

/// A command, an attachment, or ports.
///
/// # Errors
/// 400 for what cannot be.
pub fn session(path: &ResourcePath, pod: &Value, parameters: &Parameters) -> Result<Ask, Status> {
    let mut query = Builder::default();
    let of_pod = format!("{}/{}", path.namespace, path.name);
    if path.subresource == "portforward" {
        for ports in all(parameters, "ports") {
            for port in ports.split(',') {
                let valid = port.parse::<u16>().is_ok_and(|port| port > 0);
                if !valid {
                    return Err(Status::bad_request(format!(
                        "ports: {port:?} is not a port; one is a number from 1 to 65535"
                    )));
                }
                query.add("port", port);
            }
        }
        return Ok(ask(
            path,
            pod,
            query.after(format!("/portForward/{of_pod}")),
        ));
    }
    let container = container(pod, &path.name, first(parameters, "container"))?;
    let is_set = |key| first(parameters, key).is_some_and(flag);
    let (input, output, tty) = (is_set("stdin"), is_set("stdout"), is_set("tty"));
    // A terminal has one output.
    let error = is_set("stderr") && !tty;
    if !(input || output || error) {
        return Err(Status::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    if path.subresource == "exec" {
        if all(parameters, "command").next().is_none() {
            return Err(Status::bad_request(
                "you must specify at least one command for the container",
            ));
        }
        for word in all(parameters, "command") {
            query.add("command", word);
        }
    }
    for (key, on) in [
        ("input", input),
        ("output", output),
        ("error", error),
        ("tty", tty),
    ] {
        if on {
            query.add(key, "1");
        }
    }
    let route = format!("/{}/{of_pod}/{container}", path.subresource);
    Ok(ask(path, pod, query.after(route)))
}

fn ask(path: &ResourcePath, pod: &Value, path_and_query: String) -> Ask {
    Ask {
        host: text(pod, "/spec/nodeName").to_owned(),
        uid: text(pod, "/metadata/uid").to_owned(),
        what: format!("pod {:?}", path.name),
        path_and_query,
    }
}

/// The container that a request is about.
fn container<'a>(pod: &'a Value, name: &str, asked: Option<&str>) -> Result<&'a str, Status> {
    let names = |list: &str| -> Vec<&'a str> {
        pod.pointer(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|container| container.get("name").and_then(Value::as_str))
            .collect()
    };
    let containers = names("/spec/containers");
    let init = names("/spec/initContainers");
    let ephemeral = names("/spec/ephemeralContainers");
    let find = |wanted: &str| {
        let mut known = containers.iter().chain(&init).chain(&ephemeral);
        known.find(|known| **known == wanted).copied()
    };
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return find(asked).ok_or_else(|| {
            Status::bad_request(format!("container {asked} is not valid for pod {name}"))
        });
    }
    let default = pod
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(DEFAULT_CONTAINER))
        .and_then(Value::as_str)
        .and_then(find);
    if let Some(default) = default {
        return Ok(default);
    }
    if let [only] = containers.as_slice() {
        return Ok(only);
    }
    let mut message = format!(
        "a container name must be specified for pod {name}, choose one of: [{}]",
        containers.join(" ")
    );
    for (kind, names) in [("init", init), ("ephemeral", ephemeral)] {
        if !names.is_empty() {
            message.push_str(&format!(
                " or one of the {kind} containers: [{}]",
                names.join(" ")
            ));
        }
    }
    Err(Status::bad_request(message))
}

/// The parameters of a log.
#[derive(Debug)]
struct LogOptions<'a> {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<&'a str>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<&'a str>,
}

impl<'a> LogOptions<'a> {
    fn read(parameters: &'a Parameters) -> Result<Self, Status> {
        let is_set = |key| first(parameters, key).is_some_and(flag);
        let number = |key| match first(parameters, key) {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<i64>().map(Some).map_err(|_| {
                Status::bad_request(format!("{key}: {text:?} is not a whole number in range"))
            }),
        };
        let since_time = first(parameters, "sinceTime").filter(|text| !text.is_empty());
        if let Some(text) = since_time
            && text.parse::<Timestamp>().is_err()
        {
            return Err(Status::bad_request(format!(
                "sinceTime: {text:?} is not a time such as 2006-01-02T15:04:05Z"
            )));
        }
        Ok(Self {
            follow: is_set("follow"),
            previous: is_set("previous"),
            timestamps: is_set("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time,
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
            stream: first(parameters, "stream").filter(|text| !text.is_empty()),
        })
    }

    fn check(&self, pod: &str) -> Result<(), Status> {
        let mut errors = Vec::new();
        if let Some(lines) = self.tail_lines.filter(|lines| *lines < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid("tailLines", lines, why));
        }
        if let Some(bytes) = self.limit_bytes.filter(|bytes| *bytes < 1) {
            errors.push(FieldError::invalid(
                "limitBytes",
                bytes,
                "must be greater than 0",
            ));
        }
        match (self.since_seconds, self.since_time) {
            (Some(_), Some(_)) => errors.push(FieldError::forbidden(
                "",
                "at most one of `sinceTime` or `sinceSeconds` may be specified",
            )),
            (Some(seconds), None) if seconds < 1 => {
                let why = "must be greater than 0";
                errors.push(FieldError::invalid("sinceSeconds", seconds, why));
            }
            _ => {}
        }
        match self.stream {
            None | Some("All") => {}
            Some("Stdout" | "Stderr") if self.tail_lines.is_none() => {}
            Some("Stdout" | "Stderr") => errors.push(FieldError::forbidden(
                "",
                "`tailLines` and specific `stream` are mutually exclusive for now",
            )),
            Some(other) => errors.push(FieldError::not_supported(
                "stream",
                other,
                &["All", "Stderr", "Stdout"],
            )),
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Status::invalid("", "PodLogOptions", pod, &errors))
        }
    }
}

/// A query, percent-encoded.
#[derive(Debug, Default)]
struct Builder(String);

impl Builder {
    fn add(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, PLAIN));
    }

    fn after(self, mut path: String) -> String {
        path.push_str(&self.0);
        path
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn all<'a>(parameters: &'a Parameters, key: &'static str) -> impl Iterator<Item = &'a str> {
    parameters
        .iter()
        .filter(move |(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

/// Where a parameter that stands once is given several times, the first counts, as in Kubernetes.
fn first<'a>(parameters: &'a Parameters, key: &'static str) -> Option<&'a str> {
    all(parameters, key).next()
}

/// A parameter that is there is on, unless it says otherwise.
fn flag(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::query::Query;

    fn path(subresource: &str) -> ResourcePath {
        ResourcePath {
            namespace: "shop".to_owned(),
            plural: "pods".to_owned(),
            name: "web".to_owned(),
            subresource: subresource.to_owned(),
            ..ResourcePath::default()
        }
    }

    fn pod(containers: &[&str]) -> Value {
        let containers: Vec<_> = containers
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"nodeName": "n1", "containers": containers}})
    }

    fn ask(subresource: &str, pod: &Value, query: &str) -> Result<Ask, String> {
        let query = Query::parse(query).unwrap();
        let path = path(subresource);
        match subresource {
            "log" => log(&path, pod, &query.others),
            _ => session(&path, pod, &query.others),
        }
        .map_err(|status| status.message)
    }

    fn asked(subresource: &str, query: &str) -> Result<String, String> {
        ask(subresource, &pod(&["a"]), query).map(|ask| ask.path_and_query)
    }

    #[test]
    fn a_container_is_chosen_as_kubernetes_does() {
        let mut two = pod(&["a", "b"]);
        assert_eq!(
            ask("log", &two, "").unwrap_err(),
            "a container name must be specified for pod web, choose one of: [a b]"
        );
        two["spec"]["initContainers"] = json!([{"name": "i"}]);
        assert_eq!(
            ask("log", &two, "").unwrap_err(),
            "a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]"
        );
        assert_eq!(
            ask("log", &two, "container=c").unwrap_err(),
            "container c is not valid for pod web"
        );
        for name in ["a", "b", "i"] {
            let ask = ask("log", &two, &format!("container={name}")).unwrap();
            assert_eq!(
                ask.path_and_query,
                format!("/containerLogs/shop/web/{name}")
            );
        }
        two["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "b"});
        assert_eq!(
            ask("log", &two, "").unwrap().path_and_query,
            "/containerLogs/shop/web/b"
        );
    }

    #[test]
    fn a_logs_parameters_go_to_the_host() {
        let query = "follow&previous=true&timestamps=0&tailLines=5&limitBytes=7&sinceTime=2026-01-01T00:00:00Z";
        assert_eq!(
            asked("log", query).unwrap(),
            "/containerLogs/shop/web/a?follow=true&previous=true&tailLines=5&limitBytes=7&sinceTime=2026-01-01T00%3A00%3A00Z"
        );
        for wrong in [
            "tailLines=x",
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceTime=noon",
            "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            "stream=Both",
            "stream=Stdout&tailLines=1",
        ] {
            assert!(asked("log", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_commands_words_arrive_as_they_were_given() {
        assert_eq!(
            asked(
                "exec",
                "command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=true&stderr=true"
            )
            .unwrap(),
            "/exec/shop/web/a?command=sh&command=-c&command=echo%20a%26b&input=1&output=1&error=1"
        );
        assert_eq!(
            asked("attach", "stdout=1&stderr=1&tty=1").unwrap(),
            "/attach/shop/web/a?output=1&tty=1"
        );
        assert!(asked("exec", "stdout=1").unwrap_err().contains("command"));
        assert!(asked("exec", "command=ls").unwrap_err().contains("stdout"));
        assert_eq!(
            asked("portforward", "ports=80,81&ports=82").unwrap(),
            "/portForward/shop/web?port=80&port=81&port=82"
        );
        assert!(asked("portforward", "ports=0").is_err());
    }

    proptest! {
        #[test]
        fn no_word_becomes_another_parameter(words in proptest::collection::vec(".*", 1..5)) {
            let mut parameters: Vec<_> =
                words.iter().map(|word| ("command".to_owned(), word.clone())).collect();
            parameters.push(("stdout".to_owned(), "1".to_owned()));
            let ask = session(&path("exec"), &pod(&["a"]), &parameters).unwrap();
            let (_, query) = ask.path_and_query.split_once('?').unwrap();
            let read: Vec<(String, String)> = query
                .split('&')
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap();
                    let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
                    (key.to_owned(), value.into_owned())
                })
                .collect();
            let mut wanted: Vec<_> = parameters[..words.len()].to_vec();
            wanted.push(("output".to_owned(), "1".to_owned()));
            prop_assert_eq!(read, wanted);
        }
    }
}
