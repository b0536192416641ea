//! Decisions by the index are those of a reading that is too slow and too simple to be wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use mosaic_auth::{
    Attributes, User,
    rbac::{Rbac, RbacKind, Rule, covers},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

const NAMESPACES: [&str; 2] = ["a", "b"];
const NAMES: [&str; 3] = ["one", "two", "three"];
const VERBS: [&str; 4] = ["get", "list", "create", "*"];
const GROUPS: [&str; 3] = ["", "apps", "*"];
const RESOURCES: [&str; 7] = [
    "pods",
    "deployments",
    "pods/log",
    "*/log",
    "*/scale",
    "deployments/scale",
    "*",
];
const URLS: [&str; 6] = ["/a", "/a/*", "/a/b", "/a/b*", "*", "/c"];
const USERS: [&str; 3] = ["alice", "bob", "system:serviceaccount:a:one"];
const USER_GROUPS: [&str; 2] = ["devs", "ops"];

fn texts(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    vec(select(from), 0..=most).prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    let resources = (
        texts(&VERBS, 2),
        texts(&GROUPS, 2),
        texts(&RESOURCES, 3),
        texts(&NAMES, 2),
    )
        .prop_map(|(verbs, api_groups, resources, resource_names)| Rule {
            verbs,
            api_groups,
            resources,
            resource_names,
            ..Rule::default()
        });
    let urls = (texts(&VERBS, 2), texts(&URLS, 2)).prop_map(|(verbs, non_resource_urls)| Rule {
        verbs,
        non_resource_urls,
        ..Rule::default()
    });
    prop_oneof![4 => resources, 1 => urls]
}

fn object() -> impl Strategy<Value = Value> {
    let namespace = || select(&["", "a", "b"][..]);
    let role = (namespace(), select(&NAMES[..]), vec(rule(), 0..3)).prop_map(|(namespace, name, rules)| {
        let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
        let rules: Vec<Value> = rules.iter().map(Rule::to_value).collect();
        json!({ "kind": kind, "metadata": { "namespace": namespace, "name": name }, "rules": rules })
    });
    let subject = prop_oneof![
        select(&USERS[..]).prop_map(|name| json!({ "kind": "User", "name": name })),
        select(&USER_GROUPS[..]).prop_map(|name| json!({ "kind": "Group", "name": name })),
        Just(json!({ "kind": "ServiceAccount", "namespace": "a", "name": "one" })),
        Just(json!({ "kind": "ServiceAccount", "name": "one" })),
        Just(json!({ "kind": "Robot", "name": "alice" })),
    ];
    let binding = (
        namespace(),
        select(&NAMES[..]),
        select(&["Role", "ClusterRole"][..]),
        select(&NAMES[..]),
        vec(subject, 0..3),
    )
        .prop_map(|(namespace, name, role_kind, role, subjects)| {
            let kind = if namespace.is_empty() {
                "ClusterRoleBinding"
            } else {
                "RoleBinding"
            };
            json!({
                "kind": kind, "metadata": { "namespace": namespace, "name": name },
                "roleRef": { "kind": role_kind, "name": role }, "subjects": subjects,
            })
        });
    prop_oneof![role, binding]
}

#[derive(Debug, Clone)]
enum Change {
    Upsert(Value),
    Remove(RbacKind, String, String),
}

fn change() -> impl Strategy<Value = Change> {
    let kinds = [
        RbacKind::Role,
        RbacKind::ClusterRole,
        RbacKind::RoleBinding,
        RbacKind::ClusterRoleBinding,
    ];
    let remove = (
        select(kinds.to_vec()),
        select(&NAMESPACES[..]),
        select(&NAMES[..]),
    )
        .prop_map(|(kind, namespace, name)| {
            let namespaced = matches!(kind, RbacKind::Role | RbacKind::RoleBinding);
            Change::Remove(
                kind,
                if namespaced { namespace } else { "" }.to_owned(),
                name.to_owned(),
            )
        });
    prop_oneof![5 => object().prop_map(Change::Upsert), 1 => remove]
}

#[derive(Debug, Clone)]
struct Request {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    namespace: &'static str,
    name: &'static str,
    path: &'static str,
}

impl Request {
    fn attributes<'a>(&self, user: &'a User) -> Attributes<'a> {
        if !self.path.is_empty() {
            return Attributes::path(user, self.verb, self.path);
        }
        Attributes {
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            ..Attributes::resource(user, self.verb, self.group, self.resource)
        }
    }
}

fn request() -> impl Strategy<Value = Request> {
    (
        select(&["get", "list", "create", "delete"][..]),
        select(&["", "apps", "batch"][..]),
        select(&["pods", "deployments", "jobs"][..]),
        select(&["", "log", "scale"][..]),
        select(&["", "a", "b"][..]),
        select(&["", "one", "two"][..]),
        prop_oneof![3 => Just(""), 1 => select(&["/a", "/a/", "/a/b", "/a/bc", "/c", "/d"][..])],
    )
        .prop_map(
            |(verb, group, resource, subresource, namespace, name, path)| Request {
                verb,
                group,
                resource,
                subresource,
                namespace,
                name,
                path,
            },
        )
}

