//! Who one is for a registry: credentials, challenges and tokens. Pure, but for reading a file.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::name::DOCKER;

/// The longest `config.json` that is read, in bytes.
const CONFIG_MAX: u64 = 1 << 20;
/// What Docker's own registry is called in a `config.json`.
const DOCKER_KEY: &str = "index.docker.io";

/// What is shown to a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that is shown as it is.
    Bearer(String),
    /// A token for which the registry's authorization service gives others (`identitytoken`).
    Refresh(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Refresh(_) => "Refresh(..)",
        })
    }
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Where it is.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not of its form.
    #[error("{path} is not a configuration of Docker's client: {reason}")]
    Malformed {
        /// Where it is.
        path: String,
        /// What is wrong, without the content.
        reason: String,
    },
}

/// Credentials by registry.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    by_registry: HashMap<String, Credentials>,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    auths: HashMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl Keyring {
    /// These for one registry.
    pub fn set(&mut self, registry: &str, credentials: Credentials) {
        self.by_registry.insert(key(registry), credentials);
    }

    /// Those for a registry.
    #[must_use]
    pub fn get(&self, registry: &str) -> &Credentials {
        self.by_registry
            .get(&key(registry))
            .unwrap_or(&Credentials::Anonymous)
    }

    /// What Docker's client has under `auths` in its `config.json`; nothing if there is no such file. Credential helpers
    /// are not asked.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is longer than 1 MiB, or is not of its form.
    pub fn from_docker(path: &Path) -> Result<Self, ConfigFileError> {
        use std::io::Read as _;
        let shown = || path.display().to_string();
        let read = |source| ConfigFileError::Read {
            path: shown(),
            source,
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(read(error)),
        };
        let mut bytes = Vec::new();
        file.take(CONFIG_MAX)
            .read_to_end(&mut bytes)
            .map_err(read)?;
        let malformed = |reason: String| ConfigFileError::Malformed {
            path: shown(),
            reason,
        };
        let parsed: ConfigFile = serde_json::from_slice(&bytes).map_err(|error| {
            // The parser's own words may quote a secret.
            malformed(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let mut keyring = Self::default();
        for (registry, auth) in parsed.auths {
            let credentials = auth
                .credentials()
                .ok_or_else(|| malformed(format!("auth of {registry}")))?;
            if credentials != Credentials::Anonymous {
                keyring.set(&registry, credentials);
            }
        }
        Ok(keyring)
    }
}

impl Auth {
    fn credentials(self) -> Option<Credentials> {
        if !self.registrytoken.is_empty() {
            return Some(Credentials::Bearer(self.registrytoken));
        }
        if !self.identitytoken.is_empty() {
            return Some(Credentials::Refresh(self.identitytoken));
        }
        if !self.auth.is_empty() {
            let text = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
            let (username, password) = text.split_once(':')?;
            return Some(Credentials::Basic {
                username: username.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            });
        }
        if !self.username.is_empty() {
            return Some(Credentials::Basic {
                username: self.username,
                password: self.password,
            });
        }
        Some(Credentials::Anonymous)
    }
}

/// A registry's host, whatever it was written as: `https://index.docker.io/v1/` is what Docker itself writes.
fn key(registry: &str) -> String {
    let host = registry
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    let host = match host {
        DOCKER | "registry-1.docker.io" => DOCKER_KEY,
        host => host,
    };
    host.to_ascii_lowercase()
}

/// What a registry asks for (RFC 9110, "WWW-Authenticate").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The first one that can be answered.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header
            .trim_start()
            .split_once(' ')
            .unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        })
    }
}

/// `key=value, key="quoted, \"value\""`
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut characters = text.chars().peekable();
    loop {
        let key: String = std::iter::from_fn(|| characters.next_if(|one| *one != '=')).collect();
        if characters.next().is_none() {
            return found;
        }
        let mut value = String::new();
        if characters.next_if_eq(&'"').is_some() {
            while let Some(one) = characters.next() {
                match one {
                    '"' => break,
                    '\\' => value.extend(characters.next()),
                    one => value.push(one),
                }
            }
        } else {
            value.extend(std::iter::from_fn(|| characters.next_if(|one| *one != ',')));
        }
        while characters
            .next_if(|one| *one == ',' || one.is_whitespace())
            .is_some()
        {}
        let key = key.trim().to_ascii_lowercase();
        found.entry(key).or_insert_with(|| value.trim().to_owned());
    }
}

/// The header of a name and a password.
pub(super) fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dockers_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        assert_eq!(
            *Keyring::from_docker(&path).unwrap().get("example.com"),
            Credentials::Anonymous
        );
        let text = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("me:se:cret")},
            "example.com:5000": {"username": "you", "password": "p"},
            "token.example.com": {"identitytoken": "refresh"},
            "helper.example.com": {},
        }, "credsStore": "desktop"});
        std::fs::write(&path, text.to_string()).unwrap();
        let keyring = Keyring::from_docker(&path).unwrap();
        let me = Credentials::Basic {
            username: "me".into(),
            password: "se:cret".into(),
        };
        assert_eq!(*keyring.get("docker.io"), me);
        assert!(matches!(
            keyring.get("example.com:5000"),
            Credentials::Basic { .. }
        ));
        assert_eq!(*keyring.get("example.com"), Credentials::Anonymous);
        assert_eq!(
            *keyring.get("token.example.com"),
            Credentials::Refresh("refresh".into())
        );
        assert_eq!(*keyring.get("helper.example.com"), Credentials::Anonymous);
        assert!(!format!("{keyring:?}").contains("cret"));

        std::fs::write(&path, r#"{"auths": {"a": {"auth": "sehr geheim"}}}"#).unwrap();
        let error = Keyring::from_docker(&path).unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
        std::fs::write(&path, r#"{"auths": "geheim"}"#).unwrap();
        let error = Keyring::from_docker(&path).unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
    }

    #[test]
    fn a_challenge_is_understood() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry, \"one\"",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example.com/token".into(),
                service: Some("registry, \"one\"".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(Challenge::parse("basic realm=x"), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Basic"), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Bearer service=x"), None);
        assert_eq!(Challenge::parse("Negotiate abc"), None);
    }

    proptest! {
        #[test]
        fn no_challenge_makes_it_panic(text in "\\PC{0,80}") {
            let _ = Challenge::parse(&text);
            let _ = Challenge::parse(&format!("Bearer {text}"));
        }
    }
}
