//! The documents name what is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file of the project.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The targets of the links in a text: `[words](target)`.
fn links(text: &str) -> Vec<&str> {
    let rest = text.split("](").skip(1);
    rest.filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = Vec::new();
    documents(&root(), &mut found);
    assert!(found.len() > 5, "{found:?}");
    let mut broken = Vec::new();
    for document in found {
        let text = fs::read_to_string(&document).expect("a text");
        let folder = document.parent().expect("a folder");
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_map_names_places_that_are_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a text");
    let places = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.starts_with("crates/"));
    let missing: Vec<_> = places
        .filter(|place| !root().join(place).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
