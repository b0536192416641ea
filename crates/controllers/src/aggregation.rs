//! Cluster roles that are made of others: their rules are those of all roles that their selectors match.
//!
//! They are written for those who read roles. The server does not decide by them: it gathers at once what
//! counts (`rbac` of `mosaic-auth`), so that nobody waits for this controller, nor can write rights into it.

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
    readable::Readable,
    runner::{self, Next},
    watch,
};

/// Roles often change together.
const SETTLE: Duration = Duration::from_millis(100);

/// The roles whose rules are not those of the roles that they are made of, with the rules they should have.
fn plan(roles: &[ClusterRole]) -> Vec<ClusterRole> {
    let mut wanted = roles.to_vec();
    wanted.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let before = wanted.clone();
    // A role may be made of roles that are themselves made of others: one level is done a round.
    for _ in roles.iter().filter(|role| role.aggregation_rule.is_some()) {
        let rules: Vec<_> = wanted.iter().map(|role| rules_of(role, &wanted)).collect();
        let mut changed = false;
        for (role, rules) in wanted.iter_mut().zip(rules) {
            if let Some(rules) = rules
                && role.rules.as_deref().unwrap_or_default() != rules
            {
                role.rules = Some(rules);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let differ = wanted
        .into_iter()
        .zip(before)
        .filter(|(role, before)| role.rules != before.rules);
    differ.map(|(role, _)| role).collect()
}

/// The rules of an aggregated role, in the order of its selectors and then of the names of `roles`.
fn rules_of(role: &ClusterRole, roles: &[ClusterRole]) -> Option<Vec<PolicyRule>> {
    let selectors = role
        .aggregation_rule
        .as_ref()?
        .cluster_role_selectors
        .as_deref();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors.unwrap_or_default().iter().filter_map(parse) {
        for source in roles {
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
    Some(rules)
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
    let roles: Api<Readable<PartialObjectMeta<ClusterRole>>> = Api::all(context.client.clone());
    tokio::join!(
        watch::objects(roles, watcher::Config::default(), |_| queue
            .add_after((), SETTLE)),
        runner::work("aggregation", 1, &queue, requests, |()| reconcile(&context)),
    );
}

async fn reconcile(context: &Context) -> Result<Next> {
    let api: Api<ClusterRole> = Api::all(context.client.clone());
    let roles = api.list(&ListParams::default()).await?.items;
    for role in plan(&roles) {
        let name = role
            .metadata
            .name
            .as_deref()
            .ok_or_else(|| Error::Other("a role has no name".to_owned()))?;
        let version = &role.metadata.resource_version;
        let patch = Patch::Merge(
            json!({ "metadata": { "resourceVersion": version }, "rules": role.rules }),
        );
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
                .map(|role| (role.metadata.name, role.rules.unwrap_or_default()))
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
    fn roles_of_roles_are_done_at_once() {
        let mut middle = aggregated("middle", &["a"]);
        middle.metadata.labels = Some([("b".to_owned(), "true".to_owned())].into());
        let roles = [
            aggregated("a-top", &["b"]),
            middle,
            role("leaf", Some("a"), &["get"]),
        ];
        let planned = plan(&roles);
        assert_eq!(planned.len(), 2);
        assert!(
            planned
                .iter()
                .all(|role| role.rules.as_ref().unwrap()[0].verbs == ["get"])
        );
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
            planned[0].rules.as_ref().unwrap().is_empty(),
            "rules that nobody grants any more go"
        );
    }
}
