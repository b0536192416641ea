use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn descriptor(media_type: &str, content: &str) -> Value {
    json!({
        "mediaType": media_type,
        "digest": digest::sha256(content.as_bytes()).as_ref(),
        "size": content.len(),
    })
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": descriptor(media::OCI_CONFIG, "config"),
        "layers": [descriptor(media::OCI_LAYER, "one"), descriptor(media::OCI_LAYER_GZIP, "second")],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_INDEX,
        "manifests": [descriptor(media::OCI_MANIFEST, "manifest")],
    })
}

fn parse(header: Option<&str>, value: &Value) -> Result<Document, DocumentError> {
    Document::parse(header, value.to_string().into_bytes())
}

#[test]
fn a_manifest_says_what_it_is_made_of() {
    let mut value = manifest();
    value["subject"] = descriptor(media::OCI_MANIFEST, "subject");
    value["annotations"] = json!({"key": "value"});
    let document = parse(Some(media::OCI_MANIFEST), &value).unwrap();
    assert_eq!(document.kind(), DocumentKind::Manifest);
    assert_eq!(document.layers().len(), 2);
    let references: Vec<Role> = document.references().map(|(role, _)| role).collect();
    assert_eq!(references, [Role::Config, Role::Layer, Role::Layer]);
    assert_eq!(document.content_size(), 6 + 3 + 6);
    assert_eq!(document.artifact_type(), Some(media::OCI_CONFIG));
    assert_eq!(document.annotations()["key"], "value");
    assert_eq!(
        document.subject().unwrap().digest(),
        &digest::sha256(b"subject")
    );
    assert_eq!(document.digest(), &digest::sha256(document.bytes()));
    assert_eq!(document.descriptor().size(), document.bytes().len() as u64);
}

#[test]
fn types_are_short() {
    let set = |pointer: &str, length: usize| {
        let mut value = manifest();
        value["artifactType"] = "a/b".into();
        value["subject"] = descriptor(media::OCI_MANIFEST, "subject");
        *value.pointer_mut(pointer).unwrap() = "a".repeat(length).into();
        parse(None, &value)
    };
    for pointer in [
        "/artifactType",
        "/config/mediaType",
        "/layers/1/mediaType",
        "/subject/mediaType",
    ] {
        set(pointer, 255).unwrap();
        let refused = Err(DocumentError::LongType { length: 256 });
        assert_eq!(set(pointer, 256).map(drop), refused, "{pointer}");
    }
}

#[test]
fn an_index_says_its_manifests() {
    let document = parse(Some(media::OCI_INDEX), &index()).unwrap();
    assert_eq!(document.kind(), DocumentKind::Index);
    assert_eq!(document.manifests().len(), 1);
    assert_eq!(document.blobs().count(), 0);
    assert_eq!(document.artifact_type(), None);
}

#[test]
fn dockers_documents_are_read_too() {
    let mut value = manifest();
    value["mediaType"] = media::DOCKER_MANIFEST.into();
    let document = parse(
        Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"),
        &value,
    );
    assert_eq!(document.unwrap().kind(), DocumentKind::Manifest);
    let mut value = index();
    value["mediaType"] = media::DOCKER_LIST.into();
    assert_eq!(parse(None, &value).unwrap().kind(), DocumentKind::Index);
}

#[test]
fn the_field_is_optional_and_null_is_nothing() {
    let mut value = manifest();
    value.as_object_mut().unwrap().remove("mediaType");
    value["layers"] = Value::Null;
    value["annotations"] = Value::Null;
    let document = parse(None, &value).unwrap();
    assert_eq!(document.media_type(), &MediaType::ImageManifest);
    assert!(document.layers().is_empty());
    let mut value = index();
    value.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(
        parse(None, &value).unwrap().media_type(),
        &MediaType::ImageIndex
    );
}

#[test]
fn what_two_readers_may_take_for_two_things_is_refused() {
    let mut both = manifest();
    both["manifests"] = json!([]);
    assert!(matches!(
        parse(None, &both),
        Err(DocumentError::Ambiguous {
            field: "manifests",
            ..
        })
    ));
    let mut both = index();
    both["layers"] = json!([]);
    assert!(matches!(
        parse(None, &both),
        Err(DocumentError::Ambiguous {
            field: "layers",
            ..
        })
    ));
    assert!(matches!(
        parse(Some(media::OCI_INDEX), &manifest()),
        Err(DocumentError::Disagreement { .. })
    ));
    let twice = br#"{"schemaVersion":2,"schemaVersion":2}"#;
    assert!(matches!(
        Document::parse(None, &twice[..]),
        Err(DocumentError::Malformed { .. })
    ));
}

