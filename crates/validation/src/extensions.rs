//! Custom resource definitions.

use std::collections::HashSet;

use mosaic_schema::Structural;

use crate::{
    node::{Errors, Node},
    rules,
};

const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 9] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "name",
    "password",
];
const APPROVAL: &str = "api-approved.kubernetes.io";
const MAX_SELECTABLE: usize = 8;

/// A custom resource definition.
pub(crate) fn definition(definition: &Node, e: &mut Errors) {
    let spec = definition.get("spec");
    let (group, names) = (spec.get("group"), spec.get("names"));
    let metadata = definition.get("metadata");
    let name = metadata.get("name");
    let plural = names.get("plural");
    if name.str() != format!("{}.{}", plural.str(), group.str()) {
        e.invalid_as(
            &name,
            name.str(),
            "must be spec.names.plural+\".\"+spec.group",
        );
    }
    if e.require(&group, "") {
        e.check(&group, rules::subdomain);
        if !group.str().contains('.') {
            e.invalid(&group, "should be a domain with at least one dot");
        }
    }
    approval(&metadata, group.str(), e);
    e.one_of(&spec.get("scope"), &SCOPES);
    self::names(&names, e);
    if spec.get("preserveUnknownFields").is_true() {
        e.invalid(
            &spec.get("preserveUnknownFields"),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        );
    }
    versions(&spec.get("versions"), e);
    conversion(&spec.get("conversion"), e);
    stored_versions(definition, e);
}

/// Groups of the Kubernetes project itself are not for everyone.
fn approval(metadata: &Node, group: &str, e: &mut Errors) {
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if !protected {
        return;
    }
    let annotations = metadata.get("annotations");
    let approval = annotations.key(APPROVAL);
    let value = approval.str();
    if value.is_empty() {
        e.required(
            &approval,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        );
    } else if !value.starts_with("unapproved") && !value.contains("://") {
        e.invalid(
            &approval,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        );
    }
}

fn names(names: &Node, e: &mut Errors) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let field = names.get(field);
        let lower = field.str().to_lowercase();
        if field.is_empty() {
            e.required(&field, "");
        } else {
            let cased = matches!(field.path().rsplit('.').next(), Some("kind" | "listKind"));
            let text = if cased { lower.as_str() } else { field.str() };
            e.invalid_text(&field, field.str(), rules::label_1035(text));
        }
    }
    for short in names.get("shortNames").items() {
        e.check(&short, rules::label_1035);
    }
    for category in names.get("categories").items() {
        e.check(&category, rules::label_1035);
    }
    let (kind, list) = (names.get("kind"), names.get("listKind"));
    if !kind.is_empty() && kind.str() == list.str() {
        e.invalid(&list, "kind and listKind may not be the same");
    }
}

fn versions(versions: &Node, e: &mut Errors) {
    let mut names = HashSet::new();
    let mut stored = 0;
    for version in versions.items() {
        let name = version.get("name");
        e.invalid_text(&name, name.str(), rules::label_1035(name.str()));
        if !names.insert(name.str()) {
            e.duplicate(&name, name.str());
        }
        stored += usize::from(version.get("storage").is_true());
        self::version(&version, e);
    }
    if stored != 1 {
        e.invalid_as(
            versions,
            versions.value().cloned().unwrap_or_default(),
            "must have exactly one version marked as storage version",
        );
    }
}

