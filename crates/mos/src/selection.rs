//! Which objects a command line means: `TYPE`, `TYPE NAME…`, `TYPE/NAME…`, or files.

use crate::client::{Client, Discovery, Resource};
use crate::failure::Failure;
use crate::manifest::{self, Manifest};

/// The arguments, taken apart but not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// `pods,deploy`: every object of some types.
    Types(String),
    /// `pods a b`: named objects of some types.
    Named(String, Vec<String>),
    /// `pod/a deploy/b`.
    Pairs(Vec<(String, String)>),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its type.
    pub(crate) resource: Resource,
    /// Its namespace; none if the type has none.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

impl Target {
    /// `deployment.apps/web`.
    pub(crate) fn object_name(&self) -> String {
        self.resource.object_name(&self.name)
    }
}

/// Takes arguments apart.
pub(crate) fn parse(arguments: &[String]) -> Result<Arguments, Failure> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Failure::usage("a type is missing")
            .hint("write TYPE, TYPE NAME or TYPE/NAME, such as `pods` or `deployment/web`"));
    };
    let with_slash = arguments
        .iter()
        .filter(|argument| argument.contains('/'))
        .count();
    if with_slash == arguments.len() {
        return arguments
            .iter()
            .map(|argument| pair(argument))
            .collect::<Result<_, _>>()
            .map(Arguments::Pairs);
    }
    if with_slash > 0 {
        return Err(Failure::usage("TYPE/NAME cannot be mixed with TYPE NAME")
            .hint("write either `deployment web api` or `deployment/web deployment/api`"));
    }
    if let Some(empty) = arguments.iter().find(|argument| argument.trim().is_empty()) {
        return Err(Failure::usage(format!(
            "`{empty}` is neither a type nor a name"
        )));
    }
    if rest.is_empty() {
        Ok(Arguments::Types(first.clone()))
    } else {
        Ok(Arguments::Named(first.clone(), rest.to_vec()))
    }
}

fn pair(argument: &str) -> Result<(String, String), Failure> {
    match argument.split_once('/') {
        Some((kind, name))
            if !kind.is_empty()
                && !name.is_empty()
                && !name.contains('/')
                && !kind.contains(',') =>
        {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err(Failure::usage(format!(
            "`{argument}` is not TYPE/NAME, such as deployment/web"
        ))),
    }
}

/// Named objects: arguments with a name each.
pub(crate) fn named(
    arguments: &[String],
    discovery: &Discovery,
    namespace: &str,
) -> Result<Vec<Target>, Failure> {
    let target = |resource: &Resource, name: &str| Target {
        resource: resource.clone(),
        namespace: resource.namespaced.then(|| namespace.to_owned()),
        name: name.to_owned(),
    };
    match parse(arguments)? {
        Arguments::Types(types) => {
            // `web` alone is more likely a name without its type than a type without a name.
            discovery.resolve_list(&types).map_err(|failure| {
                if manifest::is_file_name(&types) {
                    return failure;
                }
                failure.hint(format!(
                    "if `{types}` is a name, write its type too, such as `deployment/{types}`"
                ))
            })?;
            Err(Failure::usage(format!("the name of a {types} is missing"))
                .hint(format!("write `{types} NAME` or `{types}/NAME`")))
        }
        Arguments::Named(types, names) => {
            let resources = discovery.resolve_list(&types)?;
            Ok(resources
                .iter()
                .flat_map(|resource| names.iter().map(|name| target(resource, name)))
                .collect())
        }
        Arguments::Pairs(pairs) => pairs
            .iter()
            .map(|(kind, name)| Ok(target(discovery.resolve(kind)?, name)))
            .collect(),
    }
}

/// The object that a manifest means. A namespace that was asked for must not contradict the file's.
pub(crate) fn of_manifest(
    manifest: &Manifest,
    discovery: &Discovery,
    client: &Client,
    asked: Option<&str>,
) -> Result<Target, Failure> {
    let resource = discovery
        .of_object(manifest.api_version(), manifest.kind())
        .map_err(|failure| failure.at(&manifest.source))?;
    let namespace = namespace(manifest, resource, client.namespace(), asked)?;
    Ok(Target {
        resource: resource.clone(),
        namespace,
        name: manifest.name().to_owned(),
    })
}

fn namespace(
    manifest: &Manifest,
    resource: &Resource,
    default: &str,
    asked: Option<&str>,
) -> Result<Option<String>, Failure> {
    if !resource.namespaced {
        return Ok(None);
    }
    let own = manifest.namespace();
    if own.is_empty() {
        return Ok(Some(default.to_owned()));
    }
    match asked {
        Some(asked) if asked != own => Err(Failure::usage(format!(
            "{}: {} \"{}\" is of namespace `{own}`, but --namespace is `{asked}`",
            manifest.source,
            manifest.kind(),
            manifest.name()
        ))
        .hint(format!(
            "leave --namespace out, give --namespace={own}, or remove the namespace from the file"
        ))),
        _ => Ok(Some(own.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        assert_eq!(
            parse(&words("pods,svc")).unwrap(),
            Arguments::Types("pods,svc".into())
        );
        assert_eq!(
            parse(&words("pods a b")).unwrap(),
            Arguments::Named("pods".into(), words("a b"))
        );
        assert_eq!(
            parse(&words("pod/a deploy.apps/b")).unwrap(),
            Arguments::Pairs(vec![
                ("pod".into(), "a".into()),
                ("deploy.apps".into(), "b".into())
            ])
        );
    }

    #[test]
    fn mixed_and_broken_forms_are_usage_errors() {
        for bad in [
            "",
            "pod/a b",
            "pods pod/a",
            "/a",
            "pod/",
            "pod/a/b",
            "pod,svc/a",
        ] {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_files_namespace_is_respected_and_not_contradicted() {
        let manifest = |metadata| Manifest {
            source: "x.yaml".into(),
            object: json!({"kind": "Pod", "metadata": metadata}),
        };
        let pods = Resource {
            namespaced: true,
            ..Resource::default()
        };
        let own = manifest(json!({"name": "a", "namespace": "shop"}));
        let none = manifest(json!({"name": "a"}));
        assert_eq!(
            namespace(&own, &pods, "default", None).unwrap().as_deref(),
            Some("shop")
        );
        assert_eq!(
            namespace(&own, &pods, "shop", Some("shop"))
                .unwrap()
                .as_deref(),
            Some("shop")
        );
        assert!(namespace(&own, &pods, "other", Some("other")).is_err());
        assert_eq!(
            namespace(&none, &pods, "other", Some("other"))
                .unwrap()
                .as_deref(),
            Some("other")
        );
        assert_eq!(
            namespace(&own, &Resource::default(), "other", Some("other")).unwrap(),
            None
        );
    }
}
