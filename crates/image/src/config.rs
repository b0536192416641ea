//! The configuration of an image: what it runs, on what, and the layers that it was made of (image-spec, config.md).
//!
//! It is read with oci-spec's types and changed as JSON, so that members which only other tools know stay in it.

use bytes::Bytes;
use oci_spec::image::{Arch, Os};
pub use oci_spec::image::{Config as Run, History, ImageConfiguration};
use serde_json::{Map, Value, json};

use crate::digest::{self, Digest, DigestError};
use crate::document::{Descriptor, LAYERS_MAX, Platform};

/// The longest configuration that is read, in bytes.
pub const SIZE_MAX: usize = 4 << 20;
/// The most entries of a history: steps without a layer have one too.
const HISTORY_MAX: usize = 4 * LAYERS_MAX;

/// Why bytes are not a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There are too many of them.
    #[error("an image configuration of {size} bytes is longer than {SIZE_MAX}")]
    TooLarge {
        /// How many, in bytes.
        size: usize,
    },
    /// They are not JSON of the right form.
    #[error("not an image configuration: {reason}")]
    Malformed {
        /// What the parser said.
        reason: String,
    },
    /// More layers or steps than the bound.
    #[error("an image configuration with {count} {what}; {max} are allowed")]
    TooMany {
        /// `layers` or `steps of history`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A diff id that is not a digest, or cannot be verified.
    #[error("an image configuration names a layer wrongly: {0}")]
    DiffId(#[from] DigestError),
    /// Configuration and manifest do not belong together.
    #[error("the configuration has {diff_ids} layers and the manifest {layers}")]
    Layers {
        /// By the configuration.
        diff_ids: usize,
        /// By the manifest.
        layers: usize,
    },
}

/// An image configuration that keeps the bounds.
#[derive(Debug, Clone)]
pub struct Config {
    bytes: Bytes,
    parsed: ImageConfiguration,
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// When the bytes are not one, or it is out of bounds.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, ConfigError> {
        let bytes = bytes.into();
        if bytes.len() > SIZE_MAX {
            return Err(ConfigError::TooLarge { size: bytes.len() });
        }
        let parsed: ImageConfiguration =
            serde_json::from_slice(&bytes).map_err(|error| ConfigError::Malformed {
                reason: error.to_string(),
            })?;
        let steps = parsed.history().as_ref().map_or(0, Vec::len);
        for (what, count, max) in [
            ("layers", parsed.rootfs().diff_ids().len(), LAYERS_MAX),
            ("steps of history", steps, HISTORY_MAX),
        ] {
            if count > max {
                return Err(ConfigError::TooMany { what, count, max });
            }
        }
        let diff_ids = parsed
            .rootfs()
            .diff_ids()
            .iter()
            .map(|text| digest::parse(text))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            bytes,
            parsed,
            diff_ids,
        })
    }

    /// Whether it belongs to a manifest with these layers: there is a diff id for each.
    ///
    /// # Errors
    ///
    /// When their numbers differ.
    pub fn fits(&self, layers: &[Descriptor]) -> Result<(), ConfigError> {
        if self.diff_ids.len() == layers.len() {
            Ok(())
        } else {
            Err(ConfigError::Layers {
                diff_ids: self.diff_ids.len(),
                layers: layers.len(),
            })
        }
    }

    /// The bytes it was read from.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digests of the layers' tars without compression, the lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// What is run, and how.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.parsed.config().as_ref()
    }

    /// How the image came about.
    #[must_use]
    pub fn history(&self) -> &[History] {
        self.parsed.history().as_deref().unwrap_or_default()
    }

    /// When it was made, as RFC 3339 text.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.parsed.created().as_deref()
    }

    /// What it runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        platform(
            self.parsed.os().clone(),
            self.parsed.architecture().clone(),
            self.parsed.variant().clone(),
        )
    }
}

fn platform(os: Os, architecture: Arch, variant: Option<String>) -> Platform {
    let mut platform = Platform::default();
    platform.set_os(os);
    platform.set_architecture(architecture);
    platform.set_variant(variant.filter(|text| !text.is_empty()));
    platform
}

/// The platform of this machine.
#[must_use]
pub fn host_platform() -> Platform {
    platform(Os::Linux, Arch::default(), None)
}

/// A platform from `os/architecture[/variant]`; none if the text is not one.
#[must_use]
pub fn parse_platform(text: &str) -> Option<Platform> {
    let mut parts = text.split('/');
    let (os, architecture) = (parts.next()?, parts.next()?);
    let variant = parts.next();
    let right = parts.next().is_none()
        && [Some(os), Some(architecture), variant]
            .iter()
            .flatten()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()));
    right.then(|| {
        platform(
            Os::from(os),
            Arch::from(architecture),
            variant.map(ToOwned::to_owned),
        )
    })
}

