//! What follows from the state of the cluster, made when it is first asked for and then kept true.
//!
//! ```text
//! Plan, one a class ─┬─ affinity row      hosts that a node affinity allows
//!                    ├─ toleration row    hosts whose taints are tolerated
//!                    ├─ preference, image rows: numbers by host
//!                    └─ tally ─ scope ─ topology
//!                       pods of a selector,     hosts that     a label's values,
//!                       by domain               are counted    and which host has which
//! ```
//!
//! A changed host is taken out of every row and put back; a placed pod adds one to the tallies that its class
//! is in. When all of it together takes more than a bound, it is dropped and made again as needed.

mod context;
mod plan;
mod rows;
mod tally;
mod verify;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

pub(crate) use self::{
    context::Context,
    plan::{HOSTNAME, Plan},
    rows::{Topology, UNKNOWN, takes_new_pods, untolerated},
    tally::{Scope, Tally},
};
use self::{
    rows::TolerationRow,
    tally::{ScopeKey, TallyKey},
};
use crate::{
    anchors::Anchors,
    bits::Bits,
    cluster::{State, images},
    model::{Class, Node, NodeAffinity, NodeTerm, Pod, Toleration},
    slab::{ClassIndex, NodeIndex, TermIndex},
};

/// The most bytes that are kept, about.
const MAX_BYTES: usize = 48 << 20;

/// Rows by what they were made of.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    rows: Vec<(K, V)>,
    index: HashMap<K, u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> Table<K, V> {
    pub(crate) fn get(&self, row: u32) -> Option<&V> {
        self.rows.get(row as usize).map(|(_, value)| value)
    }

    fn key(&self, row: u32) -> Option<&K> {
        self.rows.get(row as usize).map(|(key, _)| key)
    }

    fn get_mut(&mut self, row: u32) -> Option<&mut V> {
        self.rows.get_mut(row as usize).map(|(_, value)| value)
    }

    fn find(&self, key: &K) -> Option<u32> {
        self.index.get(key).copied()
    }

    fn push(&mut self, key: K, value: V) -> u32 {
        // The bound on bytes is far below four billion rows.
        let row = self.rows.len() as u32;
        self.index.insert(key.clone(), row);
        self.rows.push((key, value));
        row
    }
}

/// Everything that was worked out.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    pub affinities: Table<Arc<NodeAffinity>, Bits>,
    pub tolerations: Table<Arc<[Toleration]>, TolerationRow>,
    pub preferences: Table<Arc<[(i32, NodeTerm)]>, Vec<f32>>,
    pub images: Table<Arc<[Box<str>]>, Vec<f32>>,
    pub topologies: Table<Arc<str>, Topology>,
    pub scopes: Table<ScopeKey, Scope>,
    pub tallies: Table<TallyKey, Tally>,
    /// Tallies by the labels that they count pods with.
    tallies_by_label: Anchors,
    /// Tallies by the UID of the controller whose pods they count.
    tallies_by_owner: HashMap<Box<str>, Vec<u32>>,
    /// Which tallies count the pods of a class.
    class_tallies: Vec<Option<Vec<u32>>>,
    plans: Vec<Option<Arc<Plan>>>,
    /// Terms of placed pods that match a class, and the generation of terms at which that was so.
    foreign: Vec<Option<(u64, Arc<[TermIndex]>)>>,
    bytes: usize,
}

impl Memo {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A class has no pods any more; its number may be given to another.
    pub(crate) fn forget_class(&mut self, class: ClassIndex) {
        let class = class as usize;
        if let Some(tallies) = self.class_tallies.get_mut(class) {
            *tallies = None;
        }
        if let Some(plan) = self.plans.get_mut(class) {
            *plan = None;
        }
        if let Some(foreign) = self.foreign.get_mut(class) {
            *foreign = None;
        }
    }

