//! How many pods of a kind are in each domain of a topology.

use std::sync::Arc;

use super::{Memo, Table, Topology, UNKNOWN, rows::TolerationRow};
use crate::{
    bits::{Bits, at, at_mut},
    cluster::State,
    model::{Class, NodeAffinity, PodSelector, Toleration},
    slab::{ClassIndex, NodeIndex},
};

/// Which pods are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Matcher {
    /// Those of one controller.
    Owner { namespace: Arc<str>, uid: Box<str> },
    /// Those that match every one of these.
    Selectors(Vec<PodSelector>),
}

impl Matcher {
    pub(crate) fn matches(&self, state: &State, class: &Class) -> bool {
        match self {
            Self::Owner { namespace, uid } => {
                class.namespace == *namespace
                    && class.owner.as_ref().is_some_and(|owner| owner.uid == *uid)
            }
            Self::Selectors(selectors) => selectors.iter().all(|selector| {
                selector.matches(&class.namespace, &class.labels, |namespace| {
                    state.namespaces.get(namespace)
                })
            }),
        }
    }
}

/// Which hosts are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ScopeKey {
    /// Those that this node affinity allows.
    pub affinity: Option<u32>,
    /// Those whose taints are tolerated.
    pub tolerations: Option<u32>,
    /// Those that have all these labels.
    pub keys: Arc<[u32]>,
    /// The label whose values are the domains.
    pub topology: u32,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scope {
    pub eligible: Bits,
    /// By domain: hosts in it that are counted.
    pub hosts: Vec<u32>,
    /// How many domains have any.
    pub domains: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TallyKey {
    pub matcher: Arc<Matcher>,
    pub scope: u32,
    /// Pods that are being deleted count, too.
    pub leaving: bool,
}

/// Pods by domain.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub counts: Vec<u32>,
    pub total: u64,
    pub scope: u32,
    pub topology: u32,
    pub matcher: Option<Arc<Matcher>>,
    pub leaving: bool,
}

impl Scope {
    pub(super) fn put_in(&mut self, node: NodeIndex, domain: u32) {
        if domain == UNKNOWN || self.eligible.get(node) {
            return;
        }
        self.eligible.set(node, true);
        if let Some(hosts) = at_mut(&mut self.hosts, domain) {
            self.domains += u32::from(*hosts == 0);
            *hosts += 1;
        }
    }

    pub(super) fn take_out(&mut self, node: NodeIndex, domain: u32) {
        if domain == UNKNOWN || !self.eligible.get(node) {
            return;
        }
        self.eligible.set(node, false);
        if let Some(hosts) = at_mut(&mut self.hosts, domain) {
            *hosts -= 1;
            self.domains -= u32::from(*hosts == 0);
        }
    }
}

impl Tally {
    /// Pods in a domain.
    pub(crate) fn of(&self, domain: u32) -> u32 {
        at(&self.counts, domain)
    }

    /// Whether a pod of a class is one of those.
    pub(crate) fn is_about(&self, state: &State, class: &Class, leaving: bool) -> bool {
        (self.leaving || !leaving)
            && self
                .matcher
                .as_ref()
                .is_some_and(|matcher| matcher.matches(state, class))
    }

    fn add(&mut self, domain: u32, pods: u32, more: bool) {
        if let Some(count) = at_mut(&mut self.counts, domain) {
            if more {
                *count += pods;
                self.total += u64::from(pods);
            } else {
                *count -= pods;
                self.total -= u64::from(pods);
            }
        }
    }
}

/// Whether a host is in a scope.
pub(super) fn is_eligible(
    key: &ScopeKey,
    state: &State,
    affinities: &Table<Arc<NodeAffinity>, Bits>,
    tolerations: &Table<Arc<[Toleration]>, TolerationRow>,
    topologies: &Table<Arc<str>, Topology>,
    node: NodeIndex,
) -> bool {
    let known = |topology: &u32| {
        topologies
            .get(*topology)
            .is_some_and(|t| t.of(node) != UNKNOWN)
    };
    let allowed = |row: u32| affinities.get(row).is_some_and(|bits| bits.get(node));
    let tolerated = |row: u32| {
        tolerations
            .get(row)
            .is_some_and(|row| row.tolerated.get(node))
    };
    state.nodes.present().get(node)
        && known(&key.topology)
        && key.keys.iter().all(known)
        && key.affinity.is_none_or(allowed)
        && key.tolerations.is_none_or(tolerated)
}

