//! `mos image` between the cluster's registry, local directories and tars.

use std::fs;
use std::process::Command;

use mosaic_tests::{Outcome, Server, mos, run, wait_until};
use serde_json::json;

use crate::registry::{image, push, server, text, tree};

/// Where Docker's registry would be asked, were it asked: nobody listens there.
fn offline(server: &Server, words: &[&str]) -> Outcome {
    let mut command = Command::new(mos());
    command
        .env("HOME", server.scratch())
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1")
        .arg("--kubeconfig")
        .arg(server.kubeconfig())
        .arg("image")
        .args(words);
    run(&mut command, "")
}

#[test]
fn a_directory_is_all_that_commands_with_one_touch() {
    let server = server(&[]);
    let digest = push(&server, "app:1", 1_000);
    let name = format!("{}/app:1", server.registry());
    let directory = server.scratch().join("images");
    let local = |words: &[&str]| image(&server, &[&["--dir", text(&directory)], words].concat());
    // What is no directory of images is not made one.
    for words in [
        &["ls"][..],
        &["inspect", "app:1"],
        &["rm", "app:1"],
        &["prune"],
    ] {
        local(words).complains("no directory of images");
    }
    assert!(!directory.exists());
    let foreign = server.scratch().join("foreign");
    fs::create_dir(&foreign).expect("a directory");
    fs::write(foreign.join("file"), "mine").expect("a file");
    image(&server, &["--dir", text(&foreign), "pull", "app:1"]).complains("no directory of images");
    assert_eq!(fs::read_dir(&foreign).expect("a directory").count(), 1);

    local(&["pull", &name]).ok();
    local(&["ls"]).says("app");
    local(&["rm", &name]).ok();
    local(&["rm", &name]).complains("is not in");
    image(&server, &["inspect", "app:1"]).says(&digest);
    // Without one, push and pull say that they want one.
    image(&server, &["pull", "app:1"]).complains("--dir");
}

#[test]
fn another_registry_is_asked_only_where_the_clusters_says_that_it_has_no_such_image() {
    let server = server(&[]);
    let directory = server.scratch().join("images");
    let pull = ["--dir", text(&directory), "pull", "app:99"];
    let asked = offline(&server, &pull);
    asked.complains("app:99 is not there; taking docker.io/library/app:99");
    let mut unknown = Command::new(mos());
    unknown
        .args(["--kubeconfig", "/nowhere", "image"])
        .args(pull);
    let refused = run(&mut unknown, "");
    refused.complains("docker.io/library/app:99");
    assert!(!refused.stderr.contains("taking"), "{refused}");
    server.kill();
    let refused = offline(&server, &pull);
    assert!(!refused.fails().contains("taking"), "{refused}");
}

#[test]
fn what_is_loaded_goes_to_the_cluster_unless_it_is_another_registrys() {
    let server = server(&[]);
    server.namespace("me");
    let directory = server.scratch().join("images");
    let local = |words: &[&str]| image(&server, &[&["--dir", text(&directory)], words].concat());
    let tree = tree(server.scratch(), 1_000);
    for name in ["hello:5", "me/hello:5", "example.com/hello:5"] {
        local(&["import", text(&tree), "--name", name, "--cmd", "true"]).ok();
    }
    let tar = server.scratch().join("t.tar");
    local(&["save", "hello:5", "me/hello:5", "-o", text(&tar)]).ok();
    let home = format!("{}/me/hello:5@sha256:", server.registry());
    image(&server, &["load", "-i", text(&tar)]).says(&home);
    image(&server, &["inspect", "hello:5"]).ok();
    local(&["save", "example.com/hello:5", "-o", text(&tar)]).ok();
    image(&server, &["load", "-i", text(&tar)]).complains("--name");
    image(&server, &["load", "-i", text(&tar), "--name", "hello:6"]).ok();
}