/// Whether a rule allows a request, read off Kubernetes' documentation.
fn rule_allows(rule: &Value, request: &Request) -> bool {
    let list = |field: &str| -> Vec<String> {
        rule[field]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    let any = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
    if !any(&list("verbs"), request.verb) {
        return false;
    }
    if !request.path.is_empty() {
        return list("nonResourceURLs")
            .iter()
            .any(|url| match url.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => url == request.path,
            });
    }
    let mut wanted = vec!["*".to_owned()];
    if request.subresource.is_empty() {
        wanted.push(request.resource.to_owned());
    } else {
        wanted.push(format!("{}/{}", request.resource, request.subresource));
        wanted.push(format!("*/{}", request.subresource));
    }
    let names = list("resourceNames");
    any(&list("apiGroups"), request.group)
        && list("resources")
            .iter()
            .any(|resource| wanted.contains(resource))
        && (names.is_empty() || names.iter().any(|name| name == request.name))
}

fn oracle(
    objects: &BTreeMap<(String, String, String), Value>,
    user: &User,
    request: &Request,
) -> bool {
    let get = |kind: &str, namespace: &str, name: &str| {
        objects.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
    };
    objects.iter().any(|((kind, namespace, _), binding)| {
        let applies = match kind.as_str() {
            "ClusterRoleBinding" => true,
            "RoleBinding" => request.path.is_empty() && namespace == request.namespace,
            _ => false,
        };
        let named = binding["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|subject| {
                let name = subject["name"].as_str().unwrap();
                match subject["kind"].as_str().unwrap() {
                    "User" => name == user.name,
                    "Group" => user.groups.iter().any(|group| group == name),
                    "ServiceAccount" => {
                        let own = subject["namespace"].as_str().unwrap_or(namespace);
                        format!("system:serviceaccount:{own}:{name}") == user.name
                    }
                    _ => false,
                }
            });
        let role_name = binding["roleRef"]["name"].as_str().unwrap_or_default();
        let role = match binding["roleRef"]["kind"].as_str() {
            Some("Role") if kind == "RoleBinding" => get("Role", namespace, role_name),
            Some("ClusterRole") => get("ClusterRole", "", role_name),
            _ => None,
        };
        applies
            && named
            && role.is_some_and(|role| {
                role["rules"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|rule| rule_allows(rule, request))
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn decisions_are_those_of_the_plain_reading(
        changes in vec(change(), 0..30),
        requests in vec((select(&USERS[..]), vec(select(&USER_GROUPS[..]), 0..2), request()), 1..12),
    ) {
        let mut rbac = Rbac::new();
        let mut objects = BTreeMap::new();
        for change in changes {
            match change {
                Change::Upsert(object) => {
                    rbac.upsert(&object);
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    let metadata = &object["metadata"];
                    let key = (text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]));
                    objects.insert(key, object);
                }
                Change::Remove(kind, namespace, name) => {
                    rbac.remove(kind, &namespace, &name);
                    objects.remove(&(format!("{kind:?}"), namespace, name));
                }
            }
        }
        for (name, groups, request) in requests {
            let user = User::new(name, groups);
            let decision = rbac.authorize(&request.attributes(&user));
            prop_assert_eq!(decision.allowed, oracle(&objects, &user, &request), "{:?}", request);
            // And the rules that are listed for a user decide alike.
            if request.path.is_empty() {
                let rules = rbac.rules_for(&user, request.namespace);
                let listed = rules.rules.iter().any(|rule| rule.allows(&request.attributes(&user)));
                prop_assert_eq!(listed, decision.allowed);
            }
        }
    }

    #[test]
    fn whoever_covers_rules_may_do_all_that_they_allow(
        held in vec(rule(), 0..6),
        wanted in vec(rule(), 0..3),
        requests in vec(request(), 1..40),
    ) {
        let user = User::new("u", ["g"]);
        let missing = covers(&held, &wanted);
        for request in requests {
            let attributes = request.attributes(&user);
            let by = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(&attributes));
            if by(&wanted) {
                prop_assert!(by(&held) || by(&missing), "{:?} is allowed, not held and not missing", request);
            }
        }
        prop_assert!(covers(&wanted, &wanted).is_empty());
        prop_assert!(covers(&Rule::everything(), &wanted).is_empty());
        // Who held what is missing, too, would hold all.
        let both: Vec<Rule> = held.iter().chain(&missing).cloned().collect();
        prop_assert!(covers(&both, &wanted).is_empty());
    }
}
