//! Which hosts a pod may or would rather run on, by the hosts' labels.

use mosaic_api::selector::{Operator, Requirement};
use serde::Deserialize;

use super::{Labels, Node};

/// What a pod requires of a host's labels and name: its node selector and its required node affinity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeAffinity {
    /// Labels that a host must have.
    pub selector: Labels,
    /// One of these must match; none at all means that every host does.
    pub terms: Option<Vec<NodeTerm>>,
}

/// A node selector term: everything in it must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeTerm {
    expressions: Vec<Requirement>,
    /// Names that a host must (or must not) have.
    names: Vec<(bool, Box<str>)>,
    /// An empty term, and one that cannot be read, match nothing.
    valid: bool,
}

impl NodeAffinity {
    /// Whether a host may be chosen.
    pub fn matches(&self, node: &Node) -> bool {
        self.selector
            .iter()
            .all(|(key, value)| node.labels.get(key) == Some(value))
            && any_or_all(self.terms.as_deref(), node)
    }

    /// The one host that is named by every term, if so, without which the terms mean the same for all
    /// pods of a daemon set.
    pub(super) fn take_pin(&mut self) -> Option<Box<str>> {
        let terms = self.terms.as_mut()?;
        let pin = match terms.first()?.names.as_slice() {
            [(true, name)] => name.clone(),
            _ => return None,
        };
        let pinned = |term: &NodeTerm| {
            term.valid && matches!(term.names.as_slice(), [(true, name)] if *name == pin)
        };
        if !terms.iter().all(pinned) {
            return None;
        }
        terms.iter_mut().for_each(|term| term.names.clear());
        if terms.iter().any(|term| term.expressions.is_empty()) {
            self.terms = None;
        }
        Some(pin)
    }
}

/// Whether one of the terms matches.
pub(crate) fn any(terms: &[NodeTerm], node: &Node) -> bool {
    terms.iter().any(|term| term.matches(node))
}

/// Whether one of the terms matches; no terms at all match every host.
pub(super) fn any_or_all(terms: Option<&[NodeTerm]>, node: &Node) -> bool {
    terms.is_none_or(|terms| any(terms, node))
}

impl NodeTerm {
    /// Each label must have one of its values. No labels at all match every host.
    pub(super) fn labels_in(labels: impl Iterator<Item = (String, Vec<String>)>) -> Self {
        let mut valid = true;
        let mut expressions = Vec::new();
        for (key, values) in labels {
            match Requirement::new(key, Operator::In, values) {
                Ok(expression) => expressions.push(expression),
                Err(_) => valid = false,
            }
        }
        Self {
            expressions,
            names: Vec::new(),
            valid,
        }
    }

    /// Whether everything in it matches.
    pub fn matches(&self, node: &Node) -> bool {
        self.valid
            && self
                .expressions
                .iter()
                .all(|expression| expression.matches(node.labels.get(expression.key())))
            && self
                .names
                .iter()
                .all(|(equal, name)| *equal == (**name == *node.name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawNodeTerm {
    match_expressions: Option<Vec<RawRequirement>>,
    match_fields: Option<Vec<RawRequirement>>,
}

#[derive(Deserialize)]
struct RawRequirement {
    #[serde(default)]
    key: String,
    #[serde(default)]
    operator: String,
    values: Option<Vec<String>>,
}

impl RawNodeTerm {
    pub(super) fn read(self) -> NodeTerm {
        let mut expressions = Vec::new();
        let mut names = Vec::new();
        let mut valid = true;
        for raw in self.match_expressions.into_iter().flatten() {
            match raw.expression() {
                Some(expression) => expressions.push(expression),
                None => valid = false,
            }
        }
        for raw in self.match_fields.into_iter().flatten() {
            match raw.name() {
                Some(name) => names.push(name),
                None => valid = false,
            }
        }
        valid &= !(expressions.is_empty() && names.is_empty());
        NodeTerm {
            expressions,
            names,
            valid,
        }
    }
}

impl RawRequirement {
    fn expression(self) -> Option<Requirement> {
        let operator = match self.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan,
            "Lt" => Operator::LessThan,
            _ => return None,
        };
        Requirement::new(self.key, operator, self.values.unwrap_or_default()).ok()
    }

    /// The only field that can be asked for is the name, and only one of it.
    fn name(self) -> Option<(bool, Box<str>)> {
        let equal = match self.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let mut values = self.values.unwrap_or_default();
        if self.key != "metadata.name" || values.len() != 1 {
            return None;
        }
        values.pop().map(|name| (equal, name.into()))
    }
}
