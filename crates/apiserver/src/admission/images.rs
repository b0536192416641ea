//! Namespaces that run only signed images: each image of a pod must be signed with the namespace's key, and the pod
//! gets it by digest, so that what runs is what was signed, wherever the tag points later.

use futures::future::{BoxFuture, try_join_all};
use mosaic_api::Status;
use mosaic_auth::User;
use serde_json::Value;

use super::Attempt;
use crate::{app::App, verbs::write::Part};

/// The annotation of a namespace with the public key (PEM, SubjectPublicKeyInfo) that its images are signed with.
pub const KEY: &str = "mosaic/image-key";

/// An image that a pod is to run.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub image: String,
    /// The key that it has to be signed with.
    pub key: String,
    /// Who wants it. One of them has to have the right to pull it, or the answer would tell of images that they may not see.
    pub by: Vec<User>,
}

/// Finds what an image's name stands for and checks its signature: the name by digest, or why the image may not run.
pub type Judge = Box<dyn Fn(Wanted) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// What knows of signatures.
pub struct ImagePolicy {
    /// Says why text is no key, if it is none.
    pub key: fn(&str) -> Result<(), String>,
    /// Judges an image.
    pub judge: Judge,
}

/// The lists of a pod that name images, and where in their entries.
const LISTS: [(&str, &str); 4] = [
    ("containers", "/image"),
    ("initContainers", "/image"),
    ("ephemeralContainers", "/image"),
    ("volumes", "/image/reference"),
];

/// Checks the images of a pod that are new to it, and the key of a namespace.
pub(super) async fn check(app: &App, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
    if attempt.is("", "Namespace") {
        return check_key(app, attempt, pod);
    }
    if !attempt.is("", "Pod") || !matches!(attempt.part, Part::Main | Part::EphemeralContainers) {
        return Ok(());
    }
    let Some(namespace) = app.kept_object("", "Namespace", "", attempt.namespace) else {
        return Ok(());
    };
    let Some(key) = key(&namespace) else {
        return Ok(());
    };
    let images = new_images(attempt.old, pod);
    if images.is_empty() {
        return Ok(());
    }
    let refused = |image: &str, why: &str| {
        attempt.forbidden(&format!(
            "image {image:?}: namespace {} runs only images that are signed with its key ({KEY}): {why}",
            attempt.namespace
        ))
    };
    let by = wanted_by(attempt.namespace, &attempt.call.user, pod);
    let policy = app.registry.get().map(|registry| &registry.policy);
    let judged = images.iter().map(async |image| match policy {
        None => Err(refused(
            image,
            "this server has no registry that could tell",
        )),
        Some(policy) => {
            let wanted = Wanted {
                image: image.clone(),
                key: key.to_owned(),
                by: by.clone(),
            };
            let judged = (policy.judge)(wanted).await;
            judged
                .map(|pinned| (image.clone(), pinned))
                .map_err(|why| refused(image, &why))
        }
    });
    for (image, pinned) in try_join_all(judged).await? {
        pin(attempt.old, pod, &image, &pinned);
    }
    Ok(())
}

/// Who wants the images of a pod: its service account, and whoever writes it. A controller writes it for somebody else,
/// who reads its answers; what that one may do is not known.
fn wanted_by(namespace: &str, user: &User, pod: &Value) -> Vec<User> {
    let account = pod.pointer("/spec/serviceAccountName");
    let account = account.and_then(Value::as_str).unwrap_or("default");
    let mut by = vec![User::service_account(namespace, account)];
    let owners = pod.pointer("/metadata/ownerReferences");
    let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
    if !owners.any(|owner| owner.get("controller") == Some(&Value::Bool(true))) {
        by.push(user.clone());
    }
    by
}

fn key(namespace: &Value) -> Option<&str> {
    namespace
        .pointer("/metadata/annotations")?
        .get(KEY)?
        .as_str()
}

/// Refuses a key that is none: nothing would run in the namespace.
fn check_key(app: &App, attempt: &Attempt<'_>, namespace: &Value) -> Result<(), Status> {
    let new = key(namespace).filter(|new| attempt.old.and_then(key) != Some(*new));
    match (new, app.registry.get()) {
        (Some(new), Some(registry)) => (registry.policy.key)(new)
            .map_err(|why| attempt.forbidden(&format!("the annotation {KEY} is no key: {why}"))),
        _ => Ok(()),
    }
}

