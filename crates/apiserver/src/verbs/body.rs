//! Reading the objects that clients send.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use mosaic_api::{Reason, Status};
use mosaic_schema::{DecodeOptions, decode, parse};
use serde_json::Value;

use super::Call;
use crate::kinds::Kind;

/// How unknown and duplicate fields are treated (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped without a word.
    Ignore,
    /// Dropped with a warning.
    Warn,
    /// Refused.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// 422 for unknown values.
    pub fn from_query(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => {
                let known = ["", "Ignore", "Strict", "Warn"];
                let error =
                    mosaic_schema::FieldError::not_supported("fieldValidation", other, &known);
                Err(Status::invalid_option("CreateOptions", error))
            }
        }
    }

    /// Turns complaints into warnings or a refusal.
    ///
    /// # Errors
    /// 400 if fields are to be right and are not.
    pub fn judge(self, complaints: Vec<String>, warnings: &mut Vec<String>) -> Result<(), Status> {
        match self {
            _ if complaints.is_empty() => {}
            Self::Ignore => {}
            Self::Warn => warnings.extend(complaints),
            Self::Strict => {
                return Err(Status::bad_request(format!(
                    "strict decoding error: {}",
                    complaints.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// The media type of a call's body, in lower case and without parameters.
pub fn media_type(call: &Call) -> String {
    call.headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(|text| text.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// 415, with what would be accepted.
pub fn unsupported(accepted: &str) -> Status {
    Status::new(
        Reason::UnsupportedMediaType,
        format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        ),
    )
}

/// Reads a document in one of the forms of objects: JSON, YAML, or protobuf for built-in kinds.
///
/// # Errors
/// 400 for a body that cannot be read, 415 for other media types.
pub fn read(call: &Call, complaints: &mut Vec<String>) -> Result<Value, Status> {
    let media_type = media_type(call);
    read_as(&media_type, &call.body, complaints)
}

/// The media types of bodies, for the message to those who send another.
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Reads a document of that media type.
///
/// # Errors
/// As [`read`].
pub fn read_as(
    media_type: &str,
    body: &Bytes,
    complaints: &mut Vec<String>,
) -> Result<Value, Status> {
    match media_type {
        "" | "application/json" | "*/*" => {
            if body.iter().all(u8::is_ascii_whitespace) {
                return Err(Status::bad_request(
                    "the request has no body; send the object as JSON or YAML",
                ));
            }
            let parsed = parse(body).map_err(|error| {
                Status::bad_request(format!("the object provided is unrecognized (must be of type JSON): couldn't get version/kind; json parse error: {error}"))
            })?;
            complaints.extend(parsed.duplicates.iter().map(ToString::to_string));
            Ok(parsed.value)
        }
        "application/yaml" | "text/yaml" | "application/apply-patch+yaml" => {
            read_yaml(body, complaints)
        }
        mosaic_protobuf::MEDIA_TYPE => {
            mosaic_protobuf::decode(body, built_in_type).map_err(|error| {
                Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {media_type}): {error}"
                ))
            })
        }
        _ => Err(unsupported(ACCEPTED)),
    }
}

/// The type of a built-in kind, as bodies name it. Every group has the kinds of options that all
/// requests share.
fn built_in_type(api_version: &str, kind: &str) -> Option<Arc<mosaic_schema::Type>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let definition = match kind {
        "DeleteOptions" | "Status" => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"),
        _ => mosaic_api::builtin::definition_name(group, version, kind),
    };
    mosaic_schema::builtin(&definition)
}

/// Reads a YAML document (of which JSON is a part). Most clients that say YAML send JSON.
fn read_yaml(body: &Bytes, complaints: &mut Vec<String>) -> Result<Value, Status> {
    if let Ok(parsed) = parse(body) {
        complaints.extend(parsed.duplicates.iter().map(ToString::to_string));
        return Ok(parsed.value);
    }
    let text =
        std::str::from_utf8(body).map_err(|_| Status::bad_request("the body is not UTF-8 text"))?;
    serde_saphyr::from_str(text)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// Checks that an object says it is of the kind that the path names; absent words count as that kind
/// where the path leaves no doubt.
///
/// # Errors
/// 400 if it is of another.
pub fn check_kind(object: &mut Value, api_version: &str, kind: &str) -> Result<(), Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request(format!(
            "the body is not an object but should be a {kind}"
        )));
    };
    for (key, expected) in [("apiVersion", api_version), ("kind", kind)] {
        match map.get(key) {
            None | Some(Value::Null) => {
                map.insert(key.to_owned(), Value::from(expected));
            }
            Some(Value::String(text)) if text.is_empty() => {
                map.insert(key.to_owned(), Value::from(expected));
            }
            Some(Value::String(text)) if text == expected => {}
            Some(Value::String(text)) => {
                let what = if key == "kind" { "kind" } else { "API version" };
                return Err(Status::bad_request(format!(
                    "the {what} in the data ({text}) does not match the expected {what} ({expected})"
                )));
            }
            Some(_) => return Err(Status::bad_request(format!("{key} is not a string"))),
        }
    }
    Ok(())
}

/// Brings an object into its kind's structure; what does not belong is dropped and complained about.
///
/// # Errors
/// 400 for values of the wrong type.
pub fn shape(kind: &Kind, object: &mut Value, complaints: &mut Vec<String>) -> Result<(), Status> {
    let wrong = |message: &dyn std::fmt::Display| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {message}",
            kind.kind, &*kind.version, kind.kind
        ))
    };
    match kind.custom().map(|custom| &custom.structural) {
        None => {
            let unknown =
                decode(&kind.ty, object, DecodeOptions::default()).map_err(|e| wrong(&e))?;
            complaints.extend(unknown.iter().map(ToString::to_string));
        }
        Some(Some(structural)) => {
            let unknown = structural.prune(object);
            complaints.extend(unknown.iter().map(ToString::to_string));
            structural
                .apply_defaults(object)
                .map_err(|error| Status::new(Reason::RequestEntityTooLarge, error.to_string()))?;
            check_metadata(object).map_err(|e| wrong(&e))?;
        }
        Some(None) => check_metadata(object).map_err(|e| wrong(&e))?,
    }
    Ok(())
}

/// Checks the metadata of a custom object, whose schema says nothing about it.
fn check_metadata(object: &mut Value) -> Result<(), mosaic_schema::TypeError> {
    let Some(map) = object.as_object_mut() else {
        return Ok(());
    };
    let metadata = map
        .entry("metadata")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    match mosaic_schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") {
        Some(ty) => decode(&ty, metadata, DecodeOptions::default()).map(|_| ()),
        None => Ok(()),
    }
}
