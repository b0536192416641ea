//! Media types of the documents and layers of images, OCI's and Docker's.

pub use oci_spec::image::MediaType;

/// An image manifest of the OCI image-spec.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index of the OCI image-spec.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image configuration of the OCI image-spec.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer of the OCI image-spec, a tar without compression.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer of the OCI image-spec, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer of the OCI image-spec, compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An image manifest of Docker's second schema.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A list of manifests of Docker's second schema.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// An image configuration of Docker.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A layer of Docker, a tar without compression.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A layer of Docker, compressed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A layer of Docker, compressed with zstd.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// A manifest of Docker's first schema, which is refused.
pub const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// A signed manifest of Docker's first schema, which is refused.
pub const DOCKER_SCHEMA_1_SIGNED: &str =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// The documents that are understood, as a client names them in `Accept`.
pub const DOCUMENTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// What a document is, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// One image: a configuration and layers.
    Manifest,
    /// Several manifests, usually of one image for several platforms.
    Index,
}

/// What a layer's tar is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Nothing.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What documents of this media type are; none if it is not a document's.
#[must_use]
pub fn document_kind(media_type: &str) -> Option<DocumentKind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(DocumentKind::Manifest),
        OCI_INDEX | DOCKER_LIST => Some(DocumentKind::Index),
        _ => None,
    }
}

/// Whether it is a document of Docker's first schema.
#[must_use]
pub fn is_schema_1(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA_1 | DOCKER_SCHEMA_1_SIGNED)
}

/// Whether it is Docker's: such a document names Docker's types of configuration and layers.
#[must_use]
pub fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.")
}

/// Whether it is the configuration of an image that can be run, rather than of some other artifact.
#[must_use]
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Whether a layer of this type may be absent from registries, to be had from its own `urls` only (image-spec,
/// layer.md, "Non-Distributable Layers").
#[must_use]
pub fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
}

impl Compression {
    /// The media type of a layer compressed so, in a manifest of OCI or of Docker.
    #[must_use]
    pub fn layer_type(self, docker: bool) -> &'static str {
        match (self, docker) {
            (Self::None, false) => OCI_LAYER,
            (Self::Gzip, false) => OCI_LAYER_GZIP,
            (Self::Zstd, false) => OCI_LAYER_ZSTD,
            (Self::None, true) => DOCKER_LAYER,
            (Self::Gzip, true) => DOCKER_LAYER_GZIP,
            (Self::Zstd, true) => DOCKER_LAYER_ZSTD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_from_their_type() {
        for media_type in DOCUMENTS {
            assert!(document_kind(media_type).is_some());
        }
        assert_eq!(document_kind(DOCKER_LIST), Some(DocumentKind::Index));
        assert_eq!(document_kind(DOCKER_SCHEMA_1), None);
        assert!(is_schema_1(DOCKER_SCHEMA_1_SIGNED));
    }
}
