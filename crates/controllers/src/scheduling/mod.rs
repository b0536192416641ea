//! Gives pods their hosts: the loop around [`mosaic_scheduler`], which decides.
//!
//! ```text
//!   watches ──▶ state: cluster, queue ──▶ decide ──▶ assume ──▶ bind (many at a time)
//!                 ▲                          │                    │
//!                 │                          └ no host will do: tell why, make room
//!                 └──────────── a binding that failed is taken back ┘
//! ```
//!
//! One task decides; nothing is shared and nothing locked. What it decided counts at once, so that the next
//! decision need not wait for the write, let alone for the watch to bring it round. It takes in all that has come
//! before it decides again, and decides no further ahead than [`IN_FLIGHT`] writes.
//!
//! When another process takes over, it starts from what is stored. A binding of the process before that arrives
//! late is a conflict for whichever comes second: a pod is never bound twice.

mod changes;
mod queue;
mod state;
mod text;
mod writes;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;
use mosaic_scheduler::{
    Cluster, DEFAULT_SCHEDULER, Decision, Explanation, GroupDecision, Pod, PodKey, Profile, decide,
    decide_group, preempt,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    error::Result,
    events::{self, Events},
};
use state::{State, group_of};
use writes::Target;

/// How many writes may be under way.
const IN_FLIGHT: usize = 256;
/// How many decisions are made before changes are taken in again.
const BATCH: usize = 32;
/// How many changes are taken in before the next decision.
const CHANGES: usize = 1024;
/// How often those that are stuck are looked through for whom what happened may help.
const WAKE: Duration = Duration::from_millis(100);
/// How often one pod is told why it is stuck, at most.
const TELL: Duration = Duration::from_secs(10);
/// How long a pod waits for its volumes once its host is chosen.
const VOLUMES: Duration = Duration::from_secs(600);
/// How long it waits before that is told: volumes that are there are bound in less.
const PATIENCE: Duration = Duration::from_secs(1);

const UNSCHEDULABLE: &str = "Unschedulable";
/// The reason of the condition of a pod that has a host and no volumes there. More hosts would be of no use to it.
const WAITING_FOR_VOLUMES: &str = "WaitingForVolumes";

/// How a write ended.
enum Outcome {
    Bound(PodKey, Result<()>),
    /// Claims of the pod were told its host.
    Selected(PodKey, Result<()>),
    Told(PodKey, Result<()>),
}

/// Schedules, for as long as it is polled.
pub(crate) async fn run(client: Client, identity: &str) {
    let (events, writer) = events::events(client.clone(), DEFAULT_SCHEDULER, identity);
    tokio::join!(writer.run(), schedule(client, events));
}

/// The cluster as decisions see it, read once.
pub(crate) async fn snapshot(client: &Client) -> Cluster {
    let mut changes = pin!(changes::changes(client));
    let mut state = State::default();
    while !state.is_complete() {
        match changes.next().await {
            Some(change) => state.take(change, Instant::now()),
            None => break,
        }
    }
    state.cluster
}

async fn schedule(client: Client, events: Events) {
    let mut changes = pin!(changes::changes(&client));
    let mut scheduler = Scheduler {
        client,
        events,
        state: State::default(),
        writes: FuturesUnordered::new(),
        told: HashMap::new(),
        waiting: HashMap::new(),
    };
    let began = Instant::now();
    let mut wake = interval(WAKE);
    wake.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = scheduler.state.queue.next_due();
        let may_decide = scheduler.may_decide();
        tokio::select! {
            biased;
            Some(outcome) = scheduler.writes.next(), if !scheduler.writes.is_empty() => {
                scheduler.ended(outcome);
            }
            Some(change) = changes.next() => {
                // Pods that were there before this began to look have waited since then, and go by their age.
                let now = if scheduler.state.is_complete() { Instant::now() } else { began };
                scheduler.state.take(change, now);
                for _ in 0..CHANGES {
                    match changes.next().now_or_never() {
                        Some(Some(change)) => scheduler.state.take(change, now),
                        _ => break,
                    }
                }
                scheduler.volumes_may_be_there();
            }
            _ = wake.tick() => scheduler.tick(),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                scheduler.state.retry(Instant::now());
            }
            () = std::future::ready(()), if may_decide => {}
        }
        // Ended writes make room; all of them are taken in at once.
        while let Some(Some(outcome)) = scheduler.writes.next().now_or_never() {
            scheduler.ended(outcome);
        }
        for _ in 0..BATCH {
            if !scheduler.may_decide() {
                break;
            }
            scheduler.decide_next();
        }
        tokio::task::consume_budget().await;
    }
}

