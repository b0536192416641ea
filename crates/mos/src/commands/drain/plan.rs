//! Which pods of a host go, which stay, and which need to be asked about first. Kubernetes' rules; pure.

use std::collections::BTreeSet;

use mosaic_api::meta;
use serde_json::Value;

use crate::failure::Failure;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// What somebody who drains a host has agreed to.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// Pods of daemon sets stay.
    pub(super) ignore_daemon_sets: bool,
    /// What is in emptyDir volumes is lost.
    pub(super) lose_data: bool,
    /// Nothing replaces pods without an owner.
    pub(super) force: bool,
    /// The daemon sets that there are: namespace and name.
    pub(super) daemon_sets: Vec<(String, String)>,
}

/// What is to become of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes, with what there is to say about that.
    Goes(Option<&'static str>),
    /// It stays.
    Stays(&'static str),
    /// Whoever drains has to agree first, by this flag.
    Asks(&'static str, &'static str),
}

impl Fate {
    /// Why, for people.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Goes(about) => about.unwrap_or_default(),
            Self::Stays(why) | Self::Asks(why, _) => why,
        }
    }
}

/// What is to become of a pod.
pub(super) fn fate(pod: &Value, rules: &Rules) -> Fate {
    if meta::annotation(pod, MIRROR).is_some() {
        return Fate::Stays("its host runs it on its own");
    }
    if has_ended(pod) {
        return Fate::Goes(None);
    }
    let owner = meta::controller(pod);
    if owner
        .as_ref()
        .is_some_and(|owner| owner.kind == "DaemonSet")
    {
        let key = owner.map(|owner| (meta::namespace(pod).to_owned(), owner.name.to_owned()));
        let is_there = key.is_some_and(|key| rules.daemon_sets.contains(&key));
        return match (is_there, rules.ignore_daemon_sets) {
            (true, true) => Fate::Stays("of a daemon set"),
            (true, false) => Fate::Asks("of a daemon set", "--ignore-daemonsets"),
            (false, _) if rules.force => Fate::Goes(Some("its daemon set is gone")),
            (false, _) => Fate::Asks("its daemon set is gone", "--force"),
        };
    }
    if owner.is_none() && !rules.force {
        return Fate::Asks("nothing will replace it", "--force");
    }
    if has_data(pod) && !rules.lose_data {
        return Fate::Asks("it has data in an emptyDir", "--delete-emptydir-data");
    }
    if owner.is_none() {
        return Fate::Goes(Some("nothing will replace it"));
    }
    if has_data(pod) {
        return Fate::Goes(Some("its data in an emptyDir is lost"));
    }
    Fate::Goes(None)
}

