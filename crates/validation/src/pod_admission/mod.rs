//! The pure parts of the admission plug-ins that Kubernetes runs on new pods by default.
//!
//! Each takes the pod and the object that it refers to, which the server has looked up, and changes the
//! pod or says why it is refused.

mod security;
mod service_account;

use serde_json::{Map, Value, json};

pub use self::{
    security::{Level, Violation, check as check_security},
    service_account::{
        ACCOUNT_MOUNT_PATH, TOKEN_VOLUME_PREFIX, service_account_name, set_service_account,
    },
};
use crate::defaults::{Fields, ensure, object, set, text};

/// For how many seconds a pod that does not say so itself stays on a node that is lost; at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TolerationSeconds {
    /// On a node that says that it is not ready.
    pub not_ready: i64,
    /// On a node that is not heard any more.
    pub unreachable: i64,
}

impl Default for TolerationSeconds {
    /// Five minutes on a node that can still be asked what it runs, as in Kubernetes, and no time on one that is
    /// silent: it was given time to be heard before it was called that.
    fn default() -> Self {
        Self {
            not_ready: 300,
            unreachable: 0,
        }
    }
}

impl TolerationSeconds {
    fn by_taint(self) -> [(&'static str, i64); 2] {
        [
            ("node.kubernetes.io/not-ready", self.not_ready),
            ("node.kubernetes.io/unreachable", self.unreachable),
        ]
    }
}
const PREEMPT: &str = "PreemptLowerPriority";

fn spec(pod: &mut Value) -> Option<&mut Fields> {
    object(pod.as_object_mut()?, "spec")
}

/// The name of the priority class that a pod asks for; empty if none.
pub fn priority_class_name(pod: &Value) -> &str {
    pod.pointer("/spec/priorityClassName")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Gives a new pod its priority.
///
/// `class` is the class of the name that the pod asks for, or the cluster's default class if it asks
/// for none; none if there is no such class.
///
/// # Errors
///
/// The text of the refusal: the class does not exist, or the pod claims another priority than its own.
pub fn set_priority(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let asked = priority_class_name(pod).to_owned();
    if !asked.is_empty() && class.is_none() {
        return Err(format!("no PriorityClass with name {asked} was found"));
    }
    let Some(spec) = spec(pod) else {
        return Ok(());
    };
    let field = |key: &str| class.and_then(|c| c.get(key));
    let priority = field("value").and_then(Value::as_i64).unwrap_or_default();
    let policy = field("preemptionPolicy")
        .and_then(Value::as_str)
        .unwrap_or(PREEMPT);
    if asked.is_empty()
        && let Some(name) = class.and_then(|c| c.pointer("/metadata/name"))
    {
        spec.insert("priorityClassName".to_owned(), name.clone());
    }
    if let Some(given) = spec.get("priority").and_then(Value::as_i64)
        && given != priority
    {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        ));
    }
    spec.insert("priority".to_owned(), priority.into());
    let given = text(spec, "preemptionPolicy");
    if !given.is_empty() && given != policy {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    set(spec, "preemptionPolicy", policy);
    Ok(())
}

/// Lets a new pod stay for some time on a node that is lost, unless it says something of its own.
pub fn add_default_tolerations(pod: &mut Value, seconds: TolerationSeconds) {
    let Some(spec) = spec(pod) else {
        return;
    };
    let tolerated = |list: &[Value], taint: &str| {
        list.iter().any(|toleration| {
            let text = |key: &str| {
                toleration
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            matches!(
                text("key"),
                "" | "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable"
            ) && (text("key").is_empty() || text("key") == taint)
                && matches!(text("effect"), "" | "NoExecute")
        })
    };
    set(spec, "tolerations", json!([]));
    let Some(list) = spec.get_mut("tolerations").and_then(Value::as_array_mut) else {
        return;
    };
    for (taint, seconds) in seconds.by_taint() {
        if !tolerated(list, taint) {
            list.push(json!({
                "key": taint,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }));
        }
    }
}

/// Keeps pods off a new node until it says that it is ready.
pub fn taint_new_node(node: &mut Value) {
    let Some(spec) = node.as_object_mut().and_then(|n| ensure(n, "spec")) else {
        return;
    };
    set(spec, "taints", json!([]));
    let Some(taints) = spec.get_mut("taints").and_then(Value::as_array_mut) else {
        return;
    };
    let key = "node.kubernetes.io/not-ready";
    let there = taints.iter().any(|t| {
        t.get("key").and_then(Value::as_str) == Some(key)
            && t.get("effect").and_then(Value::as_str) == Some("NoSchedule")
    });
    if !there {
        taints.push(json!({"key": key, "effect": "NoSchedule"}));
    }
}

/// The name of the runtime class that a pod asks for; empty if none.
pub fn runtime_class_name(pod: &Value) -> &str {
    pod.pointer("/spec/runtimeClassName")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Gives a new pod the overhead of its runtime class, and where such pods run.
///
/// # Errors
///
/// The text of the refusal: the class does not exist, or the pod contradicts it.
pub fn set_runtime_class(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let asked = runtime_class_name(pod).to_owned();
    if !asked.is_empty() && class.is_none() {
        return Err(format!("pod rejected: RuntimeClass {asked:?} not found"));
    }
    let Some(spec) = spec(pod) else {
        return Ok(());
    };
    let given = spec.get("overhead").filter(|v| !v.is_null());
    let overhead = class.and_then(|c| c.pointer("/overhead/podFixed"));
    match (given, overhead) {
        (Some(given), Some(overhead)) if given != overhead => {
            return Err(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                    .to_owned(),
            );
        }
        (Some(given), None) if given.as_object().is_some_and(|g| !g.is_empty()) => {
            return Err(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                    .to_owned(),
            );
        }
        (None, Some(overhead)) => {
            spec.insert("overhead".to_owned(), overhead.clone());
        }
        _ => {}
    }
    let Some(scheduling) = class.and_then(|c| c.get("scheduling")) else {
        return Ok(());
    };
    merge_node_selector(
        spec,
        scheduling.get("nodeSelector").and_then(Value::as_object),
    )?;
    let tolerations = scheduling.get("tolerations").and_then(Value::as_array);
    if let Some(more) = tolerations.filter(|l| !l.is_empty()) {
        set(spec, "tolerations", json!([]));
        if let Some(list) = spec.get_mut("tolerations").and_then(Value::as_array_mut) {
            for toleration in more {
                if !list.contains(toleration) {
                    list.push(toleration.clone());
                }
            }
        }
    }
    Ok(())
}

fn merge_node_selector(
    spec: &mut Fields,
    selector: Option<&Map<String, Value>>,
) -> Result<(), String> {
    let Some(selector) = selector.filter(|s| !s.is_empty()) else {
        return Ok(());
    };
    let Some(own) = ensure(spec, "nodeSelector") else {
        return Ok(());
    };
    for (key, value) in selector {
        match own.get(key) {
            Some(given) if given != value => {
                let words = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    words(value),
                    words(given)
                ));
            }
            Some(_) => {}
            None => {
                own.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

/// Whether a storage class is the one for claims that name none.
pub fn is_default_storage_class(class: &Value) -> bool {
    [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| {
        class
            .get("metadata")
            .and_then(|m| m.get("annotations"))
            .and_then(|a| a.get(*key))
            .and_then(Value::as_str)
            == Some("true")
    })
}

/// Gives a new claim that names no class the default one. An empty name is a choice: no class.
pub fn set_default_storage_class(claim: &mut Value, class: &str) {
    if let Some(spec) = spec(claim) {
        set(spec, "storageClassName", class);
    }
}
