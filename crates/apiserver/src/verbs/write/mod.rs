//! What create, update and patch have in common: from an object that a client sent to one that is
//! stored.
//!
//! ```text
//! shape → name → default → admit (change) → prepare → managed fields → validate → admit (check) → store
//! ```
//!
//! Each step is a synchronous function of the objects, but for admission checks that claim quota and
//! the write itself.

mod apply;
mod binding;
mod identity;
mod modify;
mod strategy;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_patch::managed::{self, Ledger, Writer};
use mosaic_schema::FieldError;
use mosaic_store::{Entry, Expect, Revision, StoreError, Write};
use serde_json::{Value, json};

use super::{
    Call,
    body::{self, FieldValidation},
};
use crate::{
    admission::{self, Attempt},
    app::App,
    cache::Object,
    codec, convert, error,
    http::body::MAX_BODY,
    kinds::{Conversion, Kind},
};

pub use apply::apply;
pub use binding::bind;
pub use identity::{check_name, place_in_namespace};
pub use modify::{Modification, Sight, modify};

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
            return Err(Status::invalid_option("PatchOptions", error));
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
    /// `/scale`: how many replicas the object asks for.
    Scale,
    /// `/binding` of a pod: its host.
    Binding,
    /// `/finalize` of a namespace: the finalizers of its spec.
    Finalize,
    /// `/resize` of a pod: its containers' resources.
    Resize,
    /// `/ephemeralcontainers` of a pod.
    EphemeralContainers,
    /// `/token` of a service account: nothing of the object, but admission has a say.
    Token,
}

impl Part {
    /// The subresource in managed fields and in rights; empty for the object itself.
    pub fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Approval => "approval",
            Self::Scale => "scale",
            Self::Binding => "binding",
            Self::Finalize => "finalize",
            Self::Resize => "resize",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Token => "token",
        }
    }
}

/// A write that was carried out, or would have been.
#[derive(Debug)]
pub struct Written {
    /// The object after the write, in the form that the call's kind serves, without its managed fields.
    pub object: Value,
    /// Its managed fields.
    pub ledger: Ledger,
    /// Both together as bytes, where they are known: those that every later reader gets.
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
    applied: Option<Ledger>,
    warnings: Vec<String>,
) -> Result<Written, Status> {
    let kind = &call.kind;
    if !meta::resource_version(&object).is_empty() {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let generate = match meta::generate_name(&object) {
        prefix if meta::name(&object).is_empty() && !prefix.is_empty() => Some(prefix.to_owned()),
        _ => None,
    };
    for attempt in 0..TRIES {
        let now = Timestamp::now();
        if let Some(prefix) = &generate {
            meta::set(
                &mut object,
                "name",
                mosaic_api::names::generate_name(prefix, rand::random()),
            );
        }
        // Only a name that was made up is tried again with another.
        let mut new = if generate.is_some() {
            object.clone()
        } else {
            object.take()
        };
        identity::begin(&mut new, now);
        strategy::defaults(kind, &mut new);
        let name = meta::name(&new).to_owned();
        let attempt_at = Attempt {
            call,
            part: Part::Main,
            namespace: &call.path.namespace,
            name: &name,
            old: None,
            dry_run: options.dry_run,
        };
        // What admission adds is nobody's: it is not what the client asked for.
        let ledger = match &applied {
            Some(ledger) => ledger.clone(),
            None => {
                let writer = writer(kind, options, Part::Main, now);
                managed::track_update(
                    &mut new,
                    None,
                    Ledger::default(),
                    &kind.ty,
                    &writer,
                    strategy::reset_fields(kind, Part::Main),
                )
            }
        };
        admission::mutate(app, &attempt_at, &mut new)?;
        strategy::prepare_create(kind, &mut new);
        admission::complete(app, &attempt_at, &mut new);
        let errors = strategy::validate_create(kind, &new);
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
                ledger,
                wire: None,
                created: true,
                warnings,
            });
        }
        let key = kind.storage_key(&call.path.namespace, &name).into();
        match store(app, kind, key, Expect::Absent, &new, &ledger).await {
            Ok((revision, stored)) => {
                meta::set(&mut new, "resourceVersion", json!(revision.to_string()));
                return Ok(Written {
                    object: new,
                    ledger,
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

/// The largest object that is stored, in bytes: what may come in one request, and what the server adds.
/// Applies of many managers can make an object larger than any request.
const MAX_OBJECT: usize = MAX_BODY + (1 << 20);

/// Stores a new or changed object, and returns its revision and stored form.
async fn store(
    app: &App,
    kind: &Kind,
    key: Arc<str>,
    expect: Expect,
    object: &Value,
    ledger: &Ledger,
) -> Result<(Revision, Bytes), StoreError> {
    let value =
        encode(kind, object, ledger).map_err(|status| StoreError::Internal(status.message))?;
    let revision = store_bytes(app, key, expect, value.clone()).await?;
    Ok((revision, value))
}

/// Stores what is in its stored form already, and returns its revision.
async fn store_bytes(
    app: &App,
    key: Arc<str>,
    expect: Expect,
    value: Bytes,
) -> Result<Revision, StoreError> {
    if value.len() > MAX_OBJECT {
        return Err(StoreError::TooLarge(format!(
            "it would be {} bytes with what the server keeps with it, the limit is {MAX_OBJECT}",
            value.len()
        )));
    }
    let write = Write {
        key,
        expect,
        value: Some(value),
    };
    app.commit(write).await
}

/// The stored form of a served object, whose managed fields may be kept apart.
pub(super) fn encode(kind: &Kind, object: &Value, ledger: &Ledger) -> Result<Bytes, Status> {
    let bytes = match kind.conversion {
        Conversion::None => codec::encode(object, ledger),
        _ => codec::encode(&convert::stored(kind, object.clone()), ledger),
    };
    bytes.map_err(Status::internal)
}

/// What clients get of an object that was stored at a revision, if its kind is served as it is stored.
fn wire(kind: &Kind, stored: &[u8], revision: Revision) -> Option<Bytes> {
    (kind.conversion == Conversion::None).then(|| codec::with_revision(stored, revision))
}

/// The object at a key, from the store itself.
pub(super) async fn reread(
    app: &App,
    kind: &Kind,
    key: &str,
) -> Result<Option<Arc<Object>>, Status> {
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
