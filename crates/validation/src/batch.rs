//! Jobs and cron jobs.

use mosaic_api::{cron::Schedule, indexes::Indexes};

use crate::{
    node::{Errors, Node},
    pods, rules, time_zone,
};

/// A job's name is part of its pods' names.
const MAX_CRON_JOB_NAME: usize = 52;
const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const MAX_FAILURE_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const NOT_NEGATIVE: [&str; 7] = [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];

/// The longest hostname.
const MAX_HOSTNAME: usize = 63;

/// A job, whose selector has been generated already.
pub(crate) fn job(job: &Node, e: &mut Errors) {
    let spec = job.get("spec");
    let selector = spec.get("selector");
    if selector.is_set() {
        pods::label_selector(&selector, e);
        pods::selected_template(&selector, &spec.get("template"), e);
    } else {
        e.required(&selector, "");
    }
    job_spec(&spec, e);
    indexed_hosts(job, e);
}

/// Pods of an indexed job have its name and their index as hostname, which is a label of DNS.
fn indexed_hosts(job: &Node, e: &mut Errors) {
    let spec = job.get("spec");
    let completions = spec.get("completions").int_or_zero();
    if spec.get("completionMode").str() != "Indexed" || completions <= 0 {
        return;
    }
    let metadata = job.get("metadata");
    let name = metadata.get("name");
    let hostname = format!("{}-{}", name.str(), completions - 1);
    if hostname.len() > MAX_HOSTNAME {
        e.invalid(
            &name,
            format!(
                "its pods would have the hostname {hostname}: must be no more than {MAX_HOSTNAME} characters"
            ),
        );
    }
}

fn job_spec(spec: &Node, e: &mut Errors) {
    for field in NOT_NEGATIVE {
        e.not_negative(&spec.get(field));
    }
    let mode = spec.get("completionMode");
    let completions = spec.get("completions");
    e.one_of_if_set(&mode, &["Indexed", "NonIndexed"]);
    let indexed = mode.str() == "Indexed";
    if indexed {
        if !completions.is_set() {
            e.required(&completions, "when completion mode is Indexed");
        }
        let parallelism = spec.get("parallelism");
        if parallelism.int_or_zero() > MAX_INDEXED_PARALLELISM {
            e.invalid(
                &parallelism,
                format!(
                    "must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
                ),
            );
        }
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            let field = spec.get(field);
            if field.is_set() {
                e.invalid(&field, "requires indexed completion mode");
            }
        }
    }
    if spec.get("maxFailedIndexes").is_set() && !spec.get("backoffLimitPerIndex").is_set() {
        e.required(
            &spec.get("backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        );
    }
    failure_policy(spec, e);
    success_policy(spec, indexed, e);
    let replacement = spec.get("podReplacementPolicy");
    if spec.get("podFailurePolicy").is_set() {
        e.one_of_if_set(&replacement, &["Failed"]);
    } else {
        e.one_of_if_set(&replacement, &["Failed", "TerminatingOrFailed"]);
    }
    let manager = spec.get("managedBy");
    if manager.is_set() {
        e.check(&manager, rules::qualified_name);
    }
    let template = spec.get("template");
    pods::template(&template, e);
    let pod = template.get("spec");
    let policy = pod.get("restartPolicy");
    match policy.str() {
        "OnFailure" if spec.get("podFailurePolicy").is_set() => e.invalid(
            &policy,
            "only \"Never\" is supported when podFailurePolicy is specified",
        ),
        "OnFailure" | "Never" => {}
        "Always" => e.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        _ => e.not_supported(&policy, &["OnFailure", "Never"]),
    }
}

fn failure_policy(spec: &Node, e: &mut Errors) {
    let policy = spec.get("podFailurePolicy");
    if !policy.is_set() {
        return;
    }
    let list = policy.get("rules");
    if list.len() > MAX_FAILURE_RULES {
        e.too_many(&list, MAX_FAILURE_RULES);
    }
    let template = spec.get("template");
    let pod = template.get("spec");
    for rule in list.items() {
        let action = rule.get("action");
        match action.str() {
            "" => e.required(
                &action,
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            ),
            "FailIndex" if !spec.get("backoffLimitPerIndex").is_set() => {
                e.invalid(&action, "requires the backoffLimitPerIndex to be set")
            }
            "Count" | "FailIndex" | "FailJob" | "Ignore" => {}
            _ => e.not_supported(&action, &["Count", "FailIndex", "FailJob", "Ignore"]),
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &pod, e);
        }
        if !conditions.is_empty() && codes.is_set() {
            e.invalid_as(
                &rule,
                rule.value().cloned().unwrap_or_default(),
                "specifying both OnExitCodes and OnPodConditions is not supported",
            );
        }
        if conditions.is_empty() && !codes.is_set() {
            e.invalid_as(
                &rule,
                rule.value().cloned().unwrap_or_default(),
                "specifying one of OnExitCodes and OnPodConditions is required",
            );
        }
        for condition in conditions.items() {
            e.check(&condition.get("type"), rules::qualified_name);
            e.one_of(&condition.get("status"), &["False", "True", "Unknown"]);
        }
    }
}

