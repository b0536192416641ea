//! Hosts as they register, are watched, break and come back.

use http::Method;
use mosaic_api::recorder::Told;
use serde::Deserialize;
use serde_json::json;

use super::{Engine, Signal, Wake, Work, host::Mode, later, pause};
use crate::{
    LabError,
    api::ApiError,
    faults::{Fault, FaultKind, Hosts},
    objects,
};

/// How many Nodes are deleted at a time at the end.
const REMOVED_AT_ONCE: usize = 64;

impl Engine {
    /// What became of a registration.
    pub(super) fn registered(
        &mut self,
        index: u32,
        epoch: u32,
        result: Result<Box<str>, ApiError>,
    ) {
        let now = self.clock.now();
        let (interval, heartbeat) = (self.options.lease_interval, self.options.heartbeat);
        let count = u64::from(self.options.count.max(1));
        if !self.is_current(index, epoch) {
            return;
        }
        let Some(host) = self.host_mut(index) else {
            return;
        };
        match result {
            Ok(uid) => {
                host.uid = uid;
                host.register_failures = 0;
                // Spread, so that hosts that were started together do not speak all at once.
                let spread = |time: std::time::Duration| {
                    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    millis.saturating_mul(u64::from(index) + 1) / count
                };
                self.timers
                    .add(later(now, spread(interval)), Wake::Lease(index, epoch));
                self.timers
                    .add(later(now, spread(heartbeat)), Wake::Heartbeat(index, epoch));
                self.watch(index);
            }
            Err(error) if error.is_temporary() || error.is_conflict() => {
                host.register_failures += 1;
                let again = later(now, pause(host.register_failures));
                self.timers.add(again, Wake::Register(index, epoch));
                self.progress.failures += 1;
            }
            Err(error) => {
                self.failure = Some(LabError::Register {
                    host: host.name.to_string(),
                    why: error.to_string(),
                });
            }
        }
    }

    /// What became of a lease's renewal.
    pub(super) fn renewed(&mut self, index: u32, epoch: u32, result: Result<(), ApiError>) {
        if !self.is_current(index, epoch) {
            return;
        }
        let (now, interval) = (self.clock.now(), self.options.lease_interval);
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let pause = match result {
            Ok(()) => millis,
            Err(error) => {
                tracing::debug!(%error, host = index, "a lease was not renewed");
                self.progress.failures += 1;
                // Sooner than usual: a lease that is lost costs more than a call.
                (millis / 5).max(100)
            }
        };
        self.timers
            .add(later(now, pause), Wake::Lease(index, epoch));
    }

