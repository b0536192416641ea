//! The kinds of the smaller groups, and endpoints and events, which stand in two.

mod common;

use common::*;
use mosaic_validation::{prepare_for_update, validate_status_update};
use serde_json::{Value, json};

#[test]
fn roles_and_bindings_are_checked() {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let role = json!({"metadata": {"name": "a:b", "namespace": "s"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    check_creates(
        &kind(RBAC, "Role"),
        &role,
        &[
            (
                "/metadata/name",
                json!("a/b"),
                "metadata.name: Invalid value: \"a/b\": may not contain '/'",
            ),
            (
                "/rules/0/verbs",
                json!([]),
                "rules[0].verbs: Required value: verbs must contain at least one value",
            ),
            (
                "/rules/0/resources",
                json!([]),
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ),
            (
                "/rules",
                json!([{"verbs": ["get"], "nonResourceURLs": ["/x"]}]),
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            ),
        ],
    );
    let binding = json!({
        "metadata": {"name": "b", "namespace": "s"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "x", "namespace": "s"}],
    });
    let of = kind(RBAC, "RoleBinding");
    let ready = stored(&of, &binding);
    assert_eq!(ready["roleRef"]["apiGroup"], RBAC);
    assert_eq!(ready["subjects"][0]["apiGroup"], RBAC);
    assert_eq!(ready["subjects"][1].get("apiGroup"), None);
    check_creates(
        &of,
        &binding,
        &[
            (
                "/roleRef/kind",
                json!("Group"),
                "roleRef.kind: Unsupported value: \"Group\": supported values: \"Role\", \"ClusterRole\"",
            ),
            (
                "/subjects/1/namespace",
                json!(""),
                "subjects[1].namespace: Required value",
            ),
            (
                "/subjects/0/kind",
                json!("Robot"),
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ),
        ],
    );
    check_updates(
        &of,
        &binding,
        &[
            ("/subjects", json!([]), ""),
            (
                "/roleRef/name",
                json!("other"),
                "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"other\"}: cannot change roleRef",
            ),
        ],
    );
}

#[test]
fn network_policies_are_checked() {
    let of = kind("networking.k8s.io", "NetworkPolicy");
    let policy = json!({"metadata": {"name": "n", "namespace": "s"}, "spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
    let ready = stored(&of, &policy);
    assert_eq!(ready["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(ready["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(ready["metadata"]["generation"], 1);
    check_creates(
        &of,
        &policy,
        &[
            (
                "/spec/ingress",
                json!([{"from": [{}]}]),
                "spec.ingress[0].from[0]: Required value: must specify a peer",
            ),
            (
                "/spec/ingress",
                json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]),
                "",
            ),
            (
                "/spec/ingress",
                json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]),
                "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
            ),
            (
                "/spec/ingress",
                json!([{"from": [{"ipBlock": {"cidr": "x"}}]}]),
                "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
            (
                "/spec/egress/0/ports/0/endPort",
                json!(1),
                "spec.egress[0].ports[0].endPort: Invalid value: 1: must be greater than or equal to `port`",
            ),
            (
                "/spec/policyTypes",
                json!(["Sideways"]),
                "spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Egress\", \"Ingress\"",
            ),
        ],
    );
}

#[test]
fn ingresses_are_checked() {
    let of = kind("networking.k8s.io", "Ingress");
    let ingress = json!({"metadata": {"name": "i", "namespace": "s"}, "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
    ]}}]}});
    let path = "/spec/rules/0/http/paths/0";
    let field = |name: &str| format!("{path}/{name}");
    let cases = [
        ("/spec/rules/0/host".to_owned(), json!("*.example.com"), ""),
        (
            "/spec/rules/0/host".to_owned(),
            json!("10.0.0.1"),
            "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
        ),
        (
            field("pathType"),
            json!(null),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            field("path"),
            json!("a"),
            "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path",
        ),
        (
            field("backend"),
            json!({}),
            "spec.rules[0].http.paths[0].backend: Required value: resource or service backend is required",
        ),
    ];
    let cases: Vec<Case> = cases
        .iter()
        .map(|(p, v, e)| (p.as_str(), v.clone(), *e))
        .collect();
    check_creates(&of, &ingress, &cases);
}

