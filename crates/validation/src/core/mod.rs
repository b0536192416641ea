//! Validation of the core group's kinds other than pods and volumes.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod limits;
pub(crate) mod service;
