//! `mos why`: why a pod waits, why it is where it is, why it restarts, why it is not ready, why it does not go.

mod answers;
mod placement;

use clap::Args;
use jiff::Timestamp;
use mosaic_api::meta;
use serde_json::{Value, json};

use super::events;
use crate::client::{Client, ConnectionArgs};
use crate::failure::Failure;
use crate::output::{self, DataFormat, style};
use crate::selection::Target;
use answers::{Answer, Known};

/// Tell why a pod waits, is where it is, restarts, is not ready or does not go
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos why web-7d4b9-x2x
  mos why pod/db-0 -n shop -o json")]
pub(crate) struct WhyArgs {
    /// The pod's name
    #[arg(value_name = "POD")]
    pod: String,
    /// Print the answers as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: WhyArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let target = Target {
        resource: discovery.resolve("pods")?.clone(),
        namespace: Some(client.namespace().to_owned()),
        name: name(&args.pod)?.to_owned(),
    };
    let pod = super::read(&client, &target).await?;
    let placement = match placement::of_pod(&client, &discovery, &pod).await {
        Ok(placement) => placement,
        Err(failure) => {
            // Whoever may read a pod need not be allowed to read all hosts and pods.
            eprintln!(
                "{} its place is not explained: {failure}",
                style::stderr().hint("note:")
            );
            placement::Placement::default()
        }
    };
    let known = Known {
        events: events::of_object(&client, &pod).await.unwrap_or_default(),
        placement,
        now: Timestamp::now(),
    };
    let answers = answers::answers(&pod, &known);
    match args.output {
        Some(format) => format.print(&as_data(&pod, &answers)),
        None => output::print(&as_text(&target.object_name(), &answers)),
    }
}

/// The name in `NAME` or `pod/NAME`.
fn name(word: &str) -> Result<&str, Failure> {
    match word.split_once('/') {
        None => Ok(word),
        Some(("pod" | "pods" | "po", name)) if !name.is_empty() => Ok(name),
        Some((kind, _)) => Err(Failure::usage(format!("`{kind}` is not a pod"))
            .hint("`mos get pods` lists pods; `mos describe` tells of other types")),
    }
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
    fn a_pod_is_named_with_or_without_its_type() {
        assert_eq!(name("web-1").unwrap(), "web-1");
        assert_eq!(name("pod/web-1").unwrap(), "web-1");
        assert!(name("deployment/web").is_err());
        assert!(name("pod/").is_err());
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
