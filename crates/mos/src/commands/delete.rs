//! `mos delete`.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use serde_json::{Value, json};

use super::{DryRun, Filter, Outcome, targets, wait};
use crate::client::{Client, ConnectionArgs};
use crate::failure::Failure;
use crate::manifest;
use crate::output::{self, style};
use crate::selection::{self, Target};

/// Delete objects
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos delete pod web-1
  mos delete deployment/web service/web
  mos delete -f app.yaml
  mos delete pods -l app=web --wait=false
  mos delete jobs --all --cascade=foreground")]
pub(crate) struct DeleteArgs {
    /// TYPE NAME..., TYPE/NAME..., or TYPE with --all or a selector
    #[arg(
        value_name = "TYPE [NAME]",
        required_unless_present = "filename",
        conflicts_with = "filename"
    )]
    objects: Vec<String>,
    /// Delete the objects that a file names, the last one first; - is standard input
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<String>,
    /// With -f: also files in directories below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with_all = ["filename", "all"])]
    selector: Option<String>,
    /// Those whose fields match
    #[arg(long, value_name = "SELECTOR", conflicts_with = "filename")]
    field_selector: Option<String>,
    /// All of the type, in the namespace
    #[arg(long, conflicts_with = "filename")]
    all: bool,
    /// With --all or a selector: in every namespace
    #[arg(short = 'A', long, conflicts_with = "filename")]
    all_namespaces: bool,
    /// Wait until they are gone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: bool,
    /// How long to wait at most; by default as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = crate::client::duration)]
    timeout: Option<Duration>,
    /// What happens to what they own: deleted afterwards, deleted first, or left alone
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Cascade::Background)]
    cascade: Cascade,
    /// Seconds that pods get to end by themselves; 0 only with --force, otherwise it counts as 1
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// Remove at once, without waiting for anything that runs to have ended
    #[arg(long)]
    force: bool,
    /// An object that is not there is no error
    #[arg(long)]
    ignore_not_found: bool,
    /// `server`: check everything on the server, but delete nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// `name`: print TYPE/NAME only
    #[arg(short, long, value_name = "FORMAT", value_parser = ["name"])]
    output: Option<String>,
}

/// What happens to what a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cascade {
    /// Deleted after it.
    Background,
    /// Deleted before it.
    Foreground,
    /// Left alone.
    Orphan,
}

impl DeleteArgs {
    fn check(&self) -> Result<(), Failure> {
        match self.grace_period {
            Some(seconds) if self.force && seconds > 0 => Err(Failure::usage(
                "--force and a --grace-period above 0 contradict each other",
            )
            .hint("leave one of them out, or write --grace-period=0")),
            _ => Ok(()),
        }
    }

    fn options(&self) -> Value {
        let policy = match self.cascade {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        };
        let mut options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        if let Some(map) = options.as_object_mut() {
            let seconds = if self.force {
                Some(0)
            } else {
                // As kubectl does: nobody loses a process that still writes by a 0 alone.
                self.grace_period.map(|seconds| seconds.max(1))
            };
            if let Some(seconds) = seconds {
                map.insert("gracePeriodSeconds".into(), seconds.into());
            }
            if self.dry_run == DryRun::Server {
                map.insert("dryRun".into(), json!(["All"]));
            }
        }
        options
    }

    fn line(&self, target: &Target) -> String {
        if self.output.is_some() {
            return target.object_name();
        }
        let action = if self.force {
            "force deleted"
        } else {
            "deleted"
        };
        let place = target
            .namespace
            .as_ref()
            .map(|name| format!(" from {name} namespace"))
            .unwrap_or_default();
        format!(
            "{} \"{}\" {action}{place}{}",
            target.resource.singular_qualified(),
            target.name,
            self.dry_run.suffix()
        )
    }
}

