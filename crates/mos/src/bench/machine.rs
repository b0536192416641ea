//! The machine that figures are of.

use serde_json::{Value, json};

/// What is to be known of the machine before a measurement begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    load: f64,
}

impl Machine {
    /// Looks at the machine.
    pub(super) fn before() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg")
            .ok()
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or(0.0);
        Self { load }
    }

    /// What the figures depend on, for whoever compares them: the settings of the measurement, and the
    /// machine.
    pub(super) fn conditions(self, settings: Value) -> Value {
        let mut all = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "processorModel": first_line("/proc/cpuinfo", "model name"),
            "memory": first_line("/proc/meminfo", "MemTotal"),
            "kernel": first_line("/proc/sys/kernel/osrelease", ""),
            "loadAverageBefore": self.load,
        });
        if let (Some(all), Value::Object(settings)) = (all.as_object_mut(), settings) {
            all.extend(settings);
        }
        all
    }
}

fn first_line(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(|rest| rest.trim_start_matches(['\t', ' ', ':']).trim().to_owned())
        .unwrap_or_default()
}
