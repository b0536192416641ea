//! Which objects the pods of each host refer to.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mosaic_api::meta;
use serde_json::Value;

use super::{
    MIRROR_ANNOTATION,
    references::{self, RefKind},
};
use crate::values::{at, text};

/// Values by namespace, then name. Looked up by `&str` without building a key.
type ByName<V> = HashMap<Arc<str>, HashMap<Arc<str>, V>>;

fn find<'a, V>(map: &'a ByName<V>, namespace: &str, name: &str) -> Option<&'a V> {
    map.get(namespace)?.get(name)
}

fn take<V>(map: &mut ByName<V>, namespace: &str, name: &str) -> Option<V> {
    let names = map.get_mut(namespace)?;
    let value = names.remove(name);
    if names.is_empty() {
        map.remove(namespace);
    }
    value
}

/// Which objects the pods of each host refer to: brought up to date by whoever watches pods, volumes
/// and attachments; asked on every request of a host. A question costs two or three look-ups.
///
/// Names stand in memory once, however many pods share them.
#[derive(Debug, Default)]
pub struct Graph {
    names: HashSet<Arc<str>>,
    pods: ByName<Pod>,
    /// How many pods of which hosts refer to an object.
    secrets: ByName<Hosts>,
    config_maps: ByName<Hosts>,
    claims: ByName<Hosts>,
    accounts: ByName<Hosts>,
    /// PersistentVolumes by name, under the empty namespace.
    volumes: ByName<Volume>,
    /// The volumes that refer to a Secret.
    volume_secrets: ByName<Vec<Arc<str>>>,
    /// The hosts of VolumeAttachments by name, under the empty namespace.
    attachments: ByName<Arc<str>>,
}

#[derive(Debug)]
struct Pod {
    node: Arc<str>,
    uid: Box<str>,
    references: Box<[(RefKind, Arc<str>)]>,
}

#[derive(Debug)]
struct Volume {
    claim: (Arc<str>, Arc<str>),
    secrets: Vec<(Arc<str>, Arc<str>)>,
}

/// Hosts, sorted, with how many of their pods refer to the object.
#[derive(Debug, Default)]
struct Hosts(Vec<(Arc<str>, u32)>);

impl Hosts {
    fn position(&self, node: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| (**held).cmp(node))
    }

    fn add(&mut self, node: &Arc<str>) {
        match self.position(node) {
            Ok(index) => {
                if let Some((_, count)) = self.0.get_mut(index) {
                    *count += 1;
                }
            }
            Err(index) => self.0.insert(index, (Arc::clone(node), 1)),
        }
    }

    /// Takes one pod of a host away; true when no host is left.
    fn sub(&mut self, node: &str) -> bool {
        if let Ok(index) = self.position(node)
            && let Some((_, count)) = self.0.get_mut(index)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(index);
            }
        }
        self.0.is_empty()
    }
}

