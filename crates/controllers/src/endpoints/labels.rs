//! The names by which endpoints are told from others, all of them Kubernetes'.

use std::collections::BTreeMap;

/// On slices: the service that they belong to.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// On slices: who keeps them.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The keeper of slices of services with a selector.
pub(super) const SLICE_MANAGER: &str = "endpointslice-controller.k8s.io";
/// The keeper of slices that show somebody's `Endpoints`.
pub(super) const MIRROR_MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// On slices and `Endpoints`: the service has no address of its own.
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";
/// On `Endpoints`: who keeps them.
pub(super) const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// The keeper of `Endpoints` of services with a selector.
pub(super) const ENDPOINTS_MANAGER: &str = "endpoint-controller";
/// On `Endpoints`: `true` for those that are not to be shown as slices.
pub(super) const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// On `Endpoints` (annotation): they serve as a lock, and lead to nothing.
pub(super) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// On `Endpoints` (annotation): not all addresses are in them.
pub(super) const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The value of [`OVER_CAPACITY`].
pub(super) const TRUNCATED: &str = "truncated";

/// The labels that objects take over from what they are made for: all but those that have a meaning here.
pub(super) fn taken_over(labels: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let reserved = [
        SERVICE_NAME,
        MANAGED_BY,
        HEADLESS,
        ENDPOINTS_MANAGED_BY,
        SKIP_MIRROR,
    ];
    let labels = labels.into_iter().flatten();
    labels
        .filter(|(key, _)| !reserved.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
