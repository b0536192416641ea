//! `mos rebalance`: what a `Rebalance` would move, or asks it to run now.

use clap::Args;
use jiff::Timestamp;
use mosaic_api::meta;
use mosaic_scheduler::model::Budget;
use mosaic_scheduler::rebalance::{self, Measure, Options, Plan};
use serde_json::{Value, json};

use super::snapshot::{self, Objects};
use crate::client::{Client, ConnectionArgs, PatchKind, Query};
use crate::failure::Failure;
use crate::manifest;
use crate::output::{self, DataFormat, style, table};
use crate::selection::Target;

const TYPE: &str = "rebalances.mosaic";
/// Asks for a run, as its controller understands it.
const RUN_AT: &str = "mosaic/run-at";

/// Show which pods a Rebalance would move, or let it run now
///
/// With --dry-run nothing is changed: the plan is worked out here, from the hosts and pods that one may read, by the
/// rules that the server goes by. The Rebalance may be one of the server or stand in a file, so that it can be tried
/// before it is there. Without --dry-run, the server is asked to begin a run of it at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos rebalance nightly --dry-run
  mos rebalance -f rebalance.yaml --dry-run -o json
  mos rebalance nightly")]
pub(crate) struct RebalanceArgs {
    /// The Rebalance's name
    #[arg(value_name = "NAME", required_unless_present = "filename")]
    name: Option<String>,
    /// A file with the Rebalance; `-` is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with = "name",
        requires = "dry_run"
    )]
    filename: Option<String>,
    /// Show what would be moved, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: print the plan as data
    #[arg(short, long, value_name = "FORMAT", value_enum, requires = "dry_run")]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: RebalanceArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let from_file = args.filename.as_deref().map(from_file).transpose()?;
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let object = match from_file {
        Some(object) => object,
        None => {
            let name = args.name.as_deref().unwrap_or_default();
            let (_, name) = name.rsplit_once('/').unwrap_or(("", name));
            let target = Target {
                resource: discovery.resolve(TYPE)?.clone(),
                namespace: None,
                name: name.to_owned(),
            };
            let object = super::read(&client, &target).await?;
            if !args.dry_run {
                return begin(&client, &target, &object).await;
            }
            object
        }
    };
    let options = Options::from_object(&object)
        .map_err(|error| Failure::new(error.to_string()).at(meta::name(&object).to_owned()))?;
    let objects = Objects::read(&client, &discovery).await?;
    let budgets = snapshot::list(&client, &discovery, "poddisruptionbudgets.policy").await?;
    let mut cluster = objects.cluster();
    for budget in snapshot::each(&budgets, Budget::from_json) {
        cluster.upsert_budget(budget);
    }
    let plan = rebalance::plan(&cluster, &options);
    match args.output {
        Some(format) => format.print(&as_data(&object, &plan)),
        None => {
            let rows = rows(&plan);
            if rows.is_empty() {
                let why = rebalance::why_nothing(&cluster, &options);
                output::line(&format!("nothing would be moved: {why}"))?;
            } else {
                let headings = ["ROUND", "NAMESPACE", "POD", "FROM", "TO", "WHY"];
                output::print(&table::simple(&headings, rows, true, style::stdout()))?;
            }
            output::print(&format!("\n{}", measures(&plan)))
        }
    }
}

/// The one `Rebalance` of a file.
fn from_file(path: &str) -> Result<Value, Failure> {
    let manifests = manifest::read(&[path.to_owned()], false)?;
    let is_one = |manifest: &manifest::Manifest| {
        manifest.kind() == "Rebalance" && meta::group_of(manifest.api_version()) == "mosaic"
    };
    let mut found: Vec<_> = manifests.into_iter().filter(is_one).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one.object),
        (None, _) => Err(Failure::new(format!("there is no Rebalance in {path}"))
            .hint("its `apiVersion` is mosaic/v1, its `kind` Rebalance")),
        (Some(_), false) => Err(Failure::new(format!(
            "there are several Rebalances in {path}"
        ))),
    }
}

async fn begin(client: &Client, target: &Target, object: &Value) -> Result<(), Failure> {
    // Each value that was not there before asks for a run.
    let now = Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { RUN_AT: now } } });
    let (kind, query) = (PatchKind::Merge, Query::new());
    client
        .patch(&target.resource, None, &target.name, kind, &patch, &query)
        .await?;
    let dry = object.pointer("/spec/dryRun") == Some(&Value::Bool(true));
    let suffix = if dry { " (it is a dry run)" } else { "" };
    output::line(&format!("{} begins{suffix}", target.object_name()))
}

fn rows(plan: &Plan) -> Vec<Vec<String>> {
    let rows = plan.moves.iter().map(|step| {
        vec![
            (step.round + 1).to_string(),
            step.pod.namespace().to_owned(),
            step.pod.name().to_owned(),
            step.from.to_string(),
            step.to.to_string(),
            step.reason.to_string(),
        ]
    });
    rows.collect()
}

