//! Validation of pods and pod templates.

mod container;
mod environment;
pub(crate) mod handler;
mod mounts;
mod resize;
mod resources;
mod scheduling;
mod security;
mod spec;
mod update;
mod volumes;

pub use self::resize::{
    prepare_ephemeral_containers, prepare_resize, validate_ephemeral_containers, validate_resize,
};
pub(crate) use self::{
    resources::{RESOURCE_NAME, quantity, resource_list},
    scheduling::{label_selector, node_selector, selected_template, tolerations},
    spec::{template, template_object, template_with_claims},
    update::{status, update},
};
use crate::node::{Errors, Node};

/// A pod that is about to be created.
pub(crate) fn pod(pod: &Node, e: &mut Errors) {
    let spec = pod.get("spec");
    spec::spec(&spec, &pod.get("metadata"), &[], e);
    let gates = spec.get("schedulingGates");
    let node_name = spec.get("nodeName");
    if !gates.is_empty() && !node_name.is_empty() {
        e.forbidden(
            &node_name,
            "cannot be set until all schedulingGates have been cleared",
        );
    }
    if !spec.get("ephemeralContainers").is_empty() {
        e.forbidden(&spec.get("ephemeralContainers"), "cannot be set on create");
    }
}
