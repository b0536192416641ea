//! `mos bench`: how fast a server is.
