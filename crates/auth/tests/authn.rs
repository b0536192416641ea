//! From credentials to users.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use mosaic_auth::{
    User,
    authn::{
        Authenticator, AuthnError, BootstrapSecrets, BoundKind, BoundObjects, BoundRef,
        Credentials, DEFAULT_ISSUER, Impersonation, ImpersonationError, IssuedToken,
        ServiceAccountTokens, TokenIssuer, TokenSpec, bearer_token, client_identity,
        websocket_token,
    },
    pki::{Authority, SigningKey},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

/// What the server's cache would know.
#[derive(Default)]
struct Objects {
    uids: RefCell<HashMap<String, String>>,
    deletions: RefCell<HashMap<String, i64>>,
    secrets: RefCell<HashMap<String, Arc<Value>>>,
}

impl Objects {
    fn set(&self, key: &str, uid: &str) {
        self.uids
            .borrow_mut()
            .insert(key.to_owned(), uid.to_owned());
    }

    fn remove(&self, key: &str) {
        self.uids.borrow_mut().remove(key);
    }
}

impl BoundObjects for Objects {
    fn uid_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<String> {
        self.uids
            .borrow()
            .get(&format!("{kind:?}/{namespace}/{name}"))
            .cloned()
    }

    fn deletion_of(&self, kind: BoundKind, namespace: &str, name: &str) -> Option<i64> {
        self.deletions
            .borrow()
            .get(&format!("{kind:?}/{namespace}/{name}"))
            .copied()
    }
}

impl BootstrapSecrets for Objects {
    fn bootstrap_secret(&self, name: &str) -> Option<Arc<Value>> {
        self.secrets.borrow().get(name).cloned()
    }
}

struct Cluster {
    authority: Authority,
    issuer: TokenIssuer,
    authenticator: Authenticator,
    objects: Objects,
}

fn cluster() -> Cluster {
    cluster_of(Authority::generate(NOW).unwrap())
}

fn cluster_of(authority: Authority) -> Cluster {
    let issuer = TokenIssuer::new(&authority, DEFAULT_ISSUER, Vec::new());
    let tokens = Arc::new(ServiceAccountTokens::new(
        &authority,
        DEFAULT_ISSUER,
        Vec::new(),
    ));
    let authenticator = Authenticator::new(tokens, true);
    let objects = Objects::default();
    objects.set("ServiceAccount/shop/robot", "sa-1");
    objects.set("Pod/shop/web", "pod-1");
    Cluster {
        authority,
        issuer,
        authenticator,
        objects,
    }
}

fn spec() -> TokenSpec {
    TokenSpec {
        namespace: "shop".to_owned(),
        name: "robot".to_owned(),
        uid: "sa-1".to_owned(),
        ..TokenSpec::default()
    }
}

fn reference(name: &str, uid: &str) -> BoundRef {
    BoundRef {
        name: name.to_owned(),
        uid: uid.to_owned(),
    }
}

impl Cluster {
    fn issue(&self, spec: &TokenSpec) -> IssuedToken {
        self.issuer.issue(spec, NOW).unwrap()
    }

    fn login(&self, token: &str, now: i64) -> Result<Arc<User>, AuthnError> {
        let header = format!("Bearer {token}");
        let credentials = Credentials {
            authorization: Some(&header),
            ..Credentials::default()
        };
        self.authenticator
            .authenticate(&credentials, &self.objects, now)
    }

    fn refusal(&self, token: &str, now: i64) -> String {
        self.login(token, now).unwrap_err().to_string()
    }
}

