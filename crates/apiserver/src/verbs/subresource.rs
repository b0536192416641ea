//! Subresources that change an object in a way of their own: scale, binding, eviction.

use http::{Response, StatusCode};
use jiff::Timestamp;
use mosaic_api::{LabelSelector, Reason, Status, meta, scale, status::Cause};
use mosaic_schema::FieldError;
use serde_json::{Value, json};

use super::{
    Call, body,
    change::{Patcher, respond_with},
    delete::{self, DeleteOptions},
    read,
    write::{self, Part, WriteOptions},
};
use crate::{
    app::App,
    cache::extract::Facts,
    convert,
    http::respond::{self, Body},
};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// GET of `/scale`.
pub async fn get_scale(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let object = read::find(app, call).await?;
    let shown = scale_of(call, &convert::value(&call.kind, &object))?;
    Ok(respond::json(StatusCode::OK, call.accept, &shown))
}

fn scale_of(call: &Call, object: &Value) -> Result<Value, Status> {
    scale::read(&call.kind.row, object).map_err(|error| scale_failed(call, &error))
}

fn scale_failed(call: &Call, error: &scale::ScaleError) -> Status {
    match error {
        scale::ScaleError::Invalid(error) => Status::invalid(
            "autoscaling",
            "Scale",
            &call.path.name,
            std::slice::from_ref(error),
        ),
        other => Status::bad_request(other.to_string()),
    }
}

/// PUT or PATCH of `/scale`: changes how many replicas an object asks for.
pub async fn put_scale(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::new(call)?;
    let media_type = body::media_type(call);
    let patcher = if call.method_is_update() {
        None
    } else {
        Some(Patcher::new(call, &media_type)?)
    };
    let sent = match &patcher {
        Some(_) => Value::Null,
        None => body::read(call, &mut Vec::new())?,
    };
    let change = |current: &Value| {
        let shown = scale_of(call, current)?;
        let mut wanted = match &patcher {
            None => sent.clone(),
            Some(patcher) => {
                let mut wanted = shown.clone();
                patcher.apply(call, &mut wanted)?;
                wanted
            }
        };
        body::check_kind(&mut wanted, "autoscaling/v1", "Scale")?;
        if let Some(ty) = mosaic_schema::builtin(SCALE) {
            mosaic_schema::decode(&ty, &mut wanted, mosaic_schema::DecodeOptions::default())
                .map_err(|e| Status::bad_request(e.to_string()))?;
        }
        let mut object = current.clone();
        meta::remove(&mut object, "resourceVersion");
        let revision = meta::resource_version(&wanted);
        if !revision.is_empty() && (patcher.is_none() || revision != meta::resource_version(&shown))
        {
            meta::set(&mut object, "resourceVersion", revision);
        }
        scale::write(&call.kind.row, &mut object, &wanted)
            .map_err(|error| scale_failed(call, &error))?;
        Ok(object)
    };
    let written = write::modify(app, call, &options, Part::Scale, Vec::new(), &change).await?;
    let shown = scale_of(call, &written.object)?;
    Ok(respond::json(StatusCode::OK, call.accept, &shown))
}

/// POST of a `Binding` to the collection `bindings`, where the binding's own name is the pod's.
pub async fn bind_named(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let binding = body::read(call, &mut Vec::new())?;
    let name = meta::name(&binding).to_owned();
    if name.is_empty() {
        let error = FieldError::required("metadata.name", "name of the pod is required");
        return Err(Status::invalid("", "Binding", "", &[error]));
    }
    let kinds = app.kinds.snapshot();
    let pods = kinds.by_kind("", "Pod").ok_or_else(Status::no_such_path)?;
    bind(app, &call.beside(pods, &name)).await
}

