//! What is written down of requests, and how.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, os::unix::fs::PermissionsExt};

use mosaic_auth::{
    Attributes, Decision, Reason, User,
    audit::{AuditEvent, AuditLog, AuditLogOptions, AuditPolicy, Level, Stage, new_audit_id},
};
use serde_json::{Value, json};

fn resource<'a>(user: &'a User, verb: &'a str, what: &'a str) -> Attributes<'a> {
    let mut parts = what.splitn(3, '/');
    let (group, resource) = (parts.next().unwrap(), parts.next().unwrap());
    Attributes {
        subresource: parts.next().unwrap_or_default(),
        namespace: "shop",
        name: "x",
        ..Attributes::resource(user, verb, group, resource)
    }
}

#[test]
fn the_built_in_policy_writes_writes_and_looks_at_secrets() {
    let policy = AuditPolicy::default();
    let alice = User::new("alice", ["devs"]);
    let node = User::new("system:node:n1", ["system:nodes"]);
    let level =
        |user: &User, verb: &str, what: &str| policy.decide(&resource(user, verb, what)).level;
    assert_eq!(level(&alice, "create", "apps/deployments"), Level::Metadata);
    assert_eq!(level(&alice, "delete", "/secrets"), Level::Metadata);
    assert_eq!(level(&alice, "get", "/secrets"), Level::Metadata);
    assert_eq!(level(&alice, "get", "/pods/exec"), Level::Metadata);
    assert_eq!(level(&alice, "list", "/pods"), Level::None);
    assert_eq!(level(&alice, "create", "/events"), Level::None);
    assert_eq!(
        level(&node, "update", "coordination.k8s.io/leases"),
        Level::None
    );
    assert_eq!(level(&node, "patch", "/nodes/status"), Level::None);
    assert_eq!(level(&node, "get", "/secrets"), Level::None);
    assert_eq!(level(&node, "delete", "/pods"), Level::Metadata);
    assert_eq!(
        level(&alice, "create", "/serviceaccounts/token"),
        Level::Metadata
    );
    for path in [
        "/healthz",
        "/livez/ping",
        "/readyz",
        "/metrics",
        "/openapi/v3",
        "/apis",
    ] {
        assert_eq!(
            policy.decide(&Attributes::path(&alice, "get", path)).level,
            Level::None,
            "{path}"
        );
    }
    let decision = policy.decide(&resource(&alice, "create", "/pods"));
    assert!(decision.omit_managed_fields && decision.writes(Stage::ResponseComplete));
    assert!(!decision.writes(Stage::RequestReceived));
}

#[test]
fn the_first_rule_that_matches_counts() {
    let policy = AuditPolicy::parse(
        r#"{
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"] },
            { "level": "RequestResponse", "namespaces": ["shop"],
              "resources": [{ "group": "", "resources": ["configmaps"], "resourceNames": ["x"] }] },
            { "level": "Request", "resources": [{ "group": "apps", "resources": ["*/scale", "deployments/*"] }],
              "omitStages": ["ResponseStarted"], "omitManagedFields": true },
            { "level": "RequestResponse", "userGroups": ["ops"] },
            { "level": "Metadata", "nonResourceURLs": ["/logs*"] }
        ] }"#,
    )
    .unwrap();
    let alice = User::new("alice", ["devs"]);
    let ops = User::new("bob", ["ops"]);
    let proxy = User::new("system:kube-proxy", ["ops"]);
    let level =
        |user: &User, verb: &str, what: &str| policy.decide(&resource(user, verb, what)).level;
    assert_eq!(level(&proxy, "watch", "/services"), Level::None);
    assert_eq!(level(&proxy, "get", "/services"), Level::RequestResponse);
    assert_eq!(level(&alice, "get", "/configmaps"), Level::RequestResponse);
    assert_eq!(level(&alice, "get", "/configmaps/status"), Level::None);
    assert_eq!(
        level(&alice, "update", "apps/statefulsets/scale"),
        Level::Request
    );
    assert_eq!(level(&alice, "update", "apps/deployments"), Level::Request);
    assert_eq!(
        level(&alice, "update", "apps/deployments/status"),
        Level::Request
    );
    assert_eq!(level(&alice, "update", "apps/statefulsets"), Level::None);
    assert_eq!(
        policy
            .decide(&Attributes::path(&alice, "get", "/logs/x"))
            .level,
        Level::Metadata
    );
    assert_eq!(
        policy
            .decide(&Attributes::path(&alice, "get", "/version"))
            .level,
        Level::None
    );
    let decision = policy.decide(&resource(&alice, "update", "apps/deployments"));
    assert_eq!(
        decision.omit_stages,
        [Stage::RequestReceived, Stage::ResponseStarted]
    );
    assert!(decision.omit_managed_fields);
    // No policy writes a secret down.
    for what in [
        "/secrets",
        "/serviceaccounts/token",
        "authentication.k8s.io/tokenreviews",
        "/pods/exec",
    ] {
        assert_eq!(level(&ops, "create", what), Level::Metadata, "{what}");
    }
    assert_eq!(level(&ops, "create", "/pods"), Level::RequestResponse);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    for (text, why) in [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        (
            "{apiVersion: v1, kind: Policy, rules: [{level: None}]}",
            "apiVersion",
        ),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy}", "no rules"),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{}]}",
            "no level",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: All}]}",
            "cannot be read",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, user: [a]}]}",
            "cannot be read",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, namespaces: [a], nonResourceURLs: [/]}]}",
            "two rules",
        ),
    ] {
        let error = AuditPolicy::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error} for {text}");
    }
    assert!(AuditPolicy::parse(&" ".repeat(2 << 20)).is_err());
}

