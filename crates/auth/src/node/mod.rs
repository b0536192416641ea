//! What a host may touch.
//!
//! A host is whoever is named `system:node:<name>` and in the group `system:nodes`. Two functions
//! hold it to what is its own. [`authorize`] sees who asks for what: a Secret is open to a host if
//! a pod that is bound to it refers to the Secret, as [`Graph`] knows. [`restrict`] sees also what
//! is written, and runs where objects are admitted: a host may change its own Node but not the
//! labels and taints that decide what is placed on it.

mod authorize;
mod graph;
mod references;
mod restrict;

pub use authorize::authorize;
pub use graph::{Graph, PodOnNode};
pub use restrict::{NodeWrite, Operation, RestrictError, restrict};

/// The namespace of hosts' leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Marks a pod that stands for one that its host runs by itself.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