#[test]
fn a_token_is_its_service_account() {
    let cluster = cluster();
    let issued = cluster.issue(&TokenSpec {
        bound: Some((BoundKind::Pod, reference("web", "pod-1"))),
        node: Some(reference("n1", "node-1")),
        ..spec()
    });
    assert_eq!(issued.expires_at, NOW + 3600);
    let user = cluster.login(&issued.token, NOW).unwrap();
    assert_eq!(user.name, "system:serviceaccount:shop:robot");
    assert_eq!(user.uid, "sa-1");
    assert_eq!(
        user.groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:shop",
            "system:authenticated"
        ]
    );
    let extra = |key: &str| user.extra[&format!("authentication.kubernetes.io/{key}")].join(",");
    assert_eq!(extra("pod-name"), "web");
    assert_eq!(extra("pod-uid"), "pod-1");
    assert_eq!(extra("node-name"), "n1");
    assert_eq!(extra("credential-id"), format!("JTI={}", issued.id));
    // The claims are Kubernetes'.
    let claims = BASE64_URL_SAFE_NO_PAD
        .decode(issued.token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], DEFAULT_ISSUER);
    assert_eq!(claims["aud"], json!([DEFAULT_ISSUER]));
    assert_eq!(claims["sub"], "system:serviceaccount:shop:robot");
    assert_eq!(
        claims["kubernetes.io"],
        json!({
            "namespace": "shop",
            "serviceaccount": { "name": "robot", "uid": "sa-1" },
            "pod": { "name": "web", "uid": "pod-1" },
            "node": { "name": "n1", "uid": "node-1" },
        })
    );
}

#[test]
fn a_token_ends_when_it_says() {
    let cluster = cluster();
    let issued = cluster.issue(&TokenSpec {
        expiration_seconds: Some(600),
        ..spec()
    });
    assert!(cluster.login(&issued.token, NOW + 599).is_ok());
    assert!(
        cluster
            .refusal(&issued.token, NOW + 600)
            .contains("expired")
    );
    assert!(
        cluster.login(&issued.token, NOW - 30).is_ok(),
        "another server's clock may be late"
    );
    assert!(
        cluster
            .refusal(&issued.token, NOW - 3600)
            .contains("not valid yet")
    );
    for (seconds, why) in [
        (599, "less than 10 minutes"),
        (-1, "less than 10"),
        ((1 << 32) + 1, "larger than 2^32"),
    ] {
        let spec = TokenSpec {
            expiration_seconds: Some(seconds),
            ..spec()
        };
        assert!(
            cluster
                .issuer
                .issue(&spec, NOW)
                .unwrap_err()
                .to_string()
                .contains(why)
        );
    }
    let long = cluster.issue(&TokenSpec {
        expiration_seconds: Some(1 << 32),
        ..spec()
    });
    assert_eq!(long.expires_at, NOW + 365 * 24 * 3600);
}

#[test]
fn a_token_lives_no_longer_than_what_it_is_bound_to() {
    let cluster = cluster();
    let plain = cluster.issue(&spec()).token;
    let bound = TokenSpec {
        bound: Some((BoundKind::Pod, reference("web", "pod-1"))),
        ..spec()
    };
    let bound = cluster.issue(&bound).token;
    // Each token is used before, so that a remembered one is held to its bindings, too.
    assert!(cluster.login(&plain, NOW).is_ok() && cluster.login(&bound, NOW).is_ok());
    cluster
        .objects
        .deletions
        .borrow_mut()
        .insert("Pod/shop/web".to_owned(), NOW);
    assert!(
        cluster.login(&bound, NOW + 60).is_ok(),
        "a pod may finish its work"
    );
    assert!(
        cluster
            .refusal(&bound, NOW + 61)
            .contains("pod shop/web has been deleted")
    );
    cluster.objects.deletions.borrow_mut().clear();
    cluster.objects.set("Pod/shop/web", "pod-2");
    assert!(
        cluster
            .refusal(&bound, NOW)
            .contains("pod UID (pod-2) does not match claim (pod-1)")
    );
    cluster.objects.remove("Pod/shop/web");
    assert!(
        cluster
            .refusal(&bound, NOW)
            .contains("pod shop/web has been deleted")
    );
    assert!(cluster.login(&plain, NOW).is_ok());
    cluster.objects.set("ServiceAccount/shop/robot", "sa-2");
    assert!(cluster.refusal(&plain, NOW).contains("service account UID"));
    for (kind, name) in [
        (BoundKind::Secret, "Secret/shop/x"),
        (BoundKind::Node, "Node//x"),
    ] {
        cluster.objects.set("ServiceAccount/shop/robot", "sa-1");
        cluster.objects.set(name, "x-1");
        let token = cluster
            .issue(&TokenSpec {
                bound: Some((kind, reference("x", "x-1"))),
                ..spec()
            })
            .token;
        assert!(cluster.login(&token, NOW).is_ok());
        cluster.objects.remove(name);
        assert!(cluster.login(&token, NOW).is_err(), "{name}");
    }
}

