//! Annotations (and labels) of the pods of jobs.

/// Which completion the pod is for; also a label.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the index failed before this one, with a limit for each index.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// How many pods of the index failed before this one without being counted.
pub const INDEX_IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