fn exit_codes(codes: &Node, pod: &Node, e: &mut Errors) {
    let operator = codes.get("operator");
    e.one_of(&operator, &["In", "NotIn"]);
    let name = codes.get("containerName");
    if name.is_set() {
        let known = ["containers", "initContainers"].iter().any(|list| {
            pod.get(list)
                .items()
                .any(|c| c.get("name").str() == name.str())
        });
        if !known {
            e.invalid(
                &name,
                "must be one of the container or initContainer names in the pod template",
            );
        }
    }
    let values = codes.get("values");
    if values.is_empty() {
        e.invalid_as(
            &values,
            values.value().cloned().unwrap_or_default(),
            "at least one value is required",
        );
    } else if values.len() > MAX_EXIT_CODES {
        e.too_many(&values, MAX_EXIT_CODES);
    }
    let mut last = None;
    let mut ordered = true;
    for value in values.items() {
        let code = value.int();
        if operator.str() == "In" && code == Some(0) {
            e.invalid(&value, "must not be 0 for the In operator");
        }
        if last.is_some() && last == code {
            e.duplicate(&value, code.unwrap_or_default());
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        e.invalid(&values, "must be ordered");
    }
}

fn success_policy(spec: &Node, indexed: bool, e: &mut Errors) {
    let policy = spec.get("successPolicy");
    if !policy.is_set() {
        return;
    }
    if !indexed {
        e.invalid(&policy, "requires indexed completion mode");
        return;
    }
    let list = policy.get("rules");
    e.require(
        &list,
        "at least one rules must be specified when the successPolicy is specified",
    );
    for rule in list.items() {
        if !rule.get("succeededIndexes").is_set() && !rule.get("succeededCount").is_set() {
            e.required(
                &rule,
                "at least one of succeededCount or succeededIndexes must be specified",
            );
        }
        let indexes = rule.get("succeededIndexes");
        if indexes.is_set() && indexes.str().parse::<Indexes>().is_err() {
            e.invalid(
                &indexes,
                "must be indexes and runs of them in ascending order, such as 0,2-4",
            );
        }
    }
}

/// An update of a job: what its pods are made from stays, unless it waits and has not started.
pub(crate) fn job_update(new: &Node, old: &Node, e: &mut Errors) {
    let (spec, old_spec) = (new.get("spec"), old.get("spec"));
    for field in [
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        e.immutable(&spec.get(field), &old_spec.get(field));
    }
    let (completions, old_completions) = (spec.get("completions"), old_spec.get("completions"));
    // Indexed jobs are elastic: they may grow and shrink as long as all their indexes run at once.
    let elastic = spec.get("completionMode").str() == "Indexed"
        && completions.int().is_some()
        && completions.int() == spec.get("parallelism").int();
    if !elastic {
        e.immutable(&completions, &old_completions);
    }
    let waiting = old_spec.get("suspend").is_true() && !old.get("status").get("startTime").is_set();
    let (template, old_template) = (spec.get("template"), old_spec.get("template"));
    let same = if waiting {
        same_but_scheduling(&template, &old_template)
    } else {
        template.same(&old_template)
    };
    if !same {
        e.invalid(&template, crate::node::IMMUTABLE);
    }
}

/// Where the pods of a job run may be decided until it starts.
fn same_but_scheduling(new: &Node, old: &Node) -> bool {
    let (new_spec, old_spec) = (new.get("spec"), old.get("spec"));
    let directive = |key: &str| {
        matches!(
            key,
            "nodeSelector"
                | "affinity"
                | "tolerations"
                | "schedulingGates"
                | "containers"
                | "initContainers"
        )
    };
    let metadata_may_change = ["labels", "annotations"];
    let (new_meta, old_meta) = (new.get("metadata"), old.get("metadata"));
    new_spec
        .fields()
        .chain(old_spec.fields())
        .filter(|(key, _)| !directive(key))
        .all(|(key, _)| new_spec.get(key).same(&old_spec.get(key)))
        && ["containers", "initContainers"].iter().all(|list| {
            let (new_list, old_list) = (new_spec.get(list), old_spec.get(list));
            new_list.len() == old_list.len()
                && new_list.items().zip(old_list.items()).all(|(new, old)| {
                    new.fields()
                        .chain(old.fields())
                        .filter(|(key, _)| *key != "resources")
                        .all(|(key, _)| new.get(key).same(&old.get(key)))
                })
        })
        && new_meta
            .fields()
            .chain(old_meta.fields())
            .filter(|(key, _)| !metadata_may_change.contains(key))
            .all(|(key, _)| new_meta.get(key).same(&old_meta.get(key)))
}

/// The status of a job.
pub(crate) fn job_status(new: &Node, _: &Node, e: &mut Errors) {
    let status = new.get("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        e.not_negative(&status.get(field));
    }
}

/// A cron job.
pub(crate) fn cron_job(job: &Node, e: &mut Errors) {
    let metadata = job.get("metadata");
    let name = metadata.get("name");
    if name.str().len() > MAX_CRON_JOB_NAME {
        e.invalid(
            &name,
            format!("must be no more than {MAX_CRON_JOB_NAME} bytes"),
        );
    }
    let spec = job.get("spec");
    schedule(&spec, e);
    for field in [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        e.not_negative(&spec.get(field));
    }
    e.one_of(
        &spec.get("concurrencyPolicy"),
        &["Allow", "Forbid", "Replace"],
    );
    let template = spec.get("jobTemplate");
    let job = template.get("spec");
    if job.get("manualSelector").is_set() {
        e.not_supported(&job.get("manualSelector"), &["nil", "false"]);
    }
    if job.get("selector").is_set() {
        e.invalid(&job.get("selector"), "`selector` will be auto-generated");
    }
    job_spec(&job, e);
}

fn schedule(spec: &Node, e: &mut Errors) {
    let schedule = spec.get("schedule");
    let zone = spec.get("timeZone");
    if e.require(&schedule, "") {
        if schedule.str().contains("TZ") {
            e.invalid(
                &schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            );
        } else if let Err(problem) = schedule.str().parse::<Schedule>() {
            e.invalid(&schedule, problem.to_string());
        }
    }
    if !zone.is_set() {
        return;
    }
    let name = zone.str();
    if name.is_empty() {
        e.invalid(&zone, "timeZone must be nil or non-empty string");
    } else if name.eq_ignore_ascii_case("local") {
        e.invalid(
            &zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    } else if !time_zone::is_known(name) {
        e.invalid(&zone, format!("unknown time zone {name}"));
    }
}
