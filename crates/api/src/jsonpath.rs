//! The JSON paths of printer columns and selectable fields of custom kinds.
//!
//! A subset of JSONPath that has one answer: `.spec.replicas`, `.metadata.labels['a.b/c']`,
//! `.a\.b`, `.list[0]`, `.list[-1]`, `.list[*].name`, `.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// The most bytes that the text of a path may have.
pub const MAX_BYTES: usize = 4096;
/// The most steps that a path may have.
const MAX_STEPS: usize = 64;

/// A path that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    /// Counted from the end if below zero.
    Index(i64),
    /// Every item or every field.
    Every,
    /// The items that meet a condition.
    Where(Condition),
}

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    path: JsonPath,
    /// None asks only whether there is something.
    compared: Option<(Comparison, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// Says what cannot be understood or is more than can be answered.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        if text.len() > MAX_BYTES {
            return Err(JsonPathError(format!(
                "must be no more than {MAX_BYTES} bytes"
            )));
        }
        let text = text.trim();
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let mut reader = Reader {
            rest: inner.unwrap_or(text),
        };
        if !reader.eat("$") {
            reader.eat("@");
        }
        let path = reader.path(true)?;
        if reader.rest.is_empty() {
            Ok(path)
        } else {
            Err(reader.unexpected())
        }
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        first(&self.steps, value)
    }
}

fn first<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => first(rest, value.as_object()?.get(name)?),
        Step::Index(index) => {
            let items = value.as_array()?;
            let index = if *index < 0 {
                items
                    .len()
                    .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
            } else {
                usize::try_from(*index).ok()?
            };
            first(rest, items.get(index)?)
        }
        Step::Every => children(value).find_map(|child| first(rest, child)),
        Step::Where(condition) => children(value)
            .filter(|child| condition.holds(child))
            .find_map(|child| first(rest, child)),
    }
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    let fields = value.as_object().into_iter().flat_map(|map| map.values());
    items.chain(fields)
}

