//! Requests to registries: where they go, as whom, and answers that are read no further than their bound.

mod reach;
mod tokens;

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::Deserialize;
use tokens::Token;

use super::{Plain, RemoteOptions};
use crate::name::{DOCKER, Repository};
use crate::place::PlaceError;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a registry may say nothing while it is listened to.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest answer of an error, or of an authorization service, in bytes.
const SMALL: usize = 64 << 10;
/// How much of an error's text is shown, in characters.
const SHOWN: usize = 500;
const REDIRECTS: usize = 10;
/// Variables that name a proxy.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What is done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    fn scope(self, repository: Option<&Repository>) -> String {
        let actions = match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "delete",
        };
        match repository {
            Some(repository) => format!("repository:{repository}:{actions}"),
            None => "registry:catalog:*".to_owned(),
        }
    }
}

/// What a request is for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) registry: String,
    pub(super) repository: Option<Repository>,
    pub(super) action: Action,
    /// For messages.
    pub(super) step: &'static str,
    pub(super) object: String,
}

/// For how long it is known whether a registry is on public addresses.
const REACH_LIFE: Duration = Duration::from_secs(60);

/// Clients of one kind of registries.
struct Clients {
    reading: Client,
    /// Whoever sends waits for the answer as long as the sending takes.
    sending: Client,
    /// Whether they go to public addresses only.
    guarded: bool,
}

/// Talks to registries.
pub(super) struct Http {
    free: Clients,
    guarded: Clients,
    options: RemoteOptions,
    /// Which registries are public, and until when that is believed.
    public: Mutex<HashMap<String, (bool, Instant)>>,
    tokens: Mutex<HashMap<(String, String), Token>>,
    schemes: Mutex<HashMap<String, &'static str>>,
}

impl Http {
    pub(super) fn new(options: RemoteOptions) -> Result<Self, PlaceError> {
        // reqwest panics without a provider; one that the process installed stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unfit = |error: reqwest::Error| {
            PlaceError::Unfit(format!(
                "cannot make a client of registries: {}",
                causes(&error)
            ))
        };
        let builder = |guarded: bool| {
            let policy = redirect::Policy::custom(move |attempt| {
                let down = attempt.url().scheme() == "http"
                    && attempt.previous().iter().any(|url| url.scheme() == "https");
                if down {
                    attempt.error("it redirects from https to http")
                } else if guarded && reach::leads_inside(attempt.url()) {
                    attempt.error(reach::NOT_PUBLIC)
                } else if attempt.previous().len() > REDIRECTS {
                    attempt.error("it redirects too often")
                } else {
                    attempt.follow()
                }
            });
            // One connection a blob: on a shared one they would wait for each other's windows.
            let mut builder = Client::builder()
                .http1_only()
                .user_agent(concat!("mosaic/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .tcp_keepalive(SILENCE / 4)
                .tcp_user_timeout(SILENCE)
                .redirect(policy);
            // A proxy resolves names itself, and its own is often not public.
            if guarded && !PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
                builder = builder.dns_resolver(reach::PublicOnly);
            }
            let certificates = options
                .authorities
                .iter()
                .map(|pem| reqwest::Certificate::from_pem_bundle(pem.as_bytes()))
                .collect::<Result<Vec<_>, _>>()?
                .concat();
            builder = builder.tls_certs_merge(certificates);
            Ok(builder)
        };
        let build = |guarded| -> Result<Clients, reqwest::Error> {
            Ok(Clients {
                reading: builder(guarded)?.read_timeout(SILENCE).build()?,
                sending: builder(guarded)?.build()?,
                guarded,
            })
        };
        Ok(Self {
            free: build(false).map_err(unfit)?,
            guarded: build(true).map_err(unfit)?,
            options,
            public: Mutex::default(),
            tokens: Mutex::default(),
            schemes: Mutex::default(),
        })
    }

    /// The clients for a registry at a host.
    async fn clients(&self, host: &str) -> &Clients {
        let known = lock(&self.public).get(host).copied();
        let public = match known {
            Some((public, until)) if Instant::now() < until => public,
            _ => {
                // Where names are a proxy's matter, nothing is known of it.
                let found = reach::addresses(host).await.unwrap_or_default();
                let public = !found.is_empty() && found.into_iter().all(reach::is_public);
                let until = Instant::now() + REACH_LIFE;
                lock(&self.public).insert(host.to_owned(), (public, until));
                public
            }
        };
        if public { &self.guarded } else { &self.free }
    }

