//! Which volumes a claim may get, and which hosts reach them: the rules by which the scheduler looks for a host, and
//! those by which claims are bound.

use std::sync::Arc;

use super::{Claim, Node, Volume, node_affinity::any_or_all};

impl Volume {
    /// Whether it names this claim, and no earlier one of its name.
    pub fn is_for(&self, claim: &Claim) -> bool {
        self.claim.as_ref().is_some_and(|named| {
            named.name == claim.name
                && named.namespace == claim.namespace
                && (named.uid.is_empty() || named.uid == claim.uid)
        })
    }

    /// Whether it could be this claim's, if both say that it is.
    ///
    /// # Errors
    ///
    /// What stands against it, in Kubernetes' words where it has them.
    pub fn suits(&self, claim: &Claim) -> Result<(), &'static str> {
        if self.leaving {
            Err("it is being deleted")
        } else if self.size < claim.size {
            Err("requested PV is too small")
        } else if self.block != claim.block {
            Err("incompatible volumeMode")
        } else {
            Ok(())
        }
    }

    /// Whether it may become the claim's if the claim names it, without being named by it.
    ///
    /// # Errors
    ///
    /// What stands against it, in Kubernetes' words where it has them.
    pub fn may_be_named(&self, claim: &Claim) -> Result<(), &'static str> {
        self.suits(claim)?;
        let has_mode = |mode| self.access_modes.contains(mode);
        if self.class != claim.class {
            Err("storageClassName does not match")
        } else if !claim.access_modes.iter().all(has_mode) {
            Err("incompatible accessMode")
        } else {
            Ok(())
        }
    }

    /// Whether a claim that names no volume may get this one: it names the claim, or is nobody's and has all that is asked
    /// for.
    pub fn is_candidate(&self, claim: &Claim) -> bool {
        if self.claim.is_some() {
            return self.is_for(claim) && self.suits(claim).is_ok();
        }
        let selector = claim.selector.as_ref();
        self.available
            && self.may_be_named(claim).is_ok()
            && selector.is_none_or(|selector| selector.matches(&self.labels))
    }

    /// By which a claim's candidates are ordered, the best first: one that names the claim, and then the smallest.
    pub fn preference(&self) -> (bool, i64, &Arc<str>) {
        (self.claim.is_none(), self.size, &self.name)
    }

    /// Whether a host may use it.
    pub fn is_reached_from(&self, node: &Node) -> bool {
        any_or_all(self.affinity.as_deref(), node)
    }
}