/// The manifest of an index that is for this platform: of those with its operating system and architecture, the one of
/// its variant, else the one without a variant, else the first.
#[must_use]
pub fn choose<'a>(manifests: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let variant = |platform: &Platform| {
        // Every arm64 is v8, and both are written.
        let default = (*platform.architecture() == Arch::ARM64).then(|| "v8".to_owned());
        platform.variant().clone().or(default)
    };
    manifests
        .iter()
        .filter_map(|manifest| Some((manifest, manifest.platform().as_ref()?)))
        .filter(|(_, platform)| {
            platform.os() == wanted.os() && platform.architecture() == wanted.architecture()
        })
        .enumerate()
        .min_by_key(|(position, (_, platform))| {
            let variant_of = variant(platform);
            let rank = if variant_of == variant(wanted) {
                0
            } else if variant_of.is_none() {
                1
            } else {
                2
            };
            (rank, *position)
        })
        .map(|(_, (manifest, _))| manifest)
}

/// What an image is to be run as, as far as it is said; the rest stays as in the base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The program, and its first arguments. Setting it drops the base's `cmd`, as Docker does.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments that a user may replace.
    pub cmd: Option<Vec<String>>,
    /// `NAME=value`; one of the same name is replaced.
    pub env: Vec<String>,
    /// Where it starts.
    pub working_dir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Labels, which are added to the base's.
    pub labels: Vec<(String, String)>,
    /// `port[/protocol]`, which are added to the base's.
    pub exposed_ports: Vec<String>,
}

/// A layer that is laid on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLayer {
    /// The digest of its tar without compression.
    pub diff_id: Digest,
    /// How it came about, for the history.
    pub created_by: String,
}

/// The bytes of a new configuration: that of `base`, or an empty one for `platform`, with layers laid on and changes made.
/// `created` is RFC 3339 text.
///
/// # Errors
///
/// When the base's bytes are not what they were read as.
pub fn derive(
    base: Option<&Config>,
    platform: &Platform,
    layers: &[NewLayer],
    changes: &Changes,
    created: &str,
) -> Result<Vec<u8>, ConfigError> {
    let malformed = |reason: &str| ConfigError::Malformed {
        reason: reason.to_owned(),
    };
    let mut root: Map<String, Value> = match base {
        Some(base) => {
            serde_json::from_slice(base.bytes()).map_err(|error| malformed(&error.to_string()))?
        }
        None => Map::new(),
    };
    if base.is_none() {
        root.insert("os".into(), platform.os().to_string().into());
        root.insert(
            "architecture".into(),
            platform.architecture().to_string().into(),
        );
        if let Some(variant) = platform.variant() {
            root.insert("variant".into(), variant.as_str().into());
        }
    }
    root.insert("created".into(), created.into());

    let rootfs = object(&mut root, "rootfs").ok_or_else(|| malformed("rootfs"))?;
    rootfs.insert("type".into(), "layers".into());
    let diff_ids = array(rootfs, "diff_ids").ok_or_else(|| malformed("diff_ids"))?;
    diff_ids.extend(layers.iter().map(|layer| layer.diff_id.as_ref().into()));
    let history = array(&mut root, "history").ok_or_else(|| malformed("history"))?;
    history.extend(
        layers
            .iter()
            .map(|layer| json!({"created": created, "created_by": layer.created_by})),
    );

    let config = object(&mut root, "config").ok_or_else(|| malformed("config"))?;
    change(config, changes).ok_or_else(|| malformed("config"))?;
    serde_json::to_vec(&root).map_err(|error| malformed(&error.to_string()))
}

fn change(config: &mut Map<String, Value>, changes: &Changes) -> Option<()> {
    if let Some(entrypoint) = &changes.entrypoint {
        config.insert("Entrypoint".into(), json!(entrypoint));
        config.remove("Cmd");
    }
    if let Some(cmd) = &changes.cmd {
        config.insert("Cmd".into(), json!(cmd));
    }
    if !changes.env.is_empty() {
        let env = array(config, "Env")?;
        for variable in &changes.env {
            let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
            let wanted = name(variable);
            match env
                .iter_mut()
                .find(|there| there.as_str().map(name).as_ref() == Some(&wanted))
            {
                Some(there) => *there = variable.as_str().into(),
                None => env.push(variable.as_str().into()),
            }
        }
    }
    for (field, value) in [
        ("WorkingDir", &changes.working_dir),
        ("User", &changes.user),
    ] {
        if let Some(value) = value {
            config.insert(field.into(), value.as_str().into());
        }
    }
    if !changes.labels.is_empty() {
        let labels = object(config, "Labels")?;
        for (key, value) in &changes.labels {
            labels.insert(key.clone(), value.as_str().into());
        }
    }
    if !changes.exposed_ports.is_empty() {
        let ports = object(config, "ExposedPorts")?;
        for port in &changes.exposed_ports {
            let port = if port.contains('/') {
                port.clone()
            } else {
                format!("{port}/tcp")
            };
            ports.insert(port, json!({}));
        }
    }
    Some(())
}

