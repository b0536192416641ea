//! Plans carried out against an API in memory, with hosts that run pods, and with everything that goes wrong on
//! the way: plans made from old states, carried out in part, by a process that forgets what it did; pods that fail, are deleted
//! or take their time.
//!
//! Whatever happens, in the end there is what was asked for, and on the way no promise is broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod api;
mod controller;
mod daemon_set;
mod deployment;
mod hosts;
mod job;
mod replica_set;
mod stateful_set;
