//! Who may do what, and what the others are told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use mosaic_tests::{Answer, Http, PatchKind, Server, ServerOptions, wait_for, wait_until};
use serde_json::{Value, json};

use crate::{config_map, config_maps};

/// A method and a path for everything that discovery lists.
fn routes(http: &Http) -> Vec<(Method, String)> {
    let mut versions = vec!["/api/v1".to_owned()];
    let groups = http.get("/apis").ok();
    for group in groups["groups"].as_array().expect("groups") {
        for version in group["versions"].as_array().expect("versions") {
            versions.push(format!(
                "/apis/{}",
                version["groupVersion"].as_str().expect("text")
            ));
        }
    }
    let mut routes = Vec::new();
    for version in versions {
        let resources = http.get(&version).ok();
        for resource in resources["resources"].as_array().expect("resources") {
            let name = resource["name"].as_str().expect("text");
            let root = match resource["namespaced"].as_bool() {
                Some(true) => format!("{version}/namespaces/rights"),
                _ => version.clone(),
            };
            let (plural, sub) = name.split_once('/').unwrap_or((name, ""));
            let collection = format!("{root}/{plural}");
            let object = match sub {
                "" => format!("{collection}/secret-thing"),
                sub => format!("{collection}/secret-thing/{sub}"),
            };
            for verb in resource["verbs"].as_array().expect("verbs") {
                routes.push(match (verb.as_str().expect("text"), sub) {
                    ("get", _) => (Method::GET, object.clone()),
                    ("list", _) => (Method::GET, collection.clone()),
                    ("watch", _) => (
                        Method::GET,
                        format!("{collection}?watch=true&timeoutSeconds=1"),
                    ),
                    ("create", "") => (Method::POST, collection.clone()),
                    ("create", _) => (Method::POST, object.clone()),
                    ("update", _) => (Method::PUT, object.clone()),
                    ("patch", _) => (Method::PATCH, object.clone()),
                    ("delete", _) => (Method::DELETE, object.clone()),
                    ("deletecollection", _) => (Method::DELETE, collection.clone()),
                    (verb, _) => panic!("{verb} of {name} is not known"),
                });
            }
        }
    }
    assert!(routes.len() > 300, "only {} routes", routes.len());
    routes
}

fn try_route(http: &Http, method: &Method, path: &str) -> Answer {
    let content = match *method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if *method == Method::GET {
        Vec::new()
    } else {
        b"{}".to_vec()
    };
    http.request(method.clone(), path, &[("content-type", content)], body)
}

/// A namespace with a secret that no answer may give away.
fn guarded(server: &Server) {
    let http = server.http();
    let namespace = json!({"metadata": {"name": "rights"}});
    http.post("/api/v1/namespaces", &namespace);
    let secret = json!({"metadata": {"name": "secret-thing"}, "stringData": {"word": "xyzzy"}});
    http.post("/api/v1/namespaces/rights/secrets", &secret);
}

fn gives_away(answer: &Answer) -> bool {
    let text = answer.text();
    text.contains("xyzzy") || text.contains(&BASE64.encode("xyzzy"))
}

/// Fails if there is any, naming the first few.
#[track_caller]
fn assert_none_open(open: &[Answer]) {
    let shown: Vec<_> = open.iter().take(10).map(ToString::to_string).collect();
    assert!(
        open.is_empty(),
        "{} are open, such as\n{}",
        open.len(),
        shown.join("\n")
    );
}

/// Paths beside those of objects.
const OTHERS: [&str; 7] = [
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/api",
    "/apis",
    "/nothing",
    "/",
];

/// Tries every route without a credential; the answers that `closed` does not accept.
fn open_to_anybody(server: &Server, closed: impl Fn(&Answer) -> bool) -> Vec<Answer> {
    guarded(server);
    let anonymous = server.anonymous();
    let answers = routes(&server.http())
        .into_iter()
        .map(|(method, path)| try_route(&anonymous, &method, &path));
    let answers = answers.chain(OTHERS.map(|path| anonymous.get(path)));
    answers
        .filter(|answer| gives_away(answer) || !closed(answer))
        .collect()
}

