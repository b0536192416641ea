//! The verbs that make sense for every kind, in the order in which they are tried: each finds the
//! object as the one before it left it.

use serde_json::{Value, json};

use super::{Kind, Stage, Verb};
use crate::{wait_for, wait_until};

/// All of them.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "api-resources",
        run: api_resources,
        refused: never,
    },
    Verb {
        name: "explain",
        run: explain,
        refused: never,
    },
    Verb {
        name: "create --dry-run",
        run: dry_run,
        refused: never,
    },
    Verb {
        name: "create -f",
        run: create,
        refused: never,
    },
    Verb {
        name: "get",
        run: get,
        refused: never,
    },
    Verb {
        name: "get -o",
        run: get_output,
        refused: never,
    },
    Verb {
        name: "get -l / --field-selector",
        run: get_selected,
        refused: never,
    },
    Verb {
        name: "describe",
        run: describe,
        refused: never,
    },
    Verb {
        name: "label",
        run: label,
        refused: never,
    },
    Verb {
        name: "annotate",
        run: annotate,
        refused: never,
    },
    Verb {
        name: "patch (json)",
        run: patch_json,
        refused: never,
    },
    Verb {
        name: "patch (merge)",
        run: patch_merge,
        refused: never,
    },
    Verb {
        name: "patch (strategic)",
        run: patch_strategic,
        refused: no_strategic,
    },
    Verb {
        name: "edit",
        run: edit,
        refused: never,
    },
    Verb {
        name: "get -w",
        run: watch,
        refused: never,
    },
    Verb {
        name: "diff",
        run: diff,
        refused: never,
    },
    Verb {
        name: "apply",
        run: apply,
        refused: never,
    },
    Verb {
        name: "apply --server-side",
        run: apply_server_side,
        refused: never,
    },
    Verb {
        name: "replace",
        run: replace,
        refused: never,
    },
    Verb {
        name: "replace --force",
        run: replace_force,
        refused: never,
    },
    Verb {
        name: "wait",
        run: wait,
        refused: never,
    },
    Verb {
        name: "delete",
        run: delete,
        refused: never,
    },
    Verb {
        name: "delete -l",
        run: delete_collection,
        refused: no_collection,
    },
];

fn never(_: &Kind) -> Option<&'static str> {
    None
}

fn no_strategic(kind: &Kind) -> Option<&'static str> {
    kind.custom
        .then_some("custom kinds take JSON and merge patches, and apply")
}

fn no_collection(kind: &Kind) -> Option<&'static str> {
    (kind.kind == "Namespace").then_some("namespaces are deleted one by one")
}

/// `resource name`
fn target(stage: &Stage, kind: &Kind) -> String {
    format!("{} {}", kind.resource, stage.name(kind))
}

/// The object as it is stored.
fn stored(stage: &Stage, kind: &Kind) -> Value {
    stage
        .http
        .get(&format!(
            "{}/{}",
            kind.path(&stage.namespace),
            stage.name(kind)
        ))
        .ok()
}

/// The object's manifest, with a label changed.
fn labelled(stage: &Stage, kind: &Kind, key: &str, value: &str) -> String {
    let mut object = stage.object(kind);
    object["metadata"]["labels"][key] = value.into();
    object.to_string()
}

fn label_of(stage: &Stage, kind: &Kind, key: &str) -> Value {
    stored(stage, kind)["metadata"]["labels"][key].clone()
}

fn api_resources(stage: &Stage, kind: &Kind) {
    let (plural, group) = kind.resource.split_once('.').unwrap_or((kind.resource, ""));
    let listed = stage
        .kubectl
        .run(&format!("api-resources --api-group={group} --no-headers"));
    let line = listed
        .ok()
        .lines()
        .find(|line| line.split_whitespace().next() == Some(plural));
    let line = line.unwrap_or_else(|| panic!("{plural} is not in {listed}"));
    let end = format!("{} {} {}", kind.api_version, kind.namespaced, kind.kind);
    let words: Vec<_> = line.split_whitespace().collect();
    assert!(
        words.join(" ").ends_with(&end),
        "{line} does not end with {end}"
    );
}

