//! A walk through an OpenAPI v3 document.

use serde_json::Value;

use crate::client::Resource;
use crate::failure::Failure;
use crate::nearest::did_you_mean;
use crate::output::style::{printable, printable_lines};

/// References followed in a row before a document counts as one that turns in circles.
const MAX_REFERENCES: usize = 16;
/// Levels of fields that are shown below the first; some schemas contain themselves.
const MAX_LEVELS: usize = 12;
/// Fields that are shown at most.
const MAX_FIELDS: usize = 20_000;
const WIDTH: usize = 80;

/// An OpenAPI v3 document.
pub(super) struct Document {
    root: Value,
}

/// A schema with what stood beside the reference that led to it.
#[derive(Clone, Copy)]
struct Schema<'a> {
    schema: &'a Value,
    /// A description at the reference is about the field, and so better than the type's own.
    description: Option<&'a str>,
    name: Option<&'a str>,
}

impl Document {
    pub(super) fn new(root: Value) -> Self {
        Self { root }
    }

    /// The explanation of a type, or of a field of it.
    pub(super) fn explain(
        &self,
        resource: &Resource,
        path: &[String],
        recursive: bool,
    ) -> Result<String, Failure> {
        let mut schema = self.of_resource(resource)?;
        let mut field = None;
        let mut walked = resource.singular_qualified();
        for name in path {
            let object = self.element(schema);
            let next = object
                .schema
                .get("properties")
                .and_then(|properties| properties.get(name));
            let Some(next) = next else {
                return Err(self.unknown_field(object, &walked, name));
            };
            walked = format!("{walked}.{name}");
            schema = self.resolve(next);
            field = Some((name, next));
        }
        let mut text = String::new();
        if !resource.group.is_empty() {
            text.push_str(&format!("GROUP:      {}\n", resource.group));
        }
        text.push_str(&format!(
            "KIND:       {}\nVERSION:    {}\n\n",
            resource.kind, resource.version
        ));
        if let Some((name, raw)) = field {
            text.push_str(&format!(
                "FIELD: {} <{}>\n",
                printable(name),
                self.type_name(raw)
            ));
            text.push_str(&enumeration(schema.schema));
            text.push_str(&default(raw, schema.schema));
            text.push('\n');
        }
        text.push_str("DESCRIPTION:\n");
        let own = schema.description.or_else(|| description(schema.schema));
        let element = self.element(schema);
        let of_type = description(element.schema);
        text.push_str(&wrapped(own.or(of_type).unwrap_or("<empty>"), 4));
        if let (Some(own), Some(of_type)) = (own, of_type)
            && own != of_type
        {
            text.push('\n');
            text.push_str(&wrapped(of_type, 4));
        }
        let mut fields = String::new();
        let mut left = MAX_FIELDS;
        self.fields(element, 1, recursive, &mut left, &mut fields);
        if !fields.is_empty() {
            text.push_str("\nFIELDS:\n");
            text.push_str(&fields);
        }
        Ok(text)
    }

