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

/// Calls `each` with every event of a watch, for as long as it is polled.
pub(crate) async fn events<K>(api: Api<K>, config: watcher::Config, mut each: impl FnMut(Event<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut stream = pin!(watcher::watcher(api, config).default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => each(event),
            Err(error) => tracing::debug!(%error, "a watch was interrupted"),
        }
    }
}

/// Calls `each` with every object that is there at first, appears, changes or goes.
pub(crate) async fn objects<K>(api: Api<K>, config: watcher::Config, mut each: impl FnMut(K))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    events(api, config, |event| match event {
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => each(object),
        Event::Init | Event::InitDone => {}
    })
    .await;
}
