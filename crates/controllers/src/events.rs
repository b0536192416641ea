//! Telling people what was done, as events, without ever waiting for it.
//!
//! A set of thousands of pods makes thousands of events in a second, each a write as dear as the pod's. So
//! they queue, are written at a steady pace, and beyond the queue's length they are dropped: events are for
//! people, and nothing depends on them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Client, Resource,
    api::{Patch, PatchParams, PostParams, Request},
};
use mosaic_api::recorder::{Folder, Record, Source, Told};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::error::{Absent, Error, Result};

/// How many events may wait.
const QUEUE: usize = 2048;
/// The pause after each.
const PACE: Duration = Duration::from_millis(10);

/// Writes events: one that is told again counts up.
pub(crate) struct Recorder {
    client: Client,
    source: Source,
    folder: Mutex<Folder>,
}

impl Recorder {
    /// Events told by this part of this process.
    pub(crate) fn new(client: Client, controller: &str, instance: &str) -> Self {
        let source = Source {
            component: controller.to_owned(),
            instance: instance.to_owned(),
            ..Source::default()
        };
        Self {
            client,
            source,
            folder: Mutex::default(),
        }
    }

    /// Writes an event. Should it not be written, the log has it.
    pub(crate) async fn publish(&self, told: &Told) {
        let mut written = self.write(told).await;
        if let Ok(false) = written {
            // Somebody deleted it, or its time was up.
            self.folder.lock().forget(&self.source, told);
            written = self.write(told).await;
        }
        if let Err(error) = written {
            self.folder.lock().forget(&self.source, told);
            let (reason, note) = (&told.reason, &told.message);
            tracing::debug!(%error, reason, note, "an event was not written");
        }
    }

    /// False if it was to be counted and is not there.
    async fn write(&self, told: &Told) -> Result<bool> {
        let record = self
            .folder
            .lock()
            .tell(&self.source, told, Timestamp::now());
        let path = |namespace: &str| Request::new(Event::url_path(&(), Some(namespace)));
        let request = match &record {
            Record::Create(namespace, event) => {
                let event = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
                path(namespace).create(&PostParams::default(), event)
            }
            Record::Count(namespace, name, patch) => {
                let patch = Patch::Merge(patch);
                path(namespace).patch(name, &PatchParams::default(), &patch)
            }
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let answer = self.client.request::<IgnoredAny>(request).await;
        match record {
            Record::Create(..) => answer.map(|_| true).map_err(Error::from),
            Record::Count(..) => Ok(answer.or_absent()?.is_some()),
        }
    }
}

/// Something to tell of an object.
pub(crate) fn told(
    is_warning: bool,
    about: &ObjectReference,
    related: Option<&ObjectReference>,
    (reason, action): (&str, &str),
    message: String,
) -> Told {
    // A reference is a record of texts.
    let value = |reference: &ObjectReference| serde_json::to_value(reference).unwrap_or_default();
    Told {
        about: value(about),
        related: related.map_or(Value::Null, value),
        is_warning,
        reason: reason.to_owned(),
        action: action.to_owned(),
        message,
    }
}

/// Where controllers tell what they did.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<Told>);

/// The events that wait, to be written by [`Writer::run`].
pub(crate) struct Writer {
    told: mpsc::Receiver<Told>,
    recorder: Recorder,
}

/// A queue of events, told by this part of this process.
pub(crate) fn events(client: Client, controller: &str, instance: &str) -> (Events, Writer) {
    let (sender, told) = mpsc::channel(QUEUE);
    let recorder = Recorder::new(client, controller, instance);
    (Events(sender), Writer { told, recorder })
}

impl Events {
    /// Tells of something that went as it should: reason and action in one word each, a note for people.
    pub(crate) fn tell(&self, about: ObjectReference, reason: &str, action: &str, note: String) {
        self.queue(told(false, &about, None, (reason, action), note));
    }

    /// Tells of something that is wrong.
    pub(crate) fn warn(&self, about: ObjectReference, reason: &str, action: &str, note: String) {
        self.queue(told(true, &about, None, (reason, action), note));
    }

    /// Tells of what was done to another object. Events that differ in nothing but the note are counted as one, and those
    /// about different ones are not.
    pub(crate) fn tell_of(
        &self,
        is_warning: bool,
        about: ObjectReference,
        related: Option<ObjectReference>,
        reason: &str,
        note: String,
    ) {
        let words = (reason, reason);
        self.queue(told(is_warning, &about, related.as_ref(), words, note));
    }

    fn queue(&self, told: Told) {
        if let Err(TrySendError::Full(told)) = self.0.try_send(told) {
            let (reason, note) = (told.reason, told.message);
            tracing::debug!(reason, note, "too many events: one was dropped");
        }
    }
}

impl Writer {
    /// Writes events, for as long as it is polled.
    pub(crate) async fn run(mut self) {
        while let Some(told) = self.told.recv().await {
            self.recorder.publish(&told).await;
            tokio::time::sleep(PACE).await;
        }
    }
}

/// A reference to an object of this kind, for events.
pub(crate) fn about(api_version: &str, kind: &str, metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}
