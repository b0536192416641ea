//! `mos image ls|inspect`.

use std::collections::BTreeMap;

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::place::{Listed, closure, find, read_config};
use mosaic_image::{Descriptor, Document, DocumentKind, Name, Place, PlaceError, Tag};
use mosaic_registry::access::namespace as of_namespace;
use mosaic_registry::signature;
use serde_json::{Value, json};

use super::places::{At, Places};
use super::{parse_name, size};
use crate::describe::list;
use crate::describe::text::Report;
use crate::failure::Failure;
use crate::output::{self, DataFormat, style, table};

/// How many images are asked for at once.
const AT_ONCE: usize = 8;
/// Artifacts of cosign, the most used signer: how its signatures say what they are.
const SIGNATURES: [&str; 3] = [signature::ARTIFACT, signature::PAYLOAD, signature::BUNDLE];

/// List images
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mos image ls
  mos image ls shop/web
  mos image ls --dir ./images -o json")]
pub(crate) struct LsArgs {
    /// Only the images of this repository
    #[arg(value_name = "REPOSITORY", value_parser = parse_name)]
    repository: Option<Name>,
    /// Also the tags of signatures and of other documents about images
    #[arg(short, long)]
    all: bool,
    /// Print data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Show what an image is made of, how it runs, and who signed it
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The image
    #[arg(value_name = "IMAGE", value_parser = parse_name)]
    image: Name,
    /// Print data
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<DataFormat>,
}

