//! mosaic-validation
