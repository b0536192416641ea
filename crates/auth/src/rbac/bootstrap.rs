//! The roles and bindings that every cluster starts with: Kubernetes', and what Mosaic's own kinds
//! add to `admin`, `edit` and `view`.
//!
//! Lists are written as words: verbs, groups (`core` is the core group), resources.

use serde_json::Value;

use super::{
    bootstrap_controllers,
    build::{
        KUBE_SYSTEM, Who, aggregate, cluster_binding, cluster_role, events, gathering, named, role,
        role_binding, rule, urls,
    },
    rule::Rule,
};
use crate::{groups, users};

pub(super) const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
const KUBE_PUBLIC: &str = "kube-public";

/// Every role and binding that a cluster starts with, as objects. Each has the label
/// `kubernetes.io/bootstrapping: rbac-defaults` and the annotation
/// `rbac.authorization.kubernetes.io/autoupdate: "true"`: a server that starts adds what is missing
/// from them, unless the annotation has been set to `false`.
pub fn bootstrap_roles() -> Vec<Value> {
    let mut objects = user_facing();
    objects.extend(discovery());
    objects.extend(components());
    objects.extend(certificates());
    objects.extend(bootstrap_controllers::controllers());
    objects.extend(namespaced());
    objects.extend(bindings());
    objects
}

/// The roles of people: `cluster-admin`, and `admin`, `edit`, `view` of a namespace.
fn user_facing() -> Vec<Value> {
    vec![
        cluster_role("cluster-admin", &Rule::everything()),
        gathering("admin", None),
        gathering("edit", Some("admin")),
        gathering("view", Some("edit")),
        aggregate(
            "admin",
            &[
                rule(
                    "create",
                    "authorization.k8s.io",
                    "localsubjectaccessreviews",
                ),
                rule(
                    READ_WRITE,
                    "rbac.authorization.k8s.io",
                    "rolebindings roles",
                ),
            ],
        ),
        aggregate(
            "edit",
            &[
                rule(
                    READ,
                    "core",
                    "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
                ),
                rule("impersonate", "core", "serviceaccounts"),
                rule(
                    WRITE,
                    "core",
                    "pods pods/attach pods/exec pods/portforward pods/proxy",
                ),
                rule("create", "core", "pods/eviction"),
                rule("patch update", "core", "pods/resize"),
                rule(
                    WRITE,
                    "core",
                    "configmaps events persistentvolumeclaims replicationcontrollers \
                     replicationcontrollers/scale secrets serviceaccounts services services/proxy",
                ),
                rule("create", "core", "serviceaccounts/token"),
                rule(
                    WRITE,
                    "apps",
                    "daemonsets deployments deployments/rollback deployments/scale replicasets \
                     replicasets/scale statefulsets statefulsets/scale",
                ),
                rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
                rule(WRITE, "batch", "cronjobs jobs"),
                rule(WRITE, "policy", "poddisruptionbudgets"),
                rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
                rule(READ_WRITE, "coordination.k8s.io", "leases"),
                rule(WRITE, "mosaic", "*"),
            ],
        ),
        aggregate(
            "view",
            &[
                rule(
                    READ,
                    "core",
                    "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
                     replicationcontrollers replicationcontrollers/scale serviceaccounts services \
                     services/status",
                ),
                rule(
                    READ,
                    "core",
                    "bindings events limitranges namespaces/status pods/log pods/status \
                     replicationcontrollers/status resourcequotas resourcequotas/status",
                ),
                rule(READ, "core", "namespaces"),
                rule(READ, "discovery.k8s.io", "endpointslices"),
                rule(
                    READ,
                    "apps",
                    "controllerrevisions daemonsets daemonsets/status deployments deployments/scale \
                     deployments/status replicasets replicasets/scale replicasets/status statefulsets \
                     statefulsets/scale statefulsets/status",
                ),
                rule(
                    READ,
                    "autoscaling",
                    "horizontalpodautoscalers horizontalpodautoscalers/status",
                ),
                rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
                rule(
                    READ,
                    "policy",
                    "poddisruptionbudgets poddisruptionbudgets/status",
                ),
                rule(
                    READ,
                    "networking.k8s.io",
                    "ingresses ingresses/status networkpolicies",
                ),
                rule(READ, "mosaic", "*"),
            ],
        ),
    ]
}

