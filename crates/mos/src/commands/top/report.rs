//! Lines of hosts or pods, sorted, with their totals. Pure.

use std::collections::HashMap;

use mosaic_api::meta;
use mosaic_validation::quota::{pod_limits, pod_requests};
use serde_json::{Value, json};

use super::SortBy;
use super::amounts::{Amounts, percent};

/// What is told of hosts or pods.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    kind: Kind,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NodesRequested,
    NodesUsed,
    PodsRequested { namespaces: bool },
    PodsUsed { namespaces: bool },
}

/// A host or a pod.
#[derive(Debug, Clone, Default, PartialEq)]
struct Line {
    namespace: String,
    name: String,
    /// What it uses or asks for.
    amounts: Amounts,
    /// What a host has for pods, or what a pod is limited to.
    most: Amounts,
    /// How many pods a host has.
    pods: usize,
    /// The host of a pod.
    host: String,
}

impl Report {
    fn new(kind: Kind, mut lines: Vec<Line>, sort_by: SortBy) -> Self {
        lines.sort_by(|one, two| (&one.namespace, &one.name).cmp(&(&two.namespace, &two.name)));
        match sort_by {
            SortBy::Cpu => lines.sort_by_key(|line| std::cmp::Reverse(line.amounts.cpu)),
            SortBy::Memory => lines.sort_by_key(|line| std::cmp::Reverse(line.amounts.memory)),
            SortBy::Name => {}
        }
        Self { kind, lines }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn headings(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::NodesRequested => &[
                "NAME",
                "CPU(requested)",
                "CPU(allocatable)",
                "CPU%",
                "MEMORY(requested)",
                "MEMORY(allocatable)",
                "MEMORY%",
                "PODS",
            ],
            Kind::NodesUsed => &[
                "NAME",
                "CPU(used)",
                "CPU(allocatable)",
                "CPU%",
                "MEMORY(used)",
                "MEMORY(allocatable)",
                "MEMORY%",
            ],
            Kind::PodsRequested { namespaces: false } => &[
                "NAME",
                "CPU(requested)",
                "CPU(limit)",
                "MEMORY(requested)",
                "MEMORY(limit)",
                "NODE",
            ],
            Kind::PodsRequested { namespaces: true } => &[
                "NAMESPACE",
                "NAME",
                "CPU(requested)",
                "CPU(limit)",
                "MEMORY(requested)",
                "MEMORY(limit)",
                "NODE",
            ],
            Kind::PodsUsed { namespaces: false } => &["NAME", "CPU(used)", "MEMORY(used)"],
            Kind::PodsUsed { namespaces: true } => {
                &["NAMESPACE", "NAME", "CPU(used)", "MEMORY(used)"]
            }
        }
    }

    /// The lines, and a last one with the totals.
    pub(super) fn rows(&self, with_total: bool) -> Vec<Vec<String>> {
        let mut rows: Vec<_> = self.lines.iter().map(|line| self.row(line)).collect();
        if with_total {
            rows.push(self.row(&self.total()));
        }
        rows
    }

    fn total(&self) -> Line {
        let mut total = Line::default();
        for line in &self.lines {
            total.amounts = total.amounts.plus(line.amounts);
            total.most = total.most.plus(line.most);
            total.pods += line.pods;
        }
        // Not a name that something can have.
        total.name = "TOTAL".to_owned();
        total
    }

    fn row(&self, line: &Line) -> Vec<String> {
        let Line { amounts, most, .. } = line;
        let share = |part: i64, whole: i64| {
            percent(part, whole).map_or_else(|| "<unknown>".to_owned(), |share| format!("{share}%"))
        };
        let name = || line.name.clone();
        let limit = |text: String, is_none: bool| if is_none { "-".to_owned() } else { text };
        match self.kind {
            Kind::NodesRequested | Kind::NodesUsed => {
                let mut row = vec![
                    name(),
                    amounts.cpu_text(),
                    most.cpu_text(),
                    share(amounts.cpu.milli_value(), most.cpu.milli_value()),
                    amounts.memory_text(),
                    most.memory_text(),
                    share(amounts.memory.value(), most.memory.value()),
                ];
                if self.kind == Kind::NodesRequested {
                    row.push(line.pods.to_string());
                }
                row
            }
            Kind::PodsRequested { namespaces } => {
                let mut row = if namespaces {
                    vec![line.namespace.clone()]
                } else {
                    Vec::new()
                };
                row.extend([
                    name(),
                    amounts.cpu_text(),
                    limit(most.cpu_text(), most.cpu.is_zero()),
                    amounts.memory_text(),
                    limit(most.memory_text(), most.memory.is_zero()),
                    line.host.clone(),
                ]);
                row
            }
            Kind::PodsUsed { namespaces } => {
                let mut row = if namespaces {
                    vec![line.namespace.clone()]
                } else {
                    Vec::new()
                };
                row.extend([name(), amounts.cpu_text(), amounts.memory_text()]);
                row
            }
        }
    }

