//! Images in one tar: saved, loaded, and exchanged with others' tools.

use std::io::Write;
use std::path::Path;

use mosaic_image::archive::{
    ArchiveError, LoadOptions, Loaded, SaveOptions, Saved, Source, load, save,
};
use mosaic_image::{As, Document, Layout, Place, digest, media};
use serde_json::{Value, json};

use crate::common::{Image, files, image, layer, layout, name, noise, put, skopeo};

async fn saved(place: &dyn Place, names: &[&str], bases: &[&str]) -> (Vec<u8>, Saved) {
    let names: Vec<Source> = names.iter().map(|text| name(text).into()).collect();
    let options = SaveOptions {
        bases: bases.iter().map(|text| name(text).into()).collect(),
        ..SaveOptions::default()
    };
    let mut tar = Vec::new();
    let saved = save(place, &names, &mut tar, &options).await.unwrap();
    assert_eq!(saved.bytes, tar.len() as u64);
    (tar, saved)
}

async fn loaded(into: &Layout, tar: &[u8]) -> Result<Vec<Loaded>, ArchiveError> {
    let source = std::io::Cursor::new(tar.to_vec());
    load(source, into, &into.staging(), &LoadOptions::default()).await
}

/// Nothing of a load that failed is left.
async fn refused(tar: &[u8]) -> ArchiveError {
    let directory = tempfile::tempdir().unwrap();
    let into = layout(directory.path()).await;
    let before = files(directory.path());
    let error = loaded(&into, tar).await.unwrap_err();
    assert_eq!(files(directory.path()), before, "{error}");
    error
}

