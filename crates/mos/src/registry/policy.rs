//! Signatures of images for namespaces that run only signed ones.

use std::sync::Arc;

use mosaic_apiserver::admission::ImagePolicy;
use mosaic_image::{Name, Reference};
use mosaic_registry::Registry;
use mosaic_registry::signature::PublicKey;

/// What judges the images of pods: those of the registry that has these names, by their signatures in it. The first name
/// is the one that images without a registry get.
pub(super) fn policy(registry: Registry, names: Vec<String>) -> ImagePolicy {
    let names: Arc<[String]> = names.into();
    ImagePolicy {
        key: |pem| {
            PublicKey::from_pem(pem)
                .map(drop)
                .map_err(|error| error.to_string())
        },
        judge: Box::new(move |image, key| {
            let (registry, names) = (registry.clone(), names.clone());
            Box::pin(async move { judge(&registry, &names, &image, &key).await })
        }),
    }
}

/// The name of a signed image by its digest, or why it may not run.
async fn judge(
    registry: &Registry,
    names: &[String],
    image: &str,
    key: &str,
) -> Result<String, String> {
    let key =
        PublicKey::from_pem(key).map_err(|error| format!("the key cannot be used: {error}"))?;
    let name: Name = image
        .parse()
        .map_err(|error| format!("it is no image's name: {error}"))?;
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
    let digest = match name.reference() {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => {
            let found = registry.image(repository, tag.as_str()).await;
            let found = found.map_err(|error| error.to_string())?;
            found
                .ok_or_else(|| format!("it is not in the cluster's registry ({address})"))?
                .digest
        }
    };
    let signed = registry.verify(repository, &digest, &key).await;
    match signed {
        Ok(true) => Ok(format!("{address}/{repository}@{digest}")),
        Ok(false) => Err(format!("{digest} has no signature by it")),
        Err(error) => Err(error.to_string()),
    }
}
