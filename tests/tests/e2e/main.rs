//! End-to-end tests: one file for each group of behaviours.

mod matrix;
