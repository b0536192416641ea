//! Watches that never end: they are resumed, or begun anew, with growing pauses while the API cannot be
//! reached. Nothing of what they see is kept.

use std::{fmt::Debug, pin::pin};

use futures::StreamExt;
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use crate::readable::{Readable, Reader};

/// Calls `each` with every event of a watch, for as long as it is polled. An object that cannot be read is left out of
/// all of them, with a warning; the next list no longer has it.
pub(crate) async fn events<K>(
    api: Api<Readable<K>>,
    config: watcher::Config,
    mut each: impl FnMut(Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut reader = Reader::of(api.resource_url());
    let mut stream = pin!(watcher::watcher(api, config).default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if let Some(event) = read(event, &mut reader) {
                    each(event);
                }
            }
            Err(error) => tracing::debug!(%error, "a watch was interrupted"),
        }
    }
}

fn read<K: Resource>(event: Event<Readable<K>>, reader: &mut Reader) -> Option<Event<K>> {
    Some(match event {
        Event::Apply(object) => Event::Apply(reader.read(object)?),
        Event::InitApply(object) => Event::InitApply(reader.read(object)?),
        Event::Delete(object) => Event::Delete(reader.read(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

/// Calls `each` with every object that is there at first, appears, changes or goes, but for those that cannot be read.
pub(crate) async fn objects<K>(
    api: Api<Readable<K>>,
    config: watcher::Config,
    mut each: impl FnMut(K),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    events(api, config, |event| match event {
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => each(object),
        Event::Init | Event::InitDone => {}
    })
    .await;
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;

    use super::*;

    /// Lists two objects, of which one cannot be read, and tells of a change of each.
    fn client() -> kube::Client {
        let service = tower::service_fn(|request: Request<Body>| async move {
            let object = |name: &str, version: u32, data: &str| {
                format!(
                    r#"{{"metadata":{{"namespace":"n","name":"{name}","resourceVersion":"{version}"}},"data":{data}}}"#
                )
            };
            let query = request.uri().query().unwrap_or_default();
            let body = if query.contains("watch=true") {
                let line = |object| format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
                let (bad, good) = (object("bad", 3, "7"), object("good", 4, r#"{"k":"v"}"#));
                format!("{}\n{}\n", line(bad), line(good))
            } else {
                let (bad, good) = (object("bad", 1, "7"), object("good", 2, "{}"));
                format!(
                    r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"2"}},"items":[{bad},{good}]}}"#
                )
            };
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.into_bytes())))
        });
        kube::Client::new(service, "default")
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_costs_that_one_only() {
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let api: Api<Readable<ConfigMap>> = Api::all(client());
        let watching = objects(api, watcher::Config::default(), |object: ConfigMap| {
            let version = object.metadata.resource_version.unwrap();
            // Nobody listens any more when enough was seen.
            let _ = sender.send((object.metadata.name.unwrap(), version));
        });
        tokio::select! {
            () = watching => panic!("it ends"),
            () = async {
                for version in ["2", "4"] {
                    let expected = ("good".to_owned(), version.to_owned());
                    assert_eq!(seen.recv().await, Some(expected));
                }
            } => {}
        }
    }
}