    /// Everything that a decision about a pod looks at.
    pub(crate) fn context<'a>(&'a mut self, state: &'a State, pod: &'a Pod) -> Context<'a> {
        if self.bytes > MAX_BYTES {
            self.clear();
        }
        let index = state.classes.find(&pod.class);
        let plan = self.plan(state, &pod.class, index);
        let foreign = self.foreign(state, &pod.class, index);
        for term in foreign.iter().filter_map(|term| state.terms.get(*term)) {
            self.topology(state, &term.term.topology_key);
        }
        Context::new(state, self, pod, plan, &foreign)
    }

    fn plan(&mut self, state: &State, class: &Class, index: Option<ClassIndex>) -> Arc<Plan> {
        let known = index.and_then(|index| self.plans.get(index as usize));
        if let Some(Some(plan)) = known {
            return plan.clone();
        }
        let plan = Arc::new(Plan::new(self, state, class));
        self.bytes += size_of::<Plan>() + 256;
        if let Some(index) = index {
            put(&mut self.plans, index, plan.clone());
        }
        plan
    }

    fn foreign(
        &mut self,
        state: &State,
        class: &Class,
        index: Option<ClassIndex>,
    ) -> Arc<[TermIndex]> {
        let generation = state.terms.generation();
        let known = index.and_then(|index| self.foreign.get(index as usize));
        if let Some(Some((known, terms))) = known
            && *known == generation
        {
            return terms.clone();
        }
        let matching = state.terms.candidates(&class.labels).filter(|(_, entry)| {
            entry
                .term
                .pods
                .matches(&class.namespace, &class.labels, |namespace| {
                    state.namespaces.get(namespace)
                })
        });
        let terms: Arc<[TermIndex]> = matching.map(|(index, _)| index).collect();
        if let Some(index) = index {
            put(&mut self.foreign, index, (generation, terms.clone()));
        }
        terms
    }

    /// Takes a host out of everything, before it changes.
    pub(crate) fn detach(&mut self, state: &State, node: NodeIndex) {
        self.count_all(state, node, false);
        let Self {
            scopes, topologies, ..
        } = self;
        for (key, scope) in &mut scopes.rows {
            let domain = topologies.get(key.topology).map_or(UNKNOWN, |t| t.of(node));
            scope.take_out(node, domain);
        }
        for (_, topology) in &mut topologies.rows {
            topology.take_out(node, state.nodes.node(node).map(AsRef::as_ref));
        }
    }

    /// Puts a host back into everything, after it changed. `old` is what it was before, if it was there.
    pub(crate) fn attach(&mut self, state: &State, node: NodeIndex, old: Option<&Node>) {
        // Values that no host has any more are kept, but not for ever.
        let most = 4 * state.nodes.capacity();
        if self
            .topologies
            .rows
            .iter()
            .any(|(_, topology)| topology.end() > most)
        {
            self.clear();
            return;
        }
        let host = state.nodes.node(node).map(AsRef::as_ref);
        for (affinity, bits) in &mut self.affinities.rows {
            bits.set(node, host.is_some_and(|host| affinity.matches(host)));
        }
        for (tolerations, row) in &mut self.tolerations.rows {
            row.set(node, host, tolerations);
        }
        for (terms, row) in &mut self.preferences.rows {
            rows::set_preference(row, node, host, terms);
        }
        self.attach_images(state, host, old);
        for (key, topology) in &mut self.topologies.rows {
            topology.put_in(node, host, key);
        }
        let Self {
            scopes,
            topologies,
            affinities,
            tolerations,
            ..
        } = self;
        for (key, scope) in &mut scopes.rows {
            if tally::is_eligible(key, state, affinities, tolerations, topologies, node) {
                let domain = topologies.get(key.topology).map_or(UNKNOWN, |t| t.of(node));
                scope.put_in(node, domain);
            }
        }
        self.count_all(state, node, true);
    }

    fn attach_images(&mut self, state: &State, host: Option<&Node>, old: Option<&Node>) {
        let (before, after) = (images(old), images(host));
        let as_many = old.is_some() == host.is_some();
        if as_many && before == after {
            return;
        }
        let changed: HashSet<&str> = before
            .iter()
            .filter(|image| !after.contains(image))
            .chain(after.iter().filter(|image| !before.contains(image)))
            .flat_map(|image| &image.names)
            .map(AsRef::as_ref)
            .collect();
        for (names, row) in &mut self.images.rows {
            // How many hosts have an image counts on each of them, and so does how many hosts there are.
            if !as_many || names.iter().any(|name| changed.contains(&**name)) {
                *row = rows::images(state, names);
            }
        }
    }

    fn count_all(&mut self, state: &State, node: NodeIndex, more: bool) {
        if self.tallies.rows.is_empty() {
            return;
        }
        let pods = state
            .nodes
            .slot(node)
            .map(|slot| slot.pods.as_slice())
            .unwrap_or_default();
        for entry in pods.iter().filter_map(|pod| state.pods.get(*pod)) {
            self.count(state, entry.class, node, entry.pod.leaving, more);
        }
    }
}

fn put<T>(list: &mut Vec<Option<T>>, index: u32, value: T) {
    let index = index as usize;
    if index >= list.len() {
        list.resize_with(index + 1, || None);
    }
    if let Some(place) = list.get_mut(index) {
        *place = Some(value);
    }
}
