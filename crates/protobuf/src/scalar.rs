//! Values without fields of their own, and messages that are such a value in JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::{
    Problem, ProtobufError,
    wire::{Reader, Wire},
};

type Result<T> = std::result::Result<T, ProtobufError>;

pub(crate) fn problem(field: &str, problem: Problem) -> ProtobufError {
    ProtobufError::Field {
        field: field.to_owned(),
        problem,
    }
}

pub(crate) fn bytes<'a>(field: &str, wire: Wire<'a>) -> Result<&'a [u8]> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(problem(field, Problem::WireType)),
    }
}

pub(crate) fn text<'a>(field: &str, wire: Wire<'a>) -> Result<&'a str> {
    std::str::from_utf8(bytes(field, wire)?).map_err(|_| problem(field, Problem::Utf8))
}

pub(crate) fn varint(field: &str, wire: Wire<'_>) -> Result<u64> {
    match wire {
        Wire::Varint(value) => Ok(value),
        _ => Err(problem(field, Problem::WireType)),
    }
}

/// Negative numbers are written as 64 bits of two's complement, whatever their own width.
pub(crate) fn int64(value: u64) -> i64 {
    value.cast_signed()
}

/// As [`int64`]; higher bits are cut off, as Go does.
pub(crate) fn int32(value: u64) -> i32 {
    value as i32
}

/// A double. Whole ones become integers, as which JSON of Go programs writes them.
pub(crate) fn double(field: &str, wire: Wire<'_>) -> Result<Value> {
    let Wire::Fixed64(bits) = wire else {
        return Err(problem(field, Problem::WireType));
    };
    let value = f64::from_bits(bits);
    // Below 2^53 every whole double is exactly its integer.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Ok(Value::from(value as i64));
    }
    Number::from_f64(value)
        .map(Value::Number)
        .ok_or_else(|| problem(field, Problem::Number))
}

pub(crate) fn base64(field: &str, wire: Wire<'_>) -> Result<String> {
    Ok(STANDARD.encode(bytes(field, wire)?))
}

/// The only field of messages such as `Quantity`.
pub(crate) fn only<'a>(field: &str, wire: Wire<'a>) -> Result<&'a [u8]> {
    let mut found: &[u8] = &[];
    let mut reader = Reader::new(bytes(field, wire)?);
    while let Some((number, wire)) = reader.next()? {
        if number == 1 {
            found = bytes(field, wire)?;
        }
    }
    Ok(found)
}

/// `Quantity`, whose zero is "0".
pub(crate) fn quantity(field: &str, wire: Wire<'_>) -> Result<Value> {
    match text(field, Wire::Bytes(only(field, wire)?))? {
        "" => Ok(Value::from("0")),
        text => Ok(Value::from(text)),
    }
}

/// `RawExtension`, `FieldsV1` and `JSON`: JSON text of at most that many levels. No text is `null`.
pub(crate) fn json(field: &str, wire: Wire<'_>, depth: usize) -> Result<Value> {
    let text = only(field, wire)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let value = mosaic_schema::parse(text)
        .map_err(|_| problem(field, Problem::Json))?
        .value;
    if levels(&value) > depth {
        return Err(ProtobufError::TooDeep {
            limit: crate::MAX_DEPTH,
        });
    }
    Ok(value)
}

/// How deep a value is nested; the parser has bounded it.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or_default(),
        _ => 0,
    }
}

/// `IntOrString`.
pub(crate) fn int_or_string(field: &str, wire: Wire<'_>) -> Result<Value> {
    let (mut is_text, mut number, mut string) = (false, 0, "");
    let mut reader = Reader::new(bytes(field, wire)?);
    while let Some((tag, wire)) = reader.next()? {
        match tag {
            1 => is_text = varint(field, wire)? != 0,
            2 => number = int32(varint(field, wire)?),
            3 => string = text(field, wire)?,
            _ => {}
        }
    }
    Ok(if is_text {
        Value::from(string)
    } else {
        Value::from(number)
    })
}

/// `Time` or `MicroTime`: RFC 3339 with seconds or microseconds. An empty message is no time: `null`.
pub(crate) fn time(field: &str, wire: Wire<'_>, microseconds: bool) -> Result<Value> {
    let message = bytes(field, wire)?;
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => seconds = int64(varint(field, wire)?),
            2 => nanoseconds = int32(varint(field, wire)?),
            _ => {}
        }
    }
    let wrong = || problem(field, Problem::Time);
    if !(0..1_000_000_000).contains(&nanoseconds) {
        return Err(wrong());
    }
    let moment = Timestamp::from_second(seconds).map_err(|_| wrong())?;
    let written = moment.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    // Years before 0 are written with a sign.
    if written.len() != 19 || !written.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong());
    }
    Ok(Value::from(if microseconds {
        format!("{written}.{:06}Z", nanoseconds / 1000)
    } else {
        format!("{written}Z")
    }))
}