#[test]
fn a_token_is_for_its_audience() {
    let cluster = cluster();
    let token = cluster
        .issue(&TokenSpec {
            audiences: vec!["vault".to_owned()],
            ..spec()
        })
        .token;
    assert!(cluster.refusal(&token, NOW).contains("audiences"));
    let review = |token: &str, audiences: &[&str]| {
        let audiences: Vec<String> = audiences
            .iter()
            .map(|audience| (*audience).to_owned())
            .collect();
        cluster
            .authenticator
            .review(token, &audiences, &cluster.objects, NOW)
    };
    let status = review(&token, &["other", "vault"]);
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["audiences"], json!(["vault"]));
    assert_eq!(
        status["user"]["username"],
        "system:serviceaccount:shop:robot"
    );
    assert_eq!(review(&token, &[]).get("authenticated"), None);
    assert!(
        review(&token, &["other"])["error"]
            .as_str()
            .unwrap()
            .contains("audiences")
    );
    assert_eq!(review("nonsense", &[])["error"], "invalid bearer token");
    assert!(
        cluster
            .issuer
            .issue(
                &TokenSpec {
                    audiences: vec![String::new()],
                    ..spec()
                },
                NOW
            )
            .is_err(),
        "no audience is not any audience"
    );
}

#[test]
fn a_pass_stands_for_its_user_and_only_where_it_is_for() {
    let cluster = cluster();
    let ada = User::new("ada", ["team-a", "system:authenticated"]);
    let pass = cluster.issuer.issue_pass(&ada, "registry", NOW).unwrap();
    assert!(cluster.refusal(&pass.token, NOW).contains("audiences"));
    let at_the_registry = |token: &str, now| {
        let credentials = Credentials {
            token: Some(token),
            audience: Some("registry"),
            ..Credentials::default()
        };
        cluster
            .authenticator
            .authenticate(&credentials, &cluster.objects, now)
    };
    assert_eq!(*at_the_registry(&pass.token, NOW).unwrap(), ada);
    assert!(at_the_registry(&pass.token, pass.expires_at).is_err());
    // What is good at the API is good at the registry too.
    let account = cluster.issue(&spec()).token;
    let robot = at_the_registry(&account, NOW).unwrap();
    assert_eq!(robot.name, "system:serviceaccount:shop:robot");
    let own = cluster.issuer.issue_pass(&ada, DEFAULT_ISSUER, NOW);
    assert!(own.is_err(), "a pass for the API itself");
}

#[test]
fn a_password_is_taken_from_the_header_of_basic_authentication() {
    use mosaic_auth::authn::basic_password;
    // user:pass:word
    assert_eq!(
        basic_password("Basic dXNlcjpwYXNzOndvcmQ=").as_deref(),
        Some("pass:word")
    );
    assert_eq!(basic_password("basic dXNlcjo=").as_deref(), Some(""));
    for bad in ["", "Basic", "Basic !", "Basic dXNlcg==", "Bearer dXNlcjpw"] {
        assert_eq!(basic_password(bad), None, "{bad}");
    }
}

