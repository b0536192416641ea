//! `kubectl create` with a kind's name, `run`, and kustomize.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Stage, stored};

pub(super) fn namespace(stage: &Stage) {
    let name = format!("made-{}", stage.suffix);
    stage
        .kubectl
        .run(&format!("create namespace {name}"))
        .says("created");
    let phase = stage.kubectl.run(&format!(
        "get namespace {name} -o jsonpath={{.status.phase}}"
    ));
    assert_eq!(phase.ok(), "Active");
    stage
        .kubectl
        .run(&format!("delete namespace {name}"))
        .says("deleted");
}

pub(super) fn configmap(stage: &Stage) {
    let file = stage.file("colour.txt", "green\n");
    let line = format!("create configmap made --from-literal=size=large --from-file={file}");
    stage.kubectl.run(&line).says("created");
    let data = &stored(stage, "v1", "configmaps/made")["data"];
    assert_eq!(
        (&data["size"], &data["colour.txt"]),
        (&"large".into(), &"green\n".into())
    );
}

pub(super) fn secrets(stage: &Stage) {
    stage
        .kubectl
        .run("create secret generic made --from-literal=password=not-a-secret")
        .says("created");
    let secret = stored(stage, "v1", "secrets/made");
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret["data"]["password"], BASE64.encode("not-a-secret"));

    let line = "create secret docker-registry made-registry --docker-server=example.com \
                --docker-username=jane --docker-password=not-a-secret";
    stage.kubectl.run(line).says("created");
    assert_eq!(
        stored(stage, "v1", "secrets/made-registry")["type"],
        "kubernetes.io/dockerconfigjson"
    );
    stage.kubectl.run("get secret made").says("Opaque");
}

pub(super) fn serviceaccount(stage: &Stage) {
    stage
        .kubectl
        .run("create serviceaccount made")
        .says("created");
    stage.kubectl.run("get sa made").says("made");
}

pub(super) fn services(stage: &Stage) {
    stage
        .kubectl
        .run("create service clusterip made-ip --tcp=80:8080")
        .says("created");
    stage
        .kubectl
        .run("create service nodeport made-port --tcp=80")
        .says("created");
    stage
        .kubectl
        .run("create service loadbalancer made-lb --tcp=80")
        .says("created");
    stage
        .kubectl
        .run("create service externalname made-name --external-name=example.com")
        .says("created");
    let service = stored(stage, "v1", "services/made-ip");
    assert!(
        service["spec"]["clusterIP"]
            .as_str()
            .is_some_and(|ip| !ip.is_empty()),
        "{service}"
    );
    let port = &stored(stage, "v1", "services/made-port")["spec"]["ports"][0]["nodePort"];
    assert!(
        (30000..32768).contains(&port.as_u64().unwrap_or_default()),
        "{port}"
    );
    stage
        .kubectl
        .run("get services")
        .says("ExternalName")
        .says("NodePort")
        .says("80/TCP");
}

pub(super) fn deployment(stage: &Stage) {
    let line = "create deployment made --image=example.com/app:1 --replicas=2 --port=80";
    stage.kubectl.run(line).says("created");
    let deployment = stored(stage, "apps/v1", "deployments/made");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["spec"]["strategy"]["type"], "RollingUpdate");
    stage.kubectl.run("get deployment made").says("READY");
    stage.kubectl.run("delete deployment made").ok();
}

pub(super) fn jobs(stage: &Stage) {
    stage
        .kubectl
        .run("create job made --image=example.com/app:1 -- run me")
        .says("created");
    let line = "create cronjob made --image=example.com/app:1 --schedule='*/5 * * * *' -- run me";
    stage.kubectl.run(line).says("created");
    stage
        .kubectl
        .run("create job made-now --from=cronjob/made")
        .says("created");
    let job = stored(stage, "batch/v1", "jobs/made-now");
    assert_eq!(job["metadata"]["ownerReferences"][0]["kind"], "CronJob");
    stage.kubectl.run("delete cronjob made").says("deleted");
    stage.kubectl.run("delete job made").says("deleted");
}

pub(super) fn quota(stage: &Stage) {
    stage
        .kubectl
        .run("create quota made --hard=services=100,secrets=100")
        .says("created");
    assert_eq!(
        stored(stage, "v1", "resourcequotas/made")["spec"]["hard"]["services"],
        "100"
    );
    stage.kubectl.run("delete quota made").says("deleted");
}

pub(super) fn budget(stage: &Stage) {
    let line = "create poddisruptionbudget made --selector=app=none --min-available=50%";
    stage.kubectl.run(line).says("created");
    stage.kubectl.run("get pdb made").says("50%");
}

