//! `mos events`: what happened to objects.

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use kube::core::WatchEvent;
use mosaic_api::{meta, time};
use serde_json::Value;

use crate::client::{Client, ConnectionArgs, Form, Query};
use crate::failure::Failure;
use crate::output::table::Grid;
use crate::output::{self, DataFormat, style};
use crate::selection;

/// Show what happened to objects, the latest last
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos events
  mos events --for deployment/web
  mos events -A --types=Warning -w")]
pub(crate) struct EventsArgs {
    /// Events of this object only
    #[arg(long = "for", value_name = "TYPE/NAME")]
    object: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only these types: Normal, Warning
    #[arg(long, value_name = "TYPE", value_delimiter = ',', ignore_case = true, value_parser = ["Normal", "Warning"])]
    types: Vec<String>,
    /// Go on with new events as they happen
    #[arg(short, long)]
    watch: bool,
    /// No headings
    #[arg(long)]
    no_headers: bool,
    /// Print as data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs the command.
pub(crate) async fn run(args: EventsArgs, connection: &ConnectionArgs) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let discovery = client.discover().await?;
    let events = discovery.resolve("events.v1")?;
    let mut query = Query::new();
    if let Some(object) = &args.object {
        let targets =
            selection::named(std::slice::from_ref(object), &discovery, client.namespace())?;
        let [target] = targets.as_slice() else {
            return Err(Failure::usage(format!("`{object}` is not one TYPE/NAME")));
        };
        let fields = format!(
            "involvedObject.kind={},involvedObject.name={}",
            target.resource.kind, target.name
        );
        query.push(("fieldSelector", fields));
    }
    let namespace = (!args.all_namespaces).then(|| client.namespace());
    let pages = client
        .pages(events, namespace, Form::Objects, &query, 500)
        .await?;
    let version = pages
        .last()
        .map(|page| meta::resource_version(page).to_owned())
        .unwrap_or_default();
    let mut found: Vec<Value> = pages
        .into_iter()
        .flat_map(|mut page| {
            page.get_mut("items")
                .and_then(Value::as_array_mut)
                .map(std::mem::take)
                .unwrap_or_default()
        })
        .filter(|event| is_wanted(event, &args.types))
        .collect();
    found.sort_by_key(last_seen);
    if let (Some(format), false) = (args.output, args.watch) {
        let items = found
            .into_iter()
            .map(|event| typed(output::without_managed_fields(event)))
            .collect();
        return format.print(&output::list_of(items));
    }
    if found.is_empty() && !args.watch {
        match namespace {
            Some(namespace) => eprintln!("No events found in {namespace} namespace."),
            None => eprintln!("No events found."),
        }
        return Ok(());
    }
    let mut printer = Printer::new(&args);
    printer.print(&found)?;
    if !args.watch {
        return Ok(());
    }
    query.push(("resourceVersion", version));
    loop {
        let stream = client
            .watch(events, namespace, Form::Objects, &query)
            .await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            let (version, object) = match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    (meta::resource_version(&object).to_owned(), Some(object))
                }
                WatchEvent::Deleted(object) => (meta::resource_version(&object).to_owned(), None),
                WatchEvent::Bookmark(bookmark) => (bookmark.metadata.resource_version, None),
                WatchEvent::Error(_) => continue,
            };
            query.retain(|(name, _)| *name != "resourceVersion");
            query.push(("resourceVersion", version));
            if let Some(object) = object.filter(|event| is_wanted(event, &args.types)) {
                printer.print(&[object])?;
            }
        }
    }
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn typed(mut event: Value) -> Value {
    if let Some(map) = event.as_object_mut() {
        map.entry("apiVersion").or_insert_with(|| "v1".into());
        map.entry("kind").or_insert_with(|| "Event".into());
    }
    event
}

fn is_wanted(event: &Value, types: &[String]) -> bool {
    types.is_empty()
        || types
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(text(event, "/type")))
}

/// When an event happened last, by the field that its author filled in.
fn last_seen_text(event: &Value) -> Option<&str> {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .find_map(|pointer| event.pointer(pointer)?.as_str())
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    time::parse(last_seen_text(event)?)
}

