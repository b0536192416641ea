//! mosaic-apiserver
