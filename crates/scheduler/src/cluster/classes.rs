//! Classes of pods, and where their pods are.

use std::{collections::HashMap, sync::Arc};

use super::terms::{Role, Terms};
use crate::{
    bits::Counts,
    model::{Class, Template},
    slab::{ClassIndex, NodeIndex, Slab},
};

#[derive(Debug, Clone)]
pub(crate) struct ClassEntry {
    pub class: Arc<Class>,
    /// How many pods it has, placed or not.
    pods: u32,
    /// Where its placed pods are.
    pub staying: Counts,
    /// And those of them that are being deleted.
    pub leaving: Counts,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Classes {
    entries: Slab<ClassEntry>,
    index: HashMap<Arc<Class>, ClassIndex>,
    /// Templates, and how many classes have each.
    templates: HashMap<Arc<Template>, u32>,
}

impl Classes {
    pub(crate) fn get(&self, index: ClassIndex) -> Option<&ClassEntry> {
        self.entries.get(index)
    }

    pub(crate) fn find(&self, class: &Class) -> Option<ClassIndex> {
        self.index.get(class).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClassIndex, &ClassEntry)> {
        self.entries.iter()
    }

    /// Takes one more pod of a class in, and returns the class that all of them share.
    pub(super) fn enter(
        &mut self,
        class: &Arc<Class>,
        terms: &mut Terms,
    ) -> (ClassIndex, Arc<Class>) {
        if let Some(index) = self.index.get(class).copied()
            && let Some(entry) = self.entries.get_mut(index)
        {
            entry.pods += 1;
            return (index, entry.class.clone());
        }
        let template = self.share(&class.template);
        let class = Arc::new(class.with_template(template));
        let entry = ClassEntry {
            class: class.clone(),
            pods: 1,
            staying: Counts::default(),
            leaving: Counts::default(),
        };
        let index = self.entries.insert(entry);
        self.index.insert(class.clone(), index);
        for (term, role) in owned(&class.template) {
            terms.own(term, index, role);
        }
        (index, class)
    }

    /// A pod of a class is gone. Returns whether the class is, too.
    pub(super) fn leave(&mut self, index: ClassIndex, terms: &mut Terms) -> bool {
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        entry.pods -= 1;
        if entry.pods > 0 {
            return false;
        }
        let Some(entry) = self.entries.remove(index) else {
            return false;
        };
        self.index.remove(&entry.class);
        for (term, role) in owned(&entry.class.template) {
            terms.disown(term, index, role);
        }
        if let Some(classes) = self.templates.get_mut(&entry.class.template) {
            *classes -= 1;
            if *classes == 0 {
                self.templates.remove(&entry.class.template);
            }
        }
        true
    }

    /// The template that is equal to this one and known already, or this one; one more class has it.
    fn share(&mut self, template: &Arc<Template>) -> Arc<Template> {
        let known = self.templates.get_key_value(template);
        let shared = known.map_or(template, |(known, _)| known).clone();
        *self.templates.entry(shared.clone()).or_default() += 1;
        shared
    }

    /// How many templates there are.
    pub(super) fn templates(&self) -> usize {
        self.templates.len()
    }

    pub(super) fn count(&mut self, index: ClassIndex, node: NodeIndex, leaving: bool, more: bool) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let counts = if leaving {
            &mut entry.leaving
        } else {
            &mut entry.staying
        };
        if more {
            counts.add(node);
        } else {
            counts.sub(node);
        }
    }
}

/// The terms by which placed pods of a template keep others away, or draw them near.
pub(crate) fn owned(
    template: &Template,
) -> impl Iterator<Item = (&Arc<crate::model::PodTerm>, Role)> {
    let far = template.anti_affinity.iter().map(|term| (term, Role::Far));
    let near = template.affinity.iter().map(|term| (term, Role::Near));
    let preferred = template.preferred_pods.iter();
    far.chain(near)
        .chain(preferred.map(|(weight, term)| (term, Role::Preferred(*weight))))
}
