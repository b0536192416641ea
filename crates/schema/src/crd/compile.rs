//! From an `openAPIV3Schema` to a type and a validator, holding it to the rules of structural schemas.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map as JsonMap, Value, json};

use crate::{
    Field, FieldError, List, Map, Object, PatchStrategy, Shape, StringFormat, Type, builtin,
};

use super::{
    node::{JsonType, Logic, Node},
    props::{Errors, Patterns, Props},
    rules,
    validate::validate,
};

/// How deep a schema may be nested. JSON text is bounded at 128 levels, two for each of these.
const MAX_DEPTH: usize = 64;
/// How many nodes a schema may have; the largest in use have some twenty thousand.
const MAX_NODES: usize = 100_000;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const RAW_INT_OR_STRING: [&str; 2] = ["integer", "string"];

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Compiles a whole schema.
pub(super) fn root(
    schema: &Value,
    path: &str,
    patterns: Patterns,
) -> Result<(Arc<Type>, Node), Vec<FieldError>> {
    let mut compiler = Compiler {
        patterns,
        errors: Errors::default(),
        nodes: 0,
    };
    let compiled = compiler.structural(schema, Level::Root, path, 0);
    let errors = compiler.errors.finish();
    if errors.is_empty() {
        Ok((Arc::new(compiled.ty), compiled.node))
    } else {
        Err(errors)
    }
}

pub(super) struct Compiler {
    patterns: Patterns,
    pub(super) errors: Errors,
    nodes: usize,
}

#[derive(Default)]
pub(super) struct Compiled {
    pub(super) ty: Type,
    node: Node,
    default: Option<Value>,
}

