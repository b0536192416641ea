//! Registries: Debian's, as one that was written by others, and ones that misbehave.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use mosaic_image::copy::{Copied, Outcome};
use mosaic_image::place::{PlaceError, read_small};
use mosaic_image::remote::{Credentials, Keyring, RemoteOptions};
use mosaic_image::{
    As, CopyOptions, Descriptor, Document, Name, Place, Progress, Remote, copy, digest, media,
};
use serde_json::json;

use crate::common::{Image, files, image, layer, layout, name, noise, put, skopeo};
use crate::debians::Debians;
use crate::fake::{Answer, Fake, Seen};

fn remote() -> Remote {
    Remote::new(RemoteOptions::default()).unwrap()
}

async fn pull(from: &Name, to: &dyn Place) -> Result<Copied, PlaceError> {
    copy(&remote(), from, to, &name("app:1"), &CopyOptions::default()).await
}

#[derive(Default)]
struct Outcomes(Mutex<Vec<Outcome>>);

impl Progress for Outcomes {
    fn finished(&self, _blob: &Descriptor, outcome: Outcome) {
        self.0.lock().unwrap().push(outcome);
    }
}

async fn outcomes(from: &dyn Place, source: &Name, to: &dyn Place, target: &Name) -> Vec<Outcome> {
    let progress = Arc::new(Outcomes::default());
    let options = CopyOptions {
        progress: progress.clone(),
        ..CopyOptions::default()
    };
    copy(from, source, to, target, &options).await.unwrap();
    progress.0.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pushed_and_pulled() {
    let registry = Debians::start();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let one = image(&[layer("base", &noise(1, 3_000_000)), layer("a", b"one")]);
    put(&from, "app:1", &one).await;
    let remote = remote();
    let at = registry.name("team/app:1");
    assert!(remote.resolve(&at).await.unwrap().is_none());
    assert_eq!(
        outcomes(&from, &name("app:1"), &remote, &at).await,
        [Outcome::Moved; 3]
    );
    assert_eq!(
        outcomes(&from, &name("app:1"), &remote, &at).await,
        [Outcome::Present; 3]
    );
    let raw = skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{at}"),
    ]);
    assert_eq!(raw.as_bytes(), one.document.bytes());

    assert_eq!(
        outcomes(&remote, &at, &to, &name("app:1")).await,
        [Outcome::Moved; 3]
    );
    assert_eq!(
        outcomes(&remote, &at, &to, &name("app:1")).await,
        [Outcome::Present; 3]
    );
    let by_digest = at.with_digest(one.document.digest().clone());
    assert!(remote.resolve(&by_digest).await.unwrap().is_some());
    assert_eq!(to.prune().await.unwrap().blobs, 0);

    // Into another repository of the same registry nothing moves.
    let other = registry.name("other:2");
    assert_eq!(
        outcomes(&remote, &at, &remote, &other).await,
        [Outcome::Mounted; 3]
    );

    let listed = remote.list(Some(&other)).await.unwrap();
    assert_eq!(listed[0].name, other);
    let home = Remote::new(RemoteOptions {
        home: Some(registry.address.clone()),
        ..RemoteOptions::default()
    })
    .unwrap();
    assert_eq!(home.list(None).await.unwrap().len(), 2);

    let gone = other.with_digest(one.document.digest().clone());
    assert!(remote.delete(&gone).await.unwrap());
    assert!(!remote.delete(&gone).await.unwrap());
    assert!(remote.resolve(&other).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_skopeo_pushes_is_pulled_in_dockers_form_too() {
    let registry = Debians::start();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = layout(from.path()).await;
    put(&place, "app:1", &image(&[layer("a", b"one")])).await;
    let at = registry.name("app:1");
    skopeo(&[
        "copy",
        "--format",
        "v2s2",
        "--dest-tls-verify=false",
        &format!("oci:{}:app:1", from.path().display()),
        &format!("docker://{at}"),
    ]);
    let to = layout(to.path()).await;
    pull(&at, &to).await.unwrap();
    let found = to.resolve(&name("app:1")).await.unwrap().unwrap();
    assert_eq!(found.media_type().as_ref(), media::DOCKER_MANIFEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_found_where_registries_know_no_referrers() {
    let registry = Debians::start();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layout(from.path()).await, layout(to.path()).await);
    let one = image(&[layer("a", b"one")]);
    put(&from, "app:1", &one).await;
    let signature = json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "artifactType": "application/signature",
        "config": one.blobs.last().unwrap().0, "layers": [], "subject": one.document.descriptor(),
    });
    let signature = Document::parse(None, signature.to_string().into_bytes()).unwrap();
    from.put(&name("app:1"), &signature, As::Part)
        .await
        .unwrap();
    let options = CopyOptions {
        referrers: true,
        ..CopyOptions::default()
    };
    let at = registry.name("app:1");
    let remote = remote();
    for _ in 0..2 {
        copy(&from, &name("app:1"), &remote, &at, &options)
            .await
            .unwrap();
        let found = remote
            .referrers(&at, one.document.digest(), None)
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest(), signature.digest());
    }
    let other = remote
        .referrers(&at, one.document.digest(), Some("application/other"))
        .await;
    assert!(other.unwrap().is_empty());
    copy(&remote, &at, &to, &name("app:1"), &options)
        .await
        .unwrap();
    let found = to
        .referrers(
            &name("app:1"),
            one.document.digest(),
            Some("application/signature"),
        )
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

