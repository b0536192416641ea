//! What pods may be, and what of them may change.

mod common;

use common::*;
use mosaic_validation::{
    apply_defaults, prepare_ephemeral_containers, prepare_for_create, prepare_for_status_update,
    prepare_for_update, prepare_resize, validate_ephemeral_containers, validate_resize,
    validate_status_update,
};
use serde_json::{Value, json};

#[test]
fn a_pod_gets_its_defaults() {
    let pod = stored(
        &kind("", "Pod"),
        &with(
            &pod(),
            &[
                (
                    "/spec/volumes",
                    json!([{"name": "a"}, {"name": "s", "secret": {"secretName": "s"}}]),
                ),
                (
                    "/spec/containers/0/livenessProbe",
                    json!({"httpGet": {"port": 80}}),
                ),
                ("/spec/containers/0/ports", json!([{"containerPort": 80}])),
                (
                    "/spec/containers/0/resources",
                    json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
                ),
            ],
        ),
    );
    let spec = &pod["spec"];
    for (field, value) in [
        ("dnsPolicy", json!("ClusterFirst")),
        ("restartPolicy", json!("Always")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
        ("terminationGracePeriodSeconds", json!(30)),
        ("enableServiceLinks", json!(true)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let container = &spec["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    assert_eq!(container["terminationMessagePolicy"], "File");
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
               "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(
        container["resources"]["requests"],
        json!({"cpu": "500m", "memory": "1Gi"})
    );
    assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
    assert_eq!(spec["volumes"][1]["secret"]["defaultMode"], 420);
    assert_eq!(
        pod["status"],
        json!({"phase": "Pending", "qosClass": "Burstable"})
    );
    assert_eq!(pod["metadata"]["generation"], 1);
}

#[test]
fn ports_on_the_hosts_network_are_the_hosts() {
    let pod = stored(
        &kind("", "Pod"),
        &with(
            &pod(),
            &[
                ("/spec/hostNetwork", json!(true)),
                ("/spec/containers/0/ports", json!([{"containerPort": 80}])),
            ],
        ),
    );
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["hostPort"], 80);
}

#[test]
fn amounts_are_stored_in_one_spelling() {
    let resources = json!({"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {"cpu": 0.5}});
    let pod = stored(
        &kind("", "Pod"),
        &with(&pod(), &[("/spec/containers/0/resources", resources)]),
    );
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}})
    );
}

