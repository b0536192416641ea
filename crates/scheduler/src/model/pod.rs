//! Pods.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;

use super::{
    Class, HostPort, Labels, NodeAffinity, NodeTerm, Owner, PodTerm, ReadError, Template,
    Toleration,
    node_affinity::RawNodeTerm,
    pod_affinity::RawPodTerm,
    read::{Metadata, ResourceList, parse, seconds},
    requests::{ContainerStatus, Needs, RawContainer, Resources},
    spread::RawSpread,
    taint::RawToleration,
};

const KIND: &str = "Pod";
/// Where an image is looked for that does not say so.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Which pod: `namespace/name`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey(Arc<str>);

impl PodKey {
    /// The pod of this name in this namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.0
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The group that a pod belongs to, all of which is placed or nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodGroup {
    /// Its name within the namespace.
    pub name: Arc<str>,
    /// How many pods it has; 1 if the pod does not say so in figures.
    pub size: u32,
}

/// A pod, waiting or placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Which pod.
    pub key: PodKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// All that it shares with others of its template.
    pub class: Arc<Class>,
    /// The host that it is bound to.
    pub node: Option<Arc<str>>,
    /// The only host that it may run on, as each pod of a daemon set has one.
    pub pin: Option<Arc<str>>,
    /// The host where others make room for it.
    pub nominated: Option<Arc<str>>,
    /// Names of its claims.
    pub claims: Box<[Box<str>]>,
    /// What it still waits for before anything is decided.
    pub gates: Box<[Box<str>]>,
    /// When it started, in seconds since 1970.
    pub started: Option<i64>,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// It is being deleted.
    pub leaving: bool,
    /// It ended, and takes nothing any more.
    pub ended: bool,
    /// It serves, as its host says.
    pub ready: bool,
    /// It comes from a file on its host.
    pub mirror: bool,
    /// Whether somebody says that it may be moved (`mosaic/movable`, or
    /// `cluster-autoscaler.kubernetes.io/safe-to-evict`), or may not.
    pub movable: Option<bool>,
    /// Its group.
    pub group: Option<PodGroup>,
}

impl Pod {
    /// Reads a `Pod` object.
    ///
    /// # Errors
    ///
    /// The bytes are no JSON of a pod, or it has no name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        let raw: Raw<'_> = parse(KIND, bytes)?;
        raw.read()
    }

    /// Its priority.
    pub fn priority(&self) -> i32 {
        self.class.template.priority
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Arc<str> {
        &self.class.namespace
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    metadata: Metadata<Annotations>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(rename = "mosaic/pod-group")]
    group: Option<String>,
    #[serde(rename = "mosaic/pod-group-size")]
    group_size: Option<String>,
    #[serde(rename = "mosaic/profile")]
    profile: Option<String>,
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
    #[serde(rename = "mosaic/movable")]
    movable: Option<String>,
    #[serde(rename = "cluster-autoscaler.kubernetes.io/safe-to-evict")]
    safe_to_evict: Option<String>,
}

