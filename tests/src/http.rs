//! Plain HTTP requests to a server, one line each in a test.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::StreamExt;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::wait::deadline;

/// The runtime that the clients of all tests run on.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// Which kind of patch a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902
    Json,
    /// RFC 7386
    Merge,
    /// Kubernetes' strategic merge patch
    Strategic,
    /// Server-side apply
    Apply,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// A server's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was asked, for messages.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If the status is not a good one.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self}");
        self.json()
    }

    /// The `Status` object, once it is seen to carry this code and reason.
    ///
    /// # Panics
    /// If it is something else.
    #[track_caller]
    pub fn fails(&self, code: u16, reason: &str) -> Value {
        assert!(self.status == code, "not {code}: {self}");
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{self}");
        assert_eq!(status["apiVersion"], "v1", "{self}");
        assert_eq!(status["status"], "Failure", "{self}");
        assert_eq!(status["code"], code, "{self}");
        assert_eq!(status["reason"], reason, "{self}");
        assert!(
            status["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self}"
        );
        status
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(2000).collect();
        write!(f, "{} → {}\n{text}", self.request, self.status)
    }
}

/// A client of one server, with one credential.
#[derive(Clone)]
pub struct Http {
    config: Config,
    client: kube::Client,
}

impl Http {
    /// A client as a kubeconfig says.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn from_kubeconfig(path: &Path) -> Self {
        Self::try_from_kubeconfig(path)
            .unwrap_or_else(|error| panic!("{}: {error:#}", path.display()))
    }

    /// A client as a kubeconfig says.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn try_from_kubeconfig(path: &Path) -> anyhow::Result<Self> {
        let kubeconfig = Kubeconfig::read_from(path)?;
        let options = KubeConfigOptions::default();
        let mut config =
            runtime().block_on(Config::from_custom_kubeconfig(kubeconfig, &options))?;
        config.default_retry = false;
        Self::new(config)
    }

    fn new(config: Config) -> anyhow::Result<Self> {
        let _context = runtime().enter();
        let client = kube::Client::try_from(config.clone())?;
        Ok(Self { config, client })
    }

    /// The same server, without a credential.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        self.with_auth(AuthInfo::default())
    }

    /// The same server, with this bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with_auth(AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        })
    }

    /// The same server, with the rights of this user.
    #[must_use]
    pub fn impersonate(&self, user: &str) -> Self {
        self.with_auth(AuthInfo {
            impersonate: Some(user.to_owned()),
            ..self.config.auth_info.clone()
        })
    }

    /// The same server, with the rights of this user in these groups.
    #[must_use]
    pub fn impersonate_in(&self, user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.with_auth(AuthInfo {
            impersonate: Some(user.to_owned()),
            impersonate_groups: Some(groups),
            ..self.config.auth_info.clone()
        })
    }

    /// The same server, with this client certificate and its key, both in PEM.
    #[must_use]
    pub fn with_certificate(&self, certificate: &str, key: &str) -> Self {
        let encode = |text: &str| BASE64.encode(text);
        self.with_auth(AuthInfo {
            client_certificate_data: Some(encode(certificate)),
            client_key_data: Some(encode(key).into()),
            ..AuthInfo::default()
        })
    }

    /// Another server, with the same credential.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        let mut config = self.config.clone();
        config.cluster_url = url.parse().expect("an address");
        Self::new(config).expect("a client")
    }

    fn with_auth(&self, auth_info: AuthInfo) -> Self {
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        Self::new(config).expect("a client")
    }

    /// The client for kube's own APIs.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Any request at all.
    ///
    /// # Errors
    /// If no answer came.
    pub fn try_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let name = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path);
        for (key, value) in headers {
            request = request.header(*key, value.as_bytes());
        }
        let request = request.body(Body::from(body))?;
        let exchange = async {
            let response = self.client.send(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            anyhow::Ok(Answer {
                request: name.clone(),
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        runtime()
            .block_on(async { tokio::time::timeout(deadline(), exchange).await })
            .context("no answer in time")?
            .with_context(|| name.clone())
    }

    /// Any request at all.
    ///
    /// # Panics
    /// If no answer came.
    #[track_caller]
    pub fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// GET
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], Vec::new())
    }

    /// GET
    ///
    /// # Errors
    /// If no answer came.
    pub fn try_get(&self, path: &str) -> anyhow::Result<Answer> {
        self.try_request(Method::GET, path, &[], Vec::new())
    }

    /// GET, with the answer as a table.
    #[track_caller]
    pub fn table(&self, path: &str) -> Value {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        self.request(Method::GET, path, &[("accept", accept)], Vec::new())
            .ok()
    }

    /// POST of an object.
    #[track_caller]
    pub fn post(&self, path: &str, object: &Value) -> Answer {
        self.with_body(Method::POST, path, object)
    }

    /// POST of an object.
    ///
    /// # Errors
    /// If no answer came.
    pub fn try_post(&self, path: &str, object: &Value) -> anyhow::Result<Answer> {
        let headers = [(header::CONTENT_TYPE.as_str(), "application/json")];
        self.try_request(
            Method::POST,
            path,
            &headers,
            object.to_string().into_bytes(),
        )
    }

    /// PUT of an object.
    #[track_caller]
    pub fn put(&self, path: &str, object: &Value) -> Answer {
        self.with_body(Method::PUT, path, object)
    }

    /// DELETE
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, &[], Vec::new())
    }

    /// DELETE with options.
    #[track_caller]
    pub fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.with_body(Method::DELETE, path, options)
    }

    /// PATCH
    #[track_caller]
    pub fn patch(&self, kind: PatchKind, path: &str, patch: &Value) -> Answer {
        let headers = [(header::CONTENT_TYPE.as_str(), kind.content_type())];
        self.request(
            Method::PATCH,
            path,
            &headers,
            patch.to_string().into_bytes(),
        )
    }

    #[track_caller]
    fn with_body(&self, method: Method, path: &str, object: &Value) -> Answer {
        let headers = [(header::CONTENT_TYPE.as_str(), "application/json")];
        self.request(method, path, &headers, object.to_string().into_bytes())
    }

    /// Opens a watch; `path` has `watch=true` and the other parameters in it.
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn watch(&self, path: &str) -> Watch {
        self.try_watch(path)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Opens a watch.
    ///
    /// # Errors
    /// If the server refuses or no answer came.
    pub fn try_watch(&self, path: &str) -> anyhow::Result<Watch> {
        let request = Request::get(path).body(Body::empty())?;
        let open = async { tokio::time::timeout(deadline(), self.client.send(request)).await };
        let response = runtime().block_on(open).context("no answer in time")??;
        let status = response.status();
        let mut stream = response.into_body().into_data_stream();
        if !status.is_success() {
            let body = runtime().block_on(async { stream.next().await });
            anyhow::bail!("GET {path} → {status}: {body:?}");
        }
        let (sender, events) = channel();
        let reading = runtime().spawn(async move {
            let mut buffer = Vec::new();
            while let Some(Ok(chunk)) = stream.next().await {
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice(&line) else {
                        return;
                    };
                    if sender.send(event).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Watch {
            path: path.to_owned(),
            events,
            reading,
        })
    }
}

/// An open watch. It is closed when dropped.
pub struct Watch {
    path: String,
    events: Receiver<Value>,
    reading: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// The next event, or none once the server has closed the watch.
    ///
    /// # Panics
    /// If neither comes.
    #[track_caller]
    pub fn next(&self) -> Option<Value> {
        match self.events.recv_timeout(deadline()) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came from {}", self.path),
        }
    }

    /// The next event's type and its object's name.
    ///
    /// # Panics
    /// If the watch ends.
    #[track_caller]
    pub fn next_named(&self) -> (String, String) {
        let event = self
            .next()
            .unwrap_or_else(|| panic!("{} has ended", self.path));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["object"]["metadata"]["name"]),
        )
    }

    /// All events up to and with the first that is `last`.
    ///
    /// # Panics
    /// If the watch ends before it.
    #[track_caller]
    pub fn until(&self, mut last: impl FnMut(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let event = self.next();
            let event = event.unwrap_or_else(|| panic!("{} ended after {seen:?}", self.path));
            let done = last(&event);
            seen.push(event);
            if done {
                return seen;
            }
        }
    }

    /// What has come so far and was not asked for yet. Does not wait.
    pub fn pending(&self) -> Vec<Value> {
        self.events.try_iter().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
