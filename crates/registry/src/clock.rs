//! The time, so that tests have their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time and waits.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Seconds since 1970.
    fn now(&self) -> u64;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait::async_trait]
impl Clock for System {
    fn now(&self) -> u64 {
        // Before 1970 nothing has been pushed.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
