//! The HTTP interface: the whole of the OCI distribution-spec 1.1, and Docker's catalog.
//!
//! ```text
//! path ─► route ─► may they? ─► uploads │ blobs │ manifests │ lists ─► answer, or error in the spec's form
//! ```

mod blobs;
mod body;
mod error;
mod lists;
mod manifests;
mod room;
mod route;
mod uploads;

use http::request::Parts as Head;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

pub use self::body::{Body, RequestBody};
pub(crate) use self::body::{answer, full};
use self::body::{empty, incoming, stream};
pub(crate) use self::error::{ApiError, Code};
pub(crate) use self::manifests::{STALE, referrer};
pub(crate) use self::room::Rooms;
use self::route::{Resource, Route, route};
use crate::access::{Action, Decision, Identity, Owner, namespace};
use crate::blobs::ByteStream;
use crate::metadata::Claim;
use crate::registry::Registry;
use crate::serve::TOKENS;

/// Docker's name of this interface.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

type Answer = Result<Response<Body>, ApiError>;

/// A request to a repository, by somebody who may make it.
pub(crate) struct Call<'a> {
    pub(crate) registry: &'a Registry,
    who: &'a Identity,
    pub(crate) repository: &'a str,
    head: &'a Head,
    /// The namespace of the repository when the request came.
    owner: Option<Owner>,
}

impl Call<'_> {
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn query(&self, name: &str) -> Option<String> {
        route::parameter(self.head.uri.query(), name)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.head.method == Method::HEAD
    }

    pub(crate) fn may(&self, action: Action, repository: &str) -> bool {
        let decision = self.registry.0.access.may(self.who, action, repository);
        decision == Decision::Allow && self.registry.is_settled(repository)
    }

    /// The right to do something, which may be lost while the request goes on.
    pub(crate) fn claim(&self, action: Action) -> Claim<'_> {
        let access = &self.registry.0.access;
        let same = move || access.owner(namespace(self.repository)) == self.owner;
        Claim {
            owner: self.owner.clone(),
            good: Box::new(move || same() && self.may(action, self.repository)),
        }
    }
}

/// Marks the head of a request that came with the token of those who did not say who they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nobody;

impl Registry {
    /// Answers a request of somebody. Whatever goes wrong is in the answer.
    pub async fn handle<B: RequestBody>(
        &self,
        request: Request<B>,
        who: &Identity,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        self.respond(head, incoming(body), who).await
    }

    async fn respond(&self, head: Head, body: ByteStream, who: &Identity) -> Response<Body> {
        let answer = self.dispatch(&head, body, who).await;
        let mut response = answer.unwrap_or_else(ApiError::into_response);
        let version = HeaderValue::from_static("registry/2.0");
        response.headers_mut().insert(API_VERSION, version);
        if head.method == Method::HEAD {
            *response.body_mut() = empty();
        }
        response
    }

    /// The answer to somebody whose credentials are not good.
    pub fn refuse(&self, head: &Head, reason: &str) -> Response<Body> {
        let scope = match route(head.uri.path()) {
            Ok(Some(Route::In(repository, _))) => Some((repository, Action::Pull)),
            _ => None,
        };
        let scope = scope
            .as_ref()
            .map(|(repository, action)| (repository.as_str(), *action));
        self.unauthorized(head, scope, reason).into_response()
    }

    async fn dispatch(&self, head: &Head, body: ByteStream, who: &Identity) -> Answer {
        let Some(route) = route(head.uri.path())? else {
            return Err(ApiError::missing(
                Code::Unsupported,
                "there is nothing here",
            ));
        };
        match route {
            Route::Base => self.base(head, who),
            Route::Catalog => self.catalog(head, who).await,
            Route::In(repository, resource) => {
                let action = action(&head.method, &resource)?;
                let owner = self.0.access.owner(namespace(&repository));
                self.authorize(head, who, action, &repository)?;
                if let Some(owner) = &owner {
                    self.settle(&repository, owner).await?;
                }
                let call = Call {
                    registry: self,
                    who,
                    repository: &repository,
                    head,
                    owner,
                };
                call.run(resource, body).await
            }
        }
    }

