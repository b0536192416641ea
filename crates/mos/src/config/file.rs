//! The configuration file: TOML, one table a process, keys named like the flags.

use std::path::Path;

use crate::failure::Failure;
use crate::nearest::did_you_mean;

/// A configuration file larger than this is no configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file's table `section`: each key with its values (one, or those of a list).
pub(crate) fn read(
    path: &Path,
    section: &str,
    known: &[String],
) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(path, &error))?
        .len();
    if size > MAX_BYTES {
        return Err(Failure::new(format!(
            "{}: {size} bytes are too many for a configuration file (at most {MAX_BYTES})",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    parse(&text, section, known).map_err(|failure| failure.at(path.display()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot read the configuration file {}: {error}",
        path.display()
    ))
    .hint("give its path by --config or MOS_CONFIG")
}

/// The settings in a file's text.
pub(crate) fn parse(
    text: &str,
    section: &str,
    known: &[String],
) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Failure::new(error.to_string().trim_end().to_owned()))?;
    let mut settings = Vec::new();
    for (name, value) in table {
        if name != section {
            let mut failure = Failure::new(format!("the table or key `{name}` is not known"));
            if known.contains(&name) {
                failure = failure.hint(format!("`{name}` belongs below a line `[{section}]`"));
            } else if let Some(hint) = did_you_mean(&name, [section]) {
                failure = failure.hint(hint);
            } else {
                failure = failure.hint(format!("settings stand below a line `[{section}]`"));
            }
            return Err(failure);
        }
        let toml::Value::Table(table) = value else {
            return Err(
                Failure::new(format!("`{section}` is not a table")).hint(format!(
                    "write `[{section}]` on a line of its own, and the settings below it"
                )),
            );
        };
        for (key, value) in table {
            if key == super::CONFIG {
                return Err(Failure::new(format!(
                    "[{section}] {key}: a file cannot name another one"
                )));
            }
            if !known.contains(&key) {
                let failure = Failure::new(format!("[{section}] {key}: this key is not known"));
                let names = known
                    .iter()
                    .map(String::as_str)
                    .filter(|name| *name != super::CONFIG);
                return Err(match did_you_mean(&key, names) {
                    Some(hint) => failure.hint(hint),
                    None => failure.hint(format!(
                        "`mos {section} --help` lists the keys: they are the flags' names"
                    )),
                });
            }
            let values = values(&value)
                .map_err(|problem| Failure::new(format!("[{section}] {key}: {problem}")))?;
            settings.push((key, values));
        }
    }
    Ok(settings)
}

fn values(value: &toml::Value) -> Result<Vec<String>, String> {
    match value {
        toml::Value::Array(items) => items.iter().map(scalar).collect(),
        other => Ok(vec![scalar(other)?]),
    }
}

fn scalar(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(format!(
            "a {} cannot stand here; write a string, a number or true or false",
            other.type_str()
        )),
    }
}
