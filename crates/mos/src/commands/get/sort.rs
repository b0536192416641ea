//! The order of values of a field.

use std::cmp::Ordering;

use serde_json::Value;

/// Missing values first, numbers by size, all else as text in which numbers count as numbers.
pub(super) fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (
        a.filter(|value| !value.is_null()),
        b.filter(|value| !value.is_null()),
    ) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => natural(&text(a), &text(b)),
        },
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `web-2` before `web-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (run_a, run_b) = (digits(a), digits(b));
        if !run_a.is_empty() && !run_b.is_empty() {
            let (x, y) = (run_a.trim_start_matches('0'), run_b.trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            a = a.get(run_a.len()..).unwrap_or_default();
            b = b.get(run_b.len()..).unwrap_or_default();
            continue;
        }
        let (mut chars_a, mut chars_b) = (a.chars(), b.chars());
        match (chars_a.next(), chars_b.next()) {
            (None, None) => return Ordering::Equal,
            (x, y) if x != y => return x.cmp(&y),
            _ => {}
        }
        a = chars_a.as_str();
        b = chars_b.as_str();
    }
}

fn digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_within_text_count_as_numbers() {
        let mut names = vec![json!("web-10"), json!("web-2"), json!("api"), Value::Null];
        names.sort_by(|a, b| compare(Some(a), Some(b)));
        assert_eq!(
            names,
            [Value::Null, json!("api"), json!("web-2"), json!("web-10")]
        );
        assert_eq!(compare(Some(&json!(2)), Some(&json!(10))), Ordering::Less);
    }

    proptest! {
        #[test]
        fn the_order_is_consistent(a in "[a-b0-2]{0,6}", b in "[a-b0-2]{0,6}", c in "[a-b0-2]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