/// A pod's uid and host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodOnNode<'a> {
    /// The uid.
    pub uid: &'a str,
    /// The host that it is bound to.
    pub node: &'a str,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a pod, new or changed. A pod that is not bound to a host counts for nothing.
    pub fn upsert_pod(&mut self, pod: &Value) {
        let (pod_namespace, pod_name) = (meta::namespace(pod), meta::name(pod));
        self.remove_pod(pod_namespace, pod_name);
        let node = text(pod, &["spec", "nodeName"]);
        if node.is_empty() {
            return;
        }
        // A host writes mirror pods itself: they must not open anything to it.
        let is_mirror = at(pod, &["metadata", "annotations"])
            .get(MIRROR_ANNOTATION)
            .is_some();
        let found = if is_mirror {
            Vec::new()
        } else {
            references::of_pod(pod)
        };
        let namespace = self.intern(pod_namespace);
        let node = self.intern(node);
        let references: Box<[_]> = found
            .into_iter()
            .map(|(kind, name)| (kind, self.intern(&name)))
            .collect();
        for (kind, name) in &references {
            let hosts = self
                .hosts_mut(*kind)
                .entry(Arc::clone(&namespace))
                .or_default();
            hosts.entry(Arc::clone(name)).or_default().add(&node);
        }
        let pod_name = self.intern(pod_name);
        let entry = Pod {
            node,
            uid: meta::uid(pod).into(),
            references,
        };
        self.pods
            .entry(namespace)
            .or_default()
            .insert(pod_name, entry);
    }

    /// Forgets a pod.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(pod) = take(&mut self.pods, namespace, name) else {
            return;
        };
        for (kind, name) in pod.references {
            let map = self.hosts_mut(kind);
            let hosts = map
                .get_mut(namespace)
                .and_then(|names| names.get_mut(&name));
            if hosts.is_some_and(|hosts| hosts.sub(&pod.node)) {
                take(map, namespace, &name);
            }
            self.release(name);
        }
        self.release(pod.node);
        self.release_text(name);
        self.release_text(namespace);
    }

    /// Takes a PersistentVolume, new or changed. One without a claim counts for nothing.
    pub fn upsert_volume(&mut self, volume: &Value) {
        let volume_name = meta::name(volume);
        self.remove_volume(volume_name);
        let claim = at(volume, &["spec", "claimRef"]);
        let (claim_namespace, claim_name) = (text(claim, &["namespace"]), text(claim, &["name"]));
        if claim_namespace.is_empty() || claim_name.is_empty() {
            return;
        }
        let volume_name = self.intern(volume_name);
        let secrets: Vec<_> = references::secrets_of_volume(volume, claim_namespace)
            .into_iter()
            .map(|(namespace, name)| (self.intern(&namespace), self.intern(&name)))
            .collect();
        for (namespace, name) in &secrets {
            let names = self
                .volume_secrets
                .entry(Arc::clone(namespace))
                .or_default();
            names
                .entry(Arc::clone(name))
                .or_default()
                .push(Arc::clone(&volume_name));
        }
        let claim = (self.intern(claim_namespace), self.intern(claim_name));
        let none = self.intern("");
        self.volumes
            .entry(none)
            .or_default()
            .insert(volume_name, Volume { claim, secrets });
    }

    /// Forgets a PersistentVolume.
    pub fn remove_volume(&mut self, name: &str) {
        let Some(volume) = take(&mut self.volumes, "", name) else {
            return;
        };
        for (namespace, secret) in volume.secrets {
            let volumes = self
                .volume_secrets
                .get_mut(&namespace)
                .and_then(|names| names.get_mut(&secret));
            if let Some(volumes) = volumes {
                volumes.retain(|volume| **volume != *name);
                if volumes.is_empty() {
                    take(&mut self.volume_secrets, &namespace, &secret);
                }
            }
            self.release(secret);
            self.release(namespace);
        }
        self.release(volume.claim.1);
        self.release(volume.claim.0);
        self.release_text(name);
        self.release_text("");
    }

    /// Takes a VolumeAttachment, new or changed.
    pub fn upsert_attachment(&mut self, attachment: &Value) {
        let attachment_name = meta::name(attachment);
        self.remove_attachment(attachment_name);
        let node = text(attachment, &["spec", "nodeName"]);
        if !node.is_empty() {
            let (none, name, node) = (
                self.intern(""),
                self.intern(attachment_name),
                self.intern(node),
            );
            self.attachments.entry(none).or_default().insert(name, node);
        }
    }

    /// Forgets a VolumeAttachment.
    pub fn remove_attachment(&mut self, name: &str) {
        if let Some(node) = take(&mut self.attachments, "", name) {
            self.release(node);
            self.release_text(name);
            self.release_text("");
        }
    }

    /// A pod's uid and host, if it is bound to one.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<PodOnNode<'_>> {
        find(&self.pods, namespace, name).map(|pod| PodOnNode {
            uid: &pod.uid,
            node: &pod.node,
        })
    }

    pub(crate) fn pod_is_on(&self, node: &str, namespace: &str, name: &str) -> bool {
        find(&self.pods, namespace, name).is_some_and(|pod| *pod.node == *node)
    }

    /// Whether a pod of the host refers to an object, or, for a Secret, to a claim of a volume that
    /// does.
    pub(crate) fn refers(&self, node: &str, kind: RefKind, namespace: &str, name: &str) -> bool {
        let hosts = find(self.hosts(kind), namespace, name);
        if hosts.is_some_and(|hosts| hosts.position(node).is_ok()) {
            return true;
        }
        kind == RefKind::Secret
            && find(&self.volume_secrets, namespace, name).is_some_and(|volumes| {
                volumes
                    .iter()
                    .any(|volume| self.refers_to_volume(node, volume))
            })
    }

    /// Whether a pod of the host refers to the claim of a PersistentVolume.
    pub(crate) fn refers_to_volume(&self, node: &str, volume: &str) -> bool {
        find(&self.volumes, "", volume).is_some_and(|volume| {
            let (namespace, name) = &volume.claim;
            self.refers(node, RefKind::Claim, namespace, name)
        })
    }

    pub(crate) fn attachment_is_of(&self, node: &str, name: &str) -> bool {
        find(&self.attachments, "", name).is_some_and(|held| **held == *node)
    }

    fn hosts(&self, kind: RefKind) -> &ByName<Hosts> {
        match kind {
            RefKind::Secret => &self.secrets,
            RefKind::ConfigMap => &self.config_maps,
            RefKind::Claim => &self.claims,
            RefKind::ServiceAccount => &self.accounts,
        }
    }

    fn hosts_mut(&mut self, kind: RefKind) -> &mut ByName<Hosts> {
        match kind {
            RefKind::Secret => &mut self.secrets,
            RefKind::ConfigMap => &mut self.config_maps,
            RefKind::Claim => &mut self.claims,
            RefKind::ServiceAccount => &mut self.accounts,
        }
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(held) = self.names.get(text) {
            return Arc::clone(held);
        }
        let new: Arc<str> = text.into();
        self.names.insert(Arc::clone(&new));
        new
    }

    /// Drops a name that nothing but this and the set of names holds any more.
    fn release(&mut self, name: Arc<str>) {
        if Arc::strong_count(&name) == 2 {
            self.names.remove(&*name);
        }
    }

    fn release_text(&mut self, text: &str) {
        if let Some(held) = self.names.get(text).map(Arc::clone) {
            self.release(held);
        }
    }

    /// How many different names the graph holds: a measure of its size.
    pub fn names(&self) -> usize {
        self.names.len()
    }
}
