//! Mosaic's own kinds, of group `mosaic`.
//!
//! Each is a `CustomResourceDefinition` that is compiled in, so that its fields, defaults, validation, columns and
//! documentation stand in one file, in the form that everybody in the field reads. Unlike one that is stored, it is
//! always there and nobody can change it. A new kind is a file beside this one and its line in [`DEFINITIONS`].
//!
//! Two annotations say what a definition has no field for: `mosaic/verbs`, which verbs the kind has, if not all; and
//! `mosaic/keeper`, the one user who may use all of them.

use serde_json::Value;

use crate::{custom, kind::Resource};

/// The group of all of them.
pub const GROUP: &str = "mosaic";

/// The definitions, in the order in which discovery shows them.
const DEFINITIONS: [&str; 3] = [
    include_str!("image.yaml"),
    include_str!("rebalance.yaml"),
    include_str!("registry_token.yaml"),
];

/// The rows of all own kinds.
pub fn resources() -> Vec<Resource> {
    DEFINITIONS
        .iter()
        .filter_map(|text| definition(text))
        .flat_map(|definition| custom::compiled_in(&definition))
        .collect()
}

/// Tests hold that each definition can be read.
fn definition(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mosaic_schema::Structural;
    use serde_json::json;

    use super::*;
    use crate::kind::Source;

    fn structural(kind: &str) -> Structural {
        let definitions = DEFINITIONS.iter().map(|text| definition(text).unwrap());
        let mut of_kind = definitions.filter(|d| d["spec"]["names"]["kind"] == kind);
        let schema = &of_kind.next().unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        Structural::compile(schema).unwrap()
    }

    #[test]
    fn every_definition_is_complete_and_no_name_stands_for_two_kinds() {
        let rows = resources();
        assert_eq!(rows.len(), DEFINITIONS.len());
        let mut names = BTreeSet::new();
        for row in &rows {
            assert_eq!((&*row.group, &*row.version), (GROUP, "v1"));
            assert_eq!(*row.singular, row.kind.to_ascii_lowercase());
            assert_eq!(*row.list_kind, format!("{}List", row.kind));
            let Source::Custom(version) = &row.source else {
                panic!("{} is not of a definition", row.kind);
            };
            assert_eq!(
                (&*version.definition, &*version.storage_version),
                ("", "v1")
            );
            // As strict as with a definition that somebody stores.
            Structural::compile(&version.schema).unwrap();
            for name in [&row.plural, &row.singular]
                .into_iter()
                .chain(&row.short_names)
            {
                assert!(names.insert(name.clone()), "{name} stands for two kinds");
            }
        }
        // `kubectl get rb` must not become something else because of a new kind.
        let built_in = crate::builtin::resources();
        let taken = built_in
            .iter()
            .flat_map(|row| row.short_names.iter().chain([&row.plural]));
        assert!(taken.into_iter().all(|name| !names.contains(name)));
    }

    #[test]
    fn every_field_is_described() {
        fn check(schema: &Value, path: &str) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(
                    field["description"].is_string(),
                    "{path} has no description"
                );
                check(field, &path);
                check(&field["items"], &path);
            }
        }
        for row in resources() {
            if let Source::Custom(version) = &row.source {
                assert!(version.schema["description"].is_string());
                check(&version.schema, &row.kind);
            }
        }
    }

    #[test]
    fn a_rebalance_is_completed_and_checked() {
        let structural = structural("Rebalance");
        let mut object = json!({ "apiVersion": "mosaic/v1", "kind": "Rebalance",
            "metadata": { "name": "a" }, "spec": { "goal": "Packing", "limits": { "movesAtATime": 2 } } });
        structural.apply_defaults(&mut object).unwrap();
        assert_eq!(
            object["spec"],
            json!({
                "goal": "Packing", "dryRun": false, "intervalSeconds": 600,
                "packing": { "maxRequestedPercent": 50 }, "spreading": { "maxDeviationPercent": 10 },
                "limits": { "movesAtATime": 2, "movesPerRun": 20, "minGainPercent": 2, "replacementTimeoutSeconds": 300 },
            })
        );
        assert_eq!(structural.validate(&object, None), []);
        let wrong = |path: &str, value: Value| {
            let mut wrong = object.clone();
            wrong["spec"][path] = value;
            let errors = structural.validate(&wrong, None);
            assert_eq!(errors.len(), 1, "{path}: {errors:?}");
        };
        wrong("goal", json!("Stacking"));
        wrong("intervalSeconds", json!(1));
        wrong("limits", json!({ "movesAtATime": 0 }));
        let selector = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "pool", "operator": operator, "values": values }] });
        wrong("nodeSelector", selector("Like", json!(["a"])));
        wrong("podSelector", selector("In", json!([])));
        wrong("namespaceSelector", selector("Exists", json!(["a"])));
    }
}
