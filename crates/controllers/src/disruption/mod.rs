//! How many pods may be disrupted: the status of `PodDisruptionBudget`s.

mod budgets;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
    apimachinery::pkg::{
        apis::meta::v1::{Condition, OwnerReference, Time},
        util::intstr::IntOrString,
    },
};
use kube::{
    Api,
    api::PostParams,
    core::{DynamicObject, PartialObjectMeta},
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;

use self::budgets::{Budgets, Key};
use crate::{
    caches,
    context::Context,
    error::{Absent, Result},
    readable::Readable,
    runner::{self, Next},
    views::PodView,
    watch,
};

const CONCURRENCY: usize = 4;
/// How often a budget is counted anew without a reason, for what events do not tell.
const RECOUNT: Duration = Duration::from_secs(300);
/// How long an eviction may take before the pod counts as undisturbed again.
const DISRUPTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

const ALLOWED: &str = "DisruptionAllowed";

/// A budget, and what is to be known of its pods.
struct Snapshot<'a> {
    budget: &'a PodDisruptionBudget,
    pods: &'a [Arc<PodView>],
    /// How many pods the controllers of these pods want, or why nobody knows.
    scale: std::result::Result<i32, String>,
    now: Timestamp,
}

/// What is to be done about a budget.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Write this status.
    SetStatus(PodDisruptionBudgetStatus),
    /// Count again after this time.
    LookAgain(Duration),
}

fn plan(snapshot: &Snapshot<'_>) -> Vec<Action> {
    let Snapshot {
        budget, pods, now, ..
    } = snapshot;
    let old = budget.status.clone().unwrap_or_default();
    let (disrupted, recheck) = disrupted_pods(&old, pods, *now);
    let mut new = PodDisruptionBudgetStatus {
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: budget.metadata.generation,
        ..old.clone()
    };
    let (reason, message) = match expectations(snapshot) {
        Ok((expected, desired)) => {
            let healthy = pods
                .iter()
                .filter(|pod| is_healthy(pod, new.disrupted_pods.as_ref()))
                .count();
            let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
            let allowed = if expected > 0 {
                healthy.saturating_sub(desired).max(0)
            } else {
                0
            };
            new.current_healthy = Some(healthy);
            new.desired_healthy = Some(desired);
            new.expected_pods = Some(expected);
            new.disruptions_allowed = Some(allowed);
            (
                if allowed > 0 {
                    "SufficientPods"
                } else {
                    "InsufficientPods"
                },
                String::new(),
            )
        }
        Err(why) => {
            new.disruptions_allowed = Some(0);
            ("SyncFailed", why)
        }
    };
    let status = if new.disruptions_allowed.unwrap_or(0) > 0 {
        "True"
    } else {
        "False"
    };
    let conditions = new.conditions.get_or_insert_default();
    let known = conditions
        .iter()
        .find(|condition| condition.type_ == ALLOWED);
    let since = known
        .filter(|known| known.status == status)
        .map(|known| known.last_transition_time.clone());
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or(Time(*now)),
        observed_generation: budget.metadata.generation,
    };
    conditions.retain(|condition| condition.type_ != ALLOWED);
    conditions.push(condition);
    let mut actions = Vec::new();
    if budget.status.as_ref() != Some(&new) {
        actions.push(Action::SetStatus(new));
    }
    actions.push(Action::LookAgain(recheck.unwrap_or(RECOUNT)));
    actions
}

/// How many pods there should be, and how many of them must stay healthy.
fn expectations(snapshot: &Snapshot<'_>) -> std::result::Result<(i32, i32), String> {
    let spec = snapshot.budget.spec.clone().unwrap_or_default();
    let count = i32::try_from(snapshot.pods.len()).unwrap_or(i32::MAX);
    match (spec.max_unavailable, spec.min_available) {
        (Some(most), _) => {
            let expected = snapshot.scale.clone()?;
            let unavailable = scaled(&most, expected)?;
            Ok((expected, expected.saturating_sub(unavailable).max(0)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((count, least)),
        (None, Some(percent)) => {
            let expected = snapshot.scale.clone()?;
            Ok((expected, scaled(&percent, expected)?))
        }
        (None, None) => Ok((count, 0)),
    }
}

/// A number, or a percentage of a total, rounded up.
fn scaled(value: &IntOrString, total: i32) -> std::result::Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|number| number.parse::<u32>().ok());
            let percent = percent.ok_or_else(|| format!("{text:?} is not a percentage"))?;
            let product = i64::from(percent) * i64::from(total.max(0));
            Ok(i32::try_from((product + 99) / 100).unwrap_or(i32::MAX))
        }
    }
}

