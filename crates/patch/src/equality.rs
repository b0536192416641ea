//! When two JSON values are the same.

use serde_json::{Number, Value};

/// Whether two values are the same JSON: numbers by what they are worth, so that `1` is `1.0`.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => same_number(l, r),
        (Value::Array(l), Value::Array(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same(l, r))
        }
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len()
                && l.iter()
                    .all(|(key, l)| r.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}

fn same_number(left: &Number, right: &Number) -> bool {
    // Two whole numbers are compared as such: as floats, neighbours beyond 2^53 would be the same.
    let whole = |n: &Number| n.is_i64() || n.is_u64();
    left == right || (!(whole(left) && whole(right)) && left.as_f64() == right.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::same;

    #[test]
    fn numbers_are_compared_by_worth_and_without_loss() {
        assert!(same(&json!({"a": [1, 2.5]}), &json!({"a": [1.0, 2.5]})));
        assert!(!same(
            &json!(9_007_199_254_740_993_i64),
            &json!(9_007_199_254_740_992_i64)
        ));
        assert!(!same(&json!("1"), &json!(1)));
    }
}
