//! Images: documents, names, and layers.

use std::{fs, io::Cursor};

use mosaic_image::{
    Document, Name,
    config::Config,
    digest::sha256,
    tar_reader::Archive,
    unpack::{Layer, Layers, Limits, Settings, Special},
};

/// A manifest or an index: nothing panics, and what it says it names is bounded.
pub fn document(data: &[u8]) {
    let Ok(document) = Document::parse(None, data.to_vec()) else {
        return;
    };
    assert_eq!(document.bytes().as_ref(), data);
    assert!(document.layers().len() <= 1000 && document.manifests().len() <= 1000);
    assert!(document.references().count() <= 2002);
    let media_type = document.media_type().to_string();
    let again = Document::parse(Some(&media_type), data.to_vec());
    assert_eq!(
        again.map(|again| again.digest().clone()).ok(),
        Some(document.digest().clone())
    );
}

/// The configuration of an image.
pub fn image_config(data: &[u8]) {
    if let Ok(config) = Config::parse(data.to_vec()) {
        assert_eq!(config.bytes().as_ref(), data);
        let _ = (config.platform(), config.run(), config.history().len());
    }
}

/// A name of an image: written out and read again, it is the same.
pub fn image_name(data: &[u8]) {
    let Ok(Ok(name)) = std::str::from_utf8(data).map(str::parse::<Name>) else {
        return;
    };
    assert_eq!(name.to_string().parse::<Name>().as_ref(), Ok(&name));
    assert_eq!(name.normal().normal(), name.normal());
    assert!(!name.candidates(Some("registry.example:5000")).is_empty());
}

/// The archive in a layer: as it is, and with every checksum put right, so that more than noise is looked at.
pub fn archive(data: &[u8]) {
    read(data);
    let mut right = data.to_vec();
    for block in right.as_chunks_mut::<512>().0 {
        seal(block);
    }
    read(&right);
}

fn read(data: &[u8]) {
    let mut archive = Archive::new(Cursor::new(data), 1000);
    let mut sum = 0;
    while let Ok(Some(entry)) = archive.next_entry() {
        let mut len = 0;
        loop {
            let Ok(part) = archive.data() else { return };
            let count = part.len();
            if count == 0 {
                break;
            }
            archive.consume(count);
            len += count;
        }
        sum += len;
        match &entry.sparse {
            None => assert!(len as u64 == entry.size),
            Some(map) => {
                assert!(map.iter().map(|part| part.len).sum::<u64>() == len as u64);
                assert!(map.iter().all(|part| part.offset + part.len <= entry.size));
            }
        }
    }
    assert!(sum <= data.len(), "data out of nothing");
}

fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block[154] = 0;
}

/// Parts of names that have to do with each other.
const PARTS: [&str; 16] = [
    "a",
    "b",
    "c",
    "d",
    ".",
    "..",
    "",
    ".wh.a",
    ".wh.b",
    ".wh..wh..opq",
    ".wh..",
    ".wh...",
    ".wh.",
    ".wh..wh.x",
    "outside",
    "secret",
];

fn name(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes
        .iter()
        .take(usize::from(bytes.first().copied().unwrap_or_default() % 4) + 1)
        .map(|byte| PARTS[usize::from(byte >> 4)])
        .collect();
    parts.join("/")
}

/// Each eight bytes are an entry of a layer, which is unpacked for real: whatever it is, nothing beside the directory of layers
/// changes, and a refusal leaves nothing.
pub fn layer(data: &[u8]) {
    let mut bytes = Vec::new();
    for instruction in data.as_chunks::<8>().0.iter().take(64) {
        let [kind, rest @ ..] = instruction;
        let mut block = [0; 512];
        let target = match kind >> 5 {
            0 => "../../../../../outside".to_owned(),
            1 => "../outside/secret".to_owned(),
            _ => name(&rest[4..]),
        };
        let path = name(&rest[..4]);
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[100..107].copy_from_slice(format!("{:07o}", u16::from(rest[6]) << 4).as_bytes());
        block[156] = b"0055112346"[usize::from(kind % 10)];
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        let has_data = block[156] == b'0';
        if has_data {
            block[124..135].copy_from_slice(b"00000000003");
        }
        seal(&mut block);
        bytes.extend(block);
        if has_data {
            bytes.extend(b"new");
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    let Ok(directory) = tempfile::tempdir() else {
        return;
    };
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).expect("a new directory");
    fs::write(outside.join("secret"), "untouched").expect("a new file");
    let settings = Settings {
        devices: Special::Skipped,
        limits: Limits {
            entries: 200,
            ..Limits::default()
        },
        ..Settings::of_this_process()
    };
    let layers = Layers::open(directory.path().join("layers"), settings).expect("a new directory");
    let digest = sha256(&bytes);
    let layer = Layer {
        size: bytes.len() as u64,
        diff_id: digest.clone(),
        digest,
    };
    let result = layers.unpack(&layer, || Ok(Cursor::new(&bytes)));
    let names = |path| fs::read_dir(path).map(Iterator::count).unwrap_or_default();
    let secret = fs::read_to_string(outside.join("secret"));
    assert_eq!(secret.ok().as_deref(), Some("untouched"));
    assert_eq!((names(outside), names(directory.path().to_owned())), (1, 2));
    assert_eq!(names(layers.path().join("unpacking")), 0);
    let there = layers.list().expect("a directory");
    assert_eq!(there.len(), usize::from(result.is_ok()), "{result:?}");
    for diff_id in there {
        assert!(
            layers
                .remove(&diff_id)
                .expect("a directory that can be removed")
        );
    }
}
