//! Rights by role, as somebody who is given or refused something sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use mosaic_auth::{
    Attributes, User,
    rbac::{
        EscalationError, Rbac, RbacKind, Rule, bootstrap_roles, check_binding, check_role, covers,
    },
};
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

fn cluster() -> Rbac {
    let mut rbac = Rbac::new();
    bootstrap_roles()
        .iter()
        .for_each(|object| rbac.upsert(object));
    rbac
}

fn user(name: &str) -> User {
    User::new(name, ["system:authenticated"])
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subject: Value) -> Value {
    let own = if namespace.is_empty() {
        "ClusterRoleBinding"
    } else {
        "RoleBinding"
    };
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": own,
        "metadata": { "namespace": namespace, "name": name },
        "roleRef": { "apiGroup": GROUP, "kind": kind, "name": role },
        "subjects": [subject],
    })
}

fn role(namespace: &str, name: &str, rules: Value) -> Value {
    let kind = if namespace.is_empty() {
        "ClusterRole"
    } else {
        "Role"
    };
    json!({ "kind": kind, "metadata": { "namespace": namespace, "name": name }, "rules": rules })
}

fn may(rbac: &Rbac, user: &User, request: &str) -> bool {
    rbac.authorize(&common::attributes(user, request)).allowed
}

#[test]
fn masters_may_do_everything_even_without_roles() {
    let admin = User::new("root", ["system:masters"]);
    assert!(may(&Rbac::new(), &admin, "delete /nodes"));
    assert!(
        Rbac::new()
            .authorize(&Attributes::path(&admin, "get", "/metrics"))
            .allowed
    );
    assert!(!may(&Rbac::new(), &user("alice"), "get /pods default"));
}

#[test]
fn a_role_binding_gives_a_cluster_role_in_its_namespace_only() {
    let mut rbac = cluster();
    let alice = user("alice");
    rbac.upsert(&binding(
        "shop",
        "alice",
        "ClusterRole",
        "edit",
        json!({"kind": "User", "name": "alice"}),
    ));
    for allowed in [
        "create /pods shop",
        "get /pods/log shop web-1",
        "create /pods/exec shop web-1",
        "update apps/deployments/scale shop web",
        "get /secrets shop s",
        "create mosaic/sets shop",
        "list /namespaces shop",
        "impersonate /serviceaccounts shop robot",
    ] {
        assert!(may(&rbac, &alice, allowed), "{allowed}");
    }
    for refused in [
        "create /pods other",
        "list /pods",
        "create /resourcequotas shop",
        "update /pods/status shop web-1",
        "create rbac.authorization.k8s.io/roles shop",
        "get /nodes - n1",
    ] {
        assert!(!may(&rbac, &alice, refused), "{refused}");
    }
    rbac.remove(RbacKind::RoleBinding, "shop", "alice");
    assert!(!may(&rbac, &alice, "create /pods shop"));
}

#[test]
fn view_does_not_see_secrets_and_admin_manages_roles() {
    let mut rbac = cluster();
    for role in ["admin", "edit", "view"] {
        rbac.upsert(&binding(
            "shop",
            role,
            "ClusterRole",
            role,
            json!({"kind": "Group", "name": role}),
        ));
    }
    let of = |group: &str| User::new("someone", [group]);
    assert!(may(&rbac, &of("view"), "list /pods shop"));
    assert!(!may(&rbac, &of("view"), "list /secrets shop"));
    assert!(!may(&rbac, &of("view"), "create /pods shop"));
    assert!(may(
        &rbac,
        &of("admin"),
        "create rbac.authorization.k8s.io/rolebindings shop"
    ));
    assert!(
        may(&rbac, &of("admin"), "create /pods shop"),
        "admin has what edit has"
    );
    assert!(!may(
        &rbac,
        &of("edit"),
        "create rbac.authorization.k8s.io/rolebindings shop"
    ));
}

