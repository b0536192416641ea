//! The editor, and the file that is edited.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::failure::Failure;

/// A file in an editor, in a directory that only its owner can read: editors put copies and logs beside
/// what they edit. All of it is removed unless it is kept.
pub(super) struct Editor {
    command: String,
    directory: Option<TempDir>,
    file: PathBuf,
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
        let directory = tempfile::Builder::new()
            .prefix("mos-edit-")
            .tempdir()
            .map_err(|error| Failure::new(format!("cannot make a file to edit: {error}")))?;
        let file = directory.path().join(format!("{safe}.yaml"));
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
            directory: Some(directory),
            file,
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
        // By its path each time: many editors put a new file in the place of the old one.
        std::fs::write(&self.file, format!("{head}{body}"))
            .map_err(|error| Failure::new(format!("cannot write the file to edit: {error}")))?;
        // By a shell, because the variable may hold arguments; the path is no part of the script.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{} \"$1\"", self.command))
            .arg("sh")
            .arg(&self.file)
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
        let saved = std::fs::read_to_string(&self.file)
            .map_err(|error| Failure::new(format!("cannot read what was edited: {error}")))?;
        let content = without_comments(&saved);
        if content.trim().is_empty() || content == *body {
            return Ok(Saved::Unchanged);
        }
        Ok(Saved::Text(saved))
    }

    /// Removes the file.
    pub(super) fn discard(&mut self) {
        self.directory = None;
    }

    /// Keeps the file, and tells where it is.
    pub(super) fn keep(&mut self) -> String {
        // Keeping a directory is only not to remove it.
        let _ = self.directory.take().map(TempDir::keep);
        self.file.display().to_string()
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