fn write_tar(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(target) = content.strip_prefix(b"-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let target = std::str::from_utf8(target).unwrap();
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, &content[..])
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn read_tar(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

async fn two_images(place: &dyn Place) -> (Image, Image) {
    let base = layer("base", &noise(1, 1_000_000));
    let one = image(std::slice::from_ref(&base));
    let two = image(&[base, layer("app", b"the new program")]);
    put(place, "app:1", &one).await;
    put(place, "app:2", &two).await;
    (one, two)
}

#[tokio::test]
async fn what_is_saved_is_loaded_as_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let (one, two) = two_images(&from).await;
    let (tar, report) = saved(&from, &["app:1", "app:2"], &[]).await;
    assert_eq!(report.blobs, 4);
    assert!(report.omitted.is_empty());
    // The same images make the same bytes.
    assert!(saved(&from, &["app:1", "app:2"], &[]).await.0 == tar);

    let images = loaded(&to, &tar).await.unwrap();
    let digests: Vec<_> = images.iter().map(|image| image.document.digest()).collect();
    assert_eq!(digests, [one.document.digest(), two.document.digest()]);
    for (at, image) in [("app:1", &one), ("app:2", &two)] {
        let found = to.resolve(&name(at)).await.unwrap().unwrap();
        assert_eq!(found.bytes(), image.document.bytes());
    }
    assert!(
        !files(to.root())
            .iter()
            .any(|file| file.starts_with(".staging/"))
    );
}

#[tokio::test]
async fn an_archive_has_no_more_of_manifests_than_fits_into_memory() {
    let one = image(&[layer("a", b"one")]);
    let whole = String::from_utf8(one.document.bytes().to_vec()).unwrap();
    // As many different manifests as are wanted, as long as they may be.
    let padded = |number: usize| {
        let room = (4 << 20) - whole.len() - number;
        format!("{}{whole}{}", " ".repeat(number), " ".repeat(room)).into_bytes()
    };
    let archive = |count: usize, by_index: bool| {
        let manifests: Vec<Vec<u8>> = (0..count).map(padded).collect();
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        let describe = |bytes: &[u8]| json!({ "mediaType": media::OCI_MANIFEST, "digest": digest::sha256(bytes), "size": bytes.len() });
        let mut named: Vec<Value> = manifests.iter().map(|one| describe(one)).collect();
        let mut blobs = manifests;
        if by_index {
            let index =
                json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": named });
            let index = index.to_string().into_bytes();
            named = vec![describe(&index)];
            named[0]["mediaType"] = json!(media::OCI_INDEX);
            blobs.push(index);
        }
        for (number, one) in named.iter_mut().enumerate() {
            let name = format!("app:{number}");
            one["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        blobs.extend(one.blobs.iter().map(|(_, bytes)| bytes.clone()));
        for blob in blobs {
            let digest = digest::sha256(&blob);
            entries.push((format!("blobs/sha256/{}", digest.digest()), blob));
        }
        let index = json!({ "schemaVersion": 2, "manifests": named });
        entries.push(("index.json".into(), index.to_string().into_bytes()));
        let entries: Vec<(&str, Vec<u8>)> = entries
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.clone()))
            .collect();
        write_tar(&entries)
    };
    let to = tempfile::tempdir().unwrap();
    let to = layout(to.path()).await;
    for by_index in [false, true] {
        loaded(&to, &archive(3, by_index)).await.unwrap();
        let error = refused(&archive(9, by_index)).await;
        assert!(error.to_string().contains("bytes of manifests"), "{error}");
    }
}

#[tokio::test]
async fn an_archive_may_be_compressed() {
    let from = tempfile::tempdir().unwrap();
    let from = layout(from.path()).await;
    two_images(&from).await;
    let (tar, _) = saved(&from, &["app:2"], &[]).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    for compressed in [
        gzip.finish().unwrap(),
        zstd::encode_all(&tar[..], 1).unwrap(),
    ] {
        let to = tempfile::tempdir().unwrap();
        let to = layout(to.path()).await;
        assert_eq!(loaded(&to, &compressed).await.unwrap().len(), 1);
        let half = &compressed[..compressed.len() / 2];
        refused(half).await;
    }
}

#[tokio::test]
async fn a_child_is_completed_by_its_base() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let (one, two) = two_images(&from).await;
    let (whole, _) = saved(&from, &["app:2"], &[]).await;
    let (child, report) = saved(&from, &["app:2"], &["app:1"]).await;
    assert!(
        child.len() * 50 < whole.len(),
        "{} of {}",
        child.len(),
        whole.len()
    );
    assert_eq!(report.omitted, one.document.layers());
    let note = read_tar(&child)
        .into_iter()
        .find(|(path, _)| path == "missing.json")
        .unwrap();
    let note: Value = serde_json::from_slice(&note.1).unwrap();
    assert_eq!(note["bases"][0]["name"], "app:1");
    assert_eq!(note["bases"][0]["digest"], one.document.digest().as_ref());
    assert_eq!(
        note["missing"][0]["digest"],
        one.document.layers()[0].digest().as_ref()
    );

    // Without the base: refused, with all that is missing, and nothing is left.
    let error = refused(&child).await;
    let text = error.to_string();
    let ArchiveError::Missing { missing, base, .. } = error else {
        panic!("{text}")
    };
    assert_eq!(missing, one.document.layers());
    assert_eq!(base.as_deref(), Some("app:1"));
    assert!(
        text.contains(missing[0].digest().as_ref()) && text.contains("app:1"),
        "{text}"
    );

    // With it, whatever it is called.
    put(&to, "something:else", &one).await;
    let images = loaded(&to, &child).await.unwrap();
    assert_eq!(images[0].completed, 1);
    let found = to.resolve(&name("app:2")).await.unwrap().unwrap();
    assert_eq!(found.digest(), two.document.digest());
    assert!(saved(&to, &["app:2"], &[]).await.0 == whole);
}

#[tokio::test]
async fn an_index_goes_with_all_its_images() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let (one, two) = two_images(&from).await;
    let index = json!({
        "schemaVersion": 2, "mediaType": media::OCI_INDEX,
        "manifests": [one.document.descriptor(), two.document.descriptor()],
    });
    let index = Document::parse(None, index.to_string().into_bytes()).unwrap();
    from.put(&name("many:1"), &index, As::Root).await.unwrap();
    let (tar, _) = saved(&from, &["many:1"], &[]).await;
    loaded(&to, &tar).await.unwrap();
    let found = to.resolve(&name("many:1")).await.unwrap().unwrap();
    assert_eq!(found.bytes(), index.bytes());
    assert_eq!(to.prune().await.unwrap().blobs, 0);
}