fn explain(stage: &Stage, kind: &Kind) {
    let (plural, version) = (kind.plural(), kind.api_version);
    let line = format!("explain {plural} --api-version={version}");
    let explained = stage.kubectl.run(&line);
    explained
        .says("FIELDS:")
        .says(&format!("KIND:       {}", kind.kind))
        .says("<ObjectMeta>");
}

fn dry_run(stage: &Stage, kind: &Kind) {
    let manifest = stage.object(kind).to_string();
    for (option, words) in [("client", "(dry run)"), ("server", "(server dry run)")] {
        let line = format!("create --dry-run={option} -f -");
        stage.kubectl.run_with_input(&line, &manifest).says(words);
    }
    let path = format!("{}/{}", kind.path(&stage.namespace), stage.name(kind));
    stage.http.get(&path).fails(404, "NotFound");
}

fn create(stage: &Stage, kind: &Kind) {
    let manifest = stage.object(kind).to_string();
    let created = stage.kubectl.run_with_input("create -f -", &manifest);
    created.says(&stage.name(kind)).says("created");
    stage
        .kubectl
        .run_with_input("create -f -", &manifest)
        .complains("AlreadyExists");
}

fn get(stage: &Stage, kind: &Kind) {
    let name = stage.name(kind);
    // Events are shown by what they tell, not by their names.
    let (column, shown) = match kind.kind {
        "Event" => ("REASON", "Tried"),
        _ => ("NAME", name.as_str()),
    };
    let got = stage.kubectl.run(&format!("get {}", target(stage, kind)));
    got.says(column).says(shown);
    stage
        .kubectl
        .run(&format!("get {}", kind.resource))
        .says(shown);
    let none = stage
        .kubectl
        .run(&format!("get {} no-such-name", kind.resource));
    none.complains("(NotFound)");
}

fn get_output(stage: &Stage, kind: &Kind) {
    let name = stage.name(kind);
    let target = target(stage, kind);
    stage
        .kubectl
        .run(&format!("get {target} -o wide"))
        .says(&name);
    stage
        .kubectl
        .run(&format!("get {target} -o yaml"))
        .says(&format!("name: {name}"));
    let object = stage.kubectl.run(&format!("get {target} -o json"));
    let object: Value = serde_json::from_str(object.ok()).expect("JSON");
    assert_eq!(
        (&object["kind"], &object["apiVersion"]),
        (&kind.kind.into(), &kind.api_version.into())
    );
    let listed = stage.kubectl.run(&format!("get {} -o name", kind.resource));
    listed.says(&format!("/{name}"));
}

fn get_selected(stage: &Stage, kind: &Kind) {
    let name = stage.name(kind);
    let resource = kind.resource;
    stage
        .kubectl
        .run(&format!("get {resource} -l app=matrix -o name"))
        .says(&name);
    let field = format!("get {resource} --field-selector metadata.name={name} -o name");
    assert_eq!(stage.kubectl.run(&field).ok().lines().count(), 1);
    let none = stage
        .kubectl
        .run(&format!("get {resource} -l app=matrix,no=where"));
    assert!(none.stderr.contains("No resources found"), "{none}");
}

fn describe(stage: &Stage, kind: &Kind) {
    let described = stage
        .kubectl
        .run(&format!("describe {}", target(stage, kind)));
    described.says("Name:").says(&stage.name(kind));
}

fn label(stage: &Stage, kind: &Kind) {
    let target = target(stage, kind);
    stage
        .kubectl
        .run(&format!("label {target} tier=front"))
        .says("labeled");
    assert_eq!(label_of(stage, kind, "tier"), "front");
    stage
        .kubectl
        .run(&format!("label {target} tier=back"))
        .fails();
    stage
        .kubectl
        .run(&format!("label {target} tier=back --overwrite"))
        .says("labeled");
    stage
        .kubectl
        .run(&format!("label {target} tier-"))
        .says("unlabeled");
    assert_eq!(label_of(stage, kind, "tier"), Value::Null);
}

