//! The syntax of strings that hold something else.

/// Whether the text is RFC 3339 with seconds, an optional fraction and an offset, and a moment that can be reckoned with:
/// the last two days of the year 9999 are none.
pub(crate) fn is_date_time(text: &str) -> bool {
    has_form_of_date_time(text) && text.parse::<jiff::Timestamp>().is_ok()
}

fn has_form_of_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date, rest)) = bytes.split_at_checked(10) else {
        return false;
    };
    let Some((mark, rest)) = rest.split_first() else {
        return false;
    };
    let Some((clock, rest)) = rest.split_at_checked(8) else {
        return false;
    };
    is_date(date) && matches!(mark, b'T' | b't') && is_clock(clock) && is_offset(fraction(rest))
}

/// Whether the text is `2006-01-02`, a day that exists.
pub(crate) fn is_date(text: &[u8]) -> bool {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (
        digits(&[y1, y2, y3, y4]),
        digits(&[m1, m2]),
        digits(&[d1, d2]),
    ) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=last).contains(&day)
}

fn is_clock(text: &[u8]) -> bool {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else {
        return false;
    };
    let within = |pair: [u8; 2], limit| digits(&pair).is_some_and(|n| n < limit);
    within([h1, h2], 24) && within([m1, m2], 60) && within([s1, s2], 60)
}

/// What follows a fraction of a second, if there is one.
fn fraction(text: &[u8]) -> &[u8] {
    let Some((b'.' | b',', rest)) = text.split_first() else {
        return text;
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // A point without digits is no fraction, so that the point remains and is refused.
    if count == 0 {
        text
    } else {
        rest.get(count..).unwrap_or_default()
    }
}

fn is_offset(text: &[u8]) -> bool {
    match text {
        b"Z" | b"z" => true,
        &[b'+' | b'-', h1, h2, b':', m1, m2] => {
            digits(&[h1, h2]).is_some_and(|n| n < 24) && digits(&[m1, m2]).is_some_and(|n| n < 60)
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

/// Whether the text is base64 with padding; line breaks are skipped, as Go does.
///
/// # Errors
///
/// Where it stops being base64, in bytes.
pub(crate) fn is_base64(text: &str) -> Result<(), usize> {
    let mut count = 0_usize;
    let mut padded = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' => {
                // Padding stands for the last one or two of four characters.
                if count % 4 < 2 {
                    return Err(at);
                }
                padded = true;
                count += 1;
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if !padded => count += 1,
            _ => return Err(at),
        }
    }
    if count.is_multiple_of(4) {
        Ok(())
    } else {
        Err(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times_are_rfc_3339() {
        for right in [
            "2024-02-29T23:59:59Z",
            "2026-01-01T00:00:00.123456Z",
            "2026-01-01T00:00:00+02:30",
        ] {
            assert!(is_date_time(right), "{right}");
        }
        for wrong in [
            "",
            "2024-01-01",
            "2023-02-29T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(!is_date_time(wrong), "{wrong}");
        }
    }

    #[test]
    fn base64_is_padded() {
        for right in ["", "QQ==", "QUI=", "QUJD", "QUJD\nQUJD"] {
            assert_eq!(is_base64(right), Ok(()), "{right}");
        }
        for (wrong, at) in [
            ("Q", 1),
            ("Q===", 1),
            ("QQ=", 3),
            ("QQ==QQ==", 4),
            ("Q!==", 1),
            ("=", 0),
            ("QUJD=", 4),
            ("QUI==", 4),
        ] {
            assert_eq!(is_base64(wrong), Err(at), "{wrong}");
        }
    }
}
