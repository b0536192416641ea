//! Which objects of a kind a request is about: namespace, label selector, field selector.

use mosaic_api::{FieldSelector, LabelSelector, Status};

use crate::{
    cache::{Object, Scope},
    http::{path::ResourcePath, query::Query},
    kinds::Kind,
};

/// A selection of a kind's objects.
#[derive(Debug)]
pub struct Selection {
    /// The keys of everything selected start with this.
    pub prefix: String,
    /// What watchers are told apart by.
    pub scope: Scope,
    labels: Option<LabelSelector>,
    /// (where the value is found, whether it must be equal, the value)
    fields: Vec<(Place, bool, String)>,
}

#[derive(Debug)]
enum Place {
    Name,
    Namespace,
    Fact {
        places: Vec<usize>,
        default: &'static str,
    },
}

impl Selection {
    /// Reads the selectors of a request.
    ///
    /// # Errors
    /// 400 for selectors that cannot be parsed, or that name a field which is not selectable.
    pub fn new(kind: &Kind, path: &ResourcePath, query: &Query) -> Result<Self, Status> {
        let mut selection = Self {
            prefix: kind.prefix.clone(),
            scope: Scope::All,
            labels: None,
            fields: Vec::new(),
        };
        if kind.namespaced && !path.namespace.is_empty() {
            selection.prefix = format!("{}{}/", kind.prefix, path.namespace);
            selection.scope = Scope::Namespace(path.namespace.as_str().into());
        }
        if !query.label_selector.is_empty() {
            let parsed = LabelSelector::parse(&query.label_selector)
                .map_err(|e| Status::bad_request(format!("unable to parse requirement: {e}")))?;
            selection.labels = Some(parsed);
        }
        if !query.field_selector.is_empty() {
            let parsed = FieldSelector::parse(&query.field_selector)
                .map_err(|e| Status::bad_request(e.to_string()))?;
            for requirement in parsed.requirements() {
                selection.require(
                    kind,
                    &requirement.field,
                    !requirement.negated,
                    &requirement.value,
                )?;
            }
        }
        Ok(selection)
    }

    fn require(
        &mut self,
        kind: &Kind,
        field: &str,
        equal: bool,
        value: &str,
    ) -> Result<(), Status> {
        let place = match field {
            "metadata.name" => Place::Name,
            "metadata.namespace" if kind.namespaced => Place::Namespace,
            _ => match kind.fields.iter().find(|known| *known.path == *field) {
                Some(known) => {
                    if equal && &*known.path == "spec.nodeName" && !value.is_empty() {
                        self.scope = Scope::Indexed(value.into());
                    }
                    Place::Fact {
                        places: known.places.clone(),
                        default: known.default,
                    }
                }
                None => {
                    return Err(Status::bad_request(format!(
                        "Unable to find {:?} that match label selector \"\", field selector \"{field}={value}\": field label not supported: {field}",
                        format!("{}/{}, Resource={}", kind.group, kind.version, kind.plural),
                    )));
                }
            },
        };
        if equal
            && matches!(place, Place::Name)
            && self.prefix.trim_end_matches('/').len() > kind.prefix.len()
        {
            self.scope = Scope::Key(format!("{}{value}", self.prefix).into());
        }
        self.fields.push((place, equal, value.to_owned()));
        Ok(())
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Object) -> bool {
        object.key.starts_with(&*self.prefix)
            && self
                .labels
                .as_ref()
                .is_none_or(|selector| selector.matches(&object.facts))
            && self.fields.iter().all(|(place, equal, wanted)| {
                let value = match place {
                    Place::Name => object.name(),
                    Place::Namespace => object.namespace(),
                    Place::Fact { places, default } => places
                        .iter()
                        .filter_map(|at| object.facts.fields.get(*at)?.as_deref())
                        .find(|value| !value.is_empty())
                        .unwrap_or(default),
                };
                (value == wanted) == *equal
            })
    }

    /// Whether every object under the prefix is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_empty()
    }
}
