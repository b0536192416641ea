//! Questions that are asked by creating an object: who am I, may I. Nothing is stored.

use super::Row;

pub(super) fn rows() -> Vec<Row> {
    let authentication =
        |kind, plural| Row::new("authentication.k8s.io", "v1", kind, plural).create_only();
    let authorization =
        |kind, plural| Row::new("authorization.k8s.io", "v1", kind, plural).create_only();
    vec![
        authentication("SelfSubjectReview", "selfsubjectreviews").cluster(),
        authentication("TokenReview", "tokenreviews").cluster(),
        authorization("LocalSubjectAccessReview", "localsubjectaccessreviews"),
        authorization("SelfSubjectAccessReview", "selfsubjectaccessreviews").cluster(),
        authorization("SelfSubjectRulesReview", "selfsubjectrulesreviews").cluster(),
        authorization("SubjectAccessReview", "subjectaccessreviews").cluster(),
    ]
}
