//! What a server serves, and which type a name on the command line means.

use std::collections::HashSet;

use futures::future::{join_all, try_join};
use serde_json::Value;

use super::{ApiError, Client, Resource};
use crate::failure::Failure;
use crate::manifest;
use crate::nearest::did_you_mean;

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Every type that a server serves, in the order of preference.
#[derive(Debug, Clone, Default)]
pub(crate) struct Discovery {
    resources: Vec<Resource>,
    group_versions: Vec<String>,
    unavailable: Vec<String>,
}

pub(super) async fn discover(client: &Client) -> Result<Discovery, ApiError> {
    let core = client.raw_accepting("/api", AGGREGATED);
    let groups = client.raw_accepting("/apis", AGGREGATED);
    let (core, groups) = try_join(core, groups).await?;
    let mut discovery = Discovery::default();
    for (root, document) in [("/api", core), ("/apis", groups)] {
        if document.get("kind").and_then(Value::as_str) == Some("APIGroupDiscoveryList") {
            discovery.add_aggregated(&document);
        } else {
            let versions = plain_versions(&document);
            let answers = join_all(versions.iter().map(|version| {
                let path = format!("{root}/{version}");
                async move { client.raw(&path).await }
            }))
            .await;
            for (version, answer) in versions.iter().zip(answers) {
                match answer {
                    Ok(list) => discovery.add_plain(version, &list),
                    // One group that is out of order must not hide the others.
                    Err(_) => discovery.unavailable.push(version.clone()),
                }
            }
        }
    }
    Ok(discovery)
}

/// The group versions in an APIVersions or an APIGroupList, each group's preferred version first.
fn plain_versions(document: &Value) -> Vec<String> {
    if let Some(versions) = document.get("versions") {
        return texts(Some(versions));
    }
    let mut found = Vec::new();
    for group in array(document.get("groups")) {
        let preferred = text(group.pointer("/preferredVersion/groupVersion"));
        let mut versions: Vec<String> = array(group.get("versions"))
            .iter()
            .map(|version| text(version.get("groupVersion")))
            .collect();
        versions.sort_by_key(|version| *version != preferred);
        found.extend(versions);
    }
    found
}

