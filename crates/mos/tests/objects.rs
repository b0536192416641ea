//! The client commands against a server.

mod common;

use std::process::Stdio;

use common::{Server, command, make_executable};

const APP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop, labels: {app: web}}
data: {color: red, flag: \"yes\"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: busybox}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

#[test]
fn applying_shows_what_became_of_each_object() {
    let server = Server::start();
    let first = server.apply(APP, "").ok();
    assert_eq!(
        first,
        "namespace/shop created\nconfigmap/settings created\ndeployment.apps/web created\n"
    );
    // The deployment's controller may be at work, so only what nobody else touches is compared.
    let second = server.apply(APP, "").ok();
    assert!(
        second.starts_with("namespace/shop unchanged\nconfigmap/settings unchanged\n"),
        "{second}"
    );
    let dry = server
        .apply(&APP.replace("red", "blue"), "--dry-run=server")
        .ok();
    assert!(
        dry.contains("configmap/settings configured (server dry run)\n"),
        "{dry}"
    );
    assert_eq!(
        server
            .mos([
                "get",
                "cm",
                "settings",
                "-n",
                "shop",
                "-o",
                "jsonpath={.data.color}"
            ])
            .ok(),
        "red"
    );
    let third = server.apply(&APP.replace("red", "blue"), "").ok();
    assert!(third.contains("configmap/settings configured\n"), "{third}");
    let yaml = server.run_line("get cm settings -n shop -o yaml").ok();
    assert!(
        yaml.contains("flag: \"yes\"") || yaml.contains("flag: 'yes'"),
        "{yaml}"
    );
    assert!(!yaml.contains("managedFields"), "{yaml}");
}

#[test]
fn a_conflict_names_the_fields_and_how_to_go_on() {
    let server = Server::start();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: \"1\"}\n";
    server.apply(map, "--field-manager other").ok();
    let error = server.apply(&map.replace("\"1\"", "\"2\""), "").failed(1);
    assert!(
        error.contains("other") && error.contains(".data.k") && error.contains("--force-conflicts"),
        "{error}"
    );
    assert_eq!(
        server
            .apply(&map.replace("\"1\"", "\"2\""), "--force-conflicts")
            .ok(),
        "configmap/a configured\n"
    );
}

#[test]
fn a_custom_kind_and_its_object_are_applied_in_one_go() {
    let server = Server::start();
    let text = "\
apiVersion: example.com/v1
kind: Car
metadata: {name: beetle}
spec: {wheels: 4}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cars.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: cars, singular: car, kind: Car, shortNames: [vw]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              wheels: {type: integer, description: How many there are.}
    additionalPrinterColumns: [{name: Wheels, type: integer, jsonPath: .spec.wheels}]
";
    let applied = server.apply(text, "--wait").ok();
    assert_eq!(
        applied,
        "customresourcedefinition.apiextensions.k8s.io/cars.example.com created\ncar.example.com/beetle created\n"
    );
    let table = server.run_line("get vw").ok();
    assert!(
        table.starts_with("NAME     WHEELS\nbeetle   4\n"),
        "{table}"
    );
    let text = server.run_line("explain car.spec.wheels").ok();
    assert!(
        text.contains("FIELD: wheels <integer>") && text.contains("How many there are."),
        "{text}"
    );
}

#[test]
fn tables_lists_and_names_are_as_people_know_them() {
    let server = Server::start();
    let nothing = server.run_line("get configmaps -l no=thing");
    assert_eq!(nothing.err, "No resources found in default namespace.\n");
    assert_eq!((nothing.code, nothing.out.as_str()), (0, ""));
    server.apply(APP, "").ok();
    let table = server.run_line("get deploy -n shop").ok();
    assert!(
        table.starts_with("NAME   READY   UP-TO-DATE   AVAILABLE   AGE\nweb    "),
        "{table}"
    );
    let several = server.run_line("get cm/settings deploy/web -n shop").ok();
    assert!(
        several.contains("configmap/settings   2      ") && several.contains("\n\nNAME"),
        "{several}"
    );
    assert!(several.contains("deployment.apps/web"), "{several}");
    let all = server.run_line("get cm -A -l app=web --show-labels").ok();
    assert!(all.starts_with("NAMESPACE   NAME"), "{all}");
    assert!(
        all.lines().next().unwrap().ends_with("LABELS") && all.contains("app=web"),
        "{all}"
    );
    assert_eq!(
        server
            .run_line("get deploy,cm -l app=web -n shop -o name")
            .ok(),
        "deployment.apps/web\nconfigmap/settings\n"
    );
    let columns = server
        .mos([
            "get",
            "cm",
            "-n",
            "shop",
            "-l",
            "app=web",
            "-o",
            "custom-columns=N:.metadata.name,C:.data.color",
        ])
        .ok();
    assert_eq!(columns, "N          C\nsettings   red\n");
    let json: serde_json::Value =
        serde_json::from_str(&server.run_line("get cm -n shop -l app=web -o json").ok()).unwrap();
    assert_eq!(
        (&json["kind"], &json["items"][0]["kind"]),
        (&"List".into(), &"ConfigMap".into())
    );
    // Small pages make the same list.
    let pages = server.run_line("get cm -A -o name --chunk-size=1").ok();
    assert_eq!(pages, server.run_line("get cm -A -o name").ok());
}

#[test]
fn errors_say_what_to_do_next() {
    let server = Server::start();
    let error = server.run_line("get deplyoments").failed(1);
    assert!(error.contains("did you mean `deployments`"), "{error}");
    let error = server.run_line("get cm nothing").failed(1);
    assert!(
        error.contains("configmaps \"nothing\" not found (NotFound)"),
        "{error}"
    );
    assert!(error.contains("mos get configmaps -n default"), "{error}");
    let error = server.run_line("get secrets --as nobody").failed(1);
    assert!(
        error.contains("mos auth can-i list secrets -n default"),
        "{error}"
    );
    let error = server.run_line("get cm a -A").failed(2);
    assert!(error.contains("all namespaces"), "{error}");
    let invalid = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}\n";
    let error = server.apply(invalid, "").failed(1);
    assert!(
        error.contains("metadata.name") && error.contains("standard input"),
        "{error}"
    );
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatta: {}\n";
    let error = server.apply(unknown, "").failed(1);
    assert!(error.contains("datta"), "{error}");
    assert_eq!(server.run_line("auth can-i list pods").ok(), "yes\n");
    assert!(
        server
            .run_line("auth can-i list pods --as nobody")
            .out
            .starts_with("no")
    );
    assert_eq!(
        server.run_line("auth can-i list pods --as nobody -q").code,
        1
    );
}

