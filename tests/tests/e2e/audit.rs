//! What is written down of requests.

use std::fs;

use mosaic_tests::{Http, Server, ServerOptions, wait_for};
use serde_json::{Value, json};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

struct Audited {
    server: Server,
    log: std::path::PathBuf,
}

impl Audited {
    /// A server that writes everything down as a policy says.
    fn start(policy: &Value) -> (Self, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, rules) = (
            directory.path().join("audit.log"),
            directory.path().join("policy.yaml"),
        );
        fs::write(&rules, policy.to_string()).expect("written");
        let argument = |name: &str, path: &std::path::Path| format!("--{name}={}", path.display());
        let server = Server::start_with(ServerOptions {
            arguments: vec![
                argument("audit-log", &log),
                argument("audit-policy", &rules),
            ],
            ..ServerOptions::default()
        });
        (Self { server, log }, directory)
    }

    fn http(&self) -> Http {
        self.server.http()
    }

    /// The event of the request with this address.
    fn event(&self, uri: &str) -> Value {
        wait_for(&format!("the event of {uri}"), || {
            let log = fs::read_to_string(&self.log).ok()?;
            log.lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|event| event["requestURI"] == uri)
        })
    }
}

fn policy(level: &str) -> Value {
    json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": level}]})
}

#[test]
fn an_event_says_who_from_where_and_whether_they_might() {
    let (audited, _directory) = Audited::start(&policy("Metadata"));
    let admin = audited.http();

    let uri = format!("{SECRETS}?limit=1");
    let answer = admin.get(&uri);
    answer.ok();
    let event = audited.event(&uri);
    assert_eq!(
        event["auditID"],
        answer.headers["audit-id"].to_str().expect("text")
    );
    assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]));
    assert_eq!(event["verb"], "list");
    assert_eq!(event["stage"], "ResponseComplete");
    assert_eq!(event["responseStatus"]["code"], 200);
    assert_eq!(
        event["annotations"]["authorization.k8s.io/decision"],
        "allow"
    );
    assert_eq!(event.get("impersonatedUser"), None);

    let uri = format!("{SECRETS}?limit=2");
    admin.impersonate("eve").get(&uri).fails(403, "Forbidden");
    let event = audited.event(&uri);
    assert_eq!(event["impersonatedUser"]["username"], "eve");
    assert_ne!(event["user"]["username"], "eve");
    assert_eq!(
        event["annotations"]["authorization.k8s.io/decision"],
        "forbid"
    );
    assert_eq!(event["responseStatus"]["reason"], "Forbidden");

    // Who may not act as another stands there as who they are.
    let uri = format!("{SECRETS}?limit=3");
    audited
        .server
        .anonymous()
        .impersonate("admin")
        .get(&uri)
        .fails(403, "Forbidden");
    let event = audited.event(&uri);
    assert_eq!(event["user"]["username"], "system:anonymous");
    assert_eq!(event["responseStatus"]["code"], 403);

    // A wrong credential is nobody's.
    let uri = format!("{SECRETS}?limit=4");
    audited
        .server
        .anonymous()
        .with_token("wrong")
        .get(&uri)
        .fails(401, "Unauthorized");
    let event = audited.event(&uri);
    assert_eq!(event["user"], json!({}));
    assert_eq!(event["responseStatus"]["code"], 401);
    assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]));

    // A watch goes on: what is written down is its start.
    let uri = format!("{SECRETS}?watch=true&timeoutSeconds=1");
    assert_eq!(admin.get(&uri).status, 200);
    assert_eq!(audited.event(&uri)["stage"], "ResponseStarted");
}

#[test]
fn a_policy_may_ask_for_bodies_but_never_those_of_secrets() {
    let (audited, _directory) = Audited::start(&policy("RequestResponse"));
    let admin = audited.http();

    let uri = "/api/v1/namespaces/default/configmaps?fieldManager=audited";
    let sent = json!({"metadata": {"name": "told"}, "data": {"a": "1"}});
    let stored = admin.post(uri, &sent).ok();
    let event = audited.event(uri);
    assert_eq!(event["requestObject"]["data"], sent["data"]);
    assert_eq!(
        event["responseObject"]["metadata"]["uid"],
        stored["metadata"]["uid"]
    );

    let uri = format!("{SECRETS}?fieldManager=audited");
    let sent = json!({"metadata": {"name": "untold"}, "stringData": {"word": "xyzzy"}});
    admin.post(&uri, &sent).ok();
    let event = audited.event(&uri);
    assert_eq!(event["level"], "Metadata");
    assert!(!event.to_string().contains("xyzzy"), "{event}");
}
