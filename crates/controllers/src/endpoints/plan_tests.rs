use serde_json::{Value, json};

use super::{super::testing::*, *};

fn sliced(service: &ServiceView, pods: &[Arc<PodView>]) -> Vec<EndpointSlice> {
    carry_out(&[], &plan(service, pods, &hosts(), &[]))
}

fn as_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_slice_says_what_clients_need() {
    let pod = pod(
        1,
        json!({ "spec": { "hostname": "db-0", "subdomain": "web" } }),
    );
    let service = service(json!({
        "clusterIP": "None", "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "appProtocol": "h2c" }],
    }));
    let slice = as_json(&sliced(&service, &[pod])[0]);
    assert_eq!(
        slice["metadata"],
        json!({
            "name": "web-00000", "generateName": "web-", "namespace": "default",
            "labels": {
                "team": "a", "kubernetes.io/service-name": "web", "service.kubernetes.io/headless": "",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": "web", "uid": "service",
                "controller": true, "blockOwnerDeletion": true }],
        })
    );
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(
        slice["endpoints"],
        json!([{
            "addresses": ["10.1.0.2"], "conditions": { "ready": true, "serving": true, "terminating": false },
            "hostname": "db-0", "nodeName": "host-1", "zone": "b",
            "targetRef": { "kind": "Pod", "namespace": "default", "name": "p00001", "uid": "u1" },
        }])
    );
    let port = json!({ "name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2c" });
    assert_eq!(slice["ports"], json!([port]));
}

#[test]
fn conditions_follow_the_pod() {
    let going = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let mut going_unready = unready();
    going_unready["metadata"] = going["metadata"].clone();
    // Ready, serving, terminating; then the same where clients do not ask for readiness.
    let cases = [
        (json!({}), [true, true, false], [true, true, false]),
        (unready(), [false, false, false], [true, false, false]),
        (going, [false, true, true], [true, true, true]),
        (going_unready, [false, false, true], [true, false, true]),
    ];
    for (patch, asked, not_asked) in cases {
        let pods = [pod(0, patch)];
        for (publish, expected) in [(false, asked), (true, not_asked)] {
            let service = service(json!({ "publishNotReadyAddresses": publish }));
            let slices = sliced(&service, &pods);
            let conditions = endpoints(&slices)[0].conditions.clone().unwrap();
            let told = [conditions.ready, conditions.serving, conditions.terminating];
            assert_eq!(told, expected.map(Some));
        }
    }
}

#[test]
fn pods_without_anything_behind_them_are_left_out() {
    let gone_host = || pod(0, json!({ "spec": { "nodeName": "gone" } }));
    let pods = [
        pod(1, json!({ "status": { "podIPs": [] } })),
        pod(2, json!({ "status": { "phase": "Succeeded" } })),
        pod(3, json!({ "status": { "phase": "Failed" } })),
        gone_host(),
    ];
    let slices = sliced(&service(json!({})), &pods);
    // There is a slice all the same: the service is known, and nobody is behind it.
    assert_eq!((slices.len(), endpoints(&slices).len()), (1, 0));
    assert_eq!(slices[0].ports.as_deref(), Some(&[][..]));
    let everybody = service(json!({ "publishNotReadyAddresses": true }));
    assert_eq!(endpoints(&sliced(&everybody, &[gone_host()])).len(), 1);
}

#[test]
fn each_family_of_the_service_has_slices() {
    let both = service(json!({ "ipFamilies": ["IPv6", "IPv4"] }));
    let slices = sliced(&both, &pods(0..3));
    let families: Vec<_> = slices
        .iter()
        .map(|slice| slice.address_type.as_str())
        .collect();
    assert_eq!(families, ["IPv4", "IPv6"]);
    assert_eq!(endpoints(&slices)[5].addresses, ["fd00::2"]);
    let six = service(json!({ "ipFamilies": null, "clusterIP": "fd00::a" }));
    assert_eq!(sliced(&six, &pods(0..1))[0].address_type, "IPv6");
    let none = service(json!({ "ipFamilies": null, "clusterIP": "None" }));
    assert_eq!(sliced(&none, &pods(0..1))[0].address_type, "IPv4");
}

#[test]
fn named_ports_are_those_of_each_pod() {
    let with_port = |number, port, protocol| {
        let ports = json!([{ "name": "http", "containerPort": port, "protocol": protocol }]);
        pod(
            number,
            json!({ "spec": { "containers": [{ "ports": ports }] } }),
        )
    };
    let service = service(json!({ "ports": [
        { "name": "a", "port": 80, "targetPort": "http" }, { "name": "b", "port": 81 },
    ] }));
    let pods = [
        with_port(0, 8080, "TCP"),
        with_port(1, 9090, "TCP"),
        with_port(2, 8080, "TCP"),
        // Another protocol is another port.
        with_port(3, 8080, "UDP"),
    ];
    let slices = sliced(&service, &pods);
    let mut shown: Vec<_> = slices
        .iter()
        .map(|slice| {
            let ports = slice.ports.iter().flatten();
            let ports = ports.map(|port| (port.name.clone().unwrap(), port.port.unwrap()));
            let names = slice
                .endpoints
                .iter()
                .flatten()
                .map(|endpoint| endpoint.addresses[0].clone());
            (ports.collect::<Vec<_>>(), names.collect::<Vec<_>>())
        })
        .collect();
    shown.sort();
    let port = |name: &str, number| (name.to_owned(), number);
    let address = |last: u8| format!("10.1.0.{last}");
    assert_eq!(
        shown,
        [
            (
                vec![port("a", 8080), port("b", 81)],
                vec![address(1), address(3)]
            ),
            (vec![port("a", 9090), port("b", 81)], vec![address(2)]),
            (vec![port("b", 81)], vec![address(4)]),
        ]
    );
}