#[test]
fn every_route_is_closed_to_who_shows_no_credential() {
    let server = Server::start();
    // As with Kubernetes, whoever shows none is a user of that name, who has no rights to speak of.
    let open = open_to_anybody(&server, |answer| {
        let reason = answer.json()["reason"].clone();
        (answer.status == 401 && reason == "Unauthorized")
            || (answer.status == 403 && reason == "Forbidden")
    });
    assert_none_open(&open);
}

#[test]
fn every_route_is_closed_without_a_credential_where_nobody_is_anonymous() {
    let arguments = vec!["--anonymous-auth=false".to_owned()];
    let server = Server::start_with(ServerOptions {
        arguments,
        ..ServerOptions::default()
    });
    let open = open_to_anybody(&server, |answer| {
        answer.status == 401 && answer.json()["reason"] == "Unauthorized"
    });
    assert_none_open(&open);
}

#[test]
fn every_route_is_closed_to_who_lacks_the_right() {
    let server = Server::start();
    guarded(&server);
    let nobody = server.http().impersonate("nobody");
    // Anybody may ask what they themselves may do, and for a token that is worth no more than that.
    let own = [
        "registrytokens",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
    ];
    let routes = routes(&server.http()).into_iter();
    let routes = routes.filter(|(_, path)| !own.iter().any(|review| path.ends_with(review)));
    let answers = routes.map(|(method, path)| try_route(&nobody, &method, &path));
    let closed = |answer: &Answer| {
        let status = answer.json();
        let told = status["message"].as_str().unwrap_or_default();
        answer.status == 403 && !gives_away(answer) && told.contains("User \"nobody\" cannot")
    };
    let mut open: Vec<_> = answers.filter(|answer| !closed(answer)).collect();
    for path in ["/metrics", "/logs", "/debug/pprof"] {
        open.extend(Some(nobody.get(path)).filter(|answer| answer.status != 403));
    }
    assert_none_open(&open);
}

#[test]
fn a_refusal_does_not_tell_whether_the_object_is_there() {
    let server = Server::shared();
    guarded(&server);
    let nobody = server.http().impersonate("nobody");
    let text = |name: &str| {
        let answer = nobody.get(&format!("/api/v1/namespaces/rights/secrets/{name}"));
        answer.fails(403, "Forbidden")["message"]
            .as_str()
            .unwrap_or_default()
            .replace(name, "…")
    };
    assert_eq!(text("secret-thing"), text("nothing"));
    let missing = nobody
        .get("/api/v1/namespaces/no-such-namespace/secrets/a")
        .fails(403, "Forbidden");
    assert!(
        missing["message"]
            .as_str()
            .is_some_and(|text| text.contains("cannot get resource \"secrets\""))
    );
}

#[test]
fn wrong_credentials_are_no_credentials() {
    let server = Server::shared();
    for token in ["nonsense", "a.b.c"] {
        server
            .http()
            .with_token(token)
            .get("/api/v1/nodes")
            .fails(401, "Unauthorized");
    }
    let forged =
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6ZGVmYXVsdDpkZWZhdWx0In0.";
    server
        .http()
        .with_token(forged)
        .get("/api/v1/nodes")
        .fails(401, "Unauthorized");

    let own = rcgen::generate_simple_self_signed(vec!["admin".into()]).expect("a certificate");
    let stranger = server
        .http()
        .with_certificate(&own.cert.pem(), &own.signing_key.serialize_pem());
    // It may also be refused before there is any answer.
    if let Ok(answer) = stranger.try_get("/api/v1/nodes") {
        assert_eq!(answer.status, 401, "{answer}");
    }
}

