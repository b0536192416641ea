//! One operation of a path: parameters, body and answers.

use mosaic_schema::reference_to;
use serde_json::{Map, Value, json};

/// A parameter of a query: its name, its JSON type, and what it does.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = (
    "pretty",
    "string",
    "If true, the answer is printed with line breaks.",
);
const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "All: the request goes through every stage but the last, so that nothing is stored.",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "Who owns the fields that the request sets, in at most 128 printable characters.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: Ignore drops them, Warn (the default) drops them with a warning, \
     Strict fails the request.",
);
const FORCE: Parameter = (
    "force",
    "boolean",
    "Take over fields that others own. Apply patches only.",
);
const RESOURCE_VERSION: Parameter = (
    "resourceVersion",
    "string",
    "Which state to answer from: unset for the latest, 0 for any, else this one.",
);
const GRACE_PERIOD: Parameter = (
    "gracePeriodSeconds",
    "integer",
    "How many seconds the object has before it is deleted; 0 is at once.",
);
const PROPAGATION: Parameter = (
    "propagationPolicy",
    "string",
    "What becomes of dependents: Orphan, Background or Foreground.",
);
const ORPHAN: Parameter = (
    "orphanDependents",
    "boolean",
    "Deprecated: use propagationPolicy.",
);
const LIST: [Parameter; 10] = [
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send BOOKMARK events.",
    ),
    (
        "continue",
        "string",
        "Where to go on with a list that had a limit.",
    ),
    (
        "fieldSelector",
        "string",
        "Only objects with these values of fields.",
    ),
    ("labelSelector", "string", "Only objects with these labels."),
    (
        "limit",
        "integer",
        "At most this many objects; the answer says where to go on.",
    ),
    RESOURCE_VERSION,
    (
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant: NotOlderThan or Exact.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch starts with the objects that are there.",
    ),
    (
        "timeoutSeconds",
        "integer",
        "After how many seconds the answer ends.",
    ),
    (
        "watch",
        "boolean",
        "Answer with a stream of changes instead of a list.",
    ),
];

/// What an operation does; decides its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    List,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Connect,
}

impl Action {
    /// The value of `x-kubernetes-action`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "post",
            Self::Update => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Connect => "connect",
        }
    }

    /// The first word of operation ids, as in `readAppsV1NamespacedDeployment`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deleteCollection",
            Self::Connect => "connect",
        }
    }

    fn parameters(self) -> Vec<Parameter> {
        let written = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let deleted = [PRETTY, DRY_RUN, GRACE_PERIOD, ORPHAN, PROPAGATION];
        match self {
            Self::Get => vec![PRETTY],
            Self::List => [PRETTY].into_iter().chain(LIST).collect(),
            Self::Create | Self::Update => written.to_vec(),
            Self::Patch => written.into_iter().chain([FORCE]).collect(),
            Self::Delete => deleted.to_vec(),
            // A bulk deletion selects like a list, but cannot watch.
            Self::DeleteCollection => {
                let selected = LIST
                    .into_iter()
                    .filter(|(name, ..)| !["allowWatchBookmarks", "watch"].contains(name));
                deleted.into_iter().chain(selected).collect()
            }
            Self::Connect => Vec::new(),
        }
    }
}

/// An operation in the making.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) action: Action,
    /// Such as `readAppsV1NamespacedDeployment`.
    pub(super) id: String,
    /// What it does, for people.
    pub(super) description: String,
    /// Such as `apps_v1`.
    pub(super) tag: &'a str,
    /// The definition of the body, if there is one.
    pub(super) body: Option<String>,
    /// The definition of the answer; none for text.
    pub(super) answer: Option<String>,
    /// The kind that it is about.
    pub(super) gvk: Value,
    /// Whether the kind is a custom one.
    pub(super) custom: bool,
}

impl Operation<'_> {
    pub(super) fn render(self) -> Value {
        let parameters: Vec<Value> = self.action.parameters().into_iter().map(query).collect();
        let answer = match &self.answer {
            Some(name) => content(
                &["application/json", "application/yaml"],
                &reference_to(name),
            ),
            None => content(&["*/*"], &json!({"type": "string"})),
        };
        let mut responses = Map::new();
        responses.insert(
            "200".to_owned(),
            json!({"description": "OK", "content": answer}),
        );
        if matches!(self.action, Action::Create | Action::Update | Action::Patch) {
            responses.insert(
                "201".to_owned(),
                json!({"description": "Created", "content": answer}),
            );
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        let mut operation = json!({
            "operationId": self.id,
            "description": self.description,
            "tags": [self.tag],
            "parameters": parameters,
            "responses": responses,
            "x-kubernetes-action": self.action.name(),
            "x-kubernetes-group-version-kind": self.gvk,
        });
        if let (Some(name), Some(operation)) = (&self.body, operation.as_object_mut()) {
            let media_types: &[&str] = match self.action {
                // kubectl sends custom kinds a strategic merge patch where this says that they take one.
                Action::Patch if self.custom => &[
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/apply-patch+yaml",
                ],
                Action::Patch => &[
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/strategic-merge-patch+json",
                    "application/apply-patch+yaml",
                ],
                _ => &["application/json", "application/yaml"],
            };
            let required = !matches!(self.action, Action::Delete | Action::DeleteCollection);
            let body =
                json!({"content": content(media_types, &reference_to(name)), "required": required});
            operation.insert("requestBody".to_owned(), body);
        }
        operation
    }
}

fn content(media_types: &[&str], schema: &Value) -> Value {
    media_types
        .iter()
        .map(|media_type| ((*media_type).to_owned(), json!({"schema": schema})))
        .collect::<Map<_, _>>()
        .into()
}

fn query((name, ty, description): Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": ty, "uniqueItems": true}})
}

/// A parameter of the path, such as `{name}`.
pub(super) fn in_path(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "description": description, "required": true,
        "schema": {"type": "string", "uniqueItems": true},
    })
}
