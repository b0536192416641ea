//! Quotas of namespaces.

use mosaic_api::Status;
use serde_json::Value;

use super::{Attempt, Claims};
use crate::app::App;

/// What was counted against a quota.
#[derive(Debug)]
pub(super) struct Counted {}

/// Counts an object against the quotas of its namespace.
pub(super) async fn claim(
    _app: &App,
    _attempt: &Attempt<'_>,
    _new: &Value,
    _claims: &mut Claims,
) -> Result<(), Status> {
    Ok(())
}

/// Takes back what was counted.
pub(super) async fn give_back(_app: &App, _counted: Counted) {}