/// The evictions that are still going on, and when the next of them has taken too long.
fn disrupted_pods(
    status: &PodDisruptionBudgetStatus,
    pods: &[Arc<PodView>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let mut going_on = BTreeMap::new();
    let mut recheck: Option<Duration> = None;
    for (name, since) in status.disrupted_pods.iter().flatten() {
        let alive = |pod: &&Arc<PodView>| pod.metadata.deletion_timestamp.is_none();
        let pod = pods
            .iter()
            .filter(alive)
            .find(|pod| pod.metadata.name.as_ref() == Some(name));
        let left = since
            .0
            .saturating_add(DISRUPTION_TIMEOUT)
            .map_or(SignedDuration::ZERO, |end| end.duration_since(now));
        if let (Some(_), Ok(left)) = (pod, Duration::try_from(left))
            && !left.is_zero()
        {
            going_on.insert(name.clone(), since.clone());
            let left = left + Duration::from_secs(1);
            recheck = Some(recheck.map_or(left, |earlier| earlier.min(left)));
        }
    }
    (going_on, recheck)
}

fn is_healthy(pod: &PodView, disrupted: Option<&BTreeMap<String, Time>>) -> bool {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let is_disrupted = disrupted.is_some_and(|disrupted| disrupted.contains_key(name));
    pod.metadata.deletion_timestamp.is_none() && !is_disrupted && pod.ready
}

/// Keeps the status of disruption budgets up to date.
pub(crate) async fn run(context: Context) {
    let (queue, requests) = runner::queue::<Key>();
    let budgets: Arc<Mutex<Budgets>> = Arc::default();
    let (listening, to_queue) = (budgets.clone(), queue.clone());
    caches::follow(&context.pods, move |change| {
        for (key, settle) in listening.lock().moved(change) {
            to_queue.add_after(key, settle);
        }
    });
    let api: Api<Readable<PodDisruptionBudget>> = Api::all(context.client.clone());
    let watching = watch::events(api, watcher::Config::default(), |event| {
        let mut budgets = budgets.lock();
        match &event {
            Event::Init => *budgets = Budgets::default(),
            Event::InitApply(budget) | Event::Apply(budget) => {
                let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
                budgets
                    .apply(budget, || context.pods.in_namespace(namespace))
                    .into_iter()
                    .for_each(|key| queue.add(key));
            }
            Event::Delete(budget) => budgets.remove(budget),
            Event::InitDone => {}
        }
    });
    tokio::join!(
        watching,
        runner::work("disruption", CONCURRENCY, &queue, requests, |key| {
            reconcile(&context, &budgets, key)
        }),
    );
}

async fn reconcile(context: &Context, covered: &Mutex<Budgets>, key: Key) -> Result<Next> {
    context.pods.ready().await;
    let (namespace, name) = &key;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(context.client.clone(), namespace);
    let Some(mut budget) = budgets.get_opt(name).await? else {
        return Ok(Next::Done);
    };
    if budget.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Done);
    }
    let pods = covered.lock().pods(&key);
    let pods: Vec<Arc<PodView>> = pods
        .iter()
        .filter_map(|pod| context.pods.get(pod))
        .collect();
    let needs_scale = budget.spec.as_ref().is_some_and(|spec| {
        spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
    });
    let scale = if needs_scale {
        scale(context, namespace, &pods).await?
    } else {
        Ok(0)
    };
    let snapshot = Snapshot {
        budget: &budget,
        pods: &pods,
        scale,
        now: Timestamp::now(),
    };
    let mut next = Next::Done;
    for action in plan(&snapshot) {
        match action {
            Action::LookAgain(pause) => next = Next::After(pause),
            Action::SetStatus(status) => {
                budget.status = Some(status);
                budgets
                    .replace_status(name, &PostParams::default(), &budget)
                    .await
                    .or_absent()?;
            }
        }
    }
    Ok(next)
}