/// How often and since when.
fn when(event: &Value, now: Timestamp) -> String {
    let last = time::age(last_seen_text(event), now);
    let count = event
        .pointer("/series/count")
        .or_else(|| event.get("count"))
        .and_then(Value::as_i64)
        .unwrap_or(1);
    match event.get("firstTimestamp").and_then(Value::as_str) {
        Some(first) if count > 1 => {
            format!("{last} (x{count} over {})", time::age(Some(first), now))
        }
        _ => last,
    }
}

/// An event's cells: last seen, type, reason, object, message.
pub(crate) fn cells(event: &Value, now: Timestamp) -> Vec<String> {
    let object = format!(
        "{}/{}",
        text(event, "/involvedObject/kind"),
        text(event, "/involvedObject/name")
    );
    vec![
        when(event, now),
        text(event, "/type").to_owned(),
        text(event, "/reason").to_owned(),
        object,
        style::printable(text(event, "/message").trim()).into_owned(),
    ]
}

/// The events of one object, the latest last.
pub(crate) async fn of_object(client: &Client, object: &Value) -> Result<Vec<Value>, Failure> {
    let discovery_free = crate::client::Resource {
        version: "v1".into(),
        kind: "Event".into(),
        plural: "events".into(),
        namespaced: true,
        ..Default::default()
    };
    let mut fields = format!(
        "involvedObject.kind={},involvedObject.name={}",
        meta::kind(object),
        meta::name(object)
    );
    // A node's events are written before anyone knows its uid, so only others are matched by it.
    if meta::kind(object) != "Node" {
        fields.push_str(&format!(",involvedObject.uid={}", meta::uid(object)));
    }
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str);
    let query = vec![("fieldSelector", fields)];
    let mut events = client.list_all(&discovery_free, namespace, &query).await?;
    events.sort_by_key(last_seen);
    Ok(events)
}

struct Printer<'a> {
    args: &'a EventsArgs,
    grid: Grid,
    is_first: bool,
}

impl<'a> Printer<'a> {
    fn new(args: &'a EventsArgs) -> Self {
        Self {
            args,
            grid: Grid::new(&[], style::stdout()),
            is_first: true,
        }
    }

    fn print(&mut self, events: &[Value]) -> Result<(), Failure> {
        if let Some(format) = self.args.output {
            for event in events {
                let document =
                    format.render(&typed(output::without_managed_fields(event.clone())))?;
                let start = if format == DataFormat::Yaml {
                    "---\n"
                } else {
                    ""
                };
                output::print(&format!("{start}{document}"))?;
            }
            return Ok(());
        }
        let now = Timestamp::now();
        let mut lines: Vec<Vec<String>> =
            events.iter().map(|event| self.cells(event, now)).collect();
        let with_headings = self.is_first && !self.args.no_headers;
        if with_headings {
            let mut headings = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
            if self.args.all_namespaces {
                headings.insert(0, "NAMESPACE");
            }
            lines.insert(0, headings.into_iter().map(str::to_owned).collect());
        }
        self.is_first = false;
        output::print(&self.grid.render(&lines, with_headings))
    }

    fn cells(&self, event: &Value, now: Timestamp) -> Vec<String> {
        let mut cells = cells(event, now);
        if self.args.all_namespaces {
            cells.insert(0, meta::namespace(event).to_owned());
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_events_say_how_often() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let event = json!({"type": "Warning", "reason": "BackOff", "message": "again\u{1b}[2J ", "count": 5,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:50Z",
            "involvedObject": {"kind": "Pod", "name": "web-1"}});
        assert_eq!(
            cells(&event, now),
            [
                "10s (x5 over 10m)",
                "Warning",
                "BackOff",
                "Pod/web-1",
                "again\u{fffd}[2J"
            ]
        );
        let event = json!({"eventTime": "2026-01-01T00:09:58.123456Z", "firstTimestamp": null, "lastTimestamp": null});
        assert_eq!(when(&event, now), "2s");
        assert_eq!(when(&json!({}), now), "<unknown>");
    }

    #[test]
    fn types_are_matched_in_any_case() {
        assert!(is_wanted(&json!({"type": "Warning"}), &["warning".into()]));
        assert!(!is_wanted(&json!({"type": "Normal"}), &["Warning".into()]));
        assert!(is_wanted(&json!({}), &[]));
    }
}
