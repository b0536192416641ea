//! With `minReadySeconds`, a pod counts only when it has been ready for so long: a rollout waits for that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::changes::Changes;
use crate::manifests::workload;
use crate::objects::{condition, image, is_ready, leaves};
use crate::{Cluster, until};

/// The seconds of a point in time in an object.
fn seconds(time: &Value) -> i64 {
    let time: Time = serde_json::from_value(time.clone()).expect("a time");
    time.0.as_second()
}

#[test]
fn an_old_pod_stays_until_a_new_one_has_been_ready_for_long_enough() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-waits-for-availability");
    let web = workload(
        "Deployment",
        "web",
        &[
            "replicas: 1",
            "minReadySeconds: 2",
            "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
        ],
    );
    kubectl.run_with_input("apply -f -", &web).ok();
    let web = until(&kubectl, "deployment web", |web| {
        web["status"]["readyReplicas"] == 1
    });
    assert_eq!(web["status"]["availableReplicas"], Value::Null, "{web}");
    kubectl.run("rollout status deployment/web").ok();

    let mut changes = Changes::follow(&kubectl, "pods");
    changes.until(|pods| pods.len() == 1 && is_ready(pods[0]));
    kubectl.run("set image deployment/web web=web:2").ok();
    changes.until(|pods| {
        let new = pods.iter().find(|pod| image(pod) == "web:2");
        let old = pods.iter().find(|pod| image(pod) == "web:1");
        let Some(old) = old.filter(|old| leaves(old)) else {
            return false;
        };
        let new = new.expect("a new pod, before the old one goes");
        assert!(
            is_ready(new),
            "the old pod goes before the new one is ready"
        );
        let grace = &old["metadata"]["deletionGracePeriodSeconds"];
        let asked = seconds(&old["metadata"]["deletionTimestamp"]) - grace.as_i64().unwrap_or(0);
        let ready = seconds(&condition(new, "Ready")["lastTransitionTime"]);
        assert!(
            asked - ready >= 2,
            "the old pod went {} s after the new one was ready",
            asked - ready
        );
        true
    });
    changes.until(|pods| pods.len() == 1);
    kubectl
        .run("rollout status deployment/web")
        .says("successfully rolled out");
}
