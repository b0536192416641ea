//! What objects count for, and when they are too much.

mod common;

use common::*;
use mosaic_validation::quota::{
    Amounts, covers, exceeds, limit_range, missing, pod_requests, usage,
};
use serde_json::{Value, json};

fn used(group: &str, kind_name: &str, plural: &str, object: &Value) -> Value {
    Value::Object(usage(&kind(group, kind_name), plural, object).to_object())
}

#[test]
fn objects_count() {
    let resources = json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1"}});
    let pod = with(&pod(), &[("/spec/containers/0/resources", resources)]);
    assert_eq!(
        used("", "Pod", "pods", &pod),
        json!({"count/pods": "1", "pods": "1", "cpu": "500m", "requests.cpu": "500m",
               "memory": "1Gi", "requests.memory": "1Gi", "limits.cpu": "1"})
    );
    let done = with(&pod, &[("/status", json!({"phase": "Succeeded"}))]);
    assert_eq!(used("", "Pod", "pods", &done), json!({"count/pods": "1"}));
    assert_eq!(
        used("apps", "Deployment", "deployments", &workload("Deployment")),
        json!({"count/deployments.apps": "1"})
    );
    let balanced = with(&service(), &[("/spec/type", json!("LoadBalancer"))]);
    assert_eq!(
        used("", "Service", "services", &balanced),
        json!({"count/services": "1", "services": "1", "services.nodeports": "1", "services.loadbalancers": "1"})
    );
    let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        used(
            "",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            &claim
        ),
        json!({
            "count/persistentvolumeclaims": "1",
            "persistentvolumeclaims": "1",
            "requests.storage": "2Gi",
            "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        })
    );
}

#[test]
fn a_pod_needs_the_most_of_what_runs_at_one_time() {
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let pod = json!({"spec": {
        "containers": [{"resources": cpu("1")}, {"resources": cpu("1")}],
        "initContainers": [
            {"resources": cpu("2500m")},
            {"resources": cpu("1"), "restartPolicy": "Always"},
            {"resources": cpu("1")},
        ],
        "overhead": {"cpu": "100m"},
    }});
    // 1 + 1 and the sidecar's 1 are more than 2.5 alone, or 1 beside the sidecar.
    assert_eq!(
        Value::Object(pod_requests(&pod).to_object()),
        json!({"cpu": "3100m"})
    );
}

#[test]
fn too_much_is_refused_in_kubernetes_words() {
    let fields = |v: Value| v.as_object().cloned().unwrap();
    let hard = fields(json!({"pods": "2", "requests.cpu": "1", "secrets": "1"}));
    let in_use = fields(json!({"pods": "2", "requests.cpu": "800m"}));
    let mut delta = Amounts::read(Some(&json!({"pods": "1"})));
    assert_eq!(
        exceeds("q", &hard, &in_use, &delta).as_deref(),
        Some("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2")
    );
    delta.add_all(&Amounts::read(Some(
        &json!({"requests.cpu": "300m", "other": "9"}),
    )));
    assert_eq!(
        exceeds("q", &hard, &in_use, &delta).as_deref(),
        Some(
            "exceeded quota: q, requested: pods=1,requests.cpu=300m, used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1"
        )
    );
    let fits = Amounts::read(Some(&json!({"requests.cpu": "200m"})));
    assert_eq!(exceeds("q", &hard, &in_use, &fits), None);

    assert_eq!(
        missing("q", &hard, &kind("", "Pod"), &pod()).as_deref(),
        Some("failed quota: q: must specify requests.cpu for: web")
    );
    let given = with(
        &pod(),
        &[(
            "/spec/containers/0/resources",
            json!({"requests": {"cpu": "1"}}),
        )],
    );
    assert_eq!(missing("q", &hard, &kind("", "Pod"), &given), None);
    assert_eq!(missing("q", &hard, &kind("", "Service"), &service()), None);
}

#[test]
fn only_growth_counts() {
    let old = Amounts::read(Some(&json!({"a": "2", "b": "1"})));
    let new = Amounts::read(Some(&json!({"a": "1", "b": "3", "c": "1"})));
    assert_eq!(
        Value::Object(new.increase_over(&old).to_object()),
        json!({"b": "2", "c": "1"})
    );
}

#[test]
fn scopes_choose_pods() {
    let of = kind("", "Pod");
    let urgent = with(&pod(), &[("/spec/priorityClassName", json!("high"))]);
    let short = with(&pod(), &[("/spec/activeDeadlineSeconds", json!(5))]);
    let sized = with(
        &pod(),
        &[(
            "/spec/containers/0/resources",
            json!({"requests": {"cpu": "1"}}),
        )],
    );
    let by_class = |operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
    let cases = [
        (json!({}), pod(), true),
        (json!({"scopes": ["Terminating"]}), short.clone(), true),
        (json!({"scopes": ["Terminating"]}), pod(), false),
        (json!({"scopes": ["NotTerminating"]}), short, false),
        (json!({"scopes": ["BestEffort"]}), pod(), true),
        (json!({"scopes": ["BestEffort"]}), sized.clone(), false),
        (
            json!({"scopes": ["NotBestEffort", "NotTerminating"]}),
            sized,
            true,
        ),
        (by_class("In", json!(["high"])), urgent.clone(), true),
        (by_class("NotIn", json!(["high"])), urgent.clone(), false),
        (by_class("Exists", json!([])), pod(), false),
        (
            json!({"scopes": ["CrossNamespacePodAffinity"]}),
            urgent,
            false,
        ),
    ];
    for (spec, pod, expected) in cases {
        assert_eq!(covers(&spec, &of, &pod), expected, "{spec}");
    }
    assert!(!covers(
        &json!({"scopes": ["BestEffort"]}),
        &kind("", "Service"),
        &service()
    ));
    assert!(covers(&json!({}), &kind("", "Service"), &service()));
}

#[test]
fn limit_ranges_fill_and_bound() {
    let range = json!({"spec": {"limits": [
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m", "memory": "1Mi"},
         "max": {"cpu": "2"}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "4"}},
        {"type": "Pod", "max": {"cpu": "3"}},
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
    ]}});
    let mut filled = pod();
    limit_range::apply_defaults(&range, &mut filled);
    assert_eq!(
        filled["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Mi"}})
    );
    assert_eq!(
        filled["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container web; cpu limit for container web"
    );
    assert_eq!(limit_range::check_pod(&range, &filled), [""; 0]);
    let sized = |request: &str, limit: &str| {
        let resources = json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
        with(&pod(), &[("/spec/containers/0/resources", resources)])
    };
    assert_eq!(
        limit_range::check_pod(&range, &sized("50m", "100m")),
        ["minimum cpu usage per Container is 100m, but request is 50m"]
    );
    assert_eq!(
        limit_range::check_pod(&range, &sized("2", "2500m")),
        ["maximum cpu usage per Container is 2, but limit is 2500m"]
    );
    assert_eq!(
        limit_range::check_pod(&range, &sized("200m", "2")),
        ["cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000"]
    );
    assert_eq!(limit_range::check_pod(&range, &pod()).len(), 4);
    let claim = |storage: &str| json!({"spec": {"resources": {"requests": {"storage": storage}}}});
    assert_eq!(limit_range::check_claim(&range, &claim("1Gi")), [""; 0]);
    assert_eq!(
        limit_range::check_claim(&range, &claim("3Gi")),
        ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
    );
    let texts = limit_range::check_claim(&range, &claim("1Mi"));
    assert_eq!(
        limit_range::join(&texts),
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    );
}
