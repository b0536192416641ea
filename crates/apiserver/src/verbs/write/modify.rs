//! Changes of an object that is there, from PUT to server-side apply.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_patch::managed::{self, Ledger};
use mosaic_schema::FieldError;
use mosaic_store::{Expect, StoreError, Write};
use serde_json::{Map, Value};

use super::{Part, TRIES, WriteOptions, Written, identity, reread, store, strategy, wire, writer};
use crate::{
    admission::{self, Attempt},
    app::App,
    cache::Object,
    convert, error,
    verbs::{Call, body, delete},
};

/// Makes a new object of the current one, both in served form and as far as the change sees it (see [`Sight`]). If the new one has a `resourceVersion`,
/// it must be the current one.
pub type Change<'a> = dyn Fn(&Value) -> Result<Value, Status> + Sync + 'a;

/// How much of the current object a change looks at. The less, the less is read and copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Only its metadata, without the managed fields, and its status.
    Status,
    /// Everything but its managed fields.
    Fields,
    /// Everything.
    All,
    /// Everything; and it says itself whose the fields are, as server-side apply does.
    Owners,
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
    change: &'a Change<'a>,
) -> BoxFuture<'a, Result<Written, Status>> {
    let modification = Modification {
        app,
        call,
        options,
        part,
        sight: Sight::Fields,
        change,
    };
    modification.begin(warnings)
}

/// A change of the object that a call names.
pub struct Modification<'a> {
    /// The server.
    pub app: &'a App,
    /// The request.
    pub call: &'a Call,
    /// Its options.
    pub options: &'a WriteOptions,
    /// What it is to.
    pub part: Part,
    /// What `change` looks at.
    pub sight: Sight,
    /// The change.
    pub change: &'a Change<'a>,
}

/// How one try ended.
enum Try {
    Written(Written),
    /// The object changed meanwhile.
    Outdated,
}

