//! What the registry holds, as objects of kind `Image`: written by a client of the API, read by everybody.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use mosaic_apiserver::Server;
use mosaic_auth::{User, groups};
use mosaic_image::Tag;
use mosaic_image::digest::sha256;
use mosaic_registry::Registry;
use mosaic_registry::access::namespace;
use mosaic_registry::images::{Image, ImageEvent};
use serde_json::{Value, json};

/// The one user who may write images: the keeper of the kind.
const USER: &str = "system:mosaic-registry";
/// How many images are read at once.
const PAGE: usize = 500;
/// The longest part of an object's name that stands for repository and tag.
const READABLE_MAX: usize = 200;
/// How long everything is left alone after a failure, or when a watch ended.
const PAUSE: Duration = Duration::from_secs(2);

/// A client of the API for the registry itself.
pub(super) fn client(server: &Server) -> kube::Client {
    let user = User::new(USER, [groups::MASTERS, groups::AUTHENTICATED]);
    mosaic_controllers::client(server.local(user))
}

/// Keeps the objects as the registry is, for ever.
pub(super) async fn keep(registry: Registry, client: kube::Client) {
    let objects = Objects::new(client);
    loop {
        if let Err(error) = follow(&registry, &objects).await {
            tracing::warn!("images cannot be shown as objects: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Puts everything right, and then what changes, until the watch ends.
async fn follow(
    registry: &Registry,
    objects: &Objects,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut shown = objects.list().await?;
    let mut after: Option<(String, String)> = None;
    let mut revision = None;
    loop {
        let place = after
            .as_ref()
            .map(|(repository, tag)| (&**repository, &**tag));
        let page = registry.images(place, revision, PAGE).await?;
        let images = page.images.iter();
        for image in images.filter(|image| !is_about_another(&image.tag)) {
            let key = key(&image.repository, &image.tag);
            let wanted = status(image);
            if shown.remove(&key).as_ref() != Some(&wanted) {
                objects.apply(&key, wanted).await?;
            }
        }
        revision = Some(page.revision);
        match page.images.last() {
            Some(last) if page.more => after = Some((last.repository.clone(), last.tag.clone())),
            _ => break,
        }
    }
    for key in shown.into_keys() {
        objects.delete(&key).await?;
    }
    let mut events = registry.watch_images(revision.unwrap_or_default()).await?;
    while let Some(event) = events.try_next().await? {
        match event {
            ImageEvent::Applied(image) if is_about_another(&image.tag) => {}
            ImageEvent::Applied(image) => {
                let key = key(&image.repository, &image.tag);
                objects.apply(&key, status(&image)).await?;
            }
            ImageEvent::Removed { repository, tag } => {
                objects.delete(&key(&repository, &tag)).await?;
            }
        }
    }
    Ok(())
}

/// Whether a tag is one of a signature or another document about an image, and not of an image.
fn is_about_another(tag: &str) -> bool {
    tag.parse().is_ok_and(|tag: Tag| tag.refers())
}

/// Namespace and name of an object.
type Key = (String, String);

/// The object of a tag.
fn key(repository: &str, tag: &str) -> Key {
    (namespace(repository).to_owned(), name(repository, tag))
}

/// The objects, by way of the API.
struct Objects {
    client: kube::Client,
    kind: ApiResource,
}

impl Objects {
    fn new(client: kube::Client) -> Self {
        let kind = GroupVersionKind::gvk("mosaic", "v1", "Image");
        Self {
            client,
            kind: ApiResource::from_gvk_with_plural(&kind, "images"),
        }
    }

    fn of(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.kind)
    }

    async fn list(&self) -> kube::Result<HashMap<Key, Value>> {
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &self.kind);
        let mut options = ListParams::default().limit(500);
        let mut objects = HashMap::new();
        loop {
            let page = all.list(&options).await?;
            for object in page.items {
                let (Some(namespace), Some(name)) =
                    (object.metadata.namespace, object.metadata.name)
                else {
                    continue;
                };
                let status = object.data.get("status").cloned().unwrap_or_default();
                objects.insert((namespace, name), status);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => options = options.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }

    async fn apply(&self, (namespace, name): &Key, status: Value) -> kube::Result<()> {
        let object = json!({
            "apiVersion": "mosaic/v1",
            "kind": "Image",
            "metadata": { "name": name },
            "status": status,
        });
        let how = PatchParams::apply("mosaic-registry").force();
        let applied = self
            .of(namespace)
            .patch(name, &how, &Patch::Apply(object))
            .await;
        // A namespace that is going, or gone, shows nothing.
        unless(applied.map(drop), &[403, 404])
    }

    async fn delete(&self, (namespace, name): &Key) -> kube::Result<()> {
        let deleted = self
            .of(namespace)
            .delete(name, &DeleteParams::default())
            .await;
        unless(deleted.map(drop), &[404])
    }
}

fn unless(result: kube::Result<()>, codes: &[u16]) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if codes.contains(&status.code) => Ok(()),
        result => result,
    }
}

/// The name of the object of a tag: what can be read of both, and a part of their digest, since names of objects have
/// fewer letters than tags.
fn name(repository: &str, tag: &str) -> String {
    let within = repository
        .split_once('/')
        .map_or(repository, |(_, rest)| rest);
    let letter = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '.' | '-' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        '/' => '.',
        _ => '-',
    };
    let readable: String = format!("{within}.{tag}")
        .chars()
        .take(READABLE_MAX)
        .map(letter)
        .collect();
    // Each part of a subdomain (RFC 1123) begins and ends with a letter or digit.
    let parts = readable.split('.').map(|part| part.trim_matches('-'));
    let readable: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let digest = sha256(format!("{repository}:{tag}").as_bytes());
    let digest = digest.digest().get(..8).unwrap_or_default().to_owned();
    format!("{}-{digest}", readable.join("."))
}

fn status(image: &Image) -> Value {
    let digest = image.digest.digest();
    let time = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds)
            .ok()
            .map(mosaic_api::time::format)
    };
    let mut status = BTreeMap::from([
        ("repository", json!(image.repository)),
        ("tag", json!(image.tag)),
        ("digest", json!(image.digest.to_string())),
        ("shortDigest", json!(digest.get(..12).unwrap_or(digest))),
        ("mediaType", json!(image.media_type)),
        ("size", json!(image.size)),
        ("displaySize", json!(crate::output::bytes(image.size))),
        ("layers", json!(image.layers)),
        ("pushTime", json!(time(image.pushed))),
    ]);
    if let Some(pulled) = image.pulled {
        status.insert("lastPullTime", json!(time(pulled)));
    }
    json!(status)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_those_of_objects_and_differ_where_tags_do() {
        let all = [
            ("shop/web", "1.0"),
            ("shop/web.1", "0"),
            ("shop/web", "1_0"),
            ("shop/web", "1-0"),
            ("shop/team/web__api", "V1"),
            ("shop/team/web__api", "v1"),
            ("shop/web", "_"),
            ("app", "latest"),
        ];
        let mut seen = std::collections::HashSet::new();
        for (repository, tag) in all {
            let name = name(repository, tag);
            let fine = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
                    })
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            };
            assert!(name.split('.').all(fine), "{name}");
            assert!(seen.insert(name.clone()), "{name} stands for two tags");
        }
        assert!(name("shop/web", "1.0").starts_with("web.1.0-"));
        assert!(name(&"a".repeat(255), &"b".repeat(128)).len() <= 253);
    }
}
