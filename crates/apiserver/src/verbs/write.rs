//! What create, update and patch have in common: from an object that a client sent to one that is
//! stored.
//!
//! ```text
//! shape → name → default → admit (change) → prepare → managed fields → validate → admit (check) → store
//! ```
//!
//! Each step is a synchronous function of the objects, but for admission checks that claim quota and
//! the write itself.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, header};
use jiff::Timestamp;
use mosaic_api::{Reason, Status, names::NameRule};
use mosaic_patch::{
    FieldSet,
    managed::{self, Writer},
};
use mosaic_schema::FieldError;
use mosaic_store::{Entry, Expect, Revision, StoreError, Write};
use serde_json::{Map, Value, json};

use super::{
    Call,
    body::{self, FieldValidation},
};
use crate::{
    admission::{self, Attempt},
    app::App,
    cache::Object,
    codec, convert, error,
    kinds::{Conversion, Kind},
};

/// How often a write is tried again when the object changed under it. Of writers that change one object
/// at the same time each try lets one through; this many may be at it.
const TRIES: usize = 256;
/// The longest field manager name, in bytes.
const MANAGER_LENGTH: usize = 128;

/// The options that every write has.
#[derive(Debug)]
pub struct WriteOptions {
    /// Only try out what would happen.
    pub dry_run: bool,
    /// Who the changed fields will belong to.
    pub manager: String,
    /// What happens to unknown fields.
    pub validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the options of a call.
    ///
    /// # Errors
    /// 422 for values that are not known.
    pub fn new(call: &Call) -> Result<Self, Status> {
        let manager = if call.query.field_manager.is_empty() {
            manager_from_agent(&call.headers)
        } else {
            call.query.field_manager.clone()
        };
        if manager.len() > MANAGER_LENGTH || manager.chars().any(char::is_control) {
            let error = FieldError::invalid(
                "fieldManager",
                manager.as_str(),
                format!("must be printable and no more than {MANAGER_LENGTH} bytes"),
            );
            return Err(Status::invalid("meta.k8s.io", "PatchOptions", "", &[error]));
        }
        Ok(Self {
            dry_run: call.query.is_dry_run()?,
            manager,
            validation: FieldValidation::from_query(&call.query.field_validation)?,
        })
    }
}

/// The client's name as its user agent has it: `kubectl` of `kubectl/v1.34 (linux/amd64)`.
fn manager_from_agent(headers: &HeaderMap) -> String {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(MANAGER_LENGTH)
        .collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}

/// The part of an object that a write is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object itself.
    Main,
    /// `/status`.
    Status,
    /// `/approval` of a certificate request: a part of its status.
    Approval,
    /// A subresource that changes the object itself in its own way, such as `resize`.
    Other(&'static str),
}

impl Part {
    /// The subresource in managed fields and in rights; empty for the object itself.
    pub fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Approval => "approval",
            Self::Other(name) => name,
        }
    }
}

/// A write that was carried out, or would have been.
#[derive(Debug)]
pub struct Written {
    /// The object after the write, in the form that the call's kind serves.
    pub object: Value,
    /// The same as bytes, where they are known: those that every later reader gets.
    pub wire: Option<Bytes>,
    /// Whether the write created it.
    pub created: bool,
    /// What the client should be warned of.
    pub warnings: Vec<String>,
}

/// Creates an object from what a client sent.
///
/// # Errors
/// Whatever step refuses it.
pub async fn create(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    mut object: Value,
) -> Result<Written, Status> {
    let kind = &call.kind;
    let mut warnings = Vec::new();
    let mut complaints = Vec::new();
    body::check_kind(&mut object, &kind.api_version, &kind.kind)?;
    body::shape(kind, &mut object, &mut complaints)?;
    options.validation.judge(complaints, &mut warnings)?;
    place_in_namespace(call, &mut object)?;
    create_shaped(app, call, options, object, None, warnings).await
}

