//! What a host tells of its pods, as a kubelet does: in events that count, and in statuses that say what is so.

use serde_json::{Value, json};

use crate::objects::{event, has_ended, is, items};
use crate::{Cluster, get, until};

fn pod(name: &str, annotations: &Value, container: &Value) -> String {
    let mut container = container.clone();
    container["name"] = json!("app");
    container["image"] = json!("app:1");
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    })
    .to_string()
}

#[test]
fn crashes_that_go_on_are_one_event_that_counts() {
    let cluster = Cluster::start(1, &["--back-off", "1s"]);
    let kubectl = cluster.namespace("crashes");
    let crashing = pod(
        "crashing",
        &json!({"mosaic/sim-exit-after": "100ms:1"}),
        &json!({}),
    );
    kubectl.run_with_input("create -f -", &crashing).ok();
    let unpulled = pod("unpulled", &json!({"mosaic/sim-image": "fail"}), &json!({}));
    kubectl.run_with_input("create -f -", &unpulled).ok();
    for (name, reason, kind, words) in [
        (
            "crashing",
            "BackOff",
            "Warning",
            "Back-off restarting failed container app in pod crashing_crashes(",
        ),
        (
            "unpulled",
            "BackOff",
            "Normal",
            "Back-off pulling image \"app:1\"",
        ),
    ] {
        let what = format!("events --field-selector involvedObject.name={name},reason={reason}");
        let told = until(&kubectl, &what, |events| {
            items(events)
                .iter()
                .any(|event| event["count"].as_u64() >= Some(2))
        });
        let [event] = items(&told) else {
            panic!("one event, and not {told}");
        };
        assert_eq!(event["type"], kind);
        assert!(
            event["message"]
                .as_str()
                .is_some_and(|text| text.starts_with(words)),
            "{event}"
        );
        assert_eq!(event["source"]["host"], "sim-1");
        assert!(
            event["firstTimestamp"].as_str() <= event["lastTimestamp"].as_str(),
            "{event}"
        );
    }
}

#[test]
fn what_is_stopped_says_so_and_has_not_done_its_work() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("stopped-pods");
    let mut limited: Value = serde_json::from_str(&pod(
        "limited",
        &json!({"mosaic/sim-exit-after": "10m"}),
        &json!({}),
    ))
    .unwrap_or_default();
    limited["spec"]["activeDeadlineSeconds"] = json!(2);
    limited["spec"]["restartPolicy"] = json!("Never");
    kubectl
        .run_with_input("create -f -", &limited.to_string())
        .ok();
    let ended = until(&kubectl, "pod limited", has_ended);
    let container = &ended["status"]["containerStatuses"][0];
    assert_eq!(
        container["state"]["terminated"]["exitCode"], 143,
        "{container}"
    );
    assert_eq!(
        event(&kubectl, "limited", "Killing"),
        "Stopping container app"
    );
}

#[test]
fn a_pod_that_its_host_refuses_shows_why_and_no_containers() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("refused-pods");
    let large = pod(
        "large",
        &json!({}),
        &json!({"resources": {"requests": {"cpu": "1000"}}}),
    );
    let mut large: Value = serde_json::from_str(&large).unwrap_or_default();
    large["spec"]["nodeName"] = json!("sim-1");
    kubectl
        .run_with_input("create -f -", &large.to_string())
        .ok();
    let refused = until(&kubectl, "pod large", has_ended);
    assert_eq!(refused["status"]["reason"], "OutOfcpu");
    assert!(
        refused["status"]["containerStatuses"].is_null(),
        "{refused}"
    );
    event(&kubectl, "large", "OutOfcpu");
    kubectl.run("get pod large").says("OutOfcpu");
}

#[test]
fn a_simulated_host_has_no_containers_to_connect_to() {
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("simulated-pods");
    kubectl
        .run_with_input("create -f -", &pod("web", &json!({}), &json!({})))
        .ok();
    until(&kubectl, "pod web", |pod| is(pod, "Ready"));
    for command in ["logs web", "exec web -- true", "port-forward web 18080:80"] {
        kubectl
            .run(command)
            .complains("simulated hosts run no containers");
    }
    assert_eq!(get(&kubectl, "pod web")["status"]["phase"], "Running");
}

#[test]
fn hosts_belong_to_one_process() {
    let cluster = Cluster::start(2, &[]);
    let second = crate::mos_with(&cluster.server, "sim hosts --count 3");
    assert_eq!(second.code, 1, "{second}");
    second.complains("sim-1, sim-2: simulated by process ");
    let nowhere = crate::mos_with(
        &cluster.server,
        "sim hosts --prefix other- --fail zone=zone-9@1s",
    );
    nowhere.complains("there is no zone-9");
}
