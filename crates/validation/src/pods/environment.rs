//! Environment variables, and the references that they and volumes take their values from.

use crate::{
    node::{Errors, Node},
    rules,
};

const VARIABLE_SOURCES: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];
/// Fields of a pod that a variable can show.
const VARIABLE_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a pod that a file can show.
const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
/// Resources that a variable or file can show.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn variables(list: &Node, e: &mut Errors) {
    for variable in list.items() {
        e.require_and_check(&variable.get("name"), rules::variable_name);
        let from = variable.get("valueFrom");
        if !from.is_set() {
            continue;
        }
        let count = VARIABLE_SOURCES
            .iter()
            .filter(|name| from.get(name).is_set())
            .count();
        if count == 0 {
            e.invalid_as(
                &from,
                "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            );
            continue;
        }
        if !variable.get("value").is_empty() {
            e.invalid_as(&from, "", "may not be specified when `value` is not empty");
        }
        if count > 1 {
            e.invalid_as(
                &from,
                "",
                "may not have more than one field specified at a time",
            );
        }
        for (name, source) in from.fields() {
            match name {
                "fieldRef" => field_reference(&source, &VARIABLE_FIELDS, e),
                "resourceFieldRef" => resource_reference(&source, false, e),
                "configMapKeyRef" | "secretKeyRef" => {
                    e.require(&source.get("name"), "");
                    e.require_and_check(&source.get("key"), rules::data_key);
                }
                _ => {}
            }
        }
    }
}

pub(super) fn sources(list: &Node, e: &mut Errors) {
    for source in list.items() {
        let prefix = source.get("prefix");
        if !prefix.is_empty() {
            e.check(&prefix, rules::variable_name);
        }
        let references = [source.get("configMapRef"), source.get("secretRef")];
        let count = references.iter().filter(|r| r.is_set()).count();
        for reference in references.iter().filter(|r| r.is_set()) {
            e.require(&reference.get("name"), "");
        }
        if count == 0 {
            e.invalid_as(
                &source,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            );
        } else if count > 1 {
            e.invalid_as(
                &source,
                "",
                "may not have more than one field specified at a time",
            );
        }
    }
}

/// A field of the pod shown in a file.
pub(super) fn file_field(reference: &Node, e: &mut Errors) {
    field_reference(reference, &FILE_FIELDS, e);
}

fn field_reference(reference: &Node, known: &[&str], e: &mut Errors) {
    if !e.require(&reference.get("apiVersion"), "") {
        return;
    }
    let path = reference.get("fieldPath");
    if !e.require(&path, "") {
        return;
    }
    if let Some((field, key)) = path
        .str()
        .split_once("['")
        .and_then(|(field, rest)| Some((field, rest.strip_suffix("']")?)))
    {
        match field {
            "metadata.labels" => e.invalid_text(&path, key, rules::qualified_name(key)),
            "metadata.annotations" => {
                let lower = key.to_lowercase();
                e.invalid_text(&path, key, rules::qualified_name(&lower));
            }
            _ => e.invalid(&path, "does not support subscript"),
        }
        return;
    }
    if !known.contains(&path.str()) {
        e.not_supported(&path, known);
    }
}

/// A container's resource shown in a variable or, where `in_volume`, in a file.
pub(super) fn resource_reference(reference: &Node, in_volume: bool, e: &mut Errors) {
    if in_volume && !e.require(&reference.get("containerName"), "") {
        return;
    }
    let resource = reference.get("resource");
    if !e.require(&resource, "") {
        return;
    }
    let huge = ["limits.hugepages-", "requests.hugepages-"]
        .iter()
        .any(|prefix| resource.str().starts_with(prefix));
    if !huge && !RESOURCES.contains(&resource.str()) {
        e.not_supported(&resource, &RESOURCES);
    }
}