/// Creates an object that has its kind's shape. `applied` carries managed fields made by server-side
/// apply.
async fn create_shaped(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    mut object: Value,
    applied: Option<Value>,
    warnings: Vec<String>,
) -> Result<Written, Status> {
    let kind = &call.kind;
    if text(&object, "resourceVersion").is_some() {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let generate = text(&object, "generateName").filter(|_| text(&object, "name").is_none());
    for attempt in 0..TRIES {
        let now = Timestamp::now();
        if let Some(prefix) = &generate {
            set_meta(
                &mut object,
                "name",
                json!(mosaic_api::names::generate_name(prefix, rand::random())),
            );
        }
        // Only a name that was made up is tried again with another.
        let mut new = if generate.is_some() {
            object.clone()
        } else {
            object.take()
        };
        begin(&mut new, now);
        defaults(kind, &mut new);
        let name = text(&new, "name").unwrap_or_default();
        let attempt_at = Attempt {
            call,
            part: Part::Main,
            namespace: &call.path.namespace,
            name: &name,
            old: None,
            dry_run: options.dry_run,
        };
        // What admission adds is nobody's: it is not what the client asked for.
        match &applied {
            Some(managed_fields) => set_meta(&mut new, "managedFields", managed_fields.clone()),
            None => {
                let writer = writer(kind, options, Part::Main, now);
                managed::track_update(
                    &mut new,
                    None,
                    &kind.ty,
                    &writer,
                    reset_fields(kind, Part::Main),
                );
            }
        }
        admission::mutate(app, &attempt_at, &mut new)?;
        prepare_create(kind, &mut new);
        admission::complete(app, &attempt_at, &mut new);
        let errors = validate_create(kind, &new);
        if !errors.is_empty() {
            return Err(Status::invalid(&kind.group, &kind.kind, &name, &errors));
        }
        let claims = admission::check(app, &attempt_at, &mut new).await?;
        if options.dry_run {
            if app
                .cache
                .get(&kind.storage_key(&call.path.namespace, &name))
                .is_some()
            {
                return Err(Status::already_exists(&kind.group, &kind.plural, &name));
            }
            return Ok(Written {
                object: new,
                wire: None,
                created: true,
                warnings,
            });
        }
        let key: Arc<str> = kind.storage_key(&call.path.namespace, &name).into();
        match store(app, kind, key, Expect::Absent, &new).await {
            Ok((revision, stored)) => {
                set_meta(&mut new, "resourceVersion", json!(revision.to_string()));
                return Ok(Written {
                    object: new,
                    wire: wire(kind, &stored, revision),
                    created: true,
                    warnings,
                });
            }
            Err(StoreError::Conflict { .. }) => {
                claims.give_back(app).await;
                if generate.is_none() || attempt + 1 == TRIES {
                    return Err(Status::already_exists(&kind.group, &kind.plural, &name));
                }
            }
            Err(other) => {
                claims.give_back(app).await;
                return Err(error::from_store(&other));
            }
        }
    }
    Err(Status::internal("no free name was found"))
}

/// What a change makes of an object: the new object, and whether its managed fields are final already
/// (as server-side apply leaves them).
pub struct Changed {
    /// The new object in served form. Its `resourceVersion`, if it has one, must be the current one.
    pub object: Value,
    /// Whether the managed fields are final.
    pub tracked: bool,
}

/// Changes the object that a call names: `change` makes a new object of the current one, and is called
/// again if the object changed meanwhile.
///
/// # Errors
/// 404 if there is no such object; 409 if it has changed and the new object insists on a revision;
/// and whatever step refuses the new object.
pub fn modify<'a>(
    app: &'a App,
    call: &'a Call,
    options: &'a WriteOptions,
    part: Part,
    warnings: Vec<String>,
    change: &'a (dyn Fn(&Value) -> Result<Changed, Status> + Sync),
) -> BoxFuture<'a, Result<Written, Status>> {
    // Admission of a write may write to a quota, which is a write again: the type of its future ends here.
    Box::pin(modify_tries(app, call, options, part, warnings, change))
}

async fn modify_tries(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    part: Part,
    warnings: Vec<String>,
    change: &(dyn Fn(&Value) -> Result<Changed, Status> + Sync),
) -> Result<Written, Status> {
    let kind = &call.kind;
    let key: Arc<str> = call.key().into();
    let mut current = app.cache.get(&key);
    if current.is_none() && !app.store.exclusive() {
        current = reread(app, kind, &key).await?;
    }
    for _ in 0..TRIES {
        let Some(object) = current.as_deref() else {
            return Err(call.not_found());
        };
        let mut warnings = warnings.clone();
        match modify_once(app, call, options, part, object, &mut warnings, change).await? {
            Ok(written) => {
                return Ok(Written {
                    warnings,
                    ..written
                });
            }
            Err(()) => current = reread(app, kind, &key).await?,
        }
    }
    Err(Status::conflict(
        &kind.group,
        &kind.plural,
        &call.path.name,
        "it changes too often; try again",
    ))
}

