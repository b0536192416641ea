//! Trying again what may succeed later.

use std::time::Duration;

use crate::place::PlaceError;

/// How often something is tried.
const TRIES: u32 = 4;
/// What is waited before the second try; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How often something failed so far.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    failed: u32,
}

impl Retry {
    /// Waits after a failure, of which `tell` is told before.
    ///
    /// # Errors
    ///
    /// The failure, when trying again does not help or was done often enough.
    pub(crate) async fn wait(
        &mut self,
        error: PlaceError,
        tell: impl FnOnce(&PlaceError),
    ) -> Result<(), PlaceError> {
        self.failed += 1;
        if self.failed >= TRIES || !error.may_retry() {
            return Err(error);
        }
        tell(&error);
        tokio::time::sleep(FIRST_WAIT * 2u32.pow(self.failed - 1)).await;
        Ok(())
    }
}

/// Does something several times, as long as trying again may help.
pub(crate) async fn again<T, F>(mut call: impl FnMut() -> F) -> Result<T, PlaceError>
where
    F: Future<Output = Result<T, PlaceError>>,
{
    let mut retry = Retry::default();
    loop {
        match call().await {
            Err(error) => retry.wait(error, |_| {}).await?,
            done => return done,
        }
    }
}
