//! What runs pods on a host.
//!
//! So far this is the life of a pod ([`lifecycle`]): decisions without a clock, a socket or a container. The
//! agent on a real host and simulated hosts share it, and differ in what carries the decisions out
//! ([`lifecycle::Runtime`]).

pub mod lifecycle;
