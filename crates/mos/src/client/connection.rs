//! Which server, as whom: kubeconfig and flags, found and merged as kubectl does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Args, Command};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::Client;
use crate::failure::Failure;
use crate::nearest::did_you_mean;

/// The flags of every client command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection, for client commands")]
pub(crate) struct ConnectionArgs {
    /// kubeconfig file; by default those that KUBECONFIG lists, or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace to work in; by default the context's
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(crate) as_user: Option<String>,
    /// Group to act as; may be given several times
    #[arg(long, global = true, value_name = "GROUP", requires = "as_user")]
    pub(crate) as_group: Vec<String>,
    /// How long one request may take, a watch too, such as 30s; by default as long as it does
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub(crate) request_timeout: Option<Duration>,
    /// Log requests to standard error; -vv logs more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl ConnectionArgs {
    /// The flags, as they are described to the parser.
    pub(crate) fn flags() -> Vec<Arg> {
        let described = Self::augment_args(Command::new(""));
        described.get_arguments().cloned().collect()
    }
}

/// Where the connection's settings come from; for error messages.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The server's URL.
    pub(crate) server: String,
    /// The context's name.
    pub(crate) context: String,
    /// The user's name in the kubeconfig.
    pub(crate) user: String,
    /// The kubeconfig's files.
    pub(crate) files: Vec<PathBuf>,
}

impl Origin {
    /// The files, for a message.
    pub(crate) fn files(&self) -> String {
        list_files(&self.files)
    }
}

/// Parses `30s`, `5m`, `1h30m`, `250ms` or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "a duration such as 30s, 5m or 1h30m is wanted";
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(WANTED)?;
        let (number, tail) = rest.split_at(digits);
        let number: u32 = number.parse().map_err(|_| WANTED)?;
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        total += match unit {
            "ms" => Duration::from_millis(number.into()),
            "s" => Duration::from_secs(number.into()),
            "m" => Duration::from_secs(u64::from(number) * 60),
            "h" => Duration::from_secs(u64::from(number) * 3600),
            _ => return Err(WANTED.into()),
        };
        rest = tail;
    }
    if text.is_empty() {
        Err(WANTED.into())
    } else {
        Ok(total)
    }
}

/// The kubeconfig's files, in the order in which they count.
fn candidates(
    flag: Option<&PathBuf>,
    variable: Option<&std::ffi::OsStr>,
    home: Option<PathBuf>,
) -> Vec<PathBuf> {
    if let Some(file) = flag {
        return vec![file.clone()];
    }
    if let Some(value) = variable {
        let files: Vec<PathBuf> = std::env::split_paths(value)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        if !files.is_empty() {
            return files;
        }
    }
    home.map(|home| vec![home.join(".kube/config")])
        .unwrap_or_default()
}

fn list_files(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "~/.kube/config".into();
    }
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn start_hint() -> &'static str {
    "start a server with `mos server --data-dir DIR`, then `export KUBECONFIG=DIR/admin.kubeconfig`"
}

/// A file that cannot be read as a kubeconfig.
fn unusable(file: &Path, error: KubeconfigError) -> Failure {
    let file = file.display();
    match error {
        KubeconfigError::ReadConfig(error, _) => {
            Failure::new(format!("cannot read the kubeconfig {file}: {error}"))
        }
        KubeconfigError::Parse(error) => Failure::new(format!(
            "{file} is not a kubeconfig: {}",
            error.to_string().trim_end()
        )),
        error => Failure::new(format!("the kubeconfig {file} cannot be used: {error}")),
    }
}

/// Reads and merges the files. A file that KUBECONFIG lists may be missing; one named by a flag may not.
fn read(args: &ConnectionArgs) -> Result<(Kubeconfig, Vec<PathBuf>), Failure> {
    let variable = std::env::var_os("KUBECONFIG");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let files = candidates(args.kubeconfig.as_ref(), variable.as_deref(), home);
    let mut merged = Kubeconfig::default();
    let mut found = Vec::new();
    for file in &files {
        let config = match Kubeconfig::read_from(file) {
            Ok(config) => config,
            Err(KubeconfigError::ReadConfig(error, _))
                if error.kind() == std::io::ErrorKind::NotFound && args.kubeconfig.is_none() =>
            {
                continue;
            }
            Err(error) => return Err(unusable(file, error)),
        };
        if let Some(kind) = config.kind.as_deref().filter(|kind| *kind != "Config") {
            return Err(Failure::new(format!(
                "{} is not a kubeconfig (kind: {kind})",
                file.display()
            ))
            .hint("the file of a server is DIR/admin.kubeconfig in its data directory")
            .hint("objects in files are named by -f FILE"));
        }
        merged = merged.merge(config).map_err(|error| {
            Failure::new(format!(
                "the kubeconfigs {} cannot be merged: {error}",
                list_files(&files)
            ))
        })?;
        found.push(file.clone());
    }
    if found.is_empty() {
        return Err(
            Failure::new(format!("no kubeconfig: looked for {}", list_files(&files)))
                .hint("set KUBECONFIG or give --kubeconfig FILE")
                .hint(start_hint()),
        );
    }
    Ok((merged, found))
}

