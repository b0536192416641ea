//! What is written about hosts, and who may be evicted when.

mod hearing;
mod plan;
