//! Several servers on one etcd: the same objects, the same watches, and any of them may die.

use std::collections::BTreeSet;
use std::thread;

use mosaic_tests::{Etcd, Server, ServerOptions, Store, wait_until};

use serde_json::json;

use crate::{config_map, config_maps, names, server_on};

#[test]
fn what_one_server_writes_the_other_shows_at_once() {
    let etcd = Etcd::start(1);
    let (a, b) = (server_on(&etcd), server_on(&etcd));
    let path = config_maps("default");
    let start = a.http().get(&path).ok()["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    let watch = b.http().watch(&format!(
        "{path}?watch=true&resourceVersion={start}&labelSelector=!none"
    ));
    for i in 0..20 {
        let name = format!("c-{i}");
        a.http().post(&path, &config_map(&name)).ok();
        // No waiting: a read is never older than a write that was answered.
        b.http().get(&format!("{path}/{name}")).ok();
        assert!(
            names(&b.http().get(&path).ok()).contains(&name.as_str()),
            "{name} is not in the list"
        );
    }
    watch.until(|event| event["object"]["metadata"]["name"] == "c-19");
    let stale = a.http().get(&format!("{path}/c-0")).ok();
    let mut changed = stale.clone();
    changed["data"]["a"] = "c".into();
    b.http().put(&format!("{path}/c-0"), &changed).ok();
    a.http()
        .put(&format!("{path}/c-0"), &stale)
        .fails(409, "Conflict");
}

#[test]
fn a_credential_of_one_server_is_good_for_the_other() {
    let etcd = Etcd::start(1);
    let (a, b) = (server_on(&etcd), server_on(&etcd));
    a.http().at(&b.url()).get("/api/v1/nodes").ok();
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    wait_until("the default service account", || {
        a.http().get(account).status == 200
    });
    let token = a.kubectl().run("create token default");
    let token = token.ok().trim();
    let answer = b.http().with_token(token).get("/api/v1/nodes");
    answer.fails(403, "Forbidden");
}

/// The addresses behind the service through which programs in the cluster reach the API.
fn api_addresses(server: &Server) -> BTreeSet<String> {
    let http = server.http();
    let service = "kubernetes.io/service-name%3Dkubernetes";
    let of_service = format!("/apis/discovery.k8s.io/v1/endpointslices?labelSelector={service}");
    let slices = http.get(&of_service).ok();
    let endpoints = slices["items"].as_array().into_iter().flatten();
    let addresses: BTreeSet<String> = endpoints
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned))
        .collect();
    let old = http.get("/api/v1/namespaces/default/endpoints/kubernetes");
    let subsets = if old.status == 200 {
        old.json()["subsets"].clone()
    } else {
        json!([])
    };
    let in_old = |address: &String| subsets.to_string().contains(&format!("\"{address}\""));
    addresses.into_iter().filter(in_old).collect()
}

#[test]
fn servers_that_start_together_are_found_until_they_end() {
    let etcd = Etcd::start(1);
    let start = |address: &str| {
        Server::start_with(ServerOptions {
            store: Store::Etcd(etcd.addresses()),
            everywhere: true,
            arguments: vec!["--advertise-address".into(), address.into()],
            ..ServerOptions::default()
        })
    };
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(|| start("10.1.2.3"));
        let b = scope.spawn(|| start("10.1.2.4"));
        (a.join().expect("a server"), b.join().expect("a server"))
    });
    let found = |addresses: &[&str]| {
        let addresses: BTreeSet<String> = addresses.iter().map(|a| (*a).to_owned()).collect();
        wait_until(&format!("{addresses:?}"), || api_addresses(&b) == addresses);
    };
    found(&["10.1.2.3", "10.1.2.4"]);
    a.stop();
    found(&["10.1.2.4"]);
    a.start_again();
    found(&["10.1.2.3", "10.1.2.4"]);
    // One that dies says nothing; it is missed after a while.
    a.kill();
    found(&["10.1.2.4"]);
}

#[test]
fn a_server_starts_on_the_address_that_it_has_by_default() {
    let server = Server::start_with(ServerOptions {
        everywhere: true,
        ..ServerOptions::default()
    });
    server.kubectl().run("get namespaces").ok();
}

#[test]
fn a_server_whose_etcd_is_away_is_not_ready_but_lives() {
    let mut etcd = Etcd::start(1);
    let server = server_on(&etcd);
    let http = server.http();
    assert_eq!(http.get("/readyz").text(), "ok");
    etcd.kill(0);
    wait_until("the server to be not ready", || {
        let answer = http.get("/readyz");
        answer.status == 503 && answer.text().contains("store failed")
    });
    assert_eq!(http.get("/livez").status, 200);
    etcd.start_again(0);
    wait_until("the server to be ready again", || {
        http.get("/readyz").status == 200
    });
}
