//! The server as a process.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Server, command, output};

#[test]
fn it_writes_a_private_kubeconfig_and_stops_cleanly() {
    let server = Server::start();
    assert!(
        server.ready.contains("https://127.0.0.1:"),
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
    let second = output(
        command()
            .args(["server", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data),
    );
    let error = second.failed(1);
    assert!(
        error.contains("error:") && error.contains(data.to_str().unwrap()),
        "{error}"
    );
}
