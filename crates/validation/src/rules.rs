//! Rules for single texts: those of [`mosaic_api::names`] under short names, addresses and ports. Each
//! answers with what is wrong, in Kubernetes' words; with nothing if the text fits.

use std::net::IpAddr;

use ipnet::IpNet;

pub(crate) use mosaic_api::names::{
    config_key as data_key, dns_1035_label as label_1035, dns_label as label,
    dns_subdomain as subdomain, environment_variable as variable_name, label_value, path_segment,
    port_name, qualified_name, wildcard_dns_subdomain as wildcard_subdomain,
};

/// What is wrong with a text.
pub(crate) type Problems = Vec<String>;

/// The message of a port number out of range.
pub(crate) const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

/// An IP address.
pub(crate) fn ip(text: &str) -> Problems {
    if text.parse::<IpAddr>().is_ok() {
        return Problems::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// A network in CIDR notation.
pub(crate) fn cidr(text: &str) -> Problems {
    if text.parse::<IpNet>().is_ok() {
        return Problems::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

/// Whether a number can be a port.
pub(crate) fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
}

/// A whole percentage such as `25%`.
pub(crate) fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_canonical() {
        for good in ["10.0.0.1", "::1", "2001:db8::ffff"] {
            assert!(ip(good).is_empty(), "{good}");
        }
        for bad in ["", "10.0.0", "010.0.0.1", "a", "10.0.0.0/8"] {
            assert!(!ip(bad).is_empty(), "{bad}");
        }
        assert!(cidr("10.0.0.0/8").is_empty());
        assert!(!cidr("10.0.0.0/33").is_empty());
        assert!(!cidr("10.0.0.0").is_empty());
    }

    #[test]
    fn percentages_are_whole() {
        assert_eq!(percent("25%"), Some(25));
        for bad in ["", "%", "25", "-5%", "2.5%", "99999999999999999999%"] {
            assert_eq!(percent(bad), None, "{bad}");
        }
    }
}
