//! Credentials for the cluster's registry, for those whose own credential it cannot see.

use jiff::Timestamp;
use mosaic_api::{Reason, Status};
use mosaic_auth::{User, groups};
use serde_json::{Value, json};

use crate::{REGISTRY_AUDIENCE, app::App};

/// Answers a `RegistryToken`: where the registry is, and a token for it that stands for the user.
///
/// Service accounts get no token. Theirs are good at the registry as they are, and end with the account;
/// one that only names the account would not.
///
/// # Errors
/// 404 where this server has no registry, 403 for whoever did not say who they are.
pub fn status(app: &App, user: &User) -> Result<Value, Status> {
    let Some(registry) = app.registry.get().map(|registry| &registry.address) else {
        return Err(Status::new(
            Reason::NotFound,
            "this server has no registry; it is started with --registry-listen ADDR:PORT",
        ));
    };
    if user.in_group(groups::UNAUTHENTICATED) {
        return Err(Status::forbidden(
            "mosaic",
            "registrytokens",
            "",
            "there is no credential for users who did not say who they are",
        ));
    }
    if user.in_group(groups::SERVICE_ACCOUNTS) {
        return Ok(json!({ "server": registry }));
    }
    let now = Timestamp::now();
    let issued = app
        .identity
        .issuer
        .issue_pass(user, REGISTRY_AUDIENCE, now.as_second())
        .map_err(|error| Status::internal(error.to_string()))?;
    let expires = Timestamp::from_second(issued.expires_at).unwrap_or(now);
    Ok(json!({
        "server": registry,
        "token": issued.token,
        "expirationTimestamp": mosaic_api::time::format(expires),
    }))
}