    /// What became of a sign of life.
    pub(super) fn beaten(&mut self, index: u32, epoch: u32, result: Result<(), ApiError>) {
        if !self.is_current(index, epoch) {
            return;
        }
        let millis = u64::try_from(self.options.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let pause = match result {
            Ok(()) => millis,
            Err(error) => {
                tracing::debug!(%error, host = index, "a Node's status was not written");
                self.progress.failures += 1;
                (millis / 30).max(100)
            }
        };
        let next = later(self.clock.now(), pause);
        self.timers.add(next, Wake::Heartbeat(index, epoch));
    }

    /// Watches a host's pods, from where the watch before this one ended.
    pub(super) fn watch(&mut self, index: u32) {
        let (api, signals) = (self.api.clone(), self.signals.clone());
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        let mut path = format!(
            "/api/v1/pods?watch=true&allowWatchBookmarks=true&omitManagedFields=true\
             &fieldSelector=spec.nodeName%3D{}",
            host.name
        );
        if host.version.is_empty() {
            host.synced = false;
            path.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
            for pod in &host.pods {
                if let Some(Some(pod)) = self.pods.get_mut(*pod as usize) {
                    pod.seen = false;
                }
            }
        } else {
            path.push_str(&format!("&resourceVersion={}", host.version));
        }
        let (name, epoch) = (host.name.clone(), host.epoch);
        let task = tokio::spawn(async move {
            let signal = |line| Signal::Line(index, epoch, line);
            let result = api.watch(Some(&name), &path, false, &signals, signal).await;
            // Who is gone needs no news.
            let _ = signals.send(Signal::Ended(index, epoch, result)).await;
        });
        host.watch = Some(task.abort_handle());
    }

    pub(super) fn watch_ended(&mut self, index: u32, result: Result<(), ApiError>) {
        let now = self.clock.now();
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        // A watch that ends as all do is resumed at once.
        let pause = match result {
            Ok(()) => 0,
            Err(error) => {
                if error.is_expired() {
                    host.version = Box::default();
                }
                tracing::debug!(%error, host = %host.name, "a watch ended");
                self.progress.failures += 1;
                host.watch_failures = host.watch_failures.saturating_add(1);
                pause(host.watch_failures)
            }
        };
        self.timers
            .add(later(now, pause.max(1)), Wake::Watch(index, host.epoch));
    }

    /// The host knows all of its pods: what it has besides them is nobody's.
    pub(super) fn synced(&mut self, index: u32) {
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        host.watch_failures = 0;
        host.synced = true;
        if !host.was_ready {
            host.was_ready = true;
            self.progress.ready += 1;
        }
        for (_, mut simulation) in std::mem::take(&mut host.leftovers) {
            simulation.clear(&mut host.block);
        }
        for pod in host.pods.clone() {
            let unseen = self.pod_mut(pod).filter(|pod| !pod.seen);
            if let Some(unseen) = unseen {
                unseen.pod.gone = true;
                self.advance(pod);
            }
        }
    }

    /// Watches the Nodes of simulated hosts for what their annotations say, as the caller.
    pub(super) fn watch_nodes(&self) {
        let (api, signals) = (self.api.clone(), self.signals.clone());
        tokio::spawn(async move {
            let path = format!(
                "/api/v1/nodes?watch=true&allowWatchBookmarks=true&sendInitialEvents=true\
                 &resourceVersionMatch=NotOlderThan&omitManagedFields=true&labelSelector={}%3Dtrue",
                objects::LABEL.replace('/', "%2F")
            );
            let result = api.watch(None, &path, true, &signals, Signal::Node).await;
            let _ = signals.send(Signal::NodesEnded(result)).await;
        });
    }

    pub(super) fn node_line(&mut self, line: &[u8]) {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "type")]
            ty: String,
            object: Object,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            name: Box<str>,
            annotations: Option<std::collections::BTreeMap<String, String>>,
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return;
        };
        if !matches!(&*line.ty, "ADDED" | "MODIFIED") {
            return;
        }
        let metadata = line.object.metadata;
        let Some(&index) = self.by_name.get(&metadata.name) else {
            return;
        };
        let annotations = metadata.annotations.unwrap_or_default();
        let said = annotations.get(objects::ANNOTATION).map(String::as_str);
        let said = said.unwrap_or_default();
        let Some(host) = self.host_mut(index) else {
            return;
        };
        if *host.annotation == *said {
            return;
        }
        host.annotation = said.into();
        host.annotated = match said {
            "silent" => Mode::Silent,
            "down" => Mode::Down,
            _ => Mode::Well,
        };
        match said {
            "restart" => self.restart_agent(index),
            "" | "silent" | "down" => {}
            other => self.tell_of_host(index, other),
        }
        self.settle_mode(index);
    }

    /// Says of a host that nobody knows what its annotation asks for.
    fn tell_of_host(&mut self, index: u32, said: &str) {
        let Some(host) = self.host(index) else {
            return;
        };
        let told = Told {
            about: json!({ "apiVersion": "v1", "kind": "Node", "name": &*host.name, "uid": &*host.uid }),
            is_warning: true,
            reason: "SimulationScript".to_owned(),
            message: format!(
                "{}: `{said}` is none of silent, down, restart",
                objects::ANNOTATION
            ),
            ..Told::default()
        };
        self.urgent.push_back(Work::Event(index, Box::new(told)));
    }

    /// A planned fault begins or ends.
    pub(super) fn fault(&mut self, index: u32, begins: bool) {
        let Some(fault) = self.plan.get(index as usize).cloned() else {
            return;
        };
        let now = self.clock.now();
        let hit: Vec<u32> = (0..)
            .zip(&self.hosts)
            .filter(|(index, host)| match &fault.hosts {
                Hosts::First(count) => index < count,
                Hosts::Zone(zone) => host.zone == *zone,
            })
            .map(|(index, _)| index)
            .collect();
        if begins && let Some(lasts) = fault.lasts {
            let again = fault.kind == FaultKind::Flap;
            self.timers
                .add(later(now, lasts), Wake::FaultEnds(index, again));
        }
        let moment = if begins { "begins" } else { "ends" };
        tracing::info!(%fault, moment, hosts = hit.len(), "a planned fault");
        let names = hit.iter().filter_map(|host| self.host(*host));
        let names: Vec<&str> = names.map(|host| &*host.name).collect();
        (self.options.tell)(&told(&fault, moment, &names));
        for host in hit {
            let restarts = fault.kind == FaultKind::Restart;
            if restarts && begins {
                self.restart_agent(host);
            }
            let mode = match fault.kind {
                _ if !begins => Mode::Well,
                FaultKind::Silent | FaultKind::Flap => Mode::Silent,
                FaultKind::Down => Mode::Down,
                // An agent that takes a while to come back is not heard of meanwhile.
                FaultKind::Restart if fault.lasts.is_some() => Mode::Silent,
                FaultKind::Restart => Mode::Well,
            };
            if let Some(host) = self.host_mut(host) {
                host.planned = mode;
            }
            self.settle_mode(host);
        }
    }

    /// Makes a host what plan and annotation say together.
    fn settle_mode(&mut self, index: u32) {
        let Some(host) = self.host_mut(index) else {
            return;
        };
        let (before, mode) = (host.mode, host.planned.max(host.annotated));
        if before == mode {
            return;
        }
        host.mode = mode;
        host.next_epoch();
        // News that was missed may be too old to be told: all is asked for.
        host.version = Box::default();
        match (before, mode) {
            (_, Mode::Down) => self.lose_power(index),
            (Mode::Down, Mode::Well) => self.urgent.push_back(Work::Register(index)),
            // It was cut off before it was known.
            (_, Mode::Well) if host.uid.is_empty() => {
                self.urgent.push_back(Work::Register(index));
            }
            (_, Mode::Well) => {
                self.urgent.push_back(Work::Lease(index));
                self.urgent.push_back(Work::Heartbeat(index, true));
                self.watch(index);
                self.advance_all(index);
            }
            (_, Mode::Silent) => {}
        }
    }

    /// A host starts its agent anew: nothing is known, and all that runs is found.
    fn restart_agent(&mut self, index: u32) {
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        if host.mode == Mode::Down {
            return;
        }
        host.next_epoch();
        host.version = Box::default();
        for pod in std::mem::take(&mut host.pods) {
            if let Some(pod) = self.take_pod(pod)
                && let Some(host) = self.hosts.get_mut(index as usize)
            {
                host.leftovers.push((pod.pod.uid, pod.simulation));
            }
        }
        if self.host(index).is_some_and(super::Host::is_connected) {
            self.urgent.push_back(Work::Register(index));
        }
    }

    /// A host forgets everything that ran.
    fn lose_power(&mut self, index: u32) {
        let Some(host) = self.hosts.get_mut(index as usize) else {
            return;
        };
        host.leftovers = Vec::new();
        host.block.clear();
        for pod in std::mem::take(&mut host.pods) {
            self.take_pod(pod);
        }
    }

    /// Ends what was begun, and removes the hosts if that was asked for.
    pub(super) async fn end(&mut self) {
        use futures::StreamExt;
        for host in &mut self.hosts {
            host.next_epoch();
        }
        if !self.options.remove_on_exit {
            return;
        }
        let api = &self.api;
        let names: Vec<Box<str>> = self.hosts.iter().map(|host| host.name.clone()).collect();
        let removals = names.into_iter().map(|name| async move {
            // A Node's deletion is not a host's to ask for: it is the caller's.
            let node = format!("/api/v1/nodes/{name}");
            let lease = format!("{}/{name}", objects::LEASES);
            for path in [node, lease] {
                let options = Some((crate::api::JSON, json!({})));
                let result = api.call(None, Method::DELETE, &path, options).await;
                if let Err(error) = result
                    && !error.is_not_found()
                {
                    tracing::warn!(%error, %path, "was not deleted");
                }
            }
        });
        futures::stream::iter(removals)
            .buffer_unordered(REMOVED_AT_ONCE)
            .collect::<Vec<()>>()
            .await;
    }
}

/// A fault in words, with the hosts that it is about, some of them if there are many.
fn told(fault: &Fault, moment: &str, names: &[&str]) -> String {
    let listed = match names {
        [one] => (*one).to_owned(),
        [first, second] => format!("{first} and {second}"),
        [first, .., last] => format!("{first} to {last} ({} hosts)", names.len()),
        [] => "no host".to_owned(),
    };
    format!("fault {fault} {moment}: {listed}")
}
