//! The one task that decides for all hosts of a process.

mod host;
mod hosts;
mod pods;
mod work;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use mosaic_api::recorder::Folder;
use mosaic_node::lifecycle::Spec;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    LabError, Options, Progress,
    api::{Api, ApiError},
    faults::Fault,
    holders::{self, Process},
    resources::Amount,
    script::Script,
    timers::Timers,
};
use host::Host;
use pods::SimulatedPod;
use work::{Done, Work};

/// How many lines of watches wait for the engine; a watch that finds no room waits.
const QUEUE: usize = 1_024;
/// How many lines are taken in before anything else is looked at.
const BATCH: usize = 256;
/// How many events of pods wait to be written; more are dropped, as events may be.
const EVENTS: usize = 1_000;

/// All hosts of a process.
pub(crate) struct Engine {
    client: kube::Client,
    api: Api,
    options: Arc<Options>,
    clock: Clock,
    hosts: Vec<Host>,
    by_name: HashMap<Box<str>, u32>,
    pods: Vec<Option<SimulatedPod>>,
    free: Vec<u32>,
    serial: u64,
    templates: HashSet<Arc<Template>>,
    templates_kept: usize,
    timers: Timers<Wake>,
    plan: Vec<Fault>,
    urgent: VecDeque<Work>,
    waiting: VecDeque<Work>,
    events: VecDeque<Work>,
    folder: Folder,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    signals: mpsc::Sender<Signal>,
    received: mpsc::Receiver<Signal>,
    progress: Progress,
    told: watch::Sender<Progress>,
    failure: Option<LabError>,
    /// Who this process is, as it is written beside leases.
    process: Arc<str>,
}

/// What pods that were made alike share.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Template {
    spec: Arc<Spec>,
    script: Arc<Script>,
}

/// Who is woken by a timer. Hosts come with the epoch for which it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Pod(u32),
    Lease(u32, u32),
    Heartbeat(u32, u32),
    Watch(u32, u32),
    Register(u32, u32),
    WatchNodes,
    Fault(u32),
    FaultEnds(u32, bool),
}

/// What a watch tells.
enum Signal {
    /// A line of a host's watch.
    Line(u32, u32, Bytes),
    /// A host's watch ended.
    Ended(u32, u32, Result<(), ApiError>),
    /// A line of the watch of Nodes.
    Node(Bytes),
    /// The watch of Nodes ended.
    NodesEnded(Result<(), ApiError>),
}

