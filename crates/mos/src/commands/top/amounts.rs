//! How much processor time and memory something asks for, has or uses. Pure.

use mosaic_api::Quantity;
use mosaic_validation::quota;
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

impl From<quota::Amounts> for Amounts {
    fn from(amounts: quota::Amounts) -> Self {
        let amount = |name| amounts.get(name).unwrap_or_default();
        Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
        }
    }
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
        let asked = |pod: &Value| Amounts::from(quota::pod_requests(pod));
        let amounts = asked(&pod);
        assert_eq!(
            (amounts.cpu_text(), amounts.memory_text()),
            ("1410m".into(), "1024Mi".into())
        );
        pod["spec"]["resources"] = json!({ "requests": { "memory": "2Gi" } });
        assert_eq!(asked(&pod).memory_text(), "2048Mi");
        assert_eq!(asked(&pod).cpu_text(), "1410m");
        assert_eq!(
            Amounts::from(quota::pod_limits(&json!({}))).cpu_text(),
            "0m"
        );
    }

    #[test]
    fn shares_are_of_something() {
        assert_eq!(percent(1, 3), Some(33));
        assert_eq!(percent(5, 0), None);
        assert_eq!(percent(i64::MAX, 1), None);
    }
}
