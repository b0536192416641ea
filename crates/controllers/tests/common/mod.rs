//! A server with its controllers, and a client of it.

// Each test uses some of it.
#![allow(dead_code)]

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use mosaic_apiserver::Server;
use mosaic_auth::{User, groups};
use mosaic_controllers::{Options, Settings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub struct Cluster {
    pub client: Client,
    pub server: Server,
    pub shutdown: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Cluster {
    /// A server without controllers.
    pub async fn bare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = mosaic_store::Sqlite::open(directory.path()).unwrap();
        let options = mosaic_apiserver::Options {
            data_dir: directory.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            names: Vec::new(),
            anonymous: false,
            service_range: "10.96.0.0/16".parse::<ipnet::IpNet>().unwrap(),
            toleration_seconds: mosaic_apiserver::TolerationSeconds::default(),
            registry: false,
            audit: None,
        };
        let server = Server::start(options, Arc::new(store)).await.unwrap();
        let user = User::new("test", [groups::MASTERS, groups::AUTHENTICATED]);
        let client = mosaic_controllers::client(server.local(user));
        Self {
            client,
            server,
            shutdown: CancellationToken::new(),
            _directory: directory,
        }
    }

    /// A server with controllers.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// A server with controllers that behave like this.
    pub async fn with(settings: Settings) -> Self {
        let cluster = Self::bare().await;
        tokio::spawn(cluster.controllers("one", settings));
        cluster
    }

    /// Controllers beside those that are there.
    pub fn controllers(
        &self,
        identity: &str,
        settings: Settings,
    ) -> impl Future<Output = ()> + Send + use<> {
        let options = Options {
            identity: identity.to_owned(),
            authority: Arc::clone(self.server.authority()),
            advertised: Some("10.0.0.1:6443".parse().unwrap()),
            settings,
        };
        mosaic_controllers::run(self.client.clone(), options, self.shutdown.clone())
    }

    /// Objects of a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Stops the controllers and the server.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.server.stop().await;
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: it did not come to that");
}

pub async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    api.create(
        &PostParams::default(),
        &serde_json::from_value(object).unwrap(),
    )
    .await
    .unwrap()
}

pub async fn is_gone<K: Clone + DeserializeOwned + std::fmt::Debug>(
    api: &Api<K>,
    name: &str,
) -> bool {
    api.get_opt(name).await.unwrap().is_none()
}

pub async fn merge<K>(api: &Api<K>, name: &str, patch: Value)
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}
