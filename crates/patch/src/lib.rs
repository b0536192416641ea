//! mosaic-patch
