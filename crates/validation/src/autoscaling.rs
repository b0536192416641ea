//! Horizontal pod autoscalers.

use crate::{
    node::{Errors, Node},
    pods, rules,
};

const METRIC_TYPES: [&str; 5] = [
    "ContainerResource",
    "External",
    "Object",
    "Pods",
    "Resource",
];
const MAX_WINDOW: i64 = 3600;
const MAX_PERIOD: i64 = 1800;

/// An autoscaler.
pub(crate) fn autoscaler(autoscaler: &Node, e: &mut Errors) {
    let spec = autoscaler.get("spec");
    let (min, max) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if min.int().is_some_and(|n| n < 1) {
        e.invalid(&min, "must be greater than or equal to 1");
    }
    if max.int_or_zero() < 1 {
        e.invalid_as(&max, max.int_or_zero(), "must be greater than 0");
    }
    if min.int().is_some_and(|n| max.int_or_zero() < n) {
        e.invalid_as(
            &max,
            max.int_or_zero(),
            "must be greater than or equal to `minReplicas`",
        );
    }
    reference(&spec.get("scaleTargetRef"), e);
    for metric in spec.get("metrics").items() {
        self::metric(&metric, e);
    }
    let behavior = spec.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        scaling_rules(&behavior.get(direction), e);
    }
}

fn reference(reference: &Node, e: &mut Errors) {
    for field in ["kind", "name"] {
        let field = reference.get(field);
        if e.require(&field, "") {
            e.check(&field, rules::path_segment);
        }
    }
}

fn metric(metric: &Node, e: &mut Errors) {
    let ty = metric.get("type");
    if ty.is_empty() {
        e.required(&ty, "must specify a metric source type");
        return;
    }
    let field = match ty.str() {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => {
            e.not_supported(&ty, &METRIC_TYPES);
            return;
        }
    };
    let source = metric.get(field);
    if !source.is_set() {
        e.required(
            &source,
            "must populate information for the given metric source",
        );
        return;
    }
    for (name, other) in metric.fields() {
        if name != "type" && name != field {
            e.forbidden(&other, "must populate the given metric source only");
        }
    }
    match field {
        "resource" | "containerResource" => {
            e.require(&source.get("name"), "must specify a resource name");
            if field == "containerResource" {
                e.require(&source.get("container"), "must specify a container");
            }
            resource_target(&source.get("target"), e);
        }
        _ => {
            let identifier = source.get("metric");
            let name = identifier.get("name");
            if e.require(&name, "must specify a metric name") {
                e.check(&name, rules::path_segment);
            }
            let selector = identifier.get("selector");
            if selector.is_set() {
                pods::label_selector(&selector, e);
            }
            if field == "object" {
                reference(&source.get("describedObject"), e);
            }
            target(&source.get("target"), field == "pods", e);
        }
    }
}

fn target_type(target: &Node, e: &mut Errors) {
    let ty = target.get("type");
    if ty.is_empty() {
        e.required(&ty, "must specify a metric target type");
    } else if !matches!(ty.str(), "Utilization" | "Value" | "AverageValue") {
        e.invalid(&ty, "must be either Utilization, Value, or AverageValue");
    }
}

fn positive_quantities(target: &Node, e: &mut Errors) {
    for field in ["value", "averageValue"] {
        let field = target.get(field);
        if pods::quantity(&field, e).is_some_and(|q| !q.sign().is_gt()) {
            e.invalid(&field, "must be positive");
        }
    }
}

fn resource_target(target: &Node, e: &mut Errors) {
    target_type(target, e);
    positive_quantities(target, e);
    let (utilization, average) = (target.get("averageUtilization"), target.get("averageValue"));
    if utilization.int().is_some_and(|n| n < 1) {
        e.invalid(&utilization, "must be greater than 0");
    }
    match (utilization.is_set(), average.is_set()) {
        (false, false) => e.required(
            &utilization,
            "must set either a target raw value or a target utilization",
        ),
        (true, true) => e.forbidden(
            &average,
            "may not set both a target raw value and a target utilization",
        ),
        _ => {}
    }
}

fn target(target: &Node, average_only: bool, e: &mut Errors) {
    target_type(target, e);
    positive_quantities(target, e);
    let (value, average) = (target.get("value"), target.get("averageValue"));
    if average_only {
        if !average.is_set() {
            e.required(&average, "must specify a positive target averageValue");
        }
    } else if !value.is_set() && !average.is_set() {
        e.required(
            &average,
            "must set either a target value for metric or a per-pod target",
        );
    } else if value.is_set() && average.is_set() {
        e.forbidden(
            &average,
            "may not set both a target value for metric and a per-pod target",
        );
    }
}

fn scaling_rules(rules: &Node, e: &mut Errors) {
    if !rules.is_set() {
        return;
    }
    let window = rules.get("stabilizationWindowSeconds");
    e.not_negative(&window);
    if window.int_or_zero() > MAX_WINDOW {
        e.invalid(
            &window,
            format!("must be less than or equal to {MAX_WINDOW}"),
        );
    }
    e.one_of_if_set(&rules.get("selectPolicy"), &["Disabled", "Max", "Min"]);
    let policies = rules.get("policies");
    e.require(&policies, "must specify at least one Policy");
    for policy in policies.items() {
        let ty = policy.get("type");
        if !["Percent", "Pods"].contains(&ty.str()) {
            e.not_supported(&ty, &["Percent", "Pods"]);
        }
        let value = policy.get("value");
        if value.int_or_zero() <= 0 {
            e.invalid_as(&value, value.int_or_zero(), "must be greater than zero");
        }
        let period = policy.get("periodSeconds");
        if period.int_or_zero() <= 0 {
            e.invalid_as(&period, period.int_or_zero(), "must be greater than zero");
        } else if period.int_or_zero() > MAX_PERIOD {
            e.invalid(
                &period,
                format!("must be less than or equal to {MAX_PERIOD}"),
            );
        }
    }
}