pub(super) fn priorityclass(stage: &Stage) {
    let name = format!("made-{}", stage.suffix);
    stage
        .kubectl
        .run(&format!(
            "create priorityclass {name} --value=7 --description=few"
        ))
        .says("created");
    stage
        .kubectl
        .run(&format!("get priorityclass {name}"))
        .says("7");
    stage
        .kubectl
        .run(&format!("delete priorityclass {name}"))
        .says("deleted");
}

pub(super) fn ingress(stage: &Stage) {
    stage
        .kubectl
        .run("create ingress made --rule='example.com/*=web:80'")
        .says("created");
    stage.kubectl.run("get ingress made").says("example.com");
}

pub(super) fn roles(stage: &Stage) {
    stage
        .kubectl
        .run("create role made --verb=get,list --resource=pods,deployments.apps")
        .says("created");
    stage
        .kubectl
        .run("create rolebinding made --role=made --user=jane")
        .says("created");
    stage
        .kubectl
        .run("get rolebinding made -o wide")
        .says("Role/made")
        .says("jane");
}

pub(super) fn cluster_roles(stage: &Stage) {
    let name = format!("made-{}", stage.suffix);
    let kubectl = &stage.kubectl;
    kubectl
        .run(&format!(
            "create clusterrole {name} --verb=get --non-resource-url=/metrics"
        ))
        .says("created");
    kubectl
        .run(&format!(
            "create clusterrolebinding {name} --clusterrole={name} --group=team"
        ))
        .says("created");
    kubectl
        .run(&format!("get clusterrolebinding {name} -o wide"))
        .says("team");
    kubectl
        .run(&format!("delete clusterrole,clusterrolebinding {name}"))
        .says("deleted");
}

pub(super) fn token(stage: &Stage) {
    let token = stage.kubectl.run("create token default --duration=1h");
    let token = token.ok().trim();
    assert_eq!(token.split('.').count(), 3, "{token}");
    let review = stage.http.with_token(token).post(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        &serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}),
    );
    let name = format!("system:serviceaccount:{}:default", stage.namespace);
    assert_eq!(review.ok()["status"]["userInfo"]["username"], name);
}

pub(super) fn run(stage: &Stage) {
    stage
        .kubectl
        .run("run made --image=example.com/app:1 --labels=app=run --env=A=b")
        .says("created");
    let pod = stored(stage, "v1", "pods/made");
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "b");
    assert_eq!(pod["status"]["phase"], "Pending");
    stage.kubectl.run("get pod made").says("Pending");
    stage.kubectl.run("delete pod made").says("deleted");
}

pub(super) fn kustomize(stage: &Stage) {
    let folder = stage.scratch.join("kustomize");
    fs::create_dir_all(&folder).expect("a directory");
    let write =
        |name: &str, text: &str| fs::write(folder.join(name), text).expect("a writable directory");
    write(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: base\ndata:\n  a: b\n",
    );
    write(
        "kustomization.yaml",
        "namePrefix: kust-\nresources: [config.yaml]\nlabels:\n- pairs: {kust: \"yes\"}\n",
    );
    let folder = folder.to_string_lossy();
    stage
        .kubectl
        .run(&format!("kustomize {folder}"))
        .says("name: kust-base");
    stage
        .kubectl
        .run(&format!("apply -k {folder}"))
        .says("configmap/kust-base created");
    assert_eq!(
        stored(stage, "v1", "configmaps/kust-base")["metadata"]["labels"]["kust"],
        "yes"
    );
    stage
        .kubectl
        .run(&format!("delete -k {folder}"))
        .says("deleted");
}

pub(super) fn prune(stage: &Stage) {
    let config = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels: {{set: prune}}\n"
        )
    };
    let line = "apply -f - --prune -l set=prune --prune-allowlist=core/v1/ConfigMap";
    let both = config("keep") + &config("drop");
    stage
        .kubectl
        .run_with_input(line, &both)
        .says("configmap/drop created");
    stage
        .kubectl
        .run_with_input(line, &config("keep"))
        .says("configmap/drop pruned");
}

pub(super) fn unknown_field(stage: &Stage) {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: odd\ndatta:\n  a: b\n";
    let refused = stage.kubectl.run_with_input("create -f -", manifest);
    refused.complains("unknown field \"datta\"");
    let warned = stage
        .kubectl
        .run_with_input("create --validate=warn -f -", manifest);
    assert!(
        warned.ok().contains("created") && warned.stderr.contains("unknown field"),
        "{warned}"
    );
    let silent = stage.kubectl.run_with_input(
        "apply --validate=false -f -",
        &manifest.replace("odd", "odder"),
    );
    assert!(silent.ok().contains("created"), "{silent}");
}
