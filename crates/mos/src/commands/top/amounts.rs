//! How much processor time and memory something asks for, has or uses. Pure.

use mosaic_api::Quantity;
use serde_json::Value;

/// Processor time and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amounts {
    /// Processors.
    pub(super) cpu: Quantity,
    /// Bytes.
    pub(super) memory: Quantity,
}

impl Amounts {
    /// Those of a list of resources; what is not there, or is no quantity, is none.
    pub(super) fn read(resources: Option<&Value>) -> Self {
        let amount = |name: &str| {
            let value = resources.and_then(|resources| resources.get(name));
            value
                .and_then(|value| Quantity::from_value(value).ok())
                .unwrap_or_default()
        };
        Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
        }
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.add(other.cpu),
            memory: self.memory.add(other.memory),
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
        }
    }

    /// `250m`, and `4` as `4000m`: columns of millis are easy to compare.
    pub(super) fn cpu_text(self) -> String {
        format!("{}m", self.cpu.milli_value())
    }

    /// In mebibytes.
    pub(super) fn memory_text(self) -> String {
        const MEBIBYTE: i64 = 1 << 20;
        let bytes = self.memory.value();
        format!("{}Mi", bytes / MEBIBYTE + i64::from(bytes % MEBIBYTE > 0))
    }
}

/// How much of a whole something is, in percent.
pub(super) fn percent(part: i64, whole: i64) -> Option<i64> {
    let share = i128::from(part) * 100 / i128::from((whole > 0).then_some(whole)?);
    i64::try_from(share).ok()
}

/// What a pod asks for or is limited to, `requests` or `limits`, as a scheduler counts it: all containers and
/// sidecars, or the largest init container with the sidecars before it, and what runs the pod. What the pod asks for
/// as a whole counts instead.
pub(super) fn of_pod(pod: &Value, which: &str) -> Amounts {
    let own = |container: &Value| {
        let resources = container.get("resources");
        Amounts::read(resources.and_then(|resources| resources.get(which)))
    };
    let list = |pointer: &str| {
        let containers = pod.pointer(pointer).and_then(Value::as_array);
        containers.into_iter().flatten()
    };
    let mut sum = list("/spec/containers")
        .map(own)
        .fold(Amounts::default(), Amounts::plus);
    let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
    for container in list("/spec/initContainers") {
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sidecars = sidecars.plus(own(container));
            most = most.most(sidecars);
        } else {
            most = most.most(sidecars.plus(own(container)));
        }
    }
    sum = sum.plus(sidecars).most(most);
    let whole = pod.pointer(&format!("/spec/resources/{which}"));
    let amounts = Amounts::read(whole);
    let said = |name: &str| whole.is_some_and(|whole| whole.get(name).is_some());
    if said("cpu") {
        sum.cpu = amounts.cpu;
    }
    if said("memory") {
        sum.memory = amounts.memory;
    }
    sum.plus(Amounts::read(pod.pointer("/spec/overhead")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str, memory: &str) -> Value {
        json!({ "resources": { "requests": { "cpu": cpu, "memory": memory } } })
    }

    #[test]
    fn a_pod_asks_for_what_a_scheduler_counts() {
        let mut sidecar = container("100m", "10Mi");
        sidecar["restartPolicy"] = json!("Always");
        let mut pod = json!({ "spec": {
            "containers": [container("250m", "64Mi"), container("1", "1Mi"), {}],
            "initContainers": [container("100m", "1Gi"), sidecar, container("1300m", "1Mi")],
            "overhead": { "cpu": "10m" },
        } });
        let amounts = of_pod(&pod, "requests");
        assert_eq!(
            (amounts.cpu_text(), amounts.memory_text()),
            ("1410m".into(), "1024Mi".into())
        );
        pod["spec"]["resources"] = json!({ "requests": { "memory": "2Gi" } });
        assert_eq!(of_pod(&pod, "requests").memory_text(), "2048Mi");
        assert_eq!(of_pod(&pod, "requests").cpu_text(), "1410m");
        assert_eq!(of_pod(&json!({}), "limits").cpu_text(), "0m");
    }

    #[test]
    fn shares_are_of_something() {
        assert_eq!(percent(1, 3), Some(33));
        assert_eq!(percent(5, 0), None);
        assert_eq!(percent(i64::MAX, 1), None);
    }
}
