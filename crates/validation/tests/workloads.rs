//! Deployments and their kin, jobs, autoscalers and disruption budgets.

mod common;

use common::*;
use mosaic_validation::{
    apply_defaults, job_selector, prepare_for_create, prepare_for_update, validate_create,
};
use serde_json::{Value, json};

#[test]
fn workloads_get_their_defaults() {
    let deployment = stored(&kind("apps", "Deployment"), &workload("Deployment"));
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["revisionHistoryLimit"], 10);
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(spec["template"]["spec"].get("enableServiceLinks"), None);

    let set = stored(&kind("apps", "StatefulSet"), &workload("StatefulSet"));
    assert_eq!(set["spec"]["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        set["spec"]["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"],
        0
    );

    let set = stored(&kind("apps", "DaemonSet"), &workload("DaemonSet"));
    assert_eq!(
        set["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    );
}

#[test]
fn deployments_are_checked() {
    let of = kind("apps", "Deployment");
    check_creates(
        &of,
        &workload("Deployment"),
        &[
            ("/spec/replicas", json!(0), ""),
            (
                "/spec/replicas",
                json!(-1),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "/spec/selector",
                json!(null),
                "spec.selector: Required value",
            ),
            (
                "/spec/selector",
                json!({}),
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
            ),
            (
                "/spec/selector",
                json!({"matchLabels": {"app": "x"}}),
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ),
            (
                "/spec/selector",
                json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
                "",
            ),
            (
                "/spec/selector",
                json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "app", "operator": "In"}]}),
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            ("/spec/strategy", json!({"type": "Recreate"}), ""),
            (
                "/spec/strategy",
                json!({"type": "Recreate", "rollingUpdate": {}}),
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                "/spec/strategy",
                json!({"type": "Often"}),
                "spec.strategy.type: Unsupported value: \"Often\": supported values: \"Recreate\", \"RollingUpdate\"",
            ),
            (
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ),
            (
                "/spec/strategy",
                json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": "x"}}),
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            (
                "/spec/progressDeadlineSeconds",
                json!(0),
                "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds",
            ),
            (
                "/spec/template/spec/restartPolicy",
                json!("Never"),
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                "/spec/template/spec/containers/0/image",
                json!(""),
                "spec.template.spec.containers[0].image: Required value",
            ),
        ],
    );
    check_updates(
        &of,
        &workload("Deployment"),
        &[
            ("/spec/replicas", json!(3), ""),
            ("/spec/template/metadata/labels/x", json!("y"), ""),
            (
                "/spec/selector/matchExpressions",
                json!([{"key": "app", "operator": "Exists"}]),
                "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}],\"matchLabels\":{\"app\":\"web\"}}: field is immutable",
            ),
        ],
    );
}

#[test]
fn the_generation_counts_what_the_controllers_must_see() {
    let of = kind("apps", "Deployment");
    let old = stored(
        &of,
        &with(
            &workload("Deployment"),
            &[("/status", json!({"replicas": 9}))],
        ),
    );
    assert_eq!(old.get("status"), None);
    for (pointer, value, generation) in [
        ("/spec/replicas", json!(2), 2),
        ("/metadata/labels", json!({"a": "b"}), 1),
        ("/status/replicas", json!(2), 1),
        ("/metadata/generation", json!(7), 1),
    ] {
        let mut new = with(&old, &[(pointer, value)]);
        prepare_for_update(&of, &mut new, &old);
        assert_eq!(new["metadata"]["generation"], generation, "{pointer}");
    }
}

