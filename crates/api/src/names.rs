//! What names, label keys, label values and annotations may be, with Kubernetes' messages.
//!
//! Each rule returns what is wrong, one message each; an empty list means that the text is right.

use serde_json::{Map, Value};

use mosaic_schema::{FieldError, FieldErrorKind};

/// The most bytes that a DNS label may have.
pub const LABEL_MAX_BYTES: usize = 63;
/// The most bytes that a DNS subdomain may have.
pub const SUBDOMAIN_MAX_BYTES: usize = 253;
/// The most bytes that all annotations of an object may have together, keys and values.
pub const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

const GENERATED_SUFFIX_BYTES: usize = 5;
const GENERATED_BASE_MAX_BYTES: usize = LABEL_MAX_BYTES - GENERATED_SUFFIX_BYTES;
/// Letters and digits that neither look alike nor spell words.
const GENERATED_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const LABEL_REGEX: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const SUBDOMAIN_REGEX: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const WILDCARD_REGEX: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const LABEL_1035_REGEX: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_REGEX: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_KEY_TEXT: &str =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

/// Which rule the names of a kind follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 label: at most 63 of `a-z`, `0-9` and `-`.
    DnsLabel,
    /// RFC 1035 label: the same, starting with a letter.
    Dns1035Label,
    /// RFC 1123 subdomain: at most 253, labels joined by dots.
    DnsSubdomain,
    /// Anything that can stand in a path.
    PathSegment,
}

impl NameRule {
    /// The rule of a built-in kind; custom kinds follow [`NameRule::DnsSubdomain`].
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::DnsLabel,
            ("", "Service") => Self::Dns1035Label,
            ("", "Event")
            | ("rbac.authorization.k8s.io", _)
            | ("certificates.k8s.io", "CertificateSigningRequest") => Self::PathSegment,
            _ => Self::DnsSubdomain,
        }
    }

    /// What is wrong with a name. A `generateName` is a prefix: it may end with a dash, as something
    /// follows it.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        if self == Self::PathSegment {
            return if prefix {
                path_segment_prefix(name)
            } else {
                path_segment(name)
            };
        }
        let completed = match name.strip_suffix('-') {
            // What follows the dash is a letter or a digit, so a letter may stand for it.
            Some(start) if prefix && !start.is_empty() => Some(format!("{start}a")),
            _ => None,
        };
        let name = completed.as_deref().unwrap_or(name);
        match self {
            Self::DnsLabel => dns_label(name),
            Self::Dns1035Label => dns_1035_label(name),
            Self::DnsSubdomain | Self::PathSegment => dns_subdomain(name),
        }
    }
}

/// A name made of a `generateName` and random bits. The prefix is cut so that the name is no longer
/// than a DNS label may be.
pub fn generate_name(prefix: &str, random: u64) -> String {
    let mut end = prefix.len().min(GENERATED_BASE_MAX_BYTES);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix.get(..end).unwrap_or_default().to_owned();
    let base = GENERATED_ALPHABET.len() as u64;
    let mut rest = random;
    for _ in 0..GENERATED_SUFFIX_BYTES {
        let index = (rest % base) as usize;
        rest /= base;
        name.push(char::from(*GENERATED_ALPHABET.get(index).unwrap_or(&b'x')));
    }
    name
}

/// RFC 1123 label.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, LABEL_MAX_BYTES);
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            regex_error(LABEL_TEXT, LABEL_REGEX, &["my-name", "123-abc"])
        });
    }
    wrong
}

/// RFC 1123 subdomain.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, SUBDOMAIN_MAX_BYTES);
    if !is_subdomain(text) {
        wrong.push(regex_error(
            SUBDOMAIN_TEXT,
            SUBDOMAIN_REGEX,
            &["example.com"],
        ));
    }
    wrong
}

/// A DNS subdomain behind `*.`, as the hosts of an Ingress may be.
pub fn wildcard_dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_many_characters(text, SUBDOMAIN_MAX_BYTES);
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(regex_error(
            WILDCARD_TEXT,
            WILDCARD_REGEX,
            &["*.example.com"],
        ));
    }
    wrong
}