/// Binds a user to a new role with these rules.
fn grant(http: &Http, namespace: &str, user: &str, rules: Value) {
    let root = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    http.post(
        &format!("{root}/roles"),
        &json!({"metadata": {"name": user}, "rules": rules}),
    )
    .ok();
    let binding = json!({
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    http.post(&format!("{root}/rolebindings"), &binding).ok();
}

#[test]
fn a_role_gives_what_it_says_and_no_more() {
    let server = Server::shared();
    let http = server.http();
    let path = config_maps(&server.namespace("roles"));
    http.post(&path, &config_map("one")).ok();
    http.post(&path, &config_map("two")).ok();
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["one"]}]);
    grant(&http, "roles", "reader", rules);
    let reader = http.impersonate("reader");
    wait_until("the right to be known", || {
        reader.get(&format!("{path}/one")).status == 200
    });
    reader.get(&format!("{path}/two")).fails(403, "Forbidden");
    reader.get(&path).fails(403, "Forbidden");
    reader
        .delete(&format!("{path}/one"))
        .fails(403, "Forbidden");
    reader
        .get(&format!("{}/one", config_maps("default")))
        .fails(403, "Forbidden");
}

#[test]
fn nobody_gives_rights_that_they_do_not_have() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("escalation");
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]);
    // All verbs would include `escalate` and `bind`: leave those out.
    let mut rules = rules;
    rules[0]["verbs"] = json!(["get", "list", "create", "update", "patch", "delete"]);
    grant(&http, "escalation", "climber", rules);
    let climber = http.impersonate("climber");
    let root = "/apis/rbac.authorization.k8s.io/v1/namespaces/escalation";
    let role = |name: &str, resource: &str| json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]});
    wait_until("the right to be known", || {
        climber.get(&format!("{root}/roles")).status == 200
    });
    climber
        .post(&format!("{root}/roles"), &role("pods", "pods"))
        .ok();
    let refused = climber
        .post(&format!("{root}/roles"), &role("secrets", "secrets"))
        .fails(403, "Forbidden");
    assert!(
        refused["message"].as_str().is_some_and(
            |text| text.contains("attempting to grant RBAC permissions not currently held")
        ),
        "{refused}"
    );
    let bind = |kind: &str, name: &str| {
        json!({
            "metadata": {"name": format!("bind-{name}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "climber"}],
        })
    };
    climber
        .post(&format!("{root}/rolebindings"), &bind("Role", "pods"))
        .ok();
    climber
        .post(
            &format!("{root}/rolebindings"),
            &bind("ClusterRole", "cluster-admin"),
        )
        .fails(403, "Forbidden");
}

#[test]
fn the_default_roles_are_those_of_kubernetes() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("default-roles");
    let root = "/apis/rbac.authorization.k8s.io/v1";
    for role in [
        "cluster-admin",
        "admin",
        "edit",
        "view",
        "system:discovery",
        "system:basic-user",
        "system:node",
    ] {
        http.get(&format!("{root}/clusterroles/{role}")).ok();
    }
    for role in ["view", "edit", "admin"] {
        let binding = json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("the-{role}")}],
        });
        http.post(
            &format!("{root}/namespaces/default-roles/rolebindings"),
            &binding,
        )
        .ok();
    }
    let path = config_maps("default-roles");
    let secrets = "/api/v1/namespaces/default-roles/secrets";
    let as_ = |role: &str| http.impersonate(&format!("the-{role}"));
    wait_until("the rights to be known", || {
        as_("admin").get(&path).status == 200
    });
    as_("view").get(&path).ok();
    as_("view").get(secrets).fails(403, "Forbidden");
    as_("view")
        .post(&path, &config_map("a"))
        .fails(403, "Forbidden");
    as_("edit").post(&path, &config_map("a")).ok();
    as_("edit").get(secrets).ok();
    as_("edit")
        .get(&format!("{root}/namespaces/default-roles/roles"))
        .fails(403, "Forbidden");
    as_("admin")
        .get(&format!("{root}/namespaces/default-roles/roles"))
        .ok();
}

