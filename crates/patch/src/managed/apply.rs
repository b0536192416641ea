//! Server-side apply.

use mosaic_schema::Type;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    Conflict, Conflicts, Ledger, Writer,
    entry::{Entry, Operation, sent},
    last_applied,
    merge::merge,
};
use crate::fields::{FieldSet, UNTRACKED, compare, created, remove};

/// The manager of what an object held before it was first tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// The configuration is not one that can be applied (400).
    #[error("{0}")]
    BadRequest(String),
    /// Other managers own fields with other values (409).
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
}

/// Applies a configuration: merges it into the live object, removes what the manager applied before and
/// does not any more, and takes ownership of what the configuration sets.
///
/// The result is the whole object with its managed fields, before defaulting. Applying again what is
/// already there returns the live object as it is, times included. `ignore` holds the fields that this
/// door resets. With `force`, fields that others own with another value change and change hands.
///
/// # Errors
/// [`ApplyError::BadRequest`] when the configuration has managed fields, another version than the writer's
/// or the wrong shape; [`ApplyError::Conflicts`] when it sets fields that others own with another value.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    ty: &Type,
    writer: &Writer<'_>,
    ignore: &FieldSet,
    force: bool,
) -> Result<Value, ApplyError> {
    check(config, writer)?;
    let entries = match live {
        Some(live) => live_entries(live, ty, writer)?,
        None => Vec::new(),
    };
    let untracked = live.map_or_else(|| Value::Object(Map::new()), without_managed_fields);
    let set = FieldSet::of(config, ty)
        .map_err(wrong_shape)?
        .recursive_difference(ignore)
        .difference(&UNTRACKED);

    let attempt = Attempt {
        live: &untracked,
        config,
        ty,
        writer,
        ignore,
        set,
    };
    let (mut object, entries) = match attempt.run(entries.clone(), force) {
        Err(ApplyError::Conflicts(conflicts)) if writer.manager == last_applied::KUBECTL => {
            let own = last_applied::fields_still_as_applied(&untracked, ty)
                .unwrap_or_default()
                .paths();
            let foreign: Vec<Conflict> = conflicts
                .0
                .into_iter()
                .filter(|c| !own.contains(&c.field))
                .collect();
            if !foreign.is_empty() {
                return Err(Conflicts(foreign).into());
            }
            attempt.run(entries, true)?
        }
        outcome => outcome?,
    };
    if writer.manager == last_applied::KUBECTL {
        last_applied::update_annotation(&mut object, config);
    }
    Ledger::of(entries).put_into(&mut object);
    Ok(object)
}

fn check(config: &Value, writer: &Writer<'_>) -> Result<(), ApplyError> {
    if managed_fields(config).is_some() {
        return Err(ApplyError::BadRequest(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let version = config
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if version != writer.api_version {
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            writer.api_version
        )));
    }
    Ok(())
}

fn wrong_shape(reason: impl std::fmt::Display) -> ApplyError {
    ApplyError::BadRequest(format!("failed to create typed patch object: {reason}"))
}

fn live_entries(live: &Value, ty: &Type, writer: &Writer<'_>) -> Result<Vec<Entry>, ApplyError> {
    let entries = match managed_fields(live) {
        Some(stored) => sent(stored).map_err(|reason| {
            ApplyError::BadRequest(format!("failed to decode managed fields: {reason}"))
        })?,
        None => Vec::new(),
    };
    if !entries.is_empty() {
        return Ok(entries);
    }
    // Nobody is known to own what is there; it still must not be changed unawares.
    let fields = created(live, ty).difference(&UNTRACKED);
    let before = Writer {
        manager: BEFORE_FIRST_APPLY,
        ..*writer
    };
    Ok(vec![Entry::new(&before, Operation::Update, fields)])
}

fn managed_fields(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("managedFields")
        .filter(|fields| !fields.is_null())
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// An apply up to the question whether it may take what others own.
struct Attempt<'a> {
    live: &'a Value,
    config: &'a Value,
    ty: &'a Type,
    writer: &'a Writer<'a>,
    ignore: &'a FieldSet,
    /// What the manager owns afterwards.
    set: FieldSet,
}

impl Attempt<'_> {
    fn run(&self, mut entries: Vec<Entry>, force: bool) -> Result<(Value, Vec<Entry>), ApplyError> {
        let merged = merge(self.live, self.config, self.ty).map_err(wrong_shape)?;
        let own = entries
            .iter()
            .position(|entry| entry.is_of(self.writer, Operation::Apply));
        let previous = own.map(|index| entries.remove(index));
        let last = previous.as_ref().map(Entry::set).unwrap_or_default();
        let removable = last.clone().recursive_difference(self.ignore);
        let object = self.prune(merged, removable, &entries)?;
        let delta = compare(self.live, &object, self.ty);

        if !force {
            let conflicts: Vec<Conflict> = entries
                .iter()
                .flat_map(|entry| {
                    let fields = entry.set().intersection(&delta.changed).paths();
                    fields.into_iter().map(|field| Conflict::new(entry, field))
                })
                .collect();
            if !conflicts.is_empty() {
                return Err(Conflicts(conflicts).into());
            }
        }
        for entry in &mut entries {
            entry.yield_to(&delta);
        }

        let mut entry = Entry::new(self.writer, Operation::Apply, self.set.clone());
        if let Some(previous) = &previous
            && delta.is_empty()
            && last == self.set
        {
            entry.set_time_of(previous);
        }
        entries.push(entry);
        Ok((object, entries))
    }

    /// Takes out what the manager applied last, does not apply now, and nobody else owns.
    fn prune(&self, merged: Value, last: FieldSet, others: &[Entry]) -> Result<Value, ApplyError> {
        let ty = self.ty;
        if last.clone().difference(&self.set).is_empty() {
            return Ok(merged);
        }
        let last = last.with_named_parents(ty);
        let owned = others
            .iter()
            .fold(self.set.clone(), |all, entry| all.union(entry.set()))
            .with_named_parents(ty);
        if last.clone().difference(&owned).is_empty() {
            return Ok(merged);
        }
        // A field of the last set takes all that is below it along: what is owned there comes back, and
        // so does what is nobody's.
        let fields_of = |value: &Value| {
            FieldSet::of(value, ty)
                .unwrap_or_default()
                .with_named_parents(ty)
        };
        let all = fields_of(&merged);
        let mut pruned = merged.clone();
        remove(&mut pruned, &last, ty);
        let gone = all
            .clone()
            .difference(&fields_of(&pruned))
            .difference(&owned);
        let mut pruned = merged.clone();
        remove(&mut pruned, &gone, ty);
        let gone = all.difference(&fields_of(&pruned)).intersection(&last);
        let mut pruned = merged;
        remove(&mut pruned, &gone, ty);
        // What was emptied has gone too; the configuration may have it all the same.
        merge(&pruned, self.config, ty).map_err(wrong_shape)
    }
}