/// Serves one image, in whatever repository it is asked for.
fn serve(image: &Image, seen: &Seen) -> Answer {
    if seen.path == "/v2/" {
        return Answer::ok(b"{}");
    }
    if seen.path.contains("/manifests/") {
        let media_type = image.document.media_type().to_string();
        return Answer::ok(image.document.bytes()).with("content-type", media_type);
    }
    let blob = image
        .blobs
        .iter()
        .find(|(descriptor, _)| seen.path.ends_with(descriptor.digest().as_ref()));
    match blob {
        Some((_, bytes)) => Answer::ok(bytes).ranged(seen),
        None => Answer::status(StatusCode::NOT_FOUND),
    }
}

fn big() -> Image {
    image(&[layer("big", &noise(2, 2_000_000))])
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    for ranges in [true, false] {
        let one = big();
        let layer = one.blobs[0].0.clone();
        let fake = Fake::start(move |seen, before| {
            let mut answer = serve(&one, seen);
            if !ranges && answer.status == StatusCode::PARTIAL_CONTENT {
                answer = serve(
                    &one,
                    &Seen {
                        range: None,
                        ..seen.clone()
                    },
                );
            }
            let tries = before.iter().filter(|one| one.path == seen.path).count();
            if seen.path.ends_with(layer.digest().as_ref()) && tries < 3 {
                // With half of what is left, the connection ends. Without ranges further each time.
                answer.cut = Some(answer.body.len() * (tries + 1) / 5);
            }
            answer
        })
        .await;
        let to = tempfile::tempdir().unwrap();
        let to = layout(to.path()).await;
        pull(&fake.name("app:1"), &to).await.unwrap();
        let asked: Vec<Option<String>> = fake
            .seen()
            .iter()
            .filter(|seen| seen.path.ends_with(big().blobs[0].0.digest().as_ref()))
            .map(|seen| seen.range.clone())
            .collect();
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert!(
            asked[0].is_none() && asked[1..].iter().all(Option::is_some),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn other_content_is_refused_and_nothing_is_kept() {
    let one = big();
    let fake = Fake::start(move |seen, _| {
        let mut answer = serve(&one, seen);
        if seen.path.contains("/blobs/") {
            answer.body[100] ^= 1;
        }
        answer
    })
    .await;
    let to = tempfile::tempdir().unwrap();
    let place = layout(to.path()).await;
    let before = files(to.path());
    let at = fake.name("app:1");
    let error = pull(&at, &place).await.unwrap_err();
    assert!(matches!(error, PlaceError::Content(_)), "{error}");
    // The blobs that were on their way beside it are given up, too.
    while files(to.path()) != before {
        tokio::task::yield_now().await;
    }
    // The document of another digest than it was asked for.
    let error = remote()
        .resolve(&at.with_digest(digest::sha256(b"another")))
        .await
        .unwrap_err();
    assert!(matches!(error, PlaceError::Document { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let fake = Fake::start(|seen, _| {
        if seen.path == "/v2/" {
            return Answer::ok(b"{}");
        }
        Answer::ok(&vec![b' '; 20 << 20])
    })
    .await;
    let error = remote().resolve(&fake.name("app:1")).await.unwrap_err();
    assert!(
        matches!(&error, PlaceError::Unfit(text) if text.contains("longer than")),
        "{error}"
    );
    // A blob that is longer than its descriptor says.
    let small = Descriptor::new(
        media::MediaType::ImageConfig,
        10,
        digest::sha256(b"0123456789"),
    );
    let error = read_small(&remote(), &fake.name("app:1"), &small, 100)
        .await
        .unwrap_err();
    assert!(matches!(error, PlaceError::Content(_)), "{error}");
}

#[tokio::test]
async fn what_may_succeed_later_is_tried_again() {
    let one = big();
    let fake = Fake::start(move |seen, before| {
        if seen.path != "/v2/" && before.iter().filter(|one| one.path == seen.path).count() < 2 {
            return Answer::status(StatusCode::SERVICE_UNAVAILABLE);
        }
        serve(&one, seen)
    })
    .await;
    let to = tempfile::tempdir().unwrap();
    let to = layout(to.path()).await;
    pull(&fake.name("app:1"), &to).await.unwrap();

    let denied = Fake::start(|seen, _| match seen.path.as_str() {
        "/v2/" => Answer::ok(b"{}"),
        _ => Answer {
            status: StatusCode::FORBIDDEN,
            ..Answer::ok(br#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#)
        },
    })
    .await;
    let error = pull(&denied.name("app:1"), &to).await.unwrap_err();
    assert!(error.to_string().contains("DENIED: not yours"), "{error}");
    assert_eq!(
        denied
            .seen()
            .iter()
            .filter(|seen| seen.path.contains("manifests"))
            .count(),
        1
    );
}

fn with(registry: &str, credentials: Credentials) -> Remote {
    let mut keyring = Keyring::default();
    keyring.set(registry, credentials);
    Remote::new(RemoteOptions {
        keyring,
        ..RemoteOptions::default()
    })
    .unwrap()
}

fn me(password: &str) -> Credentials {
    Credentials::Basic {
        username: "me".into(),
        password: password.into(),
    }
}

#[tokio::test]
async fn a_registry_is_shown_who_one_is() {
    // `me:right`
    const BASIC: &str = "Basic bWU6cmlnaHQ=";
    let one = big();
    let basic = Fake::start(move |seen, _| {
        if seen.authorization.as_deref() == Some(BASIC) {
            return serve(&one, seen);
        }
        Answer::status(StatusCode::UNAUTHORIZED)
            .with("www-authenticate", "Basic realm=\"x\"".into())
    })
    .await;
    let at = basic.name("app:1");
    assert!(
        with(&basic.address, me("right"))
            .resolve(&at)
            .await
            .unwrap()
            .is_some()
    );
    for remote in [
        remote(),
        with(&basic.address, me("wrong")),
        with("example.com", me("right")),
    ] {
        let error = remote.resolve(&at).await.unwrap_err();
        assert!(
            matches!(error, PlaceError::Refused { status: 401, .. }),
            "{error}"
        );
    }

    let one = big();
    let bearer = Fake::start(move |seen, _| {
        if seen.path == "/token" {
            if seen.authorization.as_deref() != Some(BASIC) {
                return Answer::status(StatusCode::UNAUTHORIZED);
            }
            assert_eq!(seen.query, "scope=repository%3Aapp%3Apull&service=it");
            return Answer::ok(br#"{"token":"abc","expires_in":300}"#);
        }
        if seen.authorization.as_deref() == Some("Bearer abc") {
            return serve(&one, seen);
        }
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"it\"", seen.host);
        Answer::status(StatusCode::UNAUTHORIZED).with("www-authenticate", challenge)
    })
    .await;
    let at = bearer.name("app:1");
    let remote = with(&bearer.address, me("right"));
    for _ in 0..3 {
        assert!(remote.resolve(&at).await.unwrap().is_some());
    }
    assert_eq!(
        bearer
            .seen()
            .iter()
            .filter(|seen| seen.path == "/token")
            .count(),
        1
    );
    let error = with(&bearer.address, me("wrong"))
        .resolve(&at)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PlaceError::Refused { status: 401, .. }),
        "{error}"
    );
    let given = with(&bearer.address, Credentials::Bearer("abc".into()));
    assert!(given.resolve(&at).await.unwrap().is_some());
}

#[tokio::test]
async fn credentials_do_not_go_elsewhere() {
    let elsewhere = Fake::start(|seen, _| match seen.method.as_str() {
        "PUT" => Answer::status(StatusCode::CREATED),
        _ => Answer::ok(b"0123456789"),
    })
    .await;
    let target = format!(
        "http://{}/upload?id=1",
        elsewhere.address.replace("127.0.0.1", "localhost")
    );
    let registry = Fake::start(move |seen, _| {
        if seen.authorization.is_none() {
            return Answer::status(StatusCode::UNAUTHORIZED)
                .with("www-authenticate", "Basic".into());
        }
        match seen.method.as_str() {
            "POST" => Answer::status(StatusCode::ACCEPTED).with("location", target.clone()),
            "HEAD" => Answer::status(StatusCode::NOT_FOUND),
            _ => Answer::status(StatusCode::TEMPORARY_REDIRECT).with("location", target.clone()),
        }
    })
    .await;
    let remote = with(&registry.address, me("right"));
    let blob = Descriptor::new(
        media::MediaType::ImageConfig,
        10,
        digest::sha256(b"0123456789"),
    );
    let at = registry.name("app:1");
    read_small(&remote, &at, &blob, 100).await.unwrap();
    let body = mosaic_image::place::bytes_body(&b"0123456789"[..]);
    remote.write(&at, &blob, body).await.unwrap();
    let seen = elsewhere.seen();
    let put = seen.iter().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(
        put.query,
        format!("id=1&digest={}", blob.digest().as_ref().replace(':', "%3A"))
    );
    assert_eq!(put.body, b"0123456789");
    assert!(
        seen.iter().all(|seen| seen.authorization.is_none()),
        "{seen:?}"
    );
    assert!(seen.iter().any(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn an_upload_that_its_source_breaks_is_given_up() {
    let registry = Fake::start(|seen, _| match seen.method.as_str() {
        "POST" => {
            Answer::status(StatusCode::ACCEPTED).with("location", "/v2/app/blobs/uploads/7".into())
        }
        "DELETE" => Answer::status(StatusCode::NO_CONTENT),
        _ => Answer::ok(b"{}"),
    })
    .await;
    let blob = Descriptor::new(
        media::MediaType::ImageConfig,
        10,
        digest::sha256(b"0123456789"),
    );
    let broken = futures::stream::iter([
        Ok("0123".into()),
        Err(std::io::Error::other("the disk is gone")),
    ]);
    let error = remote()
        .write(&registry.name("app:1"), &blob, Box::pin(broken))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    let seen = registry.seen();
    assert!(
        seen.iter()
            .any(|seen| seen.method == "DELETE" && seen.path.ends_with("/7")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn tls_is_judged_by_the_authorities_given() {
    let one = big();
    let (fake, authority) = Fake::start_tls(move |seen, _| serve(&one, seen)).await;
    let trusting = |authorities: Vec<String>| {
        Remote::new(RemoteOptions {
            authorities,
            ..RemoteOptions::default()
        })
        .unwrap()
    };
    let at = name(&format!(
        "{}/app:1",
        fake.address.replace("127.0.0.1", "localhost")
    ));
    let remote = trusting(vec![authority]);
    assert!(remote.resolve(&at).await.unwrap().is_some());
    // On the own machine too: what speaks TLS is not spoken to without.
    let error = trusting(vec![]).resolve(&at).await.unwrap_err();
    assert!(error.to_string().contains("ertificate"), "{error}");
    assert!(error.may_retry());
    let wrong = Remote::new(RemoteOptions {
        authorities: vec!["nonsense".into()],
        ..RemoteOptions::default()
    });
    assert!(wrong.is_err() || wrong.unwrap().resolve(&at).await.is_err());
}
