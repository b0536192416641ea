//! How much a pod asks of its host.

use mosaic_api::{
    Quantity,
    peak::{Amounts, peak},
};
use mosaic_node::lifecycle::{Container, Resources, Role, Spec};

/// An amount of what hosts share out: thousandths of processors, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
}

impl Amounts for Amount {
    fn add(&mut self, other: &Self) {
        *self = self.plus(*other);
    }

    fn max(&mut self, other: &Self) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
    }
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

/// What a pod's containers ask for at one time.
pub(crate) fn requests(spec: &Spec) -> Amount {
    let own = |container: &Container| Amount::of(&container.resources);
    let (main, init): (Vec<&Container>, Vec<&Container>) = spec
        .containers
        .iter()
        .partition(|container| container.role == Role::Main);
    let starting = init.into_iter();
    let starting = starting.map(|container| (container.role == Role::Sidecar, own(container)));
    peak(main.into_iter().map(own), starting)
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