/// The hosts before and after, one line each thing that is measured.
fn measures(plan: &Plan) -> String {
    let (before, after) = (plan.before.to_json(), plan.after.to_json());
    let told = |measure: &Value, path: &str, unit: &str| match measure.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(number) => format!("{number}{unit}"),
        None => String::new(),
    };
    let lines = [
        ("Hosts", "/hosts", ""),
        ("Empty hosts", "/emptyHosts", ""),
        ("Free room that is stranded", "/strandedPercent", "%"),
        ("Imbalance", "/imbalancePercent", "%"),
        ("Misplaced pods", "/misplacedPods", ""),
        ("Most free CPU on a host", "/largestFree/cpu", ""),
        ("Most free memory on a host", "/largestFree/memory", ""),
    ];
    let rows = lines.map(|(name, path, unit)| {
        vec![
            name.to_owned(),
            told(&before, path, unit),
            told(&after, path, unit),
        ]
    });
    table::simple(
        &["", "BEFORE", "AFTER"],
        rows.to_vec(),
        true,
        style::stdout(),
    )
}

fn as_data(object: &Value, plan: &Plan) -> Value {
    let moves = plan.moves.iter().map(|step| {
        json!({
            "round": step.round + 1,
            "namespace": step.pod.namespace(),
            "pod": step.pod.name(),
            "from": &*step.from,
            "to": &*step.to,
            "reason": step.reason.to_string(),
        })
    });
    json!({
        "name": meta::name(object),
        "goal": object.pointer("/spec/goal"),
        "moves": moves.collect::<Vec<_>>(),
        "before": Measure::to_json(&plan.before),
        "after": Measure::to_json(&plan.after),
    })
}

#[cfg(test)]
mod tests {
    use mosaic_scheduler::model::{Node, Pod};
    use mosaic_scheduler::{Cluster, rebalance::Goal};

    use super::*;

    fn plan() -> Plan {
        let mut cluster = Cluster::new();
        for name in ["h1", "h2"] {
            let node = json!({ "metadata": { "name": name }, "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" } } });
            cluster.upsert_node(Node::from_json(node.to_string().as_bytes()).unwrap());
        }
        for (name, host, cpu) in [("big", "h1", "2"), ("small", "h2", "500m")] {
            let requests = json!({ "cpu": cpu, "memory": "1Gi" });
            let pod = json!({
                "metadata": { "name": name, "namespace": "shop", "uid": name, "annotations": { "mosaic/profile": "packing" },
                    "ownerReferences": [{ "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true }] },
                "spec": { "nodeName": host, "containers": [{ "name": "c", "resources": { "requests": requests } }] },
                "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            });
            cluster.upsert_pod(Pod::from_json(pod.to_string().as_bytes()).unwrap());
        }
        rebalance::plan(
            &cluster,
            &Options::new(Goal::Packing { max_requested: 0.5 }),
        )
    }

    #[test]
    fn a_plan_is_told_in_rows_and_measures() {
        let plan = plan();
        let why = "its host is 13% full and can be emptied";
        assert_eq!(rows(&plan), [["1", "shop", "small", "h2", "h1", why]]);
        let text = measures(&plan);
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            let words: Vec<&str> = line.trim_start_matches(name).split_whitespace().collect();
            words.join(" ")
        };
        assert_eq!(line("Empty hosts"), "0 1");
        assert_eq!(line("Most free CPU on a host"), "3500m 4");
        assert_eq!(line("Most free memory on a host"), "7Gi 8Gi");
    }

    #[test]
    fn a_plan_is_told_as_data() {
        let object = json!({ "metadata": { "name": "nightly" }, "spec": { "goal": "Packing" } });
        let data = as_data(&object, &plan());
        assert_eq!(
            (&data["name"], &data["goal"]),
            (&json!("nightly"), &json!("Packing"))
        );
        assert_eq!(data["moves"][0]["to"], "h1");
        assert_eq!(
            (&data["before"]["emptyHosts"], &data["after"]["emptyHosts"]),
            (&json!(0), &json!(1))
        );
    }

    #[test]
    fn a_file_has_one_rebalance() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let path = path.to_str().unwrap();
        let of = |text: &str| {
            std::fs::write(path, text).unwrap();
            from_file(path)
        };
        let one =
            "apiVersion: mosaic/v1\nkind: Rebalance\nmetadata: {name: a}\nspec: {goal: Packing}\n";
        let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        assert_eq!(
            of(&format!("{other}---\n{one}")).unwrap()["spec"]["goal"],
            "Packing"
        );
        assert!(of(other).unwrap_err().message().contains("no Rebalance"));
        assert!(
            of(&format!("{one}---\n{one}"))
                .unwrap_err()
                .message()
                .contains("several")
        );
    }
}
