//! `mos why`: why a pod waits, why it is where it is, why it restarts, why it is not ready, why it does not go.

mod answers;
mod placement;
mod workload;

use clap::Args;
use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::{Value, json};

use super::events;
use super::snapshot::Objects;
use crate::client::{Client, ConnectionArgs, Discovery};
use crate::failure::Failure;
use crate::output::{self, DataFormat, style};
use crate::selection::Target;
use answers::{Answer, Known};
use placement::Places;

/// Tell why a pod waits, is where it is, restarts, is not ready or does not go
///
/// Of a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job it tells what keeps it from its pods, and explains those
/// that do not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos why web-7d4b9-x2x
  mos why pod/db-0 -n shop -o json
  mos why deployment/web")]
pub(crate) struct WhyArgs {
    /// The pod's name, or TYPE/NAME
    #[arg(value_name = "POD")]
    object: String,
    /// Print the answers as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: WhyArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let target = target(&args.object, &client, &discovery)?;
    let object = super::read(&client, &target).await?;
    if target.resource.kind == "Pod" {
        let places = places(&client, &discovery, &[&object]).await;
        let answers = of_pod(&client, places.as_ref(), &object).await;
        return match args.output {
            Some(format) => format.print(&as_data(&object, &answers)),
            None => output::print(&as_text(&target.object_name(), &answers)),
        };
    }
    of_workload(&client, &discovery, &target, &object, args.output).await
}

/// The places that there are for pods. All hosts and all pods are read for that, unless it matters for none of these.
async fn places(client: &Client, discovery: &Discovery, pods: &[&Value]) -> Option<Places> {
    if !pods.iter().any(|pod| placement::matters(pod)) {
        return None;
    }
    match Objects::read(client, discovery).await {
        Ok(objects) => Some(Places::new(objects)),
        Err(failure) => {
            // Whoever may read a pod need not be allowed to read all hosts and pods.
            eprintln!(
                "{} places are not explained: {failure}",
                style::stderr().hint("note:")
            );
            None
        }
    }
}

async fn of_pod(client: &Client, places: Option<&Places>, pod: &Value) -> Vec<Answer> {
    let known = Known {
        events: events::of_object(client, pod).await.unwrap_or_default(),
        placement: places
            .map(|places| placement::placement(places, pod))
            .unwrap_or_default(),
        now: Timestamp::now(),
    };
    answers::answers(pod, &known)
}

async fn of_workload(
    client: &Client,
    discovery: &Discovery,
    target: &Target,
    object: &Value,
    output: Option<DataFormat>,
) -> Result<(), Failure> {
    let namespace = target.namespace.as_deref();
    let pods = match workload::selector(object) {
        Some(selector) => {
            let query = vec![("labelSelector", selector)];
            let pods = discovery.resolve("pods")?;
            client.list_all(pods, namespace, &query).await?
        }
        None => Vec::new(),
    };
    let known = Known {
        events: events::of_object(client, object).await.unwrap_or_default(),
        now: Timestamp::now(),
        ..Known::default()
    };
    let own = [workload::answer(object, &pods, &known)];
    let mut unwell: Vec<&Value> = pods.iter().filter(|pod| !workload::is_well(pod)).collect();
    let left = unwell.split_off(unwell.len().min(workload::EXPLAINED));
    let places = places(client, discovery, &unwell).await;
    let mut explained = Vec::new();
    for pod in unwell {
        explained.push((pod, of_pod(client, places.as_ref(), pod).await));
    }
    if let Some(format) = output {
        let mut data = as_data(object, &own);
        let pods = explained.iter().map(|(pod, answers)| as_data(pod, answers));
        if let Some(fields) = data.as_object_mut() {
            fields.insert("pods".to_owned(), pods.collect());
        }
        return format.print(&data);
    }
    let mut text = as_text(&target.object_name(), &own);
    for (pod, answers) in &explained {
        text.push_str(&as_text(&format!("pod/{}", meta::name(pod)), answers));
    }
    if let Some(next) = left.first() {
        let more = left.len();
        text.push_str(&format!(
            "{more} more of its pods do not run: `mos why {}` tells of one of them\n",
            meta::name(next)
        ));
    }
    output::print(&text)
}

/// The object in `NAME` (of a pod) or `TYPE/NAME`.
fn target(word: &str, client: &Client, discovery: &Discovery) -> Result<Target, Failure> {
    let (kind, name) = word.split_once('/').unwrap_or(("pods", word));
    let resource = discovery.resolve(kind)?.clone();
    check(&resource.kind, name)?;
    Ok(Target {
        resource,
        namespace: Some(client.namespace().to_owned()),
        name: name.to_owned(),
    })
}

fn check(kind: &str, name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(
            Failure::usage("a name is missing").hint("write `mos why NAME` or `mos why TYPE/NAME`")
        );
    }
    if kind == "Pod" || workload::KINDS.contains(&kind) {
        return Ok(());
    }
    Err(Failure::usage(format!("there is nothing to explain of a {kind}")).hint(
        "pods can be explained, and what makes them: Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs; \
         `mos describe` tells of other types",
    ))
}

fn as_text(name: &str, answers: &[Answer]) -> String {
    let style = style::stdout();
    let mut text = String::new();
    for answer in answers {
        text.push_str(&style.heading(&format!("{name} {}", answer.what)));
        text.push('\n');
        for line in &answer.because {
            for (number, line) in line.lines().enumerate() {
                let indent = if number == 0 { "  " } else { "    " };
                text.push_str(indent);
                text.push_str(&style::printable(line));
                text.push('\n');
            }
        }
    }
    text
}

fn as_data(pod: &Value, answers: &[Answer]) -> Value {
    let answers = answers.iter().map(
        |answer| json!({ "about": answer.about, "what": answer.what, "because": answer.because }),
    );
    json!({
        "namespace": meta::namespace(pod),
        "name": meta::name(pod),
        "phase": pod.pointer("/status/phase"),
        "answers": answers.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_and_what_makes_them_are_explained() {
        assert!(check("Pod", "web-1").is_ok() && check("Deployment", "web").is_ok());
        assert!(check("Service", "web").is_err() && check("Pod", "").is_err());
    }

    #[test]
    fn answers_are_sentences_below_what_they_answer() {
        let answers = [Answer {
            about: "place",
            what: "waits for a host".into(),
            because: vec!["none will do:\nno room".into()],
        }];
        assert_eq!(
            as_text("pod/a", &answers),
            "pod/a waits for a host\n  none will do:\n    no room\n"
        );
    }
}
