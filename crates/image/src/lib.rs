//! Container images: what they are called, what they are made of, and the places that they are in.

pub mod unpack;