/// A pod that has a host, and waits for volumes there.
struct Waiting {
    uid: Arc<str>,
    host: Arc<str>,
    /// Since when.
    since: Instant,
}

struct Scheduler {
    client: Client,
    events: Events,
    state: State,
    writes: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// What pods that are stuck were told last, and when.
    told: HashMap<PodKey, (String, Instant)>,
    /// Pods that have a host and wait for volumes there.
    waiting: HashMap<PodKey, Waiting>,
}

/// What to tell of a pod that asks for a profile which is none.
fn unknown_profile(name: &str, used: &Profile) -> String {
    let all: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name).collect();
    let (used, all) = (used.name, all.join(", "));
    format!("there is no profile `{name}`: the pod was placed by `{used}`; there are {all}")
}

impl Scheduler {
    fn may_decide(&self) -> bool {
        self.state.is_complete() && self.state.queue.is_ready() && self.writes.len() < IN_FLIGHT
    }

    fn decide_next(&mut self) {
        let Some(key) = self.state.queue.next() else {
            return;
        };
        let Some(pod) = self.state.cluster.pod(&key).cloned() else {
            return;
        };
        if let Some(group) = group_of(&pod) {
            return self.decide_group(&group);
        }
        match decide(&self.state.cluster, &pod, Profile::of(&pod)) {
            Decision::Place(placement) => self.place(&pod, &placement.host),
            // It comes again when its gates change.
            Decision::Gated(_) => {}
            Decision::Unschedulable(why) => self.stuck(&pod, why),
        }
    }

    /// All pods of the group, or none.
    fn decide_group(&mut self, group: &state::Group) {
        let pods = self.state.members(group);
        let Some(first) = pods.first() else { return };
        let profile = Profile::of(first);
        let why = match decide_group(&mut self.state.cluster, &pods, profile) {
            GroupDecision::Place(places) => {
                for (key, host) in places {
                    self.state.queue.take_out(&key);
                    if let Some(pod) = self.state.cluster.pod(&key).cloned() {
                        self.place(&pod, &host);
                    }
                }
                return;
            }
            GroupDecision::Unschedulable {
                placed,
                pod,
                explanation,
            } => Arc::new(Explanation {
                pod: explanation.pod.as_ref().map(|why| {
                    format!(
                        "group {}: {placed} pods have a host, {pod} has none: {why}",
                        group.1
                    )
                }),
                ..(*explanation).clone()
            }),
            GroupDecision::Incomplete { present, wanted } => {
                let why = format!(
                    "group {} waits for all of its pods: {present} of {wanted} are there",
                    group.1
                );
                let why = Explanation {
                    pod: Some(why),
                    ..Explanation::default()
                };
                return self.incomplete(&pods, &Arc::new(why));
            }
        };
        for pod in &pods {
            self.stuck(pod, why.clone());
        }
    }

    /// Pods of a group that is not there as a whole: nobody has looked for hosts for them, so that the last to come
    /// finds the others ready.
    fn incomplete(&mut self, pods: &[Pod], why: &Arc<Explanation>) {
        let now = Instant::now();
        for pod in pods {
            let queue = &mut self.state.queue;
            queue.incomplete(pod.key.clone(), why.clone(), now);
            self.tell(&pod.key, now);
        }
    }

    fn place(&mut self, pod: &Pod, host: &Arc<str>) {
        if !self.state.assume(&pod.key, host) {
            self.state.queue.failed(pod.key.clone(), Instant::now());
            return;
        }
        let missing = self.claims_without_volume(pod);
        if missing.is_empty() {
            return self.bind(pod, host);
        }
        let waiting = Waiting {
            uid: pod.uid.clone(),
            host: host.clone(),
            since: Instant::now(),
        };
        self.waiting.insert(pod.key.clone(), waiting);
        let (client, key) = (self.client.clone(), pod.key.clone());
        let host = host.clone();
        self.writes.push(Box::pin(async move {
            for claim in missing {
                let selected = writes::select_node(&client, key.namespace(), &claim, &host).await;
                if selected.is_err() {
                    return Outcome::Selected(key, selected);
                }
            }
            Outcome::Selected(key, Ok(()))
        }));
    }