fn array(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    array(value)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

impl Discovery {
    /// All types, the preferred version of each group first.
    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// `v1`, `apps/v1`, …
    pub(crate) fn group_versions(&self) -> &[String] {
        &self.group_versions
    }

    /// Groups that did not answer.
    pub(crate) fn unavailable(&self) -> &[String] {
        &self.unavailable
    }

    fn add_aggregated(&mut self, document: &Value) {
        for group in array(document.get("items")) {
            let name = text(group.pointer("/metadata/name"));
            for version in array(group.get("versions")) {
                let version_name = text(version.get("version"));
                let mut found = Vec::new();
                for entry in array(version.get("resources")) {
                    found.push(Resource {
                        group: name.clone(),
                        version: version_name.clone(),
                        kind: text(entry.pointer("/responseKind/kind")),
                        plural: text(entry.get("resource")),
                        singular: text(entry.get("singularResource")),
                        short_names: texts(entry.get("shortNames")),
                        categories: texts(entry.get("categories")),
                        namespaced: entry.get("scope").and_then(Value::as_str)
                            == Some("Namespaced"),
                        verbs: texts(entry.get("verbs")),
                    });
                }
                self.add(&name, &version_name, found);
            }
        }
    }

    fn add_plain(&mut self, group_version: &str, list: &Value) {
        let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
        let found = array(list.get("resources"))
            .iter()
            // A name with a slash is a subresource.
            .filter(|entry| !text(entry.get("name")).contains('/'))
            .map(|entry| Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: text(entry.get("kind")),
                plural: text(entry.get("name")),
                singular: text(entry.get("singularName")),
                short_names: texts(entry.get("shortNames")),
                categories: texts(entry.get("categories")),
                namespaced: entry
                    .get("namespaced")
                    .and_then(Value::as_bool)
                    .unwrap_or_default(),
                verbs: texts(entry.get("verbs")),
            })
            .collect();
        self.add(group, version, found);
    }

    fn add(&mut self, group: &str, version: &str, mut found: Vec<Resource>) {
        let group_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        self.group_versions.push(group_version);
        found.sort_by(|a, b| a.plural.cmp(&b.plural));
        self.resources.extend(found);
    }

    /// The types that a list of names means: `po,deploy.apps`, or a category such as `all`.
    pub(crate) fn resolve_list(&self, names: &str) -> Result<Vec<&Resource>, Failure> {
        let mut found: Vec<&Resource> = Vec::new();
        for name in names.split(',') {
            let name = name.trim();
            let members = self.category(name);
            if members.is_empty() {
                found.push(self.resolve(name)?);
            } else {
                found.extend(members);
            }
        }
        let mut seen = HashSet::new();
        found.retain(|resource| seen.insert(resource.qualified()));
        Ok(found)
    }

    fn category(&self, name: &str) -> Vec<&Resource> {
        let mut seen = HashSet::new();
        self.resources
            .iter()
            .filter(|resource| resource.categories.iter().any(|category| category == name))
            .filter(|resource| resource.can("list"))
            .filter(|resource| seen.insert(resource.qualified()))
            .collect()
    }

    /// The type that a name means: plural, singular, short name or kind, alone, with its group
    /// (`deploy.apps`) or with version and group (`deployments.v1.apps`).
    pub(crate) fn resolve(&self, name: &str) -> Result<&Resource, Failure> {
        if name.is_empty() {
            return Err(
                Failure::usage("a type is missing").hint("`mos api-resources` lists the types")
            );
        }
        self.find(name).ok_or_else(|| self.unknown(name))
    }

    fn find(&self, name: &str) -> Option<&Resource> {
        let called = |resource: &&Resource, name: &str| resource.is_called(name);
        let Some((base, rest)) = name.split_once('.') else {
            return self
                .resources
                .iter()
                .find(|resource| called(resource, name));
        };
        let mut of_name = self
            .resources
            .iter()
            .filter(|resource| called(resource, base));
        let exact = of_name.clone().find(|resource| resource.group == rest);
        if exact.is_some() {
            return exact;
        }
        let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
        let versioned = of_name
            .clone()
            .find(|resource| resource.version == version && resource.group == group);
        if versioned.is_some() {
            return versioned;
        }
        of_name.find(|resource| resource.group.starts_with(rest))
    }

    fn unknown(&self, name: &str) -> Failure {
        let failure = Failure::new(format!("the server has no type `{name}`"));
        if manifest::is_file_name(name) {
            return failure.hint(format!("did you mean `-f {name}`?"));
        }
        let base = name.split('.').next().unwrap_or(name);
        let names = self.resources.iter().flat_map(|resource| {
            [resource.plural.as_str(), resource.singular.as_str()]
                .into_iter()
                .chain(resource.short_names.iter().map(String::as_str))
                .filter(|name| !name.is_empty())
        });
        let failure = match did_you_mean(base, names) {
            Some(hint) => failure.hint(hint),
            None => failure.hint("`mos api-resources` lists the types that this server knows"),
        };
        if self.unavailable.is_empty() {
            failure
        } else {
            failure.hint(format!(
                "these groups did not answer: {}",
                self.unavailable.join(", ")
            ))
        }
    }

    /// The type of an object by its `apiVersion` and `kind`.
    pub(crate) fn of_object(&self, api_version: &str, kind: &str) -> Result<&Resource, Failure> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self.resources.iter().find(|resource| {
            resource.group == group && resource.version == version && resource.kind == kind
        });
        found.ok_or_else(|| {
            let failure = Failure::new(format!(
                "the server has no kind `{kind}` in `{api_version}`"
            ));
            let elsewhere: Vec<String> = self
                .resources
                .iter()
                .filter(|resource| resource.kind == kind)
                .map(Resource::api_version)
                .collect();
            if !elsewhere.is_empty() {
                return failure.hint(format!("it has `{kind}` in {}", elsewhere.join(", ")));
            }
            let kinds = self.resources.iter().map(|resource| resource.kind.as_str());
            match did_you_mean(kind, kinds) {
                Some(hint) => failure.hint(hint),
                None => failure.hint("a custom kind needs its CustomResourceDefinition first"),
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A small server's types.
    pub(crate) fn sample() -> Discovery {
        let entry = |plural: &str,
                     singular: &str,
                     kind: &str,
                     short: &[&str],
                     scope: &str,
                     categories: &[&str]| {
            json!({"resource": plural, "singularResource": singular, "responseKind": {"kind": kind}, "scope": scope,
                "shortNames": short, "categories": categories, "verbs": ["get", "list", "delete", "patch"]})
        };
        let mut discovery = Discovery::default();
        discovery.add_aggregated(
            &json!({"items": [{"versions": [{"version": "v1", "resources": [
                entry("pods", "pod", "Pod", &["po"], "Namespaced", &["all"]),
                entry("nodes", "node", "Node", &["no"], "Cluster", &[]),
                entry("events", "event", "Event", &["ev"], "Namespaced", &[]),
                entry("namespaces", "namespace", "Namespace", &["ns"], "Cluster", &[]),
            ]}]}]}),
        );
        discovery.add_aggregated(&json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
                entry("deployments", "deployment", "Deployment", &["deploy"], "Namespaced", &["all"]),
            ]}]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                entry("events", "event", "Event", &["ev"], "Namespaced", &[]),
            ]}]},
        ]}));
        discovery
    }

    #[test]
    fn every_way_of_naming_a_type_finds_it() {
        let discovery = sample();
        for name in [
            "deploy",
            "deployments",
            "deployment",
            "Deployment",
            "deploy.apps",
            "deployments.v1.apps",
            "deployment.app",
        ] {
            assert_eq!(
                discovery.resolve(name).unwrap().qualified(),
                "deployments.apps",
                "{name}"
            );
        }
        assert_eq!(discovery.resolve("events").unwrap().group, "");
        assert_eq!(discovery.resolve("pods.v1").unwrap().group, "");
        assert_eq!(
            discovery.resolve("ev.events.k8s.io").unwrap().group,
            "events.k8s.io"
        );
        assert!(discovery.resolve("deploy.batch").is_err());
    }

    #[test]
    fn an_unknown_type_is_answered_with_near_ones() {
        let failure = sample().resolve("deplyoment").unwrap_err();
        assert!(
            format!("{failure:?}").contains("did you mean `deployment`"),
            "{failure:?}"
        );
        let failure = sample()
            .of_object("extensions/v1beta1", "Deployment")
            .unwrap_err();
        assert!(format!("{failure:?}").contains("apps/v1"), "{failure:?}");
    }

    #[test]
    fn a_file_in_the_place_of_a_type_is_noticed() {
        let failure = sample().resolve("web.yaml").unwrap_err();
        assert!(
            format!("{failure:?}").contains("did you mean `-f web.yaml`?"),
            "{failure:?}"
        );
    }

    #[test]
    fn lists_and_categories_are_expanded_once() {
        let discovery = sample();
        let names = |text: &str| -> Vec<String> {
            discovery
                .resolve_list(text)
                .unwrap()
                .iter()
                .map(|resource| resource.qualified())
                .collect()
        };
        assert_eq!(names("po,pods,deploy"), ["pods", "deployments.apps"]);
        assert_eq!(names("all"), ["pods", "deployments.apps"]);
    }

    #[test]
    fn plain_discovery_is_read_too() {
        let groups = json!({"groups": [{"name": "apps", "versions": [{"groupVersion": "apps/v1beta1"}, {"groupVersion": "apps/v1"}],
            "preferredVersion": {"groupVersion": "apps/v1"}}]});
        assert_eq!(plain_versions(&groups), ["apps/v1", "apps/v1beta1"]);
        let mut discovery = Discovery::default();
        discovery.add_plain("apps/v1", &json!({"resources": [
            {"name": "deployments", "singularName": "deployment", "kind": "Deployment", "namespaced": true, "verbs": ["get"]},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true, "verbs": ["get"]},
        ]}));
        assert_eq!(discovery.resources().len(), 1);
        assert_eq!(
            discovery.resources()[0].path(Some("a b"), Some("x")),
            "/apis/apps/v1/namespaces/a%20b/deployments/x"
        );
    }
}
