//! Calls that wait, are under way, and come back.

use bytes::Bytes;
use futures::FutureExt;
use http::Method;
use jiff::Timestamp;
use mosaic_api::recorder::{Record, Source, Told};
use mosaic_node::lifecycle::Patch;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Engine, later, pause};
use crate::{
    api::{Api, ApiError, JSON, MERGE_PATCH, STRATEGIC_PATCH},
    holders::PROCESS,
    objects,
};

/// A call that is to be made. What it says is made up when its turn comes, so that it is as new as can be.
pub(super) enum Work {
    Register(u32),
    Lease(u32),
    /// With whether the host was away.
    Heartbeat(u32, bool),
    Status(u32),
    Delete(u32),
    /// An event that a host tells.
    Event(u32, Box<Told>),
}

/// A call that came back.
pub(super) enum Done {
    Registered(u32, u32, Result<Box<str>, ApiError>),
    Renewed(u32, u32, Result<(), ApiError>),
    Beaten(u32, u32, Result<(), ApiError>),
    /// With the version that it gave the pod.
    Written(u32, u64, Box<Patch>, Result<u64, ApiError>),
    Deleted(u32, u64, Result<(), ApiError>),
    Told(u32, Box<Told>, Result<(), ApiError>),
}

impl Engine {
    /// Begins what waits, as far as there is room: first what keeps hosts alive.
    pub(super) fn pump(&mut self) {
        // Signs of life do not wait behind statuses.
        while self.under_way.len() < self.options.writes * 2
            && let Some(work) = self.urgent.pop_front()
        {
            self.begin(work);
        }
        while self.under_way.len() < self.options.writes
            && let Some(work) = self.waiting.pop_front()
        {
            self.begin(work);
        }
        while self.under_way.len() < self.options.writes.div_ceil(4)
            && let Some(work) = self.events.pop_front()
        {
            self.begin(work);
        }
    }

    fn begin(&mut self, work: Work) {
        let now = self.clock.now();
        match work {
            Work::Register(index) => self.begin_registration(index, now),
            Work::Lease(index) => {
                let seconds = self.options.lease_seconds;
                let Some(host) = self.host(index).filter(|host| host.is_connected()) else {
                    return;
                };
                let (api, name, epoch) = (self.api.clone(), host.name.clone(), host.epoch);
                let (uid, process) = (host.uid.clone(), self.process.clone());
                let call = async move {
                    let result = renew(&api, &name, &uid, &process, seconds, now).await;
                    Done::Renewed(index, epoch, result)
                };
                self.under_way.push(call.boxed());
            }
            Work::Heartbeat(index, changed) => {
                let Some(host) = self.host(index).filter(|host| host.is_connected()) else {
                    return;
                };
                let (api, name, epoch) = (self.api.clone(), host.name.clone(), host.epoch);
                let call = async move {
                    let path = format!("/api/v1/nodes/{name}/status");
                    let conditions = objects::conditions(now, changed);
                    let body = json!({ "status": { "conditions": conditions } });
                    let body = Some((STRATEGIC_PATCH, body));
                    let result = api.call(Some(&name), Method::PATCH, &path, body).await;
                    Done::Beaten(index, epoch, result.map(drop))
                };
                self.under_way.push(call.boxed());
            }
            Work::Status(index) => self.begin_status(index, now),
            Work::Delete(index) => self.begin_deletion(index),
            Work::Event(index, told) => self.begin_event(index, told, now),
        }
    }

    fn begin_event(&mut self, index: u32, told: Box<Told>, now: Timestamp) {
        let Some(host) = self.host(index).filter(|host| host.is_connected()) else {
            return;
        };
        let (api, name) = (self.api.clone(), host.name.clone());
        let record = self.folder.tell(&source(&name), &told, now);
        let call = async move {
            let (method, path, body) = match record {
                Record::Create(namespace, event) => {
                    let path = format!("/api/v1/namespaces/{namespace}/events");
                    (Method::POST, path, (JSON, event))
                }
                Record::Count(namespace, event, patch) => {
                    let path = format!("/api/v1/namespaces/{namespace}/events/{event}");
                    (Method::PATCH, path, (MERGE_PATCH, patch))
                }
            };
            let result = api.call(Some(&name), method, &path, Some(body)).await;
            Done::Told(index, told, result.map(drop))
        };
        self.under_way.push(call.boxed());
    }