#[tokio::test]
async fn skopeo_takes_what_is_saved_in_both_forms() {
    let from = tempfile::tempdir().unwrap();
    let place = layout(from.path()).await;
    let (_, two) = two_images(&place).await;
    let (tar, _) = saved(&place, &["app:1", "app:2"], &[]).await;
    let file = from.path().join("both.tar");
    std::fs::write(&file, tar).unwrap();
    let raw = skopeo(&[
        "inspect",
        "--raw",
        &format!("oci-archive:{}:app:2", file.display()),
    ]);
    assert_eq!(raw.as_bytes(), two.document.bytes());
    let out = from.path().join("out");
    let target = format!("dir:{}", out.display());
    skopeo(&[
        "copy",
        &format!("oci-archive:{}:app:2", file.display()),
        &target,
    ]);
    std::fs::remove_dir_all(&out).unwrap();
    skopeo(&[
        "copy",
        &format!("docker-archive:{}:app:2", file.display()),
        &target,
    ]);
    let tags = skopeo(&["list-tags", &format!("docker-archive:{}", file.display())]);
    assert!(tags.contains("app:1") && tags.contains("app:2"), "{tags}");
}

#[tokio::test]
async fn what_skopeo_writes_is_loaded() {
    let from = tempfile::tempdir().unwrap();
    let place = layout(from.path()).await;
    let (_, two) = two_images(&place).await;
    let source = format!("oci:{}:app:2", from.path().display());
    for form in ["oci-archive", "docker-archive"] {
        let file = from.path().join(form);
        skopeo(&[
            "copy",
            &source,
            &format!("{form}:{}:copied:7", file.display()),
        ]);
        let to = tempfile::tempdir().unwrap();
        let to = layout(to.path()).await;
        let tar = std::fs::read(&file).unwrap();
        let images = loaded(&to, &tar).await.unwrap();
        let found = to.resolve(&name("copied:7")).await.unwrap().unwrap();
        assert_eq!(found.digest(), images[0].document.digest());
        // The same configuration, so the same image, whatever its layers are compressed with.
        assert_eq!(
            found.config().unwrap().digest(),
            two.document.config().unwrap().digest()
        );
        if form == "oci-archive" {
            assert_eq!(found.bytes(), two.document.bytes());
        }
    }
}

/// Docker's form before 1.10, as it was still written until 24: a directory a layer, and layers that came twice are links.
fn old_docker(config: &Value, layers: &[Vec<u8>]) -> Vec<(&'static str, Vec<u8>)> {
    let config = config.to_string().into_bytes();
    let called = digest::sha256(&config).digest().to_owned();
    let config_path = format!("{called}.json");
    let manifest = json!([{
        "Config": config_path, "RepoTags": ["old:1", "example.com/old:2"],
        "Layers": ["aaaa/layer.tar", "bbbb/layer.tar", "cccc/layer.tar"],
    }]);
    vec![
        ("aaaa/VERSION", b"1.0".to_vec()),
        ("aaaa/json", b"{}".to_vec()),
        ("aaaa/layer.tar", layers[0].clone()),
        ("bbbb/layer.tar", layers[1].clone()),
        ("cccc/layer.tar", b"-> ../aaaa/layer.tar".to_vec()),
        (Box::leak(config_path.into_boxed_str()), config),
        ("manifest.json", manifest.to_string().into_bytes()),
        ("repositories", b"{\"old\":{\"1\":\"cccc\"}}".to_vec()),
    ]
}

