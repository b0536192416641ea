//! Bodies of a real client.

use serde_json::Value;

use super::{decode, type_of};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn recorded_bodies_are_the_json_of_the_same_client() {
    let lines: Vec<&str> = include_str!("recorded.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 28);
    for pair in lines.chunks_exact(2) {
        let expected: Value = serde_json::from_str(pair[1]).unwrap();
        let read = decode(&bytes(pair[0]), type_of).unwrap();
        assert_eq!(read, expected, "{}", expected["kind"]);
    }
}
