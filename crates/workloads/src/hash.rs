//! Hashes that become parts of names: the same for the same content on every machine and in every release,
//! whatever order its keys are in.

use serde_json::Value;

/// What Kubernetes builds random names from: no vowels and nothing that looks like them, so that no words come out.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a with 64 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hasher(u64);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// A text, and where it ends.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// A value. A field that is null counts as absent.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(true) => self.bytes(b"t"),
            Value::Bool(false) => self.bytes(b"f"),
            Value::Number(number) => {
                self.bytes(b"#");
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.bytes(b"\"");
                self.text(text);
            }
            Value::Array(items) => {
                self.bytes(b"[");
                items.iter().for_each(|item| self.value(item));
                self.bytes(b"]");
            }
            Value::Object(fields) => {
                self.bytes(b"{");
                let mut fields: Vec<_> = fields.iter().filter(|(_, v)| !v.is_null()).collect();
                fields.sort_unstable_by_key(|(key, _)| *key);
                for (key, field) in fields {
                    self.text(key);
                    self.value(field);
                }
                self.bytes(b"}");
            }
        }
    }

    /// The last bytes change only the low bits of FNV's state; here every bit depends on all.
    pub(crate) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

/// So many letters that stand for a hash.
pub(crate) fn letters(mut hash: u64, length: usize) -> String {
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        let position = usize::try_from(hash % 27).unwrap_or(0);
        text.push(ALPHABET.get(position).copied().map_or('b', char::from));
        hash /= 27;
    }
    text
}

/// Ten letters for a value, different for each number of collisions so far: a template's hash. Ten letters
/// tell about 2 × 10¹⁴ values apart.
pub fn content_hash(value: &Value, collisions: Option<i32>) -> String {
    let mut hasher = Hasher::new();
    hasher.value(value);
    if let Some(collisions) = collisions {
        hasher.number(u64::from(collisions.unsigned_abs()));
    }
    letters(hasher.finish(), 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hash_stays_what_it_is_in_every_release() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "b"}]}});
        assert_eq!(content_hash(&template, None), "hfjfn4pz4t");
        assert_eq!(content_hash(&template, Some(1)), "f9nqx7c2hr");
    }

    #[test]
    fn what_differs_has_another_hash() {
        let values = [
            json!({}),
            json!([]),
            json!(""),
            json!(0),
            json!("0"),
            json!(["a", "b"]),
            json!(["ab"]),
            json!([["a"], "b"]),
            json!({"a": "b"}),
            json!({"ab": ""}),
            json!(false),
        ];
        for (i, one) in values.iter().enumerate() {
            for other in &values[i + 1..] {
                assert_ne!(
                    content_hash(one, None),
                    content_hash(other, None),
                    "{one} {other}"
                );
            }
        }
        assert_ne!(
            content_hash(&json!(1), None),
            content_hash(&json!(1), Some(0))
        );
    }

    proptest! {
        #[test]
        fn neither_the_order_of_keys_nor_nulls_matter(
            fields in prop::collection::btree_map("[a-c]{1,2}", 0_i32..5, 0..6),
        ) {
            let forwards: String = fields.iter().map(|(k, v)| format!("\"{k}\":{v},")).collect();
            let backwards: String = fields.iter().rev().map(|(k, v)| format!("\"{k}\":{v},")).collect();
            let read = |text: &str, rest: &str| -> Value {
                serde_json::from_str(&format!("{{{text}{rest}}}")).unwrap()
            };
            prop_assert_eq!(
                content_hash(&read(&forwards, "\"z\":null"), None),
                content_hash(&read(&format!("\"z\":null,{backwards}"), "\"y\":null"), None)
            );
        }
    }
}