    /// The beginning of a registry's URLs, up to `/v2/`.
    pub(super) async fn base(&self, target: &Target) -> Result<Url, PlaceError> {
        let registry = &target.registry;
        let host = target.host();
        let scheme = self.scheme(target, host).await?;
        Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|error| PlaceError::Unfit(format!("{registry} is not a registry: {error}")))
    }

    async fn scheme(&self, target: &Target, host: &str) -> Result<&'static str, PlaceError> {
        match self.options.plain {
            Plain::All if target.registry != DOCKER => return Ok("http"),
            Plain::Loopback if is_loopback(host) => {}
            Plain::All | Plain::Loopback => return Ok("https"),
        }
        let known = lock(&self.schemes).get(host).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        // As Docker does: on the own machine https is tried, and http if nobody speaks it there.
        let reading = &self.clients(host).await.reading;
        let ping = |scheme: &str| reading.get(format!("{scheme}://{host}/v2/")).send();
        let scheme = match ping("https").await {
            Ok(_) => "https",
            Err(secure) => match ping("http").await {
                Ok(answer) if answer.status() != StatusCode::BAD_REQUEST => "http",
                _ => return Err(target.unreachable(&secure)),
            },
        };
        lock(&self.schemes).insert(host.to_owned(), scheme);
        Ok(scheme)
    }

    /// Sends a request without a body, or with a small one, and answers challenges.
    pub(super) async fn send(
        &self,
        target: &Target,
        make: impl Fn(&Client) -> RequestBuilder + Send + Sync,
    ) -> Result<Response, PlaceError> {
        let reading = &self.clients(target.host()).await.reading;
        let answer = self.once(target, make(reading)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if !self.authorize(target, &answer).await? {
            return Ok(answer);
        }
        self.once(target, make(reading)).await
    }

    /// Sends a request whose body can be sent only once; the token was got by the one before it.
    pub(super) async fn send_body(
        &self,
        target: &Target,
        make: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Response, PlaceError> {
        let sending = &self.clients(target.host()).await.sending;
        let answer = self.once(target, make(sending)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Over meanwhile: the whole is tried again with a new one.
            lock(&self.tokens).remove(&target.key());
        }
        Ok(answer)
    }

    async fn once(&self, target: &Target, request: RequestBuilder) -> Result<Response, PlaceError> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|error| target.unreachable(&error))?;
        let base = self.base(target).await?;
        let own = |url: &Url| {
            url.scheme() == base.scheme()
                && url.host() == base.host()
                && url.port_or_known_default() == base.port_or_known_default()
        };
        // A place to upload to may be elsewhere: whoever is there gets no token (distribution-spec, "Pushing blobs").
        if !own(request.url()) {
            self.check_reach(target, request.url()).await?;
        } else if let Some(header) = self.token(target) {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        client
            .execute(request)
            .await
            .map_err(|error| target.unreachable(&error))
    }
}

