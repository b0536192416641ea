//! A server of one's own, and the command line against it.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// The binary under test.
pub const MOS: &str = env!("CARGO_BIN_EXE_mos");

/// A server on a free port with a directory of its own; ended when it is dropped.
pub struct Server {
    child: Child,
    directory: TempDir,
    /// The line that said that the server is ready.
    pub ready: String,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Ends the server at once, and starts another one over its data.
    pub fn restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        Self::start_in(directory)
    }

    fn start_in(directory: TempDir) -> Self {
        let mut child = server_over(&directory.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let ready = loop {
            match lines.next() {
                Some(line) => {
                    let line = line.unwrap();
                    if line.contains("ready") && line.contains("https://") {
                        break line;
                    }
                    log.push(line);
                }
                None => {
                    let status = child.wait().unwrap();
                    panic!(
                        "the server ended ({status}) before it was ready:\n{}",
                        log.join("\n")
                    );
                }
            }
        };
        // The log goes on, and a full pipe must not hold the server up.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            directory,
            ready,
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("admin.kubeconfig")
    }

    /// A file in a directory that goes with the server.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Tells the server to end, and waits until it has.
    pub fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap()
    }

    /// A command line against the server.
    pub fn mos<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Output {
        self.run(command().args(words))
    }

    /// As [`Server::mos`], split at spaces.
    pub fn run_line(&self, line: &str) -> Output {
        self.mos(line.split_whitespace())
    }

    /// A command against the server.
    pub fn run(&self, command: &mut Command) -> Output {
        output(command.env("KUBECONFIG", self.kubeconfig()))
    }

    /// Applies a text.
    pub fn apply(&self, text: &str, words: &str) -> Output {
        let mut child = command()
            .args(["apply", "-f", "-"])
            .args(words.split_whitespace())
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        Output::from(child.wait_with_output().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already after `terminate`; otherwise there is nothing left to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary without anything from the environment that would change what it does.
pub fn command() -> Command {
    let mut command = Command::new(MOS);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("MOS_")
            || ["KUBECONFIG", "KUBE_EDITOR", "EDITOR", "VISUAL"].contains(&&*name_text)
        {
            command.env_remove(&name);
        }
    }
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// A server over a data directory, on a free port and without what would take one that is not.
pub fn server_over(data: &Path) -> Command {
    let mut command = command();
    command
        .args(["server", "--listen", "127.0.0.1:0"])
        .args(["--registry-listen", "none", "--data-dir"])
        .arg(data);
    command
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    Output::from(command.output().unwrap())
}

/// What a command said.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Output {
    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// Standard error of a command that must have failed with this code.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        self.err
    }
}

/// Makes a file executable.
pub fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