#[test]
fn schema_1_is_refused_by_its_name() {
    let value = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []});
    assert_eq!(parse(None, &value).unwrap_err(), DocumentError::Schema1);
    let value = json!({"schemaVersion": 2, "mediaType": media::DOCKER_SCHEMA_1_SIGNED});
    assert_eq!(parse(None, &value).unwrap_err(), DocumentError::Schema1);
    assert_eq!(
        parse(Some(media::DOCKER_SCHEMA_1), &manifest()).unwrap_err(),
        DocumentError::Schema1
    );
    let error = parse(None, &json!({"schemaVersion": 3})).unwrap_err();
    assert_eq!(error, DocumentError::SchemaVersion { version: 3 });
}

#[test]
fn bombs_are_refused() {
    let mut value = manifest();
    let layer = descriptor(media::OCI_LAYER, "one");
    value["layers"] = Value::Array(vec![layer.clone(); LAYERS_MAX]);
    assert!(parse(None, &value).is_ok());
    value["layers"] = Value::Array(vec![layer; 10_000]);
    assert!(matches!(
        parse(None, &value),
        Err(DocumentError::TooMany {
            what: "layers",
            count: 10_000,
            ..
        })
    ));
    let mut value = index();
    let manifest = descriptor(media::OCI_MANIFEST, "one");
    value["manifests"] = Value::Array(vec![manifest; MANIFESTS_MAX + 1]);
    assert!(matches!(
        parse(None, &value),
        Err(DocumentError::TooMany {
            what: "manifests",
            ..
        })
    ));
    let long = vec![b' '; SIZE_MAX + 1];
    assert!(matches!(
        Document::parse(None, long),
        Err(DocumentError::TooLarge { .. })
    ));
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(matches!(
        Document::parse(None, deep),
        Err(DocumentError::Malformed { .. })
    ));
}

#[test]
fn descriptors_are_judged() {
    for (field, wrong) in [
        ("size", json!(-1)),
        ("size", json!(u64::MAX)),
        ("size", json!("3")),
        ("digest", json!("sha256:../../etc")),
    ] {
        let mut value = manifest();
        value["layers"][0][field] = wrong;
        assert!(
            matches!(parse(None, &value), Err(DocumentError::Malformed { .. })),
            "{value}"
        );
    }
    let mut value = manifest();
    value["config"]["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e".into();
    assert!(matches!(parse(None, &value), Err(DocumentError::Digest(_))));
    let mut value = manifest();
    value.as_object_mut().unwrap().remove("config");
    assert_eq!(
        parse(None, &value).unwrap_err(),
        DocumentError::Missing { field: "config" }
    );
}

#[test]
fn layers_from_elsewhere_are_not_missed() {
    let mut value = manifest();
    value["layers"][0]["mediaType"] =
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    assert_eq!(parse(None, &value).unwrap().blobs().count(), 3);
    value["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    let document = parse(None, &value).unwrap();
    assert_eq!(document.blobs().count(), 2);
    assert_eq!(document.references().count(), 3);
}

#[test]
fn a_document_is_held_to_its_descriptor() {
    let document = parse(None, &manifest()).unwrap();
    let right = document.descriptor();
    assert!(Document::parse_as(&right, document.bytes().clone()).is_ok());
    let other = Descriptor::new(MediaType::ImageManifest, right.size(), digest::sha256(b""));
    assert!(matches!(
        Document::parse_as(&other, document.bytes().clone()),
        Err(DocumentError::Digest(DigestError::Mismatch { .. }))
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Document::parse(None, bytes);
    }

    #[test]
    fn a_changed_byte_is_never_the_same_document(position in 0usize..400, byte in any::<u8>()) {
        let document = parse(None, &manifest()).unwrap();
        let mut bytes = document.bytes().to_vec();
        let position = position % bytes.len();
        prop_assume!(bytes[position] != byte);
        bytes[position] = byte;
        prop_assert!(Document::parse_as(&document.descriptor(), bytes).is_err());
    }
}
