//! mosaic-auth
