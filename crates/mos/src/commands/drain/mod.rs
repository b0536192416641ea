//! `mos cordon`, `mos uncordon` and `mos drain`: taking a host out of use, and back.

mod evict;
mod plan;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{DryRun, Filter, Outcome, read, targets};
use crate::client::{Client, ConnectionArgs, Discovery, PatchKind, Query};
use crate::failure::Failure;
use crate::output::{self, DataFormat, style, table};
use crate::selection::Target;
use evict::{Evicted, Eviction};
use plan::{Fate, Rules};

/// Keep new pods away from hosts
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos cordon host-1 host-2
  mos cordon -l room=b")]
pub(crate) struct CordonArgs {
    #[command(flatten)]
    hosts: Hosts,
}

/// Let new pods onto hosts again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos uncordon host-1")]
pub(crate) struct UncordonArgs {
    #[command(flatten)]
    hosts: Hosts,
}

/// Which hosts.
#[derive(Debug, Args)]
struct Hosts {
    /// The hosts' names
    #[arg(value_name = "HOST", required_unless_present = "selector")]
    names: Vec<String>,
    /// Those whose labels match
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    selector: Option<String>,
    /// `server`: check everything on the server, but change nothing
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
}

/// Move the pods of hosts elsewhere, within their disruption budgets
#[derive(Debug, Args)]
#[command(
    long_about = "Move the pods of hosts elsewhere, within their disruption budgets.

The hosts are cordoned, their pods are evicted, and the command waits until these are gone. An eviction that
a disruption budget does not allow now is tried again until it does. Pods of daemon sets and pods that a host
runs on its own would come back at once: they stay.",
    after_help = "Examples:
  mos drain host-1 --ignore-daemonsets
  mos drain host-1 host-2 --ignore-daemonsets --delete-emptydir-data --timeout 10m
  mos drain host-1 --ignore-daemonsets --dry-run=server"
)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    hosts: Hosts,
    /// Go on although there are pods of daemon sets, which stay
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Go on although pods have data in emptyDir volumes, which is lost
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Go on although nothing will replace some of the pods
    #[arg(long)]
    force: bool,
    /// Seconds that pods get to end by themselves; by default what each of them says
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// How long it may take for each host; by default as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = crate::client::duration)]
    timeout: Option<Duration>,
    /// Only pods whose labels match
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,
    /// Delete pods instead of evicting them: no disruption budget is respected
    #[arg(long)]
    disable_eviction: bool,
    /// Print what became of each pod as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs `mos cordon`.
pub(crate) async fn cordon(args: CordonArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    mark_all(args.hosts, true, connection).await
}

/// Runs `mos uncordon`.
pub(crate) async fn uncordon(
    args: UncordonArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    mark_all(args.hosts, false, connection).await
}

