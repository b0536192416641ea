//! Events, under either of their groups.

use crate::{
    node::{Errors, Node},
    rules,
};

const MAX_ACTION: usize = 128;
const MAX_REASON: usize = 128;
const MAX_NOTE: usize = 1024;

/// An event. Those with an event time follow the newer, stricter rules.
pub(crate) fn event(event: &Node, e: &mut Errors) {
    let newer = event.get("regarding").is_set();
    let object = event.get(if newer { "regarding" } else { "involvedObject" });
    let metadata = event.get("metadata");
    let namespace = metadata.get("namespace").str();
    let about = object.get("namespace");
    if about.is_empty() {
        // Events about cluster-wide objects are kept in the default namespace.
        if !matches!(namespace, "default" | "kube-system" | "") {
            e.invalid_as(&about, about.str(), "does not match event.namespace");
        }
    } else if about.str() != namespace {
        e.invalid(&about, "does not match event.namespace");
    }
    if event.get("eventTime").is_empty() {
        return;
    }
    let reporter = event.get(if newer || event.get("reportingController").is_set() {
        "reportingController"
    } else {
        "reportingComponent"
    });
    e.require_and_check(&reporter, rules::qualified_name);
    let instance = event.get("reportingInstance");
    if e.require(&instance, "") && instance.str().len() > MAX_ACTION {
        e.invalid_as(&instance, "", "can have at most 128 characters");
    }
    for (field, max) in [("action", MAX_ACTION), ("reason", MAX_REASON)] {
        let field = event.get(field);
        if e.require(&field, "") && field.str().len() > max {
            e.invalid_as(&field, "", format!("can have at most {max} characters"));
        }
    }
    let note = event.get(if newer { "note" } else { "message" });
    if note.str().len() > MAX_NOTE {
        e.invalid_as(&note, "", format!("can have at most {MAX_NOTE} characters"));
    }
    let ty = event.get("type");
    if !matches!(ty.str(), "Normal" | "Warning") {
        e.invalid_as(&ty, "", "has invalid value: ".to_owned() + ty.str());
    }
}
