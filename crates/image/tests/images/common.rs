//! Images to test with.

use std::path::Path;
use std::process::Command;

use mosaic_image::config::{Changes, NewLayer, derive, host_platform};
pub use mosaic_image::document::describe;
use mosaic_image::place::bytes_body;
use mosaic_image::{As, Compression, Descriptor, Document, Layout, Name, Place, digest, media};

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A layer's tar with one file.
pub fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

/// An image of these layers' tars, gzipped, with its blobs.
pub struct Image {
    pub document: Document,
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

pub fn image(layers: &[Vec<u8>]) -> Image {
    let mut blobs = Vec::new();
    let mut descriptors = Vec::new();
    let mut new = Vec::new();
    for layer in layers {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, layer).unwrap();
        let bytes = gzip.finish().unwrap();
        let descriptor = describe(Compression::Gzip.layer_type(false), &bytes);
        descriptors.push(descriptor.clone());
        blobs.push((descriptor, bytes));
        new.push(NewLayer {
            diff_id: digest::sha256(layer),
            created_by: "test".to_owned(),
        });
    }
    let changes = Changes {
        cmd: Some(vec!["/bin/true".to_owned()]),
        ..Changes::default()
    };
    let config = derive(
        None,
        &host_platform(),
        &new,
        &changes,
        "1970-01-01T00:00:00Z",
    )
    .unwrap();
    let config_descriptor = describe(media::OCI_CONFIG, &config);
    let none = std::collections::BTreeMap::new();
    let document = Document::image(false, &config_descriptor, &descriptors, &none).unwrap();
    blobs.push((config_descriptor, config));
    Image { document, blobs }
}

pub async fn put(place: &dyn Place, at: &str, image: &Image) {
    let at = name(at);
    for (descriptor, bytes) in &image.blobs {
        place
            .write(&at, descriptor, bytes_body(bytes.clone()))
            .await
            .unwrap();
    }
    place.put(&at, &image.document, As::Root).await.unwrap();
}

pub async fn layout(directory: &Path) -> Layout {
    Layout::open(directory).await.unwrap()
}

/// Every file below a directory that is not one of the layout's locks.
pub fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let relative = path.strip_prefix(directory).unwrap();
                found.push(relative.display().to_string());
            }
        }
    }
    found.retain(|file| !file.ends_with(".lock"));
    found.sort();
    found
}

/// Runs skopeo; a test that needs it does not pass without.
pub fn skopeo(arguments: &[&str]) -> String {
    let policy = ["--insecure-policy"];
    let output = Command::new("skopeo")
        .args(policy)
        .args(arguments)
        .output()
        .expect("skopeo is installed (apt-get install skopeo)");
    assert!(
        output.status.success(),
        "skopeo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
