//! What the default plug-ins do to new pods.

mod common;

use common::*;
use mosaic_validation::pod_admission::{
    Level, TolerationSeconds, add_default_tolerations, check_security, set_default_storage_class,
    set_priority, set_runtime_class, set_service_account, taint_new_node,
};
use serde_json::{Value, json};

#[test]
fn priorities_come_from_classes() {
    let class = json!({"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"});
    let mut plain = pod();
    set_priority(&mut plain, None).unwrap();
    assert_eq!(plain["spec"]["priority"], 0);
    assert_eq!(plain["spec"]["preemptionPolicy"], "PreemptLowerPriority");

    let mut defaulted = pod();
    set_priority(&mut defaulted, Some(&class)).unwrap();
    assert_eq!(defaulted["spec"]["priorityClassName"], "high");
    assert_eq!(defaulted["spec"]["priority"], 7);
    assert_eq!(defaulted["spec"]["preemptionPolicy"], "Never");

    let mut asking = with(&pod(), &[("/spec/priorityClassName", json!("gone"))]);
    assert_eq!(
        set_priority(&mut asking, None),
        Err("no PriorityClass with name gone was found".to_owned())
    );
    let mut claiming = with(&pod(), &[("/spec/priority", json!(9))]);
    assert_eq!(
        set_priority(&mut claiming, None),
        Err("the integer value of priority (9) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name".to_owned())
    );
}

#[test]
fn pods_stay_a_while_on_lost_nodes() {
    let mut plain = pod();
    let seconds = TolerationSeconds {
        not_ready: 300,
        unreachable: 7,
    };
    add_default_tolerations(&mut plain, seconds);
    add_default_tolerations(&mut plain, seconds);
    let tolerations = plain["spec"]["tolerations"].as_array().unwrap();
    assert_eq!(tolerations.len(), 2);
    assert_eq!(tolerations[0]["key"], "node.kubernetes.io/not-ready");
    assert_eq!(tolerations[0]["tolerationSeconds"], 300);
    assert_eq!(tolerations[1]["key"], "node.kubernetes.io/unreachable");
    assert_eq!(tolerations[1]["tolerationSeconds"], 7);
    let mut all = with(
        &pod(),
        &[("/spec/tolerations", json!([{"operator": "Exists"}]))],
    );
    add_default_tolerations(&mut all, seconds);
    assert_eq!(all["spec"]["tolerations"].as_array().unwrap().len(), 1);

    let mut node = json!({"metadata": {"name": "n"}});
    taint_new_node(&mut node);
    taint_new_node(&mut node);
    assert_eq!(
        node["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
}

#[test]
fn pods_find_the_token_of_their_account() {
    let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "r"}]});
    let mut plain = pod();
    set_service_account(&mut plain, Some(&account), "abcde").unwrap();
    let spec = &plain["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "r"}]));
    assert_eq!(spec["volumes"][0]["name"], "kube-api-access-abcde");
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    // What was filled in is itself right.
    stored(&kind("", "Pod"), &plain);

    let mut without = with(
        &pod(),
        &[("/spec/automountServiceAccountToken", json!(false))],
    );
    set_service_account(&mut without, Some(&account), "abcde").unwrap();
    assert_eq!(without["spec"].get("volumes"), None);

    let mut lost = with(&pod(), &[("/spec/serviceAccountName", json!("robot"))]);
    assert_eq!(
        set_service_account(&mut lost, None, "abcde"),
        Err(
            "error looking up service account shop/robot: serviceaccount \"robot\" not found"
                .to_owned()
        )
    );
}

#[test]
fn runtime_classes_add_their_overhead() {
    let class = json!({
        "overhead": {"podFixed": {"memory": "100Mi"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    });
    let mut asking = with(&pod(), &[("/spec/runtimeClassName", json!("vm"))]);
    set_runtime_class(&mut asking, Some(&class)).unwrap();
    assert_eq!(asking["spec"]["overhead"], json!({"memory": "100Mi"}));
    assert_eq!(asking["spec"]["nodeSelector"], json!({"vm": "yes"}));
    assert_eq!(asking["spec"]["tolerations"].as_array().unwrap().len(), 1);
    let mut other = with(&asking, &[("/spec/nodeSelector/vm", json!("no"))]);
    assert_eq!(
        set_runtime_class(&mut other, Some(&class)),
        Err("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no".to_owned())
    );
    let mut smuggled = with(&pod(), &[("/spec/overhead", json!({"cpu": "1"}))]);
    assert!(set_runtime_class(&mut smuggled, None).is_err());
}

#[test]
fn claims_get_the_default_class_unless_they_want_none() {
    let mut claim = json!({"spec": {}});
    set_default_storage_class(&mut claim, "gold");
    assert_eq!(claim["spec"]["storageClassName"], "gold");
    let mut none = json!({"spec": {"storageClassName": ""}});
    set_default_storage_class(&mut none, "gold");
    assert_eq!(none["spec"]["storageClassName"], "");
}

#[test]
fn levels_of_security_narrow() {
    let texts = |level: Level, pod: &Value| -> Vec<String> {
        check_security(level, &pod["spec"])
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let c = "/spec/containers/0";
    let baseline = [
        (
            "/spec/hostNetwork".to_owned(),
            json!(true),
            "host namespaces (hostNetwork=true)",
        ),
        (
            format!("{c}/securityContext"),
            json!({"privileged": true}),
            "privileged (container \"web\" must not set securityContext.privileged=true)",
        ),
        (
            "/spec/volumes".to_owned(),
            json!([{"name": "h", "hostPath": {"path": "/"}}]),
            "hostPath volumes (volume \"h\")",
        ),
        (
            format!("{c}/securityContext"),
            json!({"capabilities": {"add": ["SYS_ADMIN"]}}),
            "non-default capabilities (container \"web\" must not include capabilities beyond the default set in securityContext.capabilities.add)",
        ),
        (
            format!("{c}/ports"),
            json!([{"containerPort": 1, "hostPort": 1}]),
            "hostPort (container \"web\" uses hostPort)",
        ),
    ];
    assert_eq!(texts(Level::Baseline, &pod()), [""; 0]);
    for (pointer, value, expected) in baseline {
        let pod = with(&pod(), &[(&pointer, value)]);
        assert_eq!(texts(Level::Privileged, &pod), [""; 0]);
        assert_eq!(texts(Level::Baseline, &pod), [expected]);
    }
    assert_eq!(texts(Level::Restricted, &pod()).len(), 4);
    let hardened = with(
        &pod(),
        &[(
            &format!("{c}/securityContext"),
            json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true,
               "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}),
        )],
    );
    assert_eq!(texts(Level::Restricted, &hardened), [""; 0]);
    assert_eq!(Level::parse("restricted"), Some(Level::Restricted));
    assert_eq!(Level::parse("none"), None);
}
