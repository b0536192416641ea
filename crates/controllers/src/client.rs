//! The client that controllers use.

use bytes::Bytes;
use http::{
    Request, Response, Uri,
    uri::{Parts, PathAndQuery},
};
use kube::client::Body;
use tower::{BoxError, Service, ServiceExt};

/// A client of the API that this service is. Its watches leave out the managed fields, which no
/// controller looks at there and which are the larger part of most objects. (Events are read by lists for when they were last
/// written.)
pub fn client<S, B>(service: S) -> kube::Client
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    kube::Client::new(service.map_request(lean), "default")
}

fn lean(mut request: Request<Body>) -> Request<Body> {
    let watches = |query: &str| query.split('&').any(|pair| pair == "watch=true");
    if request.uri().query().is_some_and(watches)
        && let Some(uri) = without_managed_fields(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

/// The address of a read with its query, asking to leave out the managed fields.
fn without_managed_fields(uri: &Uri) -> Option<Uri> {
    let mut parts: Parts = uri.clone().into_parts();
    let asked = format!("{}&omitManagedFields=true", parts.path_and_query?);
    parts.path_and_query = Some(asked.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watches_are_asked_without_managed_fields() {
        let asked = |uri: &str| {
            let request = Request::get(uri).body(Body::empty()).unwrap();
            lean(request).uri().to_string()
        };
        for uri in [
            "/api/v1/pods",
            "/api/v1/pods?limit=5&watch=false",
            "/x?a=watch=true",
        ] {
            assert_eq!(asked(uri), uri);
        }
        assert_eq!(
            asked("http://h/api/v1/pods?&watch=true&resourceVersion=7"),
            "http://h/api/v1/pods?&watch=true&resourceVersion=7&omitManagedFields=true"
        );
    }
}