#[test]
fn tokens_of_older_keys_hold_until_the_key_is_gone() {
    let before = cluster();
    let old = before.issue(&spec()).token;
    assert!(before.login(&old, NOW).is_ok());
    let mut bundle = before.authority.to_bundle();
    bundle.service_account_key = SigningKey::generate().unwrap().to_pem();
    bundle.old_service_account_keys = vec![before.authority.token_key().public().to_pem()];
    let both = cluster_of(Authority::from_bundle(&bundle).unwrap());
    let new = both.issue(&spec()).token;
    assert!(both.login(&old, NOW).is_ok() && both.login(&new, NOW).is_ok());
    bundle.old_service_account_keys.clear();
    let after = cluster_of(Authority::from_bundle(&bundle).unwrap());
    assert!(after.refusal(&old, NOW).contains("unknown key"));
    assert!(after.login(&new, NOW).is_ok());
}

fn encode(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn forged_tokens_are_refused() {
    let cluster = cluster();
    let token = cluster.issue(&spec()).token;
    let mut parts = token.split('.');
    let (_, claims, signature) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let kid = cluster.authority.token_key().public().id();
    for alg in ["none", "HS256", "ES384", "RS256", "es256", ""] {
        let header = encode(&json!({ "alg": alg, "kid": kid }));
        for signature in [signature, ""] {
            assert!(
                cluster
                    .login(&format!("{header}.{claims}.{signature}"), NOW)
                    .is_err(),
                "{alg}"
            );
        }
    }
    let stranger = Authority::generate(NOW).unwrap();
    let theirs = TokenIssuer::new(&stranger, DEFAULT_ISSUER, Vec::new())
        .issue(&spec(), NOW)
        .unwrap()
        .token;
    assert!(cluster.refusal(&theirs, NOW).contains("unknown key"));
    // Their signature under our key's id.
    let (_, rest) = theirs.split_once('.').unwrap();
    let forged = format!("{}.{rest}", encode(&json!({ "alg": "ES256", "kid": kid })));
    assert!(cluster.refusal(&forged, NOW).contains("signature"));
    let other_issuer = TokenIssuer::new(
        &cluster.authority,
        "https://other",
        vec![DEFAULT_ISSUER.to_owned()],
    );
    assert!(
        cluster
            .refusal(&other_issuer.issue(&spec(), NOW).unwrap().token, NOW)
            .contains("issuer")
    );
    for nonsense in [
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        &"x".repeat(20_000),
        &format!("{token}.x"),
    ] {
        let refusal = cluster.refusal(nonsense, NOW);
        assert!(
            refusal.contains("invalid bearer token") || refusal.contains("too long"),
            "{refusal}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_token_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        thread_local!(static CLUSTER: Cluster = cluster());
        CLUSTER.with(|cluster| {
            let token = cluster.issue(&spec()).token;
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == token || cluster.login(&changed, NOW).is_err(), "{changed}");
            prop_assert!(cluster.login(&token, NOW).is_ok());
            Ok(())
        })?;
    }

    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let cluster = cluster();
        let credentials = Credentials { authorization: Some(&text), ..Credentials::default() };
        prop_assert!(cluster.authenticator.authenticate(&credentials, &cluster.objects, NOW).is_err());
        let _ = websocket_token(&text);
    }
}

#[test]
fn certificates_come_first_and_what_is_wrong_is_never_anonymous() {
    let cluster = cluster();
    let issued = cluster
        .authority
        .issue_client("alice", &["devs"], 365)
        .unwrap();
    let now = jiff::Timestamp::now().as_second();
    let good = client_identity(&cluster.authority, &[issued.der().clone()], now);
    let stranger = Authority::generate(now).unwrap();
    let bad = client_identity(&stranger, &[issued.der().clone()], now);
    let none = Ok(None);
    let token = format!(
        "bearer {}",
        cluster.issuer.issue(&spec(), now).unwrap().token
    );
    let login = |certificate, authorization| {
        let credentials = Credentials {
            certificate,
            authorization,
            token: None,
            audience: None,
        };
        cluster
            .authenticator
            .authenticate(&credentials, &cluster.objects, now)
    };
    let robot = "system:serviceaccount:shop:robot";
    assert_eq!(login(Some(&good), Some(&token)).unwrap().name, "alice");
    assert_eq!(login(Some(&bad), Some(&token)).unwrap().name, robot);
    assert_eq!(login(Some(&none), Some(&token)).unwrap().name, robot);
    assert_eq!(*login(None, None).unwrap(), User::anonymous());
    assert_eq!(login(Some(&none), None).unwrap().name, "system:anonymous");
    assert!(
        login(Some(&bad), None)
            .unwrap_err()
            .to_string()
            .starts_with("x509: ")
    );
    assert!(login(None, Some("Bearer x")).is_err());
    assert!(login(None, Some("Basic dXNlcjpwYXNz")).is_err());
    let strict = Authenticator::new(Arc::clone(cluster.authenticator.tokens()), false);
    assert!(matches!(
        strict.authenticate(&Credentials::default(), &cluster.objects, now),
        Err(AuthnError::Missing)
    ));
}

