//! Layers to directories.
