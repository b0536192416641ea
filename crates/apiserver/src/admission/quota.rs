//! Quotas of namespaces: what an object uses is counted before it is written.
//!
//! The sum stands in the quota's status and is changed by compare-and-write, so that two servers cannot
//! both give out the last of it. What is counted for a write that then fails is taken back; should the
//! server die in between, the quota controller's recount does it.

use mosaic_api::{Reason, Status, meta};
use mosaic_validation::quota::{self, Amounts};
use serde_json::{Value, json};

use super::{Attempt, Claims};
use crate::{
    app::App,
    verbs::{
        Call,
        body::FieldValidation,
        write::{self, Part, WriteOptions},
    },
};

/// What was counted against a quota.
#[derive(Debug)]
pub(super) struct Counted {
    call: Call,
    amounts: Amounts,
}

/// Counts what an object uses more than before against the quotas of its namespace.
pub(super) async fn claim(
    app: &App,
    attempt: &Attempt<'_>,
    new: &Value,
    claims: &mut Claims,
) -> Result<(), Status> {
    let kind = attempt.kind();
    if !kind.namespaced
        || matches!(attempt.part, Part::Status | Part::Approval)
        || attempt.is("", "Event")
    {
        return Ok(());
    }
    let kinds = app.kinds.snapshot();
    let Some(quota_kind) = kinds.by_kind("", "ResourceQuota") else {
        return Ok(());
    };
    let prefix = format!("{}{}/", quota_kind.prefix, attempt.namespace);
    let cached = app.cache.kind(&quota_kind.prefix);
    if !cached.any(&prefix) {
        return Ok(());
    }
    let group_kind = kind.group_kind();
    let usage = quota::usage(&group_kind, &kind.plural, new);
    let delta = match attempt.old {
        Some(old) => usage.increase_over(&quota::usage(&group_kind, &kind.plural, old)),
        None => usage,
    };
    if delta.is_empty() {
        return Ok(());
    }
    for object in cached.list(&prefix) {
        let current = object.value();
        let spec = current.get("spec").cloned().unwrap_or_default();
        let hard = spec
            .get("hard")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let relevant = delta.iter().any(|(name, _)| hard.contains_key(name));
        if !quota::covers(&spec, &group_kind, new) {
            continue;
        }
        if let Some(why) = quota::missing(object.name(), &hard, &group_kind, new) {
            return Err(attempt.forbidden(&why));
        }
        if !relevant {
            continue;
        }
        let call = attempt.call.beside(quota_kind, object.name());
        let change = |current: &Value| {
            let used = current
                .pointer("/status/used")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            if let Some(why) = quota::exceeds(object.name(), &hard, &used, &delta) {
                return Err(attempt.forbidden(&why));
            }
            let mut sum = Amounts::read(current.pointer("/status/used"));
            sum.add_all(&delta);
            Ok(with_used(current, &hard, &sum))
        };
        let options = options(attempt.dry_run);
        (write::modify(app, &call, &options, Part::Status, Vec::new(), &change))
            .await
            .map_err(|status| {
                // A quota that is deleted meanwhile limits nothing; the message would puzzle.
                if status.reason == Reason::NotFound {
                    attempt.forbidden("a quota is being changed; try again")
                } else {
                    status
                }
            })?;
        if !attempt.dry_run {
            claims.quota.push(Counted {
                call,
                amounts: delta.clone(),
            });
        }
    }
    Ok(())
}

fn options(dry_run: bool) -> WriteOptions {
    WriteOptions {
        dry_run,
        manager: "quota".to_owned(),
        validation: FieldValidation::Ignore,
    }
}

/// The quota with these sums, as far as it limits them.
fn with_used(current: &Value, hard: &serde_json::Map<String, Value>, sum: &Amounts) -> Value {
    let mut object = current.clone();
    meta::remove(&mut object, "resourceVersion");
    let mut used = sum.to_object();
    used.retain(|name, _| hard.contains_key(name));
    if let Some(object) = object.as_object_mut() {
        object.insert("status".to_owned(), json!({"hard": hard, "used": used}));
    }
    object
}

/// Takes back what was counted.
pub(super) async fn give_back(app: &App, counted: Counted) {
    let change = |current: &Value| {
        let hard = current
            .pointer("/spec/hard")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let mut sum = Amounts::read(current.pointer("/status/used"));
        sum.subtract_all(&counted.amounts);
        Ok(with_used(current, &hard, &sum))
    };
    if let Err(error) = (write::modify(
        app,
        &counted.call,
        &options(false),
        Part::Status,
        Vec::new(),
        &change,
    ))
    .await
    {
        tracing::debug!(%error, "a quota could not be given back; the next count will");
    }
}