#[test]
fn bearer_tokens_are_found_in_headers() {
    assert_eq!(bearer_token("Bearer abc"), Some("abc"));
    assert_eq!(bearer_token("bearer  abc "), Some("abc"));
    for other in ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "abc"] {
        assert_eq!(bearer_token(other), None, "{other:?}");
    }
    let hidden = format!(
        "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{}",
        BASE64_URL_SAFE_NO_PAD.encode("abc")
    );
    assert_eq!(websocket_token(&hidden).as_deref(), Some("abc"));
    assert_eq!(websocket_token("v5.channel.k8s.io"), None);
}

fn bootstrap_secret(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut data = serde_json::Map::new();
    for (key, value) in [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("expiration", "2030-01-01T00:00:00Z"),
        (
            "auth-extra-groups",
            "system:bootstrappers:workers,system:bootstrappers:room-2",
        ),
    ] {
        data.insert(key.to_owned(), json!(value));
    }
    change(&mut data);
    for value in data.values_mut() {
        *value = json!(BASE64_STANDARD.encode(value.as_str().unwrap()));
    }
    json!({
        "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": { "namespace": "kube-system", "name": "bootstrap-token-abcdef" },
        "data": data,
    })
}

#[test]
fn a_bootstrap_token_is_a_host_to_be() {
    let cluster = cluster();
    let put = |secret: Value| {
        cluster
            .objects
            .secrets
            .borrow_mut()
            .insert("bootstrap-token-abcdef".to_owned(), Arc::new(secret));
    };
    let token = "abcdef.0123456789abcdef";
    assert_eq!(cluster.refusal(token, NOW), "invalid bearer token");
    put(bootstrap_secret(|_| {}));
    let user = cluster.login(token, NOW).unwrap();
    assert_eq!(user.name, "system:bootstrap:abcdef");
    assert_eq!(
        user.groups,
        [
            "system:bootstrappers",
            "system:bootstrappers:workers",
            "system:bootstrappers:room-2",
            "system:authenticated"
        ]
    );
    assert_eq!(
        cluster.refusal("abcdef.0123456789abcdee", NOW),
        "invalid bearer token"
    );
    assert_eq!(
        cluster
            .authenticator
            .review(token, &[], &cluster.objects, NOW)["authenticated"],
        true
    );
    let foreign = cluster
        .authenticator
        .review(token, &["vault".to_owned()], &cluster.objects, NOW);
    assert_eq!(foreign.get("authenticated"), None);
    let set = |key: &'static str, value: &'static str| {
        bootstrap_secret(move |data| {
            data.insert(key.to_owned(), json!(value));
        })
    };
    for (secret, why) in [
        (set("expiration", "2020-01-01T00:00:00Z"), "has expired"),
        (set("expiration", "soon"), "cannot be read"),
        (
            set("usage-bootstrap-authentication", "false"),
            "not for authentication",
        ),
        (set("auth-extra-groups", "system:masters"), "extra group"),
        (
            set("auth-extra-groups", "system:bootstrappers:"),
            "extra group",
        ),
        (set("token-id", "abcdee"), "invalid bearer token"),
        (set("token-secret", ""), "invalid bearer token"),
    ] {
        put(secret);
        let refusal = cluster.refusal(token, NOW);
        assert!(refusal.contains(why), "{refusal} for {why}");
        assert!(!refusal.contains("0123456789abcdef"));
    }
    let mut other = bootstrap_secret(|_| {});
    other["type"] = json!("Opaque");
    put(other);
    assert!(cluster.login(token, NOW).is_err());
}