/// POST of a `Binding`: puts a pod on a host.
pub async fn bind(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::new(call)?;
    let mut binding = body::read(call, &mut Vec::new())?;
    body::check_kind(&mut binding, "v1", "Binding")?;
    let node = binding
        .pointer("/target/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let target_kind = binding
        .pointer("/target/kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut errors = Vec::new();
    if !matches!(target_kind, "" | "Node") {
        errors.push(FieldError::not_supported(
            "target.kind",
            target_kind,
            &["Node", "<empty>"],
        ));
    }
    if node.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if !errors.is_empty() {
        return Err(Status::invalid("", "Binding", &call.path.name, &errors));
    }
    write::bind(app, call, &options, &binding, &node).await?;
    Ok(success(call))
}

fn success(call: &Call) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    respond::json(StatusCode::CREATED, call.accept, &status)
}

/// POST of an `Eviction`: deletes a pod if its disruption budgets allow it.
pub async fn evict(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let mut eviction = body::read(call, &mut Vec::new())?;
    body::check_kind(&mut eviction, "policy/v1", "Eviction")?;
    if !["", call.path.name.as_str()].contains(&meta::name(&eviction)) {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let sent = eviction
        .get("deleteOptions")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut options = DeleteOptions::from_value(&sent, call)?;
    // By this a job's `podFailurePolicy` tells a pod that was moved away from one that failed.
    options.condition = Some(json!({"type": "DisruptionTarget", "status": "True",
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        "lastProbeTime": null, "lastTransitionTime": mosaic_api::time::format(Timestamp::now())}));
    let object = read::find(app, call).await?;
    let pod = object.value();
    if needs_budget(&pod) {
        claim_disruption(app, call, &object.facts, options.dry_run).await?;
    }
    // Should this fail, the claim is not given back: the budget's controller soon counts again.
    delete::delete_object(app, call, &call.key(), &options).await?;
    Ok(success(call))
}

/// A pod that has ended, never started or is being deleted can go without counting as a disruption.
fn needs_budget(pod: &Value) -> bool {
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    !meta::is_being_deleted(pod) && !matches!(phase, "Succeeded" | "Failed" | "Pending")
}

/// Takes one allowed disruption from the budget that covers a pod.
///
/// # Errors
/// 429 if none is left, 500 if more than one budget covers the pod (as Kubernetes).
async fn claim_disruption(
    app: &App,
    call: &Call,
    facts: &Facts,
    dry_run: bool,
) -> Result<(), Status> {
    let kinds = app.kinds.snapshot();
    let Some(kind) = kinds.by_kind("policy", "PodDisruptionBudget") else {
        return Ok(());
    };
    let covering: Vec<_> = app
        .cache
        .kind(&kind.prefix)
        .list(&format!("{}{}/", kind.prefix, call.path.namespace))
        .into_iter()
        .filter(|budget| {
            LabelSelector::from_object(budget.value().pointer("/spec/selector"))
                .is_ok_and(|selector| selector.matches(facts))
        })
        .collect();
    let [budget] = covering.as_slice() else {
        return if covering.is_empty() {
            Ok(())
        } else {
            Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ))
        };
    };
    let name = budget.name().to_owned();
    let budget_call = call.beside(kind, &name);
    let options = WriteOptions {
        dry_run,
        manager: "eviction".to_owned(),
        validation: body::FieldValidation::Ignore,
    };
    let pod = call.path.name.clone();
    let change = |current: &Value| {
        let number = |path: &str| current.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let allowed = number("/status/disruptionsAllowed");
        let too_many = |message: String, retry: u32| {
            let mut status = Status::new(
                Reason::TooManyRequests,
                "Cannot evict pod as it would violate the pod's disruption budget.",
            );
            status.causes = vec![Cause {
                reason: "DisruptionBudget".to_owned(),
                message,
                field: String::new(),
            }];
            status.retry_after_seconds = retry;
            status
        };
        if number("/status/observedGeneration") < number("/metadata/generation") {
            return Err(too_many(
                format!("The disruption budget {name} is still being processed by the server."),
                10,
            ));
        }
        if allowed <= 0 {
            return Err(too_many(
                format!(
                    "The disruption budget {name} needs {} healthy pods and has {} currently",
                    number("/status/desiredHealthy"),
                    number("/status/currentHealthy")
                ),
                0,
            ));
        }
        let mut object = current.clone();
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            status.insert("disruptionsAllowed".to_owned(), json!(allowed - 1));
            let disrupted = status.entry("disruptedPods").or_insert_with(|| json!({}));
            if let Some(disrupted) = disrupted.as_object_mut() {
                disrupted.insert(
                    pod.clone(),
                    json!(mosaic_api::time::format(Timestamp::now())),
                );
            }
        }
        Ok(object)
    };
    write::modify(
        app,
        &budget_call,
        &options,
        Part::Status,
        Vec::new(),
        &change,
    )
    .await?;
    Ok(())
}

/// PUT of a namespace's `/finalize`: changes only `spec.finalizers`.
pub async fn finalize(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::new(call)?;
    let sent = body::read(call, &mut Vec::new())?;
    let wanted = sent
        .pointer("/spec/finalizers")
        .cloned()
        .unwrap_or_else(|| json!([]));
    let revision = meta::resource_version(&sent);
    let change = |current: &Value| {
        let mut object = current.clone();
        meta::remove(&mut object, "resourceVersion");
        if !revision.is_empty() {
            meta::set(&mut object, "resourceVersion", revision);
        }
        if let Some(object) = object.as_object_mut() {
            let spec = object.entry("spec").or_insert_with(|| json!({}));
            if let Some(spec) = spec.as_object_mut() {
                spec.insert("finalizers".to_owned(), wanted.clone());
            }
        }
        Ok(object)
    };
    let written = write::modify(app, call, &options, Part::Finalize, Vec::new(), &change).await?;
    Ok(respond_with(call, written))
}
