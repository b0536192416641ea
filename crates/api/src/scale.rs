//! The `scale` subresource: the replicas of an object as an `autoscaling/v1` `Scale`.

use serde_json::{Map, Value, json};

use mosaic_schema::FieldError;

use crate::{
    kind::{Resource, Scale, Source},
    meta,
    selector::LabelSelector,
};

/// Why an object cannot be scaled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScaleError {
    /// Its kind cannot.
    #[error("the kind has no scale")]
    NotScalable,
    /// The object does not say how many replicas it wants.
    #[error("the spec replicas field {0:?} does not exist")]
    NoReplicas(String),
    /// The wanted number is none.
    #[error(transparent)]
    Invalid(FieldError),
}

/// The scale of an object.
///
/// # Errors
///
/// If the kind cannot be scaled, or a custom object does not say how many replicas it wants.
pub fn read(resource: &Resource, object: &Value) -> Result<Value, ScaleError> {
    let scale = resource.scale.as_ref().ok_or(ScaleError::NotScalable)?;
    let replicas = match number(object, &scale.spec_replicas) {
        Some(replicas) => replicas,
        // Built-in kinds have a default.
        None if matches!(resource.source, Source::BuiltIn) => 0,
        None => return Err(ScaleError::NoReplicas(format!(".{}", scale.spec_replicas))),
    };
    let mut status = Map::new();
    let current = number(object, &scale.status_replicas).unwrap_or_default();
    status.insert("replicas".to_owned(), current.into());
    let selector = selector(scale, object);
    if !selector.is_empty() {
        status.insert("selector".to_owned(), selector.into());
    }
    let mut metadata = Map::new();
    let fields = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ];
    for field in fields {
        if let Some(value) = meta::metadata(object).and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    Ok(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": status,
    }))
}

/// Writes the replicas that a `Scale` wants into an object. No replicas mean none (0).
///
/// # Errors
///
/// If the kind cannot be scaled, or the number is below zero or beyond 32 bits.
pub fn write(resource: &Resource, object: &mut Value, wanted: &Value) -> Result<(), ScaleError> {
    let scale = resource.scale.as_ref().ok_or(ScaleError::NotScalable)?;
    let wanted = wanted.pointer("/spec/replicas").unwrap_or(&Value::Null);
    let replicas = match wanted {
        Value::Null => 0,
        other => match other.as_i64() {
            Some(replicas) if i32::try_from(replicas).is_ok_and(|n| n >= 0) => replicas,
            _ => {
                return Err(ScaleError::Invalid(FieldError::invalid(
                    "spec.replicas",
                    other.clone(),
                    "must be greater than or equal to 0",
                )));
            }
        },
    };
    let mut target = object;
    for name in scale.spec_replicas.split('.') {
        if !target.is_object() {
            *target = Value::Object(Map::new());
        }
        let Some(fields) = target.as_object_mut() else {
            return Err(ScaleError::NotScalable);
        };
        target = fields.entry(name).or_insert(Value::Null);
    }
    *target = replicas.into();
    Ok(())
}

/// The selector as text. It is one already in custom objects, labels in ReplicationControllers, and
/// a `LabelSelector` elsewhere.
fn selector(scale: &Scale, object: &Value) -> String {
    let found = scale
        .selector
        .as_ref()
        .and_then(|path| lookup(object, path));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(labels)) if labels.values().all(Value::is_string) => {
            LabelSelector::from_labels(labels).to_string()
        }
        found => LabelSelector::from_object(found)
            .map(|selector| selector.to_string())
            .unwrap_or_default(),
    }
}

fn number(object: &Value, path: &str) -> Option<i64> {
    lookup(object, path)?.as_i64()
}

fn lookup<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(object, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    fn row(kind: &str) -> Resource {
        builtin::resources()
            .into_iter()
            .find(|row| &*row.kind == kind)
            .unwrap()
    }

    #[test]
    fn a_deployment_is_scaled() {
        let deployments = row("Deployment");
        let mut object = json!({
            "metadata": {"name": "web", "namespace": "n", "resourceVersion": "5", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 2},
        });
        let mut scale = read(&deployments, &object).unwrap();
        assert_eq!(
            scale,
            json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {"name": "web", "namespace": "n", "resourceVersion": "5"},
                "spec": {"replicas": 3},
                "status": {"replicas": 2, "selector": "app=web"},
            })
        );
        scale["spec"]["replicas"] = json!(7);
        write(&deployments, &mut object, &scale).unwrap();
        assert_eq!(object["spec"]["replicas"], 7);
        scale["spec"]["replicas"] = json!(-1);
        assert_eq!(
            write(&deployments, &mut object, &scale)
                .unwrap_err()
                .to_string(),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
    }

    #[test]
    fn a_replication_controllers_selector_is_labels() {
        let object = json!({"spec": {"replicas": 1, "selector": {"b": "2", "a": "1"}}});
        let scale = read(&row("ReplicationController"), &object).unwrap();
        assert_eq!(scale["status"]["selector"], "a=1,b=2");
    }

    #[test]
    fn custom_paths_may_lie_anywhere() {
        let mut resource = row("Deployment");
        resource.scale = Some(Scale {
            spec_replicas: "spec.size.wanted".into(),
            status_replicas: "status.size".into(),
            selector: Some("status.selector".into()),
        });
        let mut object = json!({"status": {"size": 4, "selector": "a in (b)"}});
        write(&resource, &mut object, &json!({"spec": {"replicas": 2}})).unwrap();
        let scale = read(&resource, &object).unwrap();
        assert_eq!(scale["spec"]["replicas"], 2);
        assert_eq!(
            scale["status"],
            json!({"replicas": 4, "selector": "a in (b)"})
        );
    }

    #[test]
    fn not_every_kind_scales() {
        assert_eq!(
            read(&row("ConfigMap"), &json!({})),
            Err(ScaleError::NotScalable)
        );
    }
}