/// The images of a pod's containers and volumes that had another before, or that are new.
fn changed<'a>(old: Option<&Value>, pod: &'a mut Value) -> Vec<&'a mut Value> {
    let known = |list: &str, at: &str, entry: &Value| {
        let entries = old.and_then(|old| old.get("spec")?.get(list)?.as_array());
        entries.into_iter().flatten().any(|known| {
            known.get("name") == entry.get("name") && known.pointer(at) == entry.pointer(at)
        })
    };
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    for (list, entries) in spec {
        let Some((_, at)) = LISTS.iter().find(|(name, _)| name == list) else {
            continue;
        };
        let entries = entries.as_array_mut().into_iter().flatten();
        let new = entries.filter(|entry| !known(list, at, entry));
        changed.extend(new.filter_map(|entry| entry.pointer_mut(at)));
    }
    changed
}

/// Those images, each once.
fn new_images(old: Option<&Value>, pod: &mut Value) -> Vec<String> {
    let mut images: Vec<String> = changed(old, pod)
        .into_iter()
        .filter_map(|image| Some(image.as_str()?.to_owned()))
        .collect();
    images.sort_unstable();
    images.dedup();
    images
}

/// Puts the image by digest in the place of this one.
fn pin(old: Option<&Value>, pod: &mut Value, image: &str, pinned: &str) {
    for named in changed(old, pod) {
        if named.as_str() == Some(image) {
            *named = pinned.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(images: &[(&str, &str)]) -> Value {
        let containers = images.iter();
        let containers = containers.map(|(name, image)| json!({ "name": name, "image": image }));
        json!({ "spec": {
            "initContainers": [{ "name": "init", "image": "shop/init:1" }],
            "containers": containers.collect::<Vec<_>>(),
        } })
    }

    #[test]
    fn what_changed_is_judged_once_and_only_that_is_pinned() {
        let mut new = pod(&[
            ("a", "shop/web:1"),
            ("b", "shop/web:1"),
            ("c", "shop/log:2"),
        ]);
        assert_eq!(
            new_images(None, &mut new),
            ["shop/init:1", "shop/log:2", "shop/web:1"]
        );
        let old = pod(&[("a", "shop/web:1"), ("c", "shop/log:1")]);
        assert_eq!(
            new_images(Some(&old), &mut new),
            ["shop/log:2", "shop/web:1"]
        );
        pin(Some(&old), &mut new, "shop/web:1", "shop/web@sha256:00");
        let images = |pod: &Value| -> Vec<Value> {
            let containers = pod["spec"]["containers"].as_array().unwrap();
            containers
                .iter()
                .map(|container| container["image"].clone())
                .collect()
        };
        assert_eq!(
            images(&new),
            ["shop/web:1", "shop/web@sha256:00", "shop/log:2"]
        );
    }

    #[test]
    fn what_a_controller_may_pull_is_not_for_those_it_makes_pods_for() {
        let user = User::new("author", ["somebody"]);
        let mut pod = json!({ "metadata": {}, "spec": { "serviceAccountName": "robot" } });
        let robot = User::service_account("shop", "robot");
        assert_eq!(
            wanted_by("shop", &user, &pod),
            [robot.clone(), user.clone()]
        );
        pod["metadata"]["ownerReferences"] = json!([{ "kind": "ReplicaSet", "controller": true }]);
        assert_eq!(wanted_by("shop", &user, &pod), [robot]);
    }

    #[test]
    fn images_of_volumes_are_judged_and_pinned_too() {
        let volumes = json!([
            { "name": "data", "image": { "reference": "shop/data:1" } },
            { "name": "other", "emptyDir": {} },
        ]);
        let mut new = json!({ "spec": { "containers": [], "volumes": volumes } });
        assert_eq!(new_images(None, &mut new), ["shop/data:1"]);
        pin(None, &mut new, "shop/data:1", "shop/data@sha256:00");
        let reference = &new["spec"]["volumes"][0]["image"]["reference"];
        assert_eq!(reference, "shop/data@sha256:00");
        let old = new.clone();
        assert!(new_images(Some(&old), &mut new).is_empty());
    }
}
