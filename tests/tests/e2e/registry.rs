//! The image registry, with real clients: Docker, skopeo and mos.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::Method;
use mosaic_tests::{
    Docker, Http, Outcome, Server, ServerOptions, mos, run, skopeo, wait_for, wait_until,
};
use rand::{Rng, RngCore};
use serde_json::{Value, json};

use crate::faults::SmallDisk;
use crate::kills;

pub(crate) fn server(arguments: &[&str]) -> Server {
    Server::start_with(ServerOptions {
        registry: true,
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..ServerOptions::default()
    })
}

/// `mos image` as administrator, with a home of its own.
pub(crate) fn image(server: &Server, words: &[&str]) -> Outcome {
    let mut command = Command::new(mos());
    command
        .env("HOME", server.scratch())
        .env_remove("DOCKER_CONFIG")
        .arg("--kubeconfig")
        .arg(server.kubeconfig())
        .arg("image")
        .args(words);
    run(&mut command, "")
}

/// A tree with a file of this many bytes that cannot be compressed.
pub(crate) fn tree(at: &Path, bytes: usize) -> PathBuf {
    let root = at.join(format!("tree-{}", rand::rng().random::<u64>()));
    fs::create_dir_all(root.join("data")).expect("a directory");
    let mut noise = vec![0; bytes];
    rand::rng().fill_bytes(&mut noise);
    fs::write(root.join("data/noise"), noise).expect("a file");
    root
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// Puts an image of its own into the registry; its digest.
pub(crate) fn push(server: &Server, name: &str, bytes: usize) -> String {
    let tree = tree(server.scratch(), bytes);
    let imported = image(
        server,
        &["import", text(&tree), "--name", name, "--cmd", "true"],
    );
    imported.ok().trim().to_owned()
}

/// A service account's token.
fn token(server: &Server, namespace: &str, account: &str) -> String {
    let kubectl = server.kubectl();
    kubectl
        .run(&format!("create serviceaccount {account} -n {namespace}"))
        .ok();
    let token = kubectl.run(&format!("create token {account} -n {namespace}"));
    token.ok().trim().to_owned()
}

/// A service account that may push to its namespace.
pub(crate) fn pusher(server: &Server, namespace: &str) -> String {
    let token = token(server, namespace, "ci");
    let binding = format!(
        "create rolebinding ci --clusterrole=edit --serviceaccount={namespace}:ci -n {namespace}"
    );
    server.kubectl().run(&binding).ok();
    token
}

/// The registry by its own protocol.
fn registry(server: &Server, token: &str) -> Http {
    let url = format!("https://{}", server.registry());
    server.http().with_token(token).at(&url)
}

#[test]
fn docker_logs_in_pushes_and_pulls() {
    let server = server(&[]);
    server.namespace("shop");
    let token = pusher(&server, "shop");
    let docker = Docker::start();
    let name = format!("{}/shop/web:1", server.registry());
    let tar = docker.scratch().join("root.tar");
    let tree = tree(docker.scratch(), 300_000);
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&tree)
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .status();
    assert!(packed.expect("tar").success());
    docker.run(&["import", text(&tar), &name], "").ok();
    let id = |name: &str| {
        let inspected = docker.run(&["image", "inspect", "-f", "{{.Id}}", name], "");
        inspected.ok().to_owned()
    };
    let before = id(&name);

    let login = ["login", "-u", "ci", "--password-stdin", &server.registry()];
    docker.run(&login, "nonsense").fails();
    docker.run(&login, &token).says("Succeeded");
    docker.run(&["push", &name], "").ok();
    docker.run(&["rmi", &name], "").ok();
    docker.run(&["pull", &name], "").ok();
    assert_eq!(id(&name), before);

    // What Docker saved loads here, and what is saved here loads in Docker.
    let saved = docker.scratch().join("saved.tar");
    docker.run(&["save", "-o", text(&saved), &name], "").ok();
    image(
        &server,
        &["load", "-i", text(&saved), "--name", "shop/loaded:1"],
    )
    .ok();
    let ours = docker.scratch().join("ours.tar");
    image(&server, &["save", "shop/loaded:1", "-o", text(&ours)]).ok();
    docker.run(&["rmi", &name], "").ok();
    docker.run(&["load", "-i", text(&ours)], "").ok();
    assert_eq!(id("shop/loaded:1"), before);
}

