//! The rows of the kind table that are compiled in.
//!
//! Each module holds the rows of some API groups, written with the small builder below. A row says
//! what Kubernetes' discovery says of the kind; what its objects may look like comes from
//! `mosaic-schema`, how they are shown from [`crate::columns`].

mod core;
mod policy;
mod reviews;
mod workloads;

use std::sync::Arc;

use crate::{
    columns,
    kind::{Resource, Scale, SelectableField, Source, Subresource, VERBS},
};

const READ_WRITE: &[&str] = &["get", "patch", "update"];
const CREATE: &[&str] = &["create"];
const STREAM: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

/// Every built-in kind, group by group in the order in which clients prefer the groups (`events` is
/// core's before it is `events.k8s.io`'s), and by plural within a group.
pub fn resources() -> Vec<Resource> {
    let mut rows = core::rows();
    rows.extend(workloads::rows());
    rows.extend(policy::rows());
    rows.extend(reviews::rows());
    let mut resources: Vec<Resource> = rows.into_iter().map(Row::build).collect();
    resources
        .sort_by(|a, b| (preference(&a.group), &a.plural).cmp(&(preference(&b.group), &b.plural)));
    resources
}

/// Where a group stands in discovery; clients that are given only a plural take the first match.
fn preference(group: &str) -> usize {
    const ORDER: [&str; 19] = [
        "",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
    ];
    ORDER
        .iter()
        .position(|known| *known == group)
        .unwrap_or(ORDER.len())
}

/// The OpenAPI definition of a built-in kind, such as `io.k8s.api.apps.v1.Deployment`.
pub fn definition_name(group: &str, version: &str, kind: &str) -> String {
    match group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "apiextensions.k8s.io" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}")
        }
        _ => {
            let short = group.split('.').next().unwrap_or(group);
            format!("io.k8s.api.{short}.{version}.{kind}")
        }
    }
}

/// A definition that is missing would be a type that accepts anything; a test holds that none is.
fn ty(name: &str) -> Arc<mosaic_schema::Type> {
    mosaic_schema::builtin(name).unwrap_or_default()
}

/// A row in the making: namespaced and with every verb until told otherwise.
struct Row(Resource);

impl Row {
    fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self(Resource {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            list_kind: format!("{kind}List").into(),
            plural: plural.into(),
            singular: kind.to_ascii_lowercase().into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: VERBS.to_vec(),
            keeper: None,
            ty: ty(&definition_name(group, version, kind)),
            status: false,
            scale: None,
            subresources: Vec::new(),
            columns: columns::builtin(group, kind),
            selectable_fields: Vec::new(),
            storage_group: group.into(),
            source: Source::BuiltIn,
        })
    }

    /// Its objects do not live in namespaces.
    fn cluster(mut self) -> Self {
        self.0.namespaced = false;
        self
    }

    fn short(mut self, names: &[&'static str]) -> Self {
        self.0.short_names = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }

    fn category(mut self, name: &'static str) -> Self {
        self.0.categories.push(name.into());
        self
    }

    fn status(mut self) -> Self {
        self.0.status = true;
        self
    }

    /// Scaled by `spec.replicas`, counted by `status.replicas`, selecting by `spec.selector`.
    fn scale(mut self) -> Self {
        self.0.scale = Some(Scale {
            spec_replicas: "spec.replicas".into(),
            status_replicas: "status.replicas".into(),
            selector: Some("spec.selector".into()),
        });
        self
    }

    fn verbs(mut self, verbs: &[&'static str]) -> Self {
        self.0.verbs = verbs.to_vec();
        self
    }

    /// It can only be created: what comes back is the answer, and nothing is stored.
    fn create_only(self) -> Self {
        self.verbs(CREATE)
    }

    fn subresource(
        mut self,
        name: &'static str,
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        self.0.subresources.push(Subresource {
            name,
            kind,
            group,
            version,
            verbs,
        });
        self
    }

    /// Fields that a field selector may name, with what an absent one counts as.
    fn select(mut self, fields: &[(&'static str, &'static str)]) -> Self {
        self.0
            .selectable_fields
            .extend(fields.iter().map(|&(path, default)| SelectableField {
                path: path.into(),
                stored_at: &[],
                default,
            }));
        self
    }

    /// Where the value of a selectable field stands, if not under its own path.
    fn stored_at(mut self, path: &str, stored_at: &'static [&'static str]) -> Self {
        let fields = self.0.selectable_fields.iter_mut();
        for field in fields.filter(|field| *field.path == *path) {
            field.stored_at = stored_at;
        }
        self
    }

    fn stored_in(mut self, group: &'static str) -> Self {
        self.0.storage_group = group.into();
        self
    }

    fn build(self) -> Resource {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_type_with_its_subresources_fields() {
        for row in resources() {
            let name = definition_name(&row.group, &row.version, &row.kind);
            assert_eq!(row.ty.name.as_deref(), Some(name.as_str()));
            assert!(row.ty.field("metadata").is_some(), "{name}");
            if row.status {
                assert!(row.ty.field("status").is_some(), "{name}");
            }
        }
    }

    #[test]
    fn names_of_kinds_do_not_collide() {
        let mut seen = BTreeSet::new();
        for row in resources() {
            let names = [&row.plural, &row.singular]
                .into_iter()
                .chain(&row.short_names)
                .map(|name| (row.group.clone(), name.clone()))
                .collect::<BTreeSet<_>>();
            for name in names {
                assert!(seen.insert(name.clone()), "{name:?} stands for two kinds");
            }
        }
    }

    #[test]
    fn core_comes_first_and_every_verb_is_known() {
        let rows = resources();
        assert_eq!(&*rows[0].plural, "bindings");
        let events: Vec<String> = rows
            .iter()
            .filter(|row| &*row.plural == "events")
            .map(Resource::storage_prefix)
            .collect();
        assert_eq!(events, ["/core/events/", "/core/events/"]);
        for row in &rows {
            assert!(row.verbs.iter().all(|verb| VERBS.contains(verb)));
            assert!(row.subresources.is_sorted_by_key(|sub| sub.name));
        }
    }
}