/// One try of [`modify`]; the inner error says that the object changed meanwhile.
async fn modify_once(
    app: &App,
    call: &Call,
    options: &WriteOptions,
    part: Part,
    current: &Object,
    warnings: &mut Vec<String>,
    change: &(dyn Fn(&Value) -> Result<Changed, Status> + Sync),
) -> Result<Result<Written, ()>, Status> {
    let kind = &call.kind;
    let old = convert::value(kind, current);
    let Changed {
        object: mut new,
        tracked,
    } = change(&old)?;
    let mut complaints = Vec::new();
    body::check_kind(&mut new, &kind.api_version, &kind.kind)?;
    body::shape(kind, &mut new, &mut complaints)?;
    options.validation.judge(complaints, warnings)?;
    check_identity(call, &new, &old)?;
    // A patch starts from the current object: a revision that it left alone is no demand.
    let asked = text(&new, "resourceVersion").filter(|_| {
        call.method_is_update() || text(&new, "resourceVersion") != text(&old, "resourceVersion")
    });
    if asked
        .as_ref()
        .is_some_and(|asked| *asked != current.revision.to_string())
    {
        return Err(Status::stale(&kind.group, &kind.plural, &call.path.name));
    }
    if asked.is_none() && call.method_is_update() && part == Part::Main && !overwrites(kind) {
        let error = FieldError::invalid(
            "metadata.resourceVersion",
            0,
            "must be specified for an update",
        );
        return Err(Status::invalid(
            &kind.group,
            &kind.kind,
            &call.path.name,
            &[error],
        ));
    }
    let now = Timestamp::now();
    keep_system_metadata(&mut new, &old);
    defaults(kind, &mut new);
    let attempt = Attempt {
        call,
        part,
        namespace: current.namespace(),
        name: current.name(),
        old: Some(&old),
        dry_run: options.dry_run,
    };
    prepare_update(kind, part, &mut new, &old);
    if !tracked {
        let writer = writer(kind, options, part, now);
        managed::track_update(
            &mut new,
            Some(&old),
            &kind.ty,
            &writer,
            reset_fields(kind, part),
        );
    }
    admission::mutate(app, &attempt, &mut new)?;
    admission::complete(app, &attempt, &mut new);
    set_meta(
        &mut new,
        "resourceVersion",
        json!(current.revision.to_string()),
    );
    if new == old {
        return Ok(Ok(Written {
            object: new,
            wire: None,
            created: false,
            warnings: Vec::new(),
        }));
    }
    let errors = validate_update(kind, part, &new, &old);
    if !errors.is_empty() {
        return Err(Status::invalid(
            &kind.group,
            &kind.kind,
            &call.path.name,
            &errors,
        ));
    }
    let claims = admission::check(app, &attempt, &mut new).await?;
    if options.dry_run {
        return Ok(Ok(Written {
            object: new,
            wire: None,
            created: false,
            warnings: Vec::new(),
        }));
    }
    // What waits for deletion goes once nothing holds it back.
    let gone = super::delete::is_released(kind, &new);
    let stored = if gone {
        None
    } else {
        Some(encode(kind, &new)?)
    };
    let write = Write {
        key: current.key.clone(),
        expect: Expect::At(current.revision),
        value: stored.clone(),
    };
    match app.commit(write).await {
        Ok(revision) => {
            set_meta(&mut new, "resourceVersion", json!(revision.to_string()));
            if gone {
                admission::released(app, kind, &new).await;
            }
            Ok(Ok(Written {
                object: new,
                wire: stored.and_then(|stored| wire(kind, &stored, revision)),
                created: false,
                warnings: Vec::new(),
            }))
        }
        Err(StoreError::Conflict { .. }) => {
            claims.give_back(app).await;
            if asked.is_some() && call.method_is_update() {
                return Err(Status::stale(&kind.group, &kind.plural, &call.path.name));
            }
            Ok(Err(()))
        }
        Err(other) => {
            claims.give_back(app).await;
            Err(error::from_store(&other))
        }
    }
}

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
    check_name(call, &mut config)?;
    place_in_namespace(call, &mut config)?;
    let merge = |live: Option<&Value>| -> Result<Value, Status> {
        let writer = writer(kind, options, part, Timestamp::now());
        managed::apply(
            live,
            &config,
            &kind.ty,
            &writer,
            reset_fields(kind, part),
            force,
        )
        .map_err(|error| apply_failed(call, &error))
    };
    for _ in 0..TRIES {
        let changed = |live: &Value| {
            merge(Some(live)).map(|object| Changed {
                object,
                tracked: true,
            })
        };
        match modify(app, call, options, part, warnings.clone(), &changed).await {
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
        let managed_fields = object
            .pointer("/metadata/managedFields")
            .cloned()
            .unwrap_or_default();
        match create_shaped(
            app,
            call,
            options,
            object,
            Some(managed_fields),
            warnings.clone(),
        )
        .await
        {
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
                .map(|conflict| mosaic_api::status::Cause {
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

/// The stored form of a served object.
fn encode(kind: &Kind, object: &Value) -> Result<Bytes, Status> {
    let bytes = match kind.conversion {
        Conversion::None => codec::encode(object),
        _ => codec::encode(&convert::stored(kind, object.clone())),
    };
    bytes.map_err(Status::internal)
}

async fn store(
    app: &App,
    kind: &Kind,
    key: Arc<str>,
    expect: Expect,
    object: &Value,
) -> Result<(Revision, Bytes), StoreError> {
    let value = encode(kind, object).map_err(|status| StoreError::Internal(status.message))?;
    let write = Write {
        key,
        expect,
        value: Some(value.clone()),
    };
    Ok((app.commit(write).await?, value))
}

/// What clients get of an object that was stored at a revision, if its kind is served as it is stored.
fn wire(kind: &Kind, stored: &[u8], revision: Revision) -> Option<Bytes> {
    (kind.conversion == Conversion::None).then(|| codec::with_revision(stored, revision))
}

/// The object at a key, from the store itself.
async fn reread(app: &App, kind: &Kind, key: &str) -> Result<Option<Arc<Object>>, Status> {
    let entry: Option<Entry> = app
        .store
        .get(key)
        .await
        .map_err(|e| error::from_store(&e))?;
    let paths = app.cache.kind(&kind.prefix).paths();
    Ok(entry.map(|entry| Arc::new(Object::from_entry(&entry, &paths))))
}

fn writer<'a>(kind: &'a Kind, options: &'a WriteOptions, part: Part, now: Timestamp) -> Writer<'a> {
    Writer {
        manager: &options.manager,
        api_version: &kind.api_version,
        subresource: part.subresource(),
        now,
    }
}

/// Whether an update of the kind may leave out the revision that it replaces.
fn overwrites(kind: &Kind) -> bool {
    kind.custom().is_none() && mosaic_validation::allows_unconditional_update(&kind.group_kind())
}

/// The fields that writes through this door cannot set.
fn reset_fields(kind: &Kind, part: Part) -> &'static FieldSet {
    static NOTHING: LazyLock<FieldSet> = LazyLock::new(FieldSet::default);
    static STATUS: LazyLock<FieldSet> =
        LazyLock::new(|| FieldSet::from_field_names(&[&["status"]]));
    static SPEC: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::from_field_names(&[&["spec"]]));
    static SPEC_AND_METADATA: LazyLock<FieldSet> =
        LazyLock::new(|| FieldSet::from_field_names(&[&["spec"], &["metadata"]]));
    match part {
        Part::Status | Part::Approval if kind.custom().is_some() => &SPEC_AND_METADATA,
        Part::Status | Part::Approval => &SPEC,
        Part::Main if kind.status => &STATUS,
        _ => &NOTHING,
    }
}

/// Fills in what the server alone decides about a new object.
fn begin(object: &mut Value, now: Timestamp) {
    for gone in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    ] {
        remove_meta(object, gone);
    }
    set_meta(object, "uid", json!(uuid::Uuid::new_v4().to_string()));
    set_meta(
        object,
        "creationTimestamp",
        json!(mosaic_api::time::format(now)),
    );
}

/// Metadata that no update changes.
fn keep_system_metadata(new: &mut Value, old: &Value) {
    for key in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "generateName",
    ] {
        match old.pointer("/metadata").and_then(|meta| meta.get(key)) {
            Some(value) => set_meta(new, key, value.clone()),
            None => remove_meta(new, key),
        }
    }
}

fn check_identity(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    let kind = &call.kind;
    let name = text(new, "name").unwrap_or_default();
    if name != call.path.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.path.name
        )));
    }
    let namespace = text(new, "namespace").unwrap_or_default();
    if kind.namespaced && namespace != call.path.namespace {
        return Err(wrong_namespace(&namespace, &call.path.namespace));
    }
    let (asked, is) = (text(new, "uid"), text(old, "uid"));
    if let (Some(asked), Some(is)) = (asked, is)
        && asked != is
    {
        let why =
            format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {is}");
        return Err(Status::conflict(
            &kind.group,
            &kind.plural,
            &call.path.name,
            &why,
        ));
    }
    Ok(())
}

