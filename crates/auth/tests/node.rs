//! What a host may touch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use mosaic_auth::{
    Attributes, Authorizer, User,
    authn::{BoundKind, BoundObjects},
    node::{Graph, NodeWrite, Operation, restrict},
    rbac::bootstrap_roles,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

fn node_user(name: &str) -> User {
    User::new(
        format!("system:node:{name}"),
        ["system:nodes", "system:authenticated"],
    )
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": { "namespace": "shop", "name": name, "uid": format!("{name}-uid") },
        "spec": {
            "nodeName": node,
            "serviceAccountName": "robot",
            "imagePullSecrets": [{ "name": "pull" }],
            "containers": [{
                "env": [
                    { "valueFrom": { "secretKeyRef": { "name": "env-secret", "key": "k" } } },
                    { "valueFrom": { "configMapKeyRef": { "name": "env-config", "key": "k" } } },
                ],
                "envFrom": [{ "secretRef": { "name": "all-secret" } }, { "configMapRef": { "name": "all-config" } }],
            }],
            "initContainers": [{ "env": [{ "valueFrom": { "secretKeyRef": { "name": "init-secret" } } }] }],
            "volumes": [
                { "name": "a", "secret": { "secretName": "volume-secret" } },
                { "name": "b", "configMap": { "name": "volume-config" } },
                { "name": "c", "projected": { "sources": [
                    { "secret": { "name": "projected-secret" } },
                    { "configMap": { "name": "projected-config" } },
                    { "serviceAccountToken": { "path": "token" } },
                ] } },
                { "name": "d", "persistentVolumeClaim": { "claimName": "data" } },
                { "name": "e", "ephemeral": { "volumeClaimTemplate": {} } },
                { "name": "f", "csi": { "driver": "x", "nodePublishSecretRef": { "name": "csi-secret" } } },
            ],
        },
    })
}

fn volume(name: &str, claim: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "claimRef": { "namespace": "shop", "name": claim },
            "csi": { "nodeStageSecretRef": { "namespace": "storage", "name": "ceph" } },
        },
    })
}

/// An authorizer with the roles of a new cluster and a pod on n1.
fn authorizer() -> Authorizer {
    let authorizer = Authorizer::new();
    bootstrap_roles()
        .iter()
        .for_each(|object| authorizer.rbac_mut().upsert(object));
    authorizer.graph_mut().upsert_pod(&pod("web", "n1"));
    authorizer.graph_mut().upsert_volume(&volume("pv1", "data"));
    authorizer
        .graph_mut()
        .upsert_attachment(&json!({ "metadata": { "name": "va" }, "spec": { "nodeName": "n1" } }));
    authorizer
}

fn decide(authorizer: &Authorizer, user: &User, request: &str) -> Result<(), String> {
    let decision = authorizer.authorize(&common::attributes(user, request));
    if decision.allowed {
        Ok(())
    } else {
        Err(decision.reason.to_string())
    }
}

#[test]
fn a_host_reads_what_its_pods_refer_to_and_nothing_else() {
    let authorizer = authorizer();
    let related = [
        "get /secrets shop pull",
        "get /secrets shop env-secret",
        "list /secrets shop all-secret",
        "watch /secrets shop init-secret",
        "get /secrets shop volume-secret",
        "get /secrets shop projected-secret",
        "get /secrets shop csi-secret",
        "get /secrets storage ceph",
        "get /configmaps shop env-config",
        "get /configmaps shop all-config",
        "get /configmaps shop volume-config",
        "watch /configmaps shop projected-config",
        "get /persistentvolumeclaims shop data",
        "get /persistentvolumeclaims shop web-e",
        "patch /persistentvolumeclaims/status shop data",
        "get /persistentvolumes - pv1",
        "get storage.k8s.io/volumeattachments - va",
        "create /serviceaccounts/token shop robot",
        "get /pods shop web",
        "watch /pods shop web",
    ];
    for request in related {
        assert_eq!(
            decide(&authorizer, &node_user("n1"), request),
            Ok(()),
            "{request}"
        );
        let refusal = decide(&authorizer, &node_user("n2"), request).unwrap_err();
        assert_eq!(
            refusal, "no relationship found between node 'n2' and this object",
            "{request}"
        );
    }
    for request in [
        "get /secrets shop other",
        "get /secrets other pull",
        "list /secrets shop",
        "list /secrets",
        "update /secrets shop pull",
        "delete /configmaps shop env-config",
        "get /persistentvolumes - pv2",
        "list /persistentvolumes",
        "create /serviceaccounts/token shop admin",
        "create /serviceaccounts shop",
        "get /pods shop other",
        "list /pods",
        "update /pods shop web",
        "create /pods/exec shop web",
        "create /pods/binding shop web",
        "create apps/deployments shop",
        "create rbac.authorization.k8s.io/clusterrolebindings",
    ] {
        assert!(
            decide(&authorizer, &node_user("n1"), request).is_err(),
            "{request}"
        );
    }
    // When the pod goes, so does what it opened.
    authorizer.graph_mut().remove_pod("shop", "web");
    for request in related
        .into_iter()
        .filter(|request| !request.contains("volumeattachments"))
    {
        assert!(
            decide(&authorizer, &node_user("n1"), request).is_err(),
            "{request}"
        );
    }
}

