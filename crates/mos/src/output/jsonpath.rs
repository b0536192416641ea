//! kubectl's JSONPath templates: text with `{expressions}`, over a library's JSONPath.
//!
//! An expression is a path (`.metadata.name`, `.items[*].spec.nodeName`), a quoted text (`"\n"`), or
//! `range PATH` … `end`. Several results of a path stand with a space between them.

use std::fmt::Write as _;
use std::str::FromStr;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

/// Ranges within ranges deeper than this are refused.
const MAX_DEPTH: usize = 16;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

// Paths are compared only in tests, where they contain no NaN.
impl Eq for Template {}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Path(JpQuery),
    Range(JpQuery, Vec<Part>),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A lone path may go without braces, as in `-o jsonpath=.metadata.name`.
        let braced;
        let text = if !text.contains('{') && text.starts_with(['.', '$', '[']) {
            braced = format!("{{{text}}}");
            &braced
        } else {
            text
        };
        let tokens = tokens(text)?;
        let mut tokens = tokens.into_iter();
        let parts = parse(&mut tokens, 0)?;
        Ok(Self { parts })
    }
}

enum Token {
    Text(String),
    Expression(String),
}

/// Splits a template at its braces; a brace within quotes belongs to the text in quotes.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut current = String::new();
    let mut inside = false;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (inside, quote, c) {
            (false, _, '{') => {
                tokens.push(Token::Text(std::mem::take(&mut current)));
                inside = true;
            }
            (true, None, '}') => {
                tokens.push(Token::Expression(
                    std::mem::take(&mut current).trim().to_owned(),
                ));
                inside = false;
            }
            (true, None, '"' | '\'') => {
                quote = Some(c);
                current.push(c);
            }
            (true, Some(open), c) if c == open => {
                quote = None;
                current.push(c);
            }
            (true, _, '\\') => {
                current.push(c);
                current.extend(chars.next());
            }
            _ => current.push(c),
        }
    }
    if inside {
        return Err(format!("the template `{text}` lacks a `}}`"));
    }
    tokens.push(Token::Text(current));
    Ok(tokens)
}

fn parse(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Result<Vec<Part>, String> {
    if depth > MAX_DEPTH {
        return Err("ranges are nested too deeply".into());
    }
    let mut parts = Vec::new();
    loop {
        match tokens.next() {
            None if depth == 0 => return Ok(parts),
            None => return Err("a `{range}` lacks its `{end}`".into()),
            Some(Token::Text(text)) if text.is_empty() => {}
            Some(Token::Text(text)) => parts.push(Part::Text(text)),
            Some(Token::Expression(expression)) => match expression.as_str() {
                "end" if depth > 0 => return Ok(parts),
                "end" => return Err("an `{end}` lacks its `{range}`".into()),
                quoted if quoted.starts_with(['"', '\'']) => {
                    parts.push(Part::Text(unquote(quoted)?))
                }
                other => match other.strip_prefix("range ") {
                    Some(of) => {
                        parts.push(Part::Range(path(of.trim())?, parse(tokens, depth + 1)?))
                    }
                    None => parts.push(Part::Path(path(other)?)),
                },
            },
        }
    }
}

fn unquote(quoted: &str) -> Result<String, String> {
    let mut chars = quoted.chars();
    let open = chars.next();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if Some(c) == open {
            return Ok(text);
        }
        if c == '\\' {
            match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            }
        } else {
            text.push(c);
        }
    }
    Err(format!("{quoted} lacks its closing quote"))
}

fn path(expression: &str) -> Result<JpQuery, String> {
    parse_json_path(&standard(expression))
        .map_err(|_| format!("`{{{expression}}}` is not a path, such as {{.metadata.name}}"))
}

