//! The engine of several servers: an etcd cluster.
//!
//! Revisions are etcd's own, and every write is one transaction that compares the key's revision. Keys
//! lie under a prefix, so that a cluster can serve others as well.
//!
//! One watch of the whole prefix ([`feed`]) serves all watches of this process: etcd sends each event
//! once, and whatever one key's event proves about progress, it proves for all.

mod fault;
mod feed;
mod members;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, ResponseHeader, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
use futures::stream::BoxStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::fault::Fault;
pub(crate) use self::members::client;
use self::members::{Members, Patience, Repeat};
use crate::hub::Hub;
use crate::keys::{RESERVED, check_write, key_from_bytes, list_start, prefix_end};
use crate::{
    Entry, Event, Expect, ListOptions, Page, Result, Revision, Store, StoreError, Write, replay,
};

/// The prefix of all keys, unless another is given.
const DEFAULT_PREFIX: &str = "/mosaic";
/// A list is fetched in answers of about this size.
const PART_BYTES: usize = 8 << 20;
/// The first part's length, when nothing is known about the size of values; and the longest.
const PART_ENTRIES_FIRST: usize = 64;
const PART_ENTRIES_MAX: usize = 4096;

/// How etcd is reached.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// For `https` endpoints.
    pub tls: Option<EtcdTls>,
    /// How long one request may take. A call that may be repeated takes at most twice that.
    pub request_timeout: Duration,
    /// How long watches outlive the connection: if etcd cannot be watched for longer, they end.
    pub watch_patience: Duration,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            tls: None,
            request_timeout: Duration::from_secs(5),
            watch_patience: Duration::from_secs(10),
        }
    }
}

/// The files, in PEM, with which etcd and its client prove who they are.
#[derive(Debug, Clone, Default)]
pub struct EtcdTls {
    /// The authority that signed the certificates of the members.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// The client's key.
    pub key: Option<PathBuf>,
}

