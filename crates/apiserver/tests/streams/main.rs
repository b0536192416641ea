//! Logs, commands, ports and proxied requests, by way of hosts that dial in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cluster;
mod kubectl;
mod node;
mod proxy;
mod sessions;
mod spdy;
mod tunnels;
