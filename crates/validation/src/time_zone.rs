//! Names of time zones.

use jiff::tz::TimeZone;

/// Whether a time zone of that name is known.
pub(crate) fn is_known(name: &str) -> bool {
    let fits = name.len() <= 64
        && !name.contains("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    fits && (name == "UTC" || TimeZone::get(name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_known_by_name() {
        assert!(is_known("UTC"));
        assert!(!is_known("Mars/Olympus"));
        assert!(!is_known("../etc/passwd"));
    }
}