impl Condition {
    fn holds(&self, value: &Value) -> bool {
        let Some(found) = self.path.first(value) else {
            return false;
        };
        let Some((comparison, wanted)) = &self.compared else {
            return true;
        };
        let order = match (found, wanted) {
            (Value::String(found), Value::String(wanted)) => Some(found.cmp(wanted)),
            (Value::Bool(found), Value::Bool(wanted)) => Some(found.cmp(wanted)),
            (found, wanted) => match (found.as_f64(), wanted.as_f64()) {
                (Some(found), Some(wanted)) => found.partial_cmp(&wanted),
                _ => None,
            },
        };
        match comparison {
            Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> JsonPathError {
        if self.rest.is_empty() {
            JsonPathError("the path ends too early".to_owned())
        } else {
            JsonPathError(format!("cannot understand {:?}", self.rest))
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), JsonPathError> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Steps up to something that is none. Conditions do not nest.
    fn path(&mut self, conditions: bool) -> Result<JsonPath, JsonPathError> {
        let mut steps = Vec::new();
        loop {
            if self.rest.starts_with("..") {
                return Err(JsonPathError(
                    "recursive descent (..) is not supported".to_owned(),
                ));
            }
            if self.eat("[") {
                steps.push(self.bracket(conditions)?);
            } else if self.eat(".") {
                if self.eat("*") {
                    steps.push(Step::Every);
                } else if self.rest.starts_with('[') || (self.rest.is_empty() && steps.is_empty()) {
                    // A dot alone is the value itself; before a bracket it says nothing.
                } else {
                    steps.push(Step::Field(self.field()?));
                }
            } else {
                return Ok(JsonPath { steps });
            }
            if steps.len() > MAX_STEPS {
                return Err(JsonPathError(format!(
                    "must have no more than {MAX_STEPS} steps"
                )));
            }
        }
    }

    fn field(&mut self) -> Result<String, JsonPathError> {
        let mut name = String::new();
        let mut characters = self.rest.chars();
        loop {
            let before = characters.as_str();
            match characters.next() {
                Some('\\') => name.extend(characters.next()),
                Some(c) if !" .[]()=!<>,'\"|".contains(c) => name.push(c),
                _ => {
                    self.rest = before;
                    break;
                }
            }
        }
        if name.is_empty() {
            return Err(self.unexpected());
        }
        Ok(name)
    }

    fn bracket(&mut self, conditions: bool) -> Result<Step, JsonPathError> {
        self.skip_spaces();
        let step = if self.eat("*") {
            Step::Every
        } else if conditions && self.eat("?(") {
            let condition = self.condition()?;
            self.expect(")")?;
            Step::Where(condition)
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Field(self.quoted()?)
        } else {
            let end = self
                .rest
                .find(|c: char| !(c.is_ascii_digit() || c == '-'))
                .unwrap_or(self.rest.len());
            let (number, rest) = self
                .rest
                .split_at_checked(end)
                .ok_or_else(|| self.unexpected())?;
            let index = number.parse().map_err(|_| self.unexpected())?;
            self.rest = rest;
            Step::Index(index)
        };
        self.skip_spaces();
        self.expect("]")?;
        Ok(step)
    }

    fn condition(&mut self) -> Result<Condition, JsonPathError> {
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        self.skip_spaces();
        self.expect("@")?;
        let path = self.path(false)?;
        self.skip_spaces();
        let comparison = COMPARISONS
            .into_iter()
            .find(|(token, _)| self.eat(token))
            .map(|(_, comparison)| comparison);
        let compared = match comparison {
            Some(comparison) => {
                self.skip_spaces();
                Some((comparison, self.literal()?))
            }
            None => None,
        };
        self.skip_spaces();
        Ok(Condition { path, compared })
    }

    fn literal(&mut self) -> Result<Value, JsonPathError> {
        if self.rest.starts_with(['\'', '"']) {
            return self.quoted().map(Value::from);
        }
        let end = self.rest.find([')', ' ']).unwrap_or(self.rest.len());
        let (word, rest) = self
            .rest
            .split_at_checked(end)
            .ok_or_else(|| self.unexpected())?;
        let value: Value = serde_json::from_str(word).map_err(|_| self.unexpected())?;
        self.rest = rest;
        Ok(value)
    }

    fn quoted(&mut self) -> Result<String, JsonPathError> {
        let mut characters = self.rest.chars();
        let quote = characters.next();
        let mut text = String::new();
        loop {
            match characters.next() {
                Some('\\') => text.extend(characters.next()),
                end if end == quote => {
                    self.rest = characters.as_str();
                    return Ok(text);
                }
                Some(c) => text.push(c),
                None => return Err(self.unexpected()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn find(path: &str, value: &Value) -> Option<Value> {
        JsonPath::parse(path)
            .unwrap_or_else(|e| panic!("{path}: {e}"))
            .first(value)
            .cloned()
    }

    #[test]
    fn paths_lead_to_values() {
        let object = json!({
            "a": {"b": 1, "c.d/e": 2, "f-g": 3},
            "list": [{"name": "x", "n": 1}, {"name": "y", "n": 2, "ok": true}],
            "empty": [],
        });
        let paths = [
            (".a.b", json!(1)),
            ("{.a.b}", json!(1)),
            ("$.a.b", json!(1)),
            (".a['b']", json!(1)),
            (".a[\"c.d/e\"]", json!(2)),
            (".a.c\\.d/e", json!(2)),
            (".a.f-g", json!(3)),
            (".list[0].name", json!("x")),
            (".list[-1].name", json!("y")),
            (".list[*].name", json!("x")),
            (".list[*].ok", json!(true)),
            (".list[?(@.name==\"y\")].n", json!(2)),
            (".list[?(@.name == 'y')].n", json!(2)),
            (".list[?(@.n>=2)].name", json!("y")),
            (".list[?(@.n!=1)].name", json!("y")),
            (".list[?(@.ok)].name", json!("y")),
            (".list[?(@.ok==true)].name", json!("y")),
            (".a.*", json!(1)),
        ];
        for (path, value) in paths {
            assert_eq!(find(path, &object), Some(value), "{path}");
        }
        for path in [
            ".x",
            ".a.b.c",
            ".list[2]",
            ".list[-3]",
            ".empty[*]",
            ".list[?(@.n>2)]",
            ".a[0]",
            ".list.name",
        ] {
            assert_eq!(find(path, &object), None, "{path}");
        }
        assert_eq!(find(".", &object), Some(object.clone()));
    }

    #[test]
    fn what_has_no_single_answer_is_refused() {
        for path in [
            "..a",
            ".a[",
            ".a[b]",
            ".a['b'",
            ".a b",
            "a",
            ".a[?(@.b==)]",
            ".a[0:1]",
            ".a[?(@.b[?(@.c)])]",
        ] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
        assert!(JsonPath::parse(&".a".repeat(65)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-.\\[\\]a-c0-9'\"*?(@)=<>\\\\ $]{0,30}") {
            if let Ok(path) = JsonPath::parse(&text) {
                path.first(&json!({"a": [{"b": 1}], "b": {"c": null}}));
            }
        }
    }
}