    /// The schema that says it is the type's.
    fn of_resource(&self, resource: &Resource) -> Result<Schema<'_>, Failure> {
        let schemas = self
            .root
            .pointer("/components/schemas")
            .and_then(Value::as_object);
        let is_it = |schema: &Value| {
            let kinds = schema
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_array);
            kinds.into_iter().flatten().any(|kind| {
                let text = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
                text("group") == resource.group
                    && text("version") == resource.version
                    && text("kind") == resource.kind
            })
        };
        schemas
            .into_iter()
            .flatten()
            .find(|(_, schema)| is_it(schema))
            .map(|(name, schema)| Schema {
                schema,
                description: None,
                name: Some(name),
            })
            .ok_or_else(|| {
                Failure::new(format!(
                    "the server does not describe {} of {}",
                    resource.kind,
                    resource.api_version()
                ))
            })
    }

    /// Follows references, also those that stand in an `allOf` to have a description beside them.
    fn resolve<'a>(&'a self, value: &'a Value) -> Schema<'a> {
        let mut found = Schema {
            schema: value,
            description: description(value),
            name: None,
        };
        for _ in 0..MAX_REFERENCES {
            let only = found
                .schema
                .get("allOf")
                .and_then(Value::as_array)
                .map(Vec::as_slice);
            let next = match only {
                Some([only]) => only,
                _ => found.schema,
            };
            let Some(reference) = next.get("$ref").and_then(Value::as_str) else {
                found.schema = next;
                return found;
            };
            let Some(schema) = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
            else {
                return found;
            };
            found.name = reference.rsplit('/').next();
            found.schema = schema;
        }
        found
    }

    /// The schema whose fields matter: of a list its items', of a map its values'.
    fn element<'a>(&'a self, schema: Schema<'a>) -> Schema<'a> {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            let values = schema
                .schema
                .get("additionalProperties")
                .filter(|values| values.is_object());
            match schema.schema.get("items").or(values) {
                Some(inner) => schema = self.resolve(inner),
                None => break,
            }
        }
        schema
    }

    fn fields(
        &self,
        schema: Schema<'_>,
        level: usize,
        recursive: bool,
        left: &mut usize,
        out: &mut String,
    ) {
        let Some(properties) = schema.schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let required: Vec<&str> = schema
            .schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let indent = "  ".repeat(level);
        for (name, raw) in properties {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let field = self.resolve(raw);
            let mark = if required.contains(&name.as_str()) {
                " -required-"
            } else {
                ""
            };
            out.push_str(&format!(
                "{indent}{}\t<{}>{mark}\n",
                printable(name),
                self.type_name(raw)
            ));
            let values = enumeration(field.schema);
            if !values.is_empty() {
                out.push_str(&format!("{indent}{}\n", values.trim_end()));
            }
            if recursive {
                if level < MAX_LEVELS {
                    self.fields(self.element(field), level + 1, true, left, out);
                }
                continue;
            }
            let text = field
                .description
                .or_else(|| description(self.element(field).schema));
            out.push_str(&wrapped(text.unwrap_or("<no description>"), 4));
            out.push('\n');
        }
    }

    /// `string`, `[]Container`, `map[string]string`, …
    fn type_name(&self, raw: &Value) -> String {
        let mut prefix = String::new();
        let mut schema = self.resolve(raw);
        for _ in 0..MAX_REFERENCES {
            if let Some(items) = schema.schema.get("items") {
                prefix.push_str("[]");
                schema = self.resolve(items);
            } else if let Some(values) = schema
                .schema
                .get("additionalProperties")
                .filter(|values| values.is_object())
            {
                prefix.push_str("map[string]");
                schema = self.resolve(values);
            } else {
                break;
            }
        }
        let plain = schema.schema.get("type").and_then(Value::as_str);
        let name = match (plain, schema.name) {
            (Some("object") | None, Some(name)) => name.rsplit('.').next().unwrap_or(name),
            (Some("object"), None) => "Object",
            (Some(plain), _) => plain,
            (None, None) if schema.schema.get("x-kubernetes-int-or-string").is_some() => {
                "IntOrString"
            }
            (None, None) => "Object",
        };
        format!("{prefix}{}", printable(name))
    }

    fn unknown_field(&self, schema: Schema<'_>, walked: &str, name: &str) -> Failure {
        let failure = Failure::new(format!("{walked} has no field `{name}`"));
        let properties = schema.schema.get("properties").and_then(Value::as_object);
        let known = || {
            properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
        };
        if known().next().is_none() {
            return failure.hint(format!("{walked} has no fields that the server describes"));
        }
        match did_you_mean(name, known()) {
            Some(hint) => failure.hint(hint),
            None => failure.hint(format!("`mos explain {walked}` lists its fields")),
        }
    }
}

fn description(schema: &Value) -> Option<&str> {
    schema
        .get("description")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// What a field is if nothing is said; beside a reference it is the field's own.
fn default(field: &Value, schema: &Value) -> String {
    match field.get("default").or_else(|| schema.get("default")) {
        // Go's zero values of what is required are no defaults that anybody chose.
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(fields)) if fields.is_empty() => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(value) => format!("DEFAULT: {}\n", printable(&value.to_string())),
    }
}

