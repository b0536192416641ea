//! Objects of any type, made up from a number.

use base64::{Engine, engine::general_purpose::STANDARD};
use mosaic_schema::{Shape, StringFormat, Type};
use serde_json::{Map as JsonMap, Value, json};

use crate::numbers::{self, Mark, Numbered};

/// The same numbers for the same seed.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

/// An object that stays the same on its way through the wire: without zeros that JSON leaves out, and
/// without empty lists and maps.
pub(super) fn object(ty: &Type, numbers: &mut Numbers) -> Value {
    let mut object = JsonMap::new();
    let table = numbers::find(ty.name.as_deref().unwrap()).unwrap();
    fields(ty, &table, &mut object, numbers);
    Value::Object(object)
}

fn fields(
    ty: &Type,
    table: &[Numbered],
    object: &mut JsonMap<String, Value>,
    numbers: &mut Numbers,
) {
    for field in table {
        if field.mark == Mark::Inline {
            fields(ty, &numbers::find(field.name).unwrap(), object, numbers);
        } else if let (Some(declared), true) = (ty.field(field.name), numbers.one_in(3)) {
            object.insert(
                field.name.to_owned(),
                single(&declared.ty, field, numbers, true),
            );
        }
    }
}

fn single(ty: &Type, field: &Numbered, numbers: &mut Numbers, may_be_absent: bool) -> Value {
    let zero = numbers.one_in(3) && (field.keep_zero || !may_be_absent);
    match &ty.shape {
        Shape::Any if field.mark == Mark::SchemaProps => schema(numbers, 3),
        Shape::Any => json!({"f:metadata": {"f:labels": {"": {}}}, "n": [numbers.next(), null]}),
        Shape::String(StringFormat::Plain) if zero => json!(""),
        Shape::String(StringFormat::Plain) => json!(format!("té{}", numbers.next())),
        Shape::String(StringFormat::Byte) if zero => json!(""),
        Shape::String(StringFormat::Byte) => json!(STANDARD.encode(numbers.next().to_le_bytes())),
        Shape::String(StringFormat::DateTime) => {
            let seconds = (numbers.next() % 300_000_000_000) as i64 - 50_000_000_000;
            let moment = jiff::Timestamp::from_second(seconds).unwrap();
            json!(match field.mark {
                Mark::Microseconds => moment.strftime("%Y-%m-%dT%H:%M:%S.000420Z").to_string(),
                _ => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            })
        }
        Shape::Boolean => json!(!zero),
        Shape::Int32 if zero => json!(0),
        Shape::Int32 => json!(numbers.next() as i32 | 1),
        Shape::Int64 if zero => json!(0),
        Shape::Int64 => json!(numbers.next() as i64 | 1),
        Shape::Number => json!(1.5),
        Shape::IntOrString if numbers.one_in(2) => json!("25%"),
        Shape::IntOrString => json!(numbers.next() as i32),
        Shape::Quantity => json!(format!("{}m", numbers.next() % 1000)),
        Shape::Object(_) => object(ty, numbers),
        Shape::List(list) => (0..=numbers.next() % 3)
            .map(|_| single(&list.items, field, numbers, false))
            .collect(),
        Shape::Map(map) => (0..=numbers.next() % 3)
            .map(|at| (format!("k{at}"), single(&map.values, field, numbers, false)))
            .collect(),
    }
}

/// A schema of a custom kind.
fn schema(numbers: &mut Numbers, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return json!({"$ref": "", "nullable": true});
    };
    match numbers.next() % 6 {
        0 => json!({"items": schema(numbers, depth), "maxItems": 0, "minimum": -0.5}),
        1 => json!({"items": [schema(numbers, depth), {}], "enum": [1, "a", null, {"b": []}]}),
        2 => json!({"additionalProperties": false, "additionalItems": schema(numbers, depth)}),
        3 => {
            json!({"dependencies": {"a": ["b", ""], "c": schema(numbers, depth)}, "default": null})
        }
        4 => json!({
            "x-kubernetes-preserve-unknown-fields": false,
            "x-kubernetes-validations": [{"rule": "", "optionalOldSelf": false}],
            "externalDocs": {"url": "u"},
            "allOf": [schema(numbers, depth)],
            "not": schema(numbers, depth),
        }),
        _ => json!({
            "type": "object",
            "required": ["a"],
            "maximum": 9_007_199_254_740_991_i64,
            "properties": {"a": schema(numbers, depth), "b": schema(numbers, depth)},
        }),
    }
}