#[test]
fn labels_and_annotations_are_set_shown_and_removed() {
    let server = Server::start();
    server
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "")
        .ok();
    assert_eq!(
        server.run_line("label cm a x=1 y=2").ok(),
        "configmap/a labeled\n"
    );
    assert_eq!(
        server.run_line("label cm a x=1").ok(),
        "configmap/a not labeled\n"
    );
    assert!(
        server
            .run_line("label cm a x=2")
            .failed(1)
            .contains("--overwrite")
    );
    assert_eq!(
        server.run_line("label cm/a x=2 --overwrite").ok(),
        "configmap/a labeled\n"
    );
    assert_eq!(
        server.run_line("label cm -l x=2 y-").ok(),
        "configmap/a unlabeled\n"
    );
    assert_eq!(server.run_line("label cm a --list").ok(), "x=2\n");
    assert_eq!(
        server.mos(["annotate", "cm", "a", "note=a b"]).ok(),
        "configmap/a annotated\n"
    );
    assert_eq!(server.run_line("annotate cm a --list").ok(), "note=a b\n");
    server.run_line("label cm a").failed(2);
}

#[test]
fn deleting_waits_until_the_object_is_gone() {
    let server = Server::start();
    server.apply(APP, "").ok();
    assert_eq!(
        server.run_line("delete cm settings -n shop").ok(),
        "configmap \"settings\" deleted from shop namespace\n"
    );
    assert!(
        server
            .run_line("delete cm settings -n shop")
            .failed(1)
            .contains("NotFound")
    );
    assert_eq!(
        server
            .run_line("delete cm settings -n shop --ignore-not-found")
            .ok(),
        ""
    );
    server.run_line("delete cm").failed(2);
    let text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n";
    server.apply(text, "").ok();
    let error = server.run_line("delete cm held --timeout 200ms").failed(1);
    assert!(error.contains("example.com/hold"), "{error}");
    server
        .apply(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, labels: {x: y}}\n",
            "",
        )
        .ok();
    assert_eq!(
        server.run_line("delete cm -l x=y -o name").ok(),
        "configmap/b\n"
    );
}