#[test]
fn a_host_reads_its_own_node_lease_and_pods() {
    let authorizer = authorizer();
    for request in [
        "get /nodes - n1",
        "watch /nodes - n1",
        "create /nodes",
        "patch /nodes/status - n1",
        "create coordination.k8s.io/leases kube-node-lease",
        "update coordination.k8s.io/leases kube-node-lease n1",
        "get storage.k8s.io/csinodes - n1",
        "list /services",
        "watch discovery.k8s.io/endpointslices",
        "create /events shop",
        "create certificates.k8s.io/certificatesigningrequests",
        "create /pods/eviction shop web",
        "patch /pods/status shop web",
    ] {
        assert_eq!(
            decide(&authorizer, &node_user("n1"), request),
            Ok(()),
            "{request}"
        );
    }
    for request in [
        "get /nodes - n2",
        "list /nodes",
        "delete /nodes - n1",
        "update coordination.k8s.io/leases kube-node-lease n2",
        "update coordination.k8s.io/leases kube-system n1",
        "list coordination.k8s.io/leases kube-node-lease",
        "delete storage.k8s.io/csinodes - n2",
        "create /services shop",
    ] {
        assert!(
            decide(&authorizer, &node_user("n1"), request).is_err(),
            "{request}"
        );
    }
    let user = node_user("n1");
    let list = |selected_node| {
        let request = Attributes {
            selected_node,
            ..Attributes::resource(&user, "list", "", "pods")
        };
        authorizer.authorize(&request).allowed
    };
    assert!(list(Some("n1")));
    assert!(!list(Some("n2")) && !list(None));
}

#[test]
fn only_hosts_are_hosts() {
    let authorizer = authorizer();
    for user in [
        User::new("system:node:n1", ["system:authenticated"]),
        User::new("n1", ["system:nodes"]),
        User::new("system:node:", ["system:nodes"]),
    ] {
        assert!(
            decide(&authorizer, &user, "get /secrets shop pull").is_err(),
            "{user:?}"
        );
    }
    let root = User::new("root", ["system:masters"]);
    assert_eq!(
        decide(&authorizer, &root, "get /secrets shop anything"),
        Ok(())
    );
}

#[test]
fn a_mirror_pod_opens_nothing() {
    let mut mirror = pod("mirror", "n2");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    let authorizer = authorizer();
    authorizer.graph_mut().upsert_pod(&mirror);
    assert!(decide(&authorizer, &node_user("n2"), "get /secrets shop pull").is_err());
    assert_eq!(
        decide(&authorizer, &node_user("n2"), "get /pods shop mirror"),
        Ok(())
    );
}

#[test]
fn a_role_may_give_a_host_more() {
    let authorizer = authorizer();
    authorizer.rbac_mut().upsert(&json!({
        "kind": "ClusterRoleBinding", "metadata": { "name": "nodes-see-all" },
        "roleRef": { "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "Group", "name": "system:nodes" }],
    }));
    assert_eq!(decide(&authorizer, &node_user("n1"), "list /pods"), Ok(()));
}

struct Uids;

impl BoundObjects for Uids {
    fn uid_of(&self, kind: BoundKind, _namespace: &str, name: &str) -> Option<String> {
        (kind == BoundKind::Node && name == "n1").then(|| "n1-uid".to_owned())
    }
}

fn write<'a>(
    operation: Operation,
    what: &'a str,
    object: Option<&'a Value>,
    old: Option<&'a Value>,
) -> NodeWrite<'a> {
    let mut parts = what.split('/');
    NodeWrite {
        operation,
        group: parts.next().unwrap(),
        resource: parts.next().unwrap(),
        subresource: parts.next().unwrap_or_default(),
        namespace: "shop",
        name: "",
        object,
        old,
    }
}

