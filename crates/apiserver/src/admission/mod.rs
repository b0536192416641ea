//! Rules about an object that look beyond the object: its namespace, its owner's rights, what other
//! objects say of it.
//!
//! [`mutate`] runs before validation and may change the object; [`check`] runs after it, and claims
//! what must not be given out twice (quota, addresses).

mod definitions;
mod images;
mod pods;
mod quota;
mod rights;
mod services;

use mosaic_api::{Status, meta};
use serde_json::Value;

pub use images::{ImagePolicy, Wanted};
pub use services::{Orphans, sweep_all};

use crate::{
    app::App,
    kinds::Kind,
    verbs::{Call, write::Part},
};

/// A write that is about to happen.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The request.
    pub call: &'a Call,
    /// The part of the object that it is to.
    pub part: Part,
    /// The object's namespace; empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object as it is; none if it is being created.
    pub old: Option<&'a Value>,
    /// Whether the write is only tried out.
    pub dry_run: bool,
}

impl Attempt<'_> {
    /// The kind.
    pub fn kind(&self) -> &Kind {
        &self.call.kind
    }

    /// Whether the object is of this built-in kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        *self.kind().group == *group && *self.kind().kind == *kind
    }

    /// Whether it is being created.
    pub fn creates(&self) -> bool {
        self.old.is_none()
    }

    /// 403 with a reason.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.kind().group, &self.kind().plural, self.name, why)
    }
}

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Changes an object as the cluster's other objects demand.
///
/// # Errors
/// 403 or 404 where they stand against it.
pub fn mutate(app: &App, attempt: &Attempt<'_>, new: &mut Value) -> Result<(), Status> {
    if attempt.creates() {
        namespace_is_open(app, attempt)?;
    }
    if attempt.part == Part::Main {
        pods::mutate(app, attempt, new)?;
    }
    rights::mutate(attempt, new);
    Ok(())
}

/// Fills in what only the server may say about an object, whatever the client sent.
pub fn complete(app: &App, attempt: &Attempt<'_>, new: &mut Value) {
    definitions::mutate(app, attempt, new);
}

/// Checks an object against the cluster's other objects, and claims what it uses.
///
/// # Errors
/// 403 where rights or quota are lacking.
pub async fn check(app: &App, attempt: &Attempt<'_>, new: &mut Value) -> Result<Claims, Status> {
    rights::check(app, attempt, new)?;
    pods::check(app, attempt, new)?;
    images::check(app, attempt, new).await?;
    let mut claims = Claims::default();
    if let Err(status) = services::claim(app, attempt, new, &mut claims).await {
        claims.give_back(app).await;
        return Err(status);
    }
    if let Err(status) = quota::claim(app, attempt, new, &mut claims).await {
        claims.give_back(app).await;
        return Err(status);
    }
    Ok(claims)
}

/// Checks whether an object may be deleted.
///
/// # Errors
/// 403 if it may not.
pub fn check_delete(app: &App, attempt: &Attempt<'_>) -> Result<(), Status> {
    if attempt.is("", "Namespace") && IMMORTAL.contains(&attempt.name) {
        return Err(attempt.forbidden("this namespace may not be deleted"));
    }
    rights::check_delete(app, attempt)
}

/// Checks whether a token may be had for a service account.
///
/// # Errors
/// 403 or 404 where it is not the host's to have.
pub fn check_token(app: &App, call: &Call, request: &Value) -> Result<(), Status> {
    let attempt = Attempt {
        call,
        part: Part::Token,
        namespace: &call.path.namespace,
        name: &call.path.name,
        old: None,
        dry_run: false,
    };
    rights::check(app, &attempt, request)
}

/// Checks whether a pod may be bound by who asks: hosts bind nothing.
///
/// # Errors
/// 403 if it may not.
pub fn check_binding(app: &App, call: &Call, binding: &Value) -> Result<(), Status> {
    let attempt = Attempt {
        call,
        part: Part::Binding,
        namespace: &call.path.namespace,
        name: &call.path.name,
        old: None,
        dry_run: false,
    };
    rights::check(app, &attempt, binding)
}

/// Gives back what a deleted object had claimed.
pub async fn released(app: &App, kind: &Kind, object: &Value) {
    if kind.is("", "Service") {
        services::release(app, object).await;
    }
}

/// What a write claimed before it was carried out.
#[derive(Debug, Default)]
pub struct Claims {
    /// Keys of the store that were written for the object.
    keys: Vec<String>,
    /// Quota that was counted: namespace, quota's name, what was added.
    quota: Vec<quota::Counted>,
}

impl Claims {
    /// Gives everything back, as the write did not happen. What cannot be given back now is found by
    /// [`Orphans`] and by the controller that counts quotas.
    pub async fn give_back(self, app: &App) {
        for key in self.keys {
            services::forget(app, &key).await;
        }
        for counted in self.quota {
            quota::give_back(app, counted).await;
        }
    }
}

/// Nothing is created in a namespace that is not there, or that is going.
fn namespace_is_open(app: &App, attempt: &Attempt<'_>) -> Result<(), Status> {
    if !attempt.kind().namespaced || attempt.namespace.is_empty() {
        return Ok(());
    }
    let key = format!("/core/namespaces/{}", attempt.namespace);
    let Some(namespace) = app.cache.get(&key) else {
        return Err(Status::not_found("", "namespaces", attempt.namespace));
    };
    // Only a namespace that goes has this member; parsing is for then.
    let going = memchr::memmem::find(&namespace.wire, b"\"deletionTimestamp\":\"").is_some()
        && meta::is_being_deleted(&namespace.value());
    if going {
        let mut status = attempt.forbidden(&format!(
            "unable to create new content in namespace {} because it is being terminated",
            attempt.namespace
        ));
        status.causes.push(mosaic_api::status::Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {} is being terminated", attempt.namespace),
            field: "metadata.namespace".to_owned(),
        });
        return Err(status);
    }
    Ok(())
}
