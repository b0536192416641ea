//! Kinds that are questions: nothing is stored, the answer comes back in `status`.

use http::{Response, StatusCode};
use jiff::Timestamp;
use mosaic_api::{Status, meta};
use mosaic_auth::{Attributes, User};
use mosaic_schema::FieldError;
use serde_json::{Value, json};

use super::{Call, body};
use crate::{
    app::App,
    http::respond::{self, Body},
};

/// POST of a question.
pub async fn create(app: &App, call: &Call) -> Result<Response<Body>, Status> {
    let mut complaints = Vec::new();
    let mut review = body::read(call, &mut complaints)?;
    body::check_kind(&mut review, &call.kind.api_version, &call.kind.kind)?;
    body::shape(&call.kind, &mut review, &mut complaints)?;
    let mut warnings = Vec::new();
    body::FieldValidation::from_query(&call.query.field_validation)?
        .judge(complaints, &mut warnings)?;
    let invalid = |error| {
        Err(Status::invalid(
            &call.kind.group,
            &call.kind.kind,
            "",
            &[error],
        ))
    };
    app.cache
        .fresh()
        .await
        .map_err(|e| crate::error::from_store(&e))?;
    let status = match &*call.kind.kind {
        "SelfSubjectReview" => json!({"userInfo": call.user}),
        "SelfSubjectAccessReview" => match access(app, &call.user, &review, "") {
            Ok(status) => status,
            Err(error) => return invalid(error),
        },
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let user = subject(&review);
            if user.name.is_empty() && user.groups.is_empty() {
                return invalid(FieldError::invalid(
                    "spec.user",
                    "",
                    "at least one of user or group must be specified",
                ));
            }
            let local = if &*call.kind.kind == "LocalSubjectAccessReview" {
                call.path.namespace.as_str()
            } else {
                ""
            };
            match access(app, &user, &review, local) {
                Ok(status) => status,
                Err(error) => return invalid(error),
            }
        }
        "SelfSubjectRulesReview" => {
            let namespace = review
                .pointer("/spec/namespace")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            app.identity
                .authorizer
                .rbac()
                .rules_for(&call.user, namespace)
                .to_status()
        }
        "TokenReview" => {
            let token = review
                .pointer("/spec/token")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if token.is_empty() {
                return Err(Status::bad_request(
                    "token is required for TokenReview in authentication",
                ));
            }
            let audiences: Vec<String> = review
                .pointer("/spec/audiences")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|audience| audience.as_str().map(str::to_owned))
                .collect();
            app.identity.review(&app.cache, token, &audiences)
        }
        "RegistryToken" => super::registry_token::status(app, &call.user)?,
        _ => return Err(Status::no_such_path()),
    };
    meta::set(
        &mut review,
        "creationTimestamp",
        json!(mosaic_api::time::format(Timestamp::now())),
    );
    if let Some(review) = review.as_object_mut() {
        review.insert("status".to_owned(), status);
    }
    let mut response = respond::json(StatusCode::CREATED, call.accept, &review);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn subject(review: &Value) -> User {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let texts = |value: Option<&Value>| -> Vec<String> {
        value
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    let text = |key: &str| {
        spec.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    User {
        name: text("user"),
        uid: text("uid"),
        groups: texts(spec.get("groups")),
        extra: spec
            .get("extra")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.clone(), texts(Some(values))))
            .collect(),
    }
}

fn access(app: &App, user: &User, review: &Value, local: &str) -> Result<Value, FieldError> {
    let text = |path: &str| {
        review
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let has = |path: &str| review.pointer(path).is_some_and(Value::is_object);
    let attributes = match (
        has("/spec/resourceAttributes"),
        has("/spec/nonResourceAttributes"),
    ) {
        (true, false) => {
            let namespace = text("/spec/resourceAttributes/namespace");
            if !local.is_empty() && namespace != local {
                return Err(FieldError::invalid(
                    "spec.resourceAttributes.namespace",
                    namespace,
                    "must match metadata.namespace",
                ));
            }
            Attributes {
                subresource: text("/spec/resourceAttributes/subresource"),
                namespace,
                name: text("/spec/resourceAttributes/name"),
                ..Attributes::resource(
                    user,
                    text("/spec/resourceAttributes/verb"),
                    text("/spec/resourceAttributes/group"),
                    text("/spec/resourceAttributes/resource"),
                )
            }
        }
        (false, true) => Attributes::path(
            user,
            text("/spec/nonResourceAttributes/verb"),
            text("/spec/nonResourceAttributes/path"),
        ),
        _ => {
            return Err(FieldError::invalid(
                "spec.resourceAttributes",
                Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    let decision = app.identity.authorizer.authorize(&attributes);
    let reason = decision.reason.to_string();
    let mut status = json!({"allowed": decision.allowed});
    if let (false, Some(status)) = (reason.is_empty(), status.as_object_mut()) {
        status.insert("reason".to_owned(), json!(reason));
    }
    Ok(status)
}