fn old_config(layers: &[&Vec<u8>]) -> Value {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| digest::sha256(layer).to_string())
        .collect();
    json!({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
}

#[tokio::test]
async fn dockers_old_form_is_loaded() {
    let layers = [layer("a", b"one"), layer("b", b"two")];
    let config = old_config(&[&layers[0], &layers[1], &layers[0]]);
    let entries = old_docker(&config, &layers);
    let to = tempfile::tempdir().unwrap();
    let to = layout(to.path()).await;
    loaded(&to, &write_tar(&entries)).await.unwrap();
    for at in ["old:1", "example.com/old:2"] {
        let found = to.resolve(&name(at)).await.unwrap().unwrap();
        assert_eq!(found.layers().len(), 3);
        assert_eq!(found.layers()[0].digest(), &digest::sha256(&layers[0]));
        assert_eq!(found.layers()[2].digest(), &digest::sha256(&layers[0]));
        assert_eq!(
            found.config().unwrap().digest(),
            &digest::sha256(config.to_string().as_bytes())
        );
    }
    skopeo(&["inspect", &format!("oci:{}:old:1", to.root().display())]);

    // A layer that is another than the configuration says.
    let swapped = [layers[1].clone(), layers[0].clone()];
    let error = refused(&write_tar(&old_docker(&config, &swapped))).await;
    assert!(
        matches!(&error, ArchiveError::Content { entry, .. } if entry == "aaaa/layer.tar"),
        "{error}"
    );
    // A layer that is not there.
    let mut without = old_docker(&config, &layers);
    without.retain(|(path, _)| *path != "bbbb/layer.tar");
    let error = refused(&write_tar(&without)).await;
    assert!(error.to_string().contains("bbbb/layer.tar"), "{error}");
}

fn replace(entries: &mut [(String, Vec<u8>)], path: &str, content: &[u8]) {
    let entry = entries.iter_mut().find(|(there, _)| there == path).unwrap();
    entry.1 = content.to_vec();
}

fn rewrite(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, Vec<u8>)> = entries
        .iter()
        .filter(|(path, _)| !path.ends_with('/'))
        .map(|(path, content)| (path.as_str(), content.clone()))
        .collect();
    write_tar(&files)
}

#[tokio::test]
async fn content_that_is_not_what_it_is_called_is_refused() {
    let from = tempfile::tempdir().unwrap();
    let from = layout(from.path()).await;
    let (_, two) = two_images(&from).await;
    let (tar, _) = saved(&from, &["app:2"], &[]).await;
    let layer = format!(
        "blobs/sha256/{}",
        two.document.layers()[1].digest().digest()
    );
    let mut entries = read_tar(&tar);
    replace(&mut entries, &layer, b"something else");
    let error = refused(&rewrite(&entries)).await;
    assert!(
        matches!(&error, ArchiveError::Content { entry, .. } if *entry == layer),
        "{error}"
    );

    let mut entries = read_tar(&tar);
    entries.retain(|(path, _)| *path != layer);
    let error = refused(&rewrite(&entries)).await;
    assert!(
        matches!(&error, ArchiveError::Missing { missing, .. } if missing.len() == 1),
        "{error}"
    );
}

