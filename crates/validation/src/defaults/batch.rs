//! Defaults of `batch/v1`.

use serde_json::Value;

use super::{Fields, each, object, pod::template, set, set_text};

/// Defaults of a `Job`.
pub(crate) fn job(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    let absent = |spec: &Fields, key: &str| spec.get(key).is_none_or(Value::is_null);
    // Only when neither is given is it a job of one completion; a work queue gives parallelism alone.
    if absent(spec, "completions") && absent(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let backoff = if absent(spec, "backoffLimitPerIndex") {
        6
    } else {
        i64::from(i32::MAX)
    };
    set(spec, "backoffLimit", backoff);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    let replacement = if absent(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    set(spec, "podReplacementPolicy", replacement);
    failure_policy(spec);
    template(spec);
    let labels = spec
        .get("template")
        .and_then(|t| t.pointer("/metadata/labels"))
        .filter(|l| l.as_object().is_some_and(|l| !l.is_empty()))
        .cloned();
    if let Some(labels) = labels
        && let Some(metadata) = object(fields, "metadata")
    {
        let has = metadata
            .get("labels")
            .and_then(Value::as_object)
            .is_some_and(|l| !l.is_empty());
        if !has {
            metadata.insert("labels".to_owned(), labels);
        }
    }
}

fn failure_policy(spec: &mut Fields) {
    let Some(policy) = object(spec, "podFailurePolicy") else {
        return;
    };
    for rule in each(policy, "rules") {
        for condition in each(rule, "onPodConditions") {
            set_text(condition, "status", "True");
        }
    }
}

/// Defaults of a `CronJob`. Its job template gets only those of the pod template: the rest comes when
/// a job is made from it.
pub(crate) fn cron_job(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else {
        return;
    };
    set_text(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = object(spec, "jobTemplate").and_then(|t| object(t, "spec")) {
        failure_policy(job);
        template(job);
    }
}