fn by_n1(write: &NodeWrite<'_>) -> Result<(), String> {
    let mut graph = Graph::new();
    graph.upsert_pod(&pod("web", "n1"));
    graph.upsert_pod(&pod("far", "n2"));
    restrict("n1", write, &graph, &Uids).map_err(|error| error.to_string())
}

#[test]
fn a_host_creates_mirror_pods_on_itself_only() {
    let mirror = json!({
        "metadata": {
            "namespace": "shop", "name": "m", "annotations": { "kubernetes.io/config.mirror": "x" },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1-uid", "controller": true,
            }],
        },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] },
    });
    let create = |change: &dyn Fn(&mut Value)| {
        let mut pod = mirror.clone();
        change(&mut pod);
        by_n1(&write(Operation::Create, "/pods", Some(&pod), None))
    };
    assert_eq!(create(&|_| {}), Ok(()));
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 13] = [
        (
            |pod| pod["metadata"]["annotations"] = json!({}),
            "can only create mirror pods",
        ),
        (
            |pod| pod["spec"]["nodeName"] = json!("n2"),
            "spec.nodeName set to itself",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"] = json!([]),
            "an owner reference set to itself",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"] = json!([{}, {}]),
            "single owner reference",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"][0]["name"] = json!("n2"),
            "owner reference set to itself",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"][0]["controller"] = json!(false),
            "controller owner reference",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true),
            "blockOwnerDeletion",
        ),
        (
            |pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("x"),
            "node n1 UID mismatch: expected x got n1-uid",
        ),
        (
            |pod| pod["spec"]["serviceAccountName"] = json!("robot"),
            "reference a service account",
        ),
        (
            |pod| pod["spec"]["imagePullSecrets"] = json!([{ "name": "s" }]),
            "reference secrets",
        ),
        (
            |pod| pod["spec"]["volumes"] = json!([{ "configMap": { "name": "c" } }]),
            "reference configmaps",
        ),
        (
            |pod| {
                pod["spec"]["volumes"] = json!([{ "persistentVolumeClaim": { "claimName": "c" } }])
            },
            "reference persistentvolumeclaims",
        ),
        (
            |pod| {
                pod["spec"]["volumes"] =
                    json!([{ "projected": { "sources": [{ "serviceAccountToken": {} }] } }])
            },
            "reference service account tokens",
        ),
    ];
    for (change, why) in cases {
        let refusal = create(&change).unwrap_err();
        assert!(refusal.contains(why), "{refusal} for {why}");
    }
}

#[test]
fn a_host_changes_its_own_pods_status_and_ends_them() {
    let (own, other) = (pod("web", "n1"), pod("far", "n2"));
    let mut running = own.clone();
    running["status"] = json!({ "phase": "Running" });
    assert_eq!(
        by_n1(&write(
            Operation::Update,
            "/pods/status",
            Some(&running),
            Some(&own)
        )),
        Ok(())
    );
    assert!(
        by_n1(&write(
            Operation::Update,
            "/pods/status",
            Some(&other),
            Some(&other)
        ))
        .is_err()
    );
    running["metadata"]["labels"] = json!({ "app": "stolen" });
    let refusal = by_n1(&write(
        Operation::Update,
        "/pods/status",
        Some(&running),
        Some(&own),
    ))
    .unwrap_err();
    assert_eq!(
        refusal,
        "node \"n1\" cannot update labels through pod status"
    );
    assert!(
        by_n1(&write(
            Operation::Update,
            "/pods",
            Some(&running),
            Some(&own)
        ))
        .is_err()
    );
    assert_eq!(
        by_n1(&write(Operation::Delete, "/pods", None, Some(&own))),
        Ok(())
    );
    assert!(by_n1(&write(Operation::Delete, "/pods", None, Some(&other))).is_err());
    let eviction = json!({ "metadata": { "name": "far" } });
    assert_eq!(
        by_n1(&write(
            Operation::Create,
            "/pods/eviction",
            Some(&eviction),
            Some(&own)
        )),
        Ok(())
    );
    assert!(
        by_n1(&write(
            Operation::Create,
            "/pods/eviction",
            Some(&eviction),
            Some(&other)
        ))
        .is_err()
    );
    assert!(
        by_n1(&write(
            Operation::Create,
            "/pods/eviction",
            Some(&eviction),
            None
        ))
        .unwrap_err()
        .contains("not found")
    );
    assert!(
        by_n1(&write(
            Operation::Update,
            "/pods/resize",
            Some(&own),
            Some(&own)
        ))
        .is_err()
    );
}

