//! Whatever the objects look like: nothing panics, and defaults are settled after one pass.

mod common;

use common::*;
use mosaic_api::GroupKind;
use mosaic_validation::{
    apply_defaults, job_selector, pod_admission, prepare_ephemeral_containers, prepare_for_create,
    prepare_for_status_update, prepare_for_update, prepare_resize, qos_class, quota,
    validate_create, validate_ephemeral_containers, validate_resize, validate_status_update,
    validate_update,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn kinds() -> Vec<GroupKind> {
    mosaic_api::builtin::resources()
        .iter()
        .map(|resource| resource.group_kind())
        .collect()
}

/// Field names that mean something to the rules, so that arbitrary objects reach deep into them.
const NAMES: [&str; 72] = [
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "generateName",
    "generation",
    "spec",
    "status",
    "template",
    "selector",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "image",
    "ports",
    "port",
    "containerPort",
    "hostPort",
    "protocol",
    "env",
    "valueFrom",
    "fieldRef",
    "resources",
    "requests",
    "limits",
    "cpu",
    "memory",
    "storage",
    "volumes",
    "volumeMounts",
    "mountPath",
    "secret",
    "emptyDir",
    "projected",
    "sources",
    "livenessProbe",
    "httpGet",
    "exec",
    "tolerations",
    "effect",
    "affinity",
    "nodeAffinity",
    "type",
    "strategy",
    "updateStrategy",
    "rollingUpdate",
    "maxSurge",
    "maxUnavailable",
    "schedule",
    "timeZone",
    "jobTemplate",
    "clusterIP",
    "clusterIPs",
    "data",
    "stringData",
    "rules",
    "subjects",
    "roleRef",
    "subsets",
    "endpoints",
    "addresses",
    "versions",
    "schema",
    "names",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..70_000).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "a",
            "A/b",
            "..",
            "1Gi",
            "-1",
            "25%",
            "* * * * *",
            "None",
            "ClusterIP",
            "RollingUpdate",
            "In",
            "10.0.0.1",
            "Indexed",
            "ä-",
            "Container",
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(7, 96, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(NAMES.to_vec()), inner), 0..6).prop_map(
                |fields| Value::Object(
                    fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
                )
            ),
        ]
    })
}

/// A right object with something arbitrary put somewhere into it.
fn spoiled() -> impl Strategy<Value = Value> {
    let bases = vec![
        pod(),
        service(),
        workload("Deployment"),
        workload("StatefulSet"),
        workload("DaemonSet"),
        json!({"metadata": {"name": "j", "namespace": "s"}, "spec": {"template": template(), "jobTemplate": {"spec": {"template": template()}}}}),
    ];
    (
        prop::sample::select(bases),
        any::<prop::sample::Index>(),
        value(),
    )
        .prop_map(|(mut base, index, value)| {
            let mut paths = Vec::new();
            collect(&base, String::new(), &mut paths);
            let path = index.get(&paths);
            if let Some(place) = base.pointer_mut(path) {
                *place = value;
            }
            base
        })
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                collect(inner, format!("{path}/{}", key.replace('/', "~1")), paths);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                collect(inner, format!("{path}/{index}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

fn everything(of: &GroupKind, mut new: Value, old: &Value) {
    apply_defaults(of, &mut new);
    let once = new.clone();
    apply_defaults(of, &mut new);
    assert_eq!(once, new, "defaults of {of:?} are not idempotent");
    validate_create(of, &new);
    validate_update(of, &new, old);
    validate_status_update(of, &new, old);
    let mut created = new.clone();
    prepare_for_create(of, &mut created);
    validate_create(of, &created);
    let mut updated = new.clone();
    prepare_for_update(of, &mut updated, old);
    validate_update(of, &updated, old);
    prepare_for_status_update(of, &mut new, old);
    quota::usage(of, "things", &updated);
    quota::covers(&new, of, &updated);
    quota::missing("q", &Map::new(), of, &updated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_objects_are_judged(new in value(), old in value()) {
        for of in kinds() {
            everything(&of, new.clone(), &old);
        }
    }

    #[test]
    fn nearly_right_objects_are_judged(new in spoiled(), old in spoiled()) {
        for of in kinds() {
            everything(&of, new.clone(), &old);
        }
    }

    #[test]
    fn the_plug_ins_take_anything(object in spoiled(), other in value()) {
        let mut pod = object;
        let _ = pod_admission::set_priority(&mut pod, Some(&other));
        let _ = pod_admission::set_runtime_class(&mut pod, Some(&other));
        let _ = pod_admission::set_service_account(&mut pod, Some(&other), "x");
        pod_admission::add_default_tolerations(&mut pod, pod_admission::TolerationSeconds::default());
        pod_admission::taint_new_node(&mut pod);
        pod_admission::check_security(pod_admission::Level::Restricted, &pod);
        quota::limit_range::apply_defaults(&other, &mut pod);
        quota::limit_range::check_pod(&other, &pod);
        quota::limit_range::check_claim(&other, &pod);
        job_selector(&mut pod, "u");
        qos_class(&pod);
        let mut resized = pod.clone();
        prepare_resize(&mut resized, &other);
        validate_resize(&resized, &other);
        prepare_ephemeral_containers(&mut pod, &other);
        validate_ephemeral_containers(&pod, &other);
    }

    #[test]
    fn an_update_without_a_change_is_right(labels in "[a-z]{1,8}") {
        for (of, base) in [
            (kind("", "Pod"), pod()),
            (kind("", "Service"), service()),
            (kind("apps", "Deployment"), workload("Deployment")),
            (kind("apps", "StatefulSet"), workload("StatefulSet")),
            (kind("apps", "DaemonSet"), workload("DaemonSet")),
        ] {
            let old = stored(&of, &with(&base, &[("/metadata/labels", json!({"a": labels}))]));
            let mut new = old.clone();
            apply_defaults(&of, &mut new);
            prepare_for_update(&of, &mut new, &old);
            prop_assert_eq!(&new, &old);
            prop_assert_eq!(texts(validate_update(&of, &new, &old)), Vec::<String>::new());
        }
    }
}