/// The name of the context to use.
fn context_name(
    args: &ConnectionArgs,
    config: &Kubeconfig,
    files: &[PathBuf],
) -> Result<String, Failure> {
    let names: Vec<&str> = config
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    let wanted = args
        .context
        .clone()
        .or_else(|| config.current_context.clone())
        .filter(|name| !name.is_empty());
    let Some(wanted) = wanted else {
        let failure = Failure::new(format!("no current context in {}", list_files(files)));
        return Err(if names.is_empty() {
            failure.hint(start_hint())
        } else {
            failure.hint(format!("give --context, one of: {}", names.join(", ")))
        });
    };
    if names.contains(&wanted.as_str()) {
        return Ok(wanted);
    }
    let mut failure = Failure::new(format!(
        "there is no context `{wanted}` in {}",
        list_files(files)
    ));
    if let Some(hint) = did_you_mean(&wanted, names.iter().copied()) {
        failure = failure.hint(hint);
    }
    Err(failure.hint(format!("contexts: {}", names.join(", "))))
}

/// The settings of the connection, for who makes a client of another kind of them.
pub(crate) async fn config(args: &ConnectionArgs) -> Result<Config, Failure> {
    resolve(args).await.map(|(config, _)| config)
}

/// Whether the user has, or names, a cluster at all.
pub(crate) fn is_configured(args: &ConnectionArgs) -> bool {
    let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let files = candidates(args.kubeconfig.as_ref(), None, std::env::home_dir());
    args.kubeconfig.is_some() || variable.is_some() || files.iter().any(|file| file.exists())
}

/// The settings of the connection, and where they come from.
async fn resolve(args: &ConnectionArgs) -> Result<(Config, Origin), Failure> {
    let (mut kubeconfig, files) = read(args)?;
    let context = context_name(args, &kubeconfig, &files)?;
    kubeconfig.current_context = Some(context.clone());
    let user = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == context)
        .and_then(|named| named.context.as_ref()?.user.clone())
        .unwrap_or_default();
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        cluster: None,
        user: None,
    };
    let place = format!("context `{context}` in {}", list_files(&files));
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Failure::new(format!("{place} cannot be used: {error}")))?;
    if args.as_user.is_some() {
        config.auth_info.impersonate.clone_from(&args.as_user);
        config.auth_info.impersonate_groups =
            Some(args.as_group.clone()).filter(|groups| !groups.is_empty());
    }
    let origin = Origin {
        server: config.cluster_url.to_string(),
        context,
        user,
        files,
    };
    Ok((config, origin))
}

pub(super) async fn connect(args: &ConnectionArgs) -> Result<Client, Failure> {
    let (mut config, origin) = resolve(args).await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    // Who types a command wants to hear of a refusal now; commands that wait say that they do.
    config.default_retry = false;
    let inner = kube::Client::try_from(config).map_err(|error| {
        let (context, files) = (&origin.context, origin.files());
        Failure::new(format!(
            "context `{context}` in {files} cannot be used: {error}"
        ))
    })?;
    Ok(Client {
        inner,
        origin: Arc::new(origin),
        namespace,
        timeout: args.request_timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_people_write() {
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m5s"), Ok(Duration::from_secs(5405)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "s", "5", "5x", "-1s", "5s5"]
            .into_iter()
            .filter(|text| *text != "5")
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_beats_the_variable_which_beats_the_home_directory() {
        let flag = PathBuf::from("/flag");
        let home = Some(PathBuf::from("/home/a"));
        let variable = std::ffi::OsStr::new("/one::/two");
        assert_eq!(
            candidates(Some(&flag), Some(variable), home.clone()),
            [flag]
        );
        assert_eq!(
            candidates(None, Some(variable), home.clone()),
            [PathBuf::from("/one"), PathBuf::from("/two")]
        );
        let empty = std::ffi::OsStr::new("");
        assert_eq!(
            candidates(None, Some(empty), home),
            [PathBuf::from("/home/a/.kube/config")]
        );
    }

    #[test]
    fn an_unknown_context_is_answered_with_the_known_ones() {
        let config = Kubeconfig::from_yaml(
            "contexts:\n- {name: mosaic, context: {cluster: a}}\n- {name: other, context: {cluster: b}}\n",
        )
        .unwrap();
        let args = ConnectionArgs {
            context: Some("mosiac".into()),
            ..ConnectionArgs::default()
        };
        let failure = context_name(&args, &config, &[PathBuf::from("/k")]).unwrap_err();
        assert!(
            format!("{failure:?}").contains("did you mean `mosaic`"),
            "{failure:?}"
        );
        let none = ConnectionArgs::default();
        let failure = context_name(&none, &config, &[PathBuf::from("/k")]).unwrap_err();
        assert!(
            failure.message().contains("no current context"),
            "{failure}"
        );
    }
}
