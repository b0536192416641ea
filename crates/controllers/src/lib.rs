//! mosaic-controllers
