//! What went wrong, for a person: what happened, to which object, and what to do next.

use std::fmt;
use std::process::ExitCode;

use crate::output::style;

/// An error that ends a command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hints: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Something failed: exit code 1.
    Failed,
    /// The command line is wrong: exit code 2.
    Usage,
    /// Each error has been printed as it happened: exit code 1.
    Reported,
    /// The reader of standard output went away, which is no error.
    BrokenPipe,
    /// The answer is no, without anything having failed: exit code 1 and no message.
    Negative,
    /// What clap has to say; it knows its own exit code.
    Clap(Box<clap::Error>),
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            kind: Kind::Failed,
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            kind: Kind::Usage,
        }
    }

    /// Errors have been printed already; only the exit code is left to say so.
    pub(crate) fn reported() -> Self {
        Self {
            message: "some objects failed".into(),
            hints: Vec::new(),
            kind: Kind::Reported,
        }
    }

    /// The answer to a question is no.
    pub(crate) fn negative() -> Self {
        Self {
            message: "no".into(),
            hints: Vec::new(),
            kind: Kind::Negative,
        }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts where it happened before the message.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What happened, without hints.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether nobody is left to read what is printed.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self.kind, Kind::BrokenPipe)
    }

    /// Prints the error and its hints to standard error.
    pub(crate) fn print(&self) {
        if matches!(
            self.kind,
            Kind::Reported | Kind::Negative | Kind::BrokenPipe
        ) {
            return;
        }
        let style = style::stderr();
        eprintln!("{} {}", style.error("error:"), self.message);
        for hint in &self.hints {
            eprintln!("{} {hint}", style.hint("hint:"));
        }
    }

    /// Prints the error and says how to exit.
    pub(crate) fn report(&self) -> ExitCode {
        match &self.kind {
            Kind::Clap(error) => {
                // The reader of the help may be gone, as in `mos --help | head`.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Kind::BrokenPipe => ExitCode::SUCCESS,
            Kind::Usage => {
                self.print();
                ExitCode::from(2)
            }
            Kind::Failed | Kind::Reported | Kind::Negative => {
                self.print();
                ExitCode::FAILURE
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self {
            message: error.to_string(),
            hints: Vec::new(),
            kind: Kind::Clap(Box::new(error)),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// For what is written to standard output; other files are named where they are used.
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Kind::BrokenPipe,
            _ => Kind::Failed,
        };
        Self {
            message: format!("cannot write the output: {error}"),
            hints: Vec::new(),
            kind,
        }
    }
}
