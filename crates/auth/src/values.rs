//! Reading fields of objects that are `serde_json::Value`s. What is absent or of another type reads
//! as empty: objects have been validated before they come here, and a reader of rights must not fail
//! open or panic on one that has not.

use serde_json::Value;

/// The value at a path of field names.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, field| {
        value.get(field).unwrap_or(&Value::Null)
    })
}

/// The string at a path; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The items of the list at a path.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The strings of the list at a path; items of other types are left out.
pub(crate) fn texts<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a str> {
    items(value, path).iter().filter_map(Value::as_str)
}
