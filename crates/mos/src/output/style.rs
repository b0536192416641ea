//! Colour, on a terminal only and not when NO_COLOR is set; and text that cannot command a terminal.

use std::borrow::Cow;
use std::io::IsTerminal;

/// Whether and how one of the streams is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    on: bool,
}

fn wanted(is_terminal: bool) -> Style {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Style {
        on: is_terminal && !set("NO_COLOR") && !dumb,
    }
}

/// Standard output's.
pub(crate) fn stdout() -> Style {
    wanted(std::io::stdout().is_terminal())
}

/// Standard error's.
pub(crate) fn stderr() -> Style {
    wanted(std::io::stderr().is_terminal())
}

impl Style {
    /// No colour at all.
    pub(crate) const PLAIN: Style = Style { on: false };

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    pub(crate) fn hint(self, text: &str) -> String {
        self.paint("36", text)
    }

    pub(crate) fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A cell of a status column, by what it says.
    pub(crate) fn status(self, padded: &str) -> String {
        let word = padded.trim_end();
        let code = match word {
            "Running" | "Ready" | "Active" | "Bound" | "Complete" | "Completed" | "Succeeded"
            | "True" => "32",
            "Pending" | "Terminating" | "ContainerCreating" | "PodInitializing" | "Released" => {
                "33"
            }
            "Failed" | "Error" | "Evicted" | "OOMKilled" | "Lost" | "NotReady" | "Unknown" => "31",
            _ if word.ends_with("BackOff")
                || word.ends_with("Error")
                || word.starts_with("Err") =>
            {
                "31"
            }
            _ if word.starts_with("Init:") => "33",
            _ => return padded.to_owned(),
        };
        self.paint(code, padded)
    }
}

/// A text without characters that could command a terminal. Tabs stay.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !c.is_control() || c == '\t') {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect::<String>()
        .into()
}

/// [`printable`], line by line.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n')
        .map(printable)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_server_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[31mb"), "a\u{fffd}[31mb");
        assert_eq!(printable("plain ünï"), "plain ünï");
        assert_eq!(printable_lines("a\nb\r"), "a\nb\u{fffd}");
    }
}
