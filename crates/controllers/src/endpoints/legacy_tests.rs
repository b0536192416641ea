use serde_json::{Value, json};

use super::{super::testing::*, *};

fn made(service: &ServiceView, pods: &[Arc<PodView>]) -> Endpoints {
    match plan(service, pods, &hosts(), None) {
        Some(Action::Create(endpoints)) => endpoints,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ready_and_unready_addresses_stand_under_their_ports() {
    let going = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let pods = [
        pod(2, json!({})),
        pod(1, json!({})),
        pod(3, unready()),
        pod(4, going),
    ];
    let endpoints = made(&service(json!({})), &pods);
    assert_eq!(
        serde_json::to_value(&endpoints.metadata).unwrap(),
        json!({
            "name": "web", "namespace": "default",
            "labels": { "team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller" },
        })
    );
    let address = |number: usize| {
        json!({
            "ip": format!("10.1.0.{}", number + 1), "nodeName": format!("host-{}", number % 4),
            "targetRef": { "kind": "Pod", "namespace": "default", "name": format!("p{number:05}"), "uid": format!("u{number}") },
        })
    };
    assert_eq!(
        serde_json::to_value(&endpoints.subsets).unwrap(),
        json!([{
            "addresses": [address(1), address(2)], "notReadyAddresses": [address(3)],
            "ports": [{ "port": 8080, "protocol": "TCP" }],
        }])
    );
    assert_eq!(
        plan(&service(json!({})), &pods, &hosts(), Some(&endpoints)),
        None
    );
    // Who does not ask for readiness has them all.
    let everybody = made(&service(json!({ "publishNotReadyAddresses": true })), &pods);
    let subset = &everybody.subsets.unwrap()[0];
    assert_eq!(
        (
            subset.addresses.as_ref().unwrap().len(),
            &subset.not_ready_addresses
        ),
        (4, &None)
    );
}

#[test]
fn the_first_family_is_the_one_that_is_shown() {
    let six = service(json!({ "ipFamilies": ["IPv6", "IPv4"] }));
    let endpoints = made(&six, &pods(7..8));
    assert_eq!(
        endpoints.subsets.unwrap()[0].addresses.as_ref().unwrap()[0].ip,
        "fd00::7"
    );
}

#[test]
fn pods_without_the_port_are_left_out_unless_the_service_is_of_names_only() {
    let named = json!([{ "port": 80, "targetPort": "http" }]);
    assert_eq!(
        made(&service(json!({ "ports": named })), &pods(0..1)).subsets,
        None
    );
    let headless = made(
        &service(json!({ "ports": [], "clusterIP": "None" })),
        &pods(0..1),
    );
    assert_eq!(headless.subsets.as_ref().unwrap()[0].ports, None);
    assert!(
        headless
            .metadata
            .labels
            .unwrap()
            .contains_key("service.kubernetes.io/headless")
    );
}

#[test]
fn no_more_than_a_thousand_are_shown_and_that_is_said() {
    let service = service(json!({}));
    let mut some = pods(0..900);
    some.extend((900..1300).map(|number| pod(number, unready())));
    let endpoints = made(&service, &some);
    let counts = |endpoints: &Endpoints| {
        let subset = &endpoints.subsets.as_ref().unwrap()[0];
        let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
        (count(&subset.addresses), count(&subset.not_ready_addresses))
    };
    let annotation = |endpoints: &Endpoints| -> Value {
        let annotations = endpoints.metadata.annotations.as_ref();
        json!(annotations.and_then(|all| all.get("endpoints.kubernetes.io/over-capacity")))
    };
    assert_eq!(
        (counts(&endpoints), annotation(&endpoints)),
        ((900, 100), json!("truncated"))
    );
    let Some(Action::Update(fewer)) = plan(&service, &pods(0..800), &hosts(), Some(&endpoints))
    else {
        panic!("no update")
    };
    assert_eq!(
        (counts(&fewer), annotation(&fewer)),
        ((800, 0), Value::Null)
    );
    assert_eq!(counts(&made(&service, &pods(0..1200))), (1000, 0));
}
