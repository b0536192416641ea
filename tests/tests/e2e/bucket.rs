//! The image registry of several servers, with its images in object storage.

use std::path::Path;

use mosaic_tests::{Etcd, Outcome, S3, Server, ServerOptions, Store, skopeo, wait_until};

use crate::registry::{image, push, text, tree};

const BUCKET: &str = "images";

fn server(etcd: &Etcd, s3: &S3, arguments: &[&str]) -> Server {
    let bucket = ["--registry-bucket", "s3://images/team"];
    Server::start_with(ServerOptions {
        store: Store::Etcd(etcd.addresses()),
        registry: true,
        environment: s3.environment(),
        arguments: [&bucket, arguments]
            .concat()
            .iter()
            .map(|&word| word.to_owned())
            .collect(),
        ..ServerOptions::default()
    })
}

/// What one server's registry has of a name, copied to a directory that is not there yet.
fn copy(server: &Server, name: &str, to: &Path) -> Outcome {
    let pass = server.http().post(
        "/apis/mosaic/v1/registrytokens",
        &serde_json::json!({"apiVersion": "mosaic/v1", "kind": "RegistryToken"}),
    );
    let login = format!(
        "user:{}",
        pass.ok()["status"]["token"].as_str().expect("a token")
    );
    let source = format!("docker://{}/{name}", server.registry());
    let copied = format!("dir:{}", text(to));
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &login,
        &source,
        &copied,
    ])
}

#[test]
fn servers_that_share_a_bucket_have_the_same_images_whichever_of_them_dies() {
    let s3 = S3::start(BUCKET);
    let etcd = Etcd::start(1);
    let (a, b) = (server(&etcd, &s3, &[]), server(&etcd, &s3, &[]));
    a.namespace("shop");
    // More than one part of a multipart upload, and one that is smaller than a part.
    let large = push(&a, "shop/web:1", 12_000_000);
    push(&b, "shop/small:1", 1_000);
    image(&b, &["inspect", "shop/web:1"]).says(&large);
    copy(&b, "shop/web:1", &b.scratch().join("web")).ok();
    copy(&a, "shop/small:1", &a.scratch().join("small")).ok();
    a.kill();
    copy(&b, "shop/web:1", &b.scratch().join("again")).ok();
    let layer = tree(b.scratch(), 2_000);
    let child = [
        "import",
        text(&layer),
        "--name",
        "shop/web:2",
        "--base",
        "shop/web:1",
    ];
    image(&b, &child).ok();
    a.start_again();
    image(&a, &["inspect", "shop/web:2"]).ok();
}

#[test]
fn what_is_deleted_leaves_the_bucket() {
    let s3 = S3::start(BUCKET);
    let etcd = Etcd::start(1);
    let server = server(&etcd, &s3, &["--registry-grace", "1s"]);
    server.namespace("shop");
    push(&server, "shop/keep:1", 1_000);
    let kept = s3.list(BUCKET).matches("<Key>").count();
    push(&server, "shop/web:1", 6_000_000);
    assert!(s3.list(BUCKET).matches("<Key>").count() > kept);
    assert!(s3.list(BUCKET).contains("<Key>team/blobs/sha256/"));
    image(&server, &["rm", "shop/web:1"]).ok();
    wait_until("the space to come back", || {
        image(&server, &["prune"]).ok();
        s3.list(BUCKET).matches("<Key>").count() <= kept
    });
    copy(&server, "shop/keep:1", &server.scratch().join("kept")).ok();
}
