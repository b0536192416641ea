//! The OpenAPI documents, rendered from the kind table when somebody asks, and kept compressed until
//! the table changes.

use std::{collections::HashMap, io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;

/// Rendered documents by path, of one generation of the table.
#[derive(Debug, Default)]
pub struct Documents {
    kept: Mutex<(u64, HashMap<String, Arc<Document>>)>,
}

/// A rendered document.
#[derive(Debug)]
pub struct Document {
    /// The text, compressed with gzip.
    pub gzip: Bytes,
    /// Changes when the text does; fit for an `ETag`.
    pub hash: String,
}

impl Documents {
    /// The document at a path: the kept one, or what `render` makes.
    pub fn get(
        &self,
        generation: u64,
        path: &str,
        render: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<Document>> {
        {
            let mut kept = self.kept.lock();
            if kept.0 != generation {
                *kept = (generation, HashMap::new());
            }
            if let Some(document) = kept.1.get(path) {
                return Some(document.clone());
            }
        }
        let text = render()?;
        let hash = hash(&text);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).ok()?;
        let document = Arc::new(Document {
            gzip: encoder.finish().ok()?.into(),
            hash,
        });
        let mut kept = self.kept.lock();
        if kept.0 == generation {
            kept.1.insert(path.to_owned(), document.clone());
        }
        Some(document)
    }
}

fn hash(text: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let (mut one, mut two) = (DefaultHasher::new(), DefaultHasher::new());
    text.hash(&mut one);
    text.len().hash(&mut two);
    text.hash(&mut two);
    format!("{:016X}{:016X}", one.finish(), two.finish())
}