#[test]
fn a_token_lives_as_long_as_what_it_is_bound_to() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("tokens");
    let accounts = "/api/v1/namespaces/tokens/serviceaccounts";
    http.post(accounts, &json!({"metadata": {"name": "robot"}}))
        .ok();
    let secret = json!({"metadata": {"name": "bound"}});
    let secret = http.post("/api/v1/namespaces/tokens/secrets", &secret).ok();
    let request = |spec: Value| {
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        http.post(&format!("{accounts}/robot/token"), &request)
    };
    let token = |spec: Value| {
        request(spec).ok()["status"]["token"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = |token: &str| {
        http.with_token(token)
            .post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)
    };

    let free = token(json!({}));
    let user = who(&free).ok();
    assert_eq!(
        user["status"]["userInfo"]["username"],
        "system:serviceaccount:tokens:robot"
    );
    assert!(
        user["status"]["userInfo"]["groups"]
            .to_string()
            .contains("system:serviceaccounts:tokens")
    );

    let bound = token(json!({"boundObjectRef": {
        "apiVersion": "v1", "kind": "Secret", "name": "bound", "uid": secret["metadata"]["uid"],
    }}));
    who(&bound).ok();
    http.delete("/api/v1/namespaces/tokens/secrets/bound").ok();
    wait_until("the bound token to end", || who(&bound).status == 401);
    who(&free).ok();

    let foreign = token(json!({"audiences": ["another"]}));
    who(&foreign).fails(401, "Unauthorized");
    request(json!({"expirationSeconds": 1})).fails(422, "Invalid");

    http.delete(&format!("{accounts}/robot")).ok();
    wait_until("the account's tokens to end", || who(&free).status == 401);
}

#[test]
fn an_approved_request_becomes_a_certificate_that_says_who_one_is() {
    let server = Server::shared();
    let http = server.http();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "jill");
    parameters
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "team-b");
    let request = parameters
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM");
    let root = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let mut object = json!({
        "metadata": {"name": "jill"},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "request": BASE64.encode(request),
        },
    });
    http.post(root, &object).ok();
    object = http.get(&format!("{root}/jill")).ok();
    assert_eq!(object["status"]["certificate"], Value::Null);
    object["status"] = json!({"conditions": [
        {"type": "Approved", "status": "True", "reason": "Known", "message": "It is Jill."},
    ]});
    http.put(&format!("{root}/jill/approval"), &object).ok();
    let certificate = wait_for("the certificate", || {
        http.get(&format!("{root}/jill")).ok()["status"]["certificate"]
            .as_str()
            .map(str::to_owned)
    });
    let certificate = String::from_utf8(BASE64.decode(certificate).expect("base64")).expect("PEM");
    let jill = http.with_certificate(&certificate, &key.serialize_pem());
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let user = jill
        .post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)
        .ok();
    assert_eq!(user["status"]["userInfo"]["username"], "jill");
    assert!(
        user["status"]["userInfo"]["groups"]
            .to_string()
            .contains("team-b")
    );
    jill.get("/api/v1/nodes").fails(403, "Forbidden");
}

#[test]
fn a_node_touches_only_what_is_its_own() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("nodes");
    for node in ["own-node", "other-node"] {
        http.post("/api/v1/nodes", &json!({"metadata": {"name": node}}))
            .ok();
    }
    for name in ["mine", "theirs"] {
        let secret = json!({"metadata": {"name": name}, "stringData": {"word": name}});
        http.post("/api/v1/namespaces/nodes/secrets", &secret).ok();
    }
    let pod = |name: &str, node: &str, secret: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "containers": [{"name": "main", "image": "example.com/app:1"}],
                "volumes": [{"name": "v", "secret": {"secretName": secret}}],
            },
        })
    };
    let pods = "/api/v1/namespaces/nodes/pods";
    http.post(pods, &pod("mine", "own-node", "mine")).ok();
    http.post(pods, &pod("theirs", "other-node", "theirs")).ok();

    let node = http.impersonate_in(
        "system:node:own-node",
        &["system:nodes", "system:authenticated"],
    );
    let secrets = "/api/v1/namespaces/nodes/secrets";
    wait_until("the node's right to its pod's secret", || {
        node.get(&format!("{secrets}/mine")).status == 200
    });
    node.get(&format!("{secrets}/theirs"))
        .fails(403, "Forbidden");
    node.get(secrets).fails(403, "Forbidden");

    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    node.patch(
        PatchKind::Strategic,
        "/api/v1/nodes/own-node/status",
        &status,
    )
    .ok();
    node.patch(
        PatchKind::Strategic,
        "/api/v1/nodes/other-node/status",
        &status,
    )
    .fails(403, "Forbidden");
    let phase = json!({"status": {"phase": "Running"}});
    node.patch(PatchKind::Merge, &format!("{pods}/mine/status"), &phase)
        .ok();
    node.patch(PatchKind::Merge, &format!("{pods}/theirs/status"), &phase)
        .fails(403, "Forbidden");
    node.delete(&format!("{pods}/theirs"))
        .fails(403, "Forbidden");
    http.delete("/api/v1/nodes/own-node").ok();
    http.delete("/api/v1/nodes/other-node").ok();
}

