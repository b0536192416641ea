//! The editor, and the file that is edited.

use std::io::Write;
use std::process::Command;

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A file in an editor. It is readable by its owner only, and removed unless it is kept.
pub(super) struct Editor {
    command: String,
    file: Option<NamedTempFile>,
    /// What to show instead of the object: a text that could not be read as one.
    text: Option<String>,
}

/// What was saved.
pub(super) enum Saved {
    /// The same as was shown, or nothing.
    Unchanged,
    /// Another text.
    Text(String),
}

impl Editor {
    /// An editor for an object.
    pub(super) fn new(name: &str) -> Result<Self, Failure> {
        let safe: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let file = tempfile::Builder::new()
            .prefix(&format!("mos-edit-{safe}-"))
            .suffix(".yaml")
            .tempfile()
            .map_err(|error| Failure::new(format!("cannot make a file to edit: {error}")))?;
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let command = ["KUBE_EDITOR", "VISUAL", "EDITOR"]
            .into_iter()
            .find_map(variable);
        Ok(Self {
            command: command.unwrap_or_else(|| "vi".into()),
            file: Some(file),
            text: None,
        })
    }

    /// Shows a text the next time.
    pub(super) fn set_text(&mut self, text: String) {
        self.text = Some(without_comments(&text));
    }

    /// Shows the object the next time.
    pub(super) fn forget_text(&mut self) {
        self.text = None;
    }

    /// Opens the editor and waits for its end.
    pub(super) fn edit(&mut self, (head, body): &(String, String)) -> Result<Saved, Failure> {
        let body = self.text.as_ref().unwrap_or(body);
        let path = match &mut self.file {
            Some(file) => {
                let file_handle = file.as_file_mut();
                let written = file_handle
                    .set_len(0)
                    .and_then(|()| std::io::Seek::rewind(file_handle))
                    .and_then(|()| file_handle.write_all(head.as_bytes()))
                    .and_then(|()| file_handle.write_all(body.as_bytes()))
                    .and_then(|()| file_handle.flush());
                written.map_err(|error| {
                    Failure::new(format!("cannot write the file to edit: {error}"))
                })?;
                file.path().to_owned()
            }
            None => return Ok(Saved::Unchanged),
        };
        // By a shell, because the variable may hold arguments; the path is no part of the script.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{} \"$1\"", self.command))
            .arg("sh")
            .arg(&path)
            .status()
            .map_err(|error| {
                Failure::new(format!(
                    "cannot start the editor `{}`: {error}",
                    self.command
                ))
            })?;
        if !status.success() {
            return Err(
                Failure::new(format!("the editor `{}` failed ({status})", self.command))
                    .hint("set KUBE_EDITOR or EDITOR to one that works here"),
            );
        }
        // Many editors write a new file in the place of the old one, so it is read by its path.
        let saved = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("cannot read what was edited: {error}")))?;
        let content = without_comments(&saved);
        if content.trim().is_empty() || content == *body {
            return Ok(Saved::Unchanged);
        }
        Ok(Saved::Text(saved))
    }

    /// Removes the file.
    pub(super) fn discard(&mut self) {
        self.file = None;
    }

    /// Keeps the file, and tells where it is.
    pub(super) fn keep(&mut self) -> Result<String, Failure> {
        let Some(file) = self.file.take() else {
            return Ok(String::new());
        };
        let (_, path) = file
            .keep()
            .map_err(|error| Failure::new(format!("cannot keep what was edited: {error}")))?;
        Ok(path.display().to_string())
    }
}

/// The text without the comments at its head.
fn without_comments(text: &str) -> String {
    let mut rest = text;
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_at_the_head_are_left_out() {
        assert_eq!(
            without_comments("# a\n#\nx: |\n  # kept\n"),
            "x: |\n  # kept\n"
        );
        assert_eq!(without_comments("# only"), "");
    }
}