#[test]
fn stateful_and_daemon_sets_are_checked() {
    check_creates(
        &kind("apps", "StatefulSet"),
        &workload("StatefulSet"),
        &[
            (
                "/spec/podManagementPolicy",
                json!("Wild"),
                "spec.podManagementPolicy: Invalid value: \"Wild\": must be 'OrderedReady' or 'Parallel'",
            ),
            ("/spec/updateStrategy", json!({"type": "OnDelete"}), ""),
            (
                "/spec/updateStrategy",
                json!({"type": "Sometimes"}),
                "spec.updateStrategy: Invalid value: {\"type\":\"Sometimes\"}: must be 'RollingUpdate' or 'OnDelete'",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"partition": -1}}),
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            ),
        ],
    );
    // A claim's template is a volume of every pod, though the pods' template does not list it.
    let mut set = workload("StatefulSet");
    set["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    check_creates(
        &kind("apps", "StatefulSet"),
        &set,
        &[
            (
                "/spec/template/spec/containers/0/volumeMounts",
                json!([{"name": "data", "mountPath": "/data"}]),
                "",
            ),
            (
                "/spec/template/spec/containers/0/volumeDevices",
                json!([{"name": "data", "devicePath": "/dev/data"}]),
                "",
            ),
            (
                "/spec/template/spec/containers/0/volumeMounts",
                json!([{"name": "date", "mountPath": "/data"}]),
                "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"date\"",
            ),
        ],
    );
    check_updates(
        &kind("apps", "StatefulSet"),
        &workload("StatefulSet"),
        &[
            ("/spec/replicas", json!(4), ""),
            ("/spec/template/spec/containers/0/image", json!("b"), ""),
            (
                "/spec/serviceName",
                json!("web"),
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ),
        ],
    );
    check_creates(
        &kind("apps", "DaemonSet"),
        &workload("DaemonSet"),
        &[
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}),
                "",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"maxUnavailable": 0}}),
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}),
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ),
        ],
    );
    check_creates(
        &kind("apps", "ReplicaSet"),
        &workload("ReplicaSet"),
        &[(
            "/spec/template/spec/activeDeadlineSeconds",
            json!(1),
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
        )],
    );
}

fn job() -> Value {
    let mut job = json!({
        "metadata": {"name": "sum", "namespace": "shop"},
        "spec": {"template": template()},
    });
    set(
        &mut job,
        "/spec/template/spec/restartPolicy",
        json!("Never"),
    );
    job_selector(&mut job, "u-1");
    job
}

