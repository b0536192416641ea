//! What a class of pods looks at.

use std::sync::Arc;

use super::{
    Memo,
    tally::{Matcher, ScopeKey},
};
use crate::{
    cluster::State,
    model::{Class, Namespaces, PodSelector, PodTerm, SpreadConstraint},
};

/// The labels by which pods are spread that say nothing about it, and how far they may be apart.
const DEFAULT_SPREAD: [(&str, u32); 2] = [("topology.kubernetes.io/zone", 5), (HOSTNAME, 3)];
/// The label that tells hosts from each other.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

/// Where a decision about a class finds what was worked out for it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub affinity: u32,
    pub tolerations: u32,
    pub preference: Option<u32>,
    pub images: u32,
    /// Constraints that must hold.
    pub spread: Vec<Spread>,
    /// Constraints that should hold.
    pub soft_spread: Vec<Spread>,
    /// The latter are the default ones, so that hosts without the labels take part.
    pub default_spread: bool,
    /// Pods that must be near. They must match every term.
    pub near: Vec<Near>,
    /// The pod matches its own terms, so the first one of them may go anywhere.
    pub near_self: bool,
    /// Pods that must be far away.
    pub far: Vec<Near>,
    /// Pods that should be near, or far away below zero.
    pub preferred: Vec<(i32, Near)>,
}

#[derive(Debug)]
pub(crate) struct Spread {
    pub key: Arc<str>,
    pub topology: u32,
    pub scope: u32,
    pub tally: u32,
    pub max_skew: u32,
    pub min_domains: u32,
    /// The pod counts itself.
    pub own: bool,
}

#[derive(Debug)]
pub(crate) struct Near {
    pub key: Arc<str>,
    pub topology: u32,
    pub tally: u32,
}

impl Plan {
    pub(super) fn new(memo: &mut Memo, state: &State, class: &Class) -> Self {
        let template = &*class.template;
        let affinity = memo.affinity(state, &template.node_affinity);
        let tolerations = memo.toleration(state, &template.tolerations);
        let mut plan = Self {
            affinity,
            tolerations,
            preference: (!template.preferred_nodes.is_empty())
                .then(|| memo.preference(state, &template.preferred_nodes)),
            images: memo.image(state, &template.images),
            spread: Vec::new(),
            soft_spread: Vec::new(),
            default_spread: false,
            near: Vec::new(),
            near_self: false,
            far: Vec::new(),
            preferred: Vec::new(),
        };
        plan.add_spread(memo, state, class);
        plan.add_terms(memo, state, class);
        plan
    }

    fn add_spread(&mut self, memo: &mut Memo, state: &State, class: &Class) {
        let constraints = &class.template.spread;
        for required in [true, false] {
            let same = || constraints.iter().filter(move |c| c.required == required);
            // A host counts only if it has all the labels.
            let mut keys: Vec<u32> = same()
                .map(|c| memo.topology(state, &c.topology_key))
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let keys: Arc<[u32]> = keys.into();
            for constraint in same() {
                let spread = self.spread_by(memo, state, class, constraint, &keys);
                if required {
                    self.spread.push(spread);
                } else {
                    self.soft_spread.push(spread);
                }
            }
        }
        let owner = class.owner.as_ref().filter(|owner| owner.spreads());
        let Some(owner) = owner.filter(|_| constraints.is_empty()) else {
            return;
        };
        self.default_spread = true;
        let matcher = Arc::new(Matcher::Owner {
            namespace: class.namespace.clone(),
            uid: owner.uid.clone(),
        });
        for (key, max_skew) in DEFAULT_SPREAD {
            let key: Arc<str> = key.into();
            let topology = memo.topology(state, &key);
            let scope = ScopeKey {
                affinity: Some(self.affinity),
                tolerations: None,
                keys: Arc::default(),
                topology,
            };
            let scope = memo.scope(state, scope);
            self.soft_spread.push(Spread {
                key,
                topology,
                scope,
                tally: memo.tally(state, &matcher, scope, false),
                max_skew,
                min_domains: 1,
                own: true,
            });
        }
    }

    fn spread_by(
        &self,
        memo: &mut Memo,
        state: &State,
        class: &Class,
        constraint: &SpreadConstraint,
        keys: &Arc<[u32]>,
    ) -> Spread {
        let topology = memo.topology(state, &constraint.topology_key);
        let key = ScopeKey {
            affinity: constraint.honors_affinity.then_some(self.affinity),
            tolerations: constraint.honors_taints.then_some(self.tolerations),
            keys: keys.clone(),
            topology,
        };
        let scope = memo.scope(state, key);
        let matcher = Arc::new(Matcher::Selectors(vec![PodSelector {
            namespaces: Namespaces {
                names: [class.namespace.clone()].into(),
                selector: None,
            },
            labels: constraint.pods.clone(),
        }]));
        Spread {
            key: constraint.topology_key.clone(),
            topology,
            scope,
            tally: memo.tally(state, &matcher, scope, false),
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains,
            own: matcher.matches(state, class),
        }
    }

    fn add_terms(&mut self, memo: &mut Memo, state: &State, class: &Class) {
        let template = &*class.template;
        let all = template
            .affinity
            .iter()
            .map(|term| term.pods.clone())
            .collect();
        let all = Arc::new(Matcher::Selectors(all));
        self.near_self = all.matches(state, class);
        for term in &template.affinity {
            self.near.push(near(memo, state, term, &all));
        }
        let each = |term: &PodTerm| Arc::new(Matcher::Selectors(vec![term.pods.clone()]));
        for term in &template.anti_affinity {
            self.far.push(near(memo, state, term, &each(term)));
        }
        for (weight, term) in &template.preferred_pods {
            self.preferred
                .push((*weight, near(memo, state, term, &each(term))));
        }
    }
}

fn near(memo: &mut Memo, state: &State, term: &PodTerm, matcher: &Arc<Matcher>) -> Near {
    let topology = memo.topology(state, &term.topology_key);
    let key = ScopeKey {
        affinity: None,
        tolerations: None,
        keys: Arc::default(),
        topology,
    };
    let scope = memo.scope(state, key);
    Near {
        key: term.topology_key.clone(),
        topology,
        tally: memo.tally(state, matcher, scope, true),
    }
}
