//! The same with kubectl, in both versions that are tested with.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use mosaic_tests::{Kubectl, KubectlVersion};

use crate::cluster::Cluster;

/// Runs a test with each kubectl, beside the server.
async fn with_each(cluster: &Cluster, test: fn(&Kubectl)) {
    for version in KubectlVersion::ALL {
        let home = cluster.scratch().join(version.name());
        let kubectl = Kubectl::new(version, &cluster.kubeconfig(), &home);
        tokio::task::spawn_blocking(move || test(&kubectl))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_logs() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    with_each(&cluster, |kubectl| {
        kubectl.run("logs web").says("web/app says hello");
        kubectl.run("logs pair -c two").says("pair/two says hello");
        kubectl
            .run("logs pair --all-containers")
            .says("pair/one says hello");
        kubectl
            .run("logs web -p")
            .complains("previous terminated container");
        kubectl
            .run("logs far")
            .complains("runs on host \"n2\", which is not connected to this server");
        let mut following = kubectl.follow("logs -f web");
        assert_eq!(following.next_line().trim_end(), "first line");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_runs_commands() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    with_each(&cluster, |kubectl| {
        let input = "some input\n".repeat(10_000);
        let outcome = kubectl.run_with_input("exec -i web -- cat", &input);
        assert_eq!(outcome.ok(), input);
        let outcome = kubectl.run("exec web -- fail");
        assert_eq!(outcome.code, 3, "{outcome}");
        outcome.complains("it failed");
        kubectl
            .run("exec web -- missing")
            .complains("the container is not running");
        kubectl
            .run("exec far -- cat")
            .complains("runs on host \"n2\", which is not connected to this server");
        kubectl
            .run("exec web -c x -- cat")
            .complains("container x is not valid for pod web");
        kubectl
            .with_env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .run("exec web -- cat")
            .complains("by WebSocket, not by SPDY");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_forwards_ports() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    with_each(&cluster, |kubectl| {
        let mut following = kubectl.follow("port-forward pod/web :8080 --address 127.0.0.1");
        let line = following.next_line();
        let (_, rest) = line.split_once("127.0.0.1:").expect(&line);
        let (port, _) = rest.split_once(' ').expect(&line);
        // One connection after the other, and then several at once.
        let connect = || TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        for _ in 0..3 {
            exchange(&mut connect());
        }
        let mut several: Vec<_> = (0..3).map(|_| connect()).collect();
        several.iter_mut().for_each(exchange);
    })
    .await;
}

fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"in capitals").unwrap();
    let mut back = [0; 11];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"IN CAPITALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_through_the_proxy() {
    let cluster = Cluster::start().await;
    let _node = cluster.n1().await;
    with_each(&cluster, |kubectl| {
        kubectl
            .run("get --raw /api/v1/namespaces/default/pods/web:9/proxy/hello?a=b")
            .says("/podProxy/default/web/http/9/hello?a=b");
    })
    .await;
}
