//! create, update and patch as requests.

use http::{Response, StatusCode};
use mosaic_api::{Reason, Status};
use serde_json::{Map, Value};

use super::{
    Call, body,
    write::{self, Modification, Part, Sight, WriteOptions, Written},
};
use crate::{
    app::App,
    codec,
    http::{
        accept::Form,
        respond::{self, Body},
    },
    identity, render,
};

/// What patches may be sent.
const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// POST to a collection.
pub async fn create(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::new(call)?;
    let mut complaints = Vec::new();
    let object = body::read(call, &mut complaints)?;
    let mut warnings = Vec::new();
    options.validation.judge(complaints, &mut warnings)?;
    let mut written = write::create(app, call, &options, object).await?;
    warnings.append(&mut written.warnings);
    written.warnings = warnings;
    Ok(respond_with(call, written))
}

/// PUT of an object or a part of it.
pub async fn update(app: &App, call: &Call, part: Part) -> Result<Response<Body>, Status> {
    let options = WriteOptions::new(call)?;
    let mut complaints = Vec::new();
    let object = body::read(call, &mut complaints)?;
    let mut warnings = Vec::new();
    options.validation.judge(complaints, &mut warnings)?;
    let mut placed = object;
    if placed.is_object() {
        write::check_name(call, &mut placed)?;
        write::place_in_namespace(call, &mut placed)?;
    }
    let change = |_: &Value| Ok(placed.clone());
    let written = write::modify(app, call, &options, part, warnings, &change).await;
    match written {
        Err(status)
            if status.reason == Reason::NotFound
                && part == Part::Main
                && call.kind.custom().is_none()
                && mosaic_validation::allows_create_on_update(&call.kind.group_kind()) =>
        {
            // Who may only update must not create by it.
            let attributes = identity::resource_attributes(&call.user, "create", &call.path, "");
            let decision = app.identity.authorizer.authorize(&attributes);
            identity::require(&attributes, &decision)?;
            let written = write::create(app, call, &options, placed).await?;
            Ok(respond_with(call, written))
        }
        other => Ok(respond_with(call, other?)),
    }
}

/// PATCH of an object or a part of it.
pub async fn patch(app: &App, call: &Call, part: Part) -> Result<Response<Body>, Status> {
    let mut options = WriteOptions::new(call)?;
    let media_type = body::media_type(call);
    if media_type == "application/apply-patch+yaml" {
        if call.query.field_manager.is_empty() {
            let error =
                mosaic_schema::FieldError::required("fieldManager", "is required for apply patch");
            return Err(Status::invalid_option("PatchOptions", error));
        }
        let mut complaints = Vec::new();
        let config = body::read(call, &mut complaints)?;
        let written = write::apply(app, call, &options, part, config, complaints).await?;
        return Ok(respond_with(call, written));
    }
    if call.query.force.is_some() {
        let error = mosaic_schema::FieldError::forbidden(
            "force",
            "may not be specified for non-apply patch",
        );
        return Err(Status::invalid_option("PatchOptions", error));
    }
    let patcher = Patcher::new(call, &media_type)?;
    // A patch names what it changes; what it leaves alone is not its fault.
    let complaints = patcher.complaints.clone();
    let mut warnings = Vec::new();
    options.validation.judge(complaints, &mut warnings)?;
    if options.manager.is_empty() {
        options.manager = "unknown".to_owned();
    }
    let change = |current: &Value| {
        let mut object = current.clone();
        patcher.apply(call, &mut object)?;
        Ok(object)
    };
    let modification = Modification {
        app,
        call,
        options: &options,
        part,
        sight: patcher.sight(),
        change: &change,
    };
    Ok(respond_with(call, modification.begin(warnings).await?))
}

/// A patch other than server-side apply.
pub struct Patcher {
    kind: PatchKind,
    bytes: bytes::Bytes,
    parsed: Value,
    /// Fields that stand twice in the patch.
    pub complaints: Vec<String>,
}

enum PatchKind {
    Json,
    Merge,
    Strategic,
}

impl Patcher {
    /// Reads the patch of a call.
    ///
    /// # Errors
    /// 415 for media types that the kind does not take, 400 for a patch that is not JSON.
    pub fn new(call: &Call, media_type: &str) -> Result<Self, Status> {
        let kind = match media_type {
            "application/json-patch+json" => PatchKind::Json,
            "application/merge-patch+json" => PatchKind::Merge,
            "application/strategic-merge-patch+json" if call.kind.custom().is_none() => {
                PatchKind::Strategic
            }
            _ => return Err(body::unsupported(PATCHES)),
        };
        let mut complaints = Vec::new();
        let parsed = body::read_as("application/json", &call.body, &mut complaints)?;
        Ok(Self {
            kind,
            bytes: call.body.clone(),
            parsed,
            complaints,
        })
    }

    /// What of an object the patch may touch or depend on.
    fn sight(&self) -> Sight {
        let has_directive =
            |members: &Map<String, Value>| members.keys().any(|key| key.starts_with('$'));
        let patch = match (&self.kind, &self.parsed) {
            (PatchKind::Merge | PatchKind::Strategic, Value::Object(patch)) => patch,
            // The operations of a JSON patch read as well.
            _ => return Sight::All,
        };
        let metadata = match patch.get("metadata") {
            None => false,
            Some(Value::Object(metadata)) => {
                metadata.contains_key("managedFields") || has_directive(metadata)
            }
            Some(_) => true,
        };
        let is_of_status = |key: &String| matches!(key.as_str(), "metadata" | "status");
        if metadata || has_directive(patch) {
            Sight::All
        } else if !patch.keys().all(is_of_status) {
            Sight::Fields
        } else {
            Sight::Status
        }
    }

    /// Applies the patch.
    ///
    /// # Errors
    /// 400 or 422, as the kind of patch has it.
    pub fn apply(&self, call: &Call, object: &mut Value) -> Result<(), Status> {
        let done = match self.kind {
            PatchKind::Json => mosaic_patch::json_patch(object, &self.bytes),
            PatchKind::Merge => mosaic_patch::merge_patch(object, &self.bytes),
            PatchKind::Strategic => {
                mosaic_patch::strategic_merge(object, self.parsed.clone(), &call.kind.ty)
            }
        };
        done.map_err(|error| {
            let reason = match error.code() {
                413 => Reason::RequestEntityTooLarge,
                422 => Reason::Invalid,
                _ => Reason::BadRequest,
            };
            Status::new(reason, error.to_string())
        })
    }
}

/// The response to a write.
pub fn respond_with(call: &Call, mut written: Written) -> Response<Body> {
    let code = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let known = match (written.wire, call.accept.form) {
        (Some(wire), Form::Object) => Some(wire),
        (Some(wire), Form::Metadata) => codec::metadata_only(&wire),
        _ => None,
    };
    let json = known.unwrap_or_else(|| {
        written.ledger.put_into(&mut written.object);
        render::value(&call.kind, call.accept.form, call.include(), written.object)
    });
    let mut response = respond::json_bytes(code, call.accept, json);
    respond::add_warnings(&mut response, &written.warnings);
    response
}
