//! Manifests that many tests begin with.

/// A workload whose pods have one container, called as the workload is, of image `NAME:1`. `spec` are lines of its
/// specification besides selector and template.
pub fn workload(kind: &str, name: &str, spec: &[&str]) -> String {
    let mut lines: Vec<String> = spec.iter().map(|line| (*line).to_owned()).collect();
    if kind == "StatefulSet" {
        lines.push(format!("serviceName: {name}"));
    }
    format!(
        r#"
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: {name}, image: "{name}:1"}}]
"#,
        lines.join("\n  ")
    )
}
