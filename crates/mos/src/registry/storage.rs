//! What a registry stands on: its bytes on a disk or in object storage, its records, its mirrors.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mosaic_image::remote::{Keyring, Plain, Remote, RemoteOptions};
use mosaic_image::{Name, Repository};
use mosaic_registry::blobs::Objects;
use mosaic_registry::mirror::Mirror;
use mosaic_registry::{Blobs, Disk};
use mosaic_store::Store;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;

use crate::client::duration;
use crate::failure::Failure;

/// A bucket of S3 or of what speaks its protocol, and what stands before the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    name: String,
    prefix: String,
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("s3://")
            .ok_or("s3://BUCKET or s3://BUCKET/PREFIX is wanted")?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err("s3://BUCKET or s3://BUCKET/PREFIX is wanted".into());
        }
        Ok(Self {
            name: name.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

/// A prefix of repositories that is another registry's, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    prefix: String,
    registry: String,
    /// With its slash, if it is not empty.
    within: String,
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str =
            "PREFIX=REGISTRY or PREFIX=REGISTRY/PATH is wanted, such as hub=docker.io";
        let (prefix, upstream) = text.split_once('=').ok_or(WANTED)?;
        let prefix: Repository = prefix
            .parse()
            .map_err(|error| format!("{error}; {WANTED}"))?;
        let (registry, within) = upstream.split_once('/').unwrap_or((upstream, ""));
        // A name with this registry, of an image that has to be one.
        let image = if within.is_empty() { "image" } else { within };
        let name: Name = format!("{registry}/{image}")
            .parse()
            .map_err(|error| format!("{error}; {WANTED}"))?;
        let registry = name.registry().ok_or(WANTED)?.to_owned();
        Ok(Self {
            prefix: prefix.to_string(),
            registry,
            within: if within.is_empty() {
                String::new()
            } else {
                format!("{within}/")
            },
        })
    }
}

/// Which repositories are other registries'.
#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// Repositories below PREFIX are fetched from another registry when they are asked for, and kept; may be given
    /// several times
    #[arg(long, value_name = "PREFIX=REGISTRY[/PATH]", value_delimiter = ',')]
    pub(crate) registry_mirror: Vec<Upstream>,
    /// How long a tag of a mirror is what it was without asking the other registry again
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) registry_mirror_expiry: Duration,
    /// Logins for other registries: a config.json of Docker
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_mirror_logins: Option<PathBuf>,
    /// Certificates that other registries' are checked against besides the usual ones (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_mirror_ca: Option<PathBuf>,
}

impl MirrorArgs {
    /// The mirrors, ready to be asked.
    pub(super) fn open(&self) -> Result<Vec<Mirror>, Failure> {
        let keyring = match &self.registry_mirror_logins {
            None => Keyring::default(),
            Some(file) if !file.exists() => {
                return Err(Failure::new(format!(
                    "registry-mirror-logins: there is no {}",
                    file.display()
                )));
            }
            Some(file) => Keyring::from_docker(file)
                .map_err(|error| Failure::new(format!("registry-mirror-logins: {error}")))?,
        };
        let mut authorities = Vec::new();
        if let Some(file) = &self.registry_mirror_ca {
            authorities.push(std::fs::read_to_string(file).map_err(|error| {
                Failure::new(format!(
                    "registry-mirror-ca: cannot read {}: {error}",
                    file.display()
                ))
            })?);
        }
        if self.registry_mirror.is_empty() {
            return Ok(Vec::new());
        }
        let mut prefixes: Vec<&str> = self.registry_mirror.iter().map(|it| &*it.prefix).collect();
        prefixes.sort_unstable();
        if let Some(twice) = prefixes.windows(2).find(|pair| pair.first() == pair.last()) {
            let prefix = twice.first().copied().unwrap_or_default();
            return Err(Failure::usage(format!(
                "registry-mirror: {prefix} is to be two mirrors"
            )));
        }
        let place = Arc::new(Remote::new(RemoteOptions {
            keyring,
            authorities,
            plain: Plain::Loopback,
            ..RemoteOptions::default()
        })?);
        let mirror = |upstream: &Upstream| Mirror {
            prefix: upstream.prefix.clone(),
            registry: upstream.registry.clone(),
            within: upstream.within.clone(),
            place: place.clone(),
            expiry: self.registry_mirror_expiry,
        };
        Ok(self.registry_mirror.iter().map(mirror).collect())
    }
}

/// Where the bytes and the records of a registry are.
pub(super) struct Storage {
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) records: Arc<dyn Store>,
}

impl Storage {
    /// Both in a directory, which no other process uses.
    pub(super) fn directory(directory: &Path) -> Result<Self, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            let directory = directory.display();
            Failure::new(format!(
                "cannot open the image registry in {directory}: {error}"
            ))
        };
        let records = directory.join("records");
        std::fs::create_dir_all(&records).map_err(|error| cannot(&error))?;
        let records = mosaic_store::Sqlite::open(&records).map_err(|error| cannot(&error))?;
        let blobs = Disk::open(directory).map_err(|error| cannot(&error))?;
        Ok(Self {
            blobs: Arc::new(blobs),
            records: Arc::new(records),
        })
    }

    /// The bytes in a bucket, the records in a store: any number of servers may share the two. The bucket is found as
    /// S3's own tools do, by `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on.
    pub(super) fn bucket(bucket: &Bucket, records: Arc<dyn Store>) -> Result<Self, Failure> {
        // Its client asks for the process's; it is there already if somebody else set it.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let s3 = AmazonS3Builder::from_env()
            .with_bucket_name(&bucket.name)
            // Whoever names an endpoint without TLS means it; there is none by default.
            .with_allow_http(true)
            .build()
            .map_err(|error| {
                Failure::new(format!("cannot use the bucket {}: {error}", bucket.name)).hint(
                    "set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for what is not Amazon's",
                )
            })?;
        let objects: Arc<dyn ObjectStore> = if bucket.prefix.is_empty() {
            Arc::new(s3)
        } else {
            Arc::new(PrefixStore::new(s3, bucket.prefix.as_str()))
        };
        Ok(Self {
            blobs: Arc::new(Objects::new(objects, records.clone())),
            records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_parsed_and_refused() {
        let hub: Upstream = "hub=docker.io".parse().unwrap();
        assert_eq!((&*hub.registry, &*hub.within), ("docker.io", ""));
        let library: Upstream = "team/lib=localhost:5001/library".parse().unwrap();
        assert_eq!(library.prefix, "team/lib");
        assert_eq!(
            (&*library.registry, &*library.within),
            ("localhost:5001", "library/")
        );
        for bad in [
            "",
            "hub",
            "hub=",
            "=docker.io",
            "HUB=docker.io",
            "hub=docker",
            "hub=docker.io/UP",
        ] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_are_parsed_and_refused() {
        let bucket: Bucket = "s3://images/a/b/".parse().unwrap();
        assert_eq!((&*bucket.name, &*bucket.prefix), ("images", "a/b"));
        for bad in ["images", "s3://", "s3:///a", "gs://images"] {
            assert!(bad.parse::<Bucket>().is_err(), "{bad}");
        }
    }
}
