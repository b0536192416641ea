//! The Swagger 2.0 document as protobuf: gnostic's `openapi.v2.Document`, which is what Go clients ask
//! for under [`super::V2_PROTOBUF`].
//!
//! Only the messages that [`super::v2_document`] makes use of are written. Maps are lists of names
//! and values in that format; vendor extensions are YAML text, of which JSON is a part.

use serde_json::{Map, Value};

/// Encodes a document of [`super::v2_document`].
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    if let Some(info) = document.get("info") {
        let mut message = Message::default();
        message.text(1, info.get("title"));
        message.text(2, info.get("version"));
        out.message(2, message);
    }
    let mut paths = Message::default();
    for (path, item) in entries(document.get("paths")) {
        paths.named(2, path, path_item(item));
    }
    out.message(8, paths);
    let mut definitions = Message::default();
    for (name, definition) in entries(document.get("definitions")) {
        definitions.named(1, name, schema(definition));
    }
    out.message(9, definitions);
    out.0
}

/// A message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, message: Self) {
        self.bytes(field, &message.0);
    }

    /// An entry of a map: a name and a message.
    fn named(&mut self, field: u32, name: &str, value: Self) {
        let mut entry = Self::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, value);
        self.message(field, entry);
    }

    fn text(&mut self, field: u32, value: Option<&Value>) {
        if let Some(Value::String(text)) = value {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u32, value: Option<&Value>) {
        for item in value.and_then(Value::as_array).into_iter().flatten() {
            self.text(field, Some(item));
        }
    }

    fn flag(&mut self, field: u32, value: Option<&Value>) {
        if value == Some(&Value::Bool(true)) {
            self.varint(u64::from(field) << 3);
            self.varint(1);
        }
    }

    fn count(&mut self, field: u32, value: Option<&Value>) {
        if let Some(count) = value.and_then(Value::as_u64) {
            self.varint(u64::from(field) << 3);
            self.varint(count);
        }
    }

    fn double(&mut self, field: u32, value: Option<&Value>) {
        if let Some(number) = value.and_then(Value::as_f64) {
            self.varint(u64::from(field) << 3 | 1);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// A value of any type: YAML text.
    fn any(&mut self, field: u32, value: Option<&Value>) {
        if let Some(value) = value {
            self.message(field, any(value));
        }
    }

    fn extensions(&mut self, field: u32, map: &Value) {
        for (name, value) in entries(Some(map)).filter(|(name, _)| name.starts_with("x-")) {
            self.named(field, name, any(value));
        }
    }
}

fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, format!("{value}\n").as_bytes());
    message
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    let methods = [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ];
    for (field, method) in methods {
        if let Some(found) = item.get(method) {
            out.message(field, operation(found));
        }
    }
    parameters(&mut out, 9, item.get("parameters"));
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, operation.get("tags"));
    out.text(3, operation.get("description"));
    out.text(5, operation.get("operationId"));
    out.texts(6, operation.get("produces"));
    out.texts(7, operation.get("consumes"));
    parameters(&mut out, 8, operation.get("parameters"));
    let mut responses = Message::default();
    for (code, answer) in entries(operation.get("responses")) {
        let mut response = Message::default();
        response.text(1, answer.get("description"));
        if let Some(found) = answer.get("schema") {
            let mut item = Message::default();
            item.message(1, schema(found));
            response.message(2, item);
        }
        let mut value = Message::default();
        value.message(1, response);
        responses.named(1, code, value);
    }
    out.message(9, responses);
    out.texts(10, operation.get("schemes"));
    out.extensions(13, operation);
    out
}

fn parameters(out: &mut Message, field: u32, found: Option<&Value>) {
    for parameter in found.and_then(Value::as_array).into_iter().flatten() {
        let mut inner = Message::default();
        let place = parameter
            .get("in")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if place == "body" {
            inner.message(1, body_parameter(parameter));
        } else {
            let mut kind = Message::default();
            let path = place == "path";
            kind.message(if path { 4 } else { 3 }, plain_parameter(parameter, path));
            inner.message(2, kind);
        }
        let mut item = Message::default();
        item.message(1, inner);
        out.message(field, item);
    }
}

fn body_parameter(parameter: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, parameter.get("description"));
    out.text(2, parameter.get("name"));
    out.text(3, parameter.get("in"));
    out.flag(4, parameter.get("required"));
    if let Some(found) = parameter.get("schema") {
        out.message(5, schema(found));
    }
    out
}

/// A parameter of the path or of the query; the latter's fields after the fourth are one further on.
fn plain_parameter(parameter: &Value, path: bool) -> Message {
    let shift = if path { 0 } else { 1 };
    let mut out = Message::default();
    out.flag(1, parameter.get("required"));
    out.text(2, parameter.get("in"));
    out.text(3, parameter.get("description"));
    out.text(4, parameter.get("name"));
    out.text(5 + shift, parameter.get("type"));
    out.text(6 + shift, parameter.get("format"));
    out.flag(19 + shift, parameter.get("uniqueItems"));
    out
}

fn schema(found: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, found.get("$ref"));
    out.text(2, found.get("format"));
    out.text(3, found.get("title"));
    out.text(4, found.get("description"));
    out.any(5, found.get("default"));
    out.double(6, found.get("multipleOf"));
    out.double(7, found.get("maximum"));
    out.flag(8, found.get("exclusiveMaximum"));
    out.double(9, found.get("minimum"));
    out.flag(10, found.get("exclusiveMinimum"));
    out.count(11, found.get("maxLength"));
    out.count(12, found.get("minLength"));
    out.text(13, found.get("pattern"));
    out.count(14, found.get("maxItems"));
    out.count(15, found.get("minItems"));
    out.count(17, found.get("maxProperties"));
    out.count(18, found.get("minProperties"));
    out.texts(19, found.get("required"));
    for choice in found
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        out.any(20, Some(choice));
    }
    match found.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut item = Message::default();
            item.varint(2 << 3);
            item.varint(u64::from(*allowed));
            out.message(21, item);
        }
        Some(inner) => {
            let mut item = Message::default();
            item.message(1, schema(inner));
            out.message(21, item);
        }
        None => {}
    }
    if let Some(Value::String(name)) = found.get("type") {
        let mut item = Message::default();
        item.bytes(1, name.as_bytes());
        out.message(22, item);
    }
    if let Some(inner) = found.get("items") {
        let mut item = Message::default();
        item.message(1, schema(inner));
        out.message(23, item);
    }
    if let Some(properties) = found.get("properties") {
        let mut message = Message::default();
        for (name, inner) in entries(Some(properties)) {
            message.named(1, name, schema(inner));
        }
        out.message(25, message);
    }
    out.extensions(31, found);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wire_format_is_protobufs() {
        let bytes = encode(&json!({"swagger": "2.0", "info": {"title": "T", "version": "v"}}));
        assert_eq!(
            bytes,
            [
                &b"\x0a\x032.0"[..],
                b"\x12\x06\x0a\x01T\x12\x01v",
                b"\x42\x00",
                b"\x4a\x00"
            ]
            .concat()
        );
        let text = schema(&json!({"type": "string", "maxLength": 300, "x-a": 1}));
        assert_eq!(
            text.0,
            [
                &b"\x58\xac\x02"[..],
                b"\xb2\x01\x08\x0a\x06string",
                b"\xfa\x01\x0b\x0a\x03x-a\x12\x04\x12\x021\n"
            ]
            .concat()
        );
    }
}
