//! Cluster roles that are made of others: their rules are those of all roles that their selectors match.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::watcher,
};
use mosaic_api::LabelSelector as Selector;
use serde_json::json;

use crate::{
    context::Context,
    error::{Absent, Error, Result},
    runner::{self, Next},
    watch,
};

/// Roles often change together.
const SETTLE: Duration = Duration::from_millis(100);

/// The roles whose rules are not those of the roles that they are made of, and the rules they should have.
fn plan(roles: &[ClusterRole]) -> Vec<(&ClusterRole, Vec<PolicyRule>)> {
    let mut sorted: Vec<&ClusterRole> = roles.iter().collect();
    sorted.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let made_of_others = sorted
        .iter()
        .copied()
        .filter(|role| role.aggregation_rule.is_some());
    made_of_others
        .filter_map(|role| {
            let selectors = role
                .aggregation_rule
                .as_ref()?
                .cluster_role_selectors
                .as_deref()
                .unwrap_or_default();
            let mut rules: Vec<PolicyRule> = Vec::new();
            for selector in selectors.iter().filter_map(parse) {
                for source in &sorted {
                    if source.metadata.name == role.metadata.name || !matches(&selector, source) {
                        continue;
                    }
                    for rule in source.rules.iter().flatten() {
                        if !rules.contains(rule) {
                            rules.push(rule.clone());
                        }
                    }
                }
            }
            (role.rules.as_deref().unwrap_or_default() != rules).then_some((role, rules))
        })
        .collect()
}

/// A selector that cannot be read matches nothing.
fn parse(selector: &LabelSelector) -> Option<Selector> {
    Selector::from_object(Some(&serde_json::to_value(selector).ok()?)).ok()
}

fn matches(selector: &Selector, role: &ClusterRole) -> bool {
    match &role.metadata.labels {
        Some(labels) => selector.matches(labels),
        None => selector.matches(&BTreeMap::new()),
    }
}

/// Keeps the rules of aggregated roles up to date.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<()>();
    let roles: Api<PartialObjectMeta<ClusterRole>> = Api::all(context.client.clone());
    tokio::join!(
        watch::objects(roles, watcher::Config::default(), |_| queue
            .add_after((), SETTLE)),
        runner::work("aggregation", 1, &queue, requests, |()| reconcile(&context)),
    );
}

async fn reconcile(context: &Context) -> Result<Next> {
    let api: Api<ClusterRole> = Api::all(context.client.clone());
    let roles = api.list(&ListParams::default()).await?.items;
    for (role, rules) in plan(&roles) {
        let name = role
            .metadata
            .name
            .as_deref()
            .ok_or_else(|| Error::Other("a role has no name".to_owned()))?;
        let version = &role.metadata.resource_version;
        let patch =
            Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "rules": rules }));
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .or_absent()?;
    }
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::AggregationRule;

    use super::*;

    fn role(name: &str, label: Option<&str>, verbs: &[&str]) -> ClusterRole {
        let mut role = ClusterRole::default();
        role.metadata.name = Some(name.into());
        role.metadata.labels = label.map(|label| [(label.to_owned(), "true".to_owned())].into());
        let rule = |verb: &&str| PolicyRule {
            verbs: vec![(*verb).into()],
            ..PolicyRule::default()
        };
        role.rules = Some(verbs.iter().map(rule).collect());
        role
    }

    fn aggregated(name: &str, labels: &[&str]) -> ClusterRole {
        let selector = |label: &&str| LabelSelector {
            match_labels: Some([((*label).to_owned(), "true".to_owned())].into()),
            ..LabelSelector::default()
        };
        let selectors = labels.iter().map(selector).collect();
        let rule = AggregationRule {
            cluster_role_selectors: Some(selectors),
        };
        ClusterRole {
            aggregation_rule: Some(rule),
            ..role(name, None, &[])
        }
    }

    #[test]
    fn rules_are_collected_by_label_in_the_order_of_names_and_once() {
        let mut roles = vec![
            aggregated("sum", &["a", "b"]),
            role("y", Some("a"), &["get", "list"]),
            role("x", Some("b"), &["get", "watch"]),
            role("z", Some("c"), &["delete"]),
        ];
        let plan_of = |roles: &[ClusterRole]| {
            let planned = plan(roles);
            planned
                .into_iter()
                .map(|(role, rules)| (role.metadata.name.clone(), rules))
                .collect::<Vec<_>>()
        };
        let [(name, rules)] = &plan_of(&roles)[..] else {
            panic!("one role is to be changed")
        };
        assert_eq!(name.as_deref(), Some("sum"));
        let verbs: Vec<&str> = rules.iter().map(|rule| rule.verbs[0].as_str()).collect();
        assert_eq!(verbs, ["get", "list", "watch"]);
        roles[0].rules = Some(rules.clone());
        assert_eq!(plan_of(&roles), []);
    }

    #[test]
    fn a_role_is_not_made_of_itself() {
        let mut role = aggregated("sum", &["a"]);
        role.metadata.labels = Some([("a".to_owned(), "true".to_owned())].into());
        role.rules = Some(vec![PolicyRule {
            verbs: vec!["get".into()],
            ..PolicyRule::default()
        }]);
        let roles = [role];
        let planned = plan(&roles);
        assert!(
            planned[0].1.is_empty(),
            "rules that nobody grants any more go"
        );
    }
}