impl Compiler {
    /// Whether there is room for another node; tells when there is not.
    fn enter(&mut self, path: &str, depth: usize) -> bool {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            self.errors.push(FieldError::forbidden(
                path,
                format!("must not be nested deeper than {MAX_DEPTH} levels"),
            ));
            return false;
        }
        if self.nodes > MAX_NODES {
            if self.nodes == MAX_NODES + 1 {
                let detail = format!("the schema must not have more than {MAX_NODES} nodes");
                self.errors.push(FieldError::forbidden(path, detail));
            }
            return false;
        }
        !self.errors.is_full()
    }

    /// A schema outside of `allOf` and the like: it says what is there.
    fn structural(&mut self, schema: &Value, level: Level, path: &str, depth: usize) -> Compiled {
        if !self.enter(path, depth) {
            return Compiled::default();
        }
        let Some(map) = schema.as_object() else {
            self.errors.push(FieldError::invalid(
                path,
                schema.clone(),
                "must be a schema object",
            ));
            return Compiled::default();
        };
        let props = Props { map, path };
        self.unsupported(&props);
        let embedded = props.flag("x-kubernetes-embedded-resource", &mut self.errors);
        let int_or_string = props.flag("x-kubernetes-int-or-string", &mut self.errors);
        let preserve = self.preserve(&props);
        let json_type = self.json_type(&props, level, embedded, int_or_string, preserve);

        let mut node = Node {
            json_type,
            nullable: props.flag("nullable", &mut self.errors),
            int_or_string,
            required: props
                .texts("required", &mut self.errors)
                .into_iter()
                .map(Into::into)
                .collect(),
            limits: props.limits(self.patterns, &mut self.errors),
            logic: self.logic(&props, depth),
            ..Node::default()
        };
        self.metadata(&props, level, embedded);
        let mut fields = BTreeMap::new();
        if let Some(properties) = props.object("properties", &mut self.errors) {
            for (name, inner) in properties {
                let inner = self.structural(
                    inner,
                    Level::Field,
                    &format!("{path}.properties[{name}]"),
                    depth + 1,
                );
                let required = node.required.iter().any(|required| **required == **name);
                node.properties.insert(name.as_str().into(), inner.node);
                let patch = PatchStrategy::default();
                fields.insert(
                    name.as_str().into(),
                    Field {
                        ty: Arc::new(inner.ty),
                        required,
                        default: inner.default,
                        patch,
                    },
                );
            }
        }
        let values = self.additional(&props, level, embedded, &mut node, depth);
        let items = self.items(&props, json_type, &mut node, depth);
        if embedded && !preserve && fields.is_empty() {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.errors.require(path, "properties", detail);
        }
        if level == Level::Root || embedded {
            implicit_fields(&mut fields);
        }

        let atomic = self.map_type(&props, json_type);
        node.list = self.list_type(&props, json_type, items.as_ref(), &node);
        let shape = match (json_type, int_or_string) {
            (_, true) => Shape::IntOrString,
            (None, _) => Shape::Any,
            (Some(JsonType::Boolean), _) => Shape::Boolean,
            (Some(JsonType::Integer), _) if props.get("format") == Some(&json!("int32")) => {
                Shape::Int32
            }
            (Some(JsonType::Integer), _) => Shape::Int64,
            (Some(JsonType::Number), _) => Shape::Number,
            (Some(JsonType::String), _) => Shape::String(string_format(&props)),
            (Some(JsonType::Array), _) => {
                let items = Arc::new(items.map(|items| items.ty).unwrap_or_default());
                Shape::List(List {
                    items,
                    kind: node.list.clone(),
                })
            }
            (Some(JsonType::Object), _) => match values {
                Some(values) if fields.is_empty() => Shape::Map(Map {
                    values: Arc::new(values),
                    atomic,
                }),
                _ => Shape::Object(Object {
                    fields,
                    preserve_unknown: preserve,
                    atomic,
                    embedded,
                }),
            },
        };
        node.rules = rules::compile(&props, &mut self.errors);
        node.has_rules = node.inner_rules() || !node.rules.is_empty();
        let mut compiled = Compiled {
            ty: Type {
                name: None,
                nullable: node.nullable,
                shape,
            },
            node,
            default: None,
        };
        self.default(&props, level, &mut compiled);
        compiled
    }

    /// Keywords that Kubernetes refuses everywhere.
    fn unsupported(&mut self, props: &Props<'_>) {
        for key in [
            "$ref",
            "definitions",
            "dependencies",
            "patternProperties",
            "additionalItems",
            "id",
        ] {
            if props.get(key).is_some() {
                self.errors
                    .forbid(props.path, key, &format!("{key} is not supported"));
            }
        }
        if props.flag("uniqueItems", &mut self.errors) {
            let detail =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.forbid(props.path, "uniqueItems", detail);
        }
        if props.get("items").is_some_and(Value::is_array) {
            self.errors.forbid(
                props.path,
                "items",
                "items must be a schema object and not an array",
            );
        }
    }

    fn preserve(&mut self, props: &Props<'_>) -> bool {
        let key = "x-kubernetes-preserve-unknown-fields";
        if props.get(key) == Some(&Value::Bool(false)) {
            self.errors
                .invalid(props.path, key, false, "must be true or undefined");
        }
        props.flag(key, &mut self.errors)
    }

    fn json_type(
        &mut self,
        props: &Props<'_>,
        level: Level,
        embedded: bool,
        int_or_string: bool,
        preserve: bool,
    ) -> Option<JsonType> {
        let path = props.path;
        let text = props.text("type", &mut self.errors);
        let json_type = text.and_then(JsonType::parse);
        match text {
            Some("null") => self.errors.forbid(
                path,
                "type",
                "type cannot be set to null, use nullable as an alternative",
            ),
            Some(text) if json_type.is_none() => {
                self.errors.push(FieldError::not_supported(
                    format!("{path}.type"),
                    text,
                    &JsonType::NAMES,
                ));
            }
            _ => {}
        }
        if int_or_string && preserve {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            self.errors
                .invalid(path, "x-kubernetes-preserve-unknown-fields", true, detail);
        }
        if int_or_string && embedded {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            self.errors
                .invalid(path, "x-kubernetes-embedded-resource", true, detail);
        }
        if let (true, Some(text)) = (int_or_string, text) {
            self.errors.invalid(
                path,
                "type",
                text,
                "must be empty if x-kubernetes-int-or-string is true",
            );
        }
        match (text, embedded) {
            (Some("object"), true) => {}
            (Some(text), true) => {
                self.errors.invalid(
                    path,
                    "type",
                    text,
                    "must be object if x-kubernetes-embedded-resource is true",
                );
            }
            (None, true) => {
                self.errors.require(
                    path,
                    "type",
                    "must be object if x-kubernetes-embedded-resource is true",
                );
            }
            (None, false) if !int_or_string && !preserve => {
                let detail = match level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    Level::Field => "must not be empty for specified object fields",
                };
                self.errors.require(path, "type", detail);
            }
            _ => {}
        }
        if let (Level::Root, Some(text)) = (level, text)
            && text != "object"
        {
            self.errors
                .invalid(path, "type", text, "must be object at the root");
        }
        json_type
    }

    /// What a schema may say of `apiVersion`, `kind` and `metadata`, which every object has.
    fn metadata(&mut self, props: &Props<'_>, level: Level, embedded: bool) {
        if level != Level::Root && !embedded {
            return;
        }
        let Some(properties) = props.object("properties", &mut self.errors) else {
            return;
        };
        for key in ["apiVersion", "kind"] {
            let found = properties
                .get(key)
                .map(|schema| schema.get("type").cloned().unwrap_or_default());
            if let Some(found) = found.filter(|found| found != "string") {
                let path = format!("{}.properties[{key}]", props.path);
                self.errors.invalid(&path, "type", found, "must be string");
            }
        }
        let Some(metadata) = properties.get("metadata").and_then(Value::as_object) else {
            return;
        };
        let path = format!("{}.properties[metadata]", props.path);
        let found = metadata.get("type").cloned().unwrap_or_default();
        if found != "object" {
            self.errors.invalid(&path, "type", found, "must be object");
        }
        if level == Level::Root && !restricts_name_only(metadata) {
            let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.errors.push(FieldError::forbidden(path, detail));
        }
    }

    fn additional(
        &mut self,
        props: &Props<'_>,
        level: Level,
        embedded: bool,
        node: &mut Node,
        depth: usize,
    ) -> Option<Type> {
        let schema = props.get("additionalProperties")?;
        let path = props.path;
        if level == Level::Root {
            self.errors
                .forbid(path, "additionalProperties", "must not be used at the root");
        }
        if embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            self.errors.forbid(path, "additionalProperties", detail);
        }
        match schema {
            Value::Bool(false) => {
                self.errors.forbid(
                    path,
                    "additionalProperties",
                    "additionalProperties cannot be set to false",
                );
                None
            }
            Value::Bool(true) => Some(Type::default()),
            schema => {
                if !node.properties.is_empty() {
                    let detail = "additionalProperties and properties are mutual exclusive";
                    self.errors.forbid(path, "additionalProperties", detail);
                }
                let inner = self.structural(
                    schema,
                    Level::Field,
                    &format!("{path}.additionalProperties"),
                    depth + 1,
                );
                node.additional = Some(Box::new(inner.node));
                Some(inner.ty)
            }
        }
    }

    fn items(
        &mut self,
        props: &Props<'_>,
        json_type: Option<JsonType>,
        node: &mut Node,
        depth: usize,
    ) -> Option<Compiled> {
        let Some(schema) = props.get("items").filter(|items| !items.is_array()) else {
            if json_type == Some(JsonType::Array) && props.get("items").is_none() {
                self.errors
                    .require(props.path, "items", "must be specified");
            }
            return None;
        };
        let mut inner = self.structural(
            schema,
            Level::Item,
            &format!("{}.items", props.path),
            depth + 1,
        );
        node.items = Some(Box::new(std::mem::take(&mut inner.node)));
        Some(inner)
    }

    fn map_type(&mut self, props: &Props<'_>, json_type: Option<JsonType>) -> bool {
        let key = "x-kubernetes-map-type";
        let Some(text) = props.text(key, &mut self.errors) else {
            return false;
        };
        if json_type != Some(JsonType::Object) {
            self.errors.invalid(
                props.path,
                "type",
                json_type.map_or("", JsonType::name),
                format!("must be object if {key} is specified"),
            );
        }
        if !["atomic", "granular"].contains(&text) {
            let path = format!("{}.{key}", props.path);
            self.errors.push(FieldError::not_supported(
                path,
                text,
                &["atomic", "granular"],
            ));
        }
        text == "atomic"
    }

    /// A default must itself be valid.
    fn default(&mut self, props: &Props<'_>, level: Level, compiled: &mut Compiled) {
        let Some(default) = props.map.get("default") else {
            return;
        };
        if default.is_null() && !compiled.ty.nullable {
            return;
        }
        if level == Level::Root {
            self.errors
                .forbid(props.path, "default", "must not be set at the root");
            return;
        }
        let mut filled = default.clone();
        if !crate::prune(&compiled.ty, &mut filled).is_empty() {
            self.errors.invalid(
                props.path,
                "default",
                default.clone(),
                "must not have unknown fields",
            );
            return;
        }
        if let Err(error) = crate::apply_defaults(&compiled.ty, &mut filled) {
            self.errors
                .invalid(props.path, "default", default.clone(), error.to_string());
            return;
        }
        if let Some(error) = validate(&compiled.node, &filled, None).into_iter().next() {
            self.errors.invalid(
                props.path,
                "default",
                default.clone(),
                format!("must be valid: {error}"),
            );
            return;
        }
        compiled.default = Some(default.clone());
    }

    fn logic(&mut self, props: &Props<'_>, depth: usize) -> Option<Box<Logic>> {
        let mut several = |key: &str| -> Vec<Node> {
            let schemas = props.array(key, &mut self.errors);
            let nodes = schemas.iter().enumerate();
            nodes
                .map(|(at, schema)| {
                    self.nested(schema, &format!("{}.{key}[{at}]", props.path), depth + 1)
                })
                .collect()
        };
        let logic = Logic {
            all_of: several("allOf"),
            any_of: several("anyOf"),
            one_of: several("oneOf"),
            not: None,
        };
        let not = props
            .get("not")
            .map(|schema| self.nested(schema, &format!("{}.not", props.path), depth + 1));
        let logic = Logic { not, ..logic };
        (!logic.is_empty()).then(|| Box::new(logic))
    }

    /// A schema inside `allOf` and the like: it only restricts what the schema outside says is there.
    fn nested(&mut self, schema: &Value, path: &str, depth: usize) -> Node {
        if !self.enter(path, depth) {
            return Node::default();
        }
        let Some(map) = schema.as_object() else {
            self.errors.push(FieldError::invalid(
                path,
                schema.clone(),
                "must be a schema object",
            ));
            return Node::default();
        };
        let props = Props { map, path };
        self.unsupported(&props);
        let json_type = self.nested_type(&props);
        self.forbidden_when_nested(&props);
        let mut node = Node {
            json_type,
            nested: true,
            required: props
                .texts("required", &mut self.errors)
                .into_iter()
                .map(Into::into)
                .collect(),
            limits: props.limits(self.patterns, &mut self.errors),
            logic: self.logic(&props, depth),
            ..Node::default()
        };
        if let Some(properties) = props.object("properties", &mut self.errors) {
            for (name, inner) in properties {
                let inner = self.nested(inner, &format!("{path}.properties[{name}]"), depth + 1);
                node.properties.insert(name.as_str().into(), inner);
            }
        }
        if let Some(items) = props.get("items").filter(|items| !items.is_array()) {
            node.items = Some(Box::new(self.nested(
                items,
                &format!("{path}.items"),
                depth + 1,
            )));
        }
        node
    }

    /// The two types of an int-or-string may be named once more; any other type may not.
    fn nested_type(&mut self, props: &Props<'_>) -> Option<JsonType> {
        let text = props.text("type", &mut self.errors)?;
        if !(RAW_INT_OR_STRING.contains(&text) && props.map.len() == 1) {
            self.errors
                .forbid(props.path, "type", "must be empty to be structural");
        }
        JsonType::parse(text)
    }

    fn forbidden_when_nested(&mut self, props: &Props<'_>) {
        let rules = [
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("externalDocs", "must be undefined to be structural"),
            (
                "x-kubernetes-list-map-keys",
                "must be empty to be structural",
            ),
            (
                "x-kubernetes-list-type",
                "must be undefined to be structural",
            ),
            (
                "x-kubernetes-map-type",
                "must be undefined to be structural",
            ),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ];
        for (key, detail) in rules {
            if props
                .get(key)
                .is_some_and(|value| value != "" && value != &json!([]))
            {
                self.errors.forbid(props.path, key, detail);
            }
        }
        let flags = [
            "nullable",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-int-or-string",
        ];
        for key in flags {
            if props.flag(key, &mut self.errors) {
                self.errors
                    .forbid(props.path, key, "must be false to be structural");
            }
        }
        if props
            .object("properties", &mut self.errors)
            .is_some_and(|map| map.contains_key("metadata"))
        {
            self.errors.forbid(
                props.path,
                "properties[metadata]",
                "must not be specified in a nested context",
            );
        }
    }
}