impl Annotations {
    /// Whoever says no is heard first; what is neither `true` nor `false` says nothing.
    fn movable(&self) -> Option<bool> {
        let said = [&self.movable, &self.safe_to_evict];
        let says = |word| said.iter().any(|said| said.as_deref() == Some(word));
        if says("false") {
            Some(false)
        } else {
            says("true").then_some(true)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    scheduler_name: Option<String>,
    node_name: Option<String>,
    node_selector: Option<BTreeMap<String, String>>,
    affinity: Option<Affinity>,
    tolerations: Option<Vec<RawToleration>>,
    topology_spread_constraints: Option<Vec<RawSpread>>,
    scheduling_gates: Option<Vec<Named>>,
    priority: Option<i32>,
    preemption_policy: Option<String>,
    volumes: Option<Vec<PodVolume>>,
    #[serde(borrow)]
    containers: Option<Vec<RawContainer<'a>>>,
    #[serde(borrow)]
    init_containers: Option<Vec<RawContainer<'a>>>,
    #[serde(borrow)]
    resources: Option<Resources<'a>>,
    #[serde(borrow)]
    overhead: Option<ResourceList<'a>>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodVolume {
    #[serde(default)]
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimSource {
    #[serde(default)]
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Affinity {
    node_affinity: Option<RawNodeAffinity>,
    pod_affinity: Option<RawPodAffinity>,
    pod_anti_affinity: Option<RawPodAffinity>,
}

#[derive(Deserialize, Default)]
struct RawNodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Option<Vec<PreferredNodes>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeSelector {
    node_selector_terms: Option<Vec<RawNodeTerm>>,
}

#[derive(Deserialize)]
struct PreferredNodes {
    #[serde(default)]
    weight: i32,
    preference: RawNodeTerm,
}

#[derive(Deserialize, Default)]
struct RawPodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Vec<RawPodTerm>>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Option<Vec<PreferredPods>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PreferredPods {
    #[serde(default)]
    weight: i32,
    pod_affinity_term: RawPodTerm,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    phase: Option<String>,
    nominated_node_name: Option<String>,
    start_time: Option<String>,
    resize: Option<String>,
    conditions: Option<Vec<Condition>>,
    #[serde(borrow)]
    container_statuses: Option<Vec<ContainerStatus<'a>>>,
    #[serde(borrow)]
    init_container_statuses: Option<Vec<ContainerStatus<'a>>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(default, rename = "type")]
    ty: String,
    #[serde(default)]
    status: String,
    reason: Option<String>,
}

fn given(text: Option<String>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty()).map(Arc::from)
}

impl Raw<'_> {
    fn read(mut self) -> Result<Pod, ReadError> {
        let name = self.metadata.name(KIND)?;
        let namespace: Arc<str> = self.metadata.namespace.take().unwrap_or_default().into();
        let labels = self.metadata.labels.take();
        let annotations = self.metadata.annotations.take().unwrap_or_default();
        let status = self.status.take().unwrap_or_default();
        let claims = self.spec.claims(&name);
        let gates = self.spec.scheduling_gates.take().unwrap_or_default();
        let node = given(self.spec.node_name.take());
        let created = seconds(self.metadata.creation_timestamp.as_deref());
        let movable = annotations.movable();
        let ready = status.is_ready();
        let owners = self.metadata.owner_references.take().unwrap_or_default();
        let owner = owners
            .into_iter()
            .find(|owner| owner.controller == Some(true));
        let (template, pin) =
            self.spec
                .template(&status, &namespace, labels.as_ref(), annotations.profile);
        let class = Class::new(
            namespace.clone(),
            Labels::from(labels),
            owner.map(|owner| Owner {
                kind: owner.kind.into(),
                name: owner.name.into(),
                uid: owner.uid.into(),
            }),
            Arc::new(template),
        );
        let group_size = annotations.group_size.and_then(|size| size.parse().ok());
        Ok(Pod {
            key: PodKey::new(&namespace, &name),
            uid: self.metadata.uid.unwrap_or_default().into(),
            class: Arc::new(class),
            node,
            pin: pin.map(Arc::from),
            nominated: given(status.nominated_node_name),
            claims,
            gates: gates.into_iter().map(|gate| gate.name.into()).collect(),
            started: seconds(status.start_time.as_deref()),
            created: created.unwrap_or(0),
            leaving: self.metadata.deletion_timestamp.is_some(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            ready,
            mirror: annotations.mirror.is_some(),
            movable,
            group: given(annotations.group).map(|name| PodGroup {
                name,
                size: group_size.unwrap_or(1),
            }),
        })
    }
}

impl<'a> Spec<'a> {
    fn claims(&self, pod: &str) -> Box<[Box<str>]> {
        let volumes = self.volumes.iter().flatten();
        volumes
            .filter_map(
                |volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
                    (Some(claim), _) => Some(claim.claim_name.as_str().into()),
                    // The claim is made for the pod and named after both.
                    (None, Some(_)) => Some(format!("{pod}-{}", volume.name).into()),
                    (None, None) => None,
                },
            )
            .collect()
    }

    fn template(
        self,
        status: &Status<'a>,
        namespace: &Arc<str>,
        labels: Option<&BTreeMap<String, String>>,
        profile: Option<String>,
    ) -> (Template, Option<Box<str>>) {
        let containers = self.containers.unwrap_or_default();
        let init_containers = self.init_containers.unwrap_or_default();
        let statuses: Vec<ContainerStatus<'_>> = status.statuses();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let needs = Needs {
            containers: &containers,
            init_containers: &init_containers,
            statuses: &statuses,
            pod_level: self.resources.as_ref().and_then(|r| r.requests.as_ref()),
            overhead: self.overhead.as_ref(),
            resize_infeasible: status.resize.as_deref() == Some("Infeasible")
                || conditions.iter().any(|condition| {
                    condition.ty == "PodResizePending"
                        && condition.reason.as_deref() == Some("Infeasible")
                }),
        };
        let affinity = self.affinity.unwrap_or_default();
        let nodes = affinity.node_affinity.unwrap_or_default();
        let mut node_affinity = NodeAffinity {
            selector: Labels::from(self.node_selector),
            terms: nodes.required.map(|required| {
                let terms = required.node_selector_terms.into_iter().flatten();
                terms.map(RawNodeTerm::read).collect()
            }),
        };
        // What is spread counts the pods of those hosts that the affinity names: the pin has to stay in it.
        let spreads = self
            .topology_spread_constraints
            .as_ref()
            .is_some_and(|constraints| !constraints.is_empty());
        let pin = if spreads {
            None
        } else {
            node_affinity.take_pin()
        };
        let preferred_nodes = nodes.preferred.unwrap_or_default().into_iter();
        let near = affinity.pod_affinity.unwrap_or_default();
        let far = affinity.pod_anti_affinity.unwrap_or_default();
        let terms = |terms: Option<Vec<RawPodTerm>>| -> Vec<Arc<PodTerm>> {
            let terms = terms.into_iter().flatten();
            terms
                .map(|term| Arc::new(term.read(namespace, labels)))
                .collect()
        };
        let preferred = |terms: Option<Vec<PreferredPods>>, sign: i32| {
            let terms = terms.into_iter().flatten();
            terms.map(move |term| {
                let weight = term.weight.clamp(0, 100) * sign;
                (
                    weight,
                    Arc::new(term.pod_affinity_term.read(namespace, labels)),
                )
            })
        };
        let spread = self.topology_spread_constraints.into_iter().flatten();
        let images = init_containers.iter().chain(&containers);
        let template = Template {
            scheduler: given(self.scheduler_name).unwrap_or_else(|| "default-scheduler".into()),
            profile: profile.map(Box::from),
            requests: needs.requests(),
            weight: needs.weight(),
            node_affinity: Arc::new(node_affinity),
            preferred_nodes: preferred_nodes
                .map(|nodes| (nodes.weight.clamp(0, 100), nodes.preference.read()))
                .collect::<Vec<(i32, NodeTerm)>>()
                .into(),
            tolerations: self
                .tolerations
                .into_iter()
                .flatten()
                .filter_map(RawToleration::read)
                .collect::<Vec<Toleration>>()
                .into(),
            images: images
                .filter_map(|container| container.image.as_deref().map(image_name))
                .collect::<Vec<Box<str>>>()
                .into(),
            ports: ports(&containers, &init_containers),
            affinity: terms(near.required),
            anti_affinity: terms(far.required),
            preferred_pods: preferred(near.preferred, 1)
                .chain(preferred(far.preferred, -1))
                .filter(|(weight, _)| *weight != 0)
                .collect(),
            spread: spread.map(|constraint| constraint.read(labels)).collect(),
            priority: self.priority.unwrap_or(0),
            preempts: self.preemption_policy.as_deref() != Some("Never"),
        };
        (template, pin)
    }
}

impl<'a> Status<'a> {
    fn is_ready(&self) -> bool {
        let mut conditions = self.conditions.iter().flatten();
        conditions.any(|condition| condition.ty == "Ready" && condition.status == "True")
    }