/// kubectl's spelling of a path in that of the standard: the root may be left out or be `@`, keys may
/// have escaped dots (`.labels.app\.kubernetes\.io/name`) and characters that the standard has in
/// brackets, and filters stand in parentheses.
fn standard(expression: &str) -> String {
    let rest = expression.strip_prefix(['$', '@']).unwrap_or(expression);
    let mut out = String::from("$");
    let mut chars = rest.chars().peekable();
    let mut depth = 0usize;
    let mut quote = None;
    while let Some(c) = chars.next() {
        if depth > 0 {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, '[') => depth += 1,
                (None, ']') => depth -= 1,
                _ => {}
            }
            out.push(c);
            continue;
        }
        match c {
            '[' => {
                depth = 1;
                out.push(c);
            }
            '.' if chars.peek() == Some(&'.') => {
                chars.next();
                out.push_str("..");
                if chars.peek() != Some(&'[') {
                    push_key(&mut out, &mut chars, true);
                }
            }
            '.' if chars.peek() == Some(&'[') || chars.peek().is_none() => {}
            '.' => push_key(&mut out, &mut chars, false),
            other => {
                // A path that starts without a dot.
                let mut key = String::from(other);
                take_key(&mut key, &mut chars);
                push_name(&mut out, &key, false);
            }
        }
    }
    out
}

fn push_key(
    out: &mut String,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    descendant: bool,
) {
    let mut key = String::new();
    take_key(&mut key, chars);
    push_name(out, &key, descendant);
}

fn take_key(key: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(&c) = chars.peek() {
        match c {
            '.' | '[' => break,
            '\\' => {
                chars.next();
                key.extend(chars.next());
            }
            _ => {
                key.push(c);
                chars.next();
            }
        }
    }
}

fn push_name(out: &mut String, key: &str, descendant: bool) {
    let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if key == "*" || simple {
        if !descendant {
            out.push('.');
        }
        out.push_str(key);
    } else {
        // The standard's own quoting; writing to a string cannot fail.
        let _ = write!(
            out,
            "['{}']",
            key.replace('\\', "\\\\").replace('\'', "\\'")
        );
    }
}

impl Template {
    /// Fills the template in.
    pub(crate) fn render(&self, value: &Value) -> String {
        let mut out = String::new();
        render(&self.parts, value, &mut out);
        out
    }

    /// What the template's first path finds first; to sort by.
    pub(crate) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.parts.iter().find_map(|part| match part {
            Part::Path(path) => find(path, value).into_iter().next(),
            _ => None,
        })
    }
}

fn find<'a>(path: &JpQuery, value: &'a Value) -> Vec<&'a Value> {
    js_path_process(path, value)
        .map(|found| found.into_iter().map(|found| found.val()).collect())
        .unwrap_or_default()
}

fn render(parts: &[Part], value: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = find(path, value).into_iter().map(plain).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(path, parts) => {
                for item in find(path, value) {
                    render(parts, item, out);
                }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(template: &str, value: &Value) -> String {
        template.parse::<Template>().unwrap().render(value)
    }

    #[test]
    fn templates_are_filled_in_as_kubectl_does() {
        let list = json!({"items": [
            {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]}},
            {"metadata": {"name": "b"}, "status": {"n": 3, "deep": {"k": [1, 2]}}},
        ]});
        assert_eq!(fill("{.items[*].metadata.name}", &list), "a b");
        assert_eq!(fill(".items[1].metadata.name", &list), "b");
        assert_eq!(
            fill(
                "{.items[0].metadata.labels.app\\.kubernetes\\.io/name}",
                &list
            ),
            "x"
        );
        assert_eq!(
            fill(
                "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.n}{'\\n'}{end}",
                &list
            ),
            "a\t\nb\t3\n"
        );
        assert_eq!(
            fill(
                "{.items[0].status.conditions[?(@.type==\"Ready\")].status}",
                &list
            ),
            "True"
        );
        assert_eq!(fill("{.items[-1:].metadata.name}", &list), "b");
        assert_eq!(fill("{..k}", &list), "[1,2]");
        assert_eq!(
            fill(
                "{$.items[0].metadata.name}-{@.items[1].metadata.name}",
                &list
            ),
            "a-b"
        );
        assert_eq!(fill("{.missing.path}", &list), "");
        assert_eq!(fill("plain", &list), "plain");
    }

    #[test]
    fn bad_templates_are_refused() {
        for bad in [
            "{.a",
            "{end}",
            "{range .a[*]}x",
            "{\"a}",
            "{.a[}",
            "{.a[?(}",
        ] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
        let deep = "{range .a[*]}".repeat(40) + &"{end}".repeat(40);
        assert!(deep.parse::<Template>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_template_panics(text in "[{}.\\[\\]a-c*?@()'\"\\\\ $=]{0,40}") {
            if let Ok(template) = text.parse::<Template>() {
                template.render(&json!({"a": [{"b": 1}, {"c": "x"}]}));
            }
        }
    }
}