fn wrong_namespace(object: &str, url: &str) -> Status {
    Status::bad_request(format!(
        "the namespace of the provided object does not match the namespace sent on the request ({object:?} is not {url:?})"
    ))
}

/// An object without a name gets that of the path; another name is refused.
pub fn check_name(call: &Call, object: &mut Value) -> Result<(), Status> {
    match text(object, "name") {
        None => {
            set_meta(object, "name", json!(call.path.name));
            Ok(())
        }
        Some(name) if name == call.path.name => Ok(()),
        Some(name) => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.path.name
        ))),
    }
}

/// An object without a namespace gets that of the path; another namespace is refused.
pub fn place_in_namespace(call: &Call, object: &mut Value) -> Result<(), Status> {
    let namespace = text(object, "namespace");
    if !call.kind.namespaced {
        remove_meta(object, "namespace");
        return match namespace {
            Some(other) if !(call.kind.group.is_empty() && &*call.kind.kind == "Namespace") => {
                Err(Status::bad_request(format!(
                    "namespace {other:?} is set on a {}, which lives in no namespace",
                    call.kind.kind
                )))
            }
            _ => Ok(()),
        };
    }
    match namespace {
        None => {
            set_meta(object, "namespace", json!(call.path.namespace));
            Ok(())
        }
        Some(namespace) if namespace == call.path.namespace => Ok(()),
        Some(namespace) => Err(wrong_namespace(&namespace, &call.path.namespace)),
    }
}

