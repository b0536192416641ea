//! The table of built-in kinds: how each is defaulted, prepared and validated. A kind is a row.

use std::{collections::HashMap, sync::LazyLock};

use mosaic_api::{GroupKind, names::NameRule};

use crate::{
    apps, autoscaling, batch, core,
    defaults::{self, Fields},
    extensions, networking,
    node::{Errors, Node},
    pods, policy, rbac, storage,
    strategy::{self, Generation, PLAIN, SPEC_AND_STATUS, STATUS, StatusMetadata, Strategy},
};

/// Validates one object.
pub(crate) type Validate = fn(&Node, &mut Errors);
/// Validates a new object against the stored one.
pub(crate) type ValidateUpdate = fn(&Node, &Node, &mut Errors);

/// How a kind is treated.
pub(crate) struct Rules {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) name: NameRule,
    pub(crate) defaults: fn(&mut Fields),
    pub(crate) strategy: Strategy,
    /// Everything about an object by itself; also asked when it is updated.
    pub(crate) validate: Validate,
    /// Whether [`Rules::validate`] is asked on updates. Pods have rules of their own.
    pub(crate) validate_on_update: bool,
    pub(crate) update: ValidateUpdate,
    pub(crate) status: ValidateUpdate,
}

fn row(group: &'static str, kind: &'static str, strategy: Strategy) -> Rules {
    Rules {
        group,
        kind,
        namespaced: true,
        name: NameRule::of(group, kind),
        defaults: defaults::none,
        strategy,
        validate: |_, _| {},
        validate_on_update: true,
        update: |_, _, _| {},
        status: |_, _, _| {},
    }
}

impl Rules {
    fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn defaults(mut self, defaults: fn(&mut Fields)) -> Self {
        self.defaults = defaults;
        self
    }

    fn validate(mut self, validate: Validate) -> Self {
        self.validate = validate;
        self
    }

    fn update(mut self, update: ValidateUpdate) -> Self {
        self.update = update;
        self
    }

    fn status(mut self, status: ValidateUpdate) -> Self {
        self.status = status;
        self
    }

    fn on_create(mut self, on_create: fn(&mut Fields)) -> Self {
        self.strategy.on_create = on_create;
        self
    }

    fn on_update(mut self, on_update: fn(&mut Fields, &Fields)) -> Self {
        self.strategy.on_update = on_update;
        self
    }

    fn generation(mut self, generation: Generation) -> Self {
        self.strategy.generation = generation;
        self
    }

    fn status_metadata(mut self, metadata: StatusMetadata) -> Self {
        self.strategy.status_metadata = metadata;
        self
    }
}

fn core_rows() -> Vec<Rules> {
    let pod = Rules {
        validate_on_update: false,
        ..row("", "Pod", SPEC_AND_STATUS)
            .defaults(defaults::pod)
            .on_create(strategy::pod)
            .status_metadata(StatusMetadata::KeepOwners)
            .validate(pods::pod)
            .update(pods::update)
            .status(pods::status)
    };
    let mut node = row("", "Node", STATUS)
        .cluster()
        .defaults(defaults::node)
        .validate(core::cluster::node)
        .update(core::cluster::node_update)
        .status(core::cluster::node_status);
    // A node registers itself together with what it has.
    node.strategy.status_on_create = true;
    vec![
        pod,
        node,
        row("", "PodTemplate", PLAIN)
            .generation(Generation::Content)
            .defaults(defaults::pod_template_object)
            .validate(pods::template_object),
        row("", "Service", STATUS)
            .defaults(defaults::service)
            .on_create(strategy::service)
            .on_update(strategy::service_update)
            .validate(core::service::service)
            .update(core::service::update)
            .status(core::service::status),
        row("", "Namespace", STATUS)
            .cluster()
            .defaults(defaults::namespace)
            .on_create(strategy::namespace)
            .on_update(strategy::namespace_update)
            .validate(core::cluster::namespace)
            .status(core::cluster::namespace_status),
        row("", "ConfigMap", PLAIN)
            .validate(core::config::config_map)
            .update(core::config::config_map_update),
        row("", "Secret", PLAIN)
            .defaults(defaults::secret)
            .validate(core::config::secret)
            .update(core::config::secret_update),
        row("", "ServiceAccount", PLAIN),
        row("", "Endpoints", PLAIN)
            .defaults(defaults::endpoints)
            .validate(core::endpoints::endpoints),
        row("", "Event", PLAIN).validate(core::events::event),
        row("", "ResourceQuota", STATUS)
            .defaults(defaults::resource_quota)
            .validate(core::limits::quota)
            .update(core::limits::quota_update)
            .status(core::limits::quota_status),
        row("", "LimitRange", PLAIN)
            .defaults(defaults::limit_range)
            .validate(core::limits::limit_range),
        row("", "PersistentVolume", STATUS)
            .cluster()
            .defaults(defaults::persistent_volume)
            .on_create(strategy::pending)
            .validate(storage::volume)
            .update(storage::volume_update),
        row("", "PersistentVolumeClaim", STATUS)
            .defaults(defaults::claim)
            .on_create(strategy::claim)
            .on_update(strategy::claim_update)
            .validate(storage::claim)
            .update(storage::claim_update)
            .status(storage::claim_status),
        row("", "ReplicationController", SPEC_AND_STATUS)
            .defaults(defaults::replication_controller)
            .validate(apps::replication_controller)
            .status(apps::status),
    ]
}

