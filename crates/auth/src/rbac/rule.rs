//! One rule of a role, and what it allows.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::{Attributes, values};

/// A `PolicyRule` of `rbac.authorization.k8s.io/v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// The API groups; `*` is all, the empty text the core group.
    pub api_groups: Vec<String>,
    /// `res`, `res/sub`, `*/sub`, or `*` for all resources and their subresources.
    pub resources: Vec<String>,
    /// Paths that are no resources; `*` at the end stands for any rest.
    pub non_resource_urls: Vec<String>,
    /// The names of objects that the rule is limited to; none means all.
    pub resource_names: Vec<String>,
    /// The verbs; `*` is all.
    pub verbs: Vec<String>,
}

const ALL: &str = "*";

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

impl Rule {
    /// Reads a rule; what is absent is empty.
    pub fn from_value(value: &Value) -> Self {
        let list = |field: &str| values::texts(value, &[field]).map(str::to_owned).collect();
        Self {
            api_groups: list("apiGroups"),
            resources: list("resources"),
            non_resource_urls: list("nonResourceURLs"),
            resource_names: list("resourceNames"),
            verbs: list("verbs"),
        }
    }

    /// The rules of a Role or ClusterRole.
    pub fn all_of(role: &Value) -> Vec<Self> {
        values::items(role, &["rules"])
            .iter()
            .map(Self::from_value)
            .collect()
    }

    /// The rule as JSON, without the fields that are empty.
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        for (field, list) in [
            ("apiGroups", &self.api_groups),
            ("nonResourceURLs", &self.non_resource_urls),
            ("resourceNames", &self.resource_names),
            ("resources", &self.resources),
        ] {
            if !list.is_empty() {
                object.insert(field.to_owned(), json!(list));
            }
        }
        object.insert("verbs".to_owned(), json!(self.verbs));
        Value::Object(object)
    }

    /// Everything that there is.
    pub fn everything() -> [Self; 2] {
        let all = || vec![ALL.to_owned()];
        [
            Self {
                api_groups: all(),
                resources: all(),
                verbs: all(),
                ..Self::default()
            },
            Self {
                non_resource_urls: all(),
                verbs: all(),
                ..Self::default()
            },
        ]
    }

    /// Whether the rule allows the request, wherever the rule holds.
    pub fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has_or_all(&self.verbs, request.verb) {
            return false;
        }
        if !request.is_resource() {
            return self
                .non_resource_urls
                .iter()
                .any(|pattern| url_matches(pattern, request.path));
        }
        has_or_all(&self.api_groups, request.group)
            && self
                .resources
                .iter()
                .any(|rule| resource_matches(rule, request.resource, request.subresource))
            && (self.resource_names.is_empty()
                || (!request.name.is_empty() && has(&self.resource_names, request.name)))
    }

    /// Whether this rule alone allows all that the other does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let all_in = |held: &[String], wanted: &[String]| {
            has(held, ALL) || wanted.iter().all(|item| has(held, item))
        };
        if !all_in(&self.verbs, &other.verbs) {
            return false;
        }
        let resources = other.resources.is_empty()
            || (all_in(&self.api_groups, &other.api_groups)
                && other.resources.iter().all(|wanted| {
                    self.resources
                        .iter()
                        .any(|held| resource_pattern_covers(held, wanted))
                })
                && (self.resource_names.is_empty()
                    || (!other.resource_names.is_empty()
                        && other
                            .resource_names
                            .iter()
                            .all(|name| has(&self.resource_names, name)))));
        let paths = other.non_resource_urls.iter().all(|wanted| {
            self.non_resource_urls
                .iter()
                .any(|held| url_matches(held, wanted))
        });
        resources && paths
    }
}

/// Whether a rule's resource names the one of a request.
fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == ALL {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((rule_resource, rule_subresource)) => {
            !subresource.is_empty()
                && rule_subresource == subresource
                && (rule_resource == ALL || rule_resource == resource)
        }
    }
}

/// Whether whatever matches the pattern `wanted` matches `held`.
fn resource_pattern_covers(held: &str, wanted: &str) -> bool {
    if held == ALL || held == wanted {
        return true;
    }
    match (held.strip_prefix("*/"), wanted.split_once('/')) {
        (Some(held), Some((_, wanted))) => held == wanted,
        _ => false,
    }
}

/// Whether a path, or all paths of a pattern, match a rule's path.
fn url_matches(rule: &str, path: &str) -> bool {
    rule == path
        || rule
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix))
}

impl fmt::Display for Rule {
    /// As Kubernetes writes rules into messages: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "{";
        for (name, list) in [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ] {
            if list.is_empty() {
                continue;
            }
            write!(f, "{separator}{name}:{}", Quoted(list))?;
            separator = ", ";
        }
        f.write_str(if separator == "{" { "{}" } else { "}" })
    }
}

/// A list of texts as Go's `%q` writes it: `["a" "b"]`.
pub(crate) struct Quoted<'a>(pub(crate) &'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, item) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{item:?}")?;
        }
        f.write_str("]")
    }
}