fn has_ended(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn has_data(pod: &Value) -> bool {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let mut volumes = volumes.into_iter().flatten();
    volumes.any(|volume| volume.get("emptyDir").is_some_and(|dir| !dir.is_null()))
}

/// Who made a pod: `ReplicaSet/web-7d4`.
pub(super) fn owner(pod: &Value) -> String {
    let owner = meta::controller(pod);
    owner.map_or_else(
        || "<none>".to_owned(),
        |owner| format!("{}/{}", owner.kind, owner.name),
    )
}

/// The daemon sets that own some of these pods: namespace and name.
pub(super) fn daemon_sets(pods: &[Value]) -> BTreeSet<(String, String)> {
    let named = pods.iter().filter_map(|pod| {
        let owner = meta::controller(pod).filter(|owner| owner.kind == "DaemonSet")?;
        Some((meta::namespace(pod).to_owned(), owner.name.to_owned()))
    });
    named.collect()
}

/// Why a host is not drained: what has to be agreed to first, and for which pods.
pub(super) fn refusal(host: &str, fates: &[(Value, Fate)]) -> Option<Failure> {
    let mut lines = Vec::new();
    let mut flags: BTreeSet<&str> = BTreeSet::new();
    for (pod, fate) in fates {
        if let Fate::Asks(why, flag) = fate {
            lines.push(format!(
                "\n  {}/{}: {why}",
                meta::namespace(pod),
                meta::name(pod)
            ));
            flags.insert(flag);
        }
    }
    if lines.is_empty() {
        return None;
    }
    let flags: Vec<&str> = flags.into_iter().collect();
    let message = format!("{host} is not drained: no pod was moved{}", lines.concat());
    Some(Failure::new(message).hint(format!(
        "{} {} to it; the host stays cordoned",
        flags.join(" and "),
        if flags.len() == 1 { "agrees" } else { "agree" },
    )))
}

/// What is to be said about pods that go.
pub(super) fn warnings(fates: &[(Value, Fate)]) -> Vec<String> {
    let warnings = fates.iter().filter_map(|(pod, fate)| match fate {
        Fate::Goes(Some(about)) => Some(format!(
            "{}/{}: {about}",
            meta::namespace(pod),
            meta::name(pod)
        )),
        _ => None,
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(owner: Option<&str>, fields: Value) -> Value {
        let mut pod = json!({ "metadata": { "name": "p", "namespace": "shop" }, "spec": {} });
        if let Some(kind) = owner {
            pod["metadata"]["ownerReferences"] = json!([{ "kind": kind, "name": "o", "uid": "1", "apiVersion": "apps/v1", "controller": true }]);
        }
        for (key, value) in fields.as_object().unwrap() {
            pod[key] = value.clone();
        }
        pod
    }

    #[test]
    fn pods_go_stay_or_are_asked_about_as_with_kubectl() {
        let nothing = Rules {
            daemon_sets: vec![("shop".into(), "o".into())],
            ..Rules::default()
        };
        let all = Rules {
            ignore_daemon_sets: true,
            lose_data: true,
            force: true,
            ..nothing.clone()
        };
        let orphaned = Rules {
            daemon_sets: Vec::new(),
            ..all.clone()
        };
        let plain = pod(Some("ReplicaSet"), json!({}));
        let data = pod(
            Some("ReplicaSet"),
            json!({ "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } }),
        );
        let lone = pod(None, json!({}));
        let ended = pod(None, json!({ "status": { "phase": "Succeeded" } }));
        let daemon = pod(Some("DaemonSet"), json!({}));
        let mut mirror = plain.clone();
        mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });

        let goes = Fate::Goes(None);
        assert_eq!(fate(&plain, &nothing), goes);
        assert_eq!(fate(&ended, &nothing), goes);
        assert!(matches!(
            fate(&data, &nothing),
            Fate::Asks(_, "--delete-emptydir-data")
        ));
        assert!(matches!(fate(&lone, &nothing), Fate::Asks(_, "--force")));
        assert!(matches!(
            fate(&daemon, &nothing),
            Fate::Asks(_, "--ignore-daemonsets")
        ));
        assert!(matches!(fate(&mirror, &nothing), Fate::Stays(_)));
        assert!(matches!(fate(&data, &all), Fate::Goes(Some(_))));
        assert!(matches!(fate(&lone, &all), Fate::Goes(Some(_))));
        assert!(matches!(fate(&daemon, &all), Fate::Stays(_)));
        assert!(matches!(fate(&daemon, &orphaned), Fate::Goes(Some(_))));
        let careful = Rules {
            force: false,
            ..orphaned
        };
        assert!(matches!(fate(&daemon, &careful), Fate::Asks(_, "--force")));
    }

    #[test]
    fn a_refusal_names_the_pods_and_the_flags() {
        let lone = pod(None, json!({}));
        let fates = vec![(lone.clone(), fate(&lone, &Rules::default()))];
        let failure = refusal("node/host-1", &fates).unwrap();
        assert_eq!(
            failure.message(),
            "node/host-1 is not drained: no pod was moved\n  shop/p: nothing will replace it"
        );
        assert!(refusal("node/host-1", &[(lone, Fate::Goes(None))]).is_none());
    }
}
