//! Which hosts are connected, and how much each may carry.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use mosaic_api::{Reason, Status};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::wire::RequestBody;

/// How many streams a host carries at once.
pub const STREAMS_PER_HOST: usize = 256;
/// How many streams all hosts together carry at once. Each may hold a stream's window and two buffers:
/// under 100 KiB.
const STREAMS: usize = 2_048;

/// The hosts that have a tunnel to this server.
#[derive(Debug)]
pub struct Hosts {
    entries: Mutex<HashMap<String, Entry>>,
    streams: Arc<Semaphore>,
    open: TaskTracker,
    closed: CancellationToken,
}

/// A host's tunnels: the one that requests take, and the one that is being set up.
#[derive(Debug, Default)]
struct Entry {
    current: Option<Arc<Tunnel>>,
    pending: Option<CancellationToken>,
}

/// A tunnel to a host.
#[derive(Debug)]
pub struct Tunnel {
    /// The host's name.
    pub name: String,
    closed: CancellationToken,
    send: SendRequest<RequestBody>,
    streams: Arc<Semaphore>,
    all_streams: Arc<Semaphore>,
    open: TaskTracker,
}

/// A stream's share of what may be open; held until its last byte.
#[derive(Debug)]
pub struct Permit {
    /// Cancelled when the stream must end: the server stops, or the host is none any more.
    pub closed: CancellationToken,
    _of_host: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    _open: TaskTrackerToken,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            open: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }
}

impl Hosts {
    /// The tunnel to a host, for a request about `what`.
    ///
    /// # Errors
    /// 503 if the host is not connected.
    pub fn host(&self, name: &str, what: &str) -> Result<Arc<Tunnel>, Status> {
        let tunnel = self
            .entries
            .lock()
            .get(name)
            .and_then(|entry| entry.current.clone());
        match tunnel {
            Some(tunnel) if !tunnel.send.is_closed() => Ok(tunnel),
            _ => Err(unreachable(format!(
                "{what} runs on host {name:?}, which is not connected to this server; check that its node agent is running"
            ))),
        }
    }

    /// Whether a host is connected.
    pub fn is_connected(&self, name: &str) -> bool {
        self.entries
            .lock()
            .get(name)
            .and_then(|entry| entry.current.as_ref())
            .is_some_and(|tunnel| !tunnel.send.is_closed())
    }

    /// How many hosts are connected, and how many streams are open.
    pub fn counts(&self) -> (usize, usize) {
        let hosts = self
            .entries
            .lock()
            .values()
            .filter(|entry| entry.current.is_some())
            .count();
        (hosts, self.open.len())
    }

    /// Lets streams end by themselves for so long, then ends them and the tunnels.
    pub async fn drain(&self, patience: Duration) {
        self.open.close();
        if tokio::time::timeout(patience, self.open.wait())
            .await
            .is_err()
        {
            tracing::info!(streams = self.open.len(), "ending streams to hosts");
        }
        self.closed.cancel();
        // Their tasks only have to notice.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.open.wait()).await;
    }

    /// The token of a tunnel that is being set up. One that was being set up before it for the same host
    /// is given up: its connection is most likely dead.
    pub(super) fn begin(&self, name: &str) -> CancellationToken {
        let token = self.closed.child_token();
        let mut entries = self.entries.lock();
        let entry = entries.entry(name.to_owned()).or_default();
        if let Some(earlier) = entry.pending.replace(token.clone()) {
            earlier.cancel();
        }
        token
    }

    /// Makes a tunnel the one that requests to its host take. What runs over an older one goes on there.
    /// None if it was given up meanwhile.
    pub(super) fn ready(
        &self,
        name: &str,
        closed: &CancellationToken,
        send: SendRequest<RequestBody>,
    ) -> Option<Weak<Tunnel>> {
        let mut entries = self.entries.lock();
        if closed.is_cancelled() {
            return None;
        }
        let tunnel = Arc::new(Tunnel {
            name: name.to_owned(),
            closed: closed.clone(),
            send,
            streams: Arc::new(Semaphore::new(STREAMS_PER_HOST)),
            all_streams: self.streams.clone(),
            open: self.open.clone(),
        });
        let entry = entries.entry(name.to_owned()).or_default();
        entry.pending = None;
        let weak = Arc::downgrade(&tunnel);
        entry.current = Some(tunnel);
        Some(weak)
    }

    /// Forgets a tunnel that has ended or was given up, unless another has taken its place.
    pub(super) fn end(
        &self,
        name: &str,
        closed: &CancellationToken,
        tunnel: Option<&Weak<Tunnel>>,
    ) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(name) else {
            return;
        };
        if let Some(tunnel) = tunnel
            && let Some(current) = &entry.current
            && std::ptr::eq(Arc::as_ptr(current), tunnel.as_ptr())
        {
            entry.current = None;
        }
        if tunnel.is_none() && !closed.is_cancelled() {
            // Not given up for a newer one, so the pending one is this.
            entry.pending = None;
        }
        if entry.current.is_none() && entry.pending.is_none() {
            entries.remove(name);
        }
    }
}

impl Tunnel {
    /// Sends a request to the host. The permit is to be held as long as anything of the stream is used.
    ///
    /// # Errors
    /// 429 when too much is open, 503 if the tunnel breaks before the answer, 504 if there is none in time.
    pub async fn send(
        &self,
        request: Request<RequestBody>,
        patience: Option<Duration>,
    ) -> Result<(Response<Incoming>, Permit), Status> {
        let permit = self.permit()?;
        let mut send = self.send.clone();
        let sent = send.send_request(request);
        let answered = match patience {
            None => Ok(sent.await),
            Some(patience) => tokio::time::timeout(patience, sent).await,
        };
        match answered {
            Ok(Ok(response)) => Ok((response, permit)),
            Ok(Err(error)) => {
                tracing::debug!(%error, host = self.name, "a request to a host failed");
                Err(unreachable(format!(
                    "the connection to host {:?} broke before it answered; try again when its node agent is back",
                    self.name
                )))
            }
            Err(_) => Err(Status::new(
                Reason::Timeout,
                format!("host {:?} did not answer in time", self.name),
            )),
        }
    }

    fn permit(&self) -> Result<Permit, Status> {
        let refused = |limit: usize, whose: &str| {
            let mut status = Status::new(
                Reason::TooManyRequests,
                format!(
                    "{whose} has {limit} streams open, its limit; end some, or try again later"
                ),
            );
            status.retry_after_seconds = 1;
            status
        };
        let of_host = self
            .streams
            .clone()
            .try_acquire_owned()
            .map_err(|_| refused(STREAMS_PER_HOST, &format!("host {:?}", self.name)))?;
        let of_all = self
            .all_streams
            .clone()
            .try_acquire_owned()
            .map_err(|_| refused(STREAMS, "this server"))?;
        Ok(Permit {
            closed: self.closed.clone(),
            _of_host: of_host,
            _of_all: of_all,
            _open: self.open.token(),
        })
    }
}

/// Without a time to try again: clients would do so by themselves, and their users would not learn why
/// nothing happens.
fn unreachable(message: String) -> Status {
    Status::new(Reason::ServiceUnavailable, message)
}
