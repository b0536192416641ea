//! Where images are: a local directory, the cluster's registry, other registries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_auth::pki::pem;
use mosaic_image::place::SharedPlace;
use mosaic_image::remote::{Credentials, Keyring, Plain, Remote, RemoteOptions};
use mosaic_image::{Layout, Name};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::PlaceArgs;
use crate::client::{Client, ConnectionArgs, config, is_configured};
use crate::failure::Failure;

/// The kind that says where the cluster's registry is, and gives a token for it.
const TOKEN: &str = "registrytokens.mosaic";

/// An image, or where it is to be.
pub(super) struct At {
    pub(super) place: SharedPlace,
    /// What it is called there.
    pub(super) name: Name,
}

/// Where a tar is loaded into.
pub(super) struct Into {
    pub(super) place: SharedPlace,
    pub(super) name: Option<Name>,
    /// The registry that images become images of, if it is one.
    pub(super) registry: Option<String>,
    /// Where its content is kept on the way.
    pub(super) staging: Staging,
}

/// A directory for content on the way.
pub(super) enum Staging {
    /// That of a local directory of images, on the same disk.
    Of(PathBuf),
    /// One of its own, removed with this value.
    Own(TempDir),
}

impl Staging {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Of(path) => path,
            Self::Own(directory) => directory.path(),
        }
    }
}

/// The cluster's registry, as the API names it.
struct Cluster {
    /// Host and port.
    server: String,
    credentials: Credentials,
    /// The authority of its certificate (PEM); none if the flag names the registry.
    authority: Option<String>,
}