/// RFC 1035 label.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong = too_many_characters(text, LABEL_MAX_BYTES);
    if !(is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        wrong.push(regex_error(
            LABEL_1035_TEXT,
            LABEL_1035_REGEX,
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// A qualified name: a label key, an annotation key, a finalizer, the name of a resource.
pub fn qualified_name(text: &str) -> Vec<String> {
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut wrong = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, rest)) if rest.contains('/') => {
            wrong.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(QUALIFIED_TEXT, QUALIFIED_REGEX, &EXAMPLES)
            ));
            return wrong;
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                let of_prefix = dns_subdomain(prefix);
                wrong.extend(of_prefix.iter().map(|text| format!("prefix part {text}")));
            }
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX_BYTES {
        wrong.push(format!("name part {}", max_bytes(LABEL_MAX_BYTES)));
    }
    if !is_qualified(name) {
        wrong.push(format!(
            "name part {}",
            regex_error(QUALIFIED_TEXT, QUALIFIED_REGEX, &EXAMPLES)
        ));
    }
    wrong
}

/// The value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, LABEL_MAX_BYTES);
    if !(text.is_empty() || is_qualified(text)) {
        wrong.push(regex_error(
            LABEL_VALUE_TEXT,
            LABEL_VALUE_REGEX,
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A name that stands as one segment of a path.
pub fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    path_segment_prefix(text)
}

fn path_segment_prefix(text: &str) -> Vec<String> {
    ["/", "%"]
        .into_iter()
        .filter(|illegal| text.contains(illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// A key of a ConfigMap or a Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = too_many_characters(text, SUBDOMAIN_MAX_BYTES);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(allowed) {
        wrong.push(regex_error(
            CONFIG_KEY_TEXT,
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." | ".." => wrong.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// The name of an environment variable.
pub fn environment_variable(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let allowed = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
    if text.bytes().all(allowed) {
        Vec::new()
    } else {
        vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ]
    }
}

/// The name of a container's port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = too_many_characters(text, 15);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(allowed) {
        wrong.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// What is wrong with an object's labels, under a path such as `metadata.labels`.
pub fn labels(labels: &Map<String, Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        for wrong in qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), wrong));
        }
        let value = value.as_str().unwrap_or_default();
        for wrong in label_value(value) {
            errors.push(FieldError::invalid(path, value, wrong));
        }
    }
    errors
}

/// What is wrong with an object's annotations, under a path such as `metadata.annotations`.
pub fn annotations(annotations: &Map<String, Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in annotations {
        // Unlike those of labels, the prefixes of annotation keys may have capitals.
        for wrong in qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), wrong));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError {
            kind: FieldErrorKind::TooLong,
            path: path.to_owned(),
            value: None,
            detail: format!("may not be more than {ANNOTATIONS_MAX_BYTES} bytes"),
        });
    }
    errors
}

