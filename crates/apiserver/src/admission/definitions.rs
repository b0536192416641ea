//! What the server itself says about a custom kind's definition: whether its names are free, and that
//! it is served.

use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::{Value, json};

use super::Attempt;
use crate::{app::App, verbs::write::Part};

const GROUP: &str = "apiextensions.k8s.io";
/// Holds a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Fills in the status of a definition: a kind is served from the moment that its definition is stored.
pub(super) fn mutate(app: &App, attempt: &Attempt<'_>, new: &mut Value) {
    if !attempt.is(GROUP, "CustomResourceDefinition") || attempt.part != Part::Main {
        return;
    }
    let deleting = meta::is_being_deleted(new);
    let taken = names_taken(app, attempt.name, new);
    let now = mosaic_api::time::format(Timestamp::now());
    let old_conditions = attempt
        .old
        .and_then(|old| old.pointer("/status/conditions"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let since = |ty: &str, status: &str| {
        old_conditions
            .iter()
            .find(|c| {
                c.get("type").is_some_and(|t| t == ty)
                    && c.get("status").is_some_and(|s| s == status)
            })
            .and_then(|c| c.get("lastTransitionTime").cloned())
            .unwrap_or_else(|| json!(now))
    };
    let condition = |ty: &str, ok: bool, reason: &str, message: &str| {
        let status = if ok { "True" } else { "False" };
        json!({"type": ty, "status": status, "lastTransitionTime": since(ty, status), "reason": reason, "message": message})
    };
    let mut conditions = match &taken {
        None => vec![
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                true,
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ],
        Some(why) => vec![
            condition("NamesAccepted", false, "NameConflict", why),
            condition(
                "Established",
                false,
                "NotAccepted",
                "not all names are accepted",
            ),
        ],
    };
    conditions.extend(
        old_conditions
            .iter()
            .filter(|c| {
                c.get("type")
                    .is_some_and(|t| t != "NamesAccepted" && t != "Established")
            })
            .cloned(),
    );
    let mut stored: Vec<String> = attempt
        .old
        .and_then(|old| old.pointer("/status/storedVersions"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    let storage = new
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|v| v.get("storage").is_some_and(|s| s == true))
        .and_then(|v| v.get("name"))
        .and_then(Value::as_str);
    if let Some(storage) = storage.filter(|storage| !stored.iter().any(|s| s == storage)) {
        stored.push(storage.to_owned());
    }
    let accepted = if taken.is_none() {
        new.pointer("/spec/names").cloned()
    } else {
        None
    };
    let status = json!({
        "conditions": conditions,
        "acceptedNames": accepted.unwrap_or_else(|| json!({"plural": "", "kind": ""})),
        "storedVersions": stored,
    });
    if attempt.creates() && !deleting {
        let mut finalizers = new
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if !finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
            finalizers.push(json!(CLEANUP_FINALIZER));
        }
        meta::set(new, "finalizers", Value::Array(finalizers));
    }
    if let Some(new) = new.as_object_mut() {
        new.insert("status".to_owned(), status);
    }
}

/// Why the names of a definition are not free, if they are not.
fn names_taken(app: &App, definition: &str, new: &Value) -> Option<String> {
    let text = |path: &str| {
        new.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (group, plural, kind) = (
        text("/spec/group"),
        text("/spec/names/plural"),
        text("/spec/names/kind"),
    );
    let list_kind = text("/spec/names/listKind");
    let singular = text("/spec/names/singular");
    let short: Vec<&str> = new
        .pointer("/spec/names/shortNames")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let kinds = app.kinds.snapshot();
    kinds
        .rows
        .iter()
        .filter(|row| {
            *row.group == *group
                && row
                    .custom()
                    .is_none_or(|custom| *custom.definition != *definition)
        })
        .find_map(|row| {
            let names = [&*row.plural, &*row.singular];
            let taken = |name: &str| {
                !name.is_empty()
                    && (names.contains(&name) || row.short_names.iter().any(|s| **s == *name))
            };
            if let Some(name) = [plural, singular]
                .into_iter()
                .chain(short.iter().copied())
                .find(|name| taken(name))
            {
                return Some(format!("{name:?} is already in use"));
            }
            let kind_taken =
                |name: &str| !name.is_empty() && (*row.kind == *name || *row.list_kind == *name);
            [kind, list_kind]
                .into_iter()
                .find(|name| kind_taken(name))
                .map(|name| format!("{name:?} is already in use"))
        })
}