    /// The same for scripts: processors in thousandths, memory in bytes.
    pub(super) fn as_data(&self) -> Value {
        let numbers = |amounts: Amounts| json!({ "cpuMillis": amounts.cpu.milli_value(), "memoryBytes": amounts.memory.value() });
        let (first, second) = match self.kind {
            Kind::NodesRequested => ("requested", Some("allocatable")),
            Kind::NodesUsed => ("used", Some("allocatable")),
            Kind::PodsRequested { .. } => ("requested", Some("limit")),
            Kind::PodsUsed { .. } => ("used", None),
        };
        let line = |line: &Line| {
            let mut data = json!({ "name": line.name, first: numbers(line.amounts) });
            if let Some(fields) = data.as_object_mut() {
                if let Some(second) = second {
                    fields.insert(second.into(), numbers(line.most));
                }
                match self.kind {
                    Kind::NodesRequested => {
                        fields.insert("pods".into(), line.pods.into());
                    }
                    Kind::NodesUsed => {}
                    Kind::PodsRequested { .. } => {
                        fields.insert("namespace".into(), line.namespace.clone().into());
                        fields.insert("node".into(), line.host.clone().into());
                    }
                    Kind::PodsUsed { .. } => {
                        fields.insert("namespace".into(), line.namespace.clone().into());
                    }
                }
            }
            data
        };
        let items: Vec<Value> = self.lines.iter().map(line).collect();
        let total = self.total();
        let mut totals = json!({ first: numbers(total.amounts) });
        if let (Some(second), Some(fields)) = (second, totals.as_object_mut()) {
            fields.insert(second.into(), numbers(total.most));
        }
        json!({ "items": items, "total": totals })
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Hosts, and what their pods ask for.
pub(super) fn requested_of_nodes(nodes: &[Value], pods: &[Value], sort_by: SortBy) -> Report {
    let mut asked: HashMap<&str, (Amounts, usize)> = HashMap::new();
    for pod in pods {
        let host = text(pod, "/spec/nodeName");
        if host.is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            continue;
        }
        let (amounts, count) = asked.entry(host).or_default();
        *amounts = amounts.plus(pod_requests(pod).into());
        *count += 1;
    }
    let lines = nodes.iter().map(|node| {
        let name = meta::name(node);
        let (amounts, pods) = asked.get(name).copied().unwrap_or_default();
        Line {
            name: name.to_owned(),
            amounts,
            most: Amounts::read(node.pointer("/status/allocatable")),
            pods,
            ..Line::default()
        }
    });
    Report::new(Kind::NodesRequested, lines.collect(), sort_by)
}

/// Hosts, and what was measured of them.
pub(super) fn used_of_nodes(nodes: &[Value], measured: &[Value], sort_by: SortBy) -> Report {
    let by_name: HashMap<&str, &Value> =
        measured.iter().map(|one| (meta::name(one), one)).collect();
    // A host of which nothing was measured is not one that uses nothing.
    let lines = nodes.iter().filter_map(|node| {
        let usage = by_name.get(meta::name(node))?.get("usage");
        Some(Line {
            name: meta::name(node).to_owned(),
            amounts: Amounts::read(usage),
            most: Amounts::read(node.pointer("/status/allocatable")),
            ..Line::default()
        })
    });
    Report::new(Kind::NodesUsed, lines.collect(), sort_by)
}

/// Pods, and what they ask for.
pub(super) fn requested_of_pods(pods: &[Value], namespaces: bool, sort_by: SortBy) -> Report {
    let lines = pods.iter().map(|pod| Line {
        namespace: meta::namespace(pod).to_owned(),
        name: meta::name(pod).to_owned(),
        amounts: pod_requests(pod).into(),
        most: pod_limits(pod).into(),
        host: match text(pod, "/spec/nodeName") {
            "" => "<none>".to_owned(),
            host => host.to_owned(),
        },
        ..Line::default()
    });
    Report::new(Kind::PodsRequested { namespaces }, lines.collect(), sort_by)
}

/// Pods, and what was measured of them.
pub(super) fn used_of_pods(measured: &[Value], namespaces: bool, sort_by: SortBy) -> Report {
    let lines = measured.iter().map(|one| {
        let containers = one.get("containers").and_then(Value::as_array);
        let used = containers.into_iter().flatten();
        let used = used.map(|container| Amounts::read(container.get("usage")));
        Line {
            namespace: meta::namespace(one).to_owned(),
            name: meta::name(one).to_owned(),
            amounts: used.fold(Amounts::default(), Amounts::plus),
            ..Line::default()
        }
    });
    Report::new(Kind::PodsUsed { namespaces }, lines.collect(), sort_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Value {
        json!({ "metadata": { "name": name }, "status": { "allocatable": { "cpu": "4", "memory": "8Gi" } } })
    }

    fn pod(name: &str, host: &str, cpu: &str, phase: &str) -> Value {
        let resources =
            json!({ "requests": { "cpu": cpu, "memory": "1Gi" }, "limits": { "memory": "2Gi" } });
        json!({ "metadata": { "name": name, "namespace": "shop" },
            "spec": { "nodeName": host, "containers": [{ "resources": resources }] }, "status": { "phase": phase } })
    }

    #[test]
    fn hosts_are_shown_with_what_their_pods_ask_for() {
        let pods = [
            pod("a", "h1", "500m", "Running"),
            pod("b", "h2", "1", "Pending"),
            pod("c", "h2", "1", "Running"),
            pod("d", "h1", "3", "Succeeded"),
            pod("e", "", "3", "Pending"),
        ];
        let nodes = [node("h1"), node("h2"), node("h3")];
        let report = requested_of_nodes(&nodes, &pods, SortBy::Cpu);
        let rows = report.rows(true);
        let line = |index: usize| rows[index].join(" ");
        assert_eq!(line(0), "h2 2000m 4000m 50% 2048Mi 8192Mi 25% 2");
        assert_eq!(line(1), "h1 500m 4000m 12% 1024Mi 8192Mi 12% 1");
        assert_eq!(line(2), "h3 0m 4000m 0% 0Mi 8192Mi 0% 0");
        assert_eq!(line(3), "TOTAL 2500m 12000m 20% 3072Mi 24576Mi 12% 3");
        let data = report.as_data();
        assert_eq!(data["items"][0]["requested"]["cpuMillis"], 2000);
        assert_eq!(data["total"]["allocatable"]["memoryBytes"], 24_i64 << 30);
        let by_name = requested_of_nodes(&nodes, &pods, SortBy::Name);
        assert_eq!(by_name.rows(false)[0][0], "h1");
    }

    #[test]
    fn pods_are_shown_with_requests_and_limits() {
        let pods = [
            pod("a", "h1", "500m", "Running"),
            pod("b", "", "2", "Pending"),
        ];
        let rows = requested_of_pods(&pods, true, SortBy::Cpu).rows(true);
        assert_eq!(rows[0].join(" "), "shop b 2000m - 1024Mi 2048Mi <none>");
        assert_eq!(rows[2].join(" "), " TOTAL 2500m - 2048Mi 4096Mi ");
    }

    #[test]
    fn measurements_are_shown_where_there_are_some() {
        let measured = [
            json!({ "metadata": { "name": "h1" }, "usage": { "cpu": "1500000000n", "memory": "2Gi" } }),
        ];
        let rows = used_of_nodes(&[node("h1"), node("h2")], &measured, SortBy::Memory).rows(false);
        assert_eq!(
            rows,
            [["h1", "1500m", "4000m", "37%", "2048Mi", "8192Mi", "25%"]]
        );
        let usage = json!([{ "usage": { "cpu": "1", "memory": "1Mi" } }, { "usage": { "cpu": "1m", "memory": "1" } }]);
        let measured =
            [json!({ "metadata": { "name": "p", "namespace": "shop" }, "containers": usage })];
        let rows = used_of_pods(&measured, false, SortBy::Cpu).rows(false);
        assert_eq!(rows, [["p", "1001m", "2Mi"]]);
    }
}
