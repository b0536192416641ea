//! Who may do what, and who one is.

use serde_json::json;

use super::Stage;
use crate::matrix::CERTIFICATE_REQUEST;

pub(super) fn can_i(stage: &Stage) {
    assert_eq!(
        stage.kubectl.run("auth can-i create pods").ok().trim(),
        "yes"
    );
    let no = stage.kubectl.run("auth can-i create pods --as=nobody");
    assert!(no.code == 1 && no.stdout.trim() == "no", "{no}");

    let kubectl = &stage.kubectl;
    kubectl
        .run("create role reader --verb=get --resource=pods --resource-name=one")
        .ok();
    kubectl
        .run("create rolebinding reader --role=reader --user=jill")
        .ok();
    assert_eq!(
        kubectl.run("auth can-i get pods/one --as=jill").ok().trim(),
        "yes"
    );
    assert_eq!(kubectl.run("auth can-i get pods/two --as=jill").code, 1);
    assert_eq!(
        kubectl
            .run("auth can-i get pods/one --as=jill -n default")
            .code,
        1
    );
    kubectl.run("auth can-i get /healthz --as=nobody").ok();
}

pub(super) fn can_i_list(stage: &Stage) {
    stage.kubectl.run("auth can-i --list").says("*.*");
    stage
        .kubectl
        .run("auth can-i --list --as=nobody")
        .says("selfsubjectaccessreviews.authorization.k8s.io");
}

pub(super) fn whoami(stage: &Stage) {
    stage
        .kubectl
        .run("auth whoami")
        .says("Username")
        .says("Groups")
        .says("system:authenticated");
    let name = stage
        .kubectl
        .run("auth whoami --as=jane -o jsonpath={.status.userInfo.username}");
    assert_eq!(name.ok(), "jane");
}

pub(super) fn reconcile(stage: &Stage) {
    let role = |verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "reconciled", "namespace": stage.namespace},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}],
        })
        .to_string()
    };
    stage
        .kubectl
        .run_with_input("auth reconcile -f -", &role(&["get"]))
        .says("reconciled");
    stage
        .kubectl
        .run_with_input("auth reconcile -f -", &role(&["list"]))
        .says("reconciled");
    let rules = stage
        .kubectl
        .run("get role reconciled -o jsonpath={.rules}");
    rules.says("get").says("list");
}

fn request(stage: &Stage, purpose: &str) -> String {
    let name = format!("{purpose}-{}", stage.suffix);
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "request": CERTIFICATE_REQUEST,
        },
    });
    stage
        .kubectl
        .run_with_input("create -f -", &request.to_string())
        .says("created");
    stage
        .kubectl
        .run(&format!("get csr {name}"))
        .says("Pending");
    name
}

pub(super) fn approve(stage: &Stage) {
    let name = request(stage, "approved");
    stage
        .kubectl
        .run(&format!("certificate approve {name}"))
        .says("approved");
    let line = format!("wait csr {name} --for=jsonpath={{.status.certificate}} --timeout=60s");
    stage.kubectl.run(&line).says("condition met");
    stage
        .kubectl
        .run(&format!("get csr {name}"))
        .says("Approved,Issued");
    stage.kubectl.run(&format!("delete csr {name}")).ok();
}

pub(super) fn deny(stage: &Stage) {
    let name = request(stage, "denied");
    stage
        .kubectl
        .run(&format!("certificate deny {name}"))
        .says("denied");
    stage.kubectl.run(&format!("get csr {name}")).says("Denied");
    stage.kubectl.run(&format!("delete csr {name}")).ok();
}

pub(super) fn impersonate(stage: &Stage) {
    let refused = stage
        .kubectl
        .run("get secrets --as=nobody --as-group=nobodies");
    refused
        .complains("(Forbidden)")
        .complains("User \"nobody\" cannot list resource \"secrets\"");
    stage
        .kubectl
        .run("get secrets --as=somebody --as-group=system:masters")
        .ok();
}