async fn mark_all(hosts: Hosts, away: bool, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let mut outcome = Outcome::default();
    for host in find(&client, &discovery, &hosts).await? {
        match mark(&client, &host, away, hosts.dry_run).await {
            Ok(line) => output::line(&line)?,
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    outcome.finish()
}

async fn find(
    client: &Client,
    discovery: &Discovery,
    hosts: &Hosts,
) -> Result<Vec<Target>, Failure> {
    // `node/host-1` is what other commands print, and is understood here too.
    let names = hosts.names.iter();
    let names = names.map(|name| name.strip_prefix("node/").unwrap_or(name).to_owned());
    let arguments: Vec<String> = std::iter::once("nodes".to_owned()).chain(names).collect();
    let filter = Filter {
        selector: hosts.selector.clone(),
        ..Filter::default()
    };
    let found = targets(client, discovery, &arguments, &filter).await?;
    if found.is_empty() {
        eprintln!("No resources found");
    }
    Ok(found)
}

/// Keeps new pods away from a host, or lets them onto it again.
async fn mark(
    client: &Client,
    host: &Target,
    away: bool,
    dry_run: DryRun,
) -> Result<String, Failure> {
    let done = if away { "cordoned" } else { "uncordoned" };
    let node = read(client, host).await?;
    let is_away = node.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
    if is_away == away {
        return Ok(format!("{} already {done}", host.object_name()));
    }
    let mut query: Query = vec![("fieldManager", "mos".into())];
    dry_run.add_to(&mut query);
    let value = if away { json!(true) } else { Value::Null };
    let patch = json!({ "spec": { "unschedulable": value } });
    client
        .patch(
            &host.resource,
            None,
            &host.name,
            PatchKind::Merge,
            &patch,
            &query,
        )
        .await?;
    Ok(format!("{} {done}{}", host.object_name(), dry_run.suffix()))
}

/// Runs `mos drain`.
pub(crate) async fn drain(args: DrainArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let hosts = find(&client, &discovery, &args.hosts).await?;
    let mut outcome = Outcome::default();
    // No pod is to move from one of the hosts onto another of them.
    let mut cordoned = Vec::new();
    for host in hosts {
        match mark(&client, &host, true, args.hosts.dry_run).await {
            Ok(line) => {
                eprintln!("{line}");
                cordoned.push(host);
            }
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    let mut printed = Vec::new();
    for host in cordoned {
        match drain_one(&args, &client, &discovery, &host).await {
            Ok(drained) => {
                match args.output {
                    Some(_) => printed.push(drained.as_data()),
                    None => drained.print(args.hosts.dry_run)?,
                }
                outcome.record(drained.result())?;
            }
            Err(failure) => outcome.record(Err(failure))?,
        }
    }
    if let Some(format) = args.output {
        format.print(&Value::Array(printed))?;
    }
    outcome.finish()
}

async fn drain_one(
    args: &DrainArgs,
    client: &Client,
    discovery: &Discovery,
    host: &Target,
) -> Result<Drained, Failure> {
    let pods = discovery.resolve("pods")?;
    let mut query: Query = vec![("fieldSelector", format!("spec.nodeName={}", host.name))];
    if let Some(selector) = &args.pod_selector {
        query.push(("labelSelector", selector.clone()));
    }
    let found = client.list_all(pods, None, &query).await?;
    let rules = Rules {
        ignore_daemon_sets: args.ignore_daemonsets,
        lose_data: args.delete_emptydir_data,
        force: args.force,
        daemon_sets: daemon_sets(client, discovery, &found).await?,
    };
    let fates: Vec<(Value, Fate)> = found
        .into_iter()
        .map(|pod| {
            let fate = plan::fate(&pod, &rules);
            (pod, fate)
        })
        .collect();
    if let Some(failure) = plan::refusal(&host.object_name(), &fates) {
        return Err(failure);
    }
    for warning in plan::warnings(&fates) {
        eprintln!("{} {warning}", style::stderr().warning("warning:"));
    }
    let (going, staying): (Vec<_>, Vec<_>) = fates
        .into_iter()
        .partition(|(_, fate)| matches!(fate, Fate::Goes(_)));
    let mut rows: Vec<Row> = staying
        .iter()
        .map(|(pod, fate)| Row::staying(pod, fate))
        .collect();
    let eviction = Eviction {
        client,
        pods,
        query,
        grace_period: args.grace_period,
        delete: args.disable_eviction,
        dry_run: args.hosts.dry_run,
        timeout: args.timeout,
    };
    let going: Vec<Value> = going.into_iter().map(|(pod, _)| pod).collect();
    let ends = eviction.run(&going).await?;
    rows.extend(
        going
            .iter()
            .zip(ends)
            .map(|(pod, end)| Row::going(pod, end)),
    );
    rows.sort_by(|one, two| (&one.namespace, &one.name).cmp(&(&two.namespace, &two.name)));
    Ok(Drained {
        host: host.object_name(),
        rows,
    })
}

/// The daemon sets that there are of those that own some of these pods, as namespace and name.
async fn daemon_sets(
    client: &Client,
    discovery: &Discovery,
    pods: &[Value],
) -> Result<Vec<(String, String)>, Failure> {
    let resource = discovery.resolve("daemonsets.apps")?;
    let mut found = Vec::new();
    for (namespace, name) in plan::daemon_sets(pods) {
        let target = Target {
            resource: resource.clone(),
            namespace: Some(namespace.clone()),
            name: name.clone(),
        };
        let query = Query::new();
        let form = crate::client::Form::Objects;
        let read = client.get(&target.resource, Some(&namespace), &name, form, &query);
        match read.await {
            Ok(_) => found.push((namespace, name)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// What became of a pod.
#[derive(Debug)]
struct Row {
    namespace: String,
    name: String,
    owner: String,
    /// `Evicted`, `Deleted`, `Kept`, `Blocked`, `Terminating`, `Failed`.
    result: &'static str,
    reason: String,
}

impl Row {
    fn new(pod: &Value, result: &'static str, reason: String) -> Self {
        Self {
            namespace: mosaic_api::meta::namespace(pod).to_owned(),
            name: mosaic_api::meta::name(pod).to_owned(),
            owner: plan::owner(pod),
            result,
            reason,
        }
    }

    fn staying(pod: &Value, fate: &Fate) -> Self {
        Self::new(pod, "Kept", fate.reason().to_owned())
    }

    fn going(pod: &Value, end: Evicted) -> Self {
        match end {
            Evicted::Gone => Self::new(pod, "Evicted", String::new()),
            Evicted::Deleted => Self::new(pod, "Deleted", String::new()),
            Evicted::Would => Self::new(pod, "Would go", String::new()),
            Evicted::Blocked(why) => Self::new(pod, "Blocked", why),
            Evicted::Terminating(why) => Self::new(pod, "Terminating", why),
            Evicted::Failed(why) => Self::new(pod, "Failed", why),
        }
    }

    fn is_in_the_way(&self) -> bool {
        matches!(self.result, "Blocked" | "Terminating" | "Failed")
    }
}

/// A host, and what became of its pods.
#[derive(Debug)]
struct Drained {
    host: String,
    rows: Vec<Row>,
}

impl Drained {
    fn in_the_way(&self) -> usize {
        self.rows.iter().filter(|row| row.is_in_the_way()).count()
    }

    fn print(&self, dry_run: DryRun) -> Result<(), Failure> {
        if !self.rows.is_empty() {
            let rows = self.rows.iter().map(|row| {
                let cells = [&row.namespace, &row.name, &row.owner];
                let mut cells: Vec<String> = cells.into_iter().cloned().collect();
                cells.extend([row.result.to_owned(), row.reason.clone()]);
                cells
            });
            let headings = ["NAMESPACE", "POD", "OWNER", "RESULT", "REASON"];
            output::print(&table::simple(
                &headings,
                rows.collect(),
                true,
                style::stdout(),
            ))?;
        }
        if self.in_the_way() == 0 {
            output::line(&format!("{} drained{}", self.host, dry_run.suffix()))?;
        }
        Ok(())
    }

    fn result(&self) -> Result<(), Failure> {
        match self.in_the_way() {
            0 => Ok(()),
            count => {
                let pods = if count == 1 {
                    "1 pod is"
                } else {
                    &format!("{count} pods are")
                };
                let failure =
                    Failure::new(format!("{} is not drained: {pods} still there", self.host));
                Err(failure.hint("it stays cordoned; `mos uncordon` lets new pods onto it again"))
            }
        }
    }

    fn as_data(&self) -> Value {
        let pods = self.rows.iter().map(|row| {
            json!({ "namespace": row.namespace, "name": row.name, "owner": row.owner,
                "result": row.result, "reason": row.reason })
        });
        json!({ "host": self.host, "drained": self.in_the_way() == 0, "pods": pods.collect::<Vec<_>>() })
    }
}
