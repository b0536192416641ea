//! The Kubernetes API over a store.
//!
//! ```text
//!  connection ─▶ handler ─▶ who asks ─▶ may they ─▶ verb ─┬─ read ◀── watch cache ◀── store's watch
//!   (serve)                (identity)  (identity)         └─ write ─▶ admission ─▶ store
//! ```
//!
//! * [`serve`]: sockets, TLS, HTTP; [`handler`]: the way of a request.
//! * [`kinds`]: the table of kinds; [`custom`]: its rows from `CustomResourceDefinition`s.
//! * [`verbs`]: get, list, watch, create, update, patch, delete and the subresources.
//! * [`streams`]: logs, commands and ports of pods, by way of their hosts.
//! * [`admission`]: rules that look beyond the object.
//! * [`cache`]: every object in memory, and who watches.

pub mod admission;
pub mod app;
mod audit;
pub mod bootstrap;
pub mod cache;
mod codec;
pub mod convert;
pub mod custom;
mod discovery;
mod documents;
mod error;
mod gate;
pub mod handler;
pub mod http;
pub mod identity;
pub mod kinds;
mod lingering;
pub mod listener;
mod local;
pub mod metrics;
mod paths;
pub mod render;
pub mod serve;
mod slow_lane;
pub mod streams;
pub mod verbs;

pub use gate::Gate;
pub use local::LocalService;
pub use mosaic_validation::pod_admission::TolerationSeconds;
pub use serve::{Options, Server, ServerError};

/// The issuer of service-account tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Who tokens for the cluster's registry are for.
pub const REGISTRY_AUDIENCE: &str = "registry";
