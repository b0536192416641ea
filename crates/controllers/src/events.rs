//! Telling people what was done, as events, without ever waiting for it.
//!
//! A set of thousands of pods makes thousands of events in a second, each a write as dear as the pod's. So
//! they queue, are written at a steady pace, and beyond the queue's length they are dropped: events are for
//! people, and nothing depends on them.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc::{self, error::TrySendError};

/// How many events may wait.
const QUEUE: usize = 2048;
/// The pause after each.
const PACE: Duration = Duration::from_millis(10);

/// What is told about an object.
struct Told {
    about: ObjectReference,
    event: Event,
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
    let reporter = Reporter {
        controller: controller.to_owned(),
        instance: Some(instance.to_owned()),
    };
    let (sender, told) = mpsc::channel(QUEUE);
    let recorder = Recorder::new(client, reporter);
    (Events(sender), Writer { told, recorder })
}

impl Events {
    /// Tells of something that went as it should: reason and action in one word each, a note for people.
    pub(crate) fn tell(&self, about: ObjectReference, reason: &str, action: &str, note: String) {
        self.queue(EventType::Normal, about, None, reason, action, note);
    }

    /// Tells of something that is wrong.
    pub(crate) fn warn(&self, about: ObjectReference, reason: &str, action: &str, note: String) {
        self.queue(EventType::Warning, about, None, reason, action, note);
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
        let type_ = if is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        };
        self.queue(type_, about, related, reason, reason, note);
    }

    fn queue(
        &self,
        type_: EventType,
        about: ObjectReference,
        secondary: Option<ObjectReference>,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary,
        };
        if let Err(TrySendError::Full(told)) = self.0.try_send(Told { about, event }) {
            let (name, note) = (told.about.name, told.event.note);
            tracing::debug!(name, note, "too many events: one was dropped");
        }
    }
}

impl Writer {
    /// Writes events, for as long as it is polled.
    pub(crate) async fn run(mut self) {
        while let Some(Told { about, event }) = self.told.recv().await {
            if let Err(error) = self.recorder.publish(&event, &about).await {
                tracing::debug!(%error, event.reason, name = about.name, "an event was not written");
            }
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