/// Runs the command.
pub(crate) async fn run(args: DeleteArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    args.check()?;
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let mut outcome = Outcome::default();
    let targets = if args.filename.is_empty() {
        let filter = Filter {
            selector: args.selector.clone(),
            field_selector: args.field_selector.clone(),
            all: args.all,
            all_namespaces: args.all_namespaces,
        };
        targets(&client, &discovery, &args.objects, &filter).await?
    } else {
        let manifests = manifest::in_order_of_need(manifest::read(&args.filename, args.recursive)?);
        let mut targets = Vec::new();
        // What was needed by others goes last.
        for manifest in manifests.iter().rev() {
            match selection::of_manifest(
                manifest,
                &discovery,
                &client,
                connection.namespace.as_deref(),
            ) {
                Ok(target) => targets.push(target),
                // The kind of an object may be gone with its definition.
                Err(_) if args.ignore_not_found => {}
                Err(failure) => outcome.record(Err(failure))?,
            }
        }
        targets
    };
    if args.force {
        eprintln!(
            "{} with --force nothing waits for what runs to have ended; it may go on running",
            style::stderr().warning("warning:")
        );
    }
    let deleted = delete(&args, &client, targets, &mut outcome).await?;
    if deleted == 0 && outcome.is_clean() && !args.ignore_not_found {
        eprintln!("No resources found");
    }
    outcome.finish()
}

async fn delete(
    args: &DeleteArgs,
    client: &Client,
    targets: Vec<Target>,
    outcome: &mut Outcome,
) -> Result<usize, Failure> {
    let options = args.options();
    let mut deleted = Vec::new();
    for target in targets {
        let answer = client
            .delete(
                &target.resource,
                target.namespace.as_deref(),
                &target.name,
                &options,
            )
            .await;
        match answer {
            Ok(answer) => {
                output::line(&args.line(&target))?;
                deleted.push((target, uid(&answer)));
            }
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) => outcome.record(Err(error.into()))?,
        }
    }
    let count = deleted.len();
    if args.wait && !args.force && args.dry_run == DryRun::None && count > 0 {
        // Whoever may delete need not be allowed to watch.
        deleted.retain(|(target, _)| target.resource.can("watch") && target.resource.can("list"));
        wait::until_gone(client, &deleted, args.timeout).await?;
    }
    Ok(count)
}

/// The uid in the answer, which is the object or a status about it.
fn uid(answer: &Value) -> Option<String> {
    let uid = answer
        .pointer("/metadata/uid")
        .or_else(|| answer.pointer("/details/uid"))?;
    uid.as_str()
        .filter(|uid| !uid.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(text: &str) -> DeleteArgs {
        let words = ["mos", "delete"].into_iter().chain(text.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Delete(args) => args,
            _ => panic!("another command"),
        }
    }

    #[test]
    fn options_say_what_the_flags_say() {
        assert_eq!(args("pod a").options()["propagationPolicy"], "Background");
        let options = args("pod a --cascade=orphan --grace-period 5 --dry-run=server").options();
        assert_eq!(options["propagationPolicy"], "Orphan");
        assert_eq!(options["gracePeriodSeconds"], 5);
        assert_eq!(options["dryRun"], json!(["All"]));
        assert_eq!(args("pod a --force").options()["gracePeriodSeconds"], 0);
        let options = args("pod a --force --grace-period=0").options();
        assert_eq!(options["gracePeriodSeconds"], 0);
        let options = args("pod a --grace-period=0").options();
        assert_eq!(options["gracePeriodSeconds"], 1);
        assert!(!args("pod a --wait=false").wait);
        assert!(args("pod a").wait);
    }

    #[test]
    fn contradictions_are_refused() {
        for bad in ["", "-f x pod", "pods --all -l a=b"] {
            let words = ["mos", "delete"].into_iter().chain(bad.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{bad}");
        }
        assert!(args("pod a --force --grace-period 1").check().is_err());
        assert!(args("pod a --force --grace-period 0").check().is_ok());
    }
}