fn annotate(stage: &Stage, kind: &Kind) {
    let line = format!(
        "annotate {} example.com/note='two words'",
        target(stage, kind)
    );
    stage.kubectl.run(&line).says("annotated");
    assert_eq!(
        stored(stage, kind)["metadata"]["annotations"]["example.com/note"],
        "two words"
    );
}

fn patch(stage: &Stage, kind: &Kind, how: &str, patch: &Value) -> crate::Outcome {
    stage.kubectl.run(&format!(
        "patch {} --type={how} -p '{patch}'",
        target(stage, kind)
    ))
}

fn patch_json(stage: &Stage, kind: &Kind) {
    let add = json!([{"op": "add", "path": "/metadata/labels/json", "value": "yes"}]);
    patch(stage, kind, "json", &add).says("patched");
    assert_eq!(label_of(stage, kind, "json"), "yes");
    patch(stage, kind, "json", &add).says("(no change)");
    let wrong = json!([{"op": "test", "path": "/metadata/labels/json", "value": "no"}]);
    patch(stage, kind, "json", &wrong).fails();
}

fn patch_merge(stage: &Stage, kind: &Kind) {
    let labels = json!({"metadata": {"labels": {"json": null, "merge": "yes"}}});
    patch(stage, kind, "merge", &labels).says("patched");
    assert_eq!(label_of(stage, kind, "merge"), "yes");
    assert_eq!(label_of(stage, kind, "json"), Value::Null);
}

fn patch_strategic(stage: &Stage, kind: &Kind) {
    let labels = json!({"metadata": {"labels": {"merge": null, "strategic": "yes"}}});
    let patched = patch(stage, kind, "strategic", &labels);
    if kind.custom {
        patched.complains("strategic-merge-patch+json is not supported");
        return;
    }
    patched.says("patched");
    assert_eq!(label_of(stage, kind, "strategic"), "yes");
    assert_eq!(label_of(stage, kind, "merge"), Value::Null);
}

fn edit(stage: &Stage, kind: &Kind) {
    let editor = stage
        .kubectl
        .with_env("KUBE_EDITOR", "sed -i 's/two words/three whole words/'");
    editor
        .run(&format!("edit {}", target(stage, kind)))
        .says("edited");
    assert_eq!(
        stored(stage, kind)["metadata"]["annotations"]["example.com/note"],
        "three whole words"
    );
}

fn watch(stage: &Stage, kind: &Kind) {
    let line = format!(
        "get {} -w --output-watch-events --no-headers",
        target(stage, kind)
    );
    let mut watching = stage.kubectl.follow(&line);
    assert!(watching.next_line().starts_with("ADDED"));
    let path = format!("{}/{}", kind.path(&stage.namespace), stage.name(kind));
    // kubectl does not show what happens before its watch is open.
    let mut turn = 0;
    let mut change = || {
        turn += 1;
        let labels = json!({"metadata": {"labels": {"watched": turn.to_string()}}});
        stage
            .http
            .patch(crate::PatchKind::Merge, &path, &labels)
            .ok();
    };
    while !watching
        .next_line_after(&mut change)
        .starts_with("MODIFIED")
    {}
}

fn diff(stage: &Stage, kind: &Kind) {
    let changed = labelled(stage, kind, "diff", "yes");
    let shown = stage.kubectl.run_with_input("diff -f -", &changed);
    assert!(
        shown.code == 1 && shown.stdout.contains("+    diff: \"yes\""),
        "{shown}"
    );
    assert_eq!(label_of(stage, kind, "diff"), Value::Null);
}

fn apply(stage: &Stage, kind: &Kind) {
    let changed = labelled(stage, kind, "apply", "one");
    stage
        .kubectl
        .run_with_input("apply -f -", &changed)
        .says("configured");
    let again = stage.kubectl.run_with_input("apply -f -", &changed);
    // kubectl sends a budget's selector each time, and takes that for a change.
    if kind.kind != "PodDisruptionBudget" {
        again.says("unchanged");
    }
    let other = labelled(stage, kind, "applied", "two");
    stage
        .kubectl
        .run_with_input("apply -f -", &other)
        .says("configured");
    let labels = &stored(stage, kind)["metadata"]["labels"];
    assert!(
        labels["apply"].is_null() && labels["applied"] == "two",
        "{labels}"
    );
}