/// A store in an etcd cluster.
pub struct Etcd {
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

struct Inner {
    members: Members,
    prefix: String,
    options: EtcdOptions,
    hub: Arc<Hub>,
    /// The latest revision that was told to a caller, and that watches must therefore reach.
    wanted: AtomicU64,
    wants: Notify,
    /// Rung when the feed's watch is open but no longer tells anything.
    reopen: Notify,
    current: tokio::sync::Mutex<Current>,
    asked: AtomicU64,
}

/// The last answer to "which revision is it", and the number of that question.
#[derive(Default)]
struct Current {
    question: u64,
    answer: Option<std::result::Result<Revision, Fault>>,
}

impl Etcd {
    /// Connects to a cluster by some of its members. Keys lie under `prefix`, `/mosaic` if it is empty;
    /// no store's prefix may be the beginning of another's.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if no member answers within twice the request timeout.
    pub async fn connect(endpoints: &[String], prefix: &str, options: EtcdOptions) -> Result<Self> {
        let members = Members::new(endpoints, &options).await?;
        let prefix = if prefix.is_empty() {
            DEFAULT_PREFIX
        } else {
            prefix
        };
        let patience = Patience {
            attempt: options.request_timeout / 2,
            total: options.request_timeout * 2,
        };
        let revision = ask_revision(&members, prefix, patience)
            .await
            .map_err(failed)?;
        let inner = Arc::new(Inner {
            members,
            prefix: prefix.to_owned(),
            options,
            hub: Arc::new(Hub::start(revision)?),
            wanted: AtomicU64::new(0),
            wants: Notify::new(),
            reopen: Notify::new(),
            current: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(0),
        });
        let tasks = vec![
            tokio::spawn(feed::run(inner.clone(), revision)),
            tokio::spawn(feed::run_ticks(inner.clone())),
        ];
        let store = Self { inner, tasks };
        feed::settle(&store.inner).await;
        Ok(store)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.inner.hub.close();
    }
}

impl Inner {
    fn key(&self, key: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// The key that a tick writes: see [`feed`].
    fn tick_key(&self) -> Vec<u8> {
        self.key(&format!("{RESERVED}tick"))
    }

    /// For calls that may be repeated, with small answers.
    fn brief(&self) -> Patience {
        Patience {
            attempt: self.options.request_timeout / 2,
            total: self.options.request_timeout * 2,
        }
    }

    /// For calls whose one attempt has to do, or with large answers.
    fn full(&self) -> Patience {
        Patience {
            attempt: self.options.request_timeout,
            total: self.options.request_timeout * 2,
        }
    }

    /// Takes a key of etcd's into the store's key space.
    fn entry(&self, kv: KeyValue) -> Result<Entry> {
        let revision = revision(kv.mod_revision());
        let (mut key, value) = kv.into_key_value();
        Ok(Entry {
            key: key_from_bytes(key.split_off(self.prefix.len().min(key.len())))?,
            value: Bytes::from(value),
            revision,
        })
    }

    /// The cluster's revision, as of some moment after the call. Calls that arrive while an answer is
    /// under way share the next one.
    ///
    /// It is asked in a task of its own: a caller that is not polled for a while, such as a branch of a `select`, would
    /// otherwise hold up everybody else.
    async fn current_revision(self: &Arc<Self>) -> Result<Revision> {
        let inner = self.clone();
        tokio::spawn(async move { inner.ask_current().await })
            .await
            .unwrap_or_else(|error| Err(StoreError::Internal(error.to_string())))
    }

    async fn ask_current(&self) -> Result<Revision> {
        let last_question = self.asked.load(Ordering::SeqCst);
        let mut current = self.current.lock().await;
        if current.question <= last_question {
            let question = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = ask_revision(&self.members, &self.prefix, self.brief()).await;
            // A failure is shared as well, or those who wait would fail one after the other.
            *current = Current {
                question,
                answer: Some(answer),
            };
        }
        match &current.answer {
            Some(Ok(revision)) => Ok(*revision),
            Some(Err(fault)) => Err(failed(fault.clone())),
            None => Err(StoreError::Internal("no answer was recorded".into())),
        }
    }

    /// Sees to it that open watches reach a revision.
    fn want(&self, revision: Revision) {
        if revision > self.hub.revision() {
            self.wanted.fetch_max(revision, Ordering::AcqRel);
            self.wants.notify_one();
        }
    }

    /// The oldest revision that etcd keeps, which only a watch from the beginning tells.
    async fn oldest(&self) -> Option<Revision> {
        let (_, mut client) = self.members.watch_client()?;
        let options = WatchOptions::new().with_start_revision(1);
        let asking = async {
            let mut stream = client.watch(self.tick_key(), Some(options)).await.ok()?;
            while let Ok(Some(response)) = stream.message().await {
                if response.compact_revision() > 0 {
                    return Some(revision(response.compact_revision()));
                }
            }
            None
        };
        tokio::time::timeout(self.options.request_timeout / 2, asking)
            .await
            .ok()
            .flatten()
    }

    async fn compacted(&self, asked: Revision) -> StoreError {
        let oldest = self.oldest().await.unwrap_or(0).max(asked + 1);
        StoreError::Compacted { asked, oldest }
    }

    async fn future(self: &Arc<Self>, asked: Revision) -> StoreError {
        match self.current_revision().await {
            Ok(current) => StoreError::Future { asked, current },
            Err(error) => error,
        }
    }
}

async fn ask_revision(
    members: &Members,
    prefix: &str,
    patience: Patience,
) -> std::result::Result<Revision, Fault> {
    let answer = members
        .call(patience, Repeat::Always, |mut kv| async move {
            kv.get(prefix, Some(GetOptions::new().with_count_only()))
                .await
        })
        .await?;
    Ok(header_revision(answer.header()))
}

fn header_revision(header: Option<&ResponseHeader>) -> Revision {
    header.map_or(0, |header| revision(header.revision()))
}

fn revision(number: i64) -> Revision {
    u64::try_from(number).unwrap_or(0)
}

fn to_etcd(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The error of a call that did not ask for a revision.
fn failed(fault: Fault) -> StoreError {
    match fault {
        Fault::NotTaken(text) | Fault::Unknown(text) => {
            StoreError::Unavailable(format!("etcd: {text}"))
        }
        Fault::NoSpace(text) => StoreError::Full(text),
        Fault::TooLarge(text) => StoreError::TooLarge(format!("etcd: {text}")),
        other => StoreError::Internal(format!("etcd: {}", other.text())),
    }
}

#[async_trait::async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let full = self.inner.key(key);
        let mut answer = self
            .inner
            .members
            .call(self.inner.brief(), Repeat::Always, |mut kv| {
                let full = full.clone();
                async move { kv.get(full, None).await }
            })
            .await
            .map_err(failed)?;
        match answer.take_kvs().into_iter().next() {
            Some(kv) => self.inner.entry(kv).map(Some),
            None => Ok(None),
        }
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        let inner = &self.inner;
        if options.at == Some(0) {
            let oldest = inner.oldest().await.unwrap_or(0).max(1);
            return Err(StoreError::Compacted { asked: 0, oldest });
        }
        let limit = options.limit.unwrap_or(usize::MAX);
        let most = options.bytes.unwrap_or(usize::MAX);
        let mut whole = 0;
        let end = prefix_end(&inner.key(prefix));
        let first = list_start(prefix, options.after.as_deref());
        let mut start = inner.key(&first);
        if first.is_empty() {
            // Past the store's own keys.
            start.push(RESERVED as u8 + 1);
        }
        let mut at = options.at.map_or(0, to_etcd);
        let mut entries: Vec<Entry> = Vec::new();
        let mut part = PART_ENTRIES_FIRST;
        loop {
            let wanted = part.min(limit - entries.len());
            let mut range = GetOptions::new().with_range(end.clone()).with_revision(at);
            range = if wanted == 0 {
                range.with_count_only()
            } else {
                range.with_limit(i64::try_from(wanted).unwrap_or(i64::MAX))
            };
            let answer = inner
                .members
                .call(inner.full(), Repeat::Always, |mut kv| {
                    let (start, range) = (start.clone(), range.clone());
                    async move { kv.get(start, Some(range)).await }
                })
                .await;
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(Fault::TooLarge(_)) if part > 1 => {
                    part /= 2;
                    continue;
                }
                Err(Fault::Compacted) => return Err(inner.compacted(revision(at)).await),
                Err(Fault::Future) => return Err(inner.future(revision(at)).await),
                Err(fault) => return Err(failed(fault)),
            };
            if at == 0 {
                // All parts show the revision of the first.
                at = answer.header().map_or(0, ResponseHeader::revision);
            }
            let in_range = u64::try_from(answer.count()).unwrap_or(0);
            let kvs = answer.take_kvs();
            let (mut bytes, mut taken) = (0, 0);
            for kv in kvs {
                if whole >= most {
                    break;
                }
                taken += 1;
                whole += kv.value().len();
                bytes += kv.key().len() + kv.value().len();
                start.clear();
                start.extend_from_slice(kv.key());
                start.push(0);
                entries.push(inner.entry(kv)?);
            }
            let remaining = in_range.saturating_sub(taken as u64);
            if remaining == 0 || entries.len() >= limit || whole >= most {
                return Ok(Page {
                    entries,
                    revision: revision(at),
                    remaining,
                });
            }
            if let Some(average) = bytes.checked_div(taken) {
                part = (PART_BYTES / average.max(1)).clamp(1, PART_ENTRIES_MAX);
            }
        }
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        check_write(&write)?;
        if write.expect == Expect::At(0) {
            // etcd would take it for "is absent".
            let actual = self.get(&write.key).await?.map(|entry| entry.revision);
            return Err(StoreError::Conflict {
                key: write.key,
                actual,
            });
        }
        let key = self.inner.key(&write.key);
        let expected = match write.expect {
            Expect::Absent => 0,
            Expect::At(revision) => to_etcd(revision),
        };
        let change = match &write.value {
            Some(value) => TxnOp::put(key.clone(), value.to_vec(), None),
            None => TxnOp::delete(key.clone(), None),
        };
        let look = TxnOp::get(key.clone(), Some(GetOptions::new().with_keys_only()));
        let transaction = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, expected)])
            .and_then([change])
            .or_else([look]);
        let answer = self
            .inner
            .members
            .call(self.inner.full(), Repeat::OnlyIfNotTaken, |mut kv| {
                let transaction = transaction.clone();
                async move { kv.txn(transaction).await }
            })
            .await
            .map_err(failed)?;
        if answer.succeeded() {
            return Ok(header_revision(answer.header()));
        }
        let actual = match answer.op_responses().first() {
            Some(TxnOpResponse::Get(found)) => {
                found.kvs().first().map(|kv| revision(kv.mod_revision()))
            }
            _ => None,
        };
        Err(StoreError::Conflict {
            key: write.key,
            actual,
        })
    }

    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<BoxStream<'static, Result<Event>>> {
        let inner = &self.inner;
        let current = feed::check_start(inner, after).await?;
        let prefix: Arc<str> = prefix.into();
        let history = feed::History::new(inner.clone(), prefix.clone());
        inner.want(current);
        Ok(replay::follow(inner.hub.clone(), history, prefix, after))
    }

    async fn revision(&self) -> Result<Revision> {
        let current = self.inner.current_revision().await?;
        self.inner.want(current);
        Ok(current)
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let answer = self
            .inner
            .members
            .call(self.inner.full(), Repeat::Always, |mut kv| async move {
                kv.compact(to_etcd(revision), None).await
            })
            .await;
        match answer {
            // Another server may have done it.
            Ok(_) | Err(Fault::Compacted) => Ok(()),
            Err(Fault::Future) => Err(self.inner.future(revision).await),
            Err(fault) => Err(failed(fault)),
        }
    }
}
