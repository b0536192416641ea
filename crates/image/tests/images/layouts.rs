//! A local directory of images.

use futures::StreamExt;
use mosaic_image::place::{PlaceError, bytes_body, read_config, read_small};
use mosaic_image::store::Pruned;
use mosaic_image::{As, CopyOptions, DigestError, Document, Place, copy, media};
use serde_json::json;

use crate::common::{describe, files, image, layer, layout, name, noise, put, skopeo};

#[tokio::test]
async fn an_image_is_there_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let one = image(&[layer("a", b"one"), layer("b", b"two")]);
    put(&place, "app:1", &one).await;

    // Another process opens the same directory.
    let place = layout(directory.path()).await;
    let found = place
        .resolve(&name("docker.io/library/app:1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.bytes(), one.document.bytes());
    let config = read_config(&place, &name("app:1"), &found).await.unwrap();
    assert_eq!(config.diff_ids().len(), 2);
    let blob = read_small(&place, &name("app:1"), &found.layers()[0], 1 << 20)
        .await
        .unwrap();
    assert_eq!(blob, one.blobs[0].1);
    let listed = place.list(None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name.familiar().to_string(), "app:1");
    assert!(place.resolve(&name("app:2")).await.unwrap().is_none());
    let by_digest = format!("app@{}", found.digest());
    assert!(place.resolve(&name(&by_digest)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_never_stands_for_a_part_of_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let whole = image(&[layer("a", b"one"), layer("b", b"two")]);
    let at = name("app:1");
    for (descriptor, bytes) in &whole.blobs[1..] {
        place
            .write(&at, descriptor, bytes_body(bytes.clone()))
            .await
            .unwrap();
    }
    let error = place.put(&at, &whole.document, As::Root).await.unwrap_err();
    let missing = whole.blobs[0].0.digest();
    assert!(
        matches!(&error, PlaceError::Incomplete { missing: found, .. } if found == std::slice::from_ref(missing)),
        "{error}"
    );
    assert!(place.list(None).await.unwrap().is_empty());

    // An index of it is no more complete than it is.
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [whole.document.descriptor()]});
    let index = Document::parse(None, index.to_string().into_bytes()).unwrap();
    let error = place.put(&at, &index, As::Root).await.unwrap_err();
    assert!(matches!(error, PlaceError::Incomplete { .. }));
}

#[tokio::test]
async fn what_is_missing_is_told_once_however_often_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let absent = image(&[layer("a", b"one")]).document.descriptor();
    let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [absent, absent, absent]});
    let index = Document::parse(None, index.to_string().into_bytes()).unwrap();
    let error = place
        .put(&name("app:1"), &index, As::Root)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PlaceError::Incomplete { missing, .. } if missing == std::slice::from_ref(absent.digest())),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_content_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let before = files(directory.path());
    let descriptor = describe(media::OCI_LAYER, b"content");
    for wrong in [&b"Content"[..], b"conten", b"content and more", b""] {
        let error = place
            .write(&name("a"), &descriptor, bytes_body(wrong))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                PlaceError::Content(DigestError::Mismatch { .. } | DigestError::Size { .. })
            ),
            "{error}"
        );
    }
    // It is given up as soon as there is too much: this has no end.
    let endless = futures::stream::repeat_with(|| Ok("and more".into())).boxed();
    let error = place
        .write(&name("a"), &descriptor, endless)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PlaceError::Content(DigestError::Size { .. })),
        "{error}"
    );
    let broken =
        futures::stream::iter([Ok("cont".into()), Err(std::io::Error::other("gone"))]).boxed();
    place
        .write(&name("a"), &descriptor, broken)
        .await
        .unwrap_err();
    assert!(!place.has(&name("a"), &descriptor).await.unwrap());
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn a_write_that_is_given_up_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let before = files(directory.path());
    let descriptor = describe(media::OCI_LAYER, b"content");
    let at = name("a");
    let endless = futures::stream::iter([Ok("cont".into())])
        .chain(futures::stream::pending())
        .boxed();
    let mut writing = place.write(&at, &descriptor, endless);
    // Until it has begun to write.
    while files(directory.path()) == before {
        assert!(futures::poll!(&mut writing).is_pending());
        tokio::task::yield_now().await;
    }
    drop(writing);
    while files(directory.path()) != before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn prune_keeps_what_names_need_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let shared = layer("base", b"base");
    let one = image(&[shared.clone(), layer("a", b"one")]);
    let two = image(&[shared, layer("b", b"two")]);
    put(&place, "app:1", &one).await;
    put(&place, "app:2", &two).await;
    place
        .put(&name("other:1"), &one.document, As::Root)
        .await
        .unwrap();
    let signature = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "artifactType": "application/signature",
        "config": one.blobs.last().unwrap().0, "layers": [], "subject": one.document.descriptor(),
    });
    let signature = Document::parse(None, signature.to_string().into_bytes()).unwrap();
    place
        .put(&name("app:1"), &signature, As::Part)
        .await
        .unwrap();
    let referrers = |wanted| place.referrers(&WHERE, one.document.digest(), wanted);
    static WHERE: std::sync::LazyLock<mosaic_image::Name> =
        std::sync::LazyLock::new(|| name("app:1"));
    assert_eq!(referrers(None).await.unwrap().len(), 1);
    assert_eq!(
        referrers(Some("application/signature"))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(referrers(Some("application/other")).await.unwrap().len(), 0);
    assert_eq!(place.prune().await.unwrap(), Pruned::default());

    // One name of two is gone: nothing is to be removed.
    assert!(place.delete(&name("app:1")).await.unwrap());
    assert!(!place.delete(&name("app:1")).await.unwrap());
    assert_eq!(place.prune().await.unwrap(), Pruned::default());
    assert_eq!(referrers(None).await.unwrap().len(), 1);

    assert!(place.delete(&name("other:1")).await.unwrap());
    std::fs::create_dir_all(place.staging()).unwrap();
    std::fs::write(place.staging().join("999-1"), "left by the dead").unwrap();
    let pruned = place.prune().await.unwrap();
    // Its manifest, its own layer, its configuration, and its signature; not the shared layer.
    assert_eq!(pruned.blobs, 4);
    assert!(pruned.bytes > 0);
    assert!(referrers(None).await.unwrap().is_empty());
    let two_there = place.resolve(&name("app:2")).await.unwrap().unwrap();
    for blob in two_there.blobs() {
        assert!(place.has(&name("app:2"), blob).await.unwrap());
    }
    assert_eq!(place.prune().await.unwrap(), Pruned::default());
    assert!(
        !files(directory.path())
            .iter()
            .any(|file| file.starts_with(".staging"))
    );
}