#[test]
fn traffic_stays_near_where_that_is_asked_for() {
    let hint = |distribution: Option<&str>, number| {
        let service = service(json!({ "trafficDistribution": distribution }));
        let slices = sliced(&service, &pods([number]));
        as_json(&endpoints(&slices)[0].hints)
    };
    let zone = json!({ "forZones": [{ "name": "b" }] });
    assert_eq!(hint(None, 1), Value::Null);
    assert_eq!(hint(Some("PreferClose"), 1), zone);
    assert_eq!(hint(Some("PreferSameZone"), 1), zone);
    let node = json!({ "forNodes": [{ "name": "host-1" }], "forZones": [{ "name": "b" }] });
    assert_eq!(hint(Some("PreferSameNode"), 1), node);
    // Host 3 stands nobody knows where.
    assert_eq!(hint(Some("PreferClose"), 3), Value::Null);
    assert_eq!(
        hint(Some("PreferSameNode"), 3),
        json!({ "forNodes": [{ "name": "host-3" }] })
    );
}

#[test]
fn one_pod_of_ten_thousand_costs_one_write() {
    let service = service(json!({}));
    let mut pods = pods(0..10_000);
    let slices = sliced(&service, &pods);
    assert_eq!(slices.len(), 100);
    pods[4321] = pod(4321, unready());
    let actions = plan(&service, &pods, &hosts(), &slices);
    let [
        Action::Update {
            slice,
            grows: false,
        },
    ] = &actions[..]
    else {
        panic!("{} actions", actions.len())
    };
    let unready = slice
        .endpoints
        .iter()
        .flatten()
        .filter(|endpoint| endpoint.conditions.as_ref().unwrap().ready == Some(false));
    assert_eq!(unready.count(), 1);
    pods.remove(17);
    pods.push(pod(20_000, json!({})));
    let actions = plan(&service, &pods, &hosts(), &slices);
    assert_eq!(actions.len(), 2);
    let slices = carry_out(&slices, &actions);
    assert_eq!(plan(&service, &pods, &hosts(), &slices), []);
}

#[test]
fn changed_ports_are_written_into_the_slices_that_there_are() {
    let old = service(json!({}));
    let new = service(json!({ "ports": [{ "port": 80, "targetPort": 9090 }] }));
    let pods = pods(0..250);
    let slices = sliced(&old, &pods);
    let actions = plan(&new, &pods, &hosts(), &slices);
    assert_eq!(actions.len(), 3);
    assert!(
        actions
            .iter()
            .all(|action| matches!(action, Action::Update { .. }))
    );
    let slices = carry_out(&slices, &actions);
    assert_eq!(endpoints(&slices).len(), 250);
    assert_eq!(plan(&new, &pods, &hosts(), &slices), []);
}

#[test]
fn what_others_did_to_a_slice_is_undone_and_other_slices_are_left_alone() {
    let service = service(json!({}));
    let pods = pods(0..3);
    let mut slices = sliced(&service, &pods);
    let own = slices[0].clone();
    slices[0].metadata.labels.as_mut().unwrap().remove("team");
    slices[0].metadata.annotations = Some([("note".to_owned(), "kept".to_owned())].into());
    slices[0].endpoints.as_mut().unwrap().truncate(1);
    let mut foreign = own.clone();
    foreign.metadata.name = Some("foreign".to_owned());
    foreign
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .remove("endpointslice.kubernetes.io/managed-by");
    slices.push(foreign.clone());
    let mut going = own.clone();
    going.metadata.name = Some("going".to_owned());
    going.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    slices.push(going.clone());
    let actions = plan(&service, &pods, &hosts(), &slices);
    let slices = carry_out(&slices, &actions);
    assert_eq!(slices[0].endpoints, own.endpoints);
    assert_eq!(slices[0].metadata.labels, own.metadata.labels);
    assert_eq!(
        slices[0].metadata.annotations.as_ref().unwrap()["note"],
        "kept"
    );
    assert_eq!((&slices[1], &slices[2]), (&foreign, &going));
    assert_eq!(plan(&service, &pods, &hosts(), &slices), []);
}

#[test]
fn a_service_without_pods_keeps_one_slice_that_says_so() {
    let service = service(json!({}));
    let slices = sliced(&service, &pods(0..150));
    let actions = plan(&service, &[], &hosts(), &slices);
    let slices = carry_out(&slices, &actions);
    assert_eq!(
        (slices.len(), endpoints(&slices).len(), actions.len()),
        (1, 0, 2)
    );
    assert_eq!(plan(&service, &[], &hosts(), &slices), []);
    // And that one serves for the first pod.
    let actions = plan(&service, &pods(0..1), &hosts(), &slices);
    assert!(
        matches!(&actions[..], [Action::Update { .. }]),
        "{actions:?}"
    );
}