    fn begin_registration(&mut self, index: u32, now: Timestamp) {
        let Some(host) = self.host(index).filter(|host| host.is_connected()) else {
            return;
        };
        let (api, options) = (self.api.clone(), self.options.clone());
        let (name, zone) = (host.name.clone(), host.zone.clone());
        let (address, epoch) = (host.address, host.epoch);
        let process = self.process.clone();
        let call = async move {
            let node = objects::node(&name, &zone, address, &options, now);
            let created = register(&api, &name, &zone, node).await;
            let result = match created {
                Ok(uid) => {
                    let seconds = options.lease_seconds;
                    let renewed = renew(&api, &name, &uid, &process, seconds, now).await;
                    renewed.map(|()| uid)
                }
                Err(error) => Err(error),
            };
            Done::Registered(index, epoch, result)
        };
        self.under_way.push(call.boxed());
    }

    fn begin_status(&mut self, index: u32, now: Timestamp) {
        let Some(Some(pod)) = self.pods.get_mut(index as usize) else {
            return;
        };
        pod.queued = false;
        let Some(host) = self.hosts.get(pod.host as usize) else {
            return;
        };
        if !host.is_connected() {
            return;
        }
        let Some(patch) = pod.state.patch(&pod.pod, &host.settings, now) else {
            // Nothing to tell after all, which may be what a deletion waited for.
            self.advance(index);
            return;
        };
        let (api, name, serial) = (self.api.clone(), host.name.clone(), pod.serial);
        let path = format!("{}/status", pod.path());
        let call = async move {
            let body = Some((STRATEGIC_PATCH, patch.body.clone()));
            let result = api.call(Some(&name), Method::PATCH, &path, body).await;
            let result = result.map(|answer| version_of(&answer));
            Done::Written(index, serial, Box::new(patch), result)
        };
        self.under_way.push(call.boxed());
    }

    fn begin_deletion(&mut self, index: u32) {
        let Some(Some(pod)) = self.pods.get_mut(index as usize) else {
            return;
        };
        let Some(host) = self.hosts.get(pod.host as usize) else {
            return;
        };
        if !host.is_connected() {
            pod.state.not_deleted();
            return;
        }
        let (api, name, serial) = (self.api.clone(), host.name.clone(), pod.serial);
        let (path, uid) = (pod.path(), pod.pod.uid.clone());
        let call = async move {
            let options = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": &*uid } });
            let body = Some((JSON, options));
            let result = api.call(Some(&name), Method::DELETE, &path, body).await;
            Done::Deleted(index, serial, result.map(drop))
        };
        self.under_way.push(call.boxed());
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Registered(host, epoch, result) => self.registered(host, epoch, result),
            Done::Renewed(host, epoch, result) => self.renewed(host, epoch, result),
            Done::Beaten(host, epoch, result) => self.beaten(host, epoch, result),
            Done::Told(index, told, result) => {
                self.progress.failures += u64::from(result.is_err());
                if result.is_err()
                    && let Some(source) = self.host(index).map(|host| source(&host.name))
                {
                    // It may be gone, or have never been: the next one is a new event.
                    self.folder.forget(&source, &told);
                }
            }
            Done::Written(index, serial, patch, result) => {
                let now = self.clock.now();
                let Some(pod) = self.pod_mut(index).filter(|pod| pod.serial == serial) else {
                    return;
                };
                match result {
                    Ok(version) => {
                        pod.failures = 0;
                        pod.written = version;
                        pod.state.written(&patch);
                        self.progress.writes += 1;
                        self.advance(index);
                    }
                    // A pod of that UID is not there any more; its watch says the same sooner or later.
                    Err(error) if error.is_not_found() || error.is_conflict() => {
                        pod.pod.gone = true;
                        self.advance(index);
                    }
                    Err(error) => {
                        tracing::debug!(%error, pod = %pod.pod.name, "a status was not written");
                        pod.failures = pod.failures.saturating_add(1);
                        pod.quiet_until = Some(later(now, pause(pod.failures)));
                        pod.state.not_written();
                        self.progress.failures += 1;
                        self.advance(index);
                    }
                }
            }
            Done::Deleted(index, serial, result) => {
                let now = self.clock.now();
                let Some(pod) = self.pod_mut(index).filter(|pod| pod.serial == serial) else {
                    return;
                };
                match result {
                    Ok(()) => pod.state.deleted(),
                    Err(error) if error.is_not_found() || error.is_conflict() => {
                        pod.state.deleted();
                        pod.pod.gone = true;
                        self.advance(index);
                    }
                    Err(error) => {
                        tracing::debug!(%error, pod = %pod.pod.name, "a pod was not deleted");
                        pod.failures = pod.failures.saturating_add(1);
                        let again = later(now, pause(pod.failures));
                        pod.state.not_deleted();
                        pod.quiet_until = Some(again);
                        self.progress.failures += 1;
                        self.wake_pod(index, again);
                    }
                }
            }
        }
    }
}

