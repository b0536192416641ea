//! Server-side apply.

use jiff::Timestamp;
use mosaic_api::{Reason, Status, status::Cause};
use mosaic_patch::managed::{self, Ledger};
use serde_json::Value;

use super::{
    Part, TRIES, WriteOptions, Written, create_shaped, identity,
    modify::{Modification, Sight},
    strategy, writer,
};
use crate::{
    app::App,
    kinds::Kind,
    verbs::{Call, body},
};

/// Server-side apply: creates the object or merges the configuration into it.
///
/// # Errors
/// 409 with the conflicting managers and fields; and whatever step refuses the object.
pub async fn apply(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    part: Part,
    mut config: Value,
    mut complaints: Vec<String>,
) -> Result<Written, Status> {
    let kind = &call.kind;
    let force = call.query.force.unwrap_or(false);
    for key in ["apiVersion", "kind"] {
        if config
            .get(key)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err(Status::bad_request(format!(
                "{key} must be set in what is applied, as its fields are those of one kind"
            )));
        }
    }
    body::check_kind(&mut config, &kind.api_version, &kind.kind)?;
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut unknown = Vec::new();
    if kind.custom().is_some() {
        prune_only(kind, &mut config, &mut unknown);
    } else {
        body::shape(kind, &mut config, &mut unknown)?;
    }
    let mut warnings = Vec::new();
    complaints.extend(unknown.iter().cloned());
    options.validation.judge(complaints, &mut warnings)?;
    // Nobody could own a field that is not there: an apply is not carried out in part.
    if !unknown.is_empty() {
        return Err(Status::bad_request(format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {}",
            call.path.namespace,
            call.path.name,
            kind.api_version,
            kind.kind,
            unknown.join(", ")
        )));
    }
    identity::check_name(call, &mut config)?;
    identity::place_in_namespace(call, &mut config)?;
    let merge = |live: Option<&Value>| -> Result<Value, Status> {
        let writer = writer(kind, options, part, Timestamp::now());
        managed::apply(
            live,
            &config,
            &kind.ty,
            &writer,
            strategy::reset_fields(kind, part),
            force,
        )
        .map_err(|error| apply_failed(call, &error))
    };
    let change = |live: &Value| merge(Some(live));
    for _ in 0..TRIES {
        let modification = Modification {
            app,
            call,
            options,
            part,
            sight: Sight::Owners,
            change: &change,
        };
        match modification.begin(warnings.clone()).await {
            Err(status)
                if status.reason == Reason::NotFound
                    && part == Part::Main
                    && status.kind == *kind.plural => {}
            other => return other,
        }
        if config.pointer("/metadata/uid").is_some() {
            return Err(Status::conflict(
                &kind.group,
                &kind.plural,
                &call.path.name,
                "uid mismatch: the provided object specified a uid, and no existing object was found",
            ));
        }
        let mut object = merge(None)?;
        body::shape(kind, &mut object, &mut Vec::new())?;
        let ledger = Ledger::take_from(&mut object);
        match create_shaped(app, call, options, object, Some(ledger), warnings.clone()).await {
            Err(status) if status.reason == Reason::AlreadyExists => {}
            other => return other,
        }
    }
    Err(Status::conflict(
        &kind.group,
        &kind.plural,
        &call.path.name,
        "it comes and goes; try again",
    ))
}

fn prune_only(kind: &Kind, config: &mut Value, complaints: &mut Vec<String>) {
    if let Some(Some(structural)) = kind.custom().map(|custom| &custom.structural) {
        complaints.extend(structural.prune(config).iter().map(ToString::to_string));
    }
}

fn apply_failed(call: &Call, error: &managed::ApplyError) -> Status {
    match error {
        managed::ApplyError::Conflicts(conflicts) => {
            let mut status = Status::new(Reason::Conflict, conflicts.to_string());
            status.causes = conflicts
                .0
                .iter()
                .map(|conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: conflict.message(),
                    field: conflict.field.clone(),
                })
                .collect();
            status.about(&call.kind.group, &call.kind.plural, &call.path.name)
        }
        other => Status::bad_request(other.to_string()),
    }
}