#[test]
fn jobs_know_their_pods() {
    let job = stored(&kind("batch", "Job"), &job());
    assert_eq!(
        job["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}})
    );
    let labels = json!({
        "app": "web",
        "batch.kubernetes.io/controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "sum",
        "controller-uid": "u-1",
        "job-name": "sum",
    });
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(job["metadata"]["labels"], labels);
    for (field, value) in [
        ("completions", json!(1)),
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        assert_eq!(job["spec"][field], value, "{field}");
    }
    let mut own = json!({"spec": {"manualSelector": true, "template": template()}});
    job_selector(&mut own, "u-1");
    assert_eq!(own["spec"].get("selector"), None);
}

#[test]
fn jobs_are_checked() {
    let of = kind("batch", "Job");
    check_creates(
        &of,
        &job(),
        &[
            (
                "/spec/template/spec/restartPolicy",
                json!("Always"),
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                "/spec/parallelism",
                json!(-1),
                "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            ),
            ("/spec/completionMode", json!("Indexed"), ""),
            (
                "/spec/backoffLimitPerIndex",
                json!(1),
                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            ),
            (
                "/spec/podFailurePolicy",
                json!({"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}),
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            ),
            (
                "/spec/podFailurePolicy",
                json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}),
                "",
            ),
            (
                "/spec/podFailurePolicy",
                json!({"rules": [{"action": "Ignore"}]}),
                "spec.podFailurePolicy.rules[0]: Invalid value: {\"action\":\"Ignore\"}: specifying one of OnExitCodes and OnPodConditions is required",
            ),
        ],
    );
    let errors = create(
        &of,
        &with(
            &job(),
            &[
                ("/spec/completionMode", json!("Indexed")),
                ("/spec/parallelism", json!(2)),
            ],
        ),
    );
    assert_eq!(
        errors,
        ["spec.completions: Required value: when completion mode is Indexed"]
    );
    let indexed = with(
        &job(),
        &[
            ("/spec/completionMode", json!("Indexed")),
            ("/spec/completions", json!(11)),
        ],
    );
    for (indexes, right) in [
        ("0", true),
        ("0,2-4,9", true),
        ("", false),
        ("0-2,foo", false),
        ("5-3", false),
        ("3,1", false),
        ("2-4,4", false),
        ("+1", false),
    ] {
        let policy = json!({"rules": [{"succeededIndexes": indexes}]});
        let errors = create(&of, &with(&indexed, &[("/spec/successPolicy", policy)]));
        assert_eq!(errors.is_empty(), right, "{indexes}: {errors:?}");
    }
    for (letters, right) in [(60, true), (61, false)] {
        let name = json!("n".repeat(letters));
        let errors = create(&of, &with(&indexed, &[("/metadata/name", name)]));
        assert_eq!(errors.is_empty(), right, "{letters}: {errors:?}");
    }
    check_updates(
        &of,
        &job(),
        &[
            ("/spec/parallelism", json!(4), ""),
            ("/spec/suspend", json!(true), ""),
            (
                "/spec/completions",
                json!(4),
                "spec.completions: Invalid value: 4: field is immutable",
            ),
        ],
    );
    let suspended = with(&job(), &[("/spec/suspend", json!(true))]);
    check_updates(
        &of,
        &suspended,
        &[("/spec/template/spec/nodeSelector", json!({"zone": "a"}), "")],
    );
}

#[test]
fn cron_jobs_are_checked() {
    let of = kind("batch", "CronJob");
    let mut cron = json!({
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template()}}},
    });
    set(
        &mut cron,
        "/spec/jobTemplate/spec/template/spec/restartPolicy",
        json!("OnFailure"),
    );
    let ready = stored(&of, &cron);
    assert_eq!(ready["spec"]["concurrencyPolicy"], "Allow");
    assert_eq!(ready["spec"]["successfulJobsHistoryLimit"], 3);
    assert_eq!(ready["spec"]["failedJobsHistoryLimit"], 1);
    let long = "x".repeat(53);
    check_creates(
        &of,
        &cron,
        &[
            ("/spec/schedule", json!("@every 1h"), ""),
            (
                "/spec/schedule",
                json!("* * *"),
                "spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]",
            ),
            (
                "/spec/schedule",
                json!("TZ=UTC * * * * *"),
                "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
            ("/spec/timeZone", json!("Asia/Shanghai"), ""),
            (
                "/spec/timeZone",
                json!("Mars/Base"),
                "spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base",
            ),
            (
                "/spec/concurrencyPolicy",
                json!("Queue"),
                "spec.concurrencyPolicy: Unsupported value: \"Queue\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ),
            (
                "/metadata/name",
                json!(long),
                &format!("metadata.name: Invalid value: \"{long}\": must be no more than 52 bytes"),
            ),
        ],
    );
}

#[test]
fn autoscalers_and_budgets_are_checked() {
    let of = kind("autoscaling", "HorizontalPodAutoscaler");
    let scaler = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 5,
            "behavior": {"scaleDown": {}},
        },
    });
    let ready = stored(&of, &scaler);
    assert_eq!(ready["spec"]["minReplicas"], 1);
    assert_eq!(
        ready["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        80
    );
    assert_eq!(
        ready["spec"]["behavior"]["scaleUp"]["policies"][0]["value"],
        4
    );
    check_creates(
        &of,
        &scaler,
        &[
            (
                "/spec/minReplicas",
                json!(6),
                "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`",
            ),
            (
                "/spec/minReplicas",
                json!(0),
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            ),
            (
                "/spec/scaleTargetRef/name",
                json!(""),
                "spec.scaleTargetRef.name: Required value",
            ),
            (
                "/spec/metrics",
                json!([{"type": "Pods"}]),
                "spec.metrics[0].pods: Required value: must populate information for the given metric source",
            ),
            (
                "/spec/behavior/scaleDown/policies",
                json!([]),
                "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
            ),
        ],
    );

    let of = kind("policy", "PodDisruptionBudget");
    let budget = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    check_creates(
        &of,
        &budget,
        &[
            ("/spec/minAvailable", json!("50%"), ""),
            (
                "/spec/minAvailable",
                json!("x"),
                "spec.minAvailable: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            (
                "/spec/unhealthyPodEvictionPolicy",
                json!("No"),
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"No\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ),
        ],
    );
    let mut both = with(&budget, &[("/spec/maxUnavailable", json!(1))]);
    apply_defaults(&of, &mut both);
    prepare_for_create(&of, &mut both);
    let errors = texts(validate_create(&of, &both));
    assert!(
        errors[0].ends_with("minAvailable and maxUnavailable cannot be both set"),
        "{errors:?}"
    );
}