/// The object at a member, made if there is none or null; none if there is something else.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let there = map.entry(key).or_insert(Value::Null);
    if there.is_null() {
        *there = json!({});
    }
    there.as_object_mut()
}

/// The array at a member, made if there is none or null; none if there is something else.
fn array<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Vec<Value>> {
    let there = map.entry(key).or_insert(Value::Null);
    if there.is_null() {
        *there = json!([]);
    }
    there.as_array_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media;

    fn base() -> Config {
        let diff_id = digest::sha256(b"base");
        Config::parse(
            json!({
                "os": "linux", "architecture": "arm64", "variant": "v8", "docker_version": "20.10",
                "rootfs": {"type": "layers", "diff_ids": [diff_id.as_ref()]},
                "history": null,
                "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "A=1"], "Labels": null, "Healthcheck": {"Test": ["x"]}},
            })
            .to_string()
            .into_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn a_derived_configuration_keeps_what_it_does_not_change() {
        let changes = Changes {
            entrypoint: Some(vec!["/app".into()]),
            env: vec!["A=2".into(), "B=3".into()],
            labels: vec![("team".into(), "web".into())],
            exposed_ports: vec!["80".into(), "53/udp".into()],
            ..Changes::default()
        };
        let layer = NewLayer {
            diff_id: digest::sha256(b"new"),
            created_by: "import".into(),
        };
        let bytes = derive(
            Some(&base()),
            &host_platform(),
            std::slice::from_ref(&layer),
            &changes,
            "1970-01-01T00:00:00Z",
        )
        .unwrap();
        let derived = Config::parse(bytes.clone()).unwrap();
        assert_eq!(derived.diff_ids(), [digest::sha256(b"base"), layer.diff_id]);
        assert_eq!(derived.platform(), base().platform());
        assert_eq!(derived.history().len(), 1);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["docker_version"], "20.10");
        assert_eq!(
            value["config"],
            json!({
                "Entrypoint": ["/app"], "Env": ["PATH=/bin", "A=2", "B=3"], "Labels": {"team": "web"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Healthcheck": {"Test": ["x"]},
            })
        );
    }

    #[test]
    fn a_configuration_out_of_bounds_is_refused() {
        let with = |diff_ids: Vec<&str>| {
            let value = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
            Config::parse(value.to_string().into_bytes())
        };
        let digest = digest::sha256(b"x");
        assert!(with(vec![digest.as_ref(); LAYERS_MAX]).is_ok());
        assert!(matches!(
            with(vec![digest.as_ref(); LAYERS_MAX + 1]),
            Err(ConfigError::TooMany { what: "layers", .. })
        ));
        assert!(matches!(with(vec!["../x"]), Err(ConfigError::DiffId(_))));
        assert!(matches!(
            Config::parse(vec![b' '; SIZE_MAX + 1]),
            Err(ConfigError::TooLarge { .. })
        ));
        assert!(Config::parse(&b"{}"[..]).is_err());
        assert!(matches!(
            base().fits(&[]),
            Err(ConfigError::Layers {
                diff_ids: 1,
                layers: 0
            })
        ));
    }

    #[test]
    fn the_manifest_of_a_platform_is_found() {
        let of = |text: &str| {
            let mut descriptor = Descriptor::new(
                media::MediaType::ImageManifest,
                1,
                digest::sha256(text.as_bytes()),
            );
            descriptor.set_platform(parse_platform(text));
            descriptor
        };
        let manifests = [
            of("unknown/unknown"),
            of("linux/arm/v6"),
            of("linux/arm/v7"),
            of("linux/arm64"),
            of("linux/amd64"),
        ];
        for (wanted, found) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("linux/arm/v7", Some("linux/arm/v7")),
            ("linux/arm", Some("linux/arm/v6")),
            ("windows/amd64", None),
        ] {
            let chosen = choose(&manifests, &parse_platform(wanted).unwrap());
            assert_eq!(
                chosen.map(|chosen| chosen.digest().clone()),
                found.map(|text| digest::sha256(text.as_bytes())),
                "{wanted}"
            );
        }
        for wrong in ["", "linux", "linux/", "linux/arm/v7/x", "a b/c"] {
            assert!(parse_platform(wrong).is_none(), "{wrong}");
        }
    }
}