fn apply_server_side(stage: &Stage, kind: &Kind) {
    let line = "apply --server-side --field-manager=matrix --force-conflicts -f -";
    let one = labelled(stage, kind, "ssa", "one");
    stage
        .kubectl
        .run_with_input(line, &one)
        .says("serverside-applied");
    let two = labelled(stage, kind, "ssb", "two");
    stage
        .kubectl
        .run_with_input(line, &two)
        .says("serverside-applied");
    let labels = &stored(stage, kind)["metadata"]["labels"];
    assert!(
        labels["ssa"].is_null() && labels["ssb"] == "two",
        "{labels}"
    );

    let other = labelled(stage, kind, "ssb", "three");
    let refused = stage
        .kubectl
        .run_with_input("apply --server-side --field-manager=other -f -", &other);
    assert!(refused.fails().contains("conflict"), "{refused}");
}

fn replace(stage: &Stage, kind: &Kind) {
    // A controller may write the status between the read and the replace: then once more.
    let object = wait_for("a replace without a conflict", || {
        let mut object = stored(stage, kind);
        object["metadata"]["labels"]["replaced"] = "yes".into();
        let replaced = stage
            .kubectl
            .run_with_input("replace -f -", &object.to_string());
        if replaced.stderr.contains("the object has been modified") {
            return None;
        }
        replaced.says("replaced");
        Some(object)
    });
    assert_eq!(label_of(stage, kind, "replaced"), "yes");

    // The version that was read is no longer the current one.
    let stale = stage
        .kubectl
        .run_with_input("replace -f -", &object.to_string());
    stale.complains("the object has been modified");
}

fn replace_force(stage: &Stage, kind: &Kind) {
    let before = stored(stage, kind)["metadata"]["uid"].clone();
    let manifest = stage.object(kind).to_string();
    stage
        .kubectl
        .run_with_input("replace --force --grace-period=0 -f -", &manifest)
        .says("replaced");
    assert_ne!(stored(stage, kind)["metadata"]["uid"], before);
}

fn wait(stage: &Stage, kind: &Kind) {
    let name = stage.name(kind);
    let line = format!(
        "wait {} --for=jsonpath={{.metadata.name}}={name}",
        target(stage, kind)
    );
    stage.kubectl.run(&line).says("condition met");
    let line = format!(
        "wait {} --for=condition=Never --timeout=10ms",
        target(stage, kind)
    );
    stage.kubectl.run(&line).complains("timed out");
}

fn delete(stage: &Stage, kind: &Kind) {
    let target = target(stage, kind);
    stage
        .kubectl
        .run(&format!("delete {target} --dry-run=server"))
        .says("(server dry run)");
    stored(stage, kind);
    stage
        .kubectl
        .run(&format!("delete {target} --wait=false"))
        .says("deleted");
    stage
        .kubectl
        .run(&format!("wait {target} --for=delete"))
        .ok();
    stage
        .kubectl
        .run(&format!("get {target}"))
        .complains("(NotFound)");
    stage
        .kubectl
        .run(&format!("delete {target} --ignore-not-found"))
        .ok();
}

fn delete_collection(stage: &Stage, kind: &Kind) {
    let manifest = labelled(stage, kind, "many", &stage.suffix);
    stage.kubectl.run_with_input("create -f -", &manifest).ok();
    let path = kind.path(&stage.namespace);
    let name = stage.name(kind);
    let selector = format!("{path}?labelSelector=many%3D{}", stage.suffix);
    if no_collection(kind).is_some() {
        stage.http.delete(&selector).fails(405, "MethodNotAllowed");
        stage
            .kubectl
            .run(&format!("delete {} {name}", kind.resource))
            .ok();
        return;
    }
    stage
        .kubectl
        .run(&format!(
            "delete {} -l many={}",
            kind.resource, stage.suffix
        ))
        .says(&name);
    wait_until("the objects to be gone", || {
        stage.http.get(&selector).ok()["items"]
            .as_array()
            .is_some_and(Vec::is_empty)
    });
}
