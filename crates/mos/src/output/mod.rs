//! What is printed, and how.

mod bytes;
pub(crate) mod jsonpath;
pub(crate) mod log;
pub(crate) mod style;
pub(crate) mod table;

use std::io::{self, Write};
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::yaml;

pub(crate) use bytes::bytes;

/// How objects are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// A table.
    Table,
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `type/name`, a line each.
    Name,
    /// A JSONPath template.
    JsonPath(jsonpath::Template),
    /// Columns of one's own.
    Columns(Vec<(String, jsonpath::Template)>),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(template) = text.strip_prefix("jsonpath=") {
            return Ok(Self::JsonPath(template.parse()?));
        }
        if let Some(columns) = text.strip_prefix("custom-columns=") {
            return columns
                .split(',')
                .map(column)
                .collect::<Result<_, _>>()
                .map(Self::Columns);
        }
        match text {
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => {
                let wanted = "one of wide, json, yaml, name, jsonpath=TEMPLATE and custom-columns=NAME:PATH,... is wanted";
                let is_go = ["go-template", "template"]
                    .iter()
                    .any(|go| text.starts_with(go));
                Err(if is_go {
                    format!("mos has no Go templates; {wanted}")
                } else {
                    wanted.into()
                })
            }
        }
    }
}

fn column(text: &str) -> Result<(String, jsonpath::Template), String> {
    let (name, path) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not NAME:PATH, such as NODE:.spec.nodeName"))?;
    let path = if path.starts_with('{') {
        path.to_owned()
    } else {
        format!("{{{path}}}")
    };
    Ok((name.to_owned(), path.parse()?))
}

/// The forms that a script reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl DataFormat {
    /// Prints a document.
    pub(crate) fn print(self, value: &Value) -> Result<(), Failure> {
        print(&self.render(value)?)
    }

    /// A document's text, which ends with a newline.
    pub(crate) fn render(self, value: &Value) -> Result<String, Failure> {
        match self {
            Self::Json => Ok(format!("{value:#}\n")),
            Self::Yaml => yaml::write(value),
        }
    }
}

/// Prints to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Several objects as one document.
pub(crate) fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}})
}

/// Takes out the field that says who set which field, which few want to read.
pub(crate) fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}