#[tokio::test]
async fn prune_waits_for_those_who_write() {
    let directory = tempfile::tempdir().unwrap();
    let place = layout(directory.path()).await;
    let one = image(&[layer("a", b"one")]);
    let at = name("app:1");
    let hold = place.hold().await.unwrap();
    for (descriptor, bytes) in &one.blobs {
        place
            .write(&at, descriptor, bytes_body(bytes.clone()))
            .await
            .unwrap();
    }
    let pruning = tokio::spawn({
        let place = place.clone();
        async move { place.prune().await }
    });
    place.put(&at, &one.document, As::Root).await.unwrap();
    drop(hold);
    assert_eq!(pruning.await.unwrap().unwrap(), Pruned::default());
}

#[tokio::test]
async fn many_write_names_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let shared = image(&[layer("a", b"one")]);
    let writers = (0..16).map(|number| {
        let (path, shared) = (directory.path(), &shared);
        async move {
            let place = layout(path).await;
            put(&place, &format!("app:{number}"), shared).await;
        }
    });
    futures::future::join_all(writers).await;
    let place = layout(directory.path()).await;
    assert_eq!(place.list(None).await.unwrap().len(), 16);
    assert_eq!(place.list(Some(&name("app"))).await.unwrap().len(), 16);
    assert!(place.list(Some(&name("other"))).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    let error = mosaic_image::Layout::open(directory.path())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not an image layout"), "{error}");
}

#[tokio::test]
async fn an_image_goes_from_directory_to_directory() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let shared = layer("base", &noise(1, 700_000));
    put(
        &from,
        "app:1",
        &image(&[shared.clone(), layer("a", b"one")]),
    )
    .await;
    put(&from, "app:2", &image(&[shared, layer("b", b"two")])).await;
    let options = CopyOptions::default();
    let first = copy(&from, &name("app:1"), &to, &name("app:1"), &options)
        .await
        .unwrap();
    assert_eq!(first.spared, 0);
    let second = copy(&from, &name("app:2"), &to, &name("team/app:2"), &options)
        .await
        .unwrap();
    assert!(
        second.spared > 700_000 && second.moved < 10_000,
        "{second:?}"
    );
    let found = to.resolve(&name("team/app:2")).await.unwrap().unwrap();
    assert_eq!(found.digest(), second.document.digest());
    let error = copy(&from, &name("no"), &to, &name("no"), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, PlaceError::NotFound { .. }));
}

#[tokio::test]
async fn skopeo_reads_and_writes_the_same_directory() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = layout(ours.path()).await;
    let one = image(&[layer("a", b"one"), layer("b", b"two")]);
    put(&place, "app:1", &one).await;
    put(&place, "example.com/team/app:2", &one).await;
    for text in ["app:1", "example.com/team/app:2"] {
        let found = skopeo(&[
            "inspect",
            "--raw",
            &format!("oci:{}:{text}", ours.path().display()),
        ]);
        assert_eq!(found.as_bytes(), one.document.bytes());
    }
    skopeo(&[
        "copy",
        &format!("oci:{}:app:1", ours.path().display()),
        &format!("oci:{}:copied:3", theirs.path().display()),
    ]);
    let place = layout(theirs.path()).await;
    let found = place.resolve(&name("copied:3")).await.unwrap().unwrap();
    assert_eq!(found.digest(), one.document.digest());
    place.put(&name("again:1"), &found, As::Root).await.unwrap();
    skopeo(&[
        "inspect",
        &format!("oci:{}:again:1", theirs.path().display()),
    ]);
}
