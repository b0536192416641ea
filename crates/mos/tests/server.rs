//! The server as a process.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Server, command, output, server_over};

#[test]
fn it_writes_a_private_kubeconfig_and_stops_cleanly() {
    let server = Server::start();
    assert!(
        server.ready.contains("https://127.0.0.1:"),
        "{}",
        server.ready
    );
    let kubeconfig = server.kubeconfig();
    assert!(
        server
            .ready
            .trim_end()
            .ends_with(&format!("kubeconfig={}", kubeconfig.display())),
        "{}",
        server.ready
    );
    let mode = std::fs::metadata(server.kubeconfig())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode = std::fs::metadata(server.data())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let version = server.run_line("version").ok();
    assert!(version.contains("Server: Kubernetes API v1."), "{version}");
    assert!(server.terminate().success());
}

#[test]
fn only_one_server_uses_a_data_directory() {
    let server = Server::start();
    let data = server.data();
    let second = output(&mut server_over(&data));
    let error = second.failed(1);
    assert!(
        error.contains("error:") && error.contains(data.to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn a_restart_renews_the_administrators_certificate_and_keeps_the_old_one_good() {
    let line = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.contains(key));
        line.unwrap().to_owned()
    };
    let server = Server::start();
    let old = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let server = server.restart();
    let new = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let certificate = "client-certificate-data: ";
    assert_ne!(line(&old, certificate), line(&new, certificate));
    server.run_line("get namespaces").ok();

    // The port is another one; everything else is the old file's.
    let address = "server: ";
    let text = old.replace(&line(&old, address), &line(&new, address));
    let copy = server.file("copy", &text);
    output(
        command()
            .args(["get", "namespaces"])
            .env("KUBECONFIG", copy),
    )
    .ok();
}

/// A server that must not start; what it said.
fn fails_to_start(words: &[&str], data: &Path) -> String {
    output(
        command()
            .arg("server")
            .args(words)
            .arg("--data-dir")
            .arg(data),
    )
    .failed(1)
}

#[test]
fn a_start_that_fails_says_what_to_change_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("new/data");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fails_to_start(&["--listen", &address], &data);
    assert!(
        error.contains(&format!("cannot listen on {address}")),
        "{error}"
    );
    assert!(error.contains("--listen ADDR:PORT"), "{error}");
    assert!(!directory.path().join("new").exists());

    let log = directory.path().join("logs/audit.log");
    let words = [
        "--listen",
        "127.0.0.1:0",
        "--audit-log",
        log.to_str().unwrap(),
    ];
    let error = fails_to_start(&words, &data);
    let missing = log.parent().unwrap().to_str().unwrap();
    assert!(
        error.contains(&format!("the directory {missing} does not exist")),
        "{error}"
    );
    assert!(!directory.path().join("new").exists());

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = fails_to_start(&["--listen", "127.0.0.1:0"], &file);
    assert!(error.contains("is a file"), "{error}");
}

#[test]
fn a_server_that_finds_no_etcd_says_that_it_waits_and_then_gives_up() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("etcd=http://{}", silent.local_addr().unwrap());
    let error = fails_to_start(&["--listen", "127.0.0.1:0", "--store", &store], &data);
    let url = store.trim_start_matches("etcd=");
    assert!(
        error.contains(&format!("waiting for etcd at {url}")),
        "{error}"
    );
    assert!(error.contains("cannot reach etcd"), "{error}");
    assert!(!data.exists());
}