impl Memo {
    pub(super) fn scope(&mut self, state: &State, key: ScopeKey) -> u32 {
        if let Some(row) = self.scopes.find(&key) {
            return row;
        }
        let mut scope = Scope {
            eligible: Bits::new(state.nodes.capacity()),
            ..Scope::default()
        };
        for (node, _, _) in state.nodes.iter() {
            let Self {
                affinities,
                tolerations,
                topologies,
                ..
            } = self;
            if is_eligible(&key, state, affinities, tolerations, topologies, node) {
                let domain = topologies.get(key.topology).map_or(UNKNOWN, |t| t.of(node));
                scope.put_in(node, domain);
            }
        }
        self.bytes += state.nodes.capacity() / 8 + scope.hosts.len() * 4 + 512;
        self.scopes.push(key, scope)
    }

    pub(super) fn tally(
        &mut self,
        state: &State,
        matcher: &Arc<Matcher>,
        scope: u32,
        leaving: bool,
    ) -> u32 {
        let key = TallyKey {
            matcher: matcher.clone(),
            scope,
            leaving,
        };
        if let Some(row) = self.tallies.find(&key) {
            return row;
        }
        let topology = self.scopes.key(scope).map_or(UNKNOWN, |key| key.topology);
        let mut tally = Tally {
            counts: Vec::new(),
            total: 0,
            scope,
            topology,
            matcher: Some(matcher.clone()),
            leaving,
        };
        let row = self.tallies.rows.len() as u32;
        if let (Some(scope), Some(topology)) =
            (self.scopes.get(scope), self.topologies.get(topology))
        {
            tally.counts.resize(topology.end(), 0);
            for (class, entry) in state.classes.iter() {
                if !matcher.matches(state, &entry.class) {
                    continue;
                }
                let more = entry.leaving.iter().filter(|_| leaving);
                for (node, pods) in entry.staying.iter().chain(more) {
                    if scope.eligible.get(node) {
                        tally.add(topology.of(node), pods, true);
                    }
                }
                if let Some(Some(tallies)) = self.class_tallies.get_mut(class as usize) {
                    tallies.push(row);
                }
            }
        }
        match &**matcher {
            Matcher::Owner { uid, .. } => {
                self.tallies_by_owner
                    .entry(uid.clone())
                    .or_default()
                    .push(row);
            }
            Matcher::Selectors(selectors) => {
                let selectors = selectors.iter().map(|selector| &selector.labels);
                self.tallies_by_label.insert(selectors, row);
            }
        }
        self.bytes += tally.counts.len() * 4 + 512;
        self.tallies.push(key, tally)
    }

    /// A pod of a class came to a host, or left it.
    pub(crate) fn count(
        &mut self,
        state: &State,
        class: ClassIndex,
        node: NodeIndex,
        leaving: bool,
        more: bool,
    ) {
        if self.tallies.rows.is_empty() {
            return;
        }
        let known = self
            .class_tallies
            .get_mut(class as usize)
            .and_then(Option::take);
        let rows = known.unwrap_or_else(|| self.tallies_of(state, class));
        let Self {
            tallies,
            scopes,
            topologies,
            ..
        } = self;
        for row in &rows {
            let Some(tally) = tallies
                .get_mut(*row)
                .filter(|tally| tally.leaving || !leaving)
            else {
                continue;
            };
            if scopes
                .get(tally.scope)
                .is_some_and(|scope| scope.eligible.get(node))
            {
                let domain = topologies
                    .get(tally.topology)
                    .map_or(UNKNOWN, |t| t.of(node));
                tally.add(domain, 1, more);
            }
        }
        super::put(&mut self.class_tallies, class, rows);
    }

    fn tallies_of(&self, state: &State, class: ClassIndex) -> Vec<u32> {
        let Some(entry) = state.classes.get(class) else {
            return Vec::new();
        };
        let class = &entry.class;
        let owner = class.owner.as_ref();
        let owned = owner.and_then(|owner| self.tallies_by_owner.get(&owner.uid));
        let candidates = self.tallies_by_label.candidates(&class.labels);
        let candidates = candidates.chain(owned.into_iter().flatten().copied());
        let matches = |row: &u32| {
            let key = self.tallies.key(*row);
            key.is_some_and(|key| key.matcher.matches(state, class))
        };
        candidates.filter(matches).collect()
    }
}
