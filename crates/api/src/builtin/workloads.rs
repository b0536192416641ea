//! What runs containers and keeps them running: `apps`, `batch`, `autoscaling`.

use super::Row;

fn apps(kind: &'static str, plural: &'static str) -> Row {
    Row::new("apps", "v1", kind, plural)
}

fn batch(kind: &'static str, plural: &'static str) -> Row {
    Row::new("batch", "v1", kind, plural)
        .category("all")
        .status()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        apps("ControllerRevision", "controllerrevisions"),
        apps("DaemonSet", "daemonsets")
            .short(&["ds"])
            .category("all")
            .status(),
        apps("Deployment", "deployments")
            .short(&["deploy"])
            .category("all")
            .status()
            .scale(),
        apps("ReplicaSet", "replicasets")
            .short(&["rs"])
            .category("all")
            .status()
            .scale()
            .select(&[("status.replicas", "0")]),
        apps("StatefulSet", "statefulsets")
            .short(&["sts"])
            .category("all")
            .status()
            .scale(),
        batch("CronJob", "cronjobs").short(&["cj"]),
        batch("Job", "jobs")
            .select(&[("status.successful", "0")])
            .stored_at("status.successful", &["status.succeeded"]),
        Row::new(
            "autoscaling",
            "v2",
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
        )
        .short(&["hpa"])
        .category("all")
        .status(),
    ]
}
