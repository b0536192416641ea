//! The image registry with the client that programs in Rust use.

use mosaic_tests::{Server, runtime};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, Config, ImageLayer};
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use crate::registry::{pusher, server};

/// A client that trusts the cluster's authority.
fn client(server: &Server) -> Client {
    let authority = std::fs::read(server.data_dir().join("pki/ca.crt")).expect("the authority");
    Client::new(ClientConfig {
        extra_root_certificates: vec![Certificate {
            encoding: CertificateEncoding::Pem,
            data: authority,
        }],
        ..ClientConfig::default()
    })
}

#[test]
fn a_program_in_rust_pushes_pulls_lists_and_refers() {
    let server = server(&[]);
    server.namespace("shop");
    let token = pusher(&server, "shop");
    let login = RegistryAuth::Basic("ci".into(), token);
    let name: Reference = format!("{}/shop/web:1", server.registry())
        .parse()
        .expect("a name");
    runtime().block_on(async {
        let client = client(&server);
        // Longer than one chunk of this client.
        let long = ImageLayer::oci_v1(vec![7; 5 << 20], None);
        let short = ImageLayer::oci_v1(b"short".to_vec(), None);
        let layers = [long, short];
        let config = Config::oci_v1(b"{}".to_vec(), None);
        let pushed = client
            .push(&name, &layers, config.clone(), &login, None)
            .await;
        pushed.expect("an image that is pushed");

        let pulled = client
            .pull(&name, &login, vec![IMAGE_LAYER_MEDIA_TYPE])
            .await;
        let pulled = pulled.expect("the image that was pushed");
        let mut found = pulled.layers;
        // They come in the order in which they are ready.
        found.sort_by_key(|layer| std::cmp::Reverse(layer.data.len()));
        assert_eq!(found, layers);
        assert_eq!(pulled.config.data, config.data);
        let tags = client.list_tags(&name, &login, None, None).await;
        assert_eq!(tags.expect("tags").tags, ["1"]);

        // A document that refers to the image.
        let digest = pulled.digest.expect("a digest");
        let manifest = client.pull_manifest_raw(&name, &login, &["*/*"]).await;
        let (bytes, _) = manifest.expect("the manifest");
        let bill = ImageLayer::new(b"parts".to_vec(), "text/plain".into(), None);
        let mut referrer = OciImageManifest::build(std::slice::from_ref(&bill), &config, None);
        referrer.artifact_type = Some("application/vnd.example.parts".into());
        referrer.subject = Some(OciDescriptor {
            media_type: oci_client::manifest::OCI_IMAGE_MEDIA_TYPE.into(),
            digest: digest.clone(),
            size: i64::try_from(bytes.len()).expect("a small manifest"),
            ..OciDescriptor::default()
        });
        let parts: Reference = format!("{}/shop/web:parts", server.registry())
            .parse()
            .expect("a name");
        let pushed = client
            .push(&parts, &[bill], config, &login, Some(referrer))
            .await;
        pushed.expect("a referrer that is pushed");
        let image = name.clone_with_digest(digest);
        let referrers = client
            .pull_referrers(&image, Some("application/vnd.example.parts"))
            .await;
        assert_eq!(referrers.expect("referrers").manifests.len(), 1);
        let others = client
            .pull_referrers(&image, Some(IMAGE_CONFIG_MEDIA_TYPE))
            .await;
        assert!(others.expect("referrers").manifests.is_empty());

        // Nobody else may.
        let stranger = self::client(&server);
        let refused = stranger
            .pull(
                &name,
                &RegistryAuth::Anonymous,
                vec![IMAGE_LAYER_MEDIA_TYPE],
            )
            .await;
        assert!(refused.is_err());
    });
}
