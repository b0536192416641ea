//! The other direction, for tests only: from a JSON value to the bytes that Go would write.

use base64::{Engine, engine::general_purpose::STANDARD};
use mosaic_schema::{Shape, StringFormat, Type};
use serde_json::Value;

use crate::{
    numbers::{self, Mark, Numbered},
    schema_props::{Kind, Row, SCHEMA},
};

/// A message in the making.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, number: u32, value: u64) {
        self.varint(u64::from(number) << 3);
        self.varint(value);
    }

    pub(super) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn double(&mut self, number: u32, value: f64) {
        self.varint(u64::from(number) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// A whole body.
pub(super) fn body(ty: &Type, value: &Value) -> Vec<u8> {
    let mut meta = Message::default();
    meta.bytes(1, value["apiVersion"].as_str().unwrap().as_bytes());
    meta.bytes(2, value["kind"].as_str().unwrap().as_bytes());
    let mut envelope = Message::default();
    envelope.bytes(1, &meta.0);
    envelope.bytes(2, &object(ty, value));
    [b"k8s\0", &envelope.0[..]].concat()
}

fn object(ty: &Type, value: &Value) -> Vec<u8> {
    let mut out = Message::default();
    let numbers = numbers::find(ty.name.as_deref().unwrap()).unwrap();
    fields(&mut out, ty, &numbers, value);
    out.0
}

fn fields(out: &mut Message, ty: &Type, numbers: &[Numbered], value: &Value) {
    for field in numbers {
        if field.mark == Mark::Inline {
            let mut inner = Message::default();
            fields(&mut inner, ty, &numbers::find(field.name).unwrap(), value);
            out.bytes(field.number, &inner.0);
        } else if let (Some(declared), Some(value)) = (ty.field(field.name), value.get(field.name))
        {
            single(out, field.number, field, &declared.ty, value);
        }
    }
}

fn single(out: &mut Message, number: u32, field: &Numbered, ty: &Type, value: &Value) {
    match &ty.shape {
        Shape::Any if field.mark == Mark::SchemaProps => {
            out.bytes(number, &rows(SCHEMA, value));
        }
        Shape::Any => only(out, number, value.to_string().as_bytes()),
        Shape::String(StringFormat::Plain) => {
            out.bytes(number, value.as_str().unwrap().as_bytes());
        }
        Shape::String(StringFormat::Byte) => {
            out.bytes(number, &STANDARD.decode(value.as_str().unwrap()).unwrap());
        }
        Shape::String(StringFormat::DateTime) => {
            let moment: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
            let seconds = moment.as_nanosecond().div_euclid(1_000_000_000);
            let nanoseconds = moment.as_nanosecond().rem_euclid(1_000_000_000);
            let mut time = Message::default();
            time.number(1, seconds as u64);
            time.number(2, nanoseconds as u64);
            out.bytes(number, &time.0);
        }
        Shape::Boolean => out.number(number, value.as_bool().unwrap().into()),
        Shape::Int32 | Shape::Int64 => out.number(number, value.as_i64().unwrap() as u64),
        Shape::Number => out.double(number, value.as_f64().unwrap()),
        Shape::IntOrString => {
            let mut inner = Message::default();
            inner.number(1, value.is_string().into());
            inner.number(2, value.as_i64().unwrap_or_default() as u64);
            inner.bytes(3, value.as_str().unwrap_or_default().as_bytes());
            out.bytes(number, &inner.0);
        }
        Shape::Quantity => only(out, number, value.as_str().unwrap().as_bytes()),
        Shape::Object(_) => out.bytes(number, &object(ty, value)),
        Shape::List(list) => {
            for item in value.as_array().unwrap() {
                single(out, number, field, &list.items, item);
            }
        }
        Shape::Map(map) => {
            for (key, value) in value.as_object().unwrap() {
                let mut entry = Message::default();
                entry.bytes(1, key.as_bytes());
                if let Shape::List(_) = map.values.shape {
                    let mut wrapper = Message::default();
                    single(&mut wrapper, 1, field, &map.values, value);
                    entry.bytes(2, &wrapper.0);
                } else {
                    single(&mut entry, 2, field, &map.values, value);
                }
                out.bytes(number, &entry.0);
            }
        }
    }
}

fn only(out: &mut Message, number: u32, bytes: &[u8]) {
    let mut inner = Message::default();
    inner.bytes(1, bytes);
    out.bytes(number, &inner.0);
}

fn rows(rows: &[Row], value: &Value) -> Vec<u8> {
    let mut out = Message::default();
    for &(number, name, kind) in rows {
        if let Some(value) = value.get(name) {
            row(&mut out, number, kind, value);
        }
    }
    out.0
}

fn row(out: &mut Message, number: u32, kind: Kind, value: &Value) {
    match kind {
        Kind::Text | Kind::KeptText => out.bytes(number, value.as_str().unwrap().as_bytes()),
        Kind::Bool | Kind::KeptBool => out.number(number, value.as_bool().unwrap().into()),
        Kind::Int => out.number(number, value.as_i64().unwrap() as u64),
        Kind::Double => out.double(number, value.as_f64().unwrap()),
        Kind::Json => only(out, number, value.to_string().as_bytes()),
        Kind::Schema => out.bytes(number, &rows(SCHEMA, value)),
        Kind::Message(inner) => out.bytes(number, &rows(inner, value)),
        Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrNames => {
            let mut choice = Message::default();
            let schema = if kind == Kind::SchemaOrBool { 2 } else { 1 };
            match value {
                Value::Bool(allows) => choice.number(1, u64::from(*allows)),
                Value::Array(items) => {
                    for item in items {
                        let inner = match kind {
                            Kind::SchemaOrNames => Kind::KeptText,
                            _ => Kind::Schema,
                        };
                        row(&mut choice, 2, inner, item);
                    }
                }
                _ => row(&mut choice, schema, Kind::Schema, value),
            }
            out.bytes(number, &choice.0);
        }
        Kind::List(inner) => {
            for item in value.as_array().unwrap() {
                row(out, number, *inner, item);
            }
        }
        Kind::Map(inner) => {
            for (key, value) in value.as_object().unwrap() {
                let mut entry = Message::default();
                entry.bytes(1, key.as_bytes());
                row(&mut entry, 2, *inner, value);
                out.bytes(number, &entry.0);
            }
        }
    }
}
