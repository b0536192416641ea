//! The binary's own command line against a server, and how it starts.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mosaic_tests::{Outcome, Server, mos, run, split, wait_until};

/// `mos` with the administrator's kubeconfig.
fn mos_with(server: &Server, line: &str, input: &str) -> Outcome {
    run(
        Command::new(mos())
            .env("KUBECONFIG", server.kubeconfig())
            .args(split(line)),
        input,
    )
}

#[test]
fn the_administrators_kubeconfig_is_for_its_owner_only() {
    let server = Server::shared();
    let mode = server
        .kubeconfig()
        .metadata()
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_line_says_that_the_server_is_ready_and_where() {
    let server = Server::start();
    let address = server.url();
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    wait_until("the line", || {
        let log = server.log();
        log.lines()
            .filter(|line| line.contains("ready") && line.contains(&port))
            .count()
            == 1
    });
}

#[test]
fn a_mistyped_flag_names_the_nearest() {
    let outcome = run(
        Command::new(mos()).args(["server", "--data-dri", "/nowhere"]),
        "",
    );
    outcome.complains("--data-dir");
}

#[test]
fn a_mistyped_key_of_the_file_names_the_nearest() {
    let folder = tempfile_dir();
    let file = folder.join("mos.toml");
    std::fs::write(&file, "[server]\ndata-dri = \"/nowhere\"\n").expect("a writable directory");
    let outcome = run(
        Command::new(mos()).arg("server").arg("--config").arg(&file),
        "",
    );
    outcome.complains("data-dri").complains("data-dir");
    std::fs::remove_dir_all(folder).expect("removable");
}

fn tempfile_dir() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("mosaic-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a directory");
    folder
}

#[test]
fn objects_are_applied_shown_and_deleted_without_kubectl() {
    let server = Server::shared();
    server.namespace("cli");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  a: b\n";
    mos_with(&server, "apply -n cli -f -", manifest).says("one");
    mos_with(&server, "get configmaps -n cli", "")
        .says("NAME")
        .says("one");
    mos_with(&server, "get cm one -n cli -o yaml", "").says("a: b");
    mos_with(&server, "get cm one -n cli -o json", "").says("\"a\": \"b\"");
    mos_with(&server, "describe cm one -n cli", "").says("one");
    mos_with(&server, "label cm one -n cli tier=front", "").ok();
    mos_with(&server, "get cm -n cli -l tier=front", "").says("one");
    mos_with(&server, "explain deployment.spec", "").says("replicas");
    mos_with(&server, "api-resources", "").says("deployments");
    mos_with(&server, "events -n cli", "").ok();
    mos_with(&server, "delete cm one -n cli", "").ok();
    mos_with(&server, "get cm one -n cli", "").complains("not found");
}
