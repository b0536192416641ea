//! Content negotiation: which form of an object a client asked for.

use http::{HeaderMap, header};
use mosaic_api::{Reason, Status};

/// The encoding of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
}

/// What of an object is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The object itself.
    #[default]
    Object,
    /// A `Table` of `meta.k8s.io/v1`.
    Table,
    /// Its metadata only (`PartialObjectMetadata`).
    Metadata,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accept {
    /// The encoding.
    pub encoding: Encoding,
    /// The form.
    pub form: Form,
}

impl Accept {
    /// The first acceptable form that the server has, in the client's order.
    ///
    /// # Errors
    /// 406 if there is none.
    pub fn negotiate(headers: &HeaderMap) -> Result<Self, Status> {
        let mut ranges = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .peekable();
        if ranges.peek().is_none() {
            return Ok(Self::default());
        }
        ranges.find_map(Self::from_range).ok_or_else(|| {
            Status::new(
                Reason::NotAcceptable,
                "only the following media types are accepted: application/json, application/yaml",
            )
        })
    }

    fn from_range(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let encoding = match parts.next()? {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" | "text/yaml" => Encoding::Yaml,
            _ => return None,
        };
        let (mut form, mut version, mut stream) = (Form::Object, "v1", "");
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("as", "Table") => form = Form::Table,
                ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    form = Form::Metadata
                }
                ("as", _) => return None,
                ("v", v) => version = v,
                ("stream", s) => stream = s,
                _ => {}
            }
        }
        let known = (form == Form::Object || version == "v1") && matches!(stream, "" | "watch");
        known.then_some(Self { encoding, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(text: &'static str) -> Result<Accept, Status> {
        Accept::negotiate(&HeaderMap::from_iter([(
            header::ACCEPT,
            text.parse().unwrap(),
        )]))
    }

    #[test]
    fn the_clients_first_choice_that_exists_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(table).unwrap().form, Form::Table);
        let old = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(old).unwrap().form, Form::Object);
        let protobuf = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(negotiate(protobuf).unwrap(), Accept::default());
        assert_eq!(
            negotiate("application/yaml").unwrap().encoding,
            Encoding::Yaml
        );
        assert_eq!(
            negotiate("application/vnd.kubernetes.protobuf")
                .unwrap_err()
                .reason,
            Reason::NotAcceptable
        );
    }
}