/// Moments by a clock that does not jump.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Timestamp,
    instant: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let passed = instant.saturating_duration_since(self.instant);
        SignedDuration::try_from(passed)
            .ok()
            .and_then(|passed| self.start.checked_add(passed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    fn instant(&self, moment: Timestamp) -> Instant {
        let passed = moment.duration_since(self.start);
        let passed = std::time::Duration::try_from(passed).unwrap_or_default();
        self.instant.checked_add(passed).unwrap_or(self.instant)
    }
}

/// A moment so many milliseconds later.
fn later(now: Timestamp, millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    now.saturating_add(SignedDuration::from_millis(millis))
        .unwrap_or(Timestamp::MAX)
}

/// How long to wait after so many failures in a row, in milliseconds.
fn pause(failures: u32) -> u64 {
    (100 << failures.min(7)).min(10_000)
}

impl Engine {
    /// An engine for these hosts.
    pub(crate) fn new(
        client: kube::Client,
        mut options: Options,
        told: watch::Sender<Progress>,
    ) -> Result<Self, LabError> {
        let plan = std::mem::take(&mut options.faults);
        let hosts: Option<Vec<Host>> = (0..options.count)
            .map(|number| Host::new(&options, number))
            .collect();
        let hosts =
            hosts.ok_or_else(|| LabError::Options("an address range is too small".to_owned()))?;
        let names = (0..)
            .zip(&hosts)
            .map(|(index, host)| (host.name.clone(), index));
        let (signals, received) = mpsc::channel(QUEUE);
        Ok(Self {
            api: Api::new(client.clone(), options.as_nodes),
            client,
            clock: Clock {
                start: Timestamp::now(),
                instant: Instant::now(),
            },
            by_name: names.collect(),
            hosts,
            pods: Vec::new(),
            free: Vec::new(),
            serial: 0,
            templates: HashSet::new(),
            templates_kept: 0,
            timers: Timers::new(),
            plan,
            urgent: VecDeque::new(),
            waiting: VecDeque::new(),
            events: VecDeque::new(),
            folder: Folder::default(),
            under_way: FuturesUnordered::new(),
            signals,
            received,
            progress: Progress::default(),
            told,
            failure: None,
            process: Process::own().text().into(),
            options: Arc::new(options),
        })
    }

    /// Registers the hosts and runs them until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<Progress, LabError> {
        self.clock = Clock {
            start: Timestamp::now(),
            instant: Instant::now(),
        };
        if !self.options.take_over {
            let names: Vec<&str> = self.hosts.iter().map(|host| &*host.name).collect();
            holders::check(&self.client, &names).await?;
        }
        let now = self.clock.start;
        for (index, fault) in (0..).zip(&self.plan) {
            self.timers.add(later(now, fault.after), Wake::Fault(index));
        }
        // Who is to be broken from the start is never heard of.
        self.fire(now);
        for host in 0..self.options.count {
            self.urgent.push_back(Work::Register(host));
        }
        self.watch_nodes();
        let mut lines = Vec::new();
        while self.failure.is_none() {
            self.pump();
            self.tell();
            let next = self.timers.next().map(|at| self.clock.instant(at));
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = self.received.recv_many(&mut lines, BATCH) => {
                    for signal in lines.drain(..) {
                        self.signal(signal);
                    }
                }
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => self.done(done),
                () = until(next) => self.fire(self.clock.now()),
            }
        }
        self.end().await;
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.progress),
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Line(host, epoch, line) => {
                if self.is_current(host, epoch) {
                    self.line(host, &line);
                }
            }
            Signal::Ended(host, epoch, result) => {
                if self.is_current(host, epoch) {
                    self.watch_ended(host, result);
                }
            }
            Signal::Node(line) => self.node_line(&line),
            Signal::NodesEnded(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "the watch of Nodes ended");
                    self.progress.failures += 1;
                }
                let again = later(self.clock.now(), pause(3));
                self.timers.add(again, Wake::WatchNodes);
            }
        }
    }

    /// Does what is due.
    fn fire(&mut self, now: Timestamp) {
        while let Some((at, wake)) = self.timers.due(now) {
            self.wake(at, wake);
        }
    }

    fn is_current(&self, host: u32, epoch: u32) -> bool {
        self.host(host).is_some_and(|host| host.epoch == epoch)
    }

    fn wake(&mut self, at: Timestamp, wake: Wake) {
        match wake {
            Wake::Pod(pod) => self.pod_wakes(pod, at),
            Wake::WatchNodes => self.watch_nodes(),
            Wake::Fault(index) => self.fault(index, true),
            Wake::FaultEnds(index, again) => {
                self.fault(index, false);
                if again && let Some(lasts) = self.plan.get(index as usize).and_then(|f| f.lasts) {
                    self.timers.add(later(at, lasts), Wake::Fault(index));
                }
            }
            Wake::Lease(host, epoch)
            | Wake::Heartbeat(host, epoch)
            | Wake::Watch(host, epoch)
            | Wake::Register(host, epoch) => {
                if !self.is_current(host, epoch) {
                    return;
                }
                match wake {
                    Wake::Lease(..) => self.urgent.push_back(Work::Lease(host)),
                    Wake::Heartbeat(..) => self.urgent.push_back(Work::Heartbeat(host, false)),
                    Wake::Register(..) => self.urgent.push_back(Work::Register(host)),
                    _ => self.watch(host),
                }
            }
        }
    }

    fn host(&self, host: u32) -> Option<&Host> {
        self.hosts.get(host as usize)
    }

    fn host_mut(&mut self, host: u32) -> Option<&mut Host> {
        self.hosts.get_mut(host as usize)
    }

    fn capacity(&self) -> Amount {
        Amount {
            cpu: self.options.cpu.milli_value(),
            memory: self.options.memory.value(),
        }
    }

    /// Tells how far all is, if that changed.
    fn tell(&mut self) {
        let progress = self.progress;
        self.told.send_if_modified(|told| {
            let changed = *told != progress;
            *told = progress;
            changed
        });
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
