//! The rules of roles, and of cluster roles that gather theirs from others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use mosaic_api::{LabelSelector, meta};
use serde_json::{Map, Value};

use super::rule::Rule;
use crate::values;

#[derive(Debug, Default)]
pub(crate) struct Roles {
    /// By namespace, then name.
    roles: HashMap<String, HashMap<String, Arc<[Rule]>>>,
    cluster_roles: BTreeMap<String, ClusterRole>,
    /// The rules that count, of every cluster role.
    effective: HashMap<String, Arc<[Rule]>>,
}

#[derive(Debug)]
struct ClusterRole {
    own: Arc<[Rule]>,
    labels: Option<Map<String, Value>>,
    /// What the `aggregationRule` gathers; none where there is no such rule.
    gathers: Option<Vec<LabelSelector>>,
}

impl Roles {
    pub(crate) fn upsert_role(&mut self, namespace: &str, name: &str, object: &Value) {
        let rules = Rule::all_of(object).into();
        self.roles
            .entry(namespace.to_owned())
            .or_default()
            .insert(name.to_owned(), rules);
    }

    pub(crate) fn remove_role(&mut self, namespace: &str, name: &str) {
        if let Some(roles) = self.roles.get_mut(namespace) {
            roles.remove(name);
            if roles.is_empty() {
                self.roles.remove(namespace);
            }
        }
    }

    pub(crate) fn upsert_cluster_role(&mut self, name: &str, object: &Value) {
        let aggregation = values::at(object, &["aggregationRule"]);
        // A selector that cannot be read matches nothing, so that no right comes of it.
        let gathers = aggregation.is_object().then(|| {
            values::items(aggregation, &["clusterRoleSelectors"])
                .iter()
                .filter_map(|selector| LabelSelector::from_object(Some(selector)).ok())
                .collect()
        });
        let role = ClusterRole {
            own: Rule::all_of(object).into(),
            labels: meta::labels(object).cloned(),
            gathers,
        };
        self.cluster_roles.insert(name.to_owned(), role);
        self.refresh(name);
    }

    pub(crate) fn remove_cluster_role(&mut self, name: &str) {
        if self.cluster_roles.remove(name).is_some() {
            self.effective.remove(name);
            self.refresh(name);
        }
    }

    pub(crate) fn role(&self, namespace: &str, name: &str) -> Option<&[Rule]> {
        self.roles.get(namespace)?.get(name).map(|rules| &**rules)
    }

    pub(crate) fn cluster_role(&self, name: &str) -> Option<&[Rule]> {
        self.effective.get(name).map(|rules| &**rules)
    }

    /// Brings up to date what counts after a change of one cluster role: its own rules, and those of
    /// every role that gathers. There are few of the latter, and roles change seldom.
    fn refresh(&mut self, changed: &str) {
        if let Some(role) = self.cluster_roles.get(changed)
            && role.gathers.is_none()
        {
            self.effective
                .insert(changed.to_owned(), Arc::clone(&role.own));
        }
        let gathering: Vec<String> = self
            .cluster_roles
            .iter()
            .filter(|(_, role)| role.gathers.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in gathering {
            let rules = self.gather(&name);
            self.effective.insert(name, rules);
        }
    }

    /// The rules of all roles that a role gathers, of those that these gather, and so on. What the
    /// object itself says under `rules` does not count: in Kubernetes a controller overwrites it.
    fn gather(&self, name: &str) -> Arc<[Rule]> {
        let mut rules = Vec::new();
        let mut seen_rules = HashSet::new();
        let mut visited = HashSet::from([name]);
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let Some(role) = self.cluster_roles.get(name) else {
                continue;
            };
            let Some(selectors) = &role.gathers else {
                rules.extend(
                    role.own
                        .iter()
                        .filter(|rule| seen_rules.insert(*rule))
                        .cloned(),
                );
                continue;
            };
            for (other, candidate) in &self.cluster_roles {
                if selectors
                    .iter()
                    .any(|selector| selector.matches(&candidate.labels.as_ref()))
                    && visited.insert(other)
                {
                    open.push(other);
                }
            }
        }
        rules.sort();
        rules.into()
    }
}
