//! Durations as people write them in annotations and flags.

/// Reads `3s`, `250ms`, `1m30s` or `2h`, in milliseconds; at most 1,000 hours.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    const MOST: u64 = 1_000 * 3_600_000;
    let wrong = || format!("`{text}` is no duration such as 3s, 250ms or 1m30s");
    if text.is_empty() {
        return Err(wrong());
    }
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        total = number
            .checked_mul(unit)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MOST)
            .ok_or_else(|| format!("`{text}` is longer than 1000h"))?;
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_people_write() {
        assert_eq!(millis("3s"), Ok(3_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("0s"), Ok(0));
        for bad in [
            "",
            "3",
            "s",
            "3x",
            "-1s",
            "99999999999999999999s",
            "1001h",
            "3 s",
        ] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }
}
