//! Making layers, good and bad ones, byte by byte: the usual writers refuse to write what is tried here.

use std::io::Write;

use mosaic_image::{digest::sha256, unpack::Layer};

/// One entry of an archive that is made.
#[derive(Clone)]
pub struct Item {
    pub name: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u64,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    pub device: (u64, u64),
    pub data: Vec<u8>,
    /// What the header says, if it is not the length of the data.
    pub size: Option<u64>,
    pub pax: Vec<(String, Vec<u8>)>,
}

pub fn item(name: impl AsRef<[u8]>, kind: u8) -> Item {
    Item {
        name: name.as_ref().to_vec(),
        kind,
        link: Vec::new(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 1_600_000_000,
        device: (0, 0),
        data: Vec::new(),
        size: None,
        pax: Vec::new(),
    }
}

pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Item {
    Item {
        data: data.as_ref().to_vec(),
        ..item(name, b'0')
    }
}

pub fn directory(name: impl AsRef<[u8]>) -> Item {
    item(name, b'5').mode(0o755)
}

pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Item {
    Item {
        link: target.as_ref().to_vec(),
        ..item(name, b'2').mode(0o777)
    }
}

pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Item {
    Item {
        link: target.as_ref().to_vec(),
        ..item(name, b'1')
    }
}

impl Item {
    pub fn mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    pub fn size(self, size: u64) -> Self {
        Self {
            size: Some(size),
            ..self
        }
    }

    pub fn device(self, major: u64, minor: u64) -> Self {
        Self {
            device: (major, minor),
            ..self
        }
    }

    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, &number(self.uid, 8));
        put(116, &number(self.gid, 8));
        put(
            124,
            &number(self.size.unwrap_or(self.data.len() as u64), 12),
        );
        put(136, &number(self.mtime, 12));
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, &number(self.device.0, 8));
        put(337, &number(self.device.1, 8));
        seal(&mut block);
        block
    }

    /// The entry as it stands in an archive, after what has to come before it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut pax = self.pax.clone();
        if self.name.len() > 100 {
            pax.insert(0, ("path".to_owned(), self.name.clone()));
        }
        if self.link.len() > 100 {
            pax.insert(0, ("linkpath".to_owned(), self.link.clone()));
        }
        if !pax.is_empty() {
            let records = pax.iter().flat_map(|(key, value)| record(key, value));
            bytes.extend(file("pax", records.collect::<Vec<_>>()).kind(b'x').bytes());
        }
        bytes.extend(self.header());
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    pub fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }
}

/// Puts the checksum into a header.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A number as octal text, or in base 256 if it does not fit.
pub fn number(number: u64, len: usize) -> Vec<u8> {
    let text = format!("{number:0width$o}", width = len - 1);
    if text.len() < len {
        return text.into_bytes();
    }
    let mut bytes = vec![0; len];
    let digits = number.to_be_bytes();
    let start = len.saturating_sub(8);
    bytes[start..].copy_from_slice(&digits[8 - (len - start)..]);
    bytes[0] |= 0x80;
    bytes
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
}

pub fn archive(items: &[Item]) -> Vec<u8> {
    let mut bytes: Vec<u8> = items.iter().flat_map(Item::bytes).collect();
    bytes.extend([0; 1024]);
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// What describes these bytes, which decompress to that archive.
pub fn describe(bytes: &[u8], archive: &[u8]) -> Layer {
    Layer {
        digest: sha256(bytes),
        size: bytes.len() as u64,
        diff_id: sha256(archive),
    }
}
