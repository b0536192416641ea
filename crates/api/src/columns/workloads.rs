//! The columns of what keeps pods running.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{
    AGE, CONTAINERS, IMAGES, NAME, NONE, SELECTOR, Spec, UNSET, age, age_at, condition, containers,
    flag, has, int, labels, list, name, scalar, selector, text, text_or,
};
use crate::{meta, time};

const TEMPLATE: &str = "/spec/template/spec";

pub(super) const POD_TEMPLATE: &[Spec] = &[
    NAME,
    ("Containers", "string", 0, CONTAINERS.3),
    ("Images", "string", 0, IMAGES.3),
    (
        "Pod Labels",
        "string",
        0,
        "The labels for the pod template.",
    ),
];

pub(super) fn pod_template(object: &Value, _: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object, "/template/spec");
    let labels = labels(object, "/template/metadata/labels");
    vec![name(object), names, images, labels.into()]
}

pub(super) const REPLICA_SET: &[Spec] = &[
    NAME,
    ("Desired", "integer", 0, "How many pods are wanted."),
    ("Current", "integer", 0, "How many pods there are."),
    ("Ready", "integer", 0, "How many pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, selector(object, "/spec/selector"))
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, labels(object, "/spec/selector"))
}

fn replicas(object: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        int(object, "/spec/replicas").into(),
        int(object, "/status/replicas").into(),
        int(object, "/status/readyReplicas").into(),
        age(object, now),
        names,
        images,
        selector.into(),
    ]
}

pub(super) const DEPLOYMENT: &[Spec] = &[
    NAME,
    ("Ready", "string", 0, "Number of the pod with ready state"),
    (
        "Up-to-date",
        "string",
        0,
        "How many pods follow the present template.",
    ),
    (
        "Available",
        "string",
        0,
        "How many pods have been ready for long enough.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        ready_of_desired(object),
        int(object, "/status/updatedReplicas").into(),
        int(object, "/status/availableReplicas").into(),
        age(object, now),
        names,
        images,
        selector(object, "/spec/selector").into(),
    ]
}

fn ready_of_desired(object: &Value) -> Value {
    let ready = int(object, "/status/readyReplicas");
    format!("{ready}/{}", int(object, "/spec/replicas")).into()
}

pub(super) const STATEFUL_SET: &[Spec] = &[
    NAME,
    ("Ready", "string", 0, "Number of the pod with ready state"),
    AGE,
    CONTAINERS,
    IMAGES,
];

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        ready_of_desired(object),
        age(object, now),
        names,
        images,
    ]
}

pub(super) const DAEMON_SET: &[Spec] = &[
    NAME,
    (
        "Desired",
        "integer",
        0,
        "How many nodes should run the pod.",
    ),
    ("Current", "integer", 0, "How many of them have the pod."),
    ("Ready", "integer", 0, "How many of them have a ready pod."),
    (
        "Up-to-date",
        "integer",
        0,
        "How many of them have a pod of the present template.",
    ),
    (
        "Available",
        "integer",
        0,
        "How many of them have a pod that has been ready for long enough.",
    ),
    (
        "Node Selector",
        "string",
        0,
        "The labels that a node must have.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        int(object, "/status/desiredNumberScheduled").into(),
        int(object, "/status/currentNumberScheduled").into(),
        int(object, "/status/numberReady").into(),
        int(object, "/status/updatedNumberScheduled").into(),
        int(object, "/status/numberAvailable").into(),
        labels(object, "/spec/template/spec/nodeSelector").into(),
        age(object, now),
        names,
        images,
        selector(object, "/spec/selector").into(),
    ]
}

pub(super) const CONTROLLER_REVISION: &[Spec] = &[
    NAME,
    ("Controller", "string", 0, "Controller of the object"),
    (
        "Revision",
        "string",
        0,
        "Which revision of the state this is.",
    ),
    AGE,
];

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| flag(owner, "/controller") == Some(true));
    let controller = owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let group = text(owner, "/apiVersion")
                .split_once('/')
                .map(|(group, _)| group);
            let kind = text(owner, "/kind").to_lowercase();
            let name = text(owner, "/name");
            match group {
                Some(group) => format!("{kind}.{}/{name}", group.to_lowercase()),
                None => format!("{kind}/{name}"),
            }
        },
    );
    vec![
        name(object),
        controller.into(),
        int(object, "/revision").into(),
        age(object, now),
    ]
}