    fn statuses(&self) -> Vec<ContainerStatus<'a>> {
        let all = self
            .container_statuses
            .iter()
            .chain(&self.init_container_statuses);
        all.flatten().cloned().collect()
    }
}

fn ports(containers: &[RawContainer<'_>], init_containers: &[RawContainer<'_>]) -> Vec<HostPort> {
    let sidecars = init_containers
        .iter()
        .filter(|container| container.is_sidecar());
    let ports = containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten());
    let mut ports: Vec<HostPort> = ports
        .filter_map(|port| {
            Some(HostPort {
                port: u16::try_from(port.host_port?)
                    .ok()
                    .filter(|port| *port != 0)?,
                ip: match port.host_ip.as_deref() {
                    None | Some("") => HostPort::ANY.into(),
                    Some(ip) => ip.into(),
                },
                protocol: port.protocol.as_deref().unwrap_or("TCP").into(),
            })
        })
        .collect();
    ports.dedup();
    ports
}

/// An image's name as hosts list it: with registry, and with a tag or a digest.
fn image_name(image: &str) -> Box<str> {
    let (host, rest) = match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (host, rest.to_owned())
        }
        Some(_) => (DEFAULT_REGISTRY, image.to_owned()),
        None => (DEFAULT_REGISTRY, format!("library/{image}")),
    };
    let tagged = rest.contains('@')
        || rest
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
    let tag = if tagged { "" } else { ":latest" };
    format!("{host}/{rest}{tag}").into()
}
