//! The walk along a structural type.

use std::sync::Arc;

use mosaic_schema::{List, Map, Shape, StringFormat, Type};
use serde_json::{Map as JsonMap, Value};

use crate::{
    MAX_DEPTH, MAX_VALUES, Problem, ProtobufError,
    numbers::{self, Mark, Numbered},
    scalar::{self, problem},
    wire::{Reader, Wire},
};

type Result<T> = std::result::Result<T, ProtobufError>;

/// What has been read of one body.
#[derive(Default)]
pub(crate) struct Decoder {
    values: usize,
}

/// One level of nesting less.
pub(crate) fn deeper(depth: usize) -> Result<usize> {
    depth
        .checked_sub(1)
        .ok_or(ProtobufError::TooDeep { limit: MAX_DEPTH })
}

impl Decoder {
    /// Counts one more value.
    pub(crate) fn count(&mut self) -> Result<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(ProtobufError::TooMany { limit: MAX_VALUES });
        }
        Ok(())
    }

    /// Reads a message into an object, which may hold what stood earlier in the body.
    pub(crate) fn object(
        &mut self,
        ty: &Type,
        message: &[u8],
        object: &mut JsonMap<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let depth = deeper(depth)?;
        match ty.name.as_deref().and_then(numbers::find) {
            Some(numbers) => self.fields(ty, &numbers, message, object, depth),
            None => Ok(()),
        }
    }

    fn fields(
        &mut self,
        ty: &Type,
        numbers: &[Numbered],
        message: &[u8],
        object: &mut JsonMap<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let mut reader = Reader::new(message);
        while let Some((number, wire)) = reader.next()? {
            let field = numbers
                .binary_search_by_key(&number, |field| field.number)
                .ok()
                .and_then(|at| numbers.get(at));
            if let Some(field) = field {
                self.field(ty, field, wire, object, depth)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        ty: &Type,
        field: &Numbered,
        wire: Wire<'_>,
        object: &mut JsonMap<String, Value>,
        depth: usize,
    ) -> Result<()> {
        if field.mark == Mark::Inline {
            let message = scalar::bytes(field.name, wire)?;
            return match numbers::find(field.name) {
                Some(numbers) => self.fields(ty, &numbers, message, object, depth),
                None => Ok(()),
            };
        }
        let Some(declared) = ty.field(field.name) else {
            return Ok(());
        };
        let ty: &Arc<Type> = &declared.ty;
        match &ty.shape {
            Shape::List(list) => {
                let slot = object
                    .entry(field.name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = slot {
                    self.items(list, field, wire, items, deeper(depth)?)?;
                }
            }
            Shape::Map(inner) => {
                let slot = object
                    .entry(field.name)
                    .or_insert_with(|| Value::Object(JsonMap::new()));
                if let Value::Object(map) = slot {
                    self.entry(inner, field, wire, map, deeper(depth)?)?;
                }
            }
            _ => {
                let before = object.remove(field.name);
                let value = self.single(ty, field, wire, before, depth)?;
                if field.keep_zero && !value.is_null() || !is_absent(&ty.shape, &value) {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// Reads one item of a list, or several where scalars are packed.
    fn items(
        &mut self,
        list: &List,
        field: &Numbered,
        wire: Wire<'_>,
        items: &mut Vec<Value>,
        depth: usize,
    ) -> Result<()> {
        let packs = matches!(
            list.items.shape,
            Shape::Boolean | Shape::Int32 | Shape::Int64
        );
        if let (true, Wire::Bytes(packed)) = (packs, wire) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let wire = Wire::Varint(reader.varint()?);
                items.push(self.single(&list.items, field, wire, None, depth)?);
            }
            return Ok(());
        }
        items.push(self.single(&list.items, field, wire, None, depth)?);
        Ok(())
    }

    /// Reads one entry of a map.
    fn entry(
        &mut self,
        inner: &Map,
        field: &Numbered,
        wire: Wire<'_>,
        map: &mut JsonMap<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let (mut key, mut value) = ("", None);
        let mut reader = Reader::new(scalar::bytes(field.name, wire)?);
        while let Some((number, wire)) = reader.next()? {
            match number {
                1 => key = scalar::text(field.name, wire)?,
                2 => {
                    let before = value.take();
                    value = Some(self.single(&inner.values, field, wire, before, depth)?);
                }
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            // An entry without a value has its type's zero, which is that of an empty message.
            None => self.single(&inner.values, field, zero(&inner.values), None, depth)?,
        };
        map.insert(key.to_owned(), value);
        Ok(())
    }

    /// Reads a value that is not repeated; `null` is none. Messages add to what stood before.
    fn single(
        &mut self,
        ty: &Type,
        field: &Numbered,
        wire: Wire<'_>,
        before: Option<Value>,
        depth: usize,
    ) -> Result<Value> {
        self.count()?;
        let name = field.name;
        Ok(match &ty.shape {
            Shape::Any if field.mark == Mark::SchemaProps => {
                self.schema_props(scalar::bytes(name, wire)?, before, depth)?
            }
            Shape::Any => scalar::json(name, wire, depth)?,
            Shape::String(StringFormat::Plain) => Value::from(scalar::text(name, wire)?),
            Shape::String(StringFormat::Byte) => Value::from(scalar::base64(name, wire)?),
            Shape::String(StringFormat::DateTime) => {
                scalar::time(name, wire, field.mark == Mark::Microseconds)?
            }
            Shape::Boolean => Value::from(scalar::varint(name, wire)? != 0),
            Shape::Int32 => Value::from(scalar::int32(scalar::varint(name, wire)?)),
            Shape::Int64 => Value::from(scalar::int64(scalar::varint(name, wire)?)),
            Shape::Number => scalar::double(name, wire)?,
            Shape::IntOrString => scalar::int_or_string(name, wire)?,
            Shape::Quantity => scalar::quantity(name, wire)?,
            Shape::Object(_) => {
                let mut object = match before {
                    Some(Value::Object(object)) => object,
                    _ => JsonMap::new(),
                };
                self.object(ty, scalar::bytes(name, wire)?, &mut object, depth)?;
                Value::Object(object)
            }
            // A list within a map or a list is a message with the items, such as `ExtraValue`.
            Shape::List(list) => {
                let depth = deeper(depth)?;
                let mut items = match before {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                let mut reader = Reader::new(scalar::bytes(name, wire)?);
                while let Some((number, wire)) = reader.next()? {
                    if number == 1 {
                        self.items(list, field, wire, &mut items, depth)?;
                    }
                }
                Value::Array(items)
            }
            // No built-in kind has a map within a map or a list.
            Shape::Map(_) => return Err(problem(name, Problem::WireType)),
        })
    }
}

/// How the zero of a type stands on the wire.
fn zero(ty: &Type) -> Wire<'static> {
    match ty.shape {
        Shape::Boolean | Shape::Int32 | Shape::Int64 => Wire::Varint(0),
        Shape::Number => Wire::Fixed64(0),
        _ => Wire::Bytes(&[]),
    }
}

/// Whether a value is what JSON leaves out. Messages never are: `{}` is what JSON has for them too.
fn is_absent(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null) => true,
        (Shape::String(_), Value::String(text)) => text.is_empty(),
        (Shape::Boolean, Value::Bool(is_true)) => !is_true,
        (Shape::Int32 | Shape::Int64 | Shape::Number, Value::Number(number)) => {
            number.as_f64() == Some(0.0)
        }
        _ => false,
    }
}
