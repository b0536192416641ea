//! Types like those of real kinds, in small.

use std::sync::Arc;

use mosaic_schema::{Field, List, ListKind, Map, Object, Shape, StringFormat, Type};
use serde_json::json;

fn anonymous(shape: Shape) -> Arc<Type> {
    Arc::new(Type {
        shape,
        ..Type::default()
    })
}

pub(crate) fn any() -> Arc<Type> {
    anonymous(Shape::Any)
}

pub(crate) fn string() -> Arc<Type> {
    anonymous(Shape::String(StringFormat::Plain))
}

pub(crate) fn int() -> Arc<Type> {
    anonymous(Shape::Int32)
}

pub(crate) fn map(values: Arc<Type>, atomic: bool) -> Arc<Type> {
    anonymous(Shape::Map(Map { values, atomic }))
}

pub(crate) fn list(items: Arc<Type>, kind: ListKind) -> Arc<Type> {
    anonymous(Shape::List(List { items, kind }))
}

pub(crate) fn list_map(items: Arc<Type>, keys: &[&str]) -> Arc<Type> {
    list(
        items,
        ListKind::Map(keys.iter().map(|key| (*key).into()).collect()),
    )
}

pub(crate) fn field(ty: Arc<Type>) -> Field {
    Field {
        ty,
        ..Field::default()
    }
}

pub(crate) fn required(ty: Arc<Type>) -> Field {
    Field {
        ty,
        required: true,
        ..Field::default()
    }
}

pub(crate) fn object(name: Option<&str>, fields: Vec<(&str, Field)>) -> Arc<Type> {
    Arc::new(Type {
        name: name.map(Into::into),
        shape: Shape::Object(Object {
            fields: fields
                .into_iter()
                .map(|(name, field)| (name.into(), field))
                .collect(),
            ..Object::default()
        }),
        ..Type::default()
    })
}

fn metadata() -> Arc<Type> {
    object(
        Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        vec![
            ("name", field(string())),
            ("namespace", field(string())),
            ("uid", field(string())),
            ("resourceVersion", field(string())),
            ("labels", field(map(string(), false))),
            ("annotations", field(map(string(), false))),
            ("finalizers", field(list(string(), ListKind::Set))),
            ("managedFields", field(list(any(), ListKind::Atomic))),
        ],
    )
}

/// A built-in workload: what its Go type embeds by value is always there.
pub(crate) fn deployment() -> Arc<Type> {
    let protocol = Field {
        ty: string(),
        default: Some(json!("TCP")),
        ..Field::default()
    };
    let port = object(
        Some("io.k8s.api.core.v1.ContainerPort"),
        vec![
            ("containerPort", field(int())),
            ("name", field(string())),
            ("protocol", protocol),
        ],
    );
    let env = object(
        Some("io.k8s.api.core.v1.EnvVar"),
        vec![("name", field(string())), ("value", field(string()))],
    );
    let resources = object(
        Some("io.k8s.api.core.v1.ResourceRequirements"),
        vec![("limits", field(map(string(), false)))],
    );
    let container = object(
        Some("io.k8s.api.core.v1.Container"),
        vec![
            ("name", field(string())),
            ("image", field(string())),
            ("args", field(list(string(), ListKind::Atomic))),
            ("env", field(list_map(env, &["name"]))),
            (
                "ports",
                field(list_map(port, &["containerPort", "protocol"])),
            ),
            ("resources", field(resources)),
        ],
    );
    let pod_spec = object(
        Some("io.k8s.api.core.v1.PodSpec"),
        vec![
            ("containers", required(list_map(container, &["name"]))),
            ("nodeSelector", field(map(string(), true))),
            ("restartPolicy", field(string())),
        ],
    );
    let template = object(
        Some("io.k8s.api.core.v1.PodTemplateSpec"),
        vec![("metadata", field(metadata())), ("spec", field(pod_spec))],
    );
    let rolling = object(
        Some("io.k8s.api.apps.v1.RollingUpdateDeployment"),
        vec![("maxSurge", field(any())), ("maxUnavailable", field(any()))],
    );
    let strategy = object(
        Some("io.k8s.api.apps.v1.DeploymentStrategy"),
        vec![("type", field(string())), ("rollingUpdate", field(rolling))],
    );
    let spec = object(
        Some("io.k8s.api.apps.v1.DeploymentSpec"),
        vec![
            ("replicas", field(int())),
            ("paused", field(anonymous(Shape::Boolean))),
            ("strategy", field(strategy)),
            ("template", required(template)),
        ],
    );
    let condition = object(
        Some("io.k8s.api.apps.v1.DeploymentCondition"),
        vec![("type", field(string())), ("status", field(string()))],
    );
    let status = object(
        Some("io.k8s.api.apps.v1.DeploymentStatus"),
        vec![
            ("readyReplicas", field(int())),
            ("conditions", field(list_map(condition, &["type"]))),
        ],
    );
    object(
        Some("io.k8s.api.apps.v1.Deployment"),
        vec![
            ("apiVersion", field(string())),
            ("kind", field(string())),
            ("metadata", field(metadata())),
            ("spec", field(spec)),
            ("status", field(status)),
        ],
    )
}

/// A custom kind: nothing is there that was not written.
pub(crate) fn widget() -> Arc<Type> {
    let spec = object(
        None,
        vec![
            ("size", field(int())),
            ("free", field(any())),
            ("tags", field(list(string(), ListKind::Set))),
        ],
    );
    object(
        None,
        vec![
            ("apiVersion", field(string())),
            ("kind", field(string())),
            ("metadata", field(metadata())),
            ("spec", field(spec)),
        ],
    )
}
