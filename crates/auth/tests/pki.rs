//! The authority, and what it signs, read back by other parsers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Barrier},
};

use mosaic_auth::{
    User,
    authn::client_identity,
    pki::{
        Authority, CertificateRequest, IssuedCertificate, San, ServingResolver, Signer, SigningKey,
        admin_kubeconfig, create_request, is_bootstrap_node_request, is_own_node_request,
        rustls_server_config, serving_names,
    },
    write_private,
};
use proptest::prelude::*;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

const DAY: i64 = 24 * 60 * 60;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names() -> Vec<San> {
    serving_names(
        "192.0.2.7:6443".parse().unwrap(),
        &["mosaic.example.com".to_owned()],
    )
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn an_authority_is_made_once_and_its_keys_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pki");
    let first = Authority::load_or_create(&path).unwrap();
    let second = Authority::load_or_create(&path).unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    assert_eq!(first.token_key().public(), second.token_key().public());
    assert_eq!(mode(&path), 0o700);
    for key in ["ca.key", "sa.key"] {
        assert_eq!(mode(&path.join(key)), 0o600, "{key}");
    }
    assert!(
        fs::read_dir(&path).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("tmp"))
    );
}

#[test]
fn servers_that_start_at_once_get_one_authority() {
    let directory = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(8);
    let certificates: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let authority = Authority::load_or_create(directory.path()).unwrap();
                    authority
                        .serving_certificate(directory.path(), &names(), now())
                        .unwrap()
                        .certificate_pem()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        certificates
            .iter()
            .all(|certificate| *certificate == certificates[0])
    );
}

#[test]
fn half_an_authority_is_an_error_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    Authority::load_or_create(directory.path()).unwrap();
    fs::remove_file(directory.path().join("ca.crt")).unwrap();
    let key = fs::read(directory.path().join("ca.key")).unwrap();
    let error = Authority::load_or_create(directory.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ca.crt") && error.contains("missing"),
        "{error}"
    );
    assert_eq!(fs::read(directory.path().join("ca.key")).unwrap(), key);
    // A crash before the key, which is written last, leaves no authority: the next start makes one.
    fs::remove_file(directory.path().join("ca.key")).unwrap();
    Authority::load_or_create(directory.path()).unwrap();
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let (one, two) = (
        Authority::generate(now()).unwrap(),
        Authority::generate(now()).unwrap(),
    );
    let mut bundle = one.to_bundle();
    bundle.ca_certificate = two.to_bundle().ca_certificate;
    assert!(
        Authority::from_bundle(&bundle)
            .unwrap_err()
            .to_string()
            .contains("another key")
    );
}

#[test]
fn an_authority_travels_as_bytes_and_keeps_older_token_keys() {
    let before = Authority::generate(now()).unwrap();
    let first = before.token_key().public().clone();
    let mut bundle = before.to_bundle();
    bundle.service_account_key = SigningKey::generate().unwrap().to_pem();
    bundle.old_service_account_keys = vec![first.to_pem()];
    let authority = Authority::from_bundle(&bundle).unwrap();
    let copy = Authority::import(&authority.export().unwrap()).unwrap();
    assert_eq!(copy.certificate_pem(), authority.certificate_pem());
    assert_eq!(copy.token_public_keys(), authority.token_public_keys());
    assert_eq!(copy.token_public_keys()[1], first);
    let directory = tempfile::tempdir().unwrap();
    copy.save(directory.path()).unwrap();
    let loaded = Authority::load(directory.path()).unwrap().unwrap();
    assert_eq!(loaded.token_public_keys(), authority.token_public_keys());
    let keys = authority.jwks();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(keys["keys"][1]["kid"], first.id());
    bundle.old_service_account_keys = vec![first.to_pem(); 20];
    let crowded = Authority::from_bundle(&bundle).unwrap();
    assert_eq!(crowded.token_public_keys().len(), 9);
}