/// The places that the command line and the kubeconfig lead to. What is not used is not looked for.
pub(super) struct Places<'a> {
    args: PlaceArgs,
    connection: &'a ConnectionArgs,
    cluster: OnceCell<Cluster>,
    remote: OnceCell<Arc<Remote>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(args: PlaceArgs, connection: &'a ConnectionArgs) -> Self {
        Self {
            args,
            connection,
            cluster: OnceCell::new(),
            remote: OnceCell::new(),
        }
    }

    /// The namespace that a flag names, where there are namespaces.
    pub(super) fn namespace(&self) -> Option<&str> {
        let named = self.connection.namespace.as_deref();
        named.filter(|_| !self.is_local())
    }

    /// Whether a local directory is meant instead of the cluster's registry.
    pub(super) fn is_local(&self) -> bool {
        self.args.dir.is_some()
    }

    fn directory(&self) -> Result<&Path, Failure> {
        self.args.dir.as_deref().ok_or_else(|| {
            Failure::usage("a local directory of images is wanted").hint("give --dir DIR")
        })
    }

    /// The local directory, which has to be one of images.
    pub(super) async fn local_layout(&self) -> Result<Layout, Failure> {
        let directory = self.directory()?;
        if !directory.join("oci-layout").exists() {
            return Err(Failure::new(format!(
                "{} is no directory of images (an OCI image layout)",
                directory.display()
            ))
            .hint("`mos image pull`, `import` and `load` make one"));
        }
        Ok(Layout::open(directory).await?)
    }

    /// The same as a place.
    pub(super) async fn local(&self) -> Result<SharedPlace, Failure> {
        Ok(Arc::new(self.local_layout().await?))
    }

    /// The local directory to write to, which is made if it is not there. Nothing is mixed with the files of others.
    pub(super) async fn local_to_write(&self) -> Result<Layout, Failure> {
        let directory = self.directory()?;
        let cannot = |error| Failure::new(format!("cannot make {}: {error}", directory.display()));
        std::fs::create_dir_all(directory).map_err(cannot)?;
        let mut entries = std::fs::read_dir(directory).map_err(cannot)?;
        if entries.next().is_some() {
            return self.local_layout().await;
        }
        Ok(Layout::open(directory).await?)
    }

    /// Where an image is that is to be read: in the local directory if there is one, and otherwise where it is pulled from.
    pub(super) async fn to_read(&self, name: &Name) -> Result<At, Failure> {
        if self.is_local() {
            return Ok(At {
                place: self.local().await?,
                name: name.with_default_tag(),
            });
        }
        self.to_pull(name).await
    }

    /// Where an image is pulled from: the registry that it names, or the cluster's; if that says that it has none, Docker's,
    /// and then the user is told. Whatever else is wrong with the cluster's is no reason to run a stranger's image.
    pub(super) async fn to_pull(&self, name: &Name) -> Result<At, Failure> {
        if name.registry().is_some() {
            return self.in_registry(name).await;
        }
        let cluster = match self.cluster().await {
            Ok(cluster) => Some(cluster.server.as_str()),
            Err(_) if !is_configured(self.connection) => None,
            Err(failure) => {
                let full = name.normal();
                return Err(failure.hint(format!(
                    "an image of another registry is named in full: {full}"
                )));
            }
        };
        let mut candidates = name.candidates(cluster);
        let last = candidates.pop().unwrap_or_else(|| name.normal());
        let place = self.registries(Some(&last)).await?;
        for candidate in candidates {
            if place.resolve(&candidate).await?.is_some() {
                return Ok(At {
                    place,
                    name: candidate,
                });
            }
            eprintln!("{candidate} is not there; taking {last}");
        }
        Ok(At { place, name: last })
    }

    /// Where an image is written or deleted: in the local directory if there is one, otherwise in the registry that it
    /// names, or the cluster's.
    pub(super) async fn to_write(&self, name: &Name) -> Result<At, Failure> {
        if self.is_local() {
            return Ok(At {
                place: self.local().await?,
                name: name.with_default_tag(),
            });
        }
        self.in_registry(name).await
    }

    /// Where an image is in a registry.
    pub(super) async fn in_registry(&self, name: &Name) -> Result<At, Failure> {
        let place = self.registries(Some(name)).await?;
        let name = match name.registry() {
            Some(_) => name.normal(),
            None => {
                let cluster = &self.cluster().await?.server;
                let mut candidates = name.candidates(Some(cluster)).into_iter();
                candidates.next().unwrap_or_else(|| name.normal())
            }
        };
        Ok(At { place, name })
    }

    /// The repositories of the cluster's registry.
    pub(super) async fn repositories(&self) -> Result<Vec<Name>, Failure> {
        let cluster = &self.cluster().await?.server;
        Ok(self.registry().await?.repositories(cluster).await?)
    }

    /// The client of the cluster's registry.
    pub(super) async fn registry(&self) -> Result<Arc<Remote>, Failure> {
        let remote = self.remote.get_or_try_init(|| self.remote(None)).await?;
        Ok(remote.clone())
    }

    /// The cluster's registry.
    async fn in_cluster(&self) -> Result<SharedPlace, Failure> {
        self.registries(None).await
    }

    /// The place whose images are listed, and of which repository if not of all.
    pub(super) async fn to_list(
        &self,
        within: Option<&Name>,
    ) -> Result<(SharedPlace, Option<Name>), Failure> {
        match within {
            Some(name) => {
                let At { place, name } = self.to_write(name).await?;
                Ok((place, Some(name)))
            }
            None if self.is_local() => Ok((self.local().await?, None)),
            None => Ok((self.in_cluster().await?, None)),
        }
    }

    /// Where a tar is loaded into.
    pub(super) async fn to_load(&self, name: Option<&Name>) -> Result<Into, Failure> {
        if self.is_local() {
            let layout = self.local_to_write().await?;
            return Ok(Into {
                staging: Staging::Of(layout.staging()),
                place: Arc::new(layout),
                name: name.map(Name::with_default_tag),
                registry: None,
            });
        }
        let directory = tempfile::Builder::new()
            .prefix("mos-image-")
            .tempdir()
            .map_err(|error| Failure::new(format!("cannot make a temporary directory: {error}")))?;
        let (place, name) = match name {
            Some(name) => {
                let At { place, name } = self.in_registry(name).await?;
                (place, Some(name))
            }
            None => (self.in_cluster().await?, None),
        };
        let registry = match &name {
            Some(_) => None,
            None => Some(self.cluster().await?.server.clone()),
        };
        Ok(Into {
            place,
            name,
            registry,
            staging: Staging::Own(directory),
        })
    }

    /// The client of all registries; `name` is the first image that it is for.
    async fn registries(&self, name: Option<&Name>) -> Result<SharedPlace, Failure> {
        let remote = self.remote.get_or_try_init(|| self.remote(name)).await?;
        Ok(remote.clone())
    }

    async fn remote(&self, name: Option<&Name>) -> Result<Arc<Remote>, Failure> {
        let mut keyring = docker_logins()?;
        let mut authorities = Vec::new();
        if let Some(file) = &self.args.ca {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", file.display()))
            })?;
            authorities.push(text);
        }
        let mut home = None;
        match self.cluster().await {
            Ok(cluster) => {
                if cluster.credentials != Credentials::Anonymous {
                    keyring.set(&cluster.server, cluster.credentials.clone());
                }
                authorities.extend(cluster.authority.clone());
                home = Some(cluster.server.clone());
            }
            // An image that names its registry needs no cluster.
            Err(failure) if name.is_some_and(|name| name.registry().is_some()) => {
                tracing::debug!("no cluster: {failure}");
            }
            Err(failure) => return Err(failure),
        }
        let plain = if self.args.plain_http {
            Plain::All
        } else {
            Plain::Loopback
        };
        let remote = Remote::new(RemoteOptions {
            keyring,
            authorities,
            plain,
            home,
        })?;
        Ok(Arc::new(remote))
    }

    async fn cluster(&self) -> Result<&Cluster, Failure> {
        self.cluster
            .get_or_try_init(async || match &self.args.registry {
                Some(server) => Ok(Cluster {
                    server: server.clone(),
                    credentials: Credentials::Anonymous,
                    authority: None,
                }),
                None => self.ask().await,
            })
            .await
    }

    /// Asks the API where its registry is.
    async fn ask(&self) -> Result<Cluster, Failure> {
        let settings = config(self.connection).await?;
        let client = Client::connect(self.connection).await?;
        let discovery = client.discover().await?;
        let resource = discovery.resolve(TOKEN)?;
        let question = json!({ "apiVersion": "mosaic/v1", "kind": "RegistryToken" });
        let answer = client.create(resource, None, &question).await?;
        let text = |path: &str| answer.pointer(path).and_then(Value::as_str);
        let server = text("/status/server")
            .ok_or_else(|| Failure::new("the server does not say where its image registry is"))?;
        let password = match text("/status/token") {
            Some(token) => Some(token.to_owned()),
            None => own_token(&settings),
        };
        let authority = settings
            .root_cert
            .as_ref()
            .map(|all| all.iter().map(|one| pem("CERTIFICATE", one)).collect());
        Ok(Cluster {
            server: server.to_owned(),
            credentials: password.map_or(Credentials::Anonymous, |password| Credentials::Basic {
                username: "mos".into(),
                password,
            }),
            authority,
        })
    }
}

/// The token that the kubeconfig shows to the API.
fn own_token(settings: &kube::Config) -> Option<String> {
    use kube::config::AuthInfo;

    let AuthInfo {
        token, token_file, ..
    } = &settings.auth_info;
    if let Some(file) = token_file {
        return Some(std::fs::read_to_string(file).ok()?.trim().to_owned());
    }
    token.as_ref().map(|token| {
        use secrecy::ExposeSecret;
        token.expose_secret().to_owned()
    })
}

/// The logins of Docker's client.
fn docker_logins() -> Result<Keyring, Failure> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
    let Some(directory) = directory.or_else(home) else {
        return Ok(Keyring::default());
    };
    Keyring::from_docker(&directory.join("config.json"))
        .map_err(|error| Failure::new(error.to_string()))
}
