//! Discovery: which groups, versions and kinds are served (plain and aggregated).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kinds::{Kind, Snapshot};

/// `/api`
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// The groups but core, each with its versions, in the order of the table.
fn groups(kinds: &Snapshot) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in kinds.rows.iter().filter(|kind| !kind.group.is_empty()) {
        match groups.iter_mut().find(|(group, _)| *group == &*kind.group) {
            Some((_, versions)) if versions.contains(&&*kind.version) => {}
            Some((_, versions)) => versions.push(&kind.version),
            None => groups.push((&kind.group, vec![&kind.version])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(version_order(version)));
    }
    groups
}

fn group_object(group: &str, versions: &[&str]) -> Value {
    let listed: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": listed, "preferredVersion": listed.first()})
}

/// `/apis`
pub fn group_list(kinds: &Snapshot) -> Value {
    let groups: Vec<Value> = groups(kinds)
        .iter()
        .map(|(group, versions)| group_object(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`
pub fn group(kinds: &Snapshot, name: &str) -> Option<Value> {
    let (group, versions) = groups(kinds)
        .into_iter()
        .find(|(group, _)| *group == name)?;
    let mut object = group_object(group, &versions);
    if let Some(map) = object.as_object_mut() {
        map.insert("kind".to_owned(), json!("APIGroup"));
        map.insert("apiVersion".to_owned(), json!("v1"));
    }
    Some(object)
}

/// `/api/v1` and `/apis/GROUP/VERSION`
pub fn resource_list(kinds: &Snapshot, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds
        .rows
        .iter()
        .filter(|kind| *kind.group == *group && *kind.version == *version)
    {
        let mut resource = json!({
            "name": &*kind.plural,
            "singularName": &*kind.singular,
            "namespaced": kind.namespaced,
            "kind": &*kind.kind,
            "verbs": kind.verbs,
        });
        if let Some(map) = resource.as_object_mut() {
            if !kind.short_names.is_empty() {
                map.insert("shortNames".to_owned(), json!(kind.short_names));
            }
            if !kind.categories.is_empty() {
                map.insert("categories".to_owned(), json!(kind.categories));
            }
        }
        resources.push(resource);
        for sub in subresources(kind) {
            let mut resource = json!({
                "name": format!("{}/{}", kind.plural, sub.name),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if let (false, Some(map)) = (
                sub.group == &*kind.group && sub.version == &*kind.version,
                resource.as_object_mut(),
            ) {
                map.insert("group".to_owned(), json!(sub.group));
                map.insert("version".to_owned(), json!(sub.version));
            }
            resources.push(resource);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}),
    )
}

struct Sub<'a> {
    name: &'a str,
    kind: &'a str,
    group: &'a str,
    version: &'a str,
    verbs: &'a [&'a str],
}

fn subresources(kind: &Kind) -> Vec<Sub<'_>> {
    const READ_WRITE: &[&str] = &["get", "patch", "update"];
    let mut all = Vec::new();
    for sub in &kind.subresources {
        all.push(Sub {
            name: sub.name,
            kind: sub.kind,
            group: sub.group,
            version: sub.version,
            verbs: sub.verbs,
        });
    }
    if kind.scale.is_some() {
        all.push(Sub {
            name: "scale",
            kind: "Scale",
            group: "autoscaling",
            version: "v1",
            verbs: READ_WRITE,
        });
    }
    if kind.status {
        all.push(Sub {
            name: "status",
            kind: &kind.kind,
            group: &kind.group,
            version: &kind.version,
            verbs: READ_WRITE,
        });
    }
    all.sort_by_key(|sub| sub.name);
    all
}

/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`: the core group alone (`/api`) or all others
/// (`/apis`).
pub fn aggregated(kinds: &Snapshot, core: bool) -> Value {
    let mut order: Vec<(&str, Vec<&str>)> = if core {
        vec![("", vec!["v1"])]
    } else {
        groups(kinds)
    };
    let items: Vec<Value> = order
        .drain(..)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = kinds
                        .rows
                        .iter()
                        .filter(|kind| *kind.group == *group && *kind.version == **version)
                        .map(|kind| aggregated_resource(kind))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let mut metadata = Map::new();
            metadata.insert("creationTimestamp".to_owned(), Value::Null);
            if !group.is_empty() {
                metadata.insert("name".to_owned(), json!(group));
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("resource", json!(&*kind.plural)),
        (
            "responseKind",
            json!({"group": &*kind.group, "version": &*kind.version, "kind": &*kind.kind}),
        ),
        (
            "scope",
            json!(if kind.namespaced {
                "Namespaced"
            } else {
                "Cluster"
            }),
        ),
        ("singularResource", json!(&*kind.singular)),
        ("verbs", json!(kind.verbs)),
    ]);
    if !kind.short_names.is_empty() {
        fields.insert("shortNames", json!(kind.short_names));
    }
    if !kind.categories.is_empty() {
        fields.insert("categories", json!(kind.categories));
    }
    let subs: Vec<Value> = subresources(kind)
        .iter()
        .map(|sub| {
            json!({"subresource": sub.name, "verbs": sub.verbs,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind}})
        })
        .collect();
    if !subs.is_empty() {
        fields.insert("subresources", json!(subs));
    }
    json!(fields)
}

/// Where a version stands: stable ones before beta before alpha, later numbers first, and names that
/// follow no pattern last (Kubernetes' version priority).
fn version_order(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse::<u32>().ok();
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    if let Some(major) = number(rest) {
        return (3, major, 0);
    }
    for (stage, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (stage, major, minor);
        }
    }
    (0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::version_order;

    #[test]
    fn stable_versions_come_first() {
        let mut versions = ["v1alpha1", "v2beta1", "foo1", "v1", "v11beta2", "v2", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_order(version)));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v11beta2", "v2beta1", "v1alpha1", "foo1"]
        );
    }
}
