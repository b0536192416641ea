//! Signatures of images for namespaces that run only signed ones.

use std::sync::Arc;

use mosaic_apiserver::admission::{ImagePolicy, Wanted};
use mosaic_image::{Name, Reference};
use mosaic_registry::signature::PublicKey;
use mosaic_registry::{Access, Action, Decision, Registry};

use super::access::{ByGate, identity};

/// What judges the images of pods: those of the registry that has these names, by their signatures in it. The first name
/// is the one that images without a registry get.
pub(super) fn policy(registry: Registry, access: Arc<ByGate>, names: Vec<String>) -> ImagePolicy {
    let names: Arc<[String]> = names.into();
    ImagePolicy {
        key: |pem| {
            PublicKey::from_pem(pem)
                .map(drop)
                .map_err(|error| error.to_string())
        },
        judge: Box::new(move |wanted| {
            let (registry, access, names) = (registry.clone(), access.clone(), names.clone());
            Box::pin(async move { judge(&registry, &access, &names, &wanted).await })
        }),
    }
}

/// The name of a signed image by its digest, or why it may not run.
async fn judge(
    registry: &Registry,
    access: &ByGate,
    names: &[String],
    wanted: &Wanted,
) -> Result<String, String> {
    let key = PublicKey::from_pem(&wanted.key);
    let key = key.map_err(|error| format!("the key cannot be used: {error}"))?;
    let parsed = wanted.image.parse::<Name>();
    let name = parsed.map_err(|error| format!("it is no image's name: {error}"))?;
    let known = names.iter().map(String::as_str);
    let address = match name.registry() {
        None => names.first().map(String::as_str),
        Some(named) => known.clone().find(|known| *known == named),
    };
    let Some(address) = address else {
        let known: Vec<&str> = known.collect();
        return Err(format!(
            "only signatures in the cluster's registry ({}) are looked at; copy it there with `mos image copy --referrers`",
            known.join(", ")
        ));
    };
    let repository = name.repository().as_str();
    // One answer, so that nobody learns from it what others have.
    let absent = || {
        format!(
            "it is not in the cluster's registry ({address}), or neither the pod's service account nor who makes the pod may pull it"
        )
    };
    let may = |user| access.may(&identity(user), Action::Pull, repository) == Decision::Allow;
    if !wanted.by.iter().any(may) {
        return Err(absent());
    }
    let digest = match name.reference() {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => {
            let found = registry.image(repository, tag.as_str()).await;
            let found = found.map_err(|error| error.to_string())?;
            found.ok_or_else(absent)?.digest
        }
    };
    // A signature may be there without its image.
    let there = registry.has_image(repository, &digest).await;
    if !there.map_err(|error| error.to_string())? {
        return Err(absent());
    }
    let signed = registry.verify(repository, &digest, &key).await;
    match signed {
        Ok(true) => Ok(format!("{address}/{repository}@{digest}")),
        Ok(false) => Err(format!("{digest} has no signature by it")),
        Err(error) => Err(error.to_string()),
    }
}
