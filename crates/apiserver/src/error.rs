//! How failures of the store become `Status`.

use mosaic_api::{Reason, Status};
use mosaic_store::StoreError;

/// The `Status` of a failure of the store, other than a conflict that the caller resolves.
pub fn from_store(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => Status::expired(
            "The resourceVersion for the provided request is too old; start again without one.",
        ),
        StoreError::Future { asked, current } => {
            let mut status = Status::new(
                Reason::Timeout,
                format!("Too large resource version: {asked}, current: {current}"),
            );
            status.retry_after_seconds = 1;
            status
        }
        StoreError::Full(what) => Status::new(
            Reason::InsufficientStorage,
            format!(
                "the store has no room for this write ({what}); reads go on. Make room on the server's disk and try again"
            ),
        ),
        StoreError::TooLarge(_) => Status::new(Reason::RequestEntityTooLarge, error.to_string()),
        // Without a time to try again at: clients would do so ten times, in silence, and the store was
        // waited for already.
        StoreError::Unavailable(what) => Status::new(
            Reason::ServiceUnavailable,
            format!("the store does not answer: {what}"),
        ),
        StoreError::Conflict { .. } => Status::new(Reason::Conflict, error.to_string()),
        StoreError::Internal(what) => Status::internal(what.clone()),
    }
}