#[test]
fn a_host_changes_its_own_node_but_not_what_placement_relies_on() {
    let node = |labels: Value, taints: Value| json!({ "metadata": { "name": "n1", "labels": labels }, "spec": { "taints": taints } });
    let plain =
        json!({ "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "room": "r1" });
    let old = node(plain.clone(), json!([]));
    let create = |object: &Value| by_n1(&write(Operation::Create, "/nodes", Some(object), None));
    let update = |object: &Value| {
        by_n1(&NodeWrite {
            name: "n1",
            ..write(Operation::Update, "/nodes", Some(object), Some(&old))
        })
    };
    assert_eq!(create(&old), Ok(()));
    assert_eq!(
        create(&node(
            plain.clone(),
            json!([{ "key": "new", "effect": "NoSchedule" }])
        )),
        Ok(())
    );
    assert_eq!(
        update(&node(
            json!({ "room": "r2", "node.kubernetes.io/x": "y" }),
            json!([])
        )),
        Ok(())
    );
    for (key, allowed) in [
        ("node-restriction.kubernetes.io/pool", false),
        ("a.node-restriction.kubernetes.io/pool", false),
        ("node-role.kubernetes.io/control-plane", false),
        ("k8s.io/x", false),
        ("evil.kubernetes.io/x", false),
        ("sub.node.kubernetes.io/x", true),
        ("kubelet.kubernetes.io/x", true),
        ("topology.kubernetes.io/zone", true),
        ("notkubernetes.io/x", true),
        ("mosaic/x", true),
    ] {
        let mut labels = plain.clone();
        labels[key] = json!("x");
        assert_eq!(
            update(&node(labels.clone(), json!([]))).is_ok(),
            allowed,
            "{key}"
        );
        assert_eq!(create(&node(labels, json!([]))).is_ok(), allowed, "{key}");
    }
    let refusal = update(&node(plain.clone(), json!([{ "key": "x" }]))).unwrap_err();
    assert_eq!(refusal, "node \"n1\" is not allowed to modify taints");
    let other = json!({ "metadata": { "name": "n2" } });
    assert_eq!(
        create(&other).unwrap_err(),
        "node \"n1\" is not allowed to modify node \"n2\""
    );
    assert!(
        by_n1(&NodeWrite {
            name: "n2",
            ..write(
                Operation::Update,
                "/nodes/status",
                Some(&other),
                Some(&other)
            )
        })
        .is_err()
    );
    // A name in the body that is not the path's does not help.
    assert!(
        by_n1(&NodeWrite {
            name: "n2",
            ..write(Operation::Update, "/nodes", Some(&old), Some(&old))
        })
        .is_err()
    );
}

#[test]
fn a_host_gets_tokens_for_its_pods_only() {
    let token = |name: &str, uid: &str| json!({ "spec": { "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid } } });
    let ask = |request: &Value| {
        by_n1(&write(
            Operation::Create,
            "/serviceaccounts/token",
            Some(request),
            None,
        ))
    };
    assert_eq!(ask(&token("web", "web-uid")), Ok(()));
    for (request, why) in [
        (json!({ "spec": {} }), "not bound to a pod"),
        (
            json!({ "spec": { "boundObjectRef": { "apiVersion": "v1", "kind": "Secret", "name": "x" } } }),
            "not bound to a pod",
        ),
        (token("web", ""), "without a uid"),
        (token("web", "old-uid"), "does not match the UID in record"),
        (token("far", "far-uid"), "scheduled on a different node"),
        (token("gone", "x"), "not found"),
    ] {
        let refusal = ask(&request).unwrap_err();
        assert!(refusal.contains(why), "{refusal} for {why}");
    }
}

#[test]
fn a_host_writes_its_own_lease_and_claims_status_only() {
    let lease = |name: &str| json!({ "metadata": { "name": name } });
    let create = |namespace, name| {
        let lease = lease(name);
        by_n1(&NodeWrite {
            namespace,
            ..write(
                Operation::Create,
                "coordination.k8s.io/leases",
                Some(&lease),
                None,
            )
        })
    };
    assert_eq!(create("kube-node-lease", "n1"), Ok(()));
    assert!(create("kube-node-lease", "n2").is_err() && create("kube-system", "n1").is_err());
    let csi = lease("n2");
    assert!(
        by_n1(&write(
            Operation::Create,
            "storage.k8s.io/csinodes",
            Some(&csi),
            None
        ))
        .is_err()
    );
    let old = json!({ "metadata": { "name": "c", "resourceVersion": "1" }, "spec": { "volumeName": "v" } });
    let mut grown = old.clone();
    grown["metadata"]["resourceVersion"] = json!("");
    grown["status"] = json!({ "capacity": { "storage": "2Gi" } });
    let what = "/persistentvolumeclaims/status";
    assert_eq!(
        by_n1(&write(Operation::Update, what, Some(&grown), Some(&old))),
        Ok(())
    );
    grown["spec"]["volumeName"] = json!("other");
    assert!(by_n1(&write(Operation::Update, what, Some(&grown), Some(&old))).is_err());
    assert!(
        by_n1(&write(
            Operation::Update,
            "/persistentvolumeclaims",
            Some(&old),
            Some(&old)
        ))
        .is_err()
    );
    assert_eq!(
        by_n1(&write(Operation::Create, "/events", Some(&old), None)),
        Ok(())
    );
}

#[derive(Debug, Clone)]
enum Change {
    Pod(&'static str, &'static str, Vec<&'static str>),
    NoPod(&'static str),
    Volume(&'static str, &'static str),
    NoVolume(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let pods = || select(&["p1", "p2", "p3"][..]);
    let volumes = || select(&["v1", "v2"][..]);
    prop_oneof![
        4 => (pods(), select(&["", "n1", "n2"][..]), vec(select(&["x", "y", "z"][..]), 0..3))
            .prop_map(|(pod, node, names)| Change::Pod(pod, node, names)),
        1 => pods().prop_map(Change::NoPod),
        2 => (volumes(), select(&["", "x", "y"][..])).prop_map(|(volume, claim)| Change::Volume(volume, claim)),
        1 => volumes().prop_map(Change::NoVolume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The index answers as a look through all pods and volumes does.
    #[test]
    fn the_graph_is_what_pods_and_volumes_say(changes in vec(change(), 0..40)) {
        let authorizer = Authorizer::new();
        let mut pods: BTreeMap<&str, (&str, BTreeSet<&str>)> = BTreeMap::new();
        let mut volumes: BTreeMap<&str, &str> = BTreeMap::new();
        for change in changes {
            let mut graph = authorizer.graph_mut();
            match change {
                Change::Pod(pod, node, names) => {
                    let of = |field: &str, name: &str| names.iter().map(|value| json!({ field: { name: value } })).collect::<Vec<_>>();
                    let mut list = of("secret", "secretName");
                    list.extend(of("persistentVolumeClaim", "claimName"));
                    graph.upsert_pod(&json!({
                        "metadata": { "namespace": "a", "name": pod },
                        "spec": { "nodeName": node, "volumes": list },
                    }));
                    pods.insert(pod, (node, names.into_iter().collect()));
                }
                Change::NoPod(pod) => {
                    graph.remove_pod("a", pod);
                    pods.remove(pod);
                }
                Change::Volume(volume, claim) => {
                    graph.upsert_volume(&json!({
                        "metadata": { "name": volume },
                        "spec": {
                            "claimRef": { "namespace": "a", "name": claim },
                            "rbd": { "secretRef": { "namespace": "a", "name": format!("{volume}-secret") } },
                        },
                    }));
                    volumes.insert(volume, claim);
                }
                Change::NoVolume(volume) => {
                    graph.remove_volume(volume);
                    volumes.remove(volume);
                }
            }
        }
        let refers = |node: &str, name: &str| {
            pods.values().any(|(on, names)| *on == node && names.contains(name))
        };
        for node in ["n1", "n2"] {
            let user = node_user(node);
            for name in ["x", "y", "z"] {
                let expected = refers(node, name);
                for resource in ["secrets", "persistentvolumeclaims"] {
                    let request = format!("get /{resource} a {name}");
                    prop_assert_eq!(decide(&authorizer, &user, &request).is_ok(), expected, "{} by {}", request, node);
                }
            }
            for volume in ["v1", "v2"] {
                let expected = volumes.get(volume).is_some_and(|claim| refers(node, claim));
                let get = format!("get /persistentvolumes - {volume}");
                prop_assert_eq!(decide(&authorizer, &user, &get).is_ok(), expected, "{} by {}", get, node);
                let get = format!("get /secrets a {volume}-secret");
                prop_assert_eq!(decide(&authorizer, &user, &get).is_ok(), expected, "{} by {}", get, node);
            }
        }
        // Nothing stays behind of what is gone.
        let mut graph = authorizer.graph_mut();
        for pod in ["p1", "p2", "p3"] {
            graph.remove_pod("a", pod);
        }
        for volume in ["v1", "v2"] {
            graph.remove_volume(volume);
        }
        prop_assert_eq!(graph.names(), 0);
    }
}
