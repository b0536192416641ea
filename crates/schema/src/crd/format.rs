//! The `format`s of strings that are checked. A format that is not known says nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::scalar::{is_base64, is_date, is_date_time};

/// Whether a text is of a format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_date_time(text),
        "date" => is_date(text.as_bytes()),
        "duration" => is_duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some(b'3')),
        "uuid4" => is_uuid(text, Some(b'4')),
        "uuid5" => is_uuid(text, Some(b'5')),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "byte" => is_base64(text).is_ok(),
        "hexcolor" => is_hex_color(text),
        "k8s-short-name" => is_label(text),
        "k8s-long-name" => text.len() <= 253 && text.split('.').all(is_label),
        _ => true,
    }
}

/// Go's durations (`1h30m`), and a number with a unit in words (`2 days`).
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 6] = ["ns", "us", "µs", "ms", "s", "m"];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    let mut rest = unsigned;
    let mut parts = 0;
    while !rest.is_empty() {
        let number = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (digits, after) = rest.split_at(number);
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let after = after.trim_start_matches(' ');
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(unit);
        let words = [
            "h", "d", "w", "hour", "hours", "day", "days", "week", "weeks", "minute", "minutes",
            "second", "seconds",
        ];
        if !UNITS.contains(&unit) && !words.contains(&unit) {
            return false;
        }
        rest = after.trim_start_matches(' ');
        parts += 1;
    }
    parts > 0
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let plain =
        bits == "0" || !bits.starts_with('0') && bits.bytes().all(|byte| byte.is_ascii_digit());
    let limit = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), _) => 32,
        (_, Ok(_)) => 128,
        _ => return false,
    };
    plain && bits.parse::<u8>().is_ok_and(|bits| bits <= limit)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains(':') { ':' } else { '-' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| part.len() == 2 && is_hex(part))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Hyphens between the groups may be left out.
fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let mut digits = Vec::with_capacity(32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'-' if matches!(digits.len(), 8 | 12 | 16 | 20)
                && text.as_bytes().get(at.wrapping_sub(1)) != Some(&b'-') => {}
            _ if byte.is_ascii_hexdigit() && digits.len() < 32 => digits.push(byte),
            _ => return false,
        }
    }
    let variant = digits
        .get(16)
        .is_some_and(|byte| matches!(byte.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'));
    digits.len() == 32
        && version
            .is_none_or(|version| digits.get(12) == Some(&version) && (version == b'3' || variant))
}

/// An absolute URI, or a path.
fn is_uri(text: &str) -> bool {
    if text.is_empty()
        || text
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ')
    {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let head = scheme
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    head && !rest.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !"()<>[]:;@\\,\"".contains(c))
    };
    plain(local) && plain(domain)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= 255 && text.split('.').all(label)
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && is_hex(digits)
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let right = [
            ("date-time", "2026-01-02T03:04:05Z"),
            ("date", "2024-02-29"),
            ("duration", "1h30m"),
            ("duration", "1.5s"),
            ("duration", "2 days"),
            ("ipv4", "10.0.0.1"),
            ("ipv6", "fe80::1"),
            ("cidr", "10.0.0.0/8"),
            ("cidr", "fd00::/64"),
            ("mac", "00:11:22:aa:bb:cc"),
            ("uuid", "123E4567-e89b-12d3-a456-426614174000"),
            ("uuid4", "123e4567e89b42d3a456426614174000"),
            ("uri", "https://example.com/a?b"),
            ("email", "a.b@example.com"),
            ("hostname", "db-0.example.com"),
            ("byte", "QQ=="),
            ("something-else", "?"),
        ];
        for (format, text) in right {
            assert!(fits(format, text), "{format}: {text}");
        }
        let wrong = [
            ("date-time", "2026-01-02"),
            ("date", "2023-02-29"),
            ("duration", "1x"),
            ("duration", ""),
            ("ipv4", "10.0.0.256"),
            ("ipv4", "010.0.0.1"),
            ("ipv6", "10.0.0.1"),
            ("cidr", "10.0.0.0/33"),
            ("cidr", "10.0.0.0"),
            ("mac", "00:11:22"),
            ("uuid", "123e4567-e89b-12d3-a456-42661417400"),
            ("uuid4", "123e4567-e89b-12d3-a456-426614174000"),
            ("uri", "no uri"),
            ("email", "a@"),
            ("hostname", "-a"),
            ("byte", "Q"),
        ];
        for (format, text) in wrong {
            assert!(!fits(format, text), "{format}: {text}");
        }
    }
}
