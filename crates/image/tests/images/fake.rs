//! A server that answers as a test wants, and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mosaic_image::Name;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// After so many bytes the connection ends.
    pub cut: Option<usize>,
}

impl Answer {
    pub fn ok(body: &[u8]) -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: body.to_vec(),
            cut: None,
        }
    }

    pub fn status(status: StatusCode) -> Self {
        Self {
            status,
            ..Self::ok(b"")
        }
    }

    pub fn with(mut self, key: &'static str, value: String) -> Self {
        self.headers.push((key, value));
        self
    }

    /// The part that was asked for.
    pub fn ranged(mut self, seen: &Seen) -> Self {
        let Some(range) = &seen.range else {
            return self;
        };
        let begin: usize = range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap();
        let whole = self.body.len();
        self.body.drain(..begin);
        self.status = StatusCode::PARTIAL_CONTENT;
        self.with(
            "content-range",
            format!("bytes {begin}-{}/{whole}", whole - 1),
        )
    }
}

type Handler = Arc<dyn Fn(&Seen, &[Seen]) -> Answer + Send + Sync>;

pub struct Fake {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// The handler gets what is asked, and all that was asked before.
    pub async fn start(handler: impl Fn(&Seen, &[Seen]) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(handler), None).await
    }

    /// The same over TLS; with the certificate of its authority.
    pub async fn start_tls(
        handler: impl Fn(&Seen, &[Seen]) -> Answer + Send + Sync + 'static,
    ) -> (Self, String) {
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let fake = Self::listen(Arc::new(handler), Some(acceptor)).await;
        (fake, authority_certificate.pem())
    }

    async fn listen(handler: Handler, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (handler, seen, tls) =
                        (Arc::clone(&handler), Arc::clone(&seen), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, handler, seen).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, handler, seen).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn name(&self, rest: &str) -> Name {
        format!("{}/{rest}", self.address).parse().unwrap()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: Handler,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
        async move {
            let (parts, body) = request.into_parts();
            let header = |key| {
                let value = parts.headers.get(key)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let this = Seen {
                method: parts.method.to_string(),
                host: header(header::HOST).unwrap_or_default(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                authorization: header(header::AUTHORIZATION),
                range: header(header::RANGE),
                // A client may break its body off.
                body: body
                    .collect()
                    .await
                    .map(|all| all.to_bytes().to_vec())
                    .unwrap_or_default(),
            };
            let answer = {
                let mut seen = seen.lock().unwrap();
                let answer = handler(&this, &seen);
                seen.push(this.clone());
                answer
            };
            let mut response = Response::builder().status(answer.status);
            for (key, value) in &answer.headers {
                response = response.header(*key, value);
            }
            if !answer.body.is_empty() {
                response = response.header(header::CONTENT_LENGTH, answer.body.len());
            }
            let whole = Bytes::from(answer.body);
            let sent = whole.slice(..answer.cut.unwrap_or(whole.len()).min(whole.len()));
            let broken = answer.cut.map(|_| Err(std::io::Error::other("cut")));
            let pieces: Vec<_> = sent
                .chunks(64 << 10)
                .map(|piece| sent.slice_ref(piece))
                .collect();
            let pieces = futures::stream::iter(pieces)
                .map(|piece| Ok(Frame::data(piece)))
                .chain(futures::stream::iter(broken));
            Ok::<_, Infallible>(response.body(StreamBody::new(pieces)).unwrap())
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