#[test]
fn skopeo_copies_lists_and_deletes() {
    let server = server(&[]);
    server.namespace("shop");
    let token = pusher(&server, "shop");
    let digest = push(&server, "shop/web:1", 100_000);
    let name = format!("docker://{}/shop/web", server.registry());
    let login = format!("ci:{token}");
    let copied = server.scratch().join("copied");
    let layout = format!("oci:{}:web", text(&copied));
    let source = format!("{name}:1");
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &login,
        &source,
        &layout,
    ])
    .ok();
    let again = format!("{name}:2");
    skopeo(&[
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        &login,
        &layout,
        &again,
    ])
    .ok();
    let inspected = skopeo(&["inspect", "--tls-verify=false", "--creds", &login, &again]);
    let inspected: Value = serde_json::from_str(inspected.ok()).expect("JSON");
    assert_eq!(inspected["Digest"], digest.as_str());
    assert_eq!(inspected["RepoTags"], json!(["1", "2"]));

    skopeo(&["delete", "--tls-verify=false", "--creds", &login, &again]).ok();
    skopeo(&["inspect", "--tls-verify=false", "--creds", &login, &source]).complains("unknown");
    skopeo(&["inspect", "--tls-verify=false", &source]).complains("unauthorized");
}

#[test]
fn rights_are_those_of_the_namespace() {
    let server = server(&[]);
    for namespace in ["shop", "bank"] {
        server.namespace(namespace);
    }
    push(&server, "shop/web:1", 1_000);
    let reader = registry(&server, &token(&server, "shop", "reader"));
    let stranger = registry(&server, &token(&server, "bank", "stranger"));
    let manifest = "/v2/shop/web/manifests/1";
    let uploads = "/v2/shop/web/blobs/uploads/";
    let post = |http: &Http, path: &str| http.request(Method::POST, path, &[], Vec::new());
    // Those of the namespace pull, and need a role to push; others do neither.
    assert_eq!(reader.get(manifest).status, 200);
    assert_eq!(post(&reader, uploads).status, 403);
    assert_eq!(stranger.get(manifest).status, 403);
    assert_eq!(
        stranger.get("/v2/_catalog").json()["repositories"],
        json!([])
    );
    let ci = registry(&server, &pusher(&server, "shop"));
    assert_eq!(post(&ci, uploads).status, 202);
    assert_eq!(post(&ci, "/v2/bank/web/blobs/uploads/").status, 403);
    let nobody = server
        .anonymous()
        .at(&format!("https://{}", server.registry()));
    let refused = nobody.get(manifest);
    assert_eq!(refused.status, 401, "{refused}");
    assert!(refused.headers.contains_key("www-authenticate"));
    // The administrator may do everything, but not to a namespace that is not there.
    let tree = tree(server.scratch(), 10);
    image(&server, &["import", text(&tree), "--name", "nowhere/web:1"]).complains("no namespace");
    // A credential for the registry is none for the API.
    let answer = server.http().post(
        "/apis/mosaic/v1/registrytokens",
        &json!({"apiVersion": "mosaic/v1", "kind": "RegistryToken"}),
    );
    let pass = answer.ok()["status"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(registry(&server, &pass).get(manifest).status, 200);
    assert_eq!(
        server
            .http()
            .with_token(&pass)
            .get("/api/v1/namespaces")
            .status,
        401
    );
}

#[test]
fn images_can_be_pulled_without_a_login_where_that_is_set() {
    let server = server(&["--registry-anonymous-pull", "true"]);
    server.namespace("shop");
    push(&server, "shop/web:1", 1_000);
    let source = format!("docker://{}/shop/web:1", server.registry());
    let copied = format!("oci:{}:web", text(&server.scratch().join("copied")));
    skopeo(&["copy", "--src-tls-verify=false", &source, &copied]).ok();
    let docker = Docker::start();
    let name = format!("{}/shop/web:1", server.registry());
    docker.run(&["pull", &name], "").ok();
    docker.run(&["push", &name], "").fails();
}

#[test]
fn kubectl_shows_the_images_and_nobody_can_write_them() {
    let server = server(&[]);
    server.namespace("shop");
    let digest = push(&server, "shop/web:1.0", 5_000);
    let kubectl = server.kubectl();
    let line = wait_for("the image", || {
        let got = kubectl.run("get images -n shop --no-headers");
        got.stdout.lines().next().map(str::to_owned)
    });
    let short = &digest["sha256:".len()..][..12];
    for part in ["shop/web", "1.0", short, "kB"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let by = "get images -n shop -o jsonpath='{.items[0].status.digest}'";
    assert_eq!(kubectl.run(by).ok(), digest);
    let directory = server.scratch().join("pulled");
    image(
        &server,
        &["--dir", text(&directory), "pull", "shop/web:1.0"],
    )
    .ok();
    wait_until("the pull to be shown", || {
        !kubectl
            .run("get images -n shop -o jsonpath='{.items[0].status.lastPullTime}'")
            .ok()
            .is_empty()
    });
    let name = kubectl.run("get images -n shop -o name");
    kubectl
        .run(&format!("delete {} -n shop", name.ok().trim()))
        .complains("not allow");
    image(&server, &["rm", "shop/web:1.0"]).ok();
    wait_until("the image to go", || {
        kubectl.run("get images -n shop -o name").ok().is_empty()
    });
}

#[test]
fn a_child_image_moves_only_what_its_base_lacks() {
    let server = server(&[]);
    server.namespace("shop");
    push(&server, "shop/app:1", 2_000_000);
    let layer = tree(server.scratch(), 10_000);
    let child = [
        "import",
        text(&layer),
        "--name",
        "shop/app:2",
        "--base",
        "shop/app:1",
    ];
    let digest = image(&server, &child).ok().trim().to_owned();
    let (delta, full) = (
        server.scratch().join("delta.tar"),
        server.scratch().join("full.tar"),
    );
    image(
        &server,
        &[
            "save",
            "shop/app:2",
            "--base",
            "shop/app:1",
            "-o",
            text(&delta),
        ],
    )
    .ok();
    image(&server, &["save", "shop/app:2", "-o", text(&full)]).ok();
    let size = |path: &Path| fs::metadata(path).expect("a file").len();
    assert!(
        size(&delta) * 20 < size(&full),
        "{} of {}",
        size(&delta),
        size(&full)
    );

    // Where the base is not, the child is refused with what is missing; where it is, it is whole.
    let other = server.scratch().join("other");
    let load = ["--dir", text(&other), "load", "-i", text(&delta)];
    let refused = image(&server, &load);
    refused.complains("sha256:");
    assert!(
        image(&server, &["--dir", text(&other), "ls", "-o", "json"])
            .ok()
            .trim()
            == "[]"
    );
    let pull = ["--dir", text(&other), "pull", "shop/app:1"];
    image(&server, &pull).ok();
    image(&server, &load).says(&digest);
    // The tar without a base is one for skopeo.
    let archive = format!("docker-archive:{}", text(&full));
    skopeo(&["inspect", &archive]).ok();
}

#[test]
fn a_namespace_with_a_key_runs_only_what_is_signed_with_it() {
    let server = server(&[]);
    server.namespace("vault");
    let digest = push(&server, "vault/web:1", 1_000);
    let openssl = |words: &str, input: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(server.scratch()).args(words.split(' '));
        run(&mut command, input)
    };
    openssl("ecparam -name prime256v1 -genkey -noout -out key.pem", "").ok();
    let public = openssl("ec -in key.pem -pubout", "").ok().to_owned();
    let patch = json!({"metadata": {"annotations": {"mosaic/image-key": public}}});
    let namespace = "/api/v1/namespaces/vault";
    server
        .http()
        .patch(mosaic_tests::PatchKind::Merge, namespace, &patch)
        .ok();
    let nonsense = json!({"metadata": {"annotations": {"mosaic/image-key": "nonsense"}}});
    server
        .http()
        .patch(mosaic_tests::PatchKind::Merge, namespace, &nonsense)
        .fails(403, "Forbidden");
    let pod = |name: &str, image: &str| {
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": image}]}});
        server.http().post("/api/v1/namespaces/vault/pods", &pod)
    };
    let named = format!("{}/vault/web:1", server.registry());
    let refused = pod("early", &named).fails(403, "Forbidden");
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|text| text.contains("no signature"))
    );
    assert_eq!(pod("foreign", "docker.io/library/nginx:1").status, 403);

    // What others have is told to nobody who may not pull it.
    server.namespace("others");
    push(&server, "others/web:there", 1_000);
    let rights = json!({"metadata": {"name": "author"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "name": "author", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/vault/rolebindings";
    server.http().post(bindings, &rights).ok();
    let told = |tag: &str| {
        let image = format!("{}/others/web:{tag}", server.registry());
        let pod = json!({"metadata": {"name": "curious"}, "spec": {"containers": [{"name": "c", "image": image}]}});
        let refused = server
            .http()
            .impersonate("author")
            .post("/api/v1/namespaces/vault/pods", &pod)
            .fails(403, "Forbidden");
        let message = refused["message"].as_str().unwrap_or_default().to_owned();
        message.replace(&format!(":{tag}"), "")
    };
    assert_eq!(told("there"), told("absent"));

    // As cosign signs: the payload is a layer, the signature its annotation, the tag says of what.
    let payload = json!({"critical": {
        "identity": {"docker-reference": named},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }, "optional": null})
    .to_string();
    fs::write(server.scratch().join("payload"), &payload).expect("a file");
    openssl("dgst -sha256 -sign key.pem -out signature payload", "").ok();
    let signature = openssl("base64 -A -in signature", "").ok().to_owned();
    let registry = registry(&server, &pusher(&server, "vault"));
    let blob = |content: &str, file: &str| {
        fs::write(server.scratch().join(file), content).expect("a file");
        let sum = openssl(&format!("dgst -sha256 -r {file}"), "")
            .ok()
            .to_owned();
        let digest = format!("sha256:{}", &sum[..64]);
        let path = format!("/v2/vault/web/blobs/uploads/?digest={digest}");
        let put = registry.request(Method::POST, &path, &[], content.as_bytes().to_vec());
        assert_eq!(put.status, 201, "{put}");
        json!({"digest": digest, "size": content.len()})
    };
    let mut config = blob("{}", "config");
    config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    let mut layer = blob(&payload, "payload");
    layer["mediaType"] = json!("application/vnd.dev.cosign.simplesigning.v1+json");
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer]});
    let path = format!("/v2/vault/web/manifests/{}.sig", digest.replace(':', "-"));
    let put = registry.request(
        Method::PUT,
        &path,
        &[("content-type", manifest_type)],
        manifest.to_string().into_bytes(),
    );
    assert_eq!(put.status, 201, "{put}");

    // The signature is shown with the image and goes with it, and is no image of its own.
    image(&server, &["inspect", "vault/web:1"]).says("signature ");
    image(
        &server,
        &["copy", "--referrers", "vault/web:1", "vault/copy:1"],
    )
    .ok();
    image(&server, &["inspect", "vault/copy:1"]).says("signature ");
    let listed = image(&server, &["ls"]);
    assert!(
        !listed.says("vault/web").stdout.contains(".sig"),
        "{listed}"
    );
    image(&server, &["ls", "--all"]).says(".sig");

    // What runs is what was signed, wherever the tag points later.
    let created = pod("signed", &named).ok();
    let pinned = format!("{}/vault/web@{digest}", server.registry());
    assert_eq!(created["spec"]["containers"][0]["image"], pinned);
    let volume = json!({"metadata": {"name": "volume"}, "spec": {
        "containers": [{"name": "c", "image": named}],
        "volumes": [{"name": "v", "image": {"reference": named}}]}});
    let pods = "/api/v1/namespaces/vault/pods";
    let created = server.http().post(pods, &volume).ok();
    assert_eq!(created["spec"]["volumes"][0]["image"]["reference"], pinned);
    push(&server, "vault/web:1", 1_000);
    assert_eq!(pod("moved", &named).status, 403);
    let mut unsigned = volume.clone();
    unsigned["metadata"]["name"] = json!("unsigned");
    unsigned["spec"]["containers"][0]["image"] = json!(pinned);
    assert_eq!(server.http().post(pods, &unsigned).status, 403);
    // The signature stays where the image was deleted.
    let path = format!("/v2/vault/web/manifests/{digest}");
    let deleted = registry.request(Method::DELETE, &path, &[], Vec::new());
    assert_eq!(deleted.status, 202, "{deleted}");
    assert_eq!(pod("gone", &pinned).status, 403);
}

