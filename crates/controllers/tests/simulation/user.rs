//! The one who asks for things, and knows what was asked for.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{network::Link, world::World};

/// A kind of object that a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Pod,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// Its group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Pod => "v1",
            Self::Job | Self::CronJob => "batch/v1",
            _ => "apps/v1",
        }
    }

    fn plural(self) -> String {
        format!("{}s", self.name().to_lowercase())
    }

    /// The path of its objects.
    pub fn path(self) -> String {
        let root = if self == Self::Pod { "/api" } else { "/apis" };
        format!(
            "{root}/{}/namespaces/default/{}",
            self.api_version(),
            self.plural()
        )
    }

    /// Where the store keeps its objects.
    pub fn prefix(self) -> String {
        let group = self.api_version().split_once('/');
        let group = group.map_or("core", |(group, _)| group);
        format!("/{group}/{}/default/", self.plural())
    }
}

/// Something that was asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub kind: Kind,
    pub name: String,
    pub replicas: i64,
    /// Counts the changes of the template.
    pub version: i64,
    /// Whether a job's pods fail.
    pub fails: bool,
    /// Whether a budget says how many of its pods may be missing: one.
    pub budget: bool,
}

/// The one who asks for things. Asks again until there is an answer.
pub struct User {
    client: kube::Client,
    world: Arc<World>,
}

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
/// How long somebody waits before asking again.
const AGAIN: Duration = Duration::from_millis(700);

impl User {
    /// A user whose requests get through.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            client: Link::sheltered(world, "user").client(),
            world: world.clone(),
        }
    }

    /// Asks until the API has answered. Nothing if it refused.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let content_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        // Servers are started again within a minute.
        for _ in 0..200 {
            let bytes = body.map(|body| body.to_string().into_bytes());
            let request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header("content-type", content_type)
                .body(bytes.unwrap_or_default())
                .unwrap();
            match self.client.request::<Value>(request).await {
                Ok(answer) => return Some(answer),
                Err(kube::Error::Api(status)) if is_final(status.code) => {
                    let message = &status.message;
                    self.world
                        .note(format_args!("user: {method} {path}: {message}"));
                    return None;
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
        let broken = format!("{method} {path} was not answered");
        self.world.promises.lock().broken(broken);
        None
    }

    /// Creates an object in a collection.
    pub async fn create(&self, path: &str, object: &Value) {
        self.ask(Method::POST, path, Some(object)).await;
    }

    /// Changes an object by a merge patch.
    pub async fn change(&self, path: &str, change: &Value) -> Option<Value> {
        self.ask(Method::PATCH, path, Some(change)).await
    }

    /// Asks for a workload, with a service if its pods serve.
    pub async fn want(&self, wanted: &Wanted) {
        self.create(&wanted.kind.path(), &manifest(wanted)).await;
        if wanted.serves() {
            self.create("/api/v1/namespaces/default/services", &service(wanted))
                .await;
        }
        if wanted.budget {
            self.create(BUDGETS, &budget(wanted)).await;
        }
    }

    /// Changes how many there are of a workload.
    pub async fn scale(&self, wanted: &Wanted) {
        let path = format!("{}/{}", wanted.kind.path(), wanted.name);
        self.change(&path, &json!({ "spec": { "replicas": wanted.replicas } }))
            .await;
    }

    /// Changes the template of a workload.
    pub async fn update(&self, wanted: &Wanted) {
        let path = format!("{}/{}", wanted.kind.path(), wanted.name);
        let annotations = json!({ "version": wanted.version.to_string() });
        let template = json!({ "metadata": { "annotations": annotations } });
        self.change(&path, &json!({ "spec": { "template": template } }))
            .await;
    }

    /// Deletes a workload, and its service.
    pub async fn delete(&self, wanted: &Wanted, propagation: &str) {
        let path = format!("{}/{}", wanted.kind.path(), wanted.name);
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1",
            "propagationPolicy": propagation });
        self.ask(Method::DELETE, &path, Some(&options)).await;
        if wanted.serves() {
            let path = format!("/api/v1/namespaces/default/services/{}", wanted.name);
            self.ask(Method::DELETE, &path, None).await;
        }
        if wanted.budget {
            let path = format!("{BUDGETS}/{}", wanted.name);
            self.ask(Method::DELETE, &path, None).await;
        }
    }
}

