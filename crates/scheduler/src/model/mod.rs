//! What a decision needs to know of objects, in compact forms.
//!
//! Each form is read directly from an object's JSON: what no decision looks at (managed fields, commands,
//! conditions) is skipped by the parser and never held. What pods of one template share is one [`Class`].
//! The fields follow Kubernetes' API, and so do the defaults of what is absent.

mod amounts;
mod class;
mod labels;
mod matching;
mod node;
mod node_affinity;
mod pod;
mod pod_affinity;
mod policy;
mod read;
mod requests;
mod spread;
mod taint;
mod volume;

pub use self::{
    amounts::{Amounts, MAX_AMOUNT},
    class::{Class, HostPort, Owner, Template},
    labels::Labels,
    node::{Image, Node},
    node_affinity::{NodeAffinity, NodeTerm},
    pod::{Pod, PodGroup, PodKey},
    pod_affinity::{Namespaces, PodSelector, PodTerm},
    policy::{Budget, Namespace},
    spread::SpreadConstraint,
    taint::{Effect, Taint, Toleration},
    volume::{BindingMode, Claim, ClaimName, StorageClass, Volume},
};

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its JSON does not have the form of its kind.
    #[error("a {kind} is not of its kind's form")]
    Form {
        /// The kind that was expected.
        kind: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It has no name.
    #[error("a {kind} has no name")]
    Nameless {
        /// The kind that was expected.
        kind: &'static str,
    },
}
