//! Affinity terms of pods that are there, which hold for pods that come.

use std::{collections::HashMap, sync::Arc};

use crate::{
    anchors::Anchors,
    model::{Labels, PodTerm},
    slab::{ClassIndex, Slab, TermIndex},
};

/// What a term is to the pods that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Others must be far away.
    Far,
    /// Others had to be near.
    Near,
    /// Others should rather be near, or far away below zero.
    Preferred(i32),
}

#[derive(Debug, Clone)]
pub(crate) struct TermEntry {
    pub term: Arc<PodTerm>,
    /// The classes that have it.
    pub owners: Vec<(ClassIndex, Role)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    entries: Slab<TermEntry>,
    index: HashMap<Arc<PodTerm>, TermIndex>,
    anchors: Anchors,
    generation: u64,
}

impl Terms {
    /// Changes whenever another set of terms may match a pod.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn touch(&mut self) {
        self.generation += 1;
    }

    pub(crate) fn get(&self, index: TermIndex) -> Option<&TermEntry> {
        self.entries.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TermIndex, &TermEntry)> {
        self.entries.iter()
    }

    /// Terms that may be about a pod with these labels.
    pub(crate) fn candidates(
        &self,
        labels: &Labels,
    ) -> impl Iterator<Item = (TermIndex, &TermEntry)> {
        let candidates = self.anchors.candidates(labels);
        candidates.filter_map(|index| Some((index, self.entries.get(index)?)))
    }

    pub(super) fn own(&mut self, term: &Arc<PodTerm>, class: ClassIndex, role: Role) {
        if let Some(index) = self.index.get(term).copied()
            && let Some(entry) = self.entries.get_mut(index)
        {
            entry.owners.push((class, role));
            return;
        }
        let entry = TermEntry {
            term: term.clone(),
            owners: vec![(class, role)],
        };
        let index = self.entries.insert(entry);
        self.index.insert(term.clone(), index);
        self.anchors
            .insert(std::iter::once(&term.pods.labels), index);
        self.touch();
    }

    pub(super) fn disown(&mut self, term: &Arc<PodTerm>, class: ClassIndex, role: Role) {
        let Some(index) = self.index.get(term).copied() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if let Some(at) = entry
            .owners
            .iter()
            .position(|owner| *owner == (class, role))
        {
            entry.owners.swap_remove(at);
        }
        if entry.owners.is_empty() {
            self.entries.remove(index);
            self.index.remove(term);
            self.anchors
                .remove(std::iter::once(&term.pods.labels), index);
            self.touch();
        }
    }
}