impl User {
    /// Deletes what was left behind of a workload on purpose.
    pub async fn sweep(&self, name: &str) {
        let owners = [
            Kind::ReplicaSet.path(),
            Kind::Job.path(),
            REVISIONS.to_owned(),
        ];
        for path in owners.into_iter().chain([Kind::Pod.path()]) {
            let path = format!("{path}?labelSelector=app%3D{name}&propagationPolicy=Background");
            self.ask(Method::DELETE, &path, None).await;
        }
    }

    /// Evicts a pod, if its budget allows it now.
    pub async fn evict(&self, name: &str) {
        let path = format!("{}/{name}/eviction", Kind::Pod.path());
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": name } });
        let request = Request::post(&path).header("content-type", "application/json");
        let request = request.body(eviction.to_string().into_bytes()).unwrap();
        let evicted = self.client.request::<Value>(request).await.is_ok();
        self.world
            .note(format_args!("user: pod {name} is evicted: {evicted}"));
    }
}

fn is_final(code: u16) -> bool {
    StatusCode::from_u16(code).is_ok_and(|code| {
        code.is_client_error()
            && code != StatusCode::TOO_MANY_REQUESTS
            && code != StatusCode::REQUEST_TIMEOUT
    })
}

impl Wanted {
    /// Whether there is a service in front of its pods.
    pub fn serves(&self) -> bool {
        !matches!(self.kind, Kind::Job | Kind::CronJob)
    }
}

/// A budget for a workload's pods.
fn budget(wanted: &Wanted) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": wanted.name },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": wanted.name } } },
    })
}

/// A service in front of a workload's pods.
fn service(wanted: &Wanted) -> Value {
    let cluster_ip = (wanted.kind == Kind::StatefulSet).then_some("None");
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": wanted.name },
        "spec": { "selector": { "app": wanted.name }, "clusterIP": cluster_ip,
            "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

/// What a workload's pods are like.
fn template(wanted: &Wanted) -> Value {
    let mut annotations = json!({
        "version": wanted.version.to_string(),
        "mosaic/sim-start": "700ms",
        "mosaic/sim-stop": "1s:0",
    });
    let restart = match wanted.kind {
        Kind::Job | Kind::CronJob => {
            let code = i32::from(wanted.fails);
            annotations["mosaic/sim-exit-after"] = json!(format!("4s:{code}"));
            "Never"
        }
        _ => "Always",
    };
    json!({
        "metadata": { "labels": { "app": wanted.name }, "annotations": annotations },
        "spec": {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 5,
            "containers": [{ "name": "main", "image": "image",
                "ports": [{ "containerPort": 8080 }],
                "resources": { "requests": { "cpu": "500m", "memory": "100Mi" } } }],
        },
    })
}

fn manifest(wanted: &Wanted) -> Value {
    let (template, name) = (template(wanted), &wanted.name);
    let selector = json!({ "matchLabels": { "app": name } });
    // A pod that is taken away counts as one that failed.
    let failures = if wanted.fails { 2 } else { 100 };
    let job = json!({ "parallelism": 2, "completions": wanted.replicas, "backoffLimit": failures,
        "template": template });
    let spec = match wanted.kind {
        Kind::Pod => {
            let mut pod = template;
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!(name);
            return pod;
        }
        Kind::Deployment | Kind::ReplicaSet => {
            json!({ "replicas": wanted.replicas, "selector": selector, "template": template })
        }
        Kind::StatefulSet => json!({ "replicas": wanted.replicas, "selector": selector,
            "serviceName": name, "template": template }),
        Kind::DaemonSet => json!({ "selector": selector, "template": template }),
        Kind::Job => job,
        Kind::CronJob => json!({ "schedule": "* * * * *", "successfulJobsHistoryLimit": 2,
            "failedJobsHistoryLimit": 1, "concurrencyPolicy": "Forbid",
            "jobTemplate": { "metadata": { "labels": { "app": name } }, "spec": job } }),
    };
    json!({
        "apiVersion": wanted.kind.api_version(), "kind": wanted.kind.name(),
        "metadata": { "name": name }, "spec": spec,
    })
}
