//! Which objects a quota is about.

use mosaic_api::GroupKind;
use serde_json::Value;

use crate::qos;

/// Whether a quota with this `spec` counts an object. A quota without scopes counts everything.
pub fn covers(spec: &Value, kind: &GroupKind, object: &Value) -> bool {
    let plain = spec
        .get("scopes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|scope| (scope, "Exists", None));
    let selected = spec
        .pointer("/scopeSelector/matchExpressions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|expression| {
            let text = |key: &str| {
                expression
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            (
                text("scopeName"),
                text("operator"),
                expression.get("values").and_then(Value::as_array),
            )
        });
    let is_pod = kind.group.is_empty() && kind.kind.as_ref() == "Pod";
    plain.chain(selected).all(|(scope, operator, values)| {
        // All scopes are about pods; other objects are outside of every scope.
        is_pod && matches(scope, operator, values, object)
    })
}

fn matches(scope: &str, operator: &str, values: Option<&Vec<Value>>, pod: &Value) -> bool {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let terminating = spec
        .get("activeDeadlineSeconds")
        .and_then(Value::as_i64)
        .is_some();
    let best_effort = || qos::class_of_spec(Some(spec)) == "BestEffort";
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec),
        "PriorityClass" => {
            let class = spec
                .get("priorityClassName")
                .and_then(Value::as_str)
                .filter(|class| !class.is_empty());
            let listed = values
                .into_iter()
                .flatten()
                .any(|value| class.is_some() && value.as_str() == class);
            match operator {
                "In" => listed,
                "NotIn" => !listed,
                "DoesNotExist" => class.is_none(),
                _ => class.is_some(),
            }
        }
        _ => false,
    }
}

fn crosses_namespaces(spec: &Value) -> bool {
    let crosses = |term: &Value| {
        let namespaces = term
            .get("namespaces")
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty());
        namespaces || term.get("namespaceSelector").is_some_and(|v| !v.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = spec.get("affinity").and_then(|a| a.get(*kind));
        let terms = |key: &str| {
            affinity
                .and_then(|a| a.get(key))
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .filter_map(|term| term.get("podAffinityTerm"))
                .any(crosses)
    })
}