pub(super) const JOB: &[Spec] = &[
    NAME,
    ("Status", "string", 0, "Status of the job."),
    ("Completions", "string", 0, "How many pods have succeeded."),
    (
        "Duration",
        "string",
        0,
        "Time required to complete the job.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = int(object, "/status/succeeded");
    let parallelism = int(object, "/spec/parallelism");
    let completions = if has(object, "/spec/completions") {
        format!("{succeeded}/{}", int(object, "/spec/completions"))
    } else if parallelism > 1 {
        format!("{succeeded}/1 of {parallelism}")
    } else {
        format!("{succeeded}/1")
    };
    let is = |kind| condition(object, kind) == Some("True");
    let status = if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if meta::is_being_deleted(object) {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    };
    let end = time::parse(text(object, "/status/completionTime")).unwrap_or(now);
    let duration = time::parse(text(object, "/status/startTime"))
        .map_or_else(String::new, |start| time::since(start, end));
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        status.into(),
        completions.into(),
        duration.into(),
        age(object, now),
        names,
        images,
        selector(object, "/spec/selector").into(),
    ]
}

pub(super) const CRON_JOB: &[Spec] = &[
    NAME,
    ("Schedule", "string", 0, "When it runs, in cron format."),
    ("Timezone", "string", 0, "The time zone of the schedule."),
    ("Suspend", "boolean", 0, "Whether it is suspended."),
    ("Active", "integer", 0, "How many jobs run now."),
    ("Last Schedule", "string", 0, "When it ran last."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let suspend = match flag(object, "/spec/suspend") {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    };
    let last = if has(object, "/status/lastScheduleTime") {
        age_at(object, "/status/lastScheduleTime", now)
    } else {
        NONE.to_owned()
    };
    let [names, images] = containers(object, "/spec/jobTemplate/spec/template/spec");
    vec![
        name(object),
        text(object, "/spec/schedule").into(),
        text_or(object, "/spec/timeZone", NONE).into(),
        suspend.into(),
        list(object, "/status/active").len().into(),
        last.into(),
        age(object, now),
        names,
        images,
        selector(object, "/spec/jobTemplate/spec/selector").into(),
    ]
}

pub(super) const POD_DISRUPTION_BUDGET: &[Spec] = &[
    NAME,
    (
        "Min Available",
        "string",
        0,
        "The minimum number of pods that must be available.",
    ),
    (
        "Max Unavailable",
        "string",
        0,
        "The maximum number of pods that may be unavailable.",
    ),
    (
        "Allowed Disruptions",
        "integer",
        0,
        "Calculated number of pods that may be disrupted at this time.",
    ),
    AGE,
];

pub(super) fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        scalar(object, "/spec/minAvailable", "N/A").into(),
        scalar(object, "/spec/maxUnavailable", "N/A").into(),
        int(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ]
}

pub(super) const AUTOSCALER: &[Spec] = &[
    NAME,
    ("Reference", "string", 0, "What is scaled."),
    ("Targets", "string", 0, "The metrics that it is scaled by."),
    ("MinPods", "string", 0, "The fewest replicas."),
    ("MaxPods", "string", 0, "The most replicas."),
    ("Replicas", "string", 0, "How many replicas there are."),
    AGE,
];

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = format!(
        "{}/{}",
        text(object, "/spec/scaleTargetRef/kind"),
        text(object, "/spec/scaleTargetRef/name")
    );
    vec![
        name(object),
        reference.into(),
        targets(object).into(),
        scalar(object, "/spec/minReplicas", UNSET).into(),
        int(object, "/spec/maxReplicas").into(),
        int(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

fn targets(object: &Value) -> String {
    const SHOWN: usize = 2;
    let metrics = list(object, "/spec/metrics");
    if metrics.is_empty() {
        return NONE.to_owned();
    }
    let current = list(object, "/status/currentMetrics");
    let texts: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    let texts = texts.join(", ");
    if metrics.len() > SHOWN {
        format!("{texts} + {} more...", metrics.len() - SHOWN)
    } else {
        texts
    }
}

/// What a metric is now and what it should be.
fn target(metric: &Value, current: &Value) -> String {
    const UNKNOWN: &str = "<unknown>";
    let source = match text(metric, "/type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let wanted = |field: &str| format!("/{source}/target/{field}");
    let now = |field: &str| scalar(current, &format!("/{source}/current/{field}"), UNKNOWN);
    let average = has(metric, &wanted("averageValue"));
    let average_pair = || {
        let wanted = scalar(metric, &wanted("averageValue"), "0");
        format!("{}/{wanted}", now("averageValue"))
    };
    match source {
        "resource" | "containerResource" => {
            let name = text(metric, &format!("/{source}/name"));
            if average {
                return format!("{name}: {}", average_pair());
            }
            let percent = |value: &Value, pointer: &str, absent: &str| {
                let number = value.pointer(pointer).and_then(Value::as_i64);
                number.map_or_else(|| absent.to_owned(), |number| format!("{number}%"))
            };
            let wanted = percent(metric, &wanted("averageUtilization"), "<auto>");
            let now = percent(
                current,
                &format!("/{source}/current/averageUtilization"),
                UNKNOWN,
            );
            format!("{name}: {now}/{wanted}")
        }
        "pods" => average_pair(),
        _ if average => format!("{} (avg)", average_pair()),
        _ => format!("{}/{}", now("value"), scalar(metric, &wanted("value"), "0")),
    }
}