#[test]
fn rules_follow_subresources_names_and_stars() {
    let mut rbac = Rbac::new();
    let rules = json!([
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"] },
        { "verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"] },
        { "verbs": ["*"], "apiGroups": ["batch"], "resources": ["*"] },
        { "verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"] },
        { "verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"] },
    ]);
    rbac.upsert(&role("", "mixed", rules));
    let who = json!({"kind": "ServiceAccount", "name": "robot", "namespace": "ci"});
    rbac.upsert(&binding("", "mixed", "ClusterRole", "mixed", who));
    let robot = User::service_account("ci", "robot");
    for allowed in [
        "get /pods/log a p",
        "update apps/deployments/scale a d",
        "deletecollection batch/jobs a",
        "patch batch/jobs/status a j",
        "get /configmaps a one",
        "list /configmaps a one",
    ] {
        assert!(may(&rbac, &robot, allowed), "{allowed}");
    }
    for refused in [
        "get /pods a p",
        "get /pods/exec a p",
        "update apps/deployments a d",
        "get /configmaps a two",
        "list /configmaps a",
        "update /configmaps a one",
        "get batch2/jobs a",
    ] {
        assert!(!may(&rbac, &robot, refused), "{refused}");
    }
    let path = |path| {
        rbac.authorize(&Attributes::path(&robot, "get", path))
            .allowed
    };
    assert!(path("/metrics") && path("/logs/") && path("/logs/x/y"));
    assert!(!path("/metrics/slis") && !path("/logs") && !path("/"));
}

#[test]
fn refusals_and_grants_say_why_in_kubernetes_words() {
    let mut rbac = cluster();
    let alice = user("alice");
    let request = Attributes {
        namespace: "shop",
        ..Attributes::resource(&alice, "list", "", "pods")
    };
    let decision = rbac.authorize(&request);
    assert_eq!(
        request.forbidden_message(&decision.reason),
        r#"User "alice" cannot list resource "pods" in API group "" in the namespace "shop""#
    );
    rbac.upsert(&binding(
        "shop",
        "b",
        "Role",
        "gone",
        json!({"kind": "User", "name": "alice"}),
    ));
    assert_eq!(
        request.forbidden_message(&rbac.authorize(&request).reason),
        r#"User "alice" cannot list resource "pods" in API group "" in the namespace "shop": RBAC: role.rbac.authorization.k8s.io "gone" not found"#
    );
    rbac.upsert(&binding(
        "",
        "v",
        "ClusterRole",
        "view",
        json!({"kind": "User", "name": "alice"}),
    ));
    assert_eq!(
        rbac.authorize(&request).reason.to_string(),
        r#"RBAC: allowed by ClusterRoleBinding "v" of ClusterRole "view" to User "alice""#
    );
    let log = Attributes {
        subresource: "log",
        ..Attributes::resource(&alice, "get", "", "pods")
    };
    assert_eq!(
        log.forbidden_message(&mosaic_auth::Reason::None),
        r#"User "alice" cannot get resource "pods/log" in API group "" at the cluster scope"#
    );
    let path = Attributes::path(&alice, "get", "/metrics");
    assert_eq!(
        path.forbidden_message(&mosaic_auth::Reason::None),
        r#"User "alice" cannot get path "/metrics""#
    );
}

#[test]
fn aggregated_roles_follow_the_labels_of_others() {
    let mut rbac = cluster();
    rbac.upsert(&binding(
        "",
        "v",
        "ClusterRole",
        "view",
        json!({"kind": "Group", "name": "readers"}),
    ));
    rbac.upsert(&binding(
        "",
        "a",
        "ClusterRole",
        "admin",
        json!({"kind": "Group", "name": "admins"}),
    ));
    let reader = User::new("r", ["readers"]);
    assert!(!may(&rbac, &reader, "get example.com/widgets a w"));
    let mut extension = role(
        "",
        "widgets-view",
        json!([{ "verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"] }]),
    );
    extension["metadata"]["labels"] =
        json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    rbac.upsert(&extension);
    assert!(may(&rbac, &reader, "get example.com/widgets a w"));
    let admin = User::new("a", ["admins"]);
    assert!(
        may(&rbac, &admin, "get example.com/widgets a w"),
        "view is gathered into edit into admin"
    );
    rbac.remove(RbacKind::ClusterRole, "", "widgets-view");
    assert!(!may(&rbac, &admin, "get example.com/widgets a w"));
}