#[test]
fn containers_are_checked() {
    let c = "/spec/containers/0";
    let at = |rest: &str| format!("{c}/{rest}");
    let cases: Vec<(String, Value, &str)> = vec![
        (
            "/spec/containers".into(),
            json!([]),
            "spec.containers: Required value",
        ),
        (
            at("name"),
            json!(""),
            "spec.containers[0].name: Required value",
        ),
        (
            at("image"),
            json!(""),
            "spec.containers[0].image: Required value",
        ),
        (
            at("image"),
            json!(" a"),
            "spec.containers[0].image: Invalid value: \" a\": must not have leading or trailing whitespace",
        ),
        (at("imagePullPolicy"), json!("Never"), ""),
        (
            at("imagePullPolicy"),
            json!("Sometimes"),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            at("ports"),
            json!([{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            at("ports"),
            json!([{"containerPort": 0}]),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            at("ports"),
            json!([{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]),
            "spec.containers[0].ports[1].name: Duplicate value: \"a\"",
        ),
        (
            at("ports"),
            json!([{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//5\"",
        ),
        (
            at("env"),
            json!([{"name": "a=b"}]),
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
        (
            at("env"),
            json!([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            at("env"),
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]),
            "",
        ),
        (
            at("env"),
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"spec.x\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        ),
        (
            at("envFrom"),
            json!([{}]),
            "spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ),
        (
            at("volumeMounts"),
            json!([{"name": "gone", "mountPath": "/a"}]),
            "spec.containers[0].volumeMounts[0].name: Not found: \"gone\"",
        ),
        (
            at("livenessProbe"),
            json!({}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            at("livenessProbe"),
            json!({"exec": {"command": ["a"]}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            at("readinessProbe"),
            json!({"tcpSocket": {"port": 0}}),
            "spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            at("lifecycle"),
            json!({"preStop": {"exec": {"command": ["a"]}, "httpGet": {"port": 1}}}),
            "spec.containers[0].lifecycle.preStop.httpGet: Forbidden: may not specify more than 1 handler type",
        ),
        (
            at("resources"),
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            at("resources"),
            json!({"requests": {"cpu": "-1"}}),
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            at("resources"),
            json!({"requests": {"foo": "1"}}),
            "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource for containers",
        ),
        (
            at("resources"),
            json!({"requests": {"example.com/gpu": "1"}}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            at("resources"),
            json!({"limits": {"cpu": "1 cpu"}, "requests": {"cpu": "1"}}),
            "spec.containers[0].resources.limits[cpu]: Invalid value: \"1 cpu\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            at("securityContext"),
            json!({"runAsUser": -1}),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ];
    let cases: Vec<Case> = cases
        .iter()
        .map(|(p, v, e)| (p.as_str(), v.clone(), *e))
        .collect();
    check_creates(&kind("", "Pod"), &pod(), &cases);
}

#[test]
fn the_spec_is_checked() {
    check_creates(
        &kind("", "Pod"),
        &pod(),
        &[
            (
                "/metadata/name",
                json!("Web"),
                "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (
                "/metadata/namespace",
                json!(""),
                "metadata.namespace: Required value",
            ),
            (
                "/spec/restartPolicy",
                json!("Maybe"),
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ),
            (
                "/spec/dnsPolicy",
                json!("None"),
                "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(0),
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            ),
            (
                "/spec/volumes",
                json!([{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]),
                "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            ),
            (
                "/spec/volumes",
                json!([{"name": "a"}, {"name": "a"}]),
                "spec.volumes[1].name: Duplicate value: \"a\"",
            ),
            (
                "/spec/volumes",
                json!([{"name": "a", "hostPath": {"path": "/a/../b"}}]),
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            ),
            (
                "/spec/volumes",
                json!([{"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]),
                "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
            ),
            ("/spec/tolerations", json!([{"operator": "Exists"}]), ""),
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists", "value": "b"}]),
                "spec.tolerations[0].operator: Invalid value: {\"key\":\"a\",\"operator\":\"Exists\",\"value\":\"b\"}: value must be empty when `operator` is 'Exists'",
            ),
            (
                "/spec/tolerations",
                json!([{"value": "b"}]),
                "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ),
            (
                "/spec/tolerations",
                json!([{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3}]),
                "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ),
            (
                "/spec/affinity",
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            ),
            (
                "/spec/affinity",
                json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {"topologyKey": "a"}}]}}),
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
            ),
            (
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Never"}]),
                "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
            ),
            (
                "/spec/hostAliases",
                json!([{"ip": "x"}]),
                "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            (
                "/spec/readinessGates",
                json!([{"conditionType": "a b"}]),
                "spec.readinessGates[0].conditionType: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
            (
                "/spec/initContainers",
                json!([{"name": "web", "image": "a"}]),
                "spec.initContainers[0].name: Duplicate value: \"web\"",
            ),
            (
                "/spec/initContainers",
                json!([{"name": "i", "image": "a", "readinessProbe": {"exec": {"command": ["a"]}}}]),
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ),
            (
                "/spec/ephemeralContainers",
                json!([{"name": "e", "image": "a"}]),
                "spec.ephemeralContainers: Forbidden: cannot be set on create",
            ),
        ],
    );
}

#[test]
fn little_of_a_pod_may_change() {
    let of = kind("", "Pod");
    check_updates(
        &of,
        &pod(),
        &[
            ("/spec/containers/0/image", json!("nginx:2"), ""),
            (
                "/spec/containers/0/image",
                json!(""),
                "spec.containers[0].image: Required value",
            ),
            ("/spec/activeDeadlineSeconds", json!(5), ""),
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists"}]),
                "",
            ),
            ("/metadata/labels/app", json!("other"), ""),
            (
                "/metadata/name",
                json!("other"),
                "metadata.name: Invalid value: \"other\": field is immutable",
            ),
            (
                "/metadata/uid",
                json!("u"),
                "metadata.uid: Invalid value: \"u\": field is immutable",
            ),
            (
                "/spec/nodeName",
                json!("n1"),
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n  spec.nodeName",
            ),
            (
                "/spec/containers/1",
                json!({"name": "b", "image": "b"}),
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ),
            (
                "/spec/schedulingGates",
                json!([{"name": "a"}]),
                "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'",
            ),
        ],
    );
    let gated = with(
        &pod(),
        &[
            ("/spec/schedulingGates", json!([{"name": "a"}])),
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists"}]),
            ),
            ("/spec/activeDeadlineSeconds", json!(10)),
        ],
    );
    check_updates(
        &of,
        &gated,
        &[
            ("/spec/schedulingGates", json!(null), ""),
            ("/spec/nodeSelector", json!({"zone": "a"}), ""),
            (
                "/spec/tolerations",
                json!([]),
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(11),
                "spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value",
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(null),
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
            ),
        ],
    );
}

#[test]
fn spec_and_status_are_written_apart() {
    let of = kind("", "Pod");
    let old = stored(&of, &pod());
    let mut new = with(
        &old,
        &[
            ("/status/phase", json!("Running")),
            ("/spec/containers/0/image", json!("nginx:2")),
        ],
    );
    prepare_for_update(&of, &mut new, &old);
    assert_eq!(new["status"], old["status"]);
    assert_eq!(new["metadata"]["generation"], 2);

    let mut new = with(
        &old,
        &[
            ("/status/phase", json!("Running")),
            ("/spec/containers/0/image", json!("nginx:2")),
            ("/metadata/ownerReferences", json!([{"kind": "X"}])),
        ],
    );
    prepare_for_status_update(&of, &mut new, &old);
    assert_eq!(new["status"]["phase"], "Running");
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["metadata"]["generation"], 1);
    assert_eq!(new["metadata"].get("ownerReferences"), None);
    assert_eq!(texts(validate_status_update(&of, &new, &old)), [""; 0]);

    let new = with(&old, &[("/status/qosClass", json!("Guaranteed"))]);
    assert_eq!(
        texts(validate_status_update(&of, &new, &old)),
        ["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"]
    );
}

#[test]
fn a_gated_pod_says_why_it_waits() {
    let of = kind("", "Pod");
    let mut gated = with(&pod(), &[("/spec/schedulingGates", json!([{"name": "a"}]))]);
    apply_defaults(&of, &mut gated);
    prepare_for_create(&of, &mut gated);
    assert_eq!(
        gated["status"]["conditions"][0]["reason"],
        "SchedulingGated"
    );
    let errors = create(&of, &with(&gated, &[("/spec/nodeName", json!("n"))]));
    assert_eq!(
        errors,
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]
    );
}

#[test]
fn a_resize_changes_processor_and_memory_only() {
    let of = kind("", "Pod");
    let base = with(
        &pod(),
        &[(
            "/spec/containers/0/resources",
            json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}),
        )],
    );
    let old = stored(&of, &base);
    let r = "/spec/containers/0/resources";
    let cases = [
        (format!("{r}/requests/cpu"), json!("2"), ""),
        (
            format!("{r}/requests/cpu"),
            json!("3"),
            "spec.containers[0].resources.requests: Invalid value: \"3\": must be less than or equal to cpu limit of 2",
        ),
        (
            format!("{r}/requests/ephemeral-storage"),
            json!("1Gi"),
            "spec.containers[0].resources: Forbidden: only cpu and memory resources are mutable",
        ),
        (
            format!("{r}/limits"),
            json!(null),
            "spec.containers[0].resources: Forbidden: resource limits cannot be removed",
        ),
        (
            "/spec/containers/0/image".to_owned(),
            json!("x"),
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut new = with(&old, &[(&pointer, value)]);
        prepare_resize(&mut new, &old);
        let errors = texts(validate_resize(&new, &old));
        let expected: Vec<&str> = Some(expected)
            .filter(|e| !e.is_empty())
            .into_iter()
            .collect();
        assert_eq!(errors, expected, "{pointer}");
        assert_eq!(new["metadata"]["generation"], 2);
    }
    let new = with(
        &old,
        &[(
            r,
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
        )],
    );
    assert_eq!(
        texts(validate_resize(&new, &old)),
        ["metadata: Invalid value: \"web\": Pod QOS Class may not change as a result of resizing"]
    );
}

#[test]
fn ephemeral_containers_are_only_added() {
    let of = kind("", "Pod");
    let old = stored(&of, &pod());
    let debug = json!([{"name": "debug", "image": "busybox"}]);
    let mut new = with(
        &old,
        &[
            ("/spec/ephemeralContainers", debug),
            ("/spec/nodeName", json!("n")),
        ],
    );
    apply_defaults(&of, &mut new);
    prepare_ephemeral_containers(&mut new, &old);
    assert_eq!(new["spec"].get("nodeName"), None);
    assert_eq!(texts(validate_ephemeral_containers(&new, &old)), [""; 0]);
    let mut gone = old.clone();
    prepare_ephemeral_containers(&mut gone, &new);
    assert_eq!(
        texts(validate_ephemeral_containers(&gone, &new)),
        [
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be removed\n"
        ]
    );
}

#[test]
fn a_container_that_is_never_started_again_has_ended_for_good() {
    let pod = |policy: &str, state: &str| {
        json!({
            "metadata": { "name": "p", "namespace": "n" },
            "spec": { "restartPolicy": policy, "containers": [{ "name": "c", "image": "i" }] },
            "status": { "phase": "Running",
                "containerStatuses": [{ "name": "c", "state": { state: {} } }] },
        })
    };
    let of = kind("", "Pod");
    let update = |policy, from, to| {
        texts(validate_status_update(
            &of,
            &pod(policy, to),
            &pod(policy, from),
        ))
    };
    assert_eq!(
        update("Never", "terminated", "running"),
        [
            "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
        ]
    );
    assert_eq!(update("Never", "terminated", "terminated"), [""; 0]);
    assert_eq!(update("Never", "running", "terminated"), [""; 0]);
    assert_eq!(update("Always", "terminated", "running"), [""; 0]);
}
