//! Signatures of images for namespaces that run only signed ones.

use mosaic_apiserver::admission::ImagePolicy;
use mosaic_image::{Name, Reference};
use mosaic_registry::Registry;
use mosaic_registry::signature::PublicKey;

/// What judges the images of pods: those of the registry at `address`, by their signatures in it.
pub(super) fn policy(registry: Registry, address: String) -> ImagePolicy {
    Box::new(move |image, key| {
        let (registry, address) = (registry.clone(), address.clone());
        Box::pin(async move { judge(&registry, &address, &image, &key).await })
    })
}

/// The name of a signed image by its digest, or why it may not run.
async fn judge(
    registry: &Registry,
    address: &str,
    image: &str,
    key: &str,
) -> Result<String, String> {
    let key =
        PublicKey::from_pem(key).map_err(|error| format!("the key cannot be used: {error}"))?;
    let name: Name = image
        .parse()
        .map_err(|error| format!("it is no image's name: {error}"))?;
    if name.registry().is_some_and(|registry| registry != address) {
        return Err(format!(
            "only signatures in the cluster's registry ({address}) are looked at; copy it there with `mos image copy --referrers`"
        ));
    }
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
