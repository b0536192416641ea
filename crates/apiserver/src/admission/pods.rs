//! What pods and claims for storage get from the cluster: service account, priority, limits, class.

use mosaic_api::Status;
use serde_json::Value;

use super::Attempt;
use crate::app::App;

/// Fills in what the cluster decides.
pub(super) fn mutate(app: &App, attempt: &Attempt<'_>, new: &mut Value) -> Result<(), Status> {
    if attempt.is("batch", "Job") && attempt.creates() {
        let uid = crate::verbs::write::text(new, "uid").unwrap_or_default();
        mosaic_validation::job_selector(new, &uid);
    }
    let _ = app;
    Ok(())
}

/// Checks what the cluster limits.
pub(super) fn check(_app: &App, _attempt: &Attempt<'_>, _new: &Value) -> Result<(), Status> {
    Ok(())
}
