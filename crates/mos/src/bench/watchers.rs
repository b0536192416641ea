//! Many watchers, each of the pods of one node, over a few connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;

use super::client::Endpoint;
use super::objects;
use crate::failure::Failure;

/// Fewer than a server lets one connection have at once.
const WATCHES_PER_CONNECTION: usize = 200;
/// How long events may take to arrive.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);

/// Open watches; they end with this value.
pub(super) struct Watchers {
    seen: Vec<Arc<AtomicU64>>,
    tasks: JoinSet<()>,
}

impl Watchers {
    /// Opens one watch for each of the first `nodes` nodes. Each begins with the pods that there are.
    pub(super) async fn open(endpoint: &Endpoint, nodes: usize) -> Result<Self, Failure> {
        let mut watchers = Self {
            seen: Vec::with_capacity(nodes),
            tasks: JoinSet::new(),
        };
        let numbers: Vec<usize> = (0..nodes).collect();
        for numbers in numbers.chunks(WATCHES_PER_CONNECTION) {
            let connection = endpoint.connect_multiplexed().await?;
            let opened = numbers.iter().map(|number| {
                let mut connection = connection.clone();
                async move {
                    let path = format!(
                        "/api/v1/pods?watch=true&timeoutSeconds=3600&fieldSelector=spec.nodeName%3D{}",
                        objects::node(*number)
                    );
                    connection.watch(&path).await
                }
            });
            for body in try_join_all(opened).await? {
                let seen = Arc::new(AtomicU64::new(0));
                watchers.seen.push(seen.clone());
                watchers.tasks.spawn(count(body, seen));
            }
        }
        Ok(watchers)
    }

    /// How many events each watcher has seen.
    pub(super) fn seen(&self) -> Vec<u64> {
        self.seen
            .iter()
            .map(|seen| seen.load(Ordering::Relaxed))
            .collect()
    }

    /// Waits until all together have seen so many events.
    pub(super) async fn reach(&self, events: u64) -> Result<(), Failure> {
        let until = Instant::now() + ARRIVE_WITHIN;
        loop {
            let seen = self.seen().iter().sum::<u64>();
            if seen >= events {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::new(format!(
                    "the watchers saw {seen} of {events} events"
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether no watch has ended.
    pub(super) fn all_open(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
    }
}

/// Counts a watch's events: each is a line.
async fn count(mut body: Incoming, seen: Arc<AtomicU64>) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let lines = data.iter().filter(|byte| **byte == b'\n').count();
            seen.fetch_add(lines as u64, Ordering::Relaxed);
        }
    }
}