#[test]
fn what_an_aggregated_role_says_of_itself_does_not_count_and_circles_end() {
    let mut rbac = Rbac::new();
    let mut circle = role(
        "",
        "circle",
        Value::from(vec![Rule::everything()[0].to_value()]),
    );
    circle["metadata"]["labels"] = json!({ "x": "y" });
    circle["aggregationRule"] =
        json!({ "clusterRoleSelectors": [{ "matchLabels": { "x": "y" } }] });
    rbac.upsert(&circle);
    let group = json!({"kind": "Group", "name": "readers"});
    rbac.upsert(&binding("", "c", "ClusterRole", "circle", group));
    let reader = User::new("r", ["readers"]);
    assert!(!may(&rbac, &reader, "get example.com/widgets a w"));
}

#[test]
fn a_selector_that_cannot_be_read_gathers_nothing() {
    let reader = User::new("r", ["readers"]);
    let gathered = |selector: Value| {
        let mut rbac = Rbac::new();
        let mut all = role(
            "",
            "all",
            Value::from(vec![Rule::everything()[0].to_value()]),
        );
        all["metadata"]["labels"] = json!({ "x": "y" });
        rbac.upsert(&all);
        let mut sum = role("", "sum", json!([]));
        sum["aggregationRule"] = json!({ "clusterRoleSelectors": [selector] });
        rbac.upsert(&sum);
        let group = json!({"kind": "Group", "name": "readers"});
        rbac.upsert(&binding("", "s", "ClusterRole", "sum", group));
        may(&rbac, &reader, "get example.com/widgets a w")
    };
    assert!(gathered(
        json!({ "matchExpressions": [{ "key": "x", "operator": "Exists" }] })
    ));
    assert!(!gathered(
        json!({ "matchExpressions": [{ "key": "x", "operator": "Maybe" }] })
    ));
    assert!(!gathered(Value::Null));
}

#[test]
fn everybody_gets_what_kubernetes_gives_everybody() {
    let rbac = cluster();
    let (alice, nobody) = (user("alice"), User::anonymous());
    let path =
        |user: &User, path: &str| rbac.authorize(&Attributes::path(user, "get", path)).allowed;
    assert!(
        path(&alice, "/apis/apps/v1") && path(&alice, "/openapi/v3") && path(&alice, "/version")
    );
    assert!(path(&nobody, "/healthz") && path(&nobody, "/version"));
    assert!(!path(&nobody, "/apis") && !path(&nobody, "/metrics") && !path(&alice, "/metrics"));
    assert!(may(
        &rbac,
        &alice,
        "create authorization.k8s.io/selfsubjectaccessreviews"
    ));
    assert!(!may(
        &rbac,
        &nobody,
        "create authorization.k8s.io/selfsubjectaccessreviews"
    ));
    let node = User::new("system:node:n1", ["system:nodes", "system:authenticated"]);
    assert!(
        !may(&rbac, &node, "get /secrets a s"),
        "hosts get nothing from roles"
    );
    let garbage = User::service_account("kube-system", "generic-garbage-collector");
    assert!(may(&rbac, &garbage, "delete example.com/widgets a w"));
    assert!(!may(
        &rbac,
        &User::service_account("shop", "generic-garbage-collector"),
        "delete /pods a w"
    ));
    let bootstrap = User::new("system:bootstrap:abcdef", ["system:bootstrappers"]);
    assert!(!may(
        &rbac,
        &bootstrap,
        "create certificates.k8s.io/certificatesigningrequests"
    ));
}