/// Whether a schema of metadata says nothing but what names may be.
fn restricts_name_only(metadata: &JsonMap<String, Value>) -> bool {
    metadata.iter().all(|(key, value)| match key.as_str() {
        "type" | "description" => true,
        "properties" => value
            .as_object()
            .is_some_and(|map| map.keys().all(|key| key == "name" || key == "generateName")),
        _ => value.is_null(),
    })
}

/// The fields that every object has, whatever its schema says.
fn implicit_fields(fields: &mut BTreeMap<Box<str>, Field>) {
    let text = Arc::new(Type {
        name: None,
        nullable: false,
        shape: Shape::String(StringFormat::Plain),
    });
    for key in ["apiVersion", "kind"] {
        fields.entry(key.into()).or_insert_with(|| Field {
            ty: text.clone(),
            ..Field::default()
        });
    }
    let ty = builtin(OBJECT_META).unwrap_or_default();
    fields.insert(
        "metadata".into(),
        Field {
            ty,
            ..Field::default()
        },
    );
}

fn string_format(props: &Props<'_>) -> StringFormat {
    match props.get("format").and_then(Value::as_str) {
        Some("byte") => StringFormat::Byte,
        Some("date-time") => StringFormat::DateTime,
        _ => StringFormat::Plain,
    }
}
