//! Limit ranges: what containers get that do not say what they need, and between which bounds pods,
//! containers and claims must be.

use mosaic_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::{Amounts, pod_limits, pod_requests};
use crate::defaults::{Fields, each, ensure, object, text};

/// The annotation that tells what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The limits of a range that are about this type of thing.
fn limits<'a>(range: &'a Value, ty: &'a str) -> impl Iterator<Item = &'a Value> + use<'a> {
    range
        .pointer("/spec/limits")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(move |limit| limit.get("type").and_then(Value::as_str) == Some(ty))
}

/// Fills in the requests and limits that a new pod's containers do not give, and says so in an
/// annotation.
pub fn apply_defaults(range: &Value, pod: &mut Value) {
    let mut default_limits = Map::new();
    let mut default_requests = Map::new();
    for limit in limits(range, "Container") {
        let merge = |target: &mut Fields, key: &str| {
            let list = limit.get(key).and_then(Value::as_object);
            for (name, amount) in list.into_iter().flatten() {
                target.insert(name.clone(), amount.clone());
            }
        };
        merge(&mut default_limits, "default");
        merge(&mut default_requests, "defaultRequest");
    }
    let Some(fields) = pod.as_object_mut() else {
        return;
    };
    let mut said = Vec::new();
    if let Some(spec) = object(fields, "spec") {
        for (list, noun) in [
            ("containers", "container"),
            ("initContainers", "init container"),
        ] {
            for container in each(spec, list) {
                let name = text(container, "name").to_owned();
                let Some(resources) = ensure(container, "resources") else {
                    continue;
                };
                for (key, word, defaults) in [
                    ("requests", "request", &default_requests),
                    ("limits", "limit", &default_limits),
                ] {
                    let filled = fill(resources, key, defaults);
                    if !filled.is_empty() {
                        said.push(format!("{} {word} for {noun} {name}", filled.join(", ")));
                    }
                }
            }
        }
    }
    if said.is_empty() {
        return;
    }
    if let Some(annotations) =
        ensure(fields, "metadata").and_then(|metadata| ensure(metadata, "annotations"))
    {
        let text = format!("LimitRanger plugin set: {}", said.join("; "));
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
}

fn fill(resources: &mut Fields, key: &str, defaults: &Fields) -> Vec<String> {
    let given = resources.get(key).and_then(Value::as_object);
    let missing: Vec<(String, Value)> = defaults
        .iter()
        .filter(|(name, _)| given.is_none_or(|given| !given.contains_key(*name)))
        .map(|(name, amount)| (name.clone(), amount.clone()))
        .collect();
    let names = missing.iter().map(|(name, _)| name.clone()).collect();
    if !missing.is_empty()
        && let Some(list) = ensure(resources, key)
    {
        list.extend(missing);
    }
    names
}

/// Where a pod is outside of the bounds of a range: one text each, as the refusal shows them.
pub fn check_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let amounts =
        |holder: &Value, key: &str| Amounts::read(holder.get("resources").and_then(|r| r.get(key)));
    for limit in limits(range, "Container") {
        for list in ["containers", "initContainers"] {
            let containers = pod
                .get("spec")
                .and_then(|s| s.get(list))
                .and_then(Value::as_array);
            for container in containers.into_iter().flatten() {
                let requests = amounts(container, "requests");
                let limits = amounts(container, "limits");
                bounds(limit, "Container", &requests, &limits, &mut wrong);
            }
        }
    }
    for limit in limits(range, "Pod") {
        bounds(
            limit,
            "Pod",
            &pod_requests(pod),
            &pod_limits(pod),
            &mut wrong,
        );
    }
    wrong
}

/// Where a claim is outside of the bounds of a range.
pub fn check_claim(range: &Value, claim: &Value) -> Vec<String> {
    const TYPE: &str = "PersistentVolumeClaim";
    let requests = Amounts::read(claim.pointer("/spec/resources/requests"));
    let mut wrong = Vec::new();
    for limit in limits(range, TYPE) {
        for (name, bound) in Amounts::read(limit.get("min")).iter() {
            at_least(TYPE, name, bound, requests.get(name), None, &mut wrong);
        }
        for (name, bound) in Amounts::read(limit.get("max")).iter() {
            let what = format!("maximum {name} usage per {TYPE} is {bound}");
            match requests.get(name) {
                None => wrong.push(format!("{what}.  No request is specified")),
                Some(request) if request > bound => {
                    wrong.push(format!("{what}, but request is {request}"));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

/// The texts as one, as Kubernetes joins them.
pub fn join(wrong: &[String]) -> String {
    match wrong {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn bounds(limit: &Value, ty: &str, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    for (name, bound) in Amounts::read(limit.get("min")).iter() {
        at_least(ty, name, bound, requests.get(name), limits.get(name), wrong);
    }
    for (name, bound) in Amounts::read(limit.get("max")).iter() {
        let what = format!("maximum {name} usage per {ty} is {bound}");
        match (limits.get(name), requests.get(name)) {
            (None, _) => wrong.push(format!("{what}.  No limit is specified")),
            (Some(limit), _) if limit > bound => {
                wrong.push(format!("{what}, but limit is {limit}"));
            }
            (_, Some(request)) if request > bound => {
                wrong.push(format!("{what}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, bound) in Amounts::read(limit.get("maxLimitRequestRatio")).iter() {
        ratio(ty, name, bound, requests.get(name), limits.get(name), wrong);
    }
}

fn at_least(
    ty: &str,
    name: &str,
    bound: Quantity,
    request: Option<Quantity>,
    limit: Option<Quantity>,
    wrong: &mut Vec<String>,
) {
    let what = format!("minimum {name} usage per {ty} is {bound}");
    match (request, limit) {
        (None, _) => wrong.push(format!("{what}.  No request is specified")),
        (Some(request), _) if request < bound => {
            wrong.push(format!("{what}, but request is {request}"));
        }
        (_, Some(limit)) if limit < bound => {
            wrong.push(format!("{what}, but limit is {limit}"));
        }
        _ => {}
    }
}

fn ratio(
    ty: &str,
    name: &str,
    bound: Quantity,
    request: Option<Quantity>,
    limit: Option<Quantity>,
    wrong: &mut Vec<String>,
) {
    let what = format!("{name} max limit to request ratio per {ty} is {bound}");
    let given = |amount: Option<Quantity>| amount.filter(|a| !a.is_zero());
    let Some(request) = given(request) else {
        wrong.push(format!(
            "{what}, but no request is specified or request is 0"
        ));
        return;
    };
    let Some(limit) = given(limit) else {
        wrong.push(format!("{what}, but no limit is specified or limit is 0"));
        return;
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown and compared as a ratio only"
    )]
    let actual = limit.milli_value() as f64 / request.milli_value() as f64;
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown and compared as a ratio only"
    )]
    let most = bound.milli_value() as f64 / 1000.0;
    if actual > most {
        wrong.push(format!("{what}, but provided ratio is {actual:.6}"));
    }
}
