//! The columns of a kind's table, as `kubectl get` shows them.

mod access;
mod cluster;
mod network;
mod pods;
mod read;
mod storage;
mod table;
#[cfg(test)]
mod tests;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

pub use table::{IncludeObject, TableWriter, table};

/// One column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// The heading, such as `Ready`.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// Such as `name` or `int32`; empty for none.
    pub format: String,
    /// What the column says.
    pub description: String,
    /// 0 for columns that are always shown, above for `-o wide`.
    pub priority: i32,
}

/// The columns of a kind.
#[derive(Debug, Clone)]
pub enum Columns {
    /// Columns of a built-in kind: their definitions and the cells of one object, in the same order.
    BuiltIn {
        /// The definitions.
        definitions: fn() -> Vec<Column>,
        /// The cells of an object as of a moment.
        cells: fn(&Value, Timestamp) -> Vec<Value>,
    },
    /// `additionalPrinterColumns` of a custom kind: a definition and the JSON path of the cell. Name
    /// comes first by itself; Age comes last if no columns are given.
    Custom(Vec<(Column, String)>),
}

/// The columns of a built-in kind. Kinds without columns of their own show when they were created.
pub fn builtin(group: &str, kind: &str) -> Columns {
    /// Ties the definitions of a kind to the function that makes its cells.
    macro_rules! own {
        ($module:ident::$definitions:ident, $cells:ident) => {
            Columns::BuiltIn {
                definitions: || read::columns($module::$definitions),
                cells: $module::$cells,
            }
        };
    }
    match (group, kind) {
        ("", "ConfigMap") => own!(cluster::CONFIG_MAP, config_map),
        ("", "Endpoints") => own!(network::ENDPOINTS, endpoints),
        ("" | "events.k8s.io", "Event") => own!(cluster::EVENT, event),
        ("", "Namespace") => own!(cluster::NAMESPACE, namespace),
        ("", "Node") => own!(cluster::NODE, node),
        ("", "PersistentVolume") => own!(storage::VOLUME, volume),
        ("", "PersistentVolumeClaim") => own!(storage::CLAIM, claim),
        ("", "Pod") => own!(pods::POD, pod),
        ("", "PodTemplate") => own!(workloads::POD_TEMPLATE, pod_template),
        ("", "ReplicationController") => own!(workloads::REPLICA_SET, replication_controller),
        ("", "ResourceQuota") => own!(cluster::RESOURCE_QUOTA, resource_quota),
        ("", "Secret") => own!(cluster::SECRET, secret),
        ("", "Service") => own!(network::SERVICE, service),
        ("", "ServiceAccount") => own!(cluster::SERVICE_ACCOUNT, service_account),
        ("apps", "ControllerRevision") => own!(workloads::CONTROLLER_REVISION, controller_revision),
        ("apps", "DaemonSet") => own!(workloads::DAEMON_SET, daemon_set),
        ("apps", "Deployment") => own!(workloads::DEPLOYMENT, deployment),
        ("apps", "ReplicaSet") => own!(workloads::REPLICA_SET, replica_set),
        ("apps", "StatefulSet") => own!(workloads::STATEFUL_SET, stateful_set),
        ("autoscaling", "HorizontalPodAutoscaler") => own!(workloads::AUTOSCALER, autoscaler),
        ("batch", "CronJob") => own!(workloads::CRON_JOB, cron_job),
        ("batch", "Job") => own!(workloads::JOB, job),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            own!(access::SIGNING_REQUEST, signing_request)
        }
        ("coordination.k8s.io", "Lease") => own!(cluster::LEASE, lease),
        ("discovery.k8s.io", "EndpointSlice") => own!(network::ENDPOINT_SLICE, endpoint_slice),
        ("networking.k8s.io", "Ingress") => own!(network::INGRESS, ingress),
        ("networking.k8s.io", "IngressClass") => own!(network::INGRESS_CLASS, ingress_class),
        ("networking.k8s.io", "NetworkPolicy") => own!(network::NETWORK_POLICY, network_policy),
        ("node.k8s.io", "RuntimeClass") => own!(cluster::RUNTIME_CLASS, runtime_class),
        ("policy", "PodDisruptionBudget") => {
            own!(workloads::POD_DISRUPTION_BUDGET, pod_disruption_budget)
        }
        ("rbac.authorization.k8s.io", "ClusterRoleBinding" | "RoleBinding") => {
            own!(access::BINDING, binding)
        }
        ("scheduling.k8s.io", "PriorityClass") => own!(cluster::PRIORITY_CLASS, priority_class),
        ("storage.k8s.io", "CSIDriver") => own!(storage::CSI_DRIVER, csi_driver),
        ("storage.k8s.io", "CSINode") => own!(storage::CSI_NODE, csi_node),
        ("storage.k8s.io", "StorageClass") => own!(storage::STORAGE_CLASS, storage_class),
        ("storage.k8s.io", "VolumeAttachment") => own!(storage::ATTACHMENT, attachment),
        _ => Columns::BuiltIn {
            definitions: || read::columns(CREATED),
            cells: |object, _| {
                let created = read::text(object, "/metadata/creationTimestamp");
                vec![read::name(object), created.into()]
            },
        },
    }
}

const CREATED: &[read::Spec] = &[
    read::NAME,
    ("Created At", "date", 0, "When the object was created."),
];
