//! Commands that belong to a few kinds, or to none.

mod cluster;
mod generators;
mod pods;
mod rights;
mod workloads;

use super::{Command, Stage};

const NO_PODS: &str = "this run has no hosts, so no pod gets ready and `rollout status` waits until its `--timeout`; with \
     hosts, simulated ones too, it works";
const NO_HOSTS: &str =
    "no host runs containers yet; kubectl says so, some commands after waiting for the pod";
const NO_LOGS: &str = "no host runs containers yet: the log of a pod without a host is empty and no error, as with \
     Kubernetes, and kubectl waits 20 s for a pod of a deployment";

/// All of them.
pub const COMMANDS: &[Command] = &[
    // Making objects without a file.
    works("create namespace", generators::namespace),
    works("create configmap", generators::configmap),
    works(
        "create secret generic, docker-registry, tls",
        generators::secrets,
    ),
    works("create serviceaccount", generators::serviceaccount),
    works(
        "create service clusterip, nodeport, loadbalancer, externalname",
        generators::services,
    ),
    works("create deployment", generators::deployment),
    works("create job, cronjob, job --from", generators::jobs),
    works("create quota", generators::quota),
    works("create poddisruptionbudget", generators::budget),
    works("create priorityclass", generators::priorityclass),
    works("create ingress", generators::ingress),
    works("create role, rolebinding", generators::roles),
    works(
        "create clusterrole, clusterrolebinding",
        generators::cluster_roles,
    ),
    works("create token", generators::token),
    works("run", generators::run),
    works("apply -k, kustomize", generators::kustomize),
    works("apply --prune", generators::prune),
    works(
        "create -f with a field that is unknown",
        generators::unknown_field,
    ),
    // Workloads.
    works("scale", workloads::scale),
    works("scale of a custom kind", workloads::scale_custom),
    works("autoscale", workloads::autoscale),
    works("expose", workloads::expose),
    works("set image, env, resources", workloads::set),
    works(
        "set selector, serviceaccount, subject",
        workloads::set_others,
    ),
    works("rollout pause, resume, restart", workloads::rollout),
    refused("rollout status", workloads::rollout_status, NO_PODS),
    works("rollout history, undo", workloads::rollout_history),
    works("delete --cascade=background", workloads::cascade_background),
    works("delete --cascade=orphan", workloads::cascade_orphan),
    works("delete --cascade=foreground", workloads::cascade_foreground),
    works("patch --subresource=status", workloads::subresource),
    works("get all", workloads::get_all),
    // Who may.
    works("auth can-i", rights::can_i),
    works("auth can-i --list", rights::can_i_list),
    works("auth whoami", rights::whoami),
    works("auth reconcile", rights::reconcile),
    works("certificate approve", rights::approve),
    works("certificate deny", rights::deny),
    works("--as, --as-group", rights::impersonate),
    // The cluster.
    works("version", cluster::version),
    works("cluster-info", cluster::cluster_info),
    works("api-versions", cluster::api_versions),
    works(
        "api-resources --categories, --namespaced, --verbs",
        cluster::api_resources,
    ),
    works("get --raw", cluster::raw),
    works(
        "config view, current-context, get-contexts",
        cluster::config,
    ),
    works("explain --recursive", cluster::explain),
    works("events", cluster::events),
    works("taint", cluster::taint),
    works("cordon, uncordon", cluster::cordon),
    works("drain", cluster::drain),
    works("proxy", cluster::proxy),
    works("get --chunk-size", cluster::chunks),
    works(
        "get --sort-by, -A, -o custom-columns, go-template",
        cluster::output,
    ),
    works("get several kinds, --ignore-not-found", cluster::several),
    refused("top", cluster::top, "there is no metrics API yet"),
    // Processes on nodes.
    refused("logs", pods::logs, NO_LOGS),
    refused("exec", pods::exec, NO_HOSTS),
    refused("attach", pods::attach, NO_HOSTS),
    refused("port-forward", pods::port_forward, NO_HOSTS),
    refused("cp", pods::copy, NO_HOSTS),
    works("debug", pods::debug),
];

const fn works(name: &'static str, run: fn(&Stage)) -> Command {
    Command {
        name,
        run,
        refused: None,
    }
}

const fn refused(name: &'static str, run: fn(&Stage), reason: &'static str) -> Command {
    Command {
        name,
        run,
        refused: Some(reason),
    }
}

/// The object at a resource path of the stage's namespace in a group's API, such as `apps/v1` and
/// `deployments/web`.
fn stored(stage: &Stage, api_version: &str, path: &str) -> serde_json::Value {
    let root = if api_version.contains('/') {
        "apis"
    } else {
        "api"
    };
    stage
        .http
        .get(&format!(
            "/{root}/{api_version}/namespaces/{}/{path}",
            stage.namespace
        ))
        .ok()
}