#[test]
fn rights_in_one_namespace_do_not_reach_another_through_its_path() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("reach-own");
    server.namespace("reach-other");
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    grant(&http, "reach-own", "reacher", everything);
    let reacher = http.impersonate("reacher");
    wait_until("the right to be known", || {
        reacher.get("/api/v1/namespaces/reach-own").status == 200
    });
    let through = "/api/v1/namespaces/reach-own/namespaces";
    let labels = json!({"metadata": {"labels": {"taken": "over"}}});
    for path in [
        format!("{through}/reach-other"),
        format!("{through}/reach-other/status"),
    ] {
        reacher.get(&path).fails(404, "NotFound");
        let patched = reacher.patch(PatchKind::Merge, &path, &labels);
        patched.fails(404, "NotFound");
    }
    reacher.get(through).fails(404, "NotFound");
    reacher
        .get(&format!("{through}?watch=true&timeoutSeconds=1"))
        .fails(404, "NotFound");
    reacher
        .post(through, &json!({"metadata": {"name": "reach-new"}}))
        .fails(404, "NotFound");
    reacher
        .delete(&format!("{through}/reach-other"))
        .fails(404, "NotFound");
    let other = http.get("/api/v1/namespaces/reach-other").ok();
    assert_eq!(other["metadata"]["labels"]["taken"], Value::Null);
    http.get("/api/v1/namespaces/reach-new")
        .fails(404, "NotFound");
}

#[test]
fn what_cannot_be_read_of_a_credential_is_refused_and_not_passed_over() {
    let server = Server::shared();
    let http = server.http();
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = |http: &Http, header: (&str, &str)| {
        http.request(
            Method::POST,
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &[("content-type", "application/json"), header],
            review.to_string().into_bytes(),
        )
    };
    let answer = who(&http, ("impersonate-user", "jürgen")).ok();
    assert_eq!(answer["status"]["userInfo"]["username"], "jürgen");
    who(&http, ("impersonate-uid", "ü")).fails(400, "BadRequest");
    let nobody = server.anonymous();
    nobody.get("/version").ok();
    let answer = nobody.request(
        Method::GET,
        "/version",
        &[("authorization", "Bearer ü")],
        Vec::new(),
    );
    answer.fails(401, "Unauthorized");
}

#[test]
fn an_update_that_creates_asks_for_the_right_to_create() {
    let server = Server::shared();
    let http = server.http();
    server.namespace("put-creates");
    let path = "/apis/coordination.k8s.io/v1/namespaces/put-creates/leases/one";
    let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"]}]);
    grant(&http, "put-creates", "updater", rules);
    let updater = http.impersonate("updater");
    wait_until("the right to be known", || updater.get(path).status == 404);
    let lease = json!({"metadata": {"name": "one"}, "spec": {"holderIdentity": "x"}});
    updater.put(path, &lease).fails(403, "Forbidden");
    http.get(path).fails(404, "NotFound");
    let created = http.put(path, &lease).ok();
    updater.put(path, &created).ok();
}

