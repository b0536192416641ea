//! From what the slices of a service should hold to the writes that make it so.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    labels::{MANAGED_BY, SERVICE_NAME},
    packing::{self, Packed},
    service::Family,
};

/// What is to be done about a slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Create it.
    Create(EndpointSlice),
    /// Write it, as the version that was read.
    Update {
        /// What it should be.
        slice: EndpointSlice,
        /// Whether it gets endpoints that were not in it before.
        grows: bool,
    },
    /// Delete it, if it still is the version that was read.
    Delete(ObjectMeta),
}

impl Action {
    /// Its turn: where an endpoint moves from one slice to another, it must be in the new one before it goes
    /// from the old one, or clients would miss it for a moment.
    pub(super) fn turn(&self) -> u8 {
        match self {
            Self::Create(_) | Self::Update { grows: true, .. } => 0,
            Self::Update { grows: false, .. } => 1,
            Self::Delete(_) => 2,
        }
    }
}

/// Endpoints of one family whose ports are the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// The family of their addresses.
    pub(super) family: Family,
    /// Their ports.
    pub(super) ports: Vec<EndpointPort>,
    /// They.
    pub(super) endpoints: Vec<Endpoint>,
}

/// What the slices of a service should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// The service's name.
    pub(super) service: String,
    /// Its namespace.
    pub(super) namespace: Option<String>,
    /// Who keeps them.
    pub(super) manager: &'static str,
    /// What they go with.
    pub(super) owner: OwnerReference,
    /// Their labels besides those that name service and manager.
    pub(super) labels: BTreeMap<String, String>,
    /// Annotations that they have beside others.
    pub(super) annotations: BTreeMap<String, String>,
    /// Families of which there is a slice even without endpoints, so that clients see that there are none.
    pub(super) families: Vec<Family>,
    /// What they hold.
    pub(super) groups: Vec<Group>,
}

/// What tells apart slices that cannot hold the same endpoints.
type Shape = (String, Vec<(String, String, Option<i32>, Option<String>)>);

fn shape(address_type: &str, ports: Option<&[EndpointPort]>) -> Shape {
    let ports = ports.unwrap_or_default().iter();
    let mut ports: Vec<_> = ports
        .map(|port| {
            (
                port.name.clone().unwrap_or_default(),
                port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port.port,
                port.app_protocol.clone(),
            )
        })
        .collect();
    ports.sort();
    (address_type.to_owned(), ports)
}

/// What makes these slices hold what they should. Those of other managers, and those that are being deleted,
/// are left alone.
pub(super) fn plan(wanted: &Wanted, slices: &[EndpointSlice]) -> Vec<Action> {
    let labels = wanted.all_labels();
    let mut slices: Vec<&EndpointSlice> =
        slices.iter().filter(|slice| wanted.keeps(slice)).collect();
    slices.sort_by(|one, two| one.metadata.name.cmp(&two.metadata.name));
    let mut by_shape: BTreeMap<Shape, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let shape = shape(&slice.address_type, slice.ports.as_deref());
        by_shape.entry(shape).or_default().push(slice);
    }
    let mut actions = Vec::new();
    let mut homeless: Vec<(&Group, Packed)> = Vec::new();
    let mut unused: Vec<&EndpointSlice> = Vec::new();
    let placeholders = wanted.placeholders();
    let groups = wanted
        .groups
        .iter()
        .filter(|group| !group.endpoints.is_empty());
    for group in groups {
        let shape = shape(group.family.name(), Some(&group.ports));
        let there = by_shape.remove(&shape).unwrap_or_default();
        let held: Vec<&[Endpoint]> = there.iter().map(|slice| endpoints(slice)).collect();
        let mut there = there.into_iter();
        for packed in packing::pack(group.endpoints.clone(), &held) {
            match there.next() {
                None => homeless.push((group, packed)),
                Some(slice) if packed.endpoints.is_empty() => unused.push(slice),
                Some(slice) if packed.is_changed || !wanted.describes(slice, &labels) => {
                    actions.push(wanted.update(slice, group, packed, &labels));
                }
                Some(_) => {}
            }
        }
    }
    unused.extend(by_shape.into_values().flatten());
    // A slice that is not needed any more serves for endpoints that have none: a write instead of two.
    let empty = placeholders.iter().map(|group| (group, Packed::default()));
    for (group, packed) in homeless.into_iter().chain(empty) {
        let mut same_family = unused
            .iter()
            .enumerate()
            .filter(|(_, slice)| slice.address_type == group.family.name());
        // The one that may need no write at all comes first.
        let suited = same_family
            .clone()
            .find(|(_, slice)| packed.endpoints.is_empty() && wanted.holds_nothing(slice, &labels))
            .or_else(|| same_family.next())
            .map(|(index, _)| index);
        match suited.map(|index| unused.remove(index)) {
            Some(slice) if packed.endpoints.is_empty() && wanted.holds_nothing(slice, &labels) => {}
            Some(slice) => actions.push(wanted.update(slice, group, packed, &labels)),
            None => actions.push(Action::Create(wanted.create(group, packed, &labels))),
        }
    }
    actions.extend(
        unused
            .into_iter()
            .map(|slice| Action::Delete(slice.metadata.clone())),
    );
    actions.sort_by_key(Action::turn);
    actions
}

