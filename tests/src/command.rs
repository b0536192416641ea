//! Running a program to its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::deadline;

/// What a program said, and how it ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
}

impl Outcome {
    /// Its standard output.
    ///
    /// # Panics
    /// If it failed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.code == 0, "{self}");
        &self.stdout
    }

    /// Its standard error.
    ///
    /// # Panics
    /// If it succeeded.
    #[track_caller]
    pub fn fails(&self) -> &str {
        assert!(self.code != 0, "should have failed: {self}");
        &self.stderr
    }

    /// Itself, once its standard output is seen to hold `part`.
    ///
    /// # Panics
    /// If it failed, or does not.
    #[track_caller]
    pub fn says(&self, part: &str) -> &Self {
        assert!(self.ok().contains(part), "no {part:?} in: {self}");
        self
    }

    /// Itself, once it is seen to have failed with `part` in its standard error.
    ///
    /// # Panics
    /// If it succeeded, or says something else.
    #[track_caller]
    pub fn complains(&self, part: &str) -> &Self {
        assert!(self.fails().contains(part), "no {part:?} in: {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {}\nexit code {}\n-- stdout\n{}-- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// Splits a command line at white space. Single quotes keep their content together, as in a shell.
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is open in: {line}");
    words.extend(word);
    words
}

/// Starts a program with its streams piped.
pub fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Panics
/// If it cannot be started, or has not ended after [`deadline`].
pub fn run(command: &mut Command, input: &str) -> Outcome {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = words.join(" ");

    let mut child = spawn(command);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // A program that does not read its input closes the pipe; that is not this side's concern.
    let feeding = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));

    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            break status;
        }
        if started.elapsed() > deadline() {
            drop(child.kill());
            drop(child.wait());
            panic!("{line} has not ended after {:?}", deadline());
        }
        thread::sleep(Duration::from_millis(5));
    };
    feeding.join().expect("the feeding thread");
    Outcome {
        command: line,
        stdout: stdout.join().expect("the reading thread"),
        stderr: stderr.join().expect("the reading thread"),
        code: status.code().unwrap_or(-1),
    }
}

/// A program that goes on writing lines. It is killed when dropped.
pub struct Following {
    command: String,
    child: Child,
    lines: Receiver<String>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Following {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let mut child = spawn(command);
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines
                .take_while(|line| sender.send(line.clone()).is_ok())
                .for_each(drop);
        });
        let stderr = Some(collect(child.stderr.take().expect("piped")));
        Self {
            command: format!("{command:?}"),
            child,
            lines,
            stderr,
        }
    }

    /// The next line that it writes.
    ///
    /// # Panics
    /// If it ends instead, or writes nothing for too long.
    #[track_caller]
    pub fn next_line(&mut self) -> String {
        match self.lines.recv_timeout(deadline()) {
            Ok(line) => line,
            Err(reason) => {
                drop(self.child.kill());
                let stderr = self.stderr.take().and_then(|thread| thread.join().ok());
                panic!(
                    "no line from {}: {reason}; {}",
                    self.command,
                    stderr.unwrap_or_default()
                );
            }
        }
    }

    /// The next line that it writes, where it may have missed what it is to tell: `again` is called until
    /// there is one.
    ///
    /// # Panics
    /// If it ends instead, or writes nothing for too long.
    #[track_caller]
    pub fn next_line_after(&mut self, mut again: impl FnMut()) -> String {
        let until = Instant::now() + deadline();
        while Instant::now() < until {
            again();
            if let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
                return line;
            }
        }
        self.next_line()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("readable");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            split("a  b 'c d' e='f g' ''"),
            ["a", "b", "c d", "e=f g", ""]
        );
    }
}
