//! Bodies in forms other than JSON.

use std::sync::Arc;

use mosaic_schema::{Type, builtin};

/// Kinds that between them have fields of every form.
const KINDS: [&str; 6] = [
    "core.v1.Pod",
    "core.v1.Secret",
    "apps.v1.ControllerRevision",
    "coordination.v1.Lease",
    "authorization.v1.SubjectAccessReview",
    "CustomResourceDefinition",
];

fn type_of(kind: &str) -> Option<Arc<Type>> {
    match kind {
        "CustomResourceDefinition" => builtin(
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        ),
        _ => builtin(&format!("io.k8s.api.{kind}")),
    }
}

/// A body as protobuf, or a kind's number and a message of that kind: nothing panics, and what is read is
/// of bounded depth.
pub fn protobuf(data: &[u8]) {
    check(data);
    let Some((&kind, message)) = data.split_first() else {
        return;
    };
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let mut body = b"k8s\0\x0a".to_vec();
    body.extend([kind.len() as u8 + 2, 0x12, kind.len() as u8]);
    body.extend(kind.as_bytes());
    body.push(0x12);
    let mut length = message.len();
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend(message);
    check(&body);
}

fn check(body: &[u8]) {
    if let Ok(value) = mosaic_protobuf::decode(body, |_, kind| type_of(kind)) {
        let text = value.to_string();
        let read = mosaic_schema::parse(text.as_bytes());
        assert!(
            read.is_ok_and(|read| read.duplicates.is_empty()),
            "cannot be read again: {text}"
        );
    }
}
