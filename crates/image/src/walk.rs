//! Following a document to all that it names. Pure: whoever walks fetches the documents.
//!
//! ```text
//!   while let Some(part) = walk.next_part()? {
//!       enter(its document), or go on if it is not there
//!   }
//!   walk.finish()
//! ```

use std::collections::HashSet;

use crate::document::{DEPTH_MAX, Descriptor, Document};
use crate::place::PlaceError;

/// The most documents that one image may be made of, in all its indexes.
const DOCUMENTS_MAX: usize = 1_000;

/// Everything that a document stands for: itself last, and each document after those that it names.
#[derive(Debug, Clone)]
pub struct Closure {
    /// The documents, the parts before the whole.
    pub documents: Vec<Document>,
    /// The blobs, each once.
    pub blobs: Vec<Descriptor>,
}

/// A walk, depth first: a document is done when all that it names is.
#[derive(Debug)]
pub(crate) struct Walk {
    name: String,
    /// From the root to where the walk is: documents, and how many of its parts each was asked for.
    path: Vec<(Document, usize)>,
    /// What was asked for, whether it was there or not.
    seen: HashSet<crate::Digest>,
    done: Vec<Document>,
}

impl Walk {
    /// A walk from this document; errors call it by `name`.
    pub(crate) fn new(name: impl ToString, root: Document) -> Self {
        Self {
            name: name.to_string(),
            seen: HashSet::from([root.digest().clone()]),
            path: vec![(root, 0)],
            done: Vec::new(),
        }
    }

    /// The next document to fetch, each once; none at the end.
    ///
    /// # Errors
    ///
    /// When indexes are nested too deep or name too much.
    pub(crate) fn next_part(&mut self) -> Result<Option<Descriptor>, PlaceError> {
        while let Some((document, asked)) = self.path.last_mut() {
            let Some(part) = document.manifests().get(*asked) else {
                self.done
                    .extend(self.path.pop().map(|(document, _)| document));
                continue;
            };
            *asked += 1;
            if !self.seen.insert(part.digest().clone()) {
                continue;
            }
            let part = part.clone();
            if self.path.len() > DEPTH_MAX || self.seen.len() > DOCUMENTS_MAX {
                return Err(PlaceError::Unfit(format!(
                    "{} is nested deeper than {DEPTH_MAX} indexes, or names more than {DOCUMENTS_MAX} manifests",
                    self.name
                )));
            }
            return Ok(Some(part));
        }
        Ok(None)
    }

    /// Goes on with the parts of the document that was asked for.
    pub(crate) fn enter(&mut self, document: Document) {
        self.path.push((document, 0));
    }

    /// What was found.
    pub(crate) fn finish(self) -> Closure {
        let mut seen = HashSet::new();
        let blobs = self
            .done
            .iter()
            .flat_map(Document::blobs)
            .filter(|blob| seen.insert(blob.digest().clone()))
            .cloned()
            .collect();
        Closure {
            documents: self.done,
            blobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::digest;
    use crate::media::{MediaType, OCI_INDEX, OCI_MANIFEST};

    fn document(media_type: &str, rest: serde_json::Value) -> Document {
        let mut fields = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type });
        let more = rest.as_object().unwrap().clone();
        fields.as_object_mut().unwrap().extend(more);
        Document::parse(Some(media_type), fields.to_string()).unwrap()
    }

    fn image(content: &str) -> Document {
        let config = Descriptor::new(
            MediaType::ImageConfig,
            content.len() as u64,
            digest::sha256(content.as_bytes()),
        );
        document(
            OCI_MANIFEST,
            serde_json::json!({ "config": config, "layers": [] }),
        )
    }

    fn index(parts: &[&Document]) -> Document {
        let parts: Vec<_> = parts.iter().map(|part| part.descriptor()).collect();
        document(OCI_INDEX, serde_json::json!({ "manifests": parts }))
    }

    /// What is found, and how often something was asked for.
    fn walked(root: &Document, there: &[&Document]) -> Result<(Closure, usize), PlaceError> {
        let there: HashMap<_, _> = there.iter().map(|one| (one.digest(), *one)).collect();
        let mut walk = Walk::new("app:1", root.clone());
        let mut asked = 0;
        while let Some(part) = walk.next_part()? {
            asked += 1;
            if let Some(document) = there.get(part.digest()) {
                walk.enter((*document).clone());
            }
        }
        Ok((walk.finish(), asked))
    }

    fn place_of(closure: &Closure, document: &Document) -> usize {
        let mut documents = closure.documents.iter();
        documents
            .position(|one| one.digest() == document.digest())
            .unwrap()
    }

    #[test]
    fn what_is_named_a_thousand_times_over_is_fetched_once() {
        let leaf = image("a");
        let low = index(&[&leaf; 1_000]);
        let middle = index(&[&low; 1_000]);
        let root = index(&[&middle; 1_000]);
        let (closure, asked) = walked(&root, &[&leaf, &low, &middle]).unwrap();
        assert_eq!(asked, 3);
        assert_eq!(closure.documents.len(), 4);
        assert_eq!(closure.blobs.len(), 1);
    }

    #[test]
    fn parts_are_before_whatever_names_them() {
        let leaf = image("a");
        let low = index(&[&leaf]);
        // The leaf is named beside the index that names it too.
        for root in [index(&[&leaf, &low]), index(&[&low, &leaf])] {
            let (closure, _) = walked(&root, &[&leaf, &low]).unwrap();
            assert!(place_of(&closure, &leaf) < place_of(&closure, &low));
            assert!(place_of(&closure, &low) < place_of(&closure, &root));
        }
    }

    #[test]
    fn what_is_not_there_is_passed_over() {
        let (there, gone) = (image("a"), image("b"));
        let root = index(&[&gone, &there, &gone]);
        let (closure, asked) = walked(&root, &[&there]).unwrap();
        assert_eq!((closure.documents.len(), asked), (2, 2));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut chain = vec![image("a")];
        for _ in 0..=DEPTH_MAX {
            chain.push(index(&[chain.last().unwrap()]));
        }
        let all: Vec<&Document> = chain.iter().collect();
        assert!(walked(all[DEPTH_MAX], &all).is_ok());
        assert!(walked(all[DEPTH_MAX + 1], &all).is_err());
        let many: Vec<Document> = (0..600).map(|n| image(&n.to_string())).collect();
        let more: Vec<Document> = (600..1_200).map(|n| image(&n.to_string())).collect();
        let halves = [&many, &more].map(|half| index(&half.iter().collect::<Vec<_>>()));
        let root = index(&[&halves[0], &halves[1]]);
        let all: Vec<&Document> = many.iter().chain(&more).chain(&halves).collect();
        assert!(walked(&halves[0], &all).is_ok());
        assert!(walked(&root, &all).is_err());
    }
}
