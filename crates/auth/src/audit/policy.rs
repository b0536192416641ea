//! Audit policies: `Policy` of `audit.k8s.io/v1`.

use serde::Deserialize;

use super::Stage;
use crate::Attributes;

/// Larger policies are refused.
const MAX_POLICY_BYTES: usize = 1 << 20;

/// How much of a request is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when; no bodies.
    Metadata,
    /// And the request's body.
    Request,
    /// And the answer's.
    RequestResponse,
}

impl Level {
    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// What is written down of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDecision {
    /// How much.
    pub level: Level,
    /// The stages that are left out.
    pub omit_stages: Vec<Stage>,
    /// Whether `metadata.managedFields` are left out of bodies.
    pub omit_managed_fields: bool,
}

impl AuditDecision {
    /// Whether an event of this stage is written.
    pub fn writes(&self, stage: Stage) -> bool {
        self.level != Level::None && !self.omit_stages.contains(&stage)
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is larger than 1 MiB.
    #[error("the audit policy is larger than 1 MiB")]
    TooLarge,
    /// It is not YAML or JSON of the right form.
    #[error("the audit policy cannot be read: {0}")]
    Malformed(String),
    /// It is of another kind or version.
    #[error("the audit policy must be of apiVersion audit.k8s.io/v1 and kind Policy")]
    Kind,
    /// It has no rules.
    #[error("the audit policy has no rules")]
    Empty,
    /// A rule is contradictory.
    #[error("rule {0} of the audit policy is about resources and about paths: write two rules")]
    Mixed(usize),
}

/// Which requests are written down, and how much of them. The first rule that matches counts; a
/// request that none matches is not written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditPolicy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Option<serde_json::Value>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Option<Level>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// The policy where none is configured. Writes are what an audit is about; who looked at secrets is,
/// too. What hosts and controllers write every few seconds would drown both.
const DEFAULT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version*", "/metrics*", "/openapi*", "/api*"]
- level: None
  resources:
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
  userGroups: ["system:nodes"]
  verbs: [update, patch]
  resources: [{group: "", resources: [nodes/status, pods/status]}]
- level: None
  resources:
  - {group: authorization.k8s.io}
  - {group: authentication.k8s.io, resources: [selfsubjectreviews]}
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
  verbs: [get, list, watch]
- level: Metadata
  verbs: [get, list, watch]
  resources: [{group: "", resources: [secrets, pods/exec, pods/attach, pods/portforward, pods/proxy]}]
- level: None
  verbs: [get, list, watch, head]
- level: Metadata
"#;

impl Default for AuditPolicy {
    fn default() -> Self {
        Self::parse(DEFAULT_POLICY).unwrap_or_else(|_| Self::metadata())
    }
}

impl AuditPolicy {
    /// Reads a policy, YAML or JSON.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge);
        }
        let policy: Self = serde_saphyr::from_str(text)
            .map_err(|error| PolicyError::Malformed(error.to_string()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            return Err(PolicyError::Kind);
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::Empty);
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            if rule.level.is_none() {
                return Err(PolicyError::Malformed(format!("rule {index} has no level")));
            }
            let about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            if about_resources && !rule.non_resource_urls.is_empty() {
                return Err(PolicyError::Mixed(index));
            }
        }
        Ok(policy)
    }

    /// Metadata of everything.
    fn metadata() -> Self {
        Self {
            api_version: String::new(),
            kind: String::new(),
            _metadata: None,
            rules: vec![Rule {
                level: Some(Level::Metadata),
                ..Rule::default()
            }],
            omit_stages: vec![Stage::RequestReceived],
            omit_managed_fields: true,
        }
    }

    /// What is written down of a request. Of secrets and tokens never more than metadata, whatever
    /// the policy says.
    pub fn decide(&self, request: &Attributes<'_>) -> AuditDecision {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(request)) else {
            return AuditDecision {
                level: Level::None,
                omit_stages: Vec::new(),
                omit_managed_fields: self.omit_managed_fields,
            };
        };
        let mut level = rule.level.unwrap_or(Level::None);
        if holds_secrets(request) {
            level = level.min(Level::Metadata);
        }
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(
            rule.omit_stages
                .iter()
                .filter(|stage| !self.omit_stages.contains(stage)),
        );
        let omit_managed_fields = rule.omit_managed_fields.unwrap_or(self.omit_managed_fields);
        AuditDecision {
            level,
            omit_stages,
            omit_managed_fields,
        }
    }
}

/// Whether the bodies of a request hold secrets: Secrets, tokens, and what is said over a pod's
/// streams.
fn holds_secrets(request: &Attributes<'_>) -> bool {
    matches!(
        (request.group, request.resource, request.subresource),
        ("", "secrets", _)
            | ("", "serviceaccounts", "token")
            | ("authentication.k8s.io", "tokenreviews" | "tokenrequests", _)
            | ("", _, "proxy")
            | ("", "pods", "exec" | "attach" | "portforward" | "log")
    )
}

impl Rule {
    fn matches(&self, request: &Attributes<'_>) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == wanted);
        if !self.users.is_empty() && !has(&self.users, &request.user.name) {
            return false;
        }
        if !self.user_groups.is_empty()
            && !request
                .user
                .groups
                .iter()
                .any(|group| has(&self.user_groups, group))
        {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, request.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return request.is_resource()
                && (self.namespaces.is_empty() || has(&self.namespaces, request.namespace))
                && (self.resources.is_empty()
                    || self
                        .resources
                        .iter()
                        .any(|resources| resources.matches(request)));
        }
        if !self.non_resource_urls.is_empty() {
            let matches = |pattern: &String| {
                pattern == request.path
                    || pattern
                        .strip_suffix('*')
                        .is_some_and(|prefix| request.path.starts_with(prefix))
            };
            return !request.is_resource() && self.non_resource_urls.iter().any(matches);
        }
        true
    }
}

impl GroupResources {
    fn matches(&self, request: &Attributes<'_>) -> bool {
        if self.group != request.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty()
            && !self.resource_names.iter().any(|name| name == request.name)
        {
            return false;
        }
        self.resources
            .iter()
            .any(|pattern| match pattern.split_once('/') {
                None => {
                    pattern == "*"
                        || (request.subresource.is_empty() && pattern == request.resource)
                }
                Some((resource, subresource)) => {
                    // `pods/*` is pods and all their subresources; `*/log` is log of any resource.
                    (resource == "*" || resource == request.resource)
                        && (subresource == "*"
                            || (!request.subresource.is_empty()
                                && subresource == request.subresource))
                }
            })
    }
}