#[test]
fn a_child_image_is_completed_by_a_registry_with_another_address() {
    let (one, other) = (server(&[]), server(&[]));
    push(&one, "app:1", 500_000);
    let layer = tree(one.scratch(), 1_000);
    let child = ["import", text(&layer), "--name", "app:2", "--base", "app:1"];
    let digest = image(&one, &child).ok().trim().to_owned();
    let (base, delta) = (
        one.scratch().join("base.tar"),
        one.scratch().join("delta.tar"),
    );
    image(&one, &["save", "app:1", "-o", text(&base)]).ok();
    image(
        &one,
        &["save", "app:2", "--base", "app:1", "-o", text(&delta)],
    )
    .ok();
    image(&other, &["load", "-i", text(&delta)]).complains("app:1");
    image(&other, &["load", "-i", text(&base)]).ok();
    image(&other, &["load", "-i", text(&delta)]).says(&digest);
}

#[test]
fn a_tar_is_written_through_links_and_pipes_and_never_over_them() {
    let server = server(&[]);
    push(&server, "app:1", 1_000);
    let path = |name: &str| server.scratch().join(name);
    image(&server, &["save", "app:1", "-o", text(&path("plain"))]).ok();
    let plain = fs::read(path("plain")).expect("a tar");
    std::os::unix::fs::symlink(path("target"), path("link")).expect("a link");
    fs::write(path("target"), "old").expect("a file");
    image(&server, &["save", "app:1", "-o", text(&path("link"))]).ok();
    assert!(path("link").is_symlink());
    assert_eq!(fs::read(path("target")).expect("a tar"), plain);
    let made = Command::new("mkfifo").arg(path("pipe")).status();
    assert!(made.expect("mkfifo").success());
    let pipe = path("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).expect("a tar"));
    image(&server, &["save", "app:1", "-o", text(&path("pipe"))]).ok();
    assert_eq!(reader.join().expect("a reader"), plain);
    let mut command = Command::new(mos());
    command
        .current_dir(server.scratch())
        .arg("--kubeconfig")
        .arg(server.kubeconfig())
        .args(["image", "save", "app:1", "-o", "-"]);
    let output = command.output().expect("mos");
    assert!(output.stdout == plain, "{} bytes", output.stdout.len());
    assert!(!path("-").exists());
}

#[test]
fn images_that_no_tag_leads_to_are_pruned() {
    let server = server(&["--registry-grace", "1s"]);
    server.namespace("shop");
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"mosaic/image-storage": "1Gi"}}});
    let quotas = "/api/v1/namespaces/shop/resourcequotas";
    server.http().post(quotas, &quota).ok();
    let used = || {
        let quota = server.http().get(&format!("{quotas}/q")).json();
        let used = quota.pointer("/status/used/mosaic~1image-storage");
        used.and_then(serde_json::Value::as_str).map(str::to_owned)
    };
    push(&server, "shop/web:1", 3_000_000);
    let last = push(&server, "shop/web:1", 200);
    let listed = image(&server, &["prune", "shop/web", "--dry-run"]);
    wait_until("the first image to be old enough", || {
        image(&server, &["prune", "shop/web", "--dry-run"])
            .ok()
            .contains("shop/web@sha256:")
    });
    assert!(!listed.ok().contains(&last), "{listed}");
    image(&server, &["prune"]).says("shop/web@sha256:");
    assert_eq!(image(&server, &["prune"]).ok(), "");
    image(&server, &["inspect", "shop/web:1"]).says(&last);
    wait_until("the quota to be given back", || {
        used().is_some_and(|used| !used.contains('M') && used.len() < 7)
    });
}

#[test]
fn ls_keeps_to_a_namespace_that_is_named() {
    let server = server(&[]);
    server.namespace("shop");
    push(&server, "shop/web:1", 100);
    push(&server, "app:1", 100);
    let listed = image(&server, &["ls", "-n", "shop"]);
    listed.says("shop/web");
    assert!(!listed.stdout.contains("/app"), "{listed}");
}
