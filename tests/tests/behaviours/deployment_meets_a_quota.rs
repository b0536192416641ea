//! Pods that a quota refuses are told of by the Deployment, and made when there is room.

use crate::manifests::workload;
use crate::objects::{condition, items};
use crate::{Cluster, get, until};

#[test]
fn refused_pods_are_a_condition_and_an_event_until_the_quota_grows() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("deployment-meets-a-quota");
    kubectl.run("create quota few --hard pods=2").ok();
    until(&kubectl, "quota few", |quota| {
        quota["status"]["hard"]["pods"] == "2"
    });
    let web = workload("Deployment", "web", &["replicas: 4"]);
    kubectl.run_with_input("apply -f -", &web).ok();
    let web = until(&kubectl, "deployment web", |web| {
        condition(web, "ReplicaFailure")["status"] == "True"
            && web["status"]["availableReplicas"] == 2
    });
    let failure = condition(&web, "ReplicaFailure");
    assert_eq!(failure["reason"], "FailedCreate");
    let message = failure["message"].as_str().unwrap_or_default();
    assert!(message.contains("exceeded quota: few"), "{message}");
    let pods = get(&kubectl, "pods");
    assert_eq!(items(&pods).len(), 2);
    until(&kubectl, "events", |events| {
        items(events).iter().any(|event| {
            let note = event["message"].as_str().unwrap_or_default();
            event["reason"] == "FailedCreate"
                && event["type"] == "Warning"
                && event["involvedObject"]["kind"] == "ReplicaSet"
                && note.contains("exceeded quota: few")
        })
    });

    // However often it is tried, it is told once, and counted.
    let set = "events --field-selector involvedObject.kind=ReplicaSet,reason=FailedCreate";
    let told = until(&kubectl, set, |events| {
        items(events)
            .iter()
            .any(|event| event["count"].as_u64() >= Some(3))
    });
    let [event] = items(&told) else {
        panic!("one event, and not {told}");
    };
    assert_eq!(event["source"]["component"], "replicaset-controller");
    assert!(event["firstTimestamp"].is_string() && event["lastTimestamp"].is_string());

    kubectl
        .run(r#"patch quota few -p {"spec":{"hard":{"pods":"4"}}}"#)
        .ok();
    until(&kubectl, "deployment web", |web| {
        web["status"]["availableReplicas"] == 4 && condition(web, "ReplicaFailure").is_null()
    });
}
