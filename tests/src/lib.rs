//! What the end-to-end tests stand on: a server, an etcd, kubectl and helm as processes of their own.
//!
//! Everything here panics when it cannot do what it was asked, with the command's output or the
//! server's log: the panic is the test's report. Whatever is started ends when its value is dropped,
//! also when the test panics. Waits are for a condition, with a deadline that only ever ends a hang.

mod command;
mod docker;
mod etcd;
mod hosts;
mod http;
pub mod matrix;
mod s3;
mod server;
mod service;
mod tools;
mod wait;

pub use command::{Following, Outcome, run, spawn, split};
pub use docker::{Docker, skopeo};
pub use etcd::Etcd;
pub use hosts::SimulatedHosts;
pub use http::{Answer, Http, PatchKind, Watch, runtime};
pub use s3::S3;
pub use server::{Server, ServerOptions, Store, mos};
pub use tools::{Helm, Kubectl, KubectlVersion};
pub use wait::{deadline, free_port, wait_for, wait_until};
