//! Images in places: a local directory, an archive, a registry.

mod archives;
mod common;
mod layouts;