fn defaults(kind: &Kind, object: &mut Value) {
    if kind.custom().is_none() {
        mosaic_validation::apply_defaults(&kind.group_kind(), &kind.version, object);
    }
}

fn prepare_create(kind: &Kind, object: &mut Value) {
    if kind.custom().is_some() {
        mosaic_validation::prepare_custom_for_create(kind.status, object);
    } else {
        mosaic_validation::prepare_for_create(&kind.group_kind(), object);
    }
}

fn prepare_update(kind: &Kind, part: Part, new: &mut Value, old: &Value) {
    let gk = kind.group_kind();
    match (kind.custom().is_some(), part) {
        // These change what no update may, and nothing else.
        (false, Part::Other("binding" | "finalize")) => {}
        (true, Part::Status | Part::Approval) => {
            mosaic_validation::prepare_custom_for_status_update(new, old)
        }
        (true, _) => mosaic_validation::prepare_custom_for_update(kind.status, new, old),
        (false, Part::Status | Part::Approval) => {
            mosaic_validation::prepare_for_status_update(&gk, new, old)
        }
        (false, Part::Other("resize")) => mosaic_validation::prepare_resize(new, old),
        (false, Part::Other("ephemeralcontainers")) => {
            mosaic_validation::prepare_ephemeral_containers(new, old)
        }
        (false, _) => mosaic_validation::prepare_for_update(&gk, new, old),
    }
}

fn validate_create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    match kind.custom() {
        None => mosaic_validation::validate_create(&kind.group_kind(), object),
        Some(custom) => {
            let mut errors =
                mosaic_validation::validate_meta(object, kind.namespaced, NameRule::DnsSubdomain);
            if let Some(structural) = &custom.structural {
                errors.extend(structural.validate(object, None));
            }
            errors
        }
    }
}

fn validate_update(kind: &Kind, part: Part, new: &Value, old: &Value) -> Vec<FieldError> {
    let gk = kind.group_kind();
    match kind.custom() {
        None => match part {
            Part::Status | Part::Approval => {
                mosaic_validation::validate_status_update(&gk, new, old)
            }
            Part::Other("binding" | "finalize") => Vec::new(),
            Part::Other("resize") => mosaic_validation::validate_resize(new, old),
            Part::Other("ephemeralcontainers") => {
                mosaic_validation::validate_ephemeral_containers(new, old)
            }
            _ => mosaic_validation::validate_update(&gk, new, old),
        },
        Some(custom) => {
            let mut errors = mosaic_validation::validate_meta_update(new, old);
            if let Some(structural) = &custom.structural {
                errors.extend(structural.validate(new, Some(old)));
            }
            errors
        }
    }
}

/// A text in `metadata`; none if it is absent or empty.
pub fn text(object: &Value, key: &str) -> Option<String> {
    object
        .get("metadata")?
        .get(key)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Sets a member of `metadata`.
pub fn set_meta(object: &mut Value, key: &str, value: Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert(key.to_owned(), value);
    }
}

/// Removes a member of `metadata`.
pub fn remove_meta(object: &mut Value, key: &str) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove(key);
    }
}