fn workload_rows() -> Vec<Rules> {
    const APPS: &str = "apps";
    const BATCH: &str = "batch";
    vec![
        row(APPS, "Deployment", SPEC_AND_STATUS)
            .defaults(defaults::deployment)
            .status_metadata(StatusMetadata::KeepLabels)
            .validate(apps::deployment)
            .update(apps::selector_update)
            .status(apps::status),
        row(APPS, "ReplicaSet", SPEC_AND_STATUS)
            .defaults(defaults::replica_set)
            .validate(apps::replica_set)
            .update(apps::selector_update)
            .status(apps::status),
        row(APPS, "DaemonSet", SPEC_AND_STATUS)
            .defaults(defaults::daemon_set)
            .validate(apps::daemon_set)
            .update(apps::selector_update)
            .status(apps::status),
        row(APPS, "StatefulSet", SPEC_AND_STATUS)
            .defaults(defaults::stateful_set)
            .validate(apps::stateful_set)
            .update(apps::stateful_set_update)
            .status(apps::status),
        row(APPS, "ControllerRevision", PLAIN)
            .validate(apps::revision)
            .update(apps::revision_update),
        row(BATCH, "Job", SPEC_AND_STATUS)
            .defaults(defaults::job)
            .validate(batch::job)
            .update(batch::job_update)
            .status(batch::job_status),
        row(BATCH, "CronJob", SPEC_AND_STATUS)
            .defaults(defaults::cron_job)
            .validate(batch::cron_job),
        row("autoscaling", "HorizontalPodAutoscaler", STATUS)
            .defaults(defaults::autoscaler)
            .validate(autoscaling::autoscaler),
        row("policy", "PodDisruptionBudget", SPEC_AND_STATUS)
            .validate(policy::disruption_budget)
            .status(policy::disruption_budget_status),
    ]
}

fn access_rows() -> Vec<Rules> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let mut request = row(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        SPEC_AND_STATUS,
    )
    .cluster()
    .generation(Generation::None)
    .on_update(strategy::signing_request_update)
    .validate(policy::signing_request)
    .status(policy::signing_request_status);
    // What was asked for and by whom never changes, so that it was right when it was stored.
    request.validate_on_update = false;
    vec![
        request,
        row(RBAC, "Role", PLAIN).validate(rbac::role),
        row(RBAC, "ClusterRole", PLAIN)
            .cluster()
            .validate(rbac::cluster_role),
        row(RBAC, "RoleBinding", PLAIN)
            .defaults(defaults::role_binding)
            .validate(rbac::role_binding)
            .update(rbac::binding_update),
        row(RBAC, "ClusterRoleBinding", PLAIN)
            .cluster()
            .defaults(defaults::role_binding)
            .validate(rbac::cluster_role_binding)
            .update(rbac::binding_update),
    ]
}

fn cluster_rows() -> Vec<Rules> {
    const NETWORKING: &str = "networking.k8s.io";
    const STORAGE: &str = "storage.k8s.io";
    vec![
        row(NETWORKING, "NetworkPolicy", PLAIN)
            .generation(Generation::Spec)
            .defaults(defaults::network_policy)
            .validate(networking::policy),
        row(NETWORKING, "Ingress", SPEC_AND_STATUS).validate(networking::ingress),
        row(NETWORKING, "IngressClass", PLAIN)
            .cluster()
            .generation(Generation::Spec)
            .validate(networking::ingress_class)
            .update(networking::ingress_class_update),
        row("discovery.k8s.io", "EndpointSlice", PLAIN)
            .generation(Generation::Content)
            .defaults(defaults::endpoint_slice)
            .validate(core::endpoints::slice)
            .update(core::endpoints::slice_update),
        row("events.k8s.io", "Event", PLAIN).validate(core::events::event),
        row("coordination.k8s.io", "Lease", PLAIN).validate(policy::lease),
        row("scheduling.k8s.io", "PriorityClass", PLAIN)
            .cluster()
            .generation(Generation::Once)
            .defaults(defaults::priority_class)
            .validate(policy::priority_class)
            .update(policy::priority_class_update),
        row("node.k8s.io", "RuntimeClass", PLAIN)
            .cluster()
            .defaults(defaults::runtime_class)
            .validate(policy::runtime_class)
            .update(policy::runtime_class_update),
        row(STORAGE, "StorageClass", PLAIN)
            .cluster()
            .defaults(defaults::storage_class)
            .validate(storage::class)
            .update(storage::class_update),
        row(STORAGE, "VolumeAttachment", STATUS)
            .cluster()
            .validate(storage::attachment)
            .update(storage::attachment_update),
        row(STORAGE, "CSIDriver", PLAIN)
            .cluster()
            .generation(Generation::Spec)
            .defaults(defaults::csi_driver)
            .validate(storage::driver),
        row(STORAGE, "CSINode", PLAIN)
            .cluster()
            .validate(storage::csi_node),
        row(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            SPEC_AND_STATUS,
        )
        .cluster()
        .defaults(defaults::custom_resource_definition)
        .status_metadata(StatusMetadata::KeepAll)
        .on_create(strategy::definition)
        .on_update(strategy::definition_update)
        .validate(extensions::definition)
        .update(extensions::update),
    ]
}

type Table = HashMap<&'static str, Vec<Rules>>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rows = [core_rows(), workload_rows(), access_rows(), cluster_rows()];
    let mut table = Table::new();
    for row in rows.into_iter().flatten() {
        table.entry(row.kind).or_default().push(row);
    }
    table
});

/// The row of a kind; none for custom kinds and those that are never stored.
pub(crate) fn rules(kind: &GroupKind) -> Option<&'static Rules> {
    TABLE
        .get(kind.kind.as_ref())?
        .iter()
        .find(|row| row.group == kind.group.as_ref())
}
