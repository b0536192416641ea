//! What the command line does without a server.

mod common;

use common::{command, output};

#[test]
fn exit_codes_tell_misuse_from_failure() {
    output(command().arg("--help")).ok();
    output(command().arg("--version")).ok();
    output(command().args(["get"])).failed(2);
    output(command().args(["frobnicate"])).failed(2);
    output(command().args(["get", "pods", "-o", "xml"])).failed(2);
    output(command().args(["get", "pods"])).failed(1);
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = output(command().arg("--help")).ok();
    for name in [
        "get",
        "describe",
        "apply",
        "delete",
        "edit",
        "label",
        "annotate",
        "events",
        "explain",
        "api-resources",
        "completion",
        "server",
    ] {
        assert!(help.contains(name), "{name}");
        let help = output(command().args([name, "--help"])).ok();
        assert!(help.contains("Examples:"), "{name}:\n{help}");
    }
}

#[test]
fn without_a_kubeconfig_the_error_says_how_to_get_one() {
    let error = output(command().args(["get", "pods"])).failed(1);
    assert!(error.contains("/nonexistent/.kube/config"), "{error}");
    assert!(error.contains("mos server"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_its_context() {
    // A port that was free a moment ago; nothing of ours listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    std::fs::write(
        &kubeconfig,
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- {{name: here, context: {{cluster: c, user: u}}}}\n\
             clusters:\n- {{name: c, cluster: {{server: \"http://{address}\"}}}}\nusers:\n- {{name: u, user: {{}}}}\n"
        ),
    )
    .unwrap();
    let error = output(
        command()
            .args(["get", "pods"])
            .env("KUBECONFIG", &kubeconfig),
    )
    .failed(1);
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("`here`"), "{error}");
    assert!(error.contains("mos server"), "{error}");
    let error = output(
        command()
            .args(["get", "pods", "--context", "hree"])
            .env("KUBECONFIG", &kubeconfig),
    )
    .failed(1);
    assert!(error.contains("did you mean `here`?"), "{error}");
}

#[test]
fn flags_that_choose_a_server_are_offered_where_one_is_used() {
    for name in ["server", "bench", "completion"] {
        let help = output(command().args([name, "--help"])).ok();
        assert!(!help.contains("--kubeconfig"), "{help}");
    }
    let help = output(command().args(["bench", "api", "--help"])).ok();
    assert!(!help.contains("--kubeconfig"), "{help}");
    let help = output(command().args(["get", "--help"])).ok();
    assert!(help.contains("--kubeconfig"), "{help}");
    let error = output(command().args(["server", "-n", "foo", "--as", "x"])).failed(2);
    assert!(error.contains("`mos server` has no --"), "{error}");
}

#[test]
fn words_of_kubectl_and_docker_lead_on() {
    for (words, wanted) in [
        ("ps", "`mos get pods`"),
        ("apply web.yaml", "`-f web.yaml`"),
        ("--server https://a:6443 get pods", "--kubeconfig FILE"),
    ] {
        let error = output(command().args(words.split(' '))).failed(2);
        assert!(error.contains("hint:") && error.contains(wanted), "{error}");
    }
}

#[test]
fn a_kubeconfig_that_is_none_is_told_apart_from_one_that_is_missing() {
    let error = output(command().args(["get", "pods", "--kubeconfig", "/nope"])).failed(1);
    assert!(
        error.contains("cannot read the kubeconfig /nope: No such file"),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.yaml");
    std::fs::write(
        &file,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
    )
    .unwrap();
    let error = output(command().args(["get", "pods"]).env("KUBECONFIG", &file)).failed(1);
    assert!(
        error.contains("web.yaml is not a kubeconfig (kind: Deployment)"),
        "{error}"
    );
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = output(command().args(["completion", shell])).ok();
        assert!(script.contains("api-resources"), "{shell}");
    }
}

#[test]
fn a_server_refuses_settings_that_it_does_not_know_or_that_do_not_fit() {
    let error = output(command().arg("server").env("MOS_DATADIR", "/x")).failed(2);
    assert!(error.contains("did you mean `MOS_DATA_DIR`"), "{error}");
    let error = output(command().args(["server", "--etcd-ca", "/x"])).failed(2);
    assert!(error.contains("the store is sqlite"), "{error}");
    let error = output(command().args(["server", "--listen", "here"])).failed(2);
    assert!(error.contains("127.0.0.1:6443"), "{error}");
    let error = output(command().args(["server", "--config", "/nonexistent/mos.toml"])).failed(1);
    assert!(error.contains("/nonexistent/mos.toml"), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;
    let mut child = command()
        .args(["completion", "bash"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(child.wait().unwrap().success());
}
