//! The paths of a document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::kind::{Resource, Source, Subresource};

use super::{
    group_version_kind, group_version_path,
    operation::{Action, Operation, in_path},
    schemas::{definition_of, list_definition_of, meta, subresource_definition},
};

/// The paths of all kinds of one group and version.
pub(super) fn paths(resources: &[&Resource]) -> BTreeMap<String, Value> {
    let mut paths = BTreeMap::new();
    for resource in resources {
        Paths {
            resource,
            tag: tag(resource),
            paths: &mut paths,
        }
        .add();
    }
    paths
}

struct Paths<'a> {
    resource: &'a Resource,
    tag: String,
    paths: &'a mut BTreeMap<String, Value>,
}

impl Paths<'_> {
    fn add(&mut self) {
        let base = group_version_path(&self.resource.group, &self.resource.version);
        let plural = self.resource.plural.clone();
        let collection = if self.resource.namespaced {
            format!("/{base}/namespaces/{{namespace}}/{plural}")
        } else {
            format!("/{base}/{plural}")
        };
        let object = format!("{collection}/{{name}}");
        let kind = definition_of(self.resource);
        let list = list_definition_of(self.resource);
        let own = |action: Action| (action, kind.clone());
        self.put(
            &collection,
            "",
            &[
                (Action::List, list.clone()),
                own(Action::Create),
                own(Action::DeleteCollection),
            ],
        );
        let verbs = [
            own(Action::Get),
            own(Action::Update),
            own(Action::Patch),
            own(Action::Delete),
        ];
        self.put(&object, "", &verbs);
        if self.resource.namespaced && self.resource.can("list") {
            self.put(
                &format!("/{base}/{plural}"),
                "ForAllNamespaces",
                &[(Action::List, list)],
            );
        }
        if self.resource.status {
            let verbs = [own(Action::Get), own(Action::Update), own(Action::Patch)];
            self.put(&format!("{object}/status"), "Status", &verbs);
        }
        if self.resource.scale.is_some() {
            let scale = Subresource {
                name: "scale",
                kind: "Scale",
                group: "autoscaling",
                version: "v1",
                verbs: &["get", "update", "patch"],
            };
            self.subresource(&object, &scale);
        }
        for sub in self.resource.subresources.clone() {
            self.subresource(&object, &sub);
        }
    }

    /// Adds a path with those of the actions that the kind can do.
    fn put(&mut self, path: &str, suffix: &str, actions: &[(Action, String)]) {
        let mut methods = Map::new();
        for (action, definition) in actions {
            let (method, verb) = method_and_verb(*action);
            if !self.resource.can(verb) {
                continue;
            }
            let gvk = group_version_kind(
                &self.resource.group,
                &self.resource.version,
                &self.resource.kind,
            );
            let operation = self.operation(*action, suffix, definition, gvk);
            methods.insert(method.to_owned(), operation.render());
        }
        self.insert(path, methods);
    }

    fn subresource(&mut self, object: &str, sub: &Subresource) {
        // A log is of the pod's kind in discovery, but its answer is text.
        let definition = match sub.name {
            "log" => None,
            _ => subresource_definition(sub.group, sub.version, sub.kind),
        };
        let gvk = group_version_kind(sub.group, sub.version, sub.kind);
        let mut methods = Map::new();
        for verb in sub.verbs {
            let action = match (&definition, *verb) {
                (None, _) => Action::Connect,
                (_, "get") => Action::Get,
                (_, "create") => Action::Create,
                (_, "update") => Action::Update,
                (_, "patch") => Action::Patch,
                (_, "delete") => Action::Delete,
                _ => continue,
            };
            let method = match *verb {
                "get" => "get",
                "create" => "post",
                "update" => "put",
                "patch" => "patch",
                "delete" => "delete",
                _ => continue,
            };
            let mut operation = self.operation(action, &camel(sub.name), "", gvk.clone());
            operation.answer.clone_from(&definition);
            operation.body = match action {
                Action::Create | Action::Update => definition.clone(),
                Action::Patch => Some(meta("Patch")),
                _ => None,
            };
            if action == Action::Connect {
                operation.id = format!("{}{}", action.word(), capital(method))
                    + operation.id.trim_start_matches(action.word());
            }
            methods.insert(method.to_owned(), operation.render());
        }
        self.insert(&format!("{object}/{}", sub.name), methods);
    }

    fn operation(
        &self,
        action: Action,
        suffix: &str,
        definition: &str,
        gvk: Value,
    ) -> Operation<'_> {
        let resource = self.resource;
        let scope = if resource.namespaced && suffix != "ForAllNamespaces" {
            "Namespaced"
        } else {
            ""
        };
        let group = if resource.group.is_empty() {
            "core"
        } else {
            &resource.group
        };
        let group = camel(group.split('.').next().unwrap_or(group));
        let version = capital(&resource.version);
        let own = || Some(definition.to_owned());
        let (body, answer) = match action {
            Action::Get | Action::List | Action::Connect => (None, own()),
            Action::Create | Action::Update => (own(), own()),
            Action::Patch => (Some(meta("Patch")), own()),
            Action::Delete | Action::DeleteCollection => {
                (Some(meta("DeleteOptions")), Some(meta("Status")))
            }
        };
        Operation {
            action,
            id: format!(
                "{}{group}{version}{scope}{}{suffix}",
                action.word(),
                resource.kind
            ),
            description: describe(action, resource, suffix),
            tag: &self.tag,
            body,
            answer,
            gvk,
            custom: matches!(resource.source, Source::Custom(_)),
        }
    }

    fn insert(&mut self, path: &str, mut methods: Map<String, Value>) {
        if methods.is_empty() {
            return;
        }
        let mut parameters = Vec::new();
        if path.contains("{name}") {
            parameters.push(in_path(
                "name",
                &format!("The name of the {}.", self.resource.kind),
            ));
        }
        if path.contains("{namespace}") {
            parameters.push(in_path(
                "namespace",
                "The namespace that the objects live in.",
            ));
        }
        if !parameters.is_empty() {
            methods.insert("parameters".to_owned(), Value::Array(parameters));
        }
        self.paths.insert(path.to_owned(), Value::Object(methods));
    }
}

