//! Waiting for conditions, and ports to listen on.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait may take before it counts as a hang: far beyond what anything here needs. Who looks
/// for the reason of a hang sets `MOSAIC_DEADLINE_SECONDS` to less.
pub fn deadline() -> Duration {
    let seconds = std::env::var("MOSAIC_DEADLINE_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(60))
}

/// Asks until there is an answer.
///
/// # Panics
/// After [`deadline`], naming `what`.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let waited = started.elapsed();
        assert!(waited < deadline(), "waited {waited:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until the answer is yes.
///
/// # Panics
/// After [`deadline`], naming `what`.
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