#[test]
fn a_quota_limits_what_a_namespace_keeps() {
    let server = server(&[]);
    server.namespace("shop");
    let quota =
        json!({"metadata": {"name": "images"}, "spec": {"hard": {"mosaic/image-storage": "1M"}}});
    server
        .http()
        .post("/api/v1/namespaces/shop/resourcequotas", &quota)
        .ok();
    push(&server, "shop/web:1", 600_000);
    let tree = tree(server.scratch(), 600_000);
    let import = ["import", text(&tree), "--name", "shop/web:2"];
    image(&server, &import).complains("quota");
    let used = || {
        let quota = server
            .http()
            .get("/api/v1/namespaces/shop/resourcequotas/images")
            .ok();
        let used = quota["status"]["used"]["mosaic/image-storage"].as_str();
        used.and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_default()
    };
    wait_until("the quota to say what is used", || used() > 600_000);
    image(&server, &["rm", "shop/web:1"]).ok();
}

#[test]
fn a_namespace_takes_its_images_with_it() {
    let server = server(&[]);
    for namespace in ["shop", "shop-2"] {
        server.namespace(namespace);
        push(&server, &format!("{namespace}/web:1"), 1_000);
    }
    server.kubectl().run("delete namespace shop").ok();
    let catalogue = || {
        let listed = image(&server, &["ls", "-o", "json"]);
        let listed: Value = serde_json::from_str(listed.ok()).expect("JSON");
        let names = listed.as_array().into_iter().flatten();
        names
            .map(|image| image["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    let left = format!("{}/shop-2/web:1", server.registry());
    wait_until("the images of the namespace to go", || {
        catalogue() == [left.as_str()]
    });
}

/// How many bytes are in a directory.
fn used(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => used(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn no_kill_leaves_a_tag_at_half_an_image_and_the_space_comes_back() {
    let server = server(&["--registry-grace", "4s"]);
    server.namespace("shop");
    let token = pusher(&server, "shop");
    let sources: Vec<PathBuf> = (0..3)
        .map(|i| {
            let directory = server.scratch().join(format!("source-{i}"));
            let tree = tree(server.scratch(), 3_000_000);
            image(
                &server,
                &[
                    "--dir",
                    text(&directory),
                    "import",
                    text(&tree),
                    "--name",
                    "app:1",
                ],
            )
            .ok();
            directory
        })
        .collect();
    let mut rng = rand::rng();
    for round in 0..kills(5) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for source in &sources {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || {
                    for i in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let target = format!("shop/app-{round}:{i}");
                        image(server, &["--dir", text(source), "push", "app:1", &target]);
                    }
                });
            }
            thread::sleep(std::time::Duration::from_millis(rng.random_range(0..400)));
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        server.start_again();
        // Every tag that there is stands for an image that is whole.
        let http = registry(&server, &token);
        wait_until("the registry to answer", || {
            http.try_get("/v2/")
                .is_ok_and(|answer| answer.status == 200)
        });
        let repository = format!("/v2/shop/app-{round}");
        let tags = http.get(&format!("{repository}/tags/list"));
        for tag in tags.json()["tags"].as_array().into_iter().flatten() {
            let tag = tag.as_str().expect("a tag");
            let manifest = http.get(&format!("{repository}/manifests/{tag}")).ok();
            let layers = manifest["layers"].as_array().expect("layers");
            for blob in layers.iter().chain([&manifest["config"]]) {
                let digest = blob["digest"].as_str().expect("a digest");
                let got = http.get(&format!("{repository}/blobs/{digest}"));
                assert_eq!(got.status, 200, "{tag}: {got}");
                assert_eq!(got.body.len() as u64, blob["size"], "{tag}");
            }
            let manifest = format!("{repository}/manifests/{tag}");
            assert_eq!(http.delete(&manifest).status, 202);
        }
    }
    // Manifests without tags stay; with them gone too, so does everything.
    let http = registry(&server, &token);
    let repositories = http.get("/v2/_catalog").json();
    for repository in repositories["repositories"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = repository.as_str().expect("a name");
        for source in &sources {
            let shown = image(
                &server,
                &["--dir", text(source), "inspect", "app:1", "-o", "json"],
            );
            let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
            let digest = shown["digest"].as_str().expect("a digest");
            http.delete(&format!("/v2/{name}/manifests/{digest}"));
        }
    }
    let blobs = server.data_dir().join("registry/blobs");
    let uploads = server.data_dir().join("registry/uploads");
    wait_until("the space to come back", || {
        used(&blobs) + used(&uploads) == 0
    });
}

#[test]
fn a_full_disk_fails_the_push_and_pulls_go_on() {
    let Some(disk) = SmallDisk::mount("24m") else {
        eprintln!("not tried: mounting a small file system takes root");
        return;
    };
    let directory = disk.path().join("registry");
    let server = server(&["--registry-dir", text(&directory), "--registry-grace", "4s"]);
    server.namespace("shop");
    push(&server, "shop/small:1", 2_000_000);
    let tree = tree(server.scratch(), 30_000_000);
    let import = ["import", text(&tree), "--name", "shop/large:1"];
    image(&server, &import).complains("no space");
    let pulled = server.scratch().join("pulled");
    image(&server, &["--dir", text(&pulled), "pull", "shop/small:1"]).ok();
    image(&server, &["inspect", "shop/large:1"]).fails();
    // What was uploaded in vain goes, and then there is room again.
    disk.resize("96m");
    image(&server, &import).ok();
}