/// How many pods the controllers of these pods want altogether, or which one cannot be asked.
async fn scale(
    context: &Context,
    namespace: &str,
    pods: &[Arc<PodView>],
) -> Result<std::result::Result<i32, String>> {
    // Many pods have few controllers.
    let mut owners: HashMap<&str, &OwnerReference> = HashMap::new();
    for pod in pods {
        if let Some(owner) = controller_of(pod.metadata.owner_references.as_deref()) {
            owners.insert(&owner.uid, owner);
        }
    }
    let mut wanted: HashMap<String, i32> = HashMap::new();
    for owner in owners.into_values() {
        match scale_of(context, namespace, owner).await? {
            Some((uid, replicas)) => {
                wanted.insert(uid, replicas);
            }
            None => {
                return Ok(Err(format!(
                    "found no scale of {} {}/{}",
                    owner.kind, namespace, owner.name
                )));
            }
        }
    }
    Ok(Ok(wanted.into_values().fold(0, i32::saturating_add)))
}

fn controller_of(owners: Option<&[OwnerReference]>) -> Option<&OwnerReference> {
    owners
        .unwrap_or_default()
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// The UID of the controller at the top, and how many pods it wants.
async fn scale_of(
    context: &Context,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<Option<(String, i32)>> {
    let mut owner = owner.clone();
    // A pod's replica set may belong to a deployment; more levels there are not.
    for _ in 0..2 {
        let kinds = context.discovery.kinds();
        let Some(kind) = kinds.find_by_api_version(&owner.api_version, &owner.kind) else {
            return Ok(None);
        };
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(context.client.clone(), namespace, &kind.resource);
        if kind.resource.group == "apps" && kind.resource.kind == "ReplicaSet" {
            let Some(found) = api.get(&owner.name).await.or_absent()? else {
                return Ok(None);
            };
            if let Some(above) = controller_of(found.metadata.owner_references.as_deref()) {
                owner = above.clone();
                continue;
            }
        }
        let Some(scale) = api.get_scale(&owner.name).await.or_absent()? else {
            return Ok(None);
        };
        let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
        return Ok(
            (scale.metadata.uid.as_ref() == Some(&owner.uid)).then_some((owner.uid, replicas))
        );
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
    use mosaic_workloads::{Phase, Pod};
    use proptest::prelude::*;

    use super::*;

    fn pods(ready: usize, unready: usize) -> Vec<Arc<PodView>> {
        (0..ready + unready)
            .map(|index| {
                let mut planned = Pod {
                    phase: Phase::Running,
                    ready: index < ready,
                    ..Pod::default()
                };
                planned.metadata.name = Some(format!("p{index}"));
                Arc::new(PodView {
                    planned: Arc::new(planned),
                    ..PodView::default()
                })
            })
            .collect()
    }

    fn budget(most: Option<&str>, least: Option<&str>) -> PodDisruptionBudget {
        let parse = |text: &str| match text.parse() {
            Ok(number) => IntOrString::Int(number),
            Err(_) => IntOrString::String(text.to_owned()),
        };
        PodDisruptionBudget {
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: most.map(parse),
                min_available: least.map(parse),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        }
    }

    fn status(
        budget: &PodDisruptionBudget,
        pods: &[Arc<PodView>],
        scale: i32,
    ) -> PodDisruptionBudgetStatus {
        let snapshot = Snapshot {
            budget,
            pods,
            scale: Ok(scale),
            now: Timestamp::UNIX_EPOCH,
        };
        match plan(&snapshot).swap_remove(0) {
            Action::SetStatus(status) => status,
            Action::LookAgain(_) => panic!("no status"),
        }
    }

    fn figures(
        budget: &PodDisruptionBudget,
        pods: &[Arc<PodView>],
        scale: i32,
    ) -> (i32, i32, i32, i32) {
        let status = status(budget, pods, scale);
        (
            status.expected_pods.unwrap(),
            status.current_healthy.unwrap(),
            status.desired_healthy.unwrap(),
            status.disruptions_allowed.unwrap(),
        )
    }

    #[test]
    fn budgets_are_counted_as_kubernetes_counts_them() {
        assert_eq!(
            figures(&budget(None, Some("2")), &pods(3, 1), 10),
            (4, 3, 2, 1)
        );
        assert_eq!(
            figures(&budget(None, Some("50%")), &pods(3, 0), 5),
            (5, 3, 3, 0)
        );
        assert_eq!(
            figures(&budget(Some("1"), None), &pods(3, 0), 3),
            (3, 3, 2, 1)
        );
        assert_eq!(
            figures(&budget(Some("34%"), None), &pods(3, 0), 3),
            (3, 3, 1, 2)
        );
        assert_eq!(figures(&budget(None, Some("0")), &[], 0), (0, 0, 0, 0));
    }

    #[test]
    fn the_condition_says_why() {
        let budget = budget(None, Some("2"));
        let reason = |status: &PodDisruptionBudgetStatus| {
            status.conditions.as_ref().unwrap()[0].reason.clone()
        };
        assert_eq!(reason(&status(&budget, &pods(3, 0), 0)), "SufficientPods");
        assert_eq!(reason(&status(&budget, &pods(2, 0), 0)), "InsufficientPods");
    }

    #[test]
    fn what_cannot_be_counted_allows_nothing() {
        let budget = budget(Some("1"), None);
        let pods = pods(3, 0);
        let scale = Err("no scale".to_owned());
        let snapshot = Snapshot {
            budget: &budget,
            pods: &pods,
            scale,
            now: Timestamp::UNIX_EPOCH,
        };
        let Action::SetStatus(status) = plan(&snapshot).swap_remove(0) else {
            panic!("no status")
        };
        assert_eq!(status.disruptions_allowed, Some(0));
        assert_eq!(status.conditions.unwrap()[0].reason, "SyncFailed");
    }

    #[test]
    fn evictions_count_until_the_pod_goes_or_time_is_up() {
        let mut budget = budget(None, Some("1"));
        let at = |second| Timestamp::from_second(second).unwrap();
        let disrupted = [
            ("p0".to_owned(), Time(at(100))),
            ("gone".to_owned(), Time(at(100))),
        ];
        budget.status = Some(PodDisruptionBudgetStatus {
            disrupted_pods: Some(disrupted.into()),
            ..PodDisruptionBudgetStatus::default()
        });
        let pods = pods(3, 0);
        let planned = |now| {
            plan(&Snapshot {
                budget: &budget,
                pods: &pods,
                scale: Ok(0),
                now: at(now),
            })
        };
        let [Action::SetStatus(early), Action::LookAgain(pause)] = &planned(190)[..] else {
            panic!("two actions")
        };
        assert_eq!(early.disrupted_pods.as_ref().unwrap().len(), 1);
        assert_eq!(
            (early.current_healthy, *pause),
            (Some(2), Duration::from_secs(31))
        );
        let Action::SetStatus(late) = &planned(220)[0] else {
            panic!("no status")
        };
        assert_eq!(
            (late.current_healthy, late.disrupted_pods.as_ref()),
            (Some(3), None)
        );
    }

    proptest! {
        #[test]
        fn never_more_is_allowed_than_the_budget_leaves(
            ready in 0_usize..20, unready in 0_usize..20, scale in 0_i32..40, value in 0_i32..120,
            percent: bool, most: bool,
        ) {
            let text = if percent { format!("{value}%") } else { value.to_string() };
            let budget = if most { budget(Some(&text), None) } else { budget(None, Some(&text)) };
            let pods = pods(ready, unready);
            let (_, healthy, desired, allowed) = figures(&budget, &pods, scale);
            prop_assert!(allowed >= 0 && allowed <= healthy);
            prop_assert!(allowed == 0 || healthy - allowed >= desired);
            // What was written once is not written again.
            let mut written = budget.clone();
            written.status = Some(status(&budget, &pods, scale));
            let snapshot =
                Snapshot { budget: &written, pods: &pods, scale: Ok(scale), now: Timestamp::UNIX_EPOCH };
            prop_assert_eq!(plan(&snapshot), vec![Action::LookAgain(RECOUNT)]);
        }
    }
}