fn method_and_verb(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Get | Action::Connect => ("get", "get"),
        Action::List => ("get", "list"),
        Action::Create => ("post", "create"),
        Action::Update => ("put", "update"),
        Action::Patch => ("patch", "patch"),
        Action::Delete => ("delete", "delete"),
        Action::DeleteCollection => ("delete", "deletecollection"),
    }
}

fn describe(action: Action, resource: &Resource, suffix: &str) -> String {
    let what = match suffix {
        "" | "ForAllNamespaces" => resource.kind.to_string(),
        suffix => format!("{} of a {}", suffix.to_lowercase(), resource.kind),
    };
    match action {
        Action::Get => format!("read the {what}"),
        Action::List => format!("list or watch objects of kind {}", resource.kind),
        Action::Create => format!("create a {what}"),
        Action::Update => format!("replace the {what}"),
        Action::Patch => format!("change parts of the {what}"),
        Action::Delete => format!("delete a {what}"),
        Action::DeleteCollection => format!("delete a collection of {}", resource.kind),
        Action::Connect => format!("connect to the {what}"),
    }
}

/// Such as `apps_v1`, `rbacAuthorization_v1`.
fn tag(resource: &Resource) -> String {
    let group = match &*resource.group {
        "" => "core".to_owned(),
        group => group.trim_end_matches(".k8s.io").replace('.', "_"),
    };
    format!("{group}_{}", resource.version)
}

/// `ephemeral-containers` to `EphemeralContainers`.
fn camel(text: &str) -> String {
    text.split(['-', '.', '/']).map(capital).collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