#[test]
fn no_key_is_shown_by_debug_or_errors() {
    let authority = Authority::generate(now()).unwrap();
    let client = authority.issue_client("a", &[], 1).unwrap();
    let bundle = authority.to_bundle();
    let shown = format!(
        "{authority:?} {bundle:?} {client:?} {:?}",
        authority.token_key()
    );
    for key in [
        &bundle.ca_key,
        &bundle.service_account_key,
        &client.key_pem(),
    ] {
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!shown.contains(line));
        }
    }
    let broken = format!("{{\"caKey\": \"{}\", \"x\": ", "SECRET-KEY");
    assert!(
        !Authority::import(broken.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("SECRET-KEY")
    );
}

#[test]
fn the_serving_certificate_is_kept_until_there_is_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(directory.path()).unwrap();
    let issue = |authority: &Authority, names: &[San], now: i64| {
        authority
            .serving_certificate(directory.path(), names, now)
            .unwrap()
            .certificate_pem()
    };
    let first = issue(&authority, &names(), now());
    assert_eq!(issue(&authority, &names(), now()), first);
    assert_eq!(mode(&directory.path().join("serving.key")), 0o600);
    let later = issue(&authority, &names(), now() + 310 * DAY);
    assert_ne!(later, first, "it ends soon");
    let mut more = names();
    more.push(San::Dns("other".to_owned()));
    let other = issue(&authority, &more, now() + 310 * DAY);
    assert_ne!(other, later, "the names have changed");
    fs::write(directory.path().join("serving.crt"), "garbage").unwrap();
    let mended = issue(&authority, &more, now());
    assert_ne!(mended, other);
    let stranger = Authority::generate(now()).unwrap();
    assert_ne!(
        issue(&stranger, &more, now()),
        mended,
        "it is of another authority"
    );
}

#[test]
fn certificates_are_read_by_others_as_they_were_meant() {
    let authority = Authority::generate(now()).unwrap();
    let serving = authority.issue_serving(&names(), now()).unwrap();
    let pem = serving.certificate_pem();
    let der = der(&pem);
    let (rest, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(rest.is_empty());
    let text = format!(
        "{:?}",
        parsed.subject_alternative_name().unwrap().unwrap().value
    );
    for name in [
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "mosaic.example.com",
    ] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    for address in [&[192, 0, 2, 7][..], &[10, 96, 0, 1], &[127, 0, 0, 1]] {
        assert!(
            text.contains(&format!("IPAddress({address:?})")),
            "{address:?} is not in {text}"
        );
    }
    assert_eq!(parsed.version().0, 2);
    assert!(!parsed.is_ca());
    assert!(
        parsed
            .extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .server_auth
    );
    assert!(
        parsed
            .key_usage()
            .unwrap()
            .unwrap()
            .value
            .digital_signature()
    );
    let ca_pem = authority.certificate_pem();
    let ca_der = self::der(&ca_pem);
    let (_, ca) = x509_parser::parse_x509_certificate(&ca_der).unwrap();
    assert!(ca.is_ca() && ca.key_usage().unwrap().unwrap().value.key_cert_sign());
    parsed.verify_signature(Some(ca.public_key())).unwrap();
    assert_eq!(parsed.issuer(), ca.subject());
    // Far dates are written with four digits of the year.
    let old = Authority::generate(2_600_000_000).unwrap();
    let old_pem = old.certificate_pem();
    let old_der = self::der(&old_pem);
    let (_, old) = x509_parser::parse_x509_certificate(&old_der).unwrap();
    assert_eq!(old.validity().not_before.timestamp(), 2_600_000_000 - 300);
}

#[test]
fn a_client_certificate_is_a_user_in_groups() {
    let authority = Authority::generate(now()).unwrap();
    let issued = authority
        .issue_client("alice", &["devs", "ops", "Büro"], 10)
        .unwrap();
    let chain = [issued.der().clone()];
    let identity = client_identity(&authority, &chain, now()).unwrap().unwrap();
    let user = identity.user_at(now()).unwrap();
    assert_eq!(user.name, "alice");
    assert_eq!(user.groups, ["devs", "ops", "Büro", "system:authenticated"]);
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256="));
    // A connection may outlive the certificate.
    assert!(
        identity
            .user_at(now() + 11 * DAY)
            .unwrap_err()
            .to_string()
            .contains("expired")
    );
    assert!(client_identity(&authority, &chain, now() + 11 * DAY).is_err());
    assert!(client_identity(&authority, &chain, now() - DAY).is_err());
    let stranger = Authority::generate(now()).unwrap();
    let error = client_identity(&stranger, &chain, now())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("x509: "), "{error}");
    assert!(client_identity(&authority, &[], now()).unwrap().is_none());
    let serving = authority.issue_serving(&names(), now()).unwrap();
    assert!(
        client_identity(&authority, &[serving.der().clone()], now()).is_err(),
        "for servers, not clients"
    );
    let nobody = authority.issue_client("", &["devs"], 1).unwrap();
    assert!(
        client_identity(&authority, &[nobody.der().clone()], now())
            .unwrap()
            .is_none()
    );
    assert!(client_identity(&authority, &[vec![1, 2, 3].into()], now()).is_err());
}