impl<'a> Modification<'a> {
    /// See [`modify`]. Admission of a write may write to a quota, which is a write again: the type of its future
    /// ends here.
    pub fn begin(self, warnings: Vec<String>) -> BoxFuture<'a, Result<Written, Status>> {
        Box::pin(self.carry_out(warnings))
    }

    async fn carry_out(self, warnings: Vec<String>) -> Result<Written, Status> {
        let Self { app, call, .. } = self;
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
            match self.try_once(object, warnings.clone()).await? {
                Try::Written(written) => return Ok(written),
                Try::Outdated => current = reread(app, kind, &key).await?,
            }
        }
        Err(Status::conflict(
            &kind.group,
            &kind.plural,
            &call.path.name,
            "it changes too often; try again",
        ))
    }

    async fn try_once(&self, current: &Object, mut warnings: Vec<String>) -> Result<Try, Status> {
        let Self {
            app,
            call,
            options,
            part,
            ..
        } = *self;
        let kind = &call.kind;
        let (mut old, stored) = convert::apart(kind, current);
        let rest = self.set_aside(&mut old);
        let mut new = self.make(&mut old, &stored)?;
        let mut complaints = Vec::new();
        body::check_kind(&mut new, &kind.api_version, &kind.kind)?;
        body::shape(kind, &mut new, &mut complaints)?;
        options.validation.judge(complaints, &mut warnings)?;
        identity::check_identity(call, &new, &old)?;
        let insists = self.insists_on_revision(&new, &old)?;
        identity::keep_system_metadata(&mut new, &old);
        strategy::defaults(kind, &mut new);
        strategy::prepare_update(kind, part, &mut new, &old);
        let ledger = if self.sight == Sight::Owners {
            Ledger::take_from(&mut new)
        } else {
            let writer = writer(kind, options, part, Timestamp::now());
            let reset = strategy::reset_fields(kind, part);
            let stored = stored.clone();
            managed::track_update(&mut new, Some(&old), stored, &kind.ty, &writer, reset)
        };
        put_back(&mut new, rest.clone());
        put_back(&mut old, rest);
        let attempt = Attempt {
            call,
            part,
            namespace: current.namespace(),
            name: current.name(),
            old: Some(&old),
            dry_run: options.dry_run,
        };
        admission::mutate(app, &attempt, &mut new)?;
        admission::complete(app, &attempt, &mut new);
        meta::set(&mut new, "resourceVersion", current.revision.to_string());
        let written = |object, ledger, wire| {
            Try::Written(Written {
                object,
                ledger,
                wire,
                created: false,
                warnings,
            })
        };
        if new == old && ledger == stored {
            return Ok(written(new, ledger, None));
        }
        let errors = strategy::validate_update(kind, part, &new, &old);
        if !errors.is_empty() {
            return Err(self.invalid(&errors));
        }
        let claims = admission::check(app, &attempt, &mut new).await?;
        if options.dry_run {
            return Ok(written(new, ledger, None));
        }
        // What waits for deletion goes once nothing holds it back.
        let gone = delete::is_released(kind, &new);
        let (key, expect) = (current.key.clone(), Expect::At(current.revision));
        let done = if gone {
            let write = Write {
                key,
                expect,
                value: None,
            };
            app.commit(write).await.map(|revision| (revision, None))
        } else {
            store(app, kind, key, expect, &new, &ledger)
                .await
                .map(|(revision, stored)| (revision, Some(stored)))
        };
        match done {
            Ok((revision, stored)) => {
                meta::set(&mut new, "resourceVersion", revision.to_string());
                if gone {
                    admission::released(app, kind, &new).await;
                }
                let wire = stored.and_then(|stored| wire(kind, &stored, revision));
                Ok(written(new, ledger, wire))
            }
            Err(StoreError::Conflict { .. }) => {
                claims.give_back(app).await;
                if insists {
                    Err(self.stale())
                } else {
                    Ok(Try::Outdated)
                }
            }
            Err(other) => {
                claims.give_back(app).await;
                Err(error::from_store(&other))
            }
        }
    }

    /// Takes out of the current object what the change does not see and cannot touch through this door. This is for the
    /// reports of hosts, of which there are thousands in a second; defaults of other kinds' statuses look at the specification.
    fn set_aside(&self, old: &mut Value) -> Map<String, Value> {
        let kind = &self.call.kind;
        let is_reported = kind.is("", "Pod") || kind.is("", "Node");
        let apart = is_reported && self.sight == Sight::Status && self.part == Part::Status;
        let Some(members) = old.as_object_mut().filter(|_| apart) else {
            return Map::new();
        };
        let (seen, rest) = std::mem::take(members)
            .into_iter()
            .partition(|(key, _)| seen_with_status(key));
        *members = seen;
        rest
    }

    /// The new object, which has managed fields if they were sent.
    fn make(&self, old: &mut Value, stored: &Ledger) -> Result<Value, Status> {
        if matches!(self.sight, Sight::Status | Sight::Fields) {
            return (self.change)(old);
        }
        stored.put_into(old);
        let new = (self.change)(old);
        meta::remove(old, "managedFields");
        new
    }

    /// Whether the new object may replace no revision but the current one, since it is an update that
    /// names it. A patch starts from the current object: a revision that it left alone is no demand.
    ///
    /// # Errors
    /// 409 if it names another revision, 422 if an update of this kind has to name one and does not.
    fn insists_on_revision(&self, new: &Value, old: &Value) -> Result<bool, Status> {
        let updates = self.call.method_is_update();
        let (asked, is) = (meta::resource_version(new), meta::resource_version(old));
        if asked.is_empty() {
            let needed = updates && self.part == Part::Main;
            if needed && !strategy::overwrites(&self.call.kind) {
                return Err(self.invalid(&[FieldError::invalid(
                    "metadata.resourceVersion",
                    0,
                    "must be specified for an update",
                )]));
            }
            return Ok(false);
        }
        if asked != is {
            return Err(self.stale());
        }
        Ok(updates)
    }

    fn invalid(&self, errors: &[FieldError]) -> Status {
        let kind = &self.call.kind;
        Status::invalid(&kind.group, &kind.kind, &self.call.path.name, errors)
    }

    fn stale(&self) -> Status {
        let kind = &self.call.kind;
        Status::stale(&kind.group, &kind.plural, &self.call.path.name)
    }
}

/// Whether a member of an object is there when its status is written.
fn seen_with_status(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata" | "status")
}

fn put_back(object: &mut Value, rest: Map<String, Value>) {
    if let Some(members) = object.as_object_mut() {
        members.extend(rest);
    }
}