/// Creates a Node, or makes the one that is there say the same. Returns its UID.
async fn register(api: &Api, name: &str, zone: &str, node: Value) -> Result<Box<str>, ApiError> {
    let status = node.get("status").cloned().unwrap_or_default();
    let body = Some((JSON, node));
    let created = api
        .call(Some(name), Method::POST, "/api/v1/nodes", body)
        .await;
    match created {
        Err(error) if error.is_conflict() => {}
        other => return other.map(|bytes| uid_of(&bytes)),
    }
    let path = format!("/api/v1/nodes/{name}");
    let labels = json!({ "metadata": { "labels": objects::labels(name, zone) } });
    let body = Some((MERGE_PATCH, labels));
    let bytes = api.call(Some(name), Method::PATCH, &path, body).await?;
    let body = Some((STRATEGIC_PATCH, json!({ "status": status })));
    let path = format!("{path}/status");
    api.call(Some(name), Method::PATCH, &path, body).await?;
    Ok(uid_of(&bytes))
}

/// What is read of an answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    metadata: AnswerMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerMetadata {
    uid: Box<str>,
    resource_version: Box<str>,
}

fn metadata_of(answer: &Bytes) -> AnswerMetadata {
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    answer.metadata
}

fn uid_of(answer: &Bytes) -> Box<str> {
    metadata_of(answer).uid
}

fn version_of(answer: &Bytes) -> u64 {
    metadata_of(answer).resource_version.parse().unwrap_or(0)
}

/// Renews a host's lease; creates it where there is none.
async fn renew(
    api: &Api,
    name: &str,
    node_uid: &str,
    process: &str,
    seconds: i64,
    now: Timestamp,
) -> Result<(), ApiError> {
    let path = format!("{}/{name}", objects::LEASES);
    let spec = json!({
        "metadata": { "annotations": { PROCESS: process } },
        "spec": {
            "holderIdentity": name, "leaseDurationSeconds": seconds,
            "renewTime": mosaic_api::time::format_micro(now),
        },
    });
    let body = Some((MERGE_PATCH, spec));
    match api.call(Some(name), Method::PATCH, &path, body).await {
        Err(error) if error.is_not_found() => {}
        other => return other.map(drop),
    }
    let lease = objects::lease(name, node_uid, process, seconds, now);
    let body = Some((JSON, lease));
    api.call(Some(name), Method::POST, objects::LEASES, body)
        .await
        .map(drop)
}

/// Who tells events of a host: its agent, as a kubelet does.
fn source(host: &str) -> Source {
    Source {
        component: "mosaic-sim".to_owned(),
        host: host.to_owned(),
        instance: host.to_owned(),
        by_message: true,
    }
}
