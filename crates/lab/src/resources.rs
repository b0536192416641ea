//! How much a pod asks of its host.

use mosaic_api::Quantity;
use mosaic_node::lifecycle::{Resources, Role, Spec};

/// An amount of what hosts share out: thousandths of processors, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
}

impl Amount {
    fn of(resources: &Resources) -> Self {
        let read = |name: &str| {
            let amount = resources.requests.get(name);
            amount.and_then(|amount| amount.parse::<Quantity>().ok())
        };
        Self {
            cpu: read("cpu").map_or(0, Quantity::milli_value).max(0),
            memory: read("memory").map_or(0, Quantity::value).max(0),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
        }
    }

    /// The resource of which there is too little, if there is one.
    pub(crate) fn lacking(self, room: Self) -> Option<&'static str> {
        if self.cpu > room.cpu {
            Some("cpu")
        } else if self.memory > room.memory {
            Some("memory")
        } else {
            None
        }
    }
}

/// What a pod's containers ask for: all that run together, or an init container beside the sidecars before
/// it if that is more.
pub(crate) fn requests(spec: &Spec) -> Amount {
    let mut together = Amount::default();
    let mut peak = Amount::default();
    for container in &spec.containers {
        let own = Amount::of(&container.resources);
        match container.role {
            Role::Init => peak = peak.most(together.plus(own)),
            Role::Sidecar | Role::Main => together = together.plus(own),
        }
    }
    together.most(peak)
}

#[cfg(test)]
mod tests {
    use mosaic_node::lifecycle::Object;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_runs_together_is_added_and_init_containers_are_peaks() {
        let c = |name: &str, cpu: &str, policy: Value| {
            json!({ "name": name, "restartPolicy": policy,
            "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } } })
        };
        let object = json!({ "spec": {
            "initContainers": [c("side", "100m", json!("Always")), c("init", "3", Value::Null)],
            "containers": [c("a", "1", Value::Null), c("b", "1500m", Value::Null)],
        } });
        let text = object.to_string();
        let spec = Object::read(text.as_bytes()).unwrap().spec();
        assert_eq!(
            requests(&spec),
            Amount {
                cpu: 3_100,
                memory: 3 << 30
            }
        );
    }
}
