//! Compares what is kept with what would be worked out anew.

use super::{Memo, UNKNOWN, rows};
use crate::{bits::at, cluster::State};

impl Memo {
    /// Whether everything that is kept is what it would be if it was made now.
    pub(crate) fn verify(&self, state: &State) -> Result<(), String> {
        let mut fresh = Self::default();
        // In their order, so that rows get the same numbers.
        for (affinity, bits) in &self.affinities.rows {
            let row = fresh.affinity(state, affinity);
            if fresh.affinities.get(row) != Some(bits) {
                return Err(format!("hosts of {affinity:?} are wrong"));
            }
        }
        for (tolerations, known) in &self.tolerations.rows {
            let row = fresh.toleration(state, tolerations);
            if fresh.tolerations.get(row) != Some(known) {
                return Err(format!("hosts of {tolerations:?} are wrong"));
            }
        }
        for (terms, known) in &self.preferences.rows {
            let row = fresh.preference(state, terms);
            if fresh.preferences.get(row) != Some(known) {
                return Err(format!("weights of {terms:?} are wrong"));
            }
        }
        for (names, known) in &self.images.rows {
            let expected = rows::images(state, names);
            // Room for hosts that are not there counts for nothing.
            let end = known.len().max(expected.len());
            let number = |row: &[f32], at: usize| row.get(at).copied().unwrap_or(0.0);
            if (0..end).any(|at| number(known, at) != number(&expected, at)) {
                return Err(format!("hosts with images {names:?} are wrong"));
            }
        }
        for (key, topology) in &self.topologies.rows {
            let row = fresh.topology(state, key);
            for (node, _, host) in state.nodes.iter() {
                let domain = topology.of(node);
                let name = (domain != UNKNOWN).then(|| topology.name(domain));
                if name != host.labels.get(key) || (fresh.topologies.get(row)).is_none() {
                    return Err(format!("the {key} of {} is wrong", host.name));
                }
            }
        }
        for (key, scope) in &self.scopes.rows {
            let row = fresh.scope(state, key.clone());
            let expected = fresh.scopes.get(row);
            if expected.is_none_or(|expected| {
                expected.eligible != scope.eligible || expected.domains != scope.domains
            }) {
                return Err(format!("hosts of {key:?} are wrong"));
            }
        }
        for (key, tally) in &self.tallies.rows {
            let row = fresh.tally(state, &key.matcher, key.scope, key.leaving);
            let expected = fresh.tallies.get(row).ok_or("no tally")?;
            let topology = (
                self.topologies.get(tally.topology),
                fresh.topologies.get(tally.topology),
            );
            let (Some(own), Some(other)) = topology else {
                return Err("a tally without a topology".to_owned());
            };
            let wrong = state.nodes.iter().any(|(node, _, _)| {
                let domains = (own.of(node), other.of(node));
                at(&tally.counts, domains.0) != at(&expected.counts, domains.1)
            });
            if wrong || tally.total != expected.total {
                return Err(format!("{key:?} is {tally:?} and should be {expected:?}"));
            }
        }
        Ok(())
    }
}