#[test]
fn bootstrap_objects_are_complete_and_marked() {
    let objects = bootstrap_roles();
    let mut seen = std::collections::HashSet::new();
    for object in &objects {
        let metadata = &object["metadata"];
        let key = format!(
            "{}/{}/{}",
            object["kind"], metadata["namespace"], metadata["name"]
        );
        assert!(seen.insert(key.clone()), "{key} twice");
        assert_eq!(
            metadata["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults",
            "{key}"
        );
        assert_eq!(
            metadata["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true",
            "{key}"
        );
        assert_eq!(object["apiVersion"], "rbac.authorization.k8s.io/v1");
        for rule in object["rules"].as_array().into_iter().flatten() {
            assert!(!rule["verbs"].as_array().unwrap().is_empty(), "{key}");
            assert!(
                rule.get("resources").is_some() != rule.get("nonResourceURLs").is_some(),
                "{key}"
            );
            assert_eq!(
                rule.get("resources").is_some(),
                rule.get("apiGroups").is_some(),
                "{key}"
            );
        }
    }
    // Every binding's role is there.
    for object in objects
        .iter()
        .filter(|object| object.get("roleRef").is_some())
    {
        let kind = object["roleRef"]["kind"].as_str().unwrap();
        let namespace = if kind == "Role" {
            object["metadata"]["namespace"].clone()
        } else {
            Value::Null
        };
        let key = format!("\"{kind}\"/{namespace}/{}", object["roleRef"]["name"]);
        assert!(seen.contains(&key), "{key} is bound and missing");
    }
    for name in [
        "cluster-admin",
        "admin",
        "edit",
        "view",
        "system:node",
        "system:kube-scheduler",
    ] {
        assert!(
            seen.contains(&format!("\"ClusterRole\"/null/{name:?}")),
            "{name}"
        );
    }
}

#[test]
fn nobody_writes_a_role_with_rights_that_they_lack() {
    let mut rbac = cluster();
    rbac.upsert(&binding(
        "shop",
        "alice",
        "ClusterRole",
        "admin",
        json!({"kind": "User", "name": "alice"}),
    ));
    let alice = user("alice");
    let fine = role(
        "shop",
        "r",
        json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]),
    );
    assert_eq!(check_role(&rbac, &alice, &fine, None), Ok(()));
    let wanted = json!([
        { "verbs": ["list", "get", "bind"], "apiGroups": [""], "resources": ["nodes", "pods"] },
        { "verbs": ["get"], "nonResourceURLs": ["/metrics"] },
    ]);
    let greedy = role("shop", "r", wanted);
    let Err(EscalationError::NotHeld(text)) = check_role(&rbac, &alice, &greedy, None) else {
        panic!("allowed")
    };
    assert_eq!(
        text,
        "user \"alice\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions \
         not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"list\" \"get\" \"bind\"]}\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"bind\"]}\n\
         {NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"
    );
    assert_eq!(
        check_role(&rbac, &alice, &greedy, Some(&greedy)),
        Ok(()),
        "rules that stay need no right"
    );
    // What is held in one namespace is not held in another, nor in the cluster.
    assert!(
        check_role(
            &rbac,
            &alice,
            &role("other", "r", fine["rules"].clone()),
            None
        )
        .is_err()
    );
    assert!(check_role(&rbac, &alice, &role("", "r", fine["rules"].clone()), None).is_err());
    // The verb `escalate` allows it all.
    rbac.upsert(&role(
        "shop",
        "escalators",
        json!([{ "verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"], "resourceNames": ["r"] }]),
    ));
    rbac.upsert(&binding(
        "shop",
        "e",
        "Role",
        "escalators",
        json!({"kind": "User", "name": "alice"}),
    ));
    assert_eq!(check_role(&rbac, &alice, &greedy, None), Ok(()));
    let root = User::new("root", ["system:masters"]);
    assert_eq!(check_role(&Rbac::new(), &root, &greedy, None), Ok(()));
}