    fn bind(&mut self, pod: &Pod, host: &Arc<str>) {
        let (client, target, host) = (self.client.clone(), target(pod), host.clone());
        let events = self.events.clone();
        let unknown = Profile::unknown(pod).map(|name| unknown_profile(name, Profile::of(pod)));
        self.writes.push(Box::pin(async move {
            let bound = writes::bind(&client, &target, &host).await;
            if bound.is_ok() {
                let note = format!("Successfully assigned {} to {host}", target.key);
                events.tell(target.reference(), "Scheduled", "Binding", note);
                if let Some(note) = unknown {
                    events.warn(target.reference(), "UnknownProfile", "Binding", note);
                }
            }
            Outcome::Bound(target.key, bound)
        }));
    }

    /// The claims of a pod whose volume is made once its host is known.
    fn claims_without_volume(&self, pod: &Pod) -> Vec<String> {
        let unbound = |claim: &&str| {
            let claim = self.state.cluster.claim(pod.namespace(), claim);
            claim.is_some_and(|claim| !claim.bound)
        };
        let claims = pod.claims.iter().map(|claim| &**claim);
        claims.filter(unbound).map(str::to_owned).collect()
    }

    /// Binds those whose volumes have come.
    fn volumes_may_be_there(&mut self) {
        let ready: Vec<PodKey> = self
            .waiting
            .iter()
            .filter(|(key, _)| {
                let pod = self.state.cluster.pod(key);
                pod.is_none_or(|pod| self.claims_without_volume(pod).is_empty())
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in ready {
            let waiting = self.waiting.remove(&key);
            let pod = self.state.cluster.pod(&key).cloned();
            // A pod of the same name that came since has not been given that host.
            if let (Some(pod), Some(waiting)) = (pod, waiting)
                && pod.node.is_none()
                && pod.uid == waiting.uid
                && self.state.cluster.host_of(&key) == Some(&waiting.host)
            {
                self.bind(&pod, &waiting.host);
            }
        }
    }

    fn stuck(&mut self, pod: &Pod, why: Arc<Explanation>) {
        let now = Instant::now();
        // Room for one of a group is of no use to it as long as the others have none.
        if pod.group.is_none() {
            self.make_room(pod);
        }
        self.state.queue.stuck(pod.key.clone(), why, now);
        self.tell(&pod.key, now);
    }

    /// Evicts less important pods, if that gives this one a host.
    fn make_room(&mut self, pod: &Pod) {
        if !self.state.could_preempt(pod) {
            return;
        }
        let Some(room) = preempt(&self.state.cluster, pod) else {
            return;
        };
        // From now on the room is this pod's, for decisions about others.
        self.state.nominate(pod, &room.host);
        let victims: Vec<Target> = room
            .victims
            .iter()
            .filter_map(|key| self.state.cluster.pod(key).map(target))
            .collect();
        let (client, target) = (self.client.clone(), target(pod));
        let events = self.events.clone();
        self.writes.push(Box::pin(async move {
            let made = async {
                writes::nominate(&client, &target, &room.host).await?;
                for victim in &victims {
                    writes::evict(&client, victim, &target.key).await?;
                    let note = format!("Preempted by pod {} on node {}", target.key, room.host);
                    events.tell(victim.reference(), "Preempted", "Preempting", note);
                }
                Ok(())
            };
            let made = made.await;
            Outcome::Told(target.key, made)
        }));
    }

    /// Tells why a pod is stuck.
    fn tell(&mut self, key: &PodKey, now: Instant) {
        if let Some(why) = self.state.queue.why_stuck(key) {
            let text = words(why);
            self.say(key, UNSCHEDULABLE, text, now);
        }
    }

    /// Tells why a pod is not bound, unless it was told so, or told something else just now.
    fn say(&mut self, key: &PodKey, reason: &'static str, text: String, now: Instant) {
        let Some(pod) = self.state.cluster.pod(key) else {
            return;
        };
        if let Some((last, at)) = self.told.get_mut(key) {
            if now < *at + TELL {
                return;
            }
            if *last == text {
                *at = now;
                return;
            }
        }
        if self.writes.len() >= IN_FLIGHT {
            return;
        }
        let (client, target) = (self.client.clone(), target(pod));
        self.told.insert(key.clone(), (text.clone(), now));
        let reference = target.reference();
        self.events
            .warn(reference, "FailedScheduling", "Scheduling", text.clone());
        self.writes.push(Box::pin(async move {
            let told = writes::tell_stuck(&client, &target, reason, &text).await;
            Outcome::Told(target.key, told)
        }));
    }

    fn ended(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Bound(key, Ok(())) => {
                self.told.remove(&key);
            }
            Outcome::Bound(key, Err(error)) => {
                if error.is_conflict() {
                    tracing::debug!(pod = %key, %error, "not bound");
                } else {
                    tracing::warn!(pod = %key, %error, "not bound; tried again");
                }
                self.state.forget(&key, Instant::now());
            }
            Outcome::Selected(_, Ok(())) => {}
            Outcome::Selected(key, Err(error)) => {
                tracing::warn!(pod = %key, %error, "its claims were not told its host; tried again");
                self.waiting.remove(&key);
                self.state.forget(&key, Instant::now());
            }
            Outcome::Told(key, Err(error)) => {
                tracing::debug!(pod = %key, %error, "not told");
                self.told.remove(&key);
            }
            Outcome::Told(_, Ok(())) => {}
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.state.wake(now);
        let stuck: Vec<PodKey> = self
            .state
            .queue
            .all_stuck()
            .filter(|(key, _)| self.told.get(*key).is_none_or(|(_, at)| now >= *at + TELL))
            .map(|(key, _)| key.clone())
            .take(IN_FLIGHT.saturating_sub(self.writes.len()))
            .collect();
        for key in stuck {
            self.tell(&key, now);
        }
        let cluster = &self.state.cluster;
        self.told.retain(|key, _| cluster.pod(key).is_some());
        self.look_at_waiting(now);
    }

    /// Looks through those that have a host and wait for volumes there.
    fn look_at_waiting(&mut self, now: Instant) {
        let mut late = Vec::new();
        let mut patient = Vec::new();
        for (key, waiting) in &self.waiting {
            let pod = self.state.cluster.pod(key);
            let Some(pod) = pod.filter(|pod| pod.uid == waiting.uid) else {
                late.push(key.clone());
                continue;
            };
            // A volume that was free may be another claim's by now: then another host may do.
            let may_come = self.state.cluster.has_volumes_for(pod, &waiting.host);
            if now >= waiting.since + VOLUMES || !may_come {
                late.push(key.clone());
            } else if now >= waiting.since + PATIENCE {
                patient.push((key.clone(), self.words_of_waiting(pod, &waiting.host)));
            }
        }
        for key in late {
            let waiting = self.waiting.remove(&key);
            let pod = self.state.cluster.pod(&key);
            if pod.is_some_and(|pod| waiting.is_some_and(|waiting| waiting.uid == pod.uid)) {
                self.state.forget(&key, now);
            }
        }
        for (key, text) in patient {
            self.say(&key, WAITING_FOR_VOLUMES, text, now);
        }
    }

    /// What a pod waits for that has a host.
    fn words_of_waiting(&self, pod: &Pod, host: &str) -> String {
        let cluster = &self.state.cluster;
        let missing = self.claims_without_volume(pod).into_iter();
        let each = missing.map(|name| {
            let claim = cluster.claim(pod.namespace(), &name);
            let class = claim.and_then(|claim| cluster.storage_class(claim));
            let of = format!("claim {}/{name}", pod.namespace());
            match class.filter(|class| class.provisions()) {
                Some(class) => format!(
                    "waiting for {of} to be provisioned on host {host}: that is for the provisioner {} of its class \
                     {}, which is no part of Mosaic",
                    class.provisioner, class.name
                ),
                None => format!("waiting for {of} to be bound to a volume that host {host} reaches"),
            }
        });
        each.collect::<Vec<_>>().join("; ")
    }
}

/// Why a pod is stuck, in the words that people and tools know from Kubernetes, and what would help most.
fn words(why: &Explanation) -> String {
    match &why.nearest {
        Some(nearest) => format!("{} The nearest: {nearest}.", why.kubernetes()),
        None => why.kubernetes(),
    }
}

fn target(pod: &Pod) -> Target {
    Target {
        key: pod.key.clone(),
        uid: pod.uid.to_string(),
    }
}
