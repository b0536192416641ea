//! kubectl and helm, as their users run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Following, Outcome, split};

/// The versions of kubectl that Mosaic is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubectlVersion {
    /// 1.34
    V1_34,
    /// 1.37
    V1_37,
}

impl KubectlVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V1_34, Self::V1_37];
    /// The newest.
    pub const NEWEST: Self = Self::V1_37;

    /// Its name among the tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_34 => "kubectl-1.34",
            Self::V1_37 => "kubectl-1.37",
        }
    }
}

/// One way of running kubectl: which version, against which server, in which namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    version: KubectlVersion,
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: Option<String>,
    environment: Vec<(String, String)>,
}

impl Kubectl {
    /// A kubectl with this kubeconfig. Its caches go below `home`.
    pub fn new(version: KubectlVersion, kubeconfig: &Path, home: &Path) -> Self {
        Self {
            program: tool(version.name()),
            version,
            kubeconfig: kubeconfig.to_owned(),
            home: home.to_owned(),
            namespace: None,
            environment: Vec::new(),
        }
    }

    /// The same, in this namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// The same, with this environment variable.
    #[must_use]
    pub fn with_env(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.environment.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same, as whom another kubeconfig says.
    #[must_use]
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            ..self.clone()
        }
    }

    /// Its version.
    pub fn version(&self) -> KubectlVersion {
        self.version
    }

    /// Runs it with the words of this line, see [`split`].
    pub fn run(&self, line: &str) -> Outcome {
        self.run_with_input(line, "")
    }

    /// Runs it with the words of this line and this standard input.
    pub fn run_with_input(&self, line: &str, input: &str) -> Outcome {
        command::run(&mut self.command(line), input)
    }

    /// Starts it, to be read line by line.
    pub fn follow(&self, line: &str) -> Following {
        Following::start(&mut self.command(line))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", &self.home);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", &self.kubeconfig);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(namespace) = &self.namespace {
            command.args(["-n", namespace]);
        }
        command.args(split(line));
        command
    }
}

/// One way of running helm.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    /// A helm with this kubeconfig. Its caches go below `home`.
    pub fn new(kubeconfig: &Path, home: &Path) -> Self {
        Self {
            program: tool("helm-4"),
            kubeconfig: kubeconfig.to_owned(),
            home: home.to_owned(),
        }
    }

    /// Runs it with the words of this line, see [`split`].
    pub fn run(&self, line: &str) -> Outcome {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command::run(command.args(split(line)), "")
    }
}

/// Where a tool is: as its variable says, or where `scripts/tools.sh` puts it by default.
fn tool(name: &str) -> PathBuf {
    let variable = format!("MOSAIC_{}", name.to_uppercase().replace(['-', '.'], "_"));
    if let Some(path) = std::env::var_os(&variable) {
        return PathBuf::from(path);
    }
    let folder = std::env::var_os("MOSAIC_TOOLS")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            PathBuf::from(home).join(".cache/mosaic/tools")
        });
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "there is no {}: run scripts/tools.sh",
        path.display()
    );
    path
}
