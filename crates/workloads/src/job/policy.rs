//! What a pod's failure means: `podFailurePolicy`.

use k8s_openapi::api::batch::v1::{PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};

use super::Planner;
use crate::pod::{End, Phase, Pod};

/// What a pod's failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts towards the limit of failures.
    Count,
    /// It does not count.
    Ignore,
    /// The index of the pod has failed for good.
    FailIndex,
    /// The job has failed, for this reason.
    FailJob(String),
}

impl Planner<'_> {
    /// Whether a pod counts as failed: it did fail, or it was asked to go and is replaced without waiting for
    /// its end. One that never came to a host has nothing that could end.
    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        match pod.phase {
            Phase::Failed => true,
            Phase::Succeeded => false,
            _ if !pod.is_terminating() => false,
            Phase::Pending if pod.node.is_none() => true,
            _ => !self.replaces_only_ended(),
        }
    }

    /// What the first rule that matches says about a failed pod; without one, it counts.
    pub(super) fn verdict(&self, pod: &Pod) -> Verdict {
        let rules = self
            .spec
            .pod_failure_policy
            .as_ref()
            .map(|policy| policy.rules.as_slice());
        let end = pod.end.as_deref().filter(|_| pod.phase == Phase::Failed);
        let Some(end) = end else {
            return Verdict::Count;
        };
        for (index, rule) in rules.unwrap_or_default().iter().enumerate() {
            let Some(because) = matches(rule, end) else {
                continue;
            };
            match rule.action.as_str() {
                "Ignore" => return Verdict::Ignore,
                "FailIndex" if self.limit_per_index().is_some() => return Verdict::FailIndex,
                "FailJob" => {
                    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                    let name = format!("{namespace}/{}", pod.name());
                    return Verdict::FailJob(format!(
                        "{} matching FailJob rule at index {index}",
                        because.replace("{pod}", &name)
                    ));
                }
                "Count" => return Verdict::Count,
                // A rule of an action that is not known says nothing.
                _ => {}
            }
        }
        Verdict::Count
    }
}

/// What about a pod's end matches a rule, in words with `{pod}` for the pod.
fn matches(rule: &PodFailurePolicyRule, end: &End) -> Option<String> {
    if let Some(codes) = &rule.on_exit_codes {
        let exit = end.exits.iter().find(|exit| {
            let named = codes.container_name.as_deref();
            named.is_none_or(|name| name == exit.container) && is_listed(codes, exit.code)
        })?;
        return Some(format!(
            "Container {} for pod {{pod}} failed with exit code {}",
            exit.container, exit.code
        ));
    }
    let patterns = rule.on_pod_conditions.iter().flatten();
    let found = patterns.into_iter().find(|pattern| {
        let status = pattern.status.as_deref().unwrap_or("True");
        end.conditions
            .iter()
            .any(|(type_, value)| *type_ == pattern.type_ && value == status)
    })?;
    Some(format!("Pod {{pod}} has condition {}", found.type_))
}

fn is_listed(codes: &PodFailurePolicyOnExitCodesRequirement, code: i32) -> bool {
    match codes.operator.as_str() {
        "In" => codes.values.contains(&code),
        "NotIn" => !codes.values.contains(&code),
        _ => false,
    }
}