#[tokio::test]
async fn an_archive_that_means_harm_is_refused() {
    let mut escape = tar::Header::new_gnu();
    let mut with = |path: &[u8], kind: tar::EntryType, link: &str| {
        escape.as_mut_bytes()[..100].fill(0);
        escape.as_mut_bytes()[..path.len()].copy_from_slice(path);
        escape.set_entry_type(kind);
        escape.set_mode(0o644);
        escape.set_size(0);
        escape.set_link_name_literal(link).unwrap();
        escape.set_cksum();
        let mut tar = escape.as_bytes().to_vec();
        tar.extend([0; 1024]);
        tar
    };
    for (path, kind, link) in [
        (&b"../outside"[..], tar::EntryType::Regular, ""),
        (b"/etc/passwd", tar::EntryType::Regular, ""),
        (b"a/../../b", tar::EntryType::Regular, ""),
        (b"link", tar::EntryType::Symlink, "../../etc/passwd"),
        (b"link", tar::EntryType::Link, "/etc/passwd"),
        (b"device", tar::EntryType::Char, ""),
        (b"fifo", tar::EntryType::Fifo, ""),
        (b"\xff\xfe", tar::EntryType::Regular, ""),
    ] {
        let error = refused(&with(path, kind, link)).await;
        assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
    }
    let manifest = |config: &str| {
        json!([{"Config": config, "RepoTags": ["a:1"], "Layers": []}])
            .to_string()
            .into_bytes()
    };
    for (entries, expected) in [
        (
            vec![("a", b"x".to_vec())],
            "neither index.json nor manifest.json",
        ),
        (vec![("manifest.json", b"[".to_vec())], "manifest.json"),
        (vec![("manifest.json", manifest("../x"))], "leads out"),
        (vec![("manifest.json", manifest("c"))], "not in the archive"),
        (
            vec![
                ("manifest.json", manifest("c")),
                ("c", b"-> d".to_vec()),
                ("d", b"-> c".to_vec()),
            ],
            "too many links",
        ),
        (vec![("x", b"1".to_vec()), ("./x", b"2".to_vec())], "twice"),
        (vec![("index.json", vec![b' '; 5 << 20])], "too large"),
    ] {
        let error = refused(&write_tar(&entries)).await;
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_archive_beyond_its_bound_is_refused() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&write_tar(&[("blob", vec![0; 64 << 20])]))
        .unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let directory = tempfile::tempdir().unwrap();
    let into = layout(directory.path()).await;
    let options = LoadOptions {
        bytes_max: 1 << 20,
        ..LoadOptions::default()
    };
    let error = load(std::io::Cursor::new(bomb), &into, &into.staging(), &options)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ArchiveError::TooMuch { what: "bytes", .. }),
        "{error}"
    );
    assert!(
        !files(directory.path())
            .iter()
            .any(|file| file.starts_with(".staging/"))
    );
    let many: Vec<(String, Vec<u8>)> = (0..50_001)
        .map(|number| (format!("{number}"), Vec::new()))
        .collect();
    let error = refused(&rewrite(&many)).await;
    assert!(
        matches!(
            error,
            ArchiveError::TooMuch {
                what: "entries",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_image_without_a_name_needs_one() {
    let from = tempfile::tempdir().unwrap();
    let place = layout(from.path()).await;
    two_images(&place).await;
    let file = from.path().join("nameless.tar");
    skopeo(&[
        "copy",
        &format!("oci:{}:app:2", from.path().display()),
        &format!("oci-archive:{}", file.display()),
    ]);
    let tar = std::fs::read(&file).unwrap();
    assert!(matches!(refused(&tar).await, ArchiveError::Unnamed));
    let to = tempfile::tempdir().unwrap();
    let to = layout(to.path()).await;
    let options = LoadOptions {
        name: Some(name("given:1")),
        ..LoadOptions::default()
    };
    let read = |path: &Path| tokio::fs::File::from_std(std::fs::File::open(path).unwrap());
    load(read(&file), &to, &to.staging(), &options)
        .await
        .unwrap();
    assert!(to.resolve(&name("given:1")).await.unwrap().is_some());

    let (two, _) = saved(&place, &["app:1", "app:2"], &[]).await;
    let error = load(std::io::Cursor::new(two), &to, &to.staging(), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, ArchiveError::Several { count: 2 }));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn no_damage_leaves_anything_wrong(changes in proptest::collection::vec((0usize..1 << 20, 0u8..=255), 1..4), cut in 0usize..1 << 20) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (from, to) = (layout(from.path()).await, layout(to.path()).await);
            let one = image(&[layer("a", b"one"), layer("b", b"two")]);
            put(&from, "app:1", &one).await;
            let (mut tar, _) = saved(&from, &["app:1"], &[]).await;
            for (position, byte) in changes {
                let position = position % tar.len();
                tar[position] = byte;
            }
            if cut % 2 == 0 {
                tar.truncate(cut % tar.len());
            }
            let before = files(to.root());
            match loaded(&to, &tar).await {
                // What is loaded is an image of which nothing is missing, and each blob is its digest's.
                Ok(images) => {
                    for image in images {
                        for blob in image.document.blobs() {
                            mosaic_image::place::read_small(&to, &name("app:1"), blob, 1 << 20).await.unwrap();
                        }
                    }
                }
                Err(_) => assert_eq!(files(to.root()), before),
            }
        });
    }
}