#[test]
fn classes_are_checked() {
    let of = kind("storage.k8s.io", "StorageClass");
    let class = json!({"metadata": {"name": "gold"}, "provisioner": "lvm.mosaic"});
    let ready = stored(&of, &class);
    assert_eq!(ready["reclaimPolicy"], "Delete");
    assert_eq!(ready["volumeBindingMode"], "Immediate");
    check_creates(
        &of,
        &class,
        &[("/provisioner", json!(""), "provisioner: Required value")],
    );
    check_updates(
        &of,
        &class,
        &[
            (
                "/parameters",
                json!({"a": "b"}),
                "parameters: Forbidden: updates to parameters are forbidden.",
            ),
            (
                "/reclaimPolicy",
                json!("Retain"),
                "reclaimPolicy: Invalid value: \"Retain\": field is immutable",
            ),
            ("/allowVolumeExpansion", json!(true), ""),
        ],
    );

    let of = kind("scheduling.k8s.io", "PriorityClass");
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    assert_eq!(
        stored(&of, &class)["preemptionPolicy"],
        "PreemptLowerPriority"
    );
    check_creates(
        &of,
        &class,
        &[
            (
                "/value",
                json!(1_000_000_001),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            ),
            (
                "/metadata/name",
                json!("system-mine"),
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
            ),
        ],
    );
    check_updates(
        &of,
        &class,
        &[(
            "/value",
            json!(1),
            "value: Forbidden: may not be changed in an update.",
        )],
    );
    let system = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
    stored(&of, &system);

    let of = kind("node.k8s.io", "RuntimeClass");
    let class = json!({"metadata": {"name": "vm"}, "handler": "kata"});
    check_creates(
        &of,
        &class,
        &[(
            "/overhead",
            json!({"podFixed": {"cpu": "-1"}}),
            "overhead.podFixed[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        )],
    );
    check_updates(
        &of,
        &class,
        &[(
            "/handler",
            json!("runc"),
            "handler: Invalid value: \"runc\": field is immutable",
        )],
    );

    let of = kind("coordination.k8s.io", "Lease");
    let lease = json!({"metadata": {"name": "n1", "namespace": "s"}, "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}});
    check_creates(
        &of,
        &lease,
        &[
            (
                "/spec/leaseDurationSeconds",
                json!(0),
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            ),
            (
                "/spec/holderIdentity",
                json!(""),
                "spec.holderIdentity: Invalid value: \"\": must not be empty",
            ),
        ],
    );
}

#[test]
fn signing_requests_are_checked() {
    let of = kind("certificates.k8s.io", "CertificateSigningRequest");
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KQUFBQQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
    let request = json!({"metadata": {"name": "a"}, "spec": {"request": pem, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}});
    check_creates(
        &of,
        &request,
        &[
            (
                "/spec/usages",
                json!([]),
                "spec.usages: Required value: usages must contain at least one value",
            ),
            ("/spec/usages", json!(["flying"]), &unsupported_usage()),
            (
                "/spec/signerName",
                json!(""),
                "spec.signerName: Required value",
            ),
            (
                "/spec/expirationSeconds",
                json!(5),
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
            ),
            (
                "/spec/request",
                json!("AAAA"),
                "spec.request: Invalid value: \"AAAA\": PEM block type must be CERTIFICATE REQUEST",
            ),
        ],
    );
    let old = stored(&of, &request);
    let mut new = with(&old, &[("/spec/usages", json!(["server auth"]))]);
    prepare_for_update(&of, &mut new, &old);
    assert_eq!(new["spec"], old["spec"]);
    let condition = |ty: &str| json!({"type": ty, "status": "True"});
    let both = with(
        &old,
        &[(
            "/status",
            json!({"conditions": [condition("Approved"), condition("Denied")]}),
        )],
    );
    assert_eq!(
        texts(validate_status_update(&of, &both, &old)),
        [
            "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"
        ]
    );
}

fn unsupported_usage() -> String {
    let known = [
        "any",
        "cert sign",
        "client auth",
        "code signing",
        "content commitment",
        "crl sign",
        "data encipherment",
        "decipher only",
        "digital signature",
        "email protection",
        "encipher only",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "key agreement",
        "key encipherment",
        "microsoft sgc",
        "netscape sgc",
        "ocsp signing",
        "s/mime",
        "server auth",
        "signing",
        "timestamping",
    ];
    let known: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
    format!(
        "spec.usages[0]: Unsupported value: \"flying\": supported values: {}",
        known.join(", ")
    )
}

fn definition() -> Value {
    json!({
        "metadata": {"name": "gateways.mosaic.example"},
        "spec": {
            "group": "mosaic.example",
            "scope": "Namespaced",
            "names": {"plural": "gateways", "kind": "Gateway"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
            }],
        },
    })
}

#[test]
fn definitions_are_checked() {
    let of = kind("apiextensions.k8s.io", "CustomResourceDefinition");
    let ready = stored(&of, &definition());
    assert_eq!(ready["spec"]["names"]["singular"], "gateway");
    assert_eq!(ready["spec"]["names"]["listKind"], "GatewayList");
    assert_eq!(ready["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(ready["status"]["storedVersions"], json!(["v1"]));
    let versions = "/spec/versions/0";
    let at = |rest: &str| format!("{versions}/{rest}");
    let cases = [
        (
            "/metadata/name".to_owned(),
            json!("other"),
            "metadata.name: Invalid value: \"other\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            "/spec/scope".to_owned(),
            json!("Global"),
            "spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            "/spec/names/listKind".to_owned(),
            json!("Gateway"),
            "spec.names.listKind: Invalid value: \"Gateway\": kind and listKind may not be the same",
        ),
        (
            at("schema"),
            json!(null),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            at("additionalPrinterColumns"),
            json!([{"name": "A", "type": "text", "jsonPath": ".a"}]),
            "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
        ),
        (
            at("subresources"),
            json!({"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.y"}}),
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        ),
    ];
    let cases: Vec<Case> = cases
        .iter()
        .map(|(p, v, e)| (p.as_str(), v.clone(), *e))
        .collect();
    check_creates(&of, &definition(), &cases);
    let errors = create(
        &of,
        &with(&definition(), &[("/spec/versions/0/storage", json!(false))]),
    );
    assert!(
        errors[0].ends_with("must have exactly one version marked as storage version"),
        "{errors:?}"
    );
    check_updates(
        &of,
        &definition(),
        &[("/spec/names/shortNames", json!(["gw"]), "")],
    );
    let established = with(
        &ready,
        &[(
            "/status/conditions",
            json!([{"type": "Established", "status": "True"}]),
        )],
    );
    let errors = update(
        &of,
        &established,
        &with(&established, &[("/spec/scope", json!("Cluster"))]),
    );
    assert_eq!(
        errors,
        ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
    );
}

#[test]
fn endpoints_and_events_are_checked() {
    let slice = json!({"metadata": {"name": "e", "namespace": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
    let of = kind("discovery.k8s.io", "EndpointSlice");
    let ready = stored(&of, &slice);
    assert_eq!(
        ready["ports"],
        json!([{"name": "", "port": 80, "protocol": "TCP"}])
    );
    check_creates(
        &of,
        &slice,
        &[
            (
                "/endpoints/0/addresses",
                json!(["fd00::1"]),
                "endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be an IPv4 address",
            ),
            (
                "/endpoints/0/addresses",
                json!(["127.0.0.1"]),
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "/addressType",
                json!("IPX"),
                "addressType: Unsupported value: \"IPX\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
            ),
        ],
    );
    let mut changed = with(&ready, &[("/endpoints/0/addresses", json!(["10.0.0.2"]))]);
    prepare_for_update(&of, &mut changed, &ready);
    assert_eq!(changed["metadata"]["generation"], 2);

    let endpoints = json!({"metadata": {"name": "e", "namespace": "s"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]});
    check_creates(
        &kind("", "Endpoints"),
        &endpoints,
        &[
            (
                "/subsets/0/addresses",
                json!([]),
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
            ),
            (
                "/subsets/0/addresses/0/ip",
                json!("x"),
                "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
        ],
    );

    let event = json!({"metadata": {"name": "e.1", "namespace": "s"}, "involvedObject": {"namespace": "s"}, "type": "Normal"});
    check_creates(
        &kind("", "Event"),
        &event,
        &[(
            "/involvedObject/namespace",
            json!("t"),
            "involvedObject.namespace: Invalid value: \"t\": does not match event.namespace",
        )],
    );
}
