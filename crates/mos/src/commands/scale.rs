//! `mos scale`.

use std::time::Duration;

use clap::Args;
use mosaic_api::meta;
use serde_json::{Value, json};

use super::{DryRun, Filter, Outcome, not_found, read, targets, wait};
use crate::client::{Client, ConnectionArgs, Query};
use crate::failure::Failure;
use crate::output::{self, DataFormat};
use crate::selection::Target;

/// Set how many pods a workload has
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos scale deployment/web --replicas 5 --wait
  mos scale statefulset db cache --replicas 3
  mos scale deployment -l team=retail --replicas 0
  mos scale deployment/web --current-replicas 2 --replicas 3")]
pub(crate) struct ScaleArgs {
    /// TYPE NAME..., TYPE/NAME..., or TYPE with --all or a selector
    #[arg(value_name = "TYPE NAME", required = true)]
    objects: Vec<String>,
    /// How many pods there are to be
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
    /// Only if so many are wanted at present
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..))]
    current_replicas: Option<i32>,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    selector: Option<String>,
    /// All of the type, in the namespace
    #[arg(long)]
    all: bool,
    /// With --all or a selector: in every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Wait until they have so many pods that serve
    #[arg(long)]
    wait: bool,
    /// With --wait: how long at most
    #[arg(long, value_name = "DURATION", value_parser = crate::client::duration, default_value = "10m", requires = "wait")]
    timeout: Duration,
    /// `server`: check everything on the server, but change nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// Print what was written (`autoscaling/v1` `Scale`) instead of a line each
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: ScaleArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let filter = Filter {
        selector: args.selector.clone(),
        all: args.all,
        all_namespaces: args.all_namespaces,
        ..Filter::default()
    };
    let targets = targets(&client, &discovery, &args.objects, &filter).await?;
    if targets.is_empty() {
        eprintln!("No resources found");
    }
    let mut outcome = Outcome::default();
    let mut scaled = Vec::new();
    let mut printed = Vec::new();
    for target in targets {
        match scale(&args, &client, &target).await {
            Ok(scale) => {
                if args.output.is_none() {
                    let line = format!("{} scaled{}", target.object_name(), args.dry_run.suffix());
                    output::line(&line)?;
                }
                printed.push(output::without_managed_fields(scale));
                scaled.push(target);
            }
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    if let Some(format) = args.output {
        let single = printed.len() == 1;
        let document = printed.pop().filter(|_| single);
        format.print(&document.unwrap_or_else(|| output::list_of(printed)))?;
    }
    if args.wait && args.dry_run == DryRun::None {
        wait::until_ready(&client, &scaled, args.timeout).await?;
    }
    outcome.finish()
}

async fn scale(args: &ScaleArgs, client: &Client, target: &Target) -> Result<Value, Failure> {
    let Target {
        resource,
        namespace,
        name,
    } = target;
    let namespace = namespace.as_deref();
    let current = match client.get_part(resource, namespace, name, "scale").await {
        Ok(current) => current,
        Err(error) if error.is_not_found() => {
            // Either the object is not there, or its type has no scale.
            read(client, target).await?;
            let failure = Failure::new(format!("{} cannot be scaled", target.object_name()));
            return Err(failure.hint(unscalable(&resource.kind)));
        }
        Err(error) => return Err(error.into()),
    };
    let patch = patch(&current, args.replicas, args.current_replicas)
        .map_err(|failure| failure.at(target.object_name()))?;
    let mut query = Query::new();
    args.dry_run.add_to(&mut query);
    let written = client.merge_part(resource, namespace, name, "scale", &patch, &query);
    match written.await {
        Ok(scale) => Ok(scale),
        Err(error) if error.is_not_found() => Err(not_found(client, target, error).await),
        Err(error) => Err(error.into()),
    }
}

fn unscalable(kind: &str) -> &'static str {
    match kind {
        "DaemonSet" => "it has one pod on each host that its node selector matches",
        "Job" | "CronJob" => "`spec.parallelism` says how many of its pods run at a time",
        "Pod" => "scale what made it: `mos get pod NAME -o yaml` shows its owner",
        _ => "only types with a `scale` can be: deployments, replica sets, stateful sets",
    }
}

/// The patch of a scale. What was looked at is what is changed, where that was asked for.
fn patch(current: &Value, replicas: i32, expected: Option<i32>) -> Result<Value, Failure> {
    let spec = json!({ "replicas": replicas });
    let Some(expected) = expected else {
        return Ok(json!({ "spec": spec }));
    };
    let now = current.pointer("/spec/replicas").and_then(Value::as_i64);
    let now = now.unwrap_or_default();
    if now != i64::from(expected) {
        return Err(Failure::new(format!(
            "expected {expected} replicas, but {now} are wanted at present"
        )));
    }
    let version = meta::resource_version(current);
    Ok(json!({ "metadata": { "resourceVersion": version }, "spec": spec }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_expected_is_changed() {
        let current = json!({ "metadata": { "resourceVersion": "7" }, "spec": { "replicas": 2 } });
        assert_eq!(
            patch(&current, 5, None).unwrap(),
            json!({ "spec": { "replicas": 5 } })
        );
        assert_eq!(
            patch(&current, 5, Some(2)).unwrap(),
            json!({ "metadata": { "resourceVersion": "7" }, "spec": { "replicas": 5 } })
        );
        let failure = patch(&current, 5, Some(3)).unwrap_err();
        assert_eq!(
            failure.message(),
            "expected 3 replicas, but 2 are wanted at present"
        );
    }
}
