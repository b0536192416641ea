//! What pods and claims for storage get from the cluster: service account, priority, limits, class.

use std::sync::Arc;

use mosaic_api::{Status, meta};
use mosaic_validation::{
    job_selector,
    pod_admission::{self, Level},
    quota::limit_range,
};
use serde_json::Value;

use super::Attempt;
use crate::{app::App, verbs::write};

/// Fills in what the cluster decides about a new object.
pub(super) fn mutate(app: &App, attempt: &Attempt<'_>, new: &mut Value) -> Result<(), Status> {
    if !attempt.creates() {
        return Ok(());
    }
    if attempt.is("batch", "Job") {
        let uid = meta::uid(new).to_owned();
        job_selector(new, &uid);
    } else if attempt.is("", "Pod") {
        pod(app, attempt, new).map_err(|why| attempt.forbidden(&why))?;
    } else if attempt.is("", "PersistentVolumeClaim") {
        default_class(app, new);
    } else if attempt.is("", "Node") && attempt.call.user.node_name().is_some() {
        pod_admission::taint_new_node(new);
    }
    Ok(())
}

fn pod(app: &App, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), String> {
    let account = pod_admission::service_account_name(pod).to_owned();
    let account = app.kept_object("", "ServiceAccount", attempt.namespace, &account);
    let suffix = mosaic_api::names::generate_name("", rand::random());
    pod_admission::set_service_account(pod, account.as_deref(), &suffix)?;
    let class = match pod_admission::priority_class_name(pod) {
        "" => default_priority(app),
        name => app.kept_object("scheduling.k8s.io", "PriorityClass", "", name),
    };
    pod_admission::set_priority(pod, class.as_deref())?;
    pod_admission::add_default_tolerations(pod, app.toleration_seconds);
    let class = match pod_admission::runtime_class_name(pod) {
        "" => None,
        name => app.kept_object("node.k8s.io", "RuntimeClass", "", name),
    };
    pod_admission::set_runtime_class(pod, class.as_deref())?;
    for range in app.kept_objects("", "LimitRange", attempt.namespace) {
        limit_range::apply_defaults(&range, pod);
    }
    Ok(())
}

/// The class of pods that name none: of several that say so, the one with the lowest value.
fn default_priority(app: &App) -> Option<Arc<Value>> {
    app.kept_objects("scheduling.k8s.io", "PriorityClass", "")
        .into_iter()
        .filter(|class| {
            class
                .get("globalDefault")
                .is_some_and(|default| default == true)
        })
        .min_by_key(|class| class.get("value").and_then(Value::as_i64))
}

/// Gives a claim that names no class the default one: of several, the newest.
fn default_class(app: &App, claim: &mut Value) {
    if claim.pointer("/spec/storageClassName").is_some() {
        return;
    }
    let newest = app
        .kept_objects("storage.k8s.io", "StorageClass", "")
        .into_iter()
        .filter(|class| pod_admission::is_default_storage_class(class))
        .max_by(|a, b| meta::creation_timestamp(a).cmp(meta::creation_timestamp(b)));
    if let Some(class) = newest {
        pod_admission::set_default_storage_class(claim, meta::name(&class));
    }
}

/// Checks what the cluster limits: ranges, and how far pods of a namespace may reach out of their
/// container.
pub(super) fn check(app: &App, attempt: &Attempt<'_>, new: &Value) -> Result<(), Status> {
    let is_pod =
        attempt.is("", "Pod") && (attempt.creates() || attempt.part != write::Part::Status);
    let is_claim = attempt.is("", "PersistentVolumeClaim");
    if !is_pod && !is_claim {
        return Ok(());
    }
    for range in app.kept_objects("", "LimitRange", attempt.namespace) {
        let wrong = if is_pod {
            limit_range::check_pod(&range, new)
        } else {
            limit_range::check_claim(&range, new)
        };
        if !wrong.is_empty() {
            return Err(attempt.forbidden(&limit_range::join(&wrong)));
        }
    }
    if is_pod && attempt.creates() {
        enforce_level(app, attempt, new)
    } else {
        Ok(())
    }
}

/// The label of a namespace that says how far its pods may reach (Pod Security Standards).
const ENFORCE: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";

fn enforce_level(app: &App, attempt: &Attempt<'_>, pod: &Value) -> Result<(), Status> {
    let Some(namespace) = app.kept_object("", "Namespace", "", attempt.namespace) else {
        return Ok(());
    };
    let label = namespace
        .pointer(ENFORCE)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(level) = Level::parse(label) else {
        return Ok(());
    };
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let violations = pod_admission::check_security(level, spec);
    if violations.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(attempt.forbidden(&format!(
        "violates PodSecurity \"{}:latest\": {}",
        level.as_str(),
        texts.join(", ")
    )))
}