fn enumeration(schema: &Value) -> String {
    let values: Vec<String> = schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), |text| printable(text).into_owned())
        })
        .collect();
    if values.is_empty() {
        String::new()
    } else {
        format!("ENUM: {}\n", values.join(", "))
    }
}

/// A text in lines of readable width, indented; its paragraphs and lists keep their lines.
fn wrapped(text: &str, indent: usize) -> String {
    let space = " ".repeat(indent);
    let mut out = String::new();
    for paragraph in printable_lines(text).trim().lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH
            {
                out.push_str(&format!("{space}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push_str(&if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("{space}{line}\n")
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        Document::new(json!({"components": {"schemas": {
            "io.example.Car": {
                "description": "Car is driven.",
                "x-kubernetes-group-version-kind": [{"group": "example.io", "version": "v1", "kind": "Car"}],
                "type": "object", "required": ["spec"],
                "properties": {
                    "spec": {"description": "What is wanted.", "allOf": [{"$ref": "#/components/schemas/io.example.CarSpec"}]},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
            "io.example.CarSpec": {
                "description": "CarSpec is a spec.", "type": "object",
                "properties": {
                    "wheels": {"type": "array", "items": {"$ref": "#/components/schemas/io.example.Wheel"}},
                    "color": {"type": "string", "enum": ["red", "blue"]},
                    "self": {"$ref": "#/components/schemas/io.example.CarSpec"},
                    "loop": {"$ref": "#/components/schemas/io.example.Loop"},
                },
            },
            "io.example.Wheel": {"type": "object", "properties": {"size": {"type": "integer", "description": "In inches."}}},
            "io.example.Loop": {"$ref": "#/components/schemas/io.example.Loop"},
        }}}))
    }

    fn car() -> Resource {
        Resource {
            group: "example.io".into(),
            version: "v1".into(),
            kind: "Car".into(),
            plural: "cars".into(),
            ..Resource::default()
        }
    }

    fn explain(path: &str, recursive: bool) -> Result<String, Failure> {
        let path: Vec<String> = path
            .split('.')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        document().explain(&car(), &path, recursive)
    }

    #[test]
    fn a_type_is_explained_with_its_fields() {
        let text = explain("", false).unwrap();
        assert!(text.starts_with("GROUP:      example.io\nKIND:       Car\nVERSION:    v1\n\nDESCRIPTION:\n    Car is driven.\n"), "{text}");
        assert!(
            text.contains("  spec\t<CarSpec> -required-\n    What is wanted.\n"),
            "{text}"
        );
        assert!(text.contains("  labels\t<map[string]string>\n"), "{text}");
    }

    #[test]
    fn a_field_is_explained_through_lists_and_references() {
        let text = explain("spec.wheels", false).unwrap();
        assert!(text.contains("FIELD: wheels <[]Wheel>\n"), "{text}");
        assert!(
            text.contains("  size\t<integer>\n    In inches.\n"),
            "{text}"
        );
        let text = explain("spec", false).unwrap();
        assert!(
            text.contains("    What is wanted.\n\n    CarSpec is a spec.\n"),
            "{text}"
        );
        let text = explain("spec.color", false).unwrap();
        assert!(text.contains("ENUM: red, blue\n"), "{text}");
    }

    #[test]
    fn schemas_that_contain_themselves_come_to_an_end() {
        let text = explain("", true).unwrap();
        assert!(text.contains("      size\t<integer>\n"), "{text}");
        assert!(text.lines().count() < 1_000);
    }

    #[test]
    fn an_unknown_field_is_answered_with_a_near_one() {
        let failure = explain("spec.colour", false).unwrap_err();
        assert!(
            failure
                .message()
                .contains("car.example.io.spec has no field `colour`"),
            "{failure}"
        );
        assert!(format!("{failure:?}").contains("`color`"), "{failure:?}");
        assert!(explain("spec.color.x", false).is_err());
    }
}
