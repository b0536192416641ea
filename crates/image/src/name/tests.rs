use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn short_names_are_what_docker_makes_of_them() {
    for (text, normal, familiar) in [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        (
            "index.docker.io/nginx:1",
            "docker.io/library/nginx:1",
            "nginx:1",
        ),
        (
            "localhost/app",
            "localhost/app:latest",
            "localhost/app:latest",
        ),
        (
            "localhost:5000/app:2",
            "localhost:5000/app:2",
            "localhost:5000/app:2",
        ),
        ("[::1]:5000/app:2", "[::1]:5000/app:2", "[::1]:5000/app:2"),
        (
            "example.com/a/b/c:v",
            "example.com/a/b/c:v",
            "example.com/a/b/c:v",
        ),
        ("Host/app:1", "Host/app:1", "Host/app:1"),
        (
            "a_b/c__d/e--f.g",
            "docker.io/a_b/c__d/e--f.g:latest",
            "a_b/c__d/e--f.g:latest",
        ),
        (
            "docker.io/localhost/app:1",
            "docker.io/localhost/app:1",
            "docker.io/localhost/app:1",
        ),
    ] {
        assert_eq!(name(text).normal().to_string(), normal, "{text}");
        assert_eq!(name(text).familiar().to_string(), familiar, "{text}");
    }
}

#[test]
fn a_digest_beats_a_tag() {
    let both = name(&format!("example.com/app:1@{DIGEST}"));
    assert_eq!(both.tag().unwrap().as_str(), "1");
    assert_eq!(both.reference().to_string(), DIGEST);
    let one = name(&format!("app@{DIGEST}"));
    assert_eq!(
        one.normal().to_string(),
        format!("docker.io/library/app@{DIGEST}")
    );
}

#[test]
fn the_cluster_is_asked_first() {
    let asked = |text: &str, cluster| -> Vec<String> {
        let names = name(text).candidates(cluster);
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        asked("app", Some("10.0.0.1:5000")),
        ["10.0.0.1:5000/app:latest", "docker.io/library/app:latest"]
    );
    assert_eq!(asked("team/app:1", None), ["docker.io/team/app:1"]);
    assert_eq!(
        asked("docker.io/app:1", Some("10.0.0.1:5000")),
        ["docker.io/library/app:1"]
    );
    assert_eq!(
        asked("example.com/app:1", Some("10.0.0.1:5000")),
        ["example.com/app:1"]
    );
}

#[test]
fn what_is_not_a_name_is_refused() {
    let long = "a/".repeat(200) + "a";
    let tag = format!("app:{}", "x".repeat(TAG_MAX + 1));
    for text in [
        "",
        ":",
        "@",
        "/",
        "app:",
        "app@",
        ":tag",
        "App",
        "a//b",
        "a/",
        "/a",
        "a/../b",
        "..",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "app:-x",
        "app:.x",
        "app:a/b",
        "app:a b",
        "app@sha256:abc",
        "a:5000:b/c",
        "example.com:99999999/app",
        "example.com:/app",
        "-x.com/app",
        "[::g]/app",
        "[::1/app",
        "app\0",
        "äpp",
        "example.com/App",
        "app:ü",
        &long,
        &tag,
    ] {
        assert!(text.parse::<Name>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_name_is_read_back_from_its_text(text in "([a-z]{1,5}(\\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,4}([._-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}){0,2}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,8})?") {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.to_string(), text);
            prop_assert_eq!(name.to_string().parse::<Name>().unwrap(), name.clone());
            // What a name stands for does not depend on how it was written.
            prop_assert_eq!(name.normal().normal(), name.normal());
            prop_assert_eq!(name.familiar().normal(), name.normal());
            let shown = name.familiar().to_string().parse::<Name>().unwrap();
            prop_assert_eq!(shown.normal(), name.normal());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        let _ = text.parse::<Name>();
        let _ = text.parse::<Reference>();
    }

    #[test]
    fn a_repository_is_never_a_way_out(text in "[a-z0-9./_-]{1,20}") {
        if let Ok(repository) = text.parse::<Repository>() {
            prop_assert!(repository.as_str().split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
        }
    }
}
