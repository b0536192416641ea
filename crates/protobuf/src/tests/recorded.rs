//! Bodies of real clients.