#[test]
fn impersonation_asks_for_every_right_that_it_takes() {
    let headers = [
        ("Impersonate-User", "alice"),
        ("impersonate-group", "devs"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "u1"),
        ("Impersonate-Extra-Acme.com%2FProject", "p1"),
        ("Accept", "*/*"),
    ];
    let found = Impersonation::parse(headers).unwrap().unwrap();
    let user = found.user();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("alice", "u1"));
    assert_eq!(user.groups, ["devs", "ops", "system:authenticated"]);
    assert_eq!(user.extra["acme.com/project"], ["p1"]);
    let root = User::new("root", [""]);
    let checks = found.checks();
    let asked: Vec<String> = checks
        .iter()
        .map(|check| {
            let asked = check.attributes(&root);
            assert_eq!(
                (asked.verb, asked.user.name.as_str()),
                ("impersonate", "root")
            );
            format!(
                "{}/{}/{} {}",
                asked.group, asked.resource, asked.subresource, asked.name
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            "/users/ alice",
            "/groups/ devs",
            "/groups/ ops",
            "authentication.k8s.io/uids/ u1",
            "authentication.k8s.io/userextras/acme.com/project p1",
        ]
    );
}

#[test]
fn impersonating_a_service_account_takes_its_groups() {
    let found = Impersonation::parse([("Impersonate-User", "system:serviceaccount:shop:robot")])
        .unwrap()
        .unwrap();
    assert_eq!(found.user(), User::service_account("shop", "robot"));
    let root = User::new("root", [""]);
    let checks = found.checks();
    let asked = checks[0].attributes(&root);
    assert_eq!(
        (asked.resource, asked.namespace, asked.name),
        ("serviceaccounts", "shop", "robot")
    );
    let nobody = Impersonation::parse([("Impersonate-User", "system:anonymous")])
        .unwrap()
        .unwrap();
    assert_eq!(nobody.user(), User::anonymous());
}

#[test]
fn impersonation_headers_that_make_no_sense_are_refused() {
    assert_eq!(
        Impersonation::parse([("Accept", "x"), ("Impersonate-Other", "x")]),
        Ok(None)
    );
    assert_eq!(
        Impersonation::parse([("Impersonate-Group", "x")]),
        Err(ImpersonationError::NoUser)
    );
    assert_eq!(
        Impersonation::parse([("Impersonate-Extra-a", "x")]),
        Err(ImpersonationError::NoUser)
    );
    assert_eq!(
        Impersonation::parse([("Impersonate-User", "a"), ("Impersonate-User", "b")]),
        Err(ImpersonationError::Twice("Impersonate-User"))
    );
    let many = vec![("Impersonate-Group", "x"); 1000];
    assert_eq!(Impersonation::parse(many), Err(ImpersonationError::TooMany));
}

#[test]
fn nothing_shows_a_token() {
    let cluster = cluster();
    let issued = cluster.issue(&spec());
    let header = format!("Bearer {}", issued.token);
    let credentials = Credentials {
        authorization: Some(&header),
        certificate: None,
        token: Some(&issued.token),
        audience: None,
    };
    let _ = cluster.login(&issued.token, NOW);
    let shown = format!(
        "{issued:?} {credentials:?} {:?} {:?}",
        cluster.authenticator, cluster.issuer
    );
    assert!(!shown.contains(&issued.token));
    assert!(
        !cluster
            .refusal(&issued.token, NOW + 10_000)
            .contains(&issued.token)
    );
}