    /// `GET /v2/` (end-1). Clients learn from it how to say who they are, so whoever did not is asked to, unless
    /// nobody needs to.
    fn base(&self, head: &Head, who: &Identity) -> Answer {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(method_not_allowed());
        }
        // A name that no repository may have: whoever may push there may push anywhere.
        let open = self.0.access.may(who, Action::Push, "") == Decision::Allow;
        if who.name.is_none() && !open {
            return Err(self.unauthorized(head, None, "authentication required"));
        }
        let mut response = answer(StatusCode::OK, full("{}"));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    fn authorize(
        &self,
        head: &Head,
        who: &Identity,
        action: Action,
        repository: &str,
    ) -> Result<(), ApiError> {
        match self.0.access.may(who, action, repository) {
            Decision::Allow => Ok(()),
            Decision::Deny(_) if who.name.is_none() => {
                let scope = Some((repository, action));
                Err(self.unauthorized(head, scope, "authentication required"))
            }
            Decision::Deny(reason) => {
                Err(ApiError::new(StatusCode::FORBIDDEN, Code::Denied, reason))
            }
        }
    }

    fn unauthorized(&self, head: &Head, scope: Option<(&str, Action)>, reason: &str) -> ApiError {
        let settings = &self.0.settings;
        let host = head.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(|it| it.as_str()));
        let scheme = if settings.tls { "https" } else { "http" };
        let realm = match host {
            // A host has no quotes in it, or it is not one.
            Some(host) if !host.contains('"') => format!("{scheme}://{host}{TOKENS}"),
            _ => TOKENS.to_owned(),
        };
        let scope = scope.map_or_else(String::new, |(repository, action)| {
            let actions = match action {
                Action::Pull => "pull",
                Action::Push => "pull,push",
                Action::Delete => "pull,push,delete",
            };
            format!(",scope=\"repository:{repository}:{actions}\"")
        });
        let service = &settings.service;
        // Who has the token of nobody already would otherwise ask for it again and again (RFC 6750, section 3.1).
        let error = match head.extensions.get::<Nobody>() {
            Some(Nobody) => ",error=\"insufficient_scope\"",
            None => "",
        };
        let challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}{error}");
        ApiError::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, reason)
            .with(header::WWW_AUTHENTICATE, &challenge)
    }
}

fn method_not_allowed() -> ApiError {
    let message = "the method is not supported here";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
}

/// What a request does to the repository.
fn action(method: &Method, resource: &Resource) -> Result<Action, ApiError> {
    use Resource as R;
    let action = match (method, resource) {
        (&Method::GET | &Method::HEAD, R::Upload(_)) => Action::Push,
        (&Method::GET | &Method::HEAD, R::Uploads) => return Err(method_not_allowed()),
        (&Method::POST, R::Prune) => Action::Delete,
        (_, R::Prune) => return Err(method_not_allowed()),
        (&Method::GET | &Method::HEAD, _) => Action::Pull,
        (&Method::POST, R::Uploads) => Action::Push,
        (&Method::PATCH | &Method::PUT | &Method::DELETE, R::Upload(_)) => Action::Push,
        (&Method::PUT, R::Manifest(_)) => Action::Push,
        (&Method::DELETE, R::Manifest(_) | R::Blob(_)) => Action::Delete,
        _ => return Err(method_not_allowed()),
    };
    Ok(action)
}

impl Call<'_> {
    async fn run(&self, resource: Resource, body: ByteStream) -> Answer {
        let method = &self.head.method;
        let reads = *method == Method::GET || *method == Method::HEAD;
        match resource {
            Resource::Tags => self.tags().await,
            Resource::Referrers(subject) => self.referrers(&subject).await,
            Resource::Manifest(text) => {
                let reference = self.reference(&text)?;
                match *method {
                    Method::PUT => self.put_manifest(reference, body).await,
                    _ if reads => self.get_manifest(&reference).await,
                    _ => self.delete_manifest(reference).await,
                }
            }
            Resource::Blob(digest) if reads => self.get_blob(&digest).await,
            Resource::Blob(digest) => self.delete_blob(&digest).await,
            Resource::Uploads => self.start_upload(body).await,
            Resource::Upload(id) => self.upload(&id, body).await,
            Resource::Prune => self.prune().await,
        }
    }

    fn location(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }
}

/// An answer of bytes as they come.
pub(crate) fn stream_answer(bytes: ByteStream) -> Response<Body> {
    answer(StatusCode::OK, stream(bytes))
}

/// Sets a header to a text that is known to be one: digests, numbers, names of the grammars of the specification.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