#[test]
fn a_certificate_is_approved_by_who_may_use_its_signer() {
    let server = Server::shared();
    let http = server.http();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let bind = |name: &str, rules: Value| {
        http.post(
            &format!("{rbac}/clusterroles"),
            &json!({"metadata": {"name": name}, "rules": rules}),
        )
        .ok();
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "approver"}],
        });
        http.post(&format!("{rbac}/clusterrolebindings"), &binding)
            .ok();
    };
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    bind(
        "approver",
        json!([{"apiGroups": ["certificates.k8s.io"], "verbs": ["get", "update"], "resources":
            ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"]}]),
    );
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (rcgen::DnType::CommonName, "system:node:approved"),
        (rcgen::DnType::OrganizationName, "system:nodes"),
    ] {
        parameters.distinguished_name.push(kind, value);
    }
    let request = parameters.serialize_request(&key).expect("a request");
    let mut object = json!({
        "metadata": {"name": "approved"},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["client auth"],
            "request": BASE64.encode(request.pem().expect("PEM")),
        },
    });
    // A host asks for its own name only.
    http.impersonate_in("system:node:other", &["system:nodes"])
        .post(requests, &object)
        .fails(403, "Forbidden");
    // A signer whose requests nobody approves by themselves.
    object["spec"]["signerName"] = json!("kubernetes.io/kube-apiserver-client");
    http.post(requests, &object).ok();
    let approver = http.impersonate("approver");
    let path = format!("{requests}/approved");
    wait_until("the right to be known", || {
        approver.get(&path).status == 200
    });
    object = http.get(&path).ok();
    let approved = json!([
        {"type": "Approved", "status": "True", "reason": "Test", "message": "Test"},
    ]);
    object["status"] = json!({"conditions": approved});
    let approval = format!("{path}/approval");
    approver.put(&approval, &object).fails(403, "Forbidden");
    let mut signed = http.get(&path).ok();
    signed["status"]["certificate"] = json!(BASE64.encode("x"));
    approver
        .put(&format!("{path}/status"), &signed)
        .fails(403, "Forbidden");
    bind(
        "signers",
        json!([{"apiGroups": ["certificates.k8s.io"], "verbs": ["approve"], "resources": ["signers"],
            "resourceNames": ["kubernetes.io/*"]}]),
    );
    wait_until("the approval", || {
        let mut object = http.get(&path).ok();
        object["status"]["conditions"] = approved.clone();
        approver.put(&approval, &object).status == 200
    });
    http.delete(&path).ok();
}

#[test]
fn a_node_gets_tokens_only_for_its_pods() {
    let server = Server::shared();
    let http = server.http();
    let namespace = server.namespace("node-tokens");
    let root = format!("/api/v1/namespaces/{namespace}");
    let account = json!({"metadata": {"name": "robot"}});
    http.post(&format!("{root}/serviceaccounts"), &account).ok();
    let pod = json!({
        "metadata": {"name": "app"},
        "spec": {
            "nodeName": "token-node",
            "serviceAccountName": "robot",
            "containers": [{"name": "main", "image": "example.com/app:1"}],
        },
    });
    let uid = http.post(&format!("{root}/pods"), &pod).ok()["metadata"]["uid"].clone();
    let node = |name: &str| {
        http.impersonate_in(
            &format!("system:node:{name}"),
            &["system:nodes", "system:authenticated"],
        )
    };
    let tokens = format!("{root}/serviceaccounts/robot/token");
    let bound = json!({"spec": {"boundObjectRef":
        {"apiVersion": "v1", "kind": "Pod", "name": "app", "uid": uid}}});
    wait_until("the host's right to its pod's account", || {
        node("token-node").post(&tokens, &bound).status == 201
    });
    let own = node("token-node");
    own.post(&tokens, &json!({})).fails(403, "Forbidden");
    let year = json!({"spec": {"expirationSeconds": 31_536_000}});
    own.post(&tokens, &year).fails(403, "Forbidden");
    let mut without_uid = bound.clone();
    without_uid["spec"]["boundObjectRef"]["uid"] = Value::Null;
    own.post(&tokens, &without_uid).fails(403, "Forbidden");
    node("token-other")
        .post(&tokens, &bound)
        .fails(403, "Forbidden");
}
