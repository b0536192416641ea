//! An etcd that shows a certificate and asks its clients for one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mosaic_store::{Etcd, EtcdOptions, EtcdTls, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::etcd::Cluster;
use support::{changes_until, create};

/// An authority, and where the certificates that it gives out are kept.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The files of a new certificate and its key.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |suffix: &str, text: String| {
            let path = self.directory.path().join(format!("{name}{suffix}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        (
            file(".pem", certificate.pem()),
            file(".key", key.serialize_pem()),
        )
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn options(ca: PathBuf, client: Option<(PathBuf, PathBuf)>) -> EtcdOptions {
    let (cert, key) = client.unzip();
    EtcdOptions {
        tls: Some(EtcdTls {
            ca: Some(ca),
            cert,
            key,
        }),
        request_timeout: Duration::from_secs(1),
        ..EtcdOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_prove_who_they_are() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("etcd");
    let cluster = Cluster::start_at(
        "https",
        1,
        &[
            "--cert-file",
            text(&certificate),
            "--key-file",
            text(&key),
            "--client-cert-auth",
            "--trusted-ca-file",
            text(&authority.ca()),
        ],
    )
    .await;
    let client = authority.issue("server");
    let trusted = options(authority.ca(), Some(client.clone()));
    let store: Arc<dyn Store> = Arc::new(cluster.connect_with("/mosaic", trusted).await);
    let start = store.revision().await.unwrap();
    let mut events = store.watch("/a/", start).await.unwrap();
    let revision = create(&store, "/a/x", "v").await;
    assert_eq!(changes_until(&mut events, start, revision).await.len(), 1);

    let refused = async |why: &str, options| {
        let result = Etcd::connect(&cluster.endpoints(), "/mosaic", options).await;
        assert!(result.is_err(), "{why}");
    };
    refused("no certificate", options(authority.ca(), None)).await;
    let stranger = Authority::new();
    let foreign = options(stranger.ca(), Some(client));
    refused("not the authority of this etcd", foreign).await;
    let unknown = options(authority.ca(), Some(stranger.issue("server")));
    refused("a certificate of another authority", unknown).await;
}