/// What removes all slices of a manager.
pub(super) fn remove(manager: &str, slices: &[EndpointSlice]) -> Vec<Action> {
    let theirs = slices.iter().filter(|slice| is_kept_by(slice, manager));
    theirs
        .map(|slice| Action::Delete(slice.metadata.clone()))
        .collect()
}

fn endpoints(slice: &EndpointSlice) -> &[Endpoint] {
    slice.endpoints.as_deref().unwrap_or_default()
}

fn is_kept_by(slice: &EndpointSlice, manager: &str) -> bool {
    let labels = slice.metadata.labels.as_ref();
    let keeper = labels.and_then(|labels| labels.get(MANAGED_BY));
    keeper.is_some_and(|keeper| keeper == manager) && slice.metadata.deletion_timestamp.is_none()
}

impl Wanted {
    fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(SERVICE_NAME.to_owned(), self.service.clone());
        labels.insert(MANAGED_BY.to_owned(), self.manager.to_owned());
        labels
    }

    fn keeps(&self, slice: &EndpointSlice) -> bool {
        is_kept_by(slice, self.manager)
    }

    /// What stands for the families without endpoints.
    fn placeholders(&self) -> Vec<Group> {
        let has_some = |family| {
            let mut groups = self.groups.iter();
            groups.any(|group| group.family == family && !group.endpoints.is_empty())
        };
        let families = self.families.iter().copied();
        let empty = families.filter(|family| !has_some(*family));
        empty
            .map(|family| Group {
                family,
                ports: Vec::new(),
                endpoints: Vec::new(),
            })
            .collect()
    }

    /// Whether a slice's metadata are as they should be.
    fn describes(&self, slice: &EndpointSlice, labels: &BTreeMap<String, String>) -> bool {
        let metadata = &slice.metadata;
        let annotations = metadata.annotations.as_ref();
        let has = |key, value| annotations.and_then(|all| all.get(key)) == Some(value);
        metadata.labels.as_ref() == Some(labels)
            && metadata.owner_references.as_deref() == Some(std::slice::from_ref(&self.owner))
            && self.annotations.iter().all(|(key, value)| has(key, value))
    }

    fn holds_nothing(&self, slice: &EndpointSlice, labels: &BTreeMap<String, String>) -> bool {
        endpoints(slice).is_empty()
            && slice.ports.as_ref().is_none_or(Vec::is_empty)
            && self.describes(slice, labels)
    }

    fn update(
        &self,
        slice: &EndpointSlice,
        group: &Group,
        packed: Packed,
        labels: &BTreeMap<String, String>,
    ) -> Action {
        let mut metadata = slice.metadata.clone();
        metadata.labels = Some(labels.clone());
        metadata.owner_references = Some(vec![self.owner.clone()]);
        if !self.annotations.is_empty() {
            let annotations = metadata.annotations.get_or_insert_default();
            annotations.extend(self.annotations.clone());
        }
        let slice = EndpointSlice {
            address_type: slice.address_type.clone(),
            endpoints: Some(packed.endpoints),
            metadata,
            ports: Some(group.ports.clone()),
        };
        Action::Update {
            slice,
            grows: packed.grows,
        }
    }

    fn create(
        &self,
        group: &Group,
        packed: Packed,
        labels: &BTreeMap<String, String>,
    ) -> EndpointSlice {
        let annotations = (!self.annotations.is_empty()).then(|| self.annotations.clone());
        EndpointSlice {
            address_type: group.family.name().to_owned(),
            endpoints: Some(packed.endpoints),
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", self.service)),
                namespace: self.namespace.clone(),
                labels: Some(labels.clone()),
                annotations,
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            ports: Some(group.ports.clone()),
        }
    }
}
