//! A watch from a revision in the past: history first, then what comes.
//!
//! History is read without being subscribed until the watch is close to the present, so that a long
//! replay needs no queue. Then it subscribes, reads the little that lies between, and goes live. The
//! hub's revision at the moment of the subscription is where the one ends and the other begins.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use crate::hub::{Hub, Subscription};
use crate::{Event, Result, Revision};

/// How close to the present a replay subscribes, in revisions.
const NEAR: u64 = 1024;

/// What an engine remembers.
#[async_trait::async_trait]
pub(crate) trait History: Send + 'static {
    /// Some of the events after `position`, in order, and the revision up to which that is all. Reads
    /// up to `goal`, or further if that is how the engine gives them.
    async fn read(&mut self, position: Revision, goal: Revision) -> Result<(Vec<Event>, Revision)>;
}

struct Follow<H> {
    hub: Arc<Hub>,
    history: H,
    prefix: Arc<str>,
    position: Revision,
    /// The last revision that was told by an event.
    told: Revision,
    ready: VecDeque<Event>,
    stage: Stage,
}

enum Stage {
    Past,
    /// Subscribed; history is read up to a revision.
    Joining(Subscription, Revision),
    Live(Subscription),
    Over,
}

/// The events of a prefix after a revision.
pub(crate) fn follow<H: History>(
    hub: Arc<Hub>,
    history: H,
    prefix: Arc<str>,
    after: Revision,
) -> BoxStream<'static, Result<Event>> {
    let follow = Follow {
        hub,
        history,
        prefix,
        position: after,
        told: after,
        ready: VecDeque::new(),
        stage: Stage::Past,
    };
    futures::stream::unfold(follow, |mut follow| async move {
        let item = follow.next().await?;
        if item.is_err() {
            follow.stage = Stage::Over;
            follow.ready.clear();
        }
        Some((item, follow))
    })
    .boxed()
}

impl<H: History> Follow<H> {
    async fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.told = self.told.max(revision_of(&event));
                return Some(Ok(event));
            }
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Past => {
                    if let Err(error) = self.approach().await {
                        return Some(Err(error));
                    }
                }
                Stage::Joining(mut subscription, goal) => {
                    if self.position < goal {
                        match self.read(goal).await {
                            Ok(()) => self.stage = Stage::Joining(subscription, goal),
                            Err(error) => return Some(Err(error)),
                        }
                    } else {
                        subscription.skip_to(self.position);
                        self.stage = Stage::Live(subscription);
                        if self.told < self.position {
                            self.ready.push_back(Event::Progress(self.position));
                        }
                    }
                }
                Stage::Live(mut subscription) => {
                    let event = subscription.next().await;
                    self.stage = Stage::Live(subscription);
                    return event;
                }
                Stage::Over => return None,
            }
        }
    }

    async fn approach(&mut self) -> Result<()> {
        let present = self.hub.revision();
        if self.position.saturating_add(NEAR) < present {
            let (events, reached) = self.history.read(self.position, present).await?;
            self.ready.extend(events);
            self.position = self.position.max(reached);
            self.stage = Stage::Past;
        } else {
            let (from, subscription) = self.hub.subscribe(self.prefix.clone(), self.position)?;
            self.stage = Stage::Joining(subscription, from.max(self.position));
        }
        Ok(())
    }

    /// Reads history, but nothing past `goal`: the subscription brings that.
    async fn read(&mut self, goal: Revision) -> Result<()> {
        let (events, reached) = self.history.read(self.position, goal).await?;
        self.ready.extend(
            events
                .into_iter()
                .filter(|event| revision_of(event) <= goal),
        );
        self.position = reached.min(goal).max(self.position);
        Ok(())
    }
}

fn revision_of(event: &Event) -> Revision {
    match event {
        Event::Put(entry) => entry.revision,
        Event::Delete { revision, .. } | Event::Progress(revision) => *revision,
    }
}