/// What everybody may see, and tools that watch over the server.
fn discovery() -> Vec<Value> {
    vec![
        cluster_role(
            "system:discovery",
            &[urls(
                "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
            )],
        ),
        cluster_role(
            "system:public-info-viewer",
            &[urls("/healthz /livez /readyz /version /version/")],
        ),
        cluster_role(
            "system:basic-user",
            &[
                rule(
                    "create",
                    "authorization.k8s.io",
                    "selfsubjectaccessreviews selfsubjectrulesreviews",
                ),
                rule("create", "authentication.k8s.io", "selfsubjectreviews"),
                rule("create", "mosaic", "registrytokens"),
            ],
        ),
        cluster_role(
            "system:monitoring",
            &[urls(
                "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* \
                 /flagz /statusz",
            )],
        ),
        cluster_role(
            "system:service-account-issuer-discovery",
            &[urls("/.well-known/openid-configuration /openid/v1/jwks")],
        ),
    ]
}

/// The parts of the platform other than controllers.
fn components() -> Vec<Value> {
    let reviews = [
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ];
    let mut scheduler = vec![
        events(),
        rule("create", "coordination.k8s.io", "leases"),
        named(
            "get update",
            "coordination.k8s.io",
            "leases",
            "kube-scheduler",
        ),
        rule(READ, "core", "nodes"),
        rule("delete get list watch", "core", "pods"),
        rule("create", "core", "bindings pods/binding"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "core", "replicationcontrollers services"),
        rule(READ, "apps", "replicasets statefulsets"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(
            READ,
            "core",
            "persistentvolumeclaims persistentvolumes namespaces",
        ),
        rule(
            READ,
            "storage.k8s.io",
            "csinodes csidrivers csistoragecapacities",
        ),
        rule(READ, "scheduling.k8s.io", "priorityclasses"),
    ];
    scheduler.extend(reviews.clone());
    let mut manager = vec![
        events(),
        rule("create", "coordination.k8s.io", "leases"),
        named(
            "get update",
            "coordination.k8s.io",
            "leases",
            "kube-controller-manager",
        ),
        rule("create", "core", "secrets serviceaccounts"),
        rule("delete", "core", "secrets"),
        rule(
            "get",
            "core",
            "configmaps namespaces secrets serviceaccounts",
        ),
        rule("update", "core", "secrets serviceaccounts"),
        rule("list watch", "*", "*"),
        rule("create", "core", "serviceaccounts/token"),
    ];
    manager.extend(reviews.clone());
    vec![
        cluster_role("system:auth-delegator", &reviews),
        cluster_role("system:kube-scheduler", &scheduler),
        cluster_role("system:kube-controller-manager", &manager),
        cluster_role(
            "system:volume-scheduler",
            &[
                rule(
                    "get list patch update watch",
                    "core",
                    "persistentvolumeclaims persistentvolumes",
                ),
                rule(READ, "storage.k8s.io", "storageclasses"),
            ],
        ),
        cluster_role(
            "system:kube-dns",
            &[rule("list watch", "core", "endpoints services")],
        ),
        cluster_role(
            "system:kube-aggregator",
            &[rule(READ, "core", "endpoints services")],
        ),
        cluster_role("system:node", &node_rules()),
        cluster_role(
            "system:node-bootstrapper",
            &[rule(
                "create get list watch",
                "certificates.k8s.io",
                "certificatesigningrequests",
            )],
        ),
        cluster_role(
            "system:node-problem-detector",
            &[
                rule("get", "core", "nodes"),
                rule("patch", "core", "nodes/status"),
                events(),
            ],
        ),
        cluster_role(
            "system:node-proxier",
            &[
                rule("list watch", "core", "endpoints services"),
                rule(READ, "core", "nodes"),
                events(),
                rule("list watch", "discovery.k8s.io", "endpointslices"),
            ],
        ),
        cluster_role(
            "system:kubelet-api-admin",
            &[
                rule(READ, "core", "nodes"),
                rule("proxy", "core", "nodes"),
                rule(
                    "*",
                    "core",
                    "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
                ),
            ],
        ),
        cluster_role(
            "system:persistent-volume-provisioner",
            &[
                rule("create delete get list watch", "core", "persistentvolumes"),
                rule("get list update watch", "core", "persistentvolumeclaims"),
                rule(READ, "storage.k8s.io", "storageclasses"),
                rule("watch", "core", "events"),
                events(),
            ],
        ),
    ]
}

/// What a host may do, whatever runs on it. The node authorizer narrows secrets, configmaps, claims,
/// volumes, tokens, leases, nodes and pods to the host's own.
pub fn node_rules() -> Vec<Rule> {
    vec![
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule(
            "create",
            "authorization.k8s.io",
            "localsubjectaccessreviews subjectaccessreviews",
        ),
        rule(READ, "core", "services"),
        rule("create get list watch", "core", "nodes"),
        rule("patch update", "core", "nodes nodes/status"),
        // The way by which the server reaches the host.
        rule("create", "core", "nodes/tunnel"),
        rule("create patch update", "core events.k8s.io", "events"),
        rule(READ, "core", "pods"),
        rule("create delete", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule("create", "core", "pods/eviction"),
        rule(READ, "core", "configmaps secrets"),
        rule("get", "core", "persistentvolumeclaims persistentvolumes"),
        rule("get", "core", "endpoints"),
        // The node agent balances services itself.
        rule(READ, "discovery.k8s.io", "endpointslices"),
        rule(
            "create get list watch",
            "certificates.k8s.io",
            "certificatesigningrequests",
        ),
        rule(
            "create delete get patch update",
            "coordination.k8s.io",
            "leases",
        ),
        rule("get", "storage.k8s.io", "volumeattachments"),
        rule("create", "core", "serviceaccounts/token"),
        rule("get patch update", "core", "persistentvolumeclaims/status"),
        rule(READ, "storage.k8s.io", "csidrivers"),
        rule(
            "create delete get patch update",
            "storage.k8s.io",
            "csinodes",
        ),
        rule(READ, "node.k8s.io", "runtimeclasses"),
    ]
}

/// Who may ask for certificates and approve them.
fn certificates() -> Vec<Value> {
    const GROUP: &str = "certificates.k8s.io";
    let mut objects: Vec<Value> = ["nodeclient", "selfnodeclient"]
        .into_iter()
        .map(|kind| {
            cluster_role(
                &format!("system:certificates.k8s.io:certificatesigningrequests:{kind}"),
                &[rule(
                    "create",
                    GROUP,
                    &format!("certificatesigningrequests/{kind}"),
                )],
            )
        })
        .collect();
    let signers = [
        "kube-apiserver-client",
        "kube-apiserver-client-kubelet",
        "kubelet-serving",
        "legacy-unknown",
    ];
    objects.extend(signers.into_iter().map(|signer| {
        cluster_role(
            &format!("system:certificates.k8s.io:{signer}-approver"),
            &[named(
                "approve",
                GROUP,
                "signers",
                &format!("kubernetes.io/{signer}"),
            )],
        )
    }));
    objects
}

/// Roles and bindings of `kube-system` and `kube-public`.
fn namespaced() -> Vec<Value> {
    let leader = |name: &str| {
        vec![
            rule("watch", "core", "configmaps"),
            named("get update", "core", "configmaps", name),
            rule(
                "create get list update watch",
                "coordination.k8s.io",
                "leases",
            ),
        ]
    };
    let controller = |name: &str| format!("system:controller:{name}");
    let signer = controller("bootstrap-signer");
    let cleaner = controller("token-cleaner");
    let authentication = "extension-apiserver-authentication";
    let manager_lock = "system::leader-locking-kube-controller-manager";
    let scheduler_lock = "system::leader-locking-kube-scheduler";
    let reader = format!("{authentication}-reader");
    vec![
        role(
            KUBE_SYSTEM,
            &reader,
            &[named(READ, "core", "configmaps", authentication)],
        ),
        role(KUBE_SYSTEM, &signer, &[rule(READ, "core", "secrets")]),
        role(
            KUBE_SYSTEM,
            &cleaner,
            &[rule("delete get list watch", "core", "secrets"), events()],
        ),
        role(
            KUBE_SYSTEM,
            manager_lock,
            &leader("kube-controller-manager"),
        ),
        role(KUBE_SYSTEM, scheduler_lock, &leader("kube-scheduler")),
        role(
            KUBE_PUBLIC,
            &signer,
            &[
                rule(READ, "core", "configmaps"),
                named("update", "core", "configmaps", "cluster-info"),
                events(),
            ],
        ),
        role_binding(
            KUBE_SYSTEM,
            &format!("system::{reader}"),
            &reader,
            &[
                Who::User(users::CONTROLLER_MANAGER),
                Who::User(users::SCHEDULER),
            ],
        ),
        role_binding(
            KUBE_SYSTEM,
            manager_lock,
            manager_lock,
            &[
                Who::User(users::CONTROLLER_MANAGER),
                Who::Account("kube-controller-manager"),
            ],
        ),
        role_binding(
            KUBE_SYSTEM,
            scheduler_lock,
            scheduler_lock,
            &[Who::User(users::SCHEDULER), Who::Account("kube-scheduler")],
        ),
        role_binding(
            KUBE_SYSTEM,
            &signer,
            &signer,
            &[Who::Account("bootstrap-signer")],
        ),
        role_binding(
            KUBE_SYSTEM,
            &cleaner,
            &cleaner,
            &[Who::Account("token-cleaner")],
        ),
        role_binding(
            KUBE_PUBLIC,
            &signer,
            &signer,
            &[Who::Account("bootstrap-signer")],
        ),
    ]
}

fn bindings() -> Vec<Value> {
    let authenticated = Who::Group(groups::AUTHENTICATED);
    vec![
        cluster_binding("cluster-admin", &[Who::Group(groups::MASTERS)]),
        cluster_binding("system:monitoring", &[Who::Group(groups::MONITORING)]),
        cluster_binding("system:discovery", &[Who::Group(groups::AUTHENTICATED)]),
        cluster_binding("system:basic-user", &[Who::Group(groups::AUTHENTICATED)]),
        cluster_binding(
            "system:public-info-viewer",
            &[authenticated, Who::Group(groups::UNAUTHENTICATED)],
        ),
        cluster_binding("system:node-proxier", &[Who::User(users::PROXY)]),
        cluster_binding(
            "system:kube-controller-manager",
            &[Who::User(users::CONTROLLER_MANAGER)],
        ),
        cluster_binding("system:kube-dns", &[Who::Account("kube-dns")]),
        cluster_binding("system:kube-scheduler", &[Who::User(users::SCHEDULER)]),
        cluster_binding("system:volume-scheduler", &[Who::User(users::SCHEDULER)]),
        // Hosts get these rights from the node authorizer, and only where they are theirs.
        cluster_binding("system:node", &[]),
        cluster_binding(
            "system:service-account-issuer-discovery",
            &[Who::Group(groups::SERVICE_ACCOUNTS)],
        ),
    ]
}
