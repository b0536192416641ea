//! How much work one request may cause.

/// The deepest nesting of a patch, of a patched document and of a field set. It is the depth at which
/// `serde_json` stops reading, so that what was written can be read again.
pub const MAX_DEPTH: usize = 127;

/// The most operations in one JSON patch, as in Kubernetes.
pub const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;

/// How many bytes of JSON the copy operations of one JSON patch may add, in sum: the size of the largest
/// request.
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// How many values one JSON patch may touch or shift. Ten thousand inserts at the front of a list of a
/// hundred thousand are a small request and a lot of work.
pub const MAX_JSON_PATCH_WORK: usize = 50_000_000;

/// The most fields in one field set that a client supplies.
pub const MAX_FIELDS: usize = 200_000;
