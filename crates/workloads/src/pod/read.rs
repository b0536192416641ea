//! Reading pods from JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use super::{DELETION_COST, End, Exit, Phase, Pod};
use crate::job::annotations;

/// The annotations that plans depend on.
const ANNOTATIONS: [&str; 4] = [
    DELETION_COST,
    annotations::COMPLETION_INDEX,
    annotations::INDEX_FAILURES,
    annotations::INDEX_IGNORED_FAILURES,
];

/// Reads metadata without managed fields, and of the annotations only those named.
pub(crate) fn metadata<'de, D: Deserializer<'de>>(
    deserializer: D,
    kept: &[&str],
) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let read = Read::deserialize(deserializer)?;
    let annotations = read.annotations.and_then(|mut all| {
        all.retain(|key, _| kept.contains(&key.as_str()));
        (!all.is_empty()).then_some(all)
    });
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        generation: read.generation,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        finalizers: read.finalizers,
        labels: read.labels,
        annotations,
        owner_references: read.owner_references,
        ..ObjectMeta::default()
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<Box<str>>,
    affinity: Option<Affinity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector {
    node_selector_terms: Vec<Term>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_fields: Option<Vec<Requirement>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<Container>>,
    init_container_statuses: Option<Vec<Container>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    last_transition_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_count: i64,
    state: Option<State>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    finished_at: Option<Time>,
}

impl NodeSelector {
    /// The one host that a selector of one term asks for by name.
    fn host(self) -> Option<Box<str>> {
        let mut terms = self.node_selector_terms.into_iter();
        let (Some(term), None) = (terms.next(), terms.next()) else {
            return None;
        };
        let mut fields = term.match_fields.into_iter().flatten();
        let field = fields.find(|f| f.key == "metadata.name" && f.operator == "In")?;
        let mut values = field.values.into_iter();
        match (values.next(), values.next()) {
            (Some(host), None) => Some(host),
            _ => None,
        }
    }
}

impl Status {
    fn containers(&self) -> impl Iterator<Item = &Container> {
        let init = self.init_container_statuses.iter().flatten();
        init.chain(self.container_statuses.iter().flatten())
    }

    fn end(&self) -> End {
        let ended = || {
            self.containers().filter_map(|container| {
                let terminated = container.state.as_ref()?.terminated.as_ref()?;
                Some((container, terminated))
            })
        };
        let at: Option<Timestamp> = ended()
            .filter_map(|(_, end)| end.finished_at.as_ref().map(|time| time.0))
            .max();
        let exits = ended().filter(|(_, end)| end.exit_code != 0);
        let exits = exits.map(|(container, end)| Exit {
            container: container.name.clone(),
            code: end.exit_code,
        });
        let conditions = self.conditions.iter().flatten();
        End {
            at,
            exits: exits.collect(),
            conditions: conditions
                .map(|c| (c.type_.clone(), c.status.clone()))
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
            metadata(deserializer, &ANNOTATIONS)
        }
        #[derive(Deserialize)]
        struct Read {
            #[serde(default, deserialize_with = "kept")]
            metadata: ObjectMeta,
            spec: Option<Spec>,
            status: Option<Status>,
        }
        let read = Read::deserialize(deserializer)?;
        let spec = read.spec.unwrap_or_default();
        let status = read.status.unwrap_or_default();
        let phase = match status.phase.as_deref() {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            _ => Phase::Pending,
        };
        let ready = status.conditions.iter().flatten();
        let ready = ready.into_iter().find(|c| c.type_ == "Ready");
        let restarts = |container: &Container| {
            u32::try_from(container.restart_count.max(0)).unwrap_or(u32::MAX)
        };
        let affinity = spec.affinity.and_then(|affinity| affinity.node_affinity);
        let has_ended = matches!(phase, Phase::Succeeded | Phase::Failed);
        Ok(Self {
            metadata: read.metadata,
            node: spec.node_name.filter(|name| !name.is_empty()),
            pinned: affinity
                .and_then(|affinity| affinity.required)
                .and_then(NodeSelector::host),
            phase,
            ready: ready.is_some_and(|c| c.status == "True"),
            ready_since: ready.and_then(|c| Some(c.last_transition_time.as_ref()?.0)),
            restarts: status
                .containers()
                .fold(0, |sum: u32, c| sum.saturating_add(restarts(c))),
            most_restarts: status.containers().map(restarts).max().unwrap_or(0),
            end: has_ended.then(|| Box::new(status.end())),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_plans_depend_on_is_read_and_the_rest_is_skipped() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "a", "uid": "1", "labels": {"app": "a"}, "finalizers": ["f"],
                "annotations": {"big": "text", DELETION_COST: "-5"},
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "nodeName": "n",
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["m"]},
                    ]}],
                }}},
            },
            "status": {
                "phase": "Failed",
                "conditions": [
                    {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:05:00Z"},
                    {"type": "DisruptionTarget", "status": "True"},
                ],
                "initContainerStatuses": [{"name": "i", "restartCount": 3}],
                "containerStatuses": [{
                    "name": "c", "restartCount": 2,
                    "state": {"terminated": {"exitCode": 3, "finishedAt": "2026-01-02T03:04:59Z"}},
                }],
            },
        }))
        .unwrap();
        assert_eq!(
            (pod.name(), pod.uid(), pod.phase),
            ("a", "1", Phase::Failed)
        );
        assert_eq!(
            (pod.node.as_deref(), pod.pinned.as_deref()),
            (Some("n"), Some("m"))
        );
        assert_eq!((pod.deletion_cost(), pod.annotation("big")), (-5, None));
        assert_eq!((pod.restarts, pod.most_restarts), (5, 3));
        assert!(pod.has_finalizer("f") && !pod.ready && pod.has_ended());
        assert_eq!(pod.metadata.managed_fields, None);
        let end = pod.end.as_deref().unwrap();
        assert_eq!(end.at.unwrap().to_string(), "2026-01-02T03:04:59Z");
        assert_eq!(
            end.exits,
            [Exit {
                container: "c".into(),
                code: 3
            }]
        );
        assert_eq!(
            end.conditions[1],
            ("DisruptionTarget".into(), "True".into())
        );
    }

    #[test]
    fn tens_of_thousands_of_pods_fit_into_memory() {
        // Beside this there is only what its few texts take.
        assert!(size_of::<Pod>() <= 640, "{}", size_of::<Pod>());
    }

    #[test]
    fn a_pod_without_anything_is_pending() {
        let pod: Pod =
            serde_json::from_value(json!({"spec": null, "status": {"conditions": null}})).unwrap();
        assert_eq!(pod, Pod::default());
        assert!(pod.is_active() && !pod.is_available(0, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pod = Pod {
            ready: true,
            ready_since: Some(now),
            ..Pod::default()
        };
        assert!(pod.is_available(0, now) && !pod.is_available(10, now));
        let then = pod.available_at(10, now).unwrap();
        assert_eq!(then.as_second(), 10);
        assert!(pod.is_available(10, then));
        assert_eq!(pod.available_at(10, then), None);
        pod.ready = false;
        assert!(!pod.is_available(0, now));
    }
}