#[test]
fn editing_applies_shows_refusals_and_joins_changes() {
    let server = Server::start();
    server
        .apply(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: old, other: x}\n",
            "",
        )
        .ok();
    let edit =
        |editor: &str| server.run(command().args(["edit", "cm/a"]).env("KUBE_EDITOR", editor));
    assert_eq!(edit("true").ok(), "");
    assert_eq!(edit("sed -i s/old/new/").ok(), "configmap/a edited\n");
    let value = |key: &str| {
        server
            .mos(["get", "cm", "a", "-o", &format!("jsonpath={{.data.{key}}}")])
            .ok()
    };
    assert_eq!(value("k"), "new");

    // The first attempt is refused; the second sees why, and puts it right.
    let log = server.file("seen", "");
    let script = server.file(
        "editor.sh",
        &format!(
            "#!/bin/sh\ncat \"$1\" >> {log}\nif grep -q '^labels-are' \"$1\" || grep -q 'bad value' \"$1\"; then sed -i 's/bad value/good/' \"$1\"; else sed -i 's/^  name: a$/  name: a\\n  labels: {{l: bad value}}/' \"$1\"; fi\n",
            log = log.display()
        ),
    );
    make_executable(&script);
    assert_eq!(edit(script.to_str().unwrap()).ok(), "configmap/a edited\n");
    let seen = std::fs::read_to_string(&log).unwrap();
    assert!(
        seen.lines()
            .any(|line| line.starts_with("# ") && line.contains("metadata.labels")),
        "{seen}"
    );

    // Somebody else changes another field while the editor is open.
    let script = server.file(
        "slow.sh",
        &format!(
            "#!/bin/sh\nsed -i 's/: new/: newer/' \"$1\"\n{} annotate cm a by=another --kubeconfig {}\n",
            common::MOS,
            server.kubeconfig().display()
        ),
    );
    make_executable(&script);
    assert!(
        edit(script.to_str().unwrap())
            .ok()
            .ends_with("configmap/a edited\n")
    );
    assert_eq!(value("k"), "newer");
    assert_eq!(server.run_line("annotate cm a --list").ok(), "by=another\n");
    assert!(edit("false").failed(1).contains("editor `false`"));
}

#[test]
fn a_watch_shows_changes_as_they_happen() {
    use std::io::{BufRead, BufReader};
    let server = Server::start();
    let mut child = command()
        .args(["get", "cm", "-l", "w=1", "-w", "-o", "name"])
        .env("KUBECONFIG", server.kubeconfig())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    server
        .apply(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {w: \"1\"}}\n",
            "",
        )
        .ok();
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/a");
    server.run_line("label cm a x=1").ok();
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/a");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn descriptions_end_with_the_events() {
    let server = Server::start();
    server.apply(APP, "").ok();
    let text = server.run_line("describe deployment/web -n shop").ok();
    assert!(
        text.starts_with("Name:") && text.contains("2 desired"),
        "{text}"
    );
    let uid = server
        .mos([
            "get",
            "deploy",
            "web",
            "-n",
            "shop",
            "-o",
            "jsonpath={.metadata.uid}",
        ])
        .ok();
    let event = format!(
        "apiVersion: v1\nkind: Event\nmetadata: {{name: web.1, namespace: shop}}\ntype: Warning\nreason: Odd\nmessage: something odd\n\
         involvedObject: {{kind: Deployment, apiVersion: apps/v1, name: web, namespace: shop, uid: {uid}}}\n"
    );
    server.apply(&event, "").ok();
    let text = server.run_line("describe deploy web -n shop").ok();
    assert!(
        text.contains("Warning") && text.contains("something odd"),
        "{text}"
    );
    let events = server
        .run_line("events --for deploy/web -n shop --types=Warning")
        .ok();
    assert!(
        events.starts_with("LAST SEEN") && events.contains("Deployment/web"),
        "{events}"
    );
    assert_eq!(
        server.run_line("events -n default --for cm/none").err,
        "No events found in default namespace.\n"
    );
}

#[test]
fn the_servers_types_are_listed() {
    let server = Server::start();
    let table = server.run_line("api-resources").ok();
    assert!(
        table.starts_with("NAME") && table.contains("deployments") && table.contains("deploy "),
        "{table}"
    );
    let names = server
        .run_line("api-resources --api-group=apps -o name")
        .ok();
    assert!(
        names.lines().any(|line| line == "deployments.apps"),
        "{names}"
    );
    assert!(
        server
            .run_line("api-versions")
            .ok()
            .lines()
            .any(|line| line == "apps/v1")
    );
    let text = server.run_line("explain deployment.spec.replicas").ok();
    assert!(text.contains("FIELD: replicas <integer>"), "{text}");
    let error = server.run_line("explain deployment.spec.replica").failed(1);
    assert!(error.contains("did you mean `replicas`"), "{error}");
}