/// Runs `ls`.
pub(super) async fn ls(args: LsArgs, places: &Places<'_>) -> Result<(), Failure> {
    let (place, within) = places.to_list(args.repository.as_ref()).await?;
    let place: &dyn Place = &*place;
    let mut listed = place.list(within.as_ref()).await?;
    let namespace = places.namespace();
    listed.retain(|image| {
        let wanted = |namespace: &str| namespace == of_namespace(image.name.repository().as_str());
        (args.all || !image.name.tag().is_some_and(Tag::refers)) && namespace.is_none_or(wanted)
    });
    let mut images: Vec<(Name, Document)> = futures::stream::iter(listed)
        .map(|image| resolve(place, image))
        .boxed()
        .buffered(AT_ONCE)
        .try_filter_map(async |image| Ok(image))
        .try_collect()
        .await?;
    if places.is_local() {
        // As they are written on the command line.
        for (name, _) in &mut images {
            *name = name.familiar();
        }
    }
    images.sort_by_key(|(name, _)| name.to_string());
    if let Some(format) = args.output {
        let images = images
            .iter()
            .map(|(name, document)| summary(name, document));
        return format.print(&Value::Array(images.collect()));
    }
    let rows = images.iter().map(|(name, document)| {
        let digest = document.digest().digest();
        vec![
            repository(name),
            name.tag().map_or("<none>".into(), ToString::to_string),
            digest.get(..12).unwrap_or(digest).to_owned(),
            match document.kind() {
                DocumentKind::Manifest => size(document.content_size()),
                DocumentKind::Index => format!("{} platforms", document.manifests().len()),
            },
            document.layers().len().to_string(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        match &args.repository {
            Some(repository) => eprintln!("no images of {repository} in {}", place.describe()),
            None => eprintln!("no images in {}", place.describe()),
        }
        return Ok(());
    }
    let headings = ["REPOSITORY", "TAG", "DIGEST", "SIZE", "LAYERS"];
    output::print(&table::simple(&headings, rows, true, style::stdout()))
}

/// An image of a list; none if it went away since.
async fn resolve(
    place: &dyn Place,
    listed: Listed,
) -> Result<Option<(Name, Document)>, PlaceError> {
    let document = place.resolve(&listed.name).await?;
    Ok(document.map(|document| (listed.name, document)))
}

fn repository(name: &Name) -> String {
    match name.registry() {
        Some(registry) => format!("{registry}/{}", name.repository()),
        None => name.repository().to_string(),
    }
}

fn summary(name: &Name, document: &Document) -> Value {
    json!({
        "name": name.to_string(),
        "digest": document.digest().to_string(),
        "mediaType": document.media_type().to_string(),
        "size": document.content_size(),
        "layers": document.layers().iter().map(layer).collect::<Vec<_>>(),
    })
}

fn layer(descriptor: &Descriptor) -> Value {
    json!({
        "digest": descriptor.digest().to_string(),
        "mediaType": descriptor.media_type().to_string(),
        "size": descriptor.size(),
    })
}

/// Runs `inspect`.
pub(super) async fn inspect(args: InspectArgs, places: &Places<'_>) -> Result<(), Failure> {
    let At { place, name } = places.to_read(&args.image).await?;
    let place: &dyn Place = &*place;
    let root = find(place, &name, None).await?;
    let data = summary(&name, &root);
    let all = closure(place, &name, root.clone()).await?;
    let mut images = Vec::new();
    for document in &all.documents {
        if document.kind() == DocumentKind::Manifest {
            images.push(image(place, &name, document).await?);
        }
    }
    let mut referrers: Vec<Value> = place
        .referrers(&name, root.digest(), None)
        .await?
        .iter()
        .map(referrer)
        .collect();
    for tag in Tag::of_cosign(root.digest()) {
        let at = name.with_tag(tag);
        if let Some(document) = place.resolve(&at).await? {
            referrers.push(tagged_referrer(&document));
        }
    }
    let data = with(
        data,
        [
            ("images", Value::Array(images)),
            ("annotations", json!(root.annotations())),
            ("referrers", Value::Array(referrers)),
        ],
    );
    match args.output {
        Some(format) => format.print(&data),
        None => output::print(&text(&data)),
    }
}

/// One image: of an index, that of one platform.
async fn image(place: &dyn Place, name: &Name, document: &Document) -> Result<Value, Failure> {
    let data = summary(name, document);
    let Ok(config) = read_config(place, name, document).await else {
        // Some other artifact: its type is what there is to tell.
        return Ok(with(
            data,
            [("artifactType", json!(document.artifact_type()))],
        ));
    };
    let platform = config.platform();
    let variant = platform.variant().as_ref();
    let platform = format!(
        "{}/{}{}",
        platform.os(),
        platform.architecture(),
        variant.map_or(String::new(), |variant| format!("/{variant}"))
    );
    Ok(with(
        data,
        [
            ("platform", json!(platform)),
            ("created", json!(config.created())),
            ("config", json!(config.run())),
            ("history", json!(config.history())),
        ],
    ))
}

/// An object with more members.
fn with<const N: usize>(mut data: Value, members: [(&str, Value); N]) -> Value {
    if let Some(data) = data.as_object_mut() {
        data.extend(members.map(|(key, value)| (key.to_owned(), value)));
    }
    data
}

/// A document about the image: a signature, or what else there is.
fn referrer(descriptor: &Descriptor) -> Value {
    let artifact_type = descriptor
        .artifact_type()
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let annotations: BTreeMap<_, _> = descriptor.annotations().iter().flatten().collect();
    json!({
        "digest": descriptor.digest().to_string(),
        "artifactType": artifact_type,
        "size": descriptor.size(),
        "signature": SIGNATURES.contains(&artifact_type.as_str()),
        "annotations": annotations,
    })
}

/// The same where cosign keeps it under a tag: its layers say what it is.
fn tagged_referrer(document: &Document) -> Value {
    let layer = document.layers().first();
    let artifact_type = layer.map_or_else(String::new, |layer| layer.media_type().to_string());
    json!({
        "digest": document.digest().to_string(),
        "artifactType": artifact_type,
        "size": document.content_size(),
        "signature": SIGNATURES.contains(&artifact_type.as_str()),
        "annotations": document.annotations(),
    })
}

/// What `inspect` tells, for people.
fn text(data: &Value) -> String {
    let mut report = Report::new();
    for (label, path) in [
        ("Name", "/name"),
        ("Digest", "/digest"),
        ("Type", "/mediaType"),
    ] {
        report.field(label, &words(data, path).join(" "));
    }
    for image in list(data, "/images") {
        let kind = ["/platform", "/artifactType"].map(|path| words(image, path).join(" "));
        let kind = kind.iter().find(|kind| !kind.is_empty());
        report.field("Image", kind.map_or("", String::as_str));
        report.nested(|report| about(report, image));
    }
    if list(data, "/referrers").next().is_some() {
        report.section("Referrers", |report| {
            for referrer in list(data, "/referrers") {
                let kind = match referrer.get("signature") {
                    Some(Value::Bool(true)) => "signature",
                    _ => "document",
                };
                let digest = words(referrer, "/digest").join(" ");
                let artifact_type = words(referrer, "/artifactType").join(" ");
                let size = bytes(referrer);
                report.verbatim(&format!("{kind}  {digest}  {artifact_type}  {size}"));
            }
        });
    }
    report.finish()
}

fn about(report: &mut Report, image: &Value) {
    for (label, path) in [
        ("Digest", "/digest"),
        ("Created", "/created"),
        ("Entrypoint", "/config/Entrypoint"),
        ("Cmd", "/config/Cmd"),
        ("WorkingDir", "/config/WorkingDir"),
        ("User", "/config/User"),
        ("Ports", "/config/ExposedPorts"),
    ] {
        report.field_if_any(label, &words(image, path).join(" "));
    }
    for (label, path) in [("Labels", "/config/Labels"), ("Env", "/config/Env")] {
        let values = words(image, path);
        if !values.is_empty() {
            report.values(label, &values);
        }
    }
    let count = list(image, "/layers").count();
    report.field("Layers", &format!("{count}, {}", bytes(image)));
    report.nested(|report| {
        for layer in list(image, "/layers") {
            let digest = words(layer, "/digest").join(" ");
            report.verbatim(&format!("{digest} {}", bytes(layer)));
        }
    });
}

/// A value in words: the items of a list, the members of an object.
fn words(value: &Value, path: &str) -> Vec<String> {
    match value.pointer(path) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::Object(members)) => members
            .iter()
            .map(|(key, value)| match value.as_str() {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            })
            .collect(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(other) => vec![other.to_string()],
    }
}

fn bytes(value: &Value) -> String {
    size(
        value
            .get("size")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_cannot_write_to_the_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}\u{9b}2J\nName: other";
        let text = text(&json!({
            "name": "app:1", "digest": "sha256:00", "mediaType": "type",
            "images": [{
                "platform": hostile, "digest": "sha256:01", "created": hostile, "size": 3,
                "layers": [{ "digest": "sha256:02", "size": 2_000 }],
                "config": {
                    "Entrypoint": ["run", hostile], "Cmd": [hostile], "WorkingDir": hostile,
                    "User": hostile, "ExposedPorts": { hostile: {} }, "Labels": { hostile: hostile },
                    "Env": [hostile],
                },
            }],
            "referrers": [{ "digest": "sha256:03", "artifactType": hostile, "size": 1 }],
        }));
        let raw = text.chars().find(|one| one.is_control() && *one != '\n');
        assert_eq!(raw, None, "{text}");
        let names = text.lines().filter(|line| line.starts_with("Name:"));
        assert_eq!(names.count(), 1, "{text}");
    }

    #[test]
    fn what_an_image_is_run_as_is_told() {
        let text = text(&json!({
            "name": "app:1", "digest": "sha256:00", "mediaType": "type",
            "images": [{
                "platform": "linux/amd64", "digest": "sha256:01", "size": 2_000,
                "layers": [{ "digest": "sha256:02", "size": 1_000 }],
                "config": {
                    "Cmd": ["serve", "--all"], "User": "", "ExposedPorts": { "80/tcp": {} },
                    "Labels": { "owner": "shop" }, "Env": ["A=1", "B=2"],
                },
            }],
            "referrers": [{ "digest": "sha256:03", "artifactType": "kind", "size": 1, "signature": true }],
        }));
        let told = "Name:    app:1
Digest:  sha256:00
Type:    type
Image:   linux/amd64
  Digest:  sha256:01
  Cmd:     serve --all
  Ports:   80/tcp
  Labels:  owner=shop
  Env:     A=1
           B=2
  Layers:  1, SIZE2
    sha256:02 SIZE1
Referrers:
  signature  sha256:03  kind  SIZE0
";
        let sizes = [(2_000, "SIZE2"), (1_000, "SIZE1"), (1, "SIZE0")];
        let told = sizes.iter().fold(told.to_owned(), |told, (bytes, at)| {
            told.replace(at, &size(*bytes))
        });
        assert_eq!(text, told);
    }
}
