//! Waiting for conditions, and ports to listen on.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait may take before it counts as a hang. Far beyond what anything here needs.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until the answer is yes.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
pub fn wait_until(what: &str, mut ask: impl FnMut() -> bool) {
    wait_for(what, || ask().then_some(()));
}

/// A TCP port of the loopback address on which nothing listens now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener
        .local_addr()
        .expect("the address just bound")
        .port()
}
