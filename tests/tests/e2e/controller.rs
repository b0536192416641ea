//! The example controller, which is what a user of kube-rs would write.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use mosaic_example_controller::{Site, SiteSpec, install, run};
use mosaic_tests::{Server, runtime, wait_for, wait_until};
use serde_json::json;

#[test]
fn the_example_controller_keeps_its_sites() {
    let server = Server::start();
    let client = server.http().client();
    let controller = {
        let client = client.clone();
        runtime()
            .block_on(async { install(&client).await })
            .expect("the kind is accepted");
        runtime().spawn(run(client))
    };
    let sites: Api<Site> = Api::namespaced(client.clone(), "default");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let pages: Api<ConfigMap> = Api::namespaced(client, "default");

    let site = Site::new(
        "hello",
        SiteSpec {
            text: "Hello".into(),
            servers: 2,
        },
    );
    runtime()
        .block_on(sites.create(&PostParams::default(), &site))
        .expect("created");
    let page = wait_for("the page", || {
        runtime()
            .block_on(pages.get_opt("hello"))
            .expect("an answer")
    });
    assert_eq!(page.data.expect("data")["index.html"], "<h1>Hello</h1>\n");
    let servers = || {
        let deployment = runtime()
            .block_on(deployments.get_opt("hello"))
            .expect("an answer");
        deployment
            .map(|deployment| deployment.spec)
            .and_then(|spec| spec.replicas)
    };
    wait_until("the servers", || servers() == Some(2));
    wait_until("the status", || {
        let site = runtime().block_on(sites.get("hello")).expect("the site");
        site.status
            .is_some_and(|status| status.observed_generation == 1)
    });

    // What is wanted changes; somebody else meddles; both are put right.
    server
        .kubectl()
        .run("scale site hello --replicas=3")
        .says("scaled");
    wait_until("three servers", || servers() == Some(3));
    let meddle = json!({"spec": {"replicas": 9}});
    let merge = Patch::Merge(&meddle);
    runtime()
        .block_on(deployments.patch("hello", &PatchParams::default(), &merge))
        .expect("patched");
    wait_until("three servers again", || servers() == Some(3));
    server
        .kubectl()
        .run("get sites")
        .says("SERVERS")
        .says("hello");

    runtime()
        .block_on(sites.delete("hello", &DeleteParams::default()))
        .expect("deleted");
    wait_until("all of it to be gone", || {
        let page = runtime()
            .block_on(pages.get_opt("hello"))
            .expect("an answer");
        page.is_none() && servers().is_none()
    });
    controller.abort();
}
