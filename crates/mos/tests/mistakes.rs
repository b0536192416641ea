//! Typical mistakes, and what the answer says about them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::Server;

#[test]
fn what_is_missing_is_named_rather_than_what_was_asked_for() {
    let server = Server::start();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

    let error = server.apply(map, "-n shp").failed(1);
    assert!(error.contains("namespaces \"shp\" not found"), "{error}");
    assert!(error.contains("`mos get namespaces` lists"), "{error}");
    assert!(!error.contains("get configmaps"), "{error}");

    let error = server.run_line("delete web").failed(1);
    assert!(error.contains("the server has no type `web`"), "{error}");
    assert!(error.contains("`deployment/web`"), "{error}");
    let error = server.run_line("delete deployment").failed(2);
    assert!(error.contains("`deployment NAME`"), "{error}");
}

#[test]
fn a_limit_of_the_namespace_is_not_a_matter_of_rights() {
    let server = Server::start();
    let limit = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: most}\n\
                 spec: {limits: [{type: Container, max: {memory: 1Gi}}]}\n";
    server.apply(limit, "").ok();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: big}\n\
               spec: {containers: [{name: main, image: busybox, resources: {limits: {memory: 2Gi}}}]}\n";
    let error = server.apply(pod, "").failed(1);
    assert!(error.contains("maximum memory"), "{error}");
    assert!(!error.contains("can-i"), "{error}");

    let error = server
        .run_line("get secrets -n kube-system --as stranger")
        .failed(1);
    assert!(
        error.contains("`mos auth can-i list secrets -n kube-system`"),
        "{error}"
    );
}

#[test]
fn a_question_about_what_there_is_not_is_answered_with_a_warning() {
    let server = Server::start();
    let answer = server.run_line("auth can-i frob pods");
    assert_eq!((answer.code, answer.out.as_str()), (0, "yes\n"));
    assert!(
        answer.err.contains("`frob` is not a known verb"),
        "{}",
        answer.err
    );
    let answer = server.run_line("auth can-i get cars.example.com");
    assert_eq!((answer.code, answer.out.as_str()), (0, "yes\n"));
    assert!(
        answer.err.contains("no type `cars.example.com`"),
        "{}",
        answer.err
    );
    let answer = server.run_line("auth can-i list pods");
    assert_eq!(answer.err, "");
}

#[test]
fn flags_of_kubectl_do_what_they_do_there() {
    let server = Server::start();
    let map = |name| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    server.apply(&map("a"), "").ok();
    let shown = server.run_line("get cm a -w --request-timeout 3s").ok();
    assert!(shown.starts_with("NAME "), "{shown}");
    server.run_line("events -w --request-timeout 3s").ok();

    let error = server
        .run_line("delete cm a --force --grace-period=1")
        .failed(2);
    assert!(error.contains("contradict"), "{error}");
    let deleted = server.run_line("delete cm a --force --grace-period=0").ok();
    assert!(deleted.contains("\"a\" force deleted"), "{deleted}");

    let error = server
        .run_line("get pods -o go-template={{.kind}}")
        .failed(2);
    assert!(
        error.contains("no Go templates; one of wide, json"),
        "{error}"
    );
}
