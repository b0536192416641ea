//! The members of the cluster, and which of them is asked.
//!
//! Each member has a connection of its own. Calls go to one member until it fails; then the next one
//! takes over, and the failed one is left alone for a moment. So a dead member costs the calls that
//! were under way, and nothing after.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, Identity, KvClient, TlsOptions, WatchClient,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::fault::{Fault, fault};
use super::{EtcdOptions, EtcdTls};
use crate::{Result, StoreError};

/// How large an answer of etcd may be.
pub(crate) const ANSWER_BYTES: usize = 256 << 20;
/// How long a member that failed is passed over.
const REST: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// etcd drops clients that ping more often than every five seconds.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct Members {
    members: Vec<Member>,
    preferred: AtomicUsize,
}

pub(crate) struct Member {
    endpoint: String,
    kv: KvClient,
    watch: WatchClient,
    resting_until: Mutex<Option<Instant>>,
}

/// Whether a call may be made again when it is not known what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Always,
    OnlyIfNotTaken,
}

/// How long a call may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// One member's answer.
    pub(crate) attempt: Duration,
    /// All attempts together.
    pub(crate) total: Duration,
}

impl Members {
    pub(crate) async fn new(endpoints: &[String], options: &EtcdOptions) -> Result<Self> {
        if endpoints.is_empty() {
            return Err(StoreError::Internal("no etcd endpoint is given".into()));
        }
        let mut members = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let client = client(std::slice::from_ref(endpoint), options).await?;
            members.push(Member {
                endpoint: endpoint.clone(),
                kv: client.kv_client().max_decoding_message_size(ANSWER_BYTES),
                watch: client
                    .watch_client()
                    .max_decoding_message_size(ANSWER_BYTES),
                resting_until: Mutex::new(None),
            });
        }
        // Servers that are given the same list start with different members.
        let start = RandomState::new().hash_one(std::process::id());
        let start = usize::try_from(start % members.len() as u64).unwrap_or(0);
        Ok(Self {
            members,
            preferred: AtomicUsize::new(start),
        })
    }

    /// The member to ask, and its number.
    fn pick(&self) -> Option<(usize, &Member)> {
        let start = self.preferred.load(Ordering::Relaxed);
        let now = Instant::now();
        let order = (0..self.members.len())
            .map(|step| (start + step) % self.members.len())
            .filter_map(|index| self.members.get(index).map(|member| (index, member)));
        // When all of them rest, the one whose rest ends first.
        order.min_by_key(|(_, member)| match *member.resting_until.lock() {
            Some(until) if until > now => Some(until),
            _ => None,
        })
    }

    fn failed(&self, index: usize) {
        if let Some(member) = self.members.get(index) {
            *member.resting_until.lock() = Some(Instant::now() + REST);
        }
        if self.members.len() > 1 {
            let next = (index + 1) % self.members.len();
            let _ =
                self.preferred
                    .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Calls a member, and others when that may be done. No answer in time is an unknown outcome.
    pub(crate) async fn call<T, F>(
        &self,
        patience: Patience,
        repeat: Repeat,
        call: impl Fn(KvClient) -> F,
    ) -> std::result::Result<T, Fault>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let deadline = Instant::now() + patience.total;
        let mut backoff = BACKOFF_MIN;
        let mut attempts = 0;
        loop {
            let Some((index, member)) = self.pick() else {
                return Err(Fault::Refused("no etcd endpoint is given".into()));
            };
            let attempt = patience.attempt.min(deadline - Instant::now());
            let fault = match tokio::time::timeout(attempt, call(member.kv.clone())).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => fault(&error),
                Err(_) => Fault::Unknown(format!("{} did not answer in time", member.endpoint)),
            };
            let again = match fault {
                Fault::NotTaken(_) => true,
                Fault::Unknown(_) => repeat == Repeat::Always,
                _ => false,
            };
            if matches!(fault, Fault::NotTaken(_) | Fault::Unknown(_)) {
                tracing::debug!(
                    endpoint = member.endpoint,
                    fault = fault.text(),
                    "etcd call failed"
                );
                self.failed(index);
            }
            attempts += 1;
            if !again {
                return Err(fault);
            }
            // The other members at once, then again after a while.
            if attempts >= self.members.len() {
                if Instant::now() + backoff >= deadline {
                    return Err(fault);
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            } else if Instant::now() >= deadline {
                return Err(fault);
            }
        }
    }

    /// A connection to open a watch with; [`Members::watch_failed`] takes its number.
    pub(crate) fn watch_client(&self) -> Option<(usize, WatchClient)> {
        let (index, member) = self.pick()?;
        Some((index, member.watch.clone()))
    }

    pub(crate) fn watch_failed(&self, index: usize) {
        self.failed(index);
    }
}

/// A client of some endpoints, not yet connected.
pub(crate) async fn client(endpoints: &[String], options: &EtcdOptions) -> Result<Client> {
    let mut connect = ConnectOptions::new()
        .with_require_leader(true)
        .with_connect_timeout(options.request_timeout / 3)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_keep_alive_while_idle(false);
    if let Some(tls) = &options.tls {
        connect = connect.with_tls(tls_options(tls)?);
    } else if let Some(endpoint) = endpoints.iter().find(|e| e.starts_with("https://")) {
        return Err(StoreError::Internal(format!(
            "{endpoint} needs the certificate authority of the etcd cluster"
        )));
    }
    Client::connect(endpoints, Some(connect))
        .await
        .map_err(|error| StoreError::Internal(format!("etcd endpoints {endpoints:?}: {error}")))
}

fn tls_options(tls: &EtcdTls) -> Result<TlsOptions> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| {
            StoreError::Internal(format!("cannot read {}: {error}", path.display()))
        })
    };
    let mut options = TlsOptions::new();
    if let Some(ca) = &tls.ca {
        options = options.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            options = options.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        (None, None) => {}
        _ => {
            return Err(StoreError::Internal(
                "a client certificate of etcd and its key go together".into(),
            ));
        }
    }
    Ok(options)
}