fn version(version: &Node, e: &mut Errors) {
    let schema = version.get("schema");
    let open_api = schema.get("openAPIV3Schema");
    match open_api.value() {
        None => e.required(&open_api, "schemas are required"),
        Some(value) => {
            if let Err(errors) = Structural::compile_at(value, &open_api.path()) {
                errors.into_iter().for_each(|error| e.push(error));
            }
        }
    }
    let columns = version.get("additionalPrinterColumns");
    let mut names = HashSet::new();
    for column in columns.items() {
        let name = column.get("name");
        if e.require(&name, "") && !names.insert(name.str()) {
            e.duplicate(&name, name.str());
        }
        let ty = column.get("type");
        if ty.is_empty() {
            let expected: Vec<String> = COLUMN_TYPES.iter().map(|t| format!("{t:?}")).collect();
            e.required(&ty, &format!("must be one of {}", expected.join(",")));
        } else if !COLUMN_TYPES.contains(&ty.str()) {
            e.invalid(&ty, format!("must be one of {}", COLUMN_TYPES.join(",")));
        }
        let format = column.get("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format.str()) {
            e.invalid(
                &format,
                format!("must be one of {}", COLUMN_FORMATS.join(",")),
            );
        }
        let path = column.get("jsonPath");
        if e.require(&path, "") {
            json_path(&path, e);
        }
    }
    let subresources = version.get("subresources");
    scale(&subresources.get("scale"), e);
    let selectable = version.get("selectableFields");
    if selectable.len() > MAX_SELECTABLE {
        e.too_many(&selectable, MAX_SELECTABLE);
    }
    for field in selectable.items() {
        let path = field.get("jsonPath");
        if e.require(&path, "") {
            json_path(&path, e);
        }
    }
}

fn json_path(path: &Node, e: &mut Errors) {
    if !path.str().starts_with('.') {
        e.invalid(path, "must be a simple json path starting with .");
    }
}

fn scale(scale: &Node, e: &mut Errors) {
    if !scale.is_set() {
        return;
    }
    for (field, root, required) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", ".", false),
    ] {
        let field = scale.get(field);
        if field.is_empty() {
            if required {
                e.required(&field, "");
            }
            continue;
        }
        let path = field.str();
        if path.contains('[') || !path.starts_with('.') {
            e.invalid(
                &field,
                "must be a json path in dot notation without array indexing",
            );
        } else if root == "." {
            if !path.starts_with(".spec.") && !path.starts_with(".status.") {
                e.invalid(
                    &field,
                    "should be a json path under either .spec or .status",
                );
            }
        } else if !path.starts_with(root) {
            e.invalid(
                &field,
                format!("should be a json path under {}", root.trim_end_matches('.')),
            );
        }
    }
}

fn conversion(conversion: &Node, e: &mut Errors) {
    if !conversion.is_set() {
        return;
    }
    let (strategy, webhook) = (conversion.get("strategy"), conversion.get("webhook"));
    e.one_of(&strategy, &["None", "Webhook"]);
    if strategy.str() == "Webhook" {
        let client = webhook.get("clientConfig");
        if !client.is_set() {
            e.required(&client, "required when strategy is set to Webhook");
        }
        e.require(&webhook.get("conversionReviewVersions"), "");
    } else if webhook.is_set() {
        e.forbidden(
            &webhook,
            "should not be set when strategy is not set to Webhook",
        );
    }
}

/// Versions in which objects are stored cannot go away.
fn stored_versions(definition: &Node, e: &mut Errors) {
    let status = definition.get("status");
    let stored = status.get("storedVersions");
    let spec = definition.get("spec");
    let versions = spec.get("versions");
    for version in stored.items() {
        let known = versions
            .items()
            .any(|v| v.get("name").str() == version.str());
        if !known {
            e.invalid(
                &version,
                "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"
                    .replace("v1", version.str()),
            );
        }
    }
}

/// An update of a definition: objects are stored under its names.
pub(crate) fn update(new: &Node, old: &Node, e: &mut Errors) {
    let (spec, old_spec) = (new.get("spec"), old.get("spec"));
    e.immutable(&spec.get("group"), &old_spec.get("group"));
    let old_status = old.get("status");
    let established = old_status
        .get("conditions")
        .items()
        .any(|c| c.get("type").str() == "Established" && c.get("status").str() == "True");
    let (names, old_names) = (spec.get("names"), old_spec.get("names"));
    e.immutable(&names.get("plural"), &old_names.get("plural"));
    if established {
        e.immutable(&spec.get("scope"), &old_spec.get("scope"));
        e.immutable(&names.get("kind"), &old_names.get("kind"));
    }
}