#[test]
fn an_aggregating_role_needs_every_right() {
    let mut rbac = cluster();
    rbac.upsert(&binding(
        "",
        "v",
        "ClusterRole",
        "view",
        json!({"kind": "User", "name": "alice"}),
    ));
    rbac.upsert(&binding(
        "",
        "c",
        "ClusterRole",
        "cluster-admin",
        json!({"kind": "User", "name": "bob"}),
    ));
    let mut gathering = role("", "g", json!([]));
    gathering["aggregationRule"] =
        json!({ "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] });
    assert!(check_role(&rbac, &user("alice"), &gathering, None).is_err());
    assert_eq!(check_role(&rbac, &user("bob"), &gathering, None), Ok(()));
}

#[test]
fn nobody_binds_a_role_with_rights_that_they_lack() {
    let mut rbac = cluster();
    rbac.upsert(&binding(
        "shop",
        "alice",
        "ClusterRole",
        "admin",
        json!({"kind": "User", "name": "alice"}),
    ));
    let alice = user("alice");
    let bind = |role: &str| {
        binding(
            "shop",
            "b",
            "ClusterRole",
            role,
            json!({"kind": "User", "name": "eve"}),
        )
    };
    assert_eq!(check_binding(&rbac, &alice, &bind("edit"), None), Ok(()));
    let refused = check_binding(&rbac, &alice, &bind("cluster-admin"), None)
        .unwrap_err()
        .to_string();
    assert!(
        refused
            .contains("not currently held:\n{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"),
        "{refused}"
    );
    assert_eq!(
        check_binding(&rbac, &alice, &bind("none"), None)
            .unwrap_err()
            .to_string(),
        "clusterroles.rbac.authorization.k8s.io \"none\" not found"
    );
    let everywhere = binding(
        "",
        "b",
        "ClusterRole",
        "edit",
        json!({"kind": "User", "name": "eve"}),
    );
    assert!(check_binding(&rbac, &alice, &everywhere, None).is_err());
    assert_eq!(
        check_binding(
            &rbac,
            &alice,
            &bind("cluster-admin"),
            Some(&bind("cluster-admin"))
        ),
        Ok(())
    );
    // The verb `bind` allows it.
    rbac.upsert(&role(
        "shop",
        "binders",
        json!([{ "verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["cluster-admin"] }]),
    ));
    rbac.upsert(&binding(
        "shop",
        "binders",
        "Role",
        "binders",
        json!({"kind": "User", "name": "alice"}),
    ));
    assert_eq!(
        check_binding(&rbac, &alice, &bind("cluster-admin"), None),
        Ok(())
    );
}

#[test]
fn a_role_of_a_billion_rights_costs_nothing() {
    let many = |prefix: &str| {
        (0..1000)
            .map(|number| format!("{prefix}{number}"))
            .collect::<Vec<_>>()
    };
    let huge = Rule {
        verbs: many("v"),
        api_groups: many("g"),
        resources: many("r"),
        ..Rule::default()
    };
    assert_eq!(
        covers(&[], std::slice::from_ref(&huge)),
        std::slice::from_ref(&huge)
    );
    assert_eq!(covers(&Rule::everything(), &[huge]), []);
}

#[test]
fn my_rules_are_listed_once() {
    let mut rbac = cluster();
    for name in ["one", "two"] {
        rbac.upsert(&binding(
            "shop",
            name,
            "ClusterRole",
            "view",
            json!({"kind": "User", "name": "alice"}),
        ));
    }
    rbac.upsert(&binding(
        "shop",
        "x",
        "Role",
        "gone",
        json!({"kind": "User", "name": "alice"}),
    ));
    let rules = rbac.rules_for(&user("alice"), "shop");
    let unique: std::collections::HashSet<_> = rules.rules.iter().collect();
    assert_eq!(unique.len(), rules.rules.len());
    let status = rules.to_status();
    assert_eq!(status["incomplete"], true);
    assert_eq!(
        status["evaluationError"],
        "role.rbac.authorization.k8s.io \"gone\" not found"
    );
    assert!(
        status["nonResourceRules"]
            .as_array()
            .unwrap()
            .iter()
            .any(|rule| {
                rule["nonResourceURLs"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("/version"))
            })
    );
    assert!(!rbac.rules_for(&user("bob"), "shop").rules.is_empty());
}
