//! Programs that run beside the tests and end with them, however these end.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

type Start = (Command, Sender<io::Result<Child>>);

/// The kernel ends such a program with the *thread* that started it: this one never ends by itself.
static STARTER: LazyLock<Mutex<Sender<Start>>> = LazyLock::new(|| {
    let (sender, starts) = channel::<Start>();
    thread::spawn(move || {
        for (mut command, answer) in starts {
            drop(answer.send(command.spawn()));
        }
    });
    Mutex::new(sender)
});

/// A program that writes what it says to a file, and is killed when this process is gone.
pub fn service(program: impl AsRef<OsStr>, log: &Path) -> Command {
    let log = File::options().create(true).append(true).open(log);
    let log = log.expect("a log file");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    command
}

/// Starts a [`service`].
///
/// # Panics
/// If it cannot be started.
pub fn start_service(command: Command) -> Child {
    let name = format!("{command:?}");
    let (sender, answer) = channel();
    let starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    starter.send((command, sender)).expect("a starting thread");
    drop(starter);
    let child = answer.recv().expect("a starting thread");
    child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}