/// Connects a client to a server in memory; the server's side and the protocol that was agreed on.
fn handshake(
    authority: &Authority,
    trusted: &Authority,
    client: Option<&IssuedCertificate>,
) -> Result<ServerConnection, rustls::Error> {
    let serving = authority.issue_serving(&names(), now()).unwrap();
    let config = rustls_server_config(authority, ServingResolver::new(&serving).unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(&trusted.certificate_pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut client_config = match client {
        Some(issued) => {
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![issued.der().clone()], key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    client_config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    let mut client = ClientConnection::new(Arc::new(client_config), name).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(server)
}

#[test]
fn tls_takes_clients_with_and_without_certificates() {
    let authority = Authority::generate(now()).unwrap();
    let stranger = Authority::generate(now()).unwrap();
    let alice = authority.issue_client("alice", &["devs"], 1).unwrap();
    let server = handshake(&authority, &authority, Some(&alice)).unwrap();
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    let chain = server.peer_certificates().unwrap();
    let identity = client_identity(&authority, chain, now()).unwrap().unwrap();
    assert_eq!(identity.user_at(now()).unwrap().name, "alice");
    assert!(
        handshake(&authority, &authority, None)
            .unwrap()
            .peer_certificates()
            .is_none()
    );
    // An unknown certificate gets through the handshake, and is nobody.
    let eve = stranger
        .issue_client("kubernetes-admin", &["system:masters"], 1)
        .unwrap();
    let server = handshake(&authority, &authority, Some(&eve)).unwrap();
    assert!(client_identity(&authority, server.peer_certificates().unwrap(), now()).is_err());
    assert!(
        handshake(&authority, &stranger, None).is_err(),
        "the client trusts another authority"
    );
}

#[test]
fn a_serving_certificate_is_replaced_while_the_server_runs() {
    let authority = Authority::generate(now()).unwrap();
    let first = authority.issue_serving(&names(), now()).unwrap();
    assert!(!first.needs_renewal(now()) && first.needs_renewal(now() + 320 * DAY));
    let resolver = ServingResolver::new(&first).unwrap();
    resolver
        .replace(&authority.issue_serving(&names(), now()).unwrap())
        .unwrap();
}

#[test]
fn the_admin_kubeconfig_is_an_administrator() {
    let authority = Authority::generate(now()).unwrap();
    let text = admin_kubeconfig(&authority, "https://[::1]:6443").unwrap();
    let config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(config["current-context"], "mosaic");
    assert_eq!(
        config["clusters"][0]["cluster"]["server"],
        "https://[::1]:6443"
    );
    assert_eq!(config["contexts"][0]["context"]["user"], "kubernetes-admin");
    let decode = |value: &serde_json::Value| {
        use base64::Engine;
        String::from_utf8(
            base64::prelude::BASE64_STANDARD
                .decode(value.as_str().unwrap())
                .unwrap(),
        )
        .unwrap()
    };
    assert_eq!(
        decode(&config["clusters"][0]["cluster"]["certificate-authority-data"]),
        authority.certificate_pem()
    );
    let certificate = decode(&config["users"][0]["user"]["client-certificate-data"]);
    let identity = client_identity(&authority, &[der(&certificate)], now())
        .unwrap()
        .unwrap();
    let user = identity.user_at(now()).unwrap();
    assert!(user.name == "kubernetes-admin" && user.is_master());
}

#[test]
fn private_files_replace_and_stay_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.kubeconfig");
    fs::write(&path, "old and readable").unwrap();
    write_private(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(&path), 0o600);
    assert!(write_private(&directory.path().join("none").join("x"), b"").is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

fn usages(list: &[&str]) -> Vec<String> {
    list.iter().map(|usage| (*usage).to_owned()).collect()
}

fn request(user: &str, groups: &[&str], sans: &[San]) -> CertificateRequest {
    CertificateRequest::from_pem(create_request(user, groups, sans).unwrap().0.as_bytes()).unwrap()
}

#[test]
fn requests_are_signed_for_what_they_ask() {
    let authority = Authority::generate(now()).unwrap();
    let client = usages(&["client auth", "digital signature"]);
    let node = request("system:node:n1", &["system:nodes"], &[]);
    let pem = authority
        .sign_request(
            &node,
            Signer::ApiserverClientKubelet,
            &client,
            Some(3600),
            now(),
        )
        .unwrap();
    let identity = client_identity(&authority, &[der(&pem)], now())
        .unwrap()
        .unwrap();
    let user = identity.user_at(now()).unwrap();
    assert_eq!(user.node_name(), Some("n1"));
    assert!(identity.user_at(now() + 3700).is_err());
    assert!(is_own_node_request(&user, &node) && !is_own_node_request(&User::anonymous(), &node));
    let other = request("system:node:n2", &["system:nodes"], &[]);
    assert!(!is_own_node_request(&user, &other));
    assert!(is_bootstrap_node_request(
        &User::new("system:bootstrap:abcdef", ["system:bootstrappers"]),
        &other
    ));

    let sans = [
        San::Dns("n1".to_owned()),
        San::Ip("10.0.0.1".parse().unwrap()),
    ];
    let serving = request("system:node:n1", &["system:nodes"], &sans);
    let server = usages(&["server auth", "digital signature", "key encipherment"]);
    let pem = authority
        .sign_request(&serving, Signer::KubeletServing, &server, None, now())
        .unwrap();
    assert!(
        client_identity(&authority, &[der(&pem)], now()).is_err(),
        "for servers only"
    );

    let alice = request("alice", &["devs", "ops"], &[]);
    let pem = authority
        .sign_request(
            &alice,
            Signer::ApiserverClient,
            &usages(&["client auth"]),
            Some(10 * 365 * DAY),
            now(),
        )
        .unwrap();
    let identity = client_identity(&authority, &[der(&pem)], now())
        .unwrap()
        .unwrap();
    assert_eq!(
        identity.user_at(now()).unwrap().groups,
        ["devs", "ops", "system:authenticated"]
    );
    assert!(
        identity.user_at(now() + 367 * DAY).is_err(),
        "a year at most"
    );
}

#[test]
fn requests_of_other_tools_are_read() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params =
        rcgen::CertificateParams::new(vec!["n1.example.com".to_owned(), "10.0.0.1".to_owned()])
            .unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "system:node:n1");
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let read = CertificateRequest::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(read.common_name, "system:node:n1");
    assert_eq!(
        read.sans,
        [
            San::Dns("n1.example.com".to_owned()),
            San::Ip("10.0.0.1".parse().unwrap())
        ]
    );
    let authority = Authority::generate(now()).unwrap();
    let server = usages(&["server auth", "digital signature"]);
    let signed = authority
        .sign_request(&read, Signer::KubeletServing, &server, None, now())
        .unwrap();
    let signed = der(&signed);
    let (_, parsed) = x509_parser::parse_x509_certificate(&signed).unwrap();
    assert_eq!(
        &*parsed.public_key().subject_public_key.data,
        key.public_key_raw()
    );
    // Ours are read by others, too.
    let (ours, _) = create_request(
        "system:node:n1",
        &["system:nodes"],
        &[San::Dns("n1".to_owned())],
    )
    .unwrap();
    let read = rcgen::CertificateSigningRequestParams::from_pem(&ours).unwrap();
    assert_eq!(read.params.subject_alt_names.len(), 1);
}

#[test]
fn requests_for_more_than_a_signer_signs_are_refused() {
    let dns = [San::Dns("x".to_owned())];
    let ip = [San::Ip("10.0.0.1".parse().unwrap())];
    let client = ["client auth", "digital signature"];
    let server = ["server auth", "digital signature"];
    use Signer::{
        ApiserverClient as User, ApiserverClientKubelet as Node, KubeletServing as Serving,
    };
    for (signer, name, groups, sans, usage, why) in [
        (
            Node,
            "system:node:n",
            &["system:masters"][..],
            &[][..],
            &client[..],
            "subject organization is not system:nodes",
        ),
        (
            Node,
            "system:node:n",
            &["system:nodes", "system:masters"],
            &[],
            &client,
            "subject organization is not system:nodes",
        ),
        (
            Node,
            "n",
            &["system:nodes"],
            &[],
            &client,
            "does not begin with system:node:",
        ),
        (
            Node,
            "system:node:",
            &["system:nodes"],
            &[],
            &client,
            "does not begin with system:node:",
        ),
        (
            Node,
            "system:node:n",
            &["system:nodes"],
            &dns,
            &client,
            "DNS subjectAltNames are not allowed",
        ),
        (
            Node,
            "system:node:n",
            &["system:nodes"],
            &ip,
            &client,
            "IP subjectAltNames are not allowed",
        ),
        (
            Node,
            "system:node:n",
            &["system:nodes"],
            &[],
            &server,
            "usages did not match",
        ),
        (
            Serving,
            "system:node:n",
            &["system:nodes"],
            &[],
            &server,
            "DNS or IP subjectAltName is required",
        ),
        (
            Serving,
            "system:node:n",
            &["system:nodes"],
            &dns,
            &client,
            "usages did not match",
        ),
        (
            User,
            "eve",
            &["devs", "system:masters"],
            &[],
            &client,
            "system:masters group is not allowed",
        ),
        (
            User,
            "eve",
            &[],
            &[],
            &["client auth", "cert sign"],
            "\"cert sign\" is not allowed",
        ),
        (
            User,
            "eve",
            &[],
            &[],
            &["digital signature"],
            "usages did not contain \"client auth\"",
        ),
    ] {
        let error = request(name, groups, sans)
            .check(signer, &usages(usage))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error} for {why}");
    }
    assert_eq!(
        Signer::from_name("kubernetes.io/kubelet-serving"),
        Some(Serving)
    );
    assert_eq!(Signer::from_name("kubernetes.io/legacy-unknown"), None);
}

#[test]
fn a_request_that_another_key_signed_is_refused() {
    let (pem, _) = create_request("a", &[], &[]).unwrap();
    let der =
        rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut bytes = der.to_vec();
    // The subject `a` becomes `b`: 'a' stands as UTF8String of one byte.
    let at = bytes
        .windows(3)
        .position(|window| window == [12, 1, b'a'])
        .unwrap();
    bytes[at + 2] = b'b';
    use base64::Engine;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        base64::prelude::BASE64_STANDARD.encode(&bytes)
    );
    let error = CertificateRequest::from_pem(forged.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("not signed by the key"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever bytes come, the answer is a request or an error.
    #[test]
    fn broken_requests_and_certificates_are_refused(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        use base64::Engine;
        use std::sync::LazyLock;
        static PEM: LazyLock<String> = LazyLock::new(|| {
            create_request("system:node:n", &["system:nodes"], &[San::Dns("x".to_owned())]).unwrap().0
        });
        static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::generate(now()).unwrap());
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(PEM.as_bytes()).unwrap();
        let mut bytes = der.to_vec();
        for (index, byte) in flips {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let whole = bytes.len();
        bytes.truncate(cut.index(whole * 2).max(1).min(whole));
        let changed = bytes != der.to_vec();
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            base64::prelude::BASE64_STANDARD.encode(&bytes)
        );
        // The tags and lengths around the signed part are not signed: a reader may be lenient with them, as
        // long as what it reads is what was signed.
        if let Ok(read) = CertificateRequest::from_pem(pem.as_bytes()) {
            let sent = CertificateRequest::from_pem(PEM.as_bytes()).unwrap();
            let same = format!("{read:?}") == format!("{sent:?}");
            prop_assert!(!changed || same, "{:?}", read);
        }
        prop_assert!(client_identity(&AUTHORITY, &[bytes.into()], now()).is_err());
    }
}
