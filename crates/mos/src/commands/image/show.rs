//! `mos image ls|inspect`.

use std::collections::BTreeMap;

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::place::{Listed, closure, read_config};
use mosaic_image::{Descriptor, Document, DocumentKind, Name, Place, PlaceError};
use serde_json::{Value, json};

use super::places::{At, Places};
use super::{parse_name, size};
use crate::failure::Failure;
use crate::output::{self, DataFormat, style, table};

/// How many images are asked for at once.
const AT_ONCE: usize = 8;
/// Artifacts of cosign, the most used signer: how its signatures say what they are.
const SIGNATURES: [&str; 3] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];

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
    let at = places.to_list(args.repository.as_ref()).await?;
    let within = args.repository.is_some().then_some(&at.name);
    let place: &dyn Place = &*at.place;
    let listed = place.list(within).await?;
    let mut images: Vec<(Name, Document)> = futures::stream::iter(listed)
        .map(|image| resolve(place, image))
        .boxed()
        .buffered(AT_ONCE)
        .try_filter_map(async |image| Ok(image))
        .try_collect()
        .await?;
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
        eprintln!("no images in {}", place.describe());
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
    let root = place
        .resolve(&name)
        .await?
        .ok_or_else(|| PlaceError::NotFound {
            what: name.to_string(),
            place: place.describe(),
        })?;
    let data = summary(&name, &root);
    let all = closure(place, &name, root.clone()).await?;
    let mut images = Vec::new();
    for document in &all.documents {
        if document.kind() == DocumentKind::Manifest {
            images.push(image(place, &name, document).await?);
        }
    }
    let referrers = place.referrers(&name, root.digest(), None).await?;
    let data = with(
        data,
        [
            ("images", Value::Array(images)),
            ("annotations", json!(root.annotations())),
            ("referrers", referrers.iter().map(referrer).collect()),
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

/// What `inspect` tells, for people.
fn text(data: &Value) -> String {
    use std::fmt::Write;

    let mut out = String::new();
    let field = |value: &Value, path: &str| -> Option<String> {
        match value.pointer(path)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) if items.is_empty() => None,
            Value::Array(items) => {
                let words = items.iter().filter_map(Value::as_str);
                Some(words.collect::<Vec<_>>().join(" "))
            }
            Value::Object(members) => {
                let words = members.iter().map(|(key, value)| match value.as_str() {
                    Some(value) => format!("{key}={value}"),
                    None => key.clone(),
                });
                Some(words.collect::<Vec<_>>().join(" "))
            }
            Value::Null => None,
            other => Some(other.to_string()),
        }
    };
    let bytes = |value: &Value| {
        size(
            value
                .get("size")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        )
    };
    let each = |value: &Value, key: &str| -> Vec<Value> {
        let list = value.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    // Writing to a text does not fail.
    for (title, path) in [
        ("Name", "/name"),
        ("Digest", "/digest"),
        ("Type", "/mediaType"),
    ] {
        let _ = writeln!(
            out,
            "{:<13}{}",
            format!("{title}:"),
            field(data, path).unwrap_or_default()
        );
    }
    for image in each(data, "images") {
        let _ = writeln!(
            out,
            "Image:       {}",
            field(&image, "/platform")
                .or_else(|| field(&image, "/artifactType"))
                .unwrap_or_default()
        );
        for (title, path) in [
            ("Digest", "/digest"),
            ("Created", "/created"),
            ("Entrypoint", "/config/Entrypoint"),
            ("Cmd", "/config/Cmd"),
            ("WorkingDir", "/config/WorkingDir"),
            ("User", "/config/User"),
            ("Ports", "/config/ExposedPorts"),
            ("Labels", "/config/Labels"),
        ] {
            if let Some(value) = field(&image, path) {
                let _ = writeln!(out, "  {:<12}{value}", format!("{title}:"));
            }
        }
        for variable in image
            .pointer("/config/Env")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let _ = writeln!(
                out,
                "  Env:        {}",
                variable.as_str().unwrap_or_default()
            );
        }
        let layers = each(&image, "layers");
        let _ = writeln!(out, "  Layers:     {}, {}", layers.len(), bytes(&image));
        for layer in layers {
            let digest = field(&layer, "/digest").unwrap_or_default();
            let _ = writeln!(out, "    {digest} {}", bytes(&layer));
        }
    }
    let referrers = each(data, "referrers");
    if !referrers.is_empty() {
        let _ = writeln!(out, "Referrers:");
    }
    for referrer in referrers {
        let kind = if referrer.get("signature") == Some(&Value::Bool(true)) {
            "signature"
        } else {
            "document"
        };
        let _ = writeln!(
            out,
            "  {kind}  {}  {}  {}",
            field(&referrer, "/digest").unwrap_or_default(),
            field(&referrer, "/artifactType").unwrap_or_default(),
            bytes(&referrer)
        );
    }
    out
}
