//! The query parameters of the API, and the options that they make.

use mosaic_api::Status;
use percent_encoding::percent_decode_str;

/// The parameters that the API knows; others are ignored, as Kubernetes does.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// `watch`
    pub watch: bool,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`
    pub send_initial_events: Option<bool>,
    /// `timeoutSeconds`
    pub timeout_seconds: Option<u64>,
    /// `labelSelector`
    pub label_selector: String,
    /// `fieldSelector`
    pub field_selector: String,
    /// `limit`; 0 for no limit
    pub limit: usize,
    /// `continue`
    pub continue_token: String,
    /// `resourceVersion`
    pub resource_version: String,
    /// `resourceVersionMatch`
    pub resource_version_match: String,
    /// `dryRun`, once for each value
    pub dry_run: Vec<String>,
    /// `fieldManager`
    pub field_manager: String,
    /// `fieldValidation`
    pub field_validation: String,
    /// `force`
    pub force: Option<bool>,
    /// `pretty`
    pub pretty: bool,
    /// `gracePeriodSeconds`
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy`
    pub propagation_policy: String,
    /// `orphanDependents`
    pub orphan_dependents: Option<bool>,
    /// `omitManagedFields`, which is not of Kubernetes: reads without `metadata.managedFields`, for clients that do not
    /// look at them. They are the larger part of most objects.
    pub omit_managed_fields: bool,
    /// `ignoreStoreReadErrorWithClusterBreakingPotential` and whatever else came, decoded, in order.
    pub others: Vec<(String, String)>,
}

impl Query {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400 for values that are not of their parameter's type.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decode(key), decode(value));
            match key.as_str() {
                "watch" => query.watch = flag(&value),
                "allowWatchBookmarks" => query.bookmarks = flag(&value),
                "sendInitialEvents" => query.send_initial_events = Some(flag(&value)),
                "timeoutSeconds" => query.timeout_seconds = Some(number(&key, &value)?),
                "labelSelector" => query.label_selector = value,
                "fieldSelector" => query.field_selector = value,
                "limit" => query.limit = number(&key, &value)?,
                "continue" => query.continue_token = value,
                "resourceVersion" => query.resource_version = value,
                "resourceVersionMatch" => query.resource_version_match = value,
                "dryRun" => query.dry_run.push(value),
                "fieldManager" => query.field_manager = value,
                "fieldValidation" => query.field_validation = value,
                "force" => query.force = Some(flag(&value)),
                "pretty" => query.pretty = flag(&value),
                "gracePeriodSeconds" => query.grace_period_seconds = Some(number(&key, &value)?),
                "propagationPolicy" => query.propagation_policy = value,
                "orphanDependents" => query.orphan_dependents = Some(flag(&value)),
                "omitManagedFields" => query.omit_managed_fields = flag(&value),
                _ => query.others.push((key, value)),
            }
        }
        Ok(query)
    }

    /// Whether the request only tries out what would happen.
    ///
    /// # Errors
    /// 422 for values other than `All`.
    pub fn is_dry_run(&self) -> Result<bool, Status> {
        match self.dry_run.iter().find(|value| *value != "All") {
            None => Ok(!self.dry_run.is_empty()),
            Some(other) => {
                let error =
                    mosaic_schema::FieldError::not_supported("dryRun", other.as_str(), &["All"]);
                Err(Status::invalid_option("Options", error))
            }
        }
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn flag(value: &str) -> bool {
    !matches!(value, "0" | "false" | "False" | "FALSE" | "f" | "F")
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Status> {
    value.parse().map_err(|_| {
        Status::bad_request(format!("{key}: {value:?} is not a whole number in range"))
    })
}
