//! What clients look for in the documents.

use std::{collections::BTreeSet, sync::Arc};

use mosaic_schema::Structural;
use serde_json::{Value, json};

use super::*;
use crate::{builtin, columns::Columns, kind::CustomVersion, kind::VERBS};

fn of<'a>(resources: &'a [Resource], group: &str) -> Vec<&'a Resource> {
    resources
        .iter()
        .filter(|resource| &*resource.group == group)
        .collect()
}

/// A namespaced custom kind with this schema.
fn custom(schema: Value) -> Resource {
    let structural = Structural::compile(&schema).unwrap();
    let mut resource = builtin::resources().into_iter().next().unwrap();
    resource.group = "example.com".into();
    resource.version = "v1".into();
    resource.kind = "Widget".into();
    resource.list_kind = "WidgetList".into();
    resource.plural = "widgets".into();
    resource.namespaced = true;
    resource.verbs = VERBS.to_vec();
    resource.subresources = Vec::new();
    resource.ty = structural.ty.clone();
    resource.columns = Columns::Custom(Vec::new());
    resource.source = Source::Custom(Arc::new(CustomVersion {
        definition: "widgets.example.com".into(),
        storage_version: "v1".into(),
        structural: Some(structural),
        deprecation: None,
        schema,
    }));
    resource
}

/// Every `$ref` of a document, with what stands before the name.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.insert(target.clone());
            }
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn the_index_names_every_group_and_version() {
    let resources = builtin::resources();
    let index = v3_index(&resources);
    let paths = index["paths"].as_object().unwrap();
    for resource in &resources {
        let path = group_version_path(&resource.group, &resource.version);
        let url = paths[&path]["serverRelativeURL"].as_str().unwrap();
        assert!(
            url.starts_with(&format!("/openapi/v3/{path}?hash=")),
            "{url}"
        );
    }
}

#[test]
fn every_reference_leads_to_a_schema() {
    let resources = builtin::resources();
    let groups: BTreeSet<&str> = resources.iter().map(|resource| &*resource.group).collect();
    for group in groups {
        let document = v3_document(&of(&resources, group));
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in found {
            let name = target.strip_prefix("#/components/schemas/").unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{group}: {name}"
            );
        }
    }
    let document = v2_document(&resources.iter().collect::<Vec<_>>());
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        let name = target.strip_prefix("#/definitions/").unwrap();
        assert!(document["definitions"].get(name).is_some(), "v2: {name}");
    }
}

#[test]
fn explain_finds_a_kind_by_its_path() {
    let resources = builtin::resources();
    let document = v3_document(&of(&resources, "apps"));
    let get = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["get"];
    let gvk = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    assert_eq!(get["x-kubernetes-group-version-kind"], gvk);
    assert_eq!(get["operationId"], "listAppsV1NamespacedDeployment");
    let schema = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(schema["x-kubernetes-group-version-kind"], json!([gvk]));
    assert!(
        document["components"]["schemas"]
            .get("io.k8s.api.core.v1.Container")
            .is_some()
    );
}

/// kubectl leaves validation to the server, and trusts `--dry-run=server`, only where the patch
/// operation has these parameters.
#[test]
fn patches_have_the_parameters_that_kubectl_looks_for() {
    let resources = builtin::resources();
    for resource in resources.iter().filter(|resource| resource.can("patch")) {
        let document = v3_document(&[resource]);
        let paths = document["paths"].as_object().unwrap();
        let patch = paths
            .values()
            .filter_map(|item| item.get("patch"))
            .find(|patch| patch["x-kubernetes-group-version-kind"]["kind"] == *resource.kind);
        let parameters = patch.unwrap()["parameters"].as_array().unwrap();
        for name in ["dryRun", "fieldManager", "fieldValidation", "force"] {
            assert!(
                parameters.iter().any(|parameter| parameter["name"] == name),
                "{}: {name}",
                resource.kind
            );
        }
    }
}

#[test]
fn subresources_have_paths_of_their_own() {
    let resources = builtin::resources();
    let apps = v3_document(&of(&resources, "apps"));
    let object = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    let scale = &apps["paths"][format!("{object}/scale")]["get"];
    assert_eq!(
        scale["x-kubernetes-group-version-kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert!(apps["paths"].get(format!("{object}/status")).is_some());
    let core = v3_document(&of(&resources, ""));
    let pod = "/api/v1/namespaces/{namespace}/pods/{name}";
    let eviction = &core["paths"][format!("{pod}/eviction")]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(
        eviction["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.policy.v1.Eviction"
    );
    assert_eq!(
        core["paths"][format!("{pod}/log")]["get"]["responses"]["200"]["content"]["*/*"]["schema"]
            ["type"],
        "string"
    );
}

#[test]
fn custom_kinds_are_explained_by_their_schema() {
    let resource = custom(json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer", "description": "How big."}}}}}));
    assert_eq!(definition_of(&resource), "com.example.v1.Widget");
    let document = v3_document(&[&resource]);
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["size"]["description"],
        "How big."
    );
    let metadata = &schema["properties"]["metadata"]["allOf"][0]["$ref"];
    assert_eq!(
        metadata,
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    assert_eq!(
        schema["x-kubernetes-group-version-kind"][0]["kind"],
        "Widget"
    );
    assert!(
        document["components"]["schemas"]
            .get("com.example.v1.WidgetList")
            .is_some()
    );
}

#[test]
fn the_hash_changes_with_the_schema_and_with_nothing_else() {
    let hash = |description: &str| {
        let schema = json!({"type": "object", "description": description});
        v3_hash(&[&custom(schema)])
    };
    assert_eq!(hash("a"), hash("a"));
    assert_ne!(hash("a"), hash("b"));
}

#[test]
fn swagger_has_no_words_that_only_openapi_has() {
    let resources = builtin::resources();
    let document = v2_document(&of(&resources, "apps"));
    let strategy =
        &document["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"];
    assert_eq!(
        strategy["$ref"],
        "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy"
    );
    assert!(strategy["description"].is_string() && strategy.get("allOf").is_none());
    let quantity = &document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity["type"], "string");
    let text = document.to_string();
    for word in ["\"oneOf\":[", "\"requestBody\":", "#/components/"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(!v2_protobuf(&document).is_empty());
}