fn is_label(text: &str) -> bool {
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    end(text.bytes().next())
        && end(text.bytes().next_back())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    end(text.bytes().next())
        && end(text.bytes().next_back())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn max_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

fn too_long(text: &str, limit: usize) -> Vec<String> {
    if text.len() > limit {
        vec![max_bytes(limit)]
    } else {
        Vec::new()
    }
}

/// Counts bytes too; only the older rules' message calls them so.
fn too_many_characters(text: &str, limit: usize) -> Vec<String> {
    if text.len() > limit {
        vec![format!("must be no more than {limit} characters")]
    } else {
        Vec::new()
    }
}

/// The spaces are Kubernetes': clients compare these texts.
fn regex_error(text: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{text} (e.g. {}regex used for validation is '{regex}')",
        examples.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_subdomains() {
        for good in ["a", "0", "a-b", "a1", &"x".repeat(63)] {
            assert_eq!(dns_label(good), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "ä"] {
            assert_eq!(dns_label(bad).len(), 1, "{bad}");
        }
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns_label(&"x".repeat(64)),
            ["must be no more than 63 bytes"]
        );
        for good in ["a", "a.b", "a-b.c-d.0"] {
            assert!(dns_subdomain(good).is_empty(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.-b", "A.b"] {
            assert!(!dns_subdomain(bad).is_empty(), "{bad}");
        }
        assert_eq!(
            dns_1035_label(&"x".repeat(64)),
            ["must be no more than 63 characters"]
        );
        assert!(dns_1035_label("a0").is_empty());
        assert!(!dns_1035_label("0a").is_empty());
    }

    #[test]
    fn messages_are_those_that_clients_know() {
        assert_eq!(
            dns_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label_value("-"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
    }

    #[test]
    fn qualified_names_have_at_most_one_prefix() {
        for good in ["a", "A.b_c-d", "example.com/a", "1"] {
            assert!(qualified_name(good).is_empty(), "{good}");
        }
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(
            qualified_name("a/").first().map(String::as_str),
            Some("name part must be non-empty")
        );
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist of"));
        assert!(qualified_name("A.b/c")[0].starts_with("prefix part a lowercase RFC 1123"));
        assert_eq!(
            qualified_name(&"a".repeat(64)),
            ["name part must be no more than 63 bytes"]
        );
    }

    #[test]
    fn path_segments_cannot_leave_their_path() {
        assert_eq!(path_segment("."), ["may not be '.'"]);
        assert_eq!(path_segment(".."), ["may not be '..'"]);
        assert_eq!(
            path_segment("a/%"),
            ["may not contain '/'", "may not contain '%'"]
        );
        assert!(path_segment("system:node:a").is_empty());
        assert!(NameRule::PathSegment.check("..", true).is_empty());
    }

    #[test]
    fn config_keys_stay_in_their_directory() {
        assert!(config_key("..data").contains(&"must not start with '..'".to_owned()));
        assert!(config_key("..").contains(&"must not be '..'".to_owned()));
        assert!(config_key("a.b-C_1").is_empty());
        assert!(!config_key("").is_empty());
    }

    #[test]
    fn annotations_are_bounded_as_a_whole() {
        let large = "x".repeat(ANNOTATIONS_MAX_BYTES);
        let object = json!({"a": large, "Example.com/B": ""});
        let errors = annotations(object.as_object().unwrap(), "metadata.annotations");
        assert_eq!(errors.len(), 1);
        assert_eq!(
            errors[0].to_string(),
            "metadata.annotations: Too long: may not be more than 262144 bytes"
        );
    }

    #[test]
    fn a_prefix_may_end_where_a_name_may_not() {
        assert!(NameRule::DnsSubdomain.check("web-", true).is_empty());
        assert!(!NameRule::DnsSubdomain.check("web-", false).is_empty());
        assert!(!NameRule::DnsLabel.check("-", true).is_empty());
        assert!(!NameRule::DnsLabel.check("ä-", true).is_empty());
    }

    proptest! {
        #[test]
        fn generated_names_are_names(prefix in "[a-z][-a-z0-9]{0,70}", random: u64) {
            let name = generate_name(&prefix, random);
            prop_assert!(name.len() <= LABEL_MAX_BYTES);
            prop_assert!(dns_label(&name).is_empty(), "{}", name);
            prop_assert!(name.starts_with(&prefix[..prefix.len().min(58)]));
        }

        #[test]
        fn generating_never_breaks_a_character(prefix in "\\PC{0,80}", random: u64) {
            prop_assert!(generate_name(&prefix, random).len() <= LABEL_MAX_BYTES);
        }

        #[test]
        fn any_text_is_judged(text in "\\PC{0,300}") {
            let label = dns_label(&text).is_empty();
            prop_assert!(!label || dns_subdomain(&text).is_empty());
            prop_assert!(!label || label_value(&text).is_empty());
            prop_assert!(label || !dns_1035_label(&text).is_empty());
            for rule in [NameRule::DnsLabel, NameRule::DnsSubdomain, NameRule::PathSegment] {
                rule.check(&text, true);
            }
            qualified_name(&text);
            config_key(&text);
            port_name(&text);
        }
    }
}
