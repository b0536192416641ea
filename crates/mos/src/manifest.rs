//! Objects from files, directories and standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use mosaic_api::meta;
use serde_json::Value;

use crate::failure::Failure;
use crate::yaml;

/// A file larger than this is refused: no server takes an object of a tenth of it.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Directories deeper than this are not searched.
const MAX_DIRECTORIES: usize = 32;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// An object with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// The file's path.
    pub(crate) source: String,
    /// The object.
    pub(crate) object: Value,
}

impl Manifest {
    /// The object's `apiVersion`.
    pub(crate) fn api_version(&self) -> &str {
        meta::api_version(&self.object)
    }

    /// The object's `kind`.
    pub(crate) fn kind(&self) -> &str {
        meta::kind(&self.object)
    }

    /// The object's name; empty if it has none.
    pub(crate) fn name(&self) -> &str {
        meta::name(&self.object)
    }

    /// The object's namespace; empty if it has none.
    pub(crate) fn namespace(&self) -> &str {
        meta::namespace(&self.object)
    }
}

/// Reads the objects of several files, in order.
pub(crate) fn read(paths: &[String], recursive: bool) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for path in paths {
        if path == "-" {
            manifests.extend(parse("standard input", &read_input()?)?);
        } else if path.starts_with("http://") || path.starts_with("https://") {
            return Err(
                Failure::usage(format!("{path}: files are read from disk only"))
                    .hint(format!("curl -fsSL {path} | mos apply -f -")),
            );
        } else {
            for file in files(Path::new(path), recursive)? {
                manifests.extend(parse(&file.display().to_string(), &read_file(&file)?)?);
            }
        }
    }
    if manifests.is_empty() {
        return Err(Failure::new(format!("there are no objects in {}", paths.join(", ")))
            .hint("files of a directory count if they end with .yaml, .yml or .json; add -R for those below it"));
    }
    Ok(manifests)
}

fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    bounded("standard input", text.len() as u64)?;
    Ok(text)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    bounded(&path.display().to_string(), text.len() as u64)?;
    Ok(text)
}

fn bounded(source: &str, size: u64) -> Result<(), Failure> {
    if size > MAX_FILE_BYTES {
        return Err(Failure::new(format!(
            "{source} is larger than {} MiB",
            MAX_FILE_BYTES >> 20
        )));
    }
    Ok(())
}

/// The files that a path stands for, sorted within each directory.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    search(path, recursive, 0, &mut found)?;
    Ok(found)
}

fn search(
    directory: &Path,
    recursive: bool,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot read {}: {error}", directory.display()))
    };
    let mut entries = std::fs::read_dir(directory)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_directory = path.is_dir();
        if is_directory && recursive && depth < MAX_DIRECTORIES {
            search(&path, recursive, depth + 1, found)?;
        } else if !is_directory
            && path
                .extension()
                .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The objects in a text. Lists are taken apart.
pub(crate) fn parse(source: &str, text: &str) -> Result<Vec<Manifest>, Failure> {
    let documents = yaml::read(text).map_err(|error| Failure::new(format!("{source}: {error}")))?;
    let mut manifests = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let place = format!("{source}, document {}", index + 1);
        add(source, &place, document, true, &mut manifests)?;
    }
    Ok(manifests)
}

fn add(
    source: &str,
    place: &str,
    object: Value,
    may_be_list: bool,
    found: &mut Vec<Manifest>,
) -> Result<(), Failure> {
    if !object.is_object() {
        return Err(Failure::new(format!("{place} is not an object")));
    }
    let manifest = Manifest {
        source: source.to_owned(),
        object,
    };
    if manifest.kind().is_empty() {
        return Err(Failure::new(format!("{place} has no `kind`"))
            .hint("every object starts with `apiVersion` and `kind`"));
    }
    let items = manifest.object.get("items").and_then(Value::as_array);
    if let Some(items) = items.filter(|_| manifest.kind().ends_with("List")) {
        if !may_be_list {
            return Err(Failure::new(format!("{place} is a list within a list")));
        }
        for item in items.clone() {
            add(source, place, item, false, found)?;
        }
        return Ok(());
    }
    if manifest.api_version().is_empty() {
        return Err(
            Failure::new(format!("{place} has no `apiVersion`")).hint(format!(
                "`mos api-resources` shows the one of `{}`",
                manifest.kind()
            )),
        );
    }
    if manifest.name().is_empty() {
        let kind = manifest.kind().to_owned();
        let generated = manifest.object.pointer("/metadata/generateName").is_some();
        let failure = Failure::new(format!("{place} ({kind}) has no `metadata.name`"));
        return Err(if generated {
            failure.hint("objects with `generateName` cannot be applied, only created")
        } else {
            failure
        });
    }
    found.push(manifest);
    Ok(())
}

/// Puts objects that others need first: namespaces, then custom kinds; the others keep their order.
pub(crate) fn in_order_of_need(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    manifests.sort_by_key(|manifest| match manifest.kind() {
        "Namespace" if manifest.api_version() == "v1" => 0,
        "CustomResourceDefinition" => 1,
        _ => 2,
    });
    manifests
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cars.example.com}
";

    #[test]
    fn lists_are_taken_apart_and_needs_come_first() {
        let manifests = in_order_of_need(parse("x.yaml", TEXT).unwrap());
        let kinds: Vec<&str> = manifests.iter().map(Manifest::kind).collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "CustomResourceDefinition",
                "Deployment",
                "ConfigMap"
            ]
        );
    }

    #[test]
    fn incomplete_objects_are_named_by_place() {
        for (text, wanted) in [
            ("kind: Pod\nmetadata: {name: a}\n", "apiVersion"),
            ("apiVersion: v1\n", "kind"),
            ("apiVersion: v1\nkind: Pod\n", "metadata.name"),
            ("- a\n", "not an object"),
            (
                "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n",
                "within a list",
            ),
        ] {
            let failure = parse("x.yaml", text).unwrap_err();
            assert!(
                failure.message().contains("x.yaml, document 1"),
                "{failure}"
            );
            assert!(failure.message().contains(wanted), "{failure}");
        }
    }

    #[test]
    fn directories_are_read_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, object: &str| {
            std::fs::write(
                directory.path().join(name),
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {object}}}\n"),
            )
            .unwrap();
        };
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        write("b.yaml", "b");
        write("a.yml", "a");
        write("ignored.txt", "no");
        write("sub/c.json", "c");
        let names = |recursive| -> Vec<String> {
            let path = directory.path().to_str().unwrap().to_owned();
            read(&[path], recursive)
                .unwrap()
                .iter()
                .map(|manifest| manifest.name().to_owned())
                .collect()
        };
        assert_eq!(names(false), ["a", "b"]);
        assert_eq!(names(true), ["a", "b", "c"]);
    }
}
