//! The decision on a request: whoever may do everything, then hosts, then roles.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    Attributes, Decision, Reason,
    node::{self, Graph},
    rbac::Rbac,
};

/// Decides on requests, from what it has been told of roles, bindings, pods and volumes. Many
/// requests may ask at once while one task brings it up to date.
#[derive(Debug, Default)]
pub struct Authorizer {
    rbac: RwLock<Rbac>,
    graph: RwLock<Graph>,
}

impl Authorizer {
    /// An authorizer that allows `system:masters` everything and nobody else anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the request may go on: `system:masters` may do everything; hosts what the node
    /// authorizer gives them; and everybody, hosts too, what roles give them.
    pub fn authorize(&self, request: &Attributes<'_>) -> Decision {
        if request.user.is_master() {
            return Decision::allow(Reason::Masters);
        }
        let mut node_reason = None;
        if let Some(node) = request.user.node_name() {
            match node::authorize(&self.graph.read(), node, request) {
                Ok(()) => return Decision::allow(Reason::None),
                Err(reason) => node_reason = Some(reason),
            }
        }
        let decision = self.rbac.read().authorize(request);
        if decision.allowed || node_reason.is_none() {
            return decision;
        }
        // Two reasons to refuse stand in one line, as union authorizers write them.
        let texts = [node_reason.unwrap_or_default(), decision.reason.to_string()];
        let texts: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        let reason = if texts.is_empty() {
            Reason::None
        } else {
            Reason::Text(texts.join(", "))
        };
        Decision::deny(reason)
    }

    /// Roles and bindings, to read.
    pub fn rbac(&self) -> RwLockReadGuard<'_, Rbac> {
        self.rbac.read()
    }

    /// Roles and bindings, to bring up to date.
    pub fn rbac_mut(&self) -> RwLockWriteGuard<'_, Rbac> {
        self.rbac.write()
    }

    /// What hosts may reach, to read.
    pub fn graph(&self) -> RwLockReadGuard<'_, Graph> {
        self.graph.read()
    }

    /// What hosts may reach, to bring up to date.
    pub fn graph_mut(&self) -> RwLockWriteGuard<'_, Graph> {
        self.graph.write()
    }
}
