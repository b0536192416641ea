//! What a request's path and method ask for (Kubernetes' request info).

use http::Method;

use super::query::Query;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path that is not about objects, such as `/healthz` or `/apis`.
    NonResource,
    /// Objects.
    Resource(ResourcePath),
}

/// A path about objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// The API group; empty for core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace; empty if none is named.
    pub namespace: String,
    /// The kind's plural name.
    pub plural: String,
    /// The object's name; empty for the collection.
    pub name: String,
    /// The subresource; empty if none is named.
    pub subresource: String,
    /// What follows the subresource, with a leading slash; empty if nothing.
    pub rest: String,
}

/// Reads a percent-decoded path. `/api/v1/…` and `/apis/group/version/…` are about objects as soon as
/// a resource is named.
pub fn parse(path: &str) -> Target {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::NonResource,
    };
    let mut found = ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    };
    let rest = match rest {
        // A namespace's own subresources.
        ["namespaces", namespace, sub @ ("status" | "finalize")] if group.is_empty() => {
            found.namespace = (*namespace).to_owned();
            found.plural = "namespaces".to_owned();
            found.name = (*namespace).to_owned();
            found.subresource = (*sub).to_owned();
            return Target::Resource(found);
        }
        ["namespaces", namespace] if group.is_empty() => {
            found.namespace = (*namespace).to_owned();
            found.plural = "namespaces".to_owned();
            found.name = (*namespace).to_owned();
            return Target::Resource(found);
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            found.namespace = (*namespace).to_owned();
            rest
        }
        rest => rest,
    };
    let mut rest = rest.iter();
    let mut next = || {
        rest.next()
            .map(|part| (*part).to_owned())
            .unwrap_or_default()
    };
    found.plural = next();
    found.name = next();
    found.subresource = next();
    for part in rest {
        found.rest.push('/');
        found.rest.push_str(part);
    }
    Target::Resource(found)
}

/// The verb that authorisation and audit see.
pub fn verb(method: &Method, target: &Target, query: &Query) -> &'static str {
    let Target::Resource(path) = target else {
        return match *method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::OPTIONS => "options",
            _ => "",
        };
    };
    let collection = path.name.is_empty();
    match *method {
        // A shell or a tunnel into a pod is more than a look at it, whatever the method that opens it.
        Method::GET
            if path.plural == "pods"
                && matches!(&*path.subresource, "exec" | "attach" | "portforward") =>
        {
            "create"
        }
        Method::GET | Method::HEAD if collection && query.watch => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> [String; 7] {
        match parse(text) {
            Target::Resource(p) => [
                p.group,
                p.version,
                p.namespace,
                p.plural,
                p.name,
                p.subresource,
                p.rest,
            ],
            Target::NonResource => panic!("{text} is about objects"),
        }
    }

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        assert_eq!(
            path("/api/v1/namespaces"),
            ["", "v1", "", "namespaces", "", "", ""]
        );
        assert_eq!(
            path("/api/v1/namespaces/a"),
            ["", "v1", "a", "namespaces", "a", "", ""]
        );
        assert_eq!(
            path("/api/v1/namespaces/a/finalize"),
            ["", "v1", "a", "namespaces", "a", "finalize", ""]
        );
        assert_eq!(
            path("/api/v1/namespaces/a/pods"),
            ["", "v1", "a", "pods", "", "", ""]
        );
        assert_eq!(
            path("/apis/apps/v1/namespaces/a/deployments/b/scale"),
            ["apps", "v1", "a", "deployments", "b", "scale", ""]
        );
        assert_eq!(
            path("/api/v1/namespaces/a/services/b/proxy/x/y"),
            ["", "v1", "a", "services", "b", "proxy", "/x/y"]
        );
        assert_eq!(
            path("/apis/apps/v1/deployments"),
            ["apps", "v1", "", "deployments", "", "", ""]
        );
        for text in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/healthz",
        ] {
            assert_eq!(parse(text), Target::NonResource, "{text}");
        }
    }
}
