//! The roles of controllers: one for each, bound to the service account of its name in
//! `kube-system`, so that a fault in one cannot do what only another may.

use serde_json::Value;

use super::{
    bootstrap::READ,
    build::{Who, cluster_binding, cluster_role, events, named, rule},
    rule::Rule,
};

/// The roles, and their bindings.
pub(super) fn controllers() -> Vec<Value> {
    workloads()
        .into_iter()
        .chain(services())
        .chain(storage())
        .chain(cluster())
        .flat_map(|(controller, rules)| {
            let name = format!("system:controller:{controller}");
            [
                cluster_role(&name, &rules),
                cluster_binding(&name, &[Who::Account(controller)]),
            ]
        })
        .collect()
}

type Controllers = Vec<(&'static str, Vec<Rule>)>;

fn workloads() -> Controllers {
    vec![
        (
            "cronjob-controller",
            vec![
                rule("get list update watch", "batch", "cronjobs"),
                rule("create delete get list patch update watch", "batch", "jobs"),
                rule("update", "batch", "cronjobs/finalizers cronjobs/status"),
                rule("delete list", "core", "pods"),
                events(),
            ],
        ),
        (
            "daemon-set-controller",
            vec![
                rule(READ, "apps", "daemonsets"),
                rule("update", "apps", "daemonsets/finalizers daemonsets/status"),
                rule("list watch", "core", "nodes"),
                rule("create delete list patch watch", "core", "pods"),
                rule("create", "core", "pods/binding"),
                rule(
                    "create delete get list patch update watch",
                    "apps",
                    "controllerrevisions",
                ),
                events(),
            ],
        ),
        (
            "deployment-controller",
            vec![
                rule("get list update watch", "apps", "deployments"),
                rule(
                    "update",
                    "apps",
                    "deployments/finalizers deployments/status",
                ),
                rule(
                    "create delete get list patch update watch",
                    "apps",
                    "replicasets",
                ),
                rule("get list update watch", "core", "pods"),
                events(),
            ],
        ),
        (
            "disruption-controller",
            vec![
                rule(READ, "apps", "deployments replicasets statefulsets"),
                rule(READ, "core", "replicationcontrollers pods"),
                rule(READ, "policy", "poddisruptionbudgets"),
                rule("update", "policy", "poddisruptionbudgets/status"),
                rule("patch update", "core", "pods/status"),
                rule("get", "*", "*/scale"),
                events(),
            ],
        ),
        (
            "horizontal-pod-autoscaler",
            vec![
                rule(READ, "autoscaling", "horizontalpodautoscalers"),
                rule("update", "autoscaling", "horizontalpodautoscalers/status"),
                rule("get update", "*", "*/scale"),
                rule("list watch", "core", "pods"),
                rule("list", "metrics.k8s.io", "pods"),
                rule(
                    "get list",
                    "custom.metrics.k8s.io external.metrics.k8s.io",
                    "*",
                ),
                events(),
            ],
        ),
        (
            "job-controller",
            vec![
                rule("get list patch update watch", "batch", "jobs"),
                rule("update", "batch", "jobs/finalizers jobs/status"),
                rule("create delete list patch watch", "core", "pods"),
                events(),
            ],
        ),
        (
            "pod-garbage-collector",
            vec![
                rule("delete list watch", "core", "pods"),
                rule("get list", "core", "nodes"),
                rule("patch", "core", "pods/status"),
            ],
        ),
        (
            "replicaset-controller",
            vec![
                rule("get list update watch", "apps", "replicasets"),
                rule(
                    "update",
                    "apps",
                    "replicasets/finalizers replicasets/status",
                ),
                rule("create delete list patch watch", "core", "pods"),
                events(),
            ],
        ),
        (
            "statefulset-controller",
            vec![
                rule("list watch", "core", "pods"),
                rule(READ, "apps", "statefulsets"),
                rule(
                    "update",
                    "apps",
                    "statefulsets/finalizers statefulsets/status",
                ),
                rule("create delete get patch update", "core", "pods"),
                rule(
                    "create delete get list patch update watch",
                    "apps",
                    "controllerrevisions",
                ),
                rule("create get list watch", "core", "persistentvolumeclaims"),
                rule("delete update", "core", "persistentvolumeclaims"),
                rule("update", "core", "pods/finalizers"),
                events(),
            ],
        ),
        (
            "ttl-after-finished-controller",
            vec![rule("delete get list watch", "batch", "jobs"), events()],
        ),
    ]
}

fn services() -> Controllers {
    let slices = || {
        rule(
            "create delete get list update watch",
            "discovery.k8s.io",
            "endpointslices",
        )
    };
    vec![
        (
            "endpoint-controller",
            vec![
                rule(READ, "core", "pods services"),
                rule("create delete get list update watch", "core", "endpoints"),
                rule("create", "core", "endpoints/restricted"),
                events(),
            ],
        ),
        (
            "endpointslice-controller",
            vec![
                rule(READ, "core", "nodes pods services"),
                rule("update", "core", "services/finalizers"),
                slices(),
                events(),
            ],
        ),
        (
            "endpointslicemirroring-controller",
            vec![
                rule(READ, "core", "endpoints services"),
                rule("update", "core", "endpoints/finalizers services/finalizers"),
                slices(),
                events(),
            ],
        ),
        (
            "service-controller",
            vec![
                rule(READ, "core", "services"),
                rule("patch update", "core", "services/status"),
                rule("list watch", "core", "nodes"),
                events(),
            ],
        ),
    ]
}

fn storage() -> Controllers {
    vec![
        (
            "attachdetach-controller",
            vec![
                rule(
                    "list watch",
                    "core",
                    "persistentvolumeclaims persistentvolumes pods",
                ),
                rule(READ, "core", "nodes"),
                rule("patch update", "core", "nodes/status"),
                rule(
                    "create delete get list watch",
                    "storage.k8s.io",
                    "volumeattachments",
                ),
                rule(READ, "storage.k8s.io", "csidrivers csinodes"),
                events(),
            ],
        ),
        (
            "ephemeral-volume-controller",
            vec![
                rule(READ, "core", "pods"),
                rule("update", "core", "pods/finalizers"),
                rule("create get list watch", "core", "persistentvolumeclaims"),
                events(),
            ],
        ),
        (
            "expand-controller",
            vec![
                rule("get list patch update watch", "core", "persistentvolumes"),
                rule("patch update", "core", "persistentvolumeclaims/status"),
                rule(READ, "core", "persistentvolumeclaims"),
                events(),
            ],
        ),
        (
            "persistent-volume-binder",
            vec![
                rule(
                    "create delete get list update watch",
                    "core",
                    "persistentvolumes",
                ),
                rule(
                    "update",
                    "core",
                    "persistentvolumeclaims/status persistentvolumes/status",
                ),
                rule("get list update watch", "core", "persistentvolumeclaims"),
                rule("create delete get list watch", "core", "pods"),
                rule(READ, "storage.k8s.io", "storageclasses"),
                rule("get list", "core", "nodes"),
                rule("watch", "core", "events"),
                events(),
            ],
        ),
        (
            "pv-protection-controller",
            vec![
                rule("get list update watch", "core", "persistentvolumes"),
                events(),
            ],
        ),
        (
            "pvc-protection-controller",
            vec![
                rule("get list update watch", "core", "persistentvolumeclaims"),
                rule(READ, "core", "pods"),
                events(),
            ],
        ),
    ]
}

fn cluster() -> Controllers {
    const CERTIFICATES: &str = "certificates.k8s.io";
    vec![
        (
            "certificate-controller",
            vec![
                rule(
                    "delete get list watch",
                    CERTIFICATES,
                    "certificatesigningrequests",
                ),
                rule(
                    "update",
                    CERTIFICATES,
                    "certificatesigningrequests/approval certificatesigningrequests/status",
                ),
                named(
                    "approve",
                    CERTIFICATES,
                    "signers",
                    "kubernetes.io/kube-apiserver-client-kubelet",
                ),
                named(
                    "sign",
                    CERTIFICATES,
                    "signers",
                    "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                     kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
                ),
                rule("create", "authorization.k8s.io", "subjectaccessreviews"),
                events(),
            ],
        ),
        (
            "clusterrole-aggregation-controller",
            vec![rule(
                "escalate get list patch update watch",
                "rbac.authorization.k8s.io",
                "clusterroles",
            )],
        ),
        (
            "generic-garbage-collector",
            vec![
                rule("delete get list patch update watch", "*", "*"),
                events(),
            ],
        ),
        (
            "namespace-controller",
            vec![
                rule("delete get list watch", "core", "namespaces"),
                rule("update", "core", "namespaces/finalize namespaces/status"),
                rule("delete deletecollection get list watch", "*", "*"),
            ],
        ),
        (
            "node-controller",
            vec![
                rule("delete get list patch update watch", "core", "nodes"),
                rule("patch update", "core", "nodes/status pods/status"),
                rule("delete get list watch", "core", "pods"),
                rule(READ, "coordination.k8s.io", "leases"),
                events(),
            ],
        ),
        (
            "resourcequota-controller",
            vec![
                rule("list watch", "*", "*"),
                rule("update", "core", "resourcequotas/status"),
                events(),
            ],
        ),
        (
            "root-ca-cert-publisher",
            vec![rule("create update", "core", "configmaps"), events()],
        ),
        (
            "service-account-controller",
            vec![rule("create", "core", "serviceaccounts"), events()],
        ),
        (
            "ttl-controller",
            vec![rule("list patch update watch", "core", "nodes"), events()],
        ),
    ]
}