fn event<'a>(
    user: &'a User,
    decision: &'a Decision,
    body: &'a Value,
    level: Level,
) -> AuditEvent<'a> {
    AuditEvent {
        level,
        stage: Stage::ResponseComplete,
        audit_id: "id-1",
        request_uri: "/api/v1/namespaces/shop/pods?token=abc&limit=5",
        attributes: resource(user, "create", "/pods"),
        api_version: "v1",
        impersonator: None,
        source_ips: &[],
        user_agent: "kubectl/v1.37",
        decision: Some(decision),
        code: Some(201),
        status: None,
        request_object: Some(body),
        response_object: Some(body),
        omit_managed_fields: true,
        received_at: 1_800_000_000_123_456,
        stage_at: 1_800_000_000_200_000,
    }
}

#[test]
fn an_event_is_one_line_in_kubernetes_form() {
    let mut user = User::new("alice", ["devs"]);
    user.extra.insert("k".to_owned(), vec!["v".to_owned()]);
    let decision = Decision::allow(Reason::Text("because\nof this".to_owned()));
    let body = json!({ "metadata": { "name": "x", "managedFields": [1] }, "items": [{ "metadata": { "managedFields": [] } }] });
    let line = event(&user, &decision, &body, Level::Request).to_line();
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let read: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        read,
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "id-1",
            "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/shop/pods?token=REDACTED&limit=5",
            "verb": "create",
            "user": { "username": "alice", "groups": ["devs"], "extra": { "k": ["v"] } },
            "userAgent": "kubectl/v1.37",
            "objectRef": { "resource": "pods", "namespace": "shop", "name": "x", "apiVersion": "v1" },
            "responseStatus": { "metadata": {}, "code": 201 },
            "requestObject": { "metadata": { "name": "x" }, "items": [{ "metadata": {} }] },
            "requestReceivedTimestamp": "2027-01-15T08:00:00.123456Z",
            "stageTimestamp": "2027-01-15T08:00:00.200000Z",
            "annotations": {
                "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "because\nof this",
            },
        })
    );
    let metadata = event(&user, &decision, &body, Level::Metadata).to_value();
    assert!(metadata.get("requestObject").is_none() && metadata.get("responseObject").is_none());
    let everything = event(&user, &decision, &body, Level::RequestResponse).to_value();
    assert!(everything.get("responseObject").is_some());
    let root = User::new("root", ["system:masters"]);
    let as_other = AuditEvent {
        impersonator: Some(&root),
        ..event(&user, &decision, &body, Level::Metadata)
    };
    let as_other = as_other.to_value();
    assert_eq!(as_other["user"]["username"], "root");
    assert_eq!(as_other["impersonatedUser"]["username"], "alice");
    let long = "ü".repeat(2000);
    let long = AuditEvent {
        user_agent: &long,
        ..event(&user, &decision, &body, Level::Metadata)
    };
    assert_eq!(long.to_value()["userAgent"].as_str().unwrap().len(), 1024);
    assert_ne!(new_audit_id(), new_audit_id());
}

fn lines(path: &std::path::Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn events_are_in_the_file_in_their_order_after_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let log = AuditLog::open(AuditLogOptions::new(&path)).unwrap();
    for number in 0..1000 {
        assert!(log.record(format!("{{\"n\":{number}}}\n").into_bytes()));
    }
    log.flush();
    let expected: Vec<String> = (0..1000)
        .map(|number| format!("{{\"n\":{number}}}"))
        .collect();
    assert_eq!(lines(&path), expected);
    assert_eq!(log.stats().written, 1000);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // A server that starts again goes on in the same file, and its end writes what waits.
    drop(log);
    let log = AuditLog::open(AuditLogOptions::new(&path)).unwrap();
    assert!(log.record(b"{\"n\":1000}\n".to_vec()));
    drop(log);
    assert_eq!(lines(&path).len(), 1001);
}

#[test]
fn full_files_are_put_aside_and_the_oldest_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let options = AuditLogOptions {
        max_bytes: 100,
        max_files: 2,
        ..AuditLogOptions::new(&path)
    };
    let log = AuditLog::open(options).unwrap();
    for number in 0..50 {
        log.record(format!("{number:019}\n").into_bytes());
    }
    log.flush();
    let numbers = |name: &str| -> Vec<u32> {
        lines(&directory.path().join(name))
            .iter()
            .map(|line| line.parse().unwrap())
            .collect()
    };
    assert_eq!(numbers("audit.log"), [45, 46, 47, 48, 49]);
    assert_eq!(numbers("audit.log.1"), [40, 41, 42, 43, 44]);
    assert_eq!(numbers("audit.log.2"), [35, 36, 37, 38, 39]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn what_cannot_wait_is_dropped_and_the_gap_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let options = AuditLogOptions {
        queue_bytes: 64,
        ..AuditLogOptions::new(&path)
    };
    let log = AuditLog::open(options).unwrap();
    let huge = vec![b'x'; 100];
    assert!(!log.record(huge.clone()) && !log.record(huge));
    assert_eq!(log.stats().dropped, 2);
    assert!(log.record(b"{}\n".to_vec()));
    drop(log);
    let written = lines(&path);
    let gap: Value = serde_json::from_str(&written[0]).unwrap();
    assert_eq!(gap["annotations"]["audit.mosaic/lost-events"], "2");
    assert_eq!(written.last().unwrap(), "{}");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    assert!(AuditLog::open(AuditLogOptions::new(directory.path())).is_err());
}

#[test]
fn a_full_disk_loses_events_but_not_the_server() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let log = AuditLog::open(AuditLogOptions::new("/dev/full")).unwrap();
    for _ in 0..100 {
        log.record(b"{}\n".to_vec());
        log.flush();
    }
    assert!(log.stats().failed > 0);
}