impl Http {
    /// Refuses to go where a public registry must not send.
    async fn check_reach(&self, target: &Target, url: &Url) -> Result<(), PlaceError> {
        if self.clients(target.host()).await.guarded && reach::leads_inside(url) {
            let (step, object) = (target.step, &target.object);
            let reason = format!("cannot {step} {object}: {}", reach::NOT_PUBLIC);
            return Err(PlaceError::Unfit(reason));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in there is whole after every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a host with an optional port is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, which reqwest keeps apart.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text.chars().take(SHOWN).collect()
}

impl Target {
    fn host(&self) -> &str {
        match self.registry.as_str() {
            DOCKER => "registry-1.docker.io",
            registry => registry,
        }
    }

    fn key(&self) -> (String, String) {
        (
            self.registry.clone(),
            self.action.scope(self.repository.as_ref()),
        )
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> PlaceError {
        PlaceError::Unreachable {
            step: self.step,
            object: self.object.clone(),
            reason: causes(error),
        }
    }

    /// The error of an answer that is not the one wanted (distribution-spec, "Error Codes").
    pub(super) async fn refused(&self, answer: Response) -> PlaceError {
        let status = answer.status().as_u16();
        let bytes = bounded(self, answer, SMALL).await.unwrap_or_default();
        PlaceError::Refused {
            step: self.step,
            object: self.object.clone(),
            status,
            message: message(&bytes),
        }
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

fn message(bytes: &[u8]) -> String {
    let text = match serde_json::from_slice::<Errors>(bytes) {
        Ok(errors) => {
            let texts: Vec<String> = errors
                .errors
                .into_iter()
                .map(|error| format!("{}: {}", error.code, error.message.unwrap_or_default()))
                .collect();
            texts.join("; ")
        }
        Err(_) => String::from_utf8_lossy(bytes).trim().to_owned(),
    };
    text.chars()
        .filter(|one| !one.is_control())
        .take(SHOWN)
        .collect()
}

/// A small answer as a whole.
pub(super) async fn bounded(
    target: &Target,
    mut answer: Response,
    limit: usize,
) -> Result<Bytes, PlaceError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| target.unreachable(&error))?
    {
        if bytes.len() + piece.len() > limit {
            return Err(PlaceError::Unfit(format!(
                "cannot {} {}: the answer is longer than {limit} bytes",
                target.step, target.object
            )));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// What is asked.
pub(super) fn request(client: &Client, method: &Method, url: &Url) -> RequestBuilder {
    client.request(method.clone(), url.clone())
}

pub(super) type SharedHttp = Arc<Http>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "10.0.0.1:5000",
            "[::2]:1",
            "128.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[tokio::test]
    async fn plain_http_is_for_every_registry_but_dockers() {
        let http = Http::new(RemoteOptions {
            plain: Plain::All,
            ..RemoteOptions::default()
        })
        .unwrap();
        for (registry, base) in [
            ("one.example:5000", "http://one.example:5000/v2/"),
            ("other.example", "http://other.example/v2/"),
            ("docker.io", "https://registry-1.docker.io/v2/"),
        ] {
            let target = Target {
                registry: registry.to_owned(),
                repository: None,
                action: Action::Pull,
                step: "",
                object: String::new(),
            };
            assert_eq!(http.base(&target).await.unwrap().as_str(), base);
        }
    }

    /// A server that answers every request so, and tells when it was asked.
    async fn answering(answer: String) -> (String, tokio::sync::mpsc::UnboundedReceiver<()>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A client may have gone by then, and nobody may want to know.
                let _ = asked.send(());
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, told)
    }

    #[tokio::test]
    async fn a_public_registry_sends_nobody_inside() {
        let (inside, mut asked) =
            answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into()).await;
        let port = inside.split_once(':').unwrap().1.to_owned();
        for host in ["127.0.0.1", "localhost"] {
            for answer in [
                format!(
                    "HTTP/1.1 307 There\r\nlocation: http://{host}:{port}/x\r\ncontent-length: 0\r\n\r\n"
                ),
                format!(
                    "HTTP/1.1 401 Who\r\nwww-authenticate: Bearer realm=\"http://{host}:{port}/x\"\r\ncontent-length: 0\r\n\r\n"
                ),
            ] {
                let (registry, _told) = answering(answer).await;
                let http = Http::new(RemoteOptions {
                    plain: Plain::All,
                    ..RemoteOptions::default()
                })
                .unwrap();
                let target = Target {
                    registry: registry.clone(),
                    repository: None,
                    action: Action::Pull,
                    step: "get",
                    object: "it".to_owned(),
                };
                let ask = || async {
                    let url = Url::parse(&format!("http://{registry}/v2/")).unwrap();
                    let sent = http.send(&target, |client| request(client, &Method::GET, &url));
                    sent.await.map(drop)
                };
                // As if it were elsewhere.
                let until = Instant::now() + REACH_LIFE;
                lock(&http.public).insert(registry.clone(), (true, until));
                assert!(ask().await.is_err());
                assert!(asked.try_recv().is_err());
                // One that is here itself may.
                lock(&http.public).insert(registry.clone(), (false, until));
                let _ = ask().await;
                assert!(asked.try_recv().is_ok());
                while asked.try_recv().is_ok() {}
            }
        }
    }

    #[test]
    fn an_error_shows_its_codes_and_no_more_than_fits() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"},{"code":"X"}]}"#;
        assert_eq!(message(body), "DENIED: no[31m; X: ");
        assert_eq!(message(&[b'x'; 10_000]).len(), SHOWN);
    }
}
