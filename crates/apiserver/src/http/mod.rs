//! HTTP: paths, queries, content negotiation, responses, connections.

pub mod accept;
pub mod body;
pub mod path;
pub mod query;
pub mod respond;
