//! Times, durations and quantities, as whole numbers of billionths.

use crate::scalar::is_date_time;

const NANOS: i128 = 1_000_000_000;

/// RFC 3339 to nanoseconds since 1970.
pub(super) fn parse_timestamp(text: &str) -> Option<i128> {
    if !is_date_time(text) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days_from_civil(part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let mut seconds = days * 86_400 + part(11, 13)? * 3_600 + part(14, 16)? * 60 + part(17, 19)?;
    let rest = text.get(19..)?;
    let (fraction, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    if let Some(sign) = offset.get(..1).filter(|sign| *sign == "+" || *sign == "-") {
        let ahead = offset.get(1..3)?.parse::<i64>().ok()? * 3_600
            + offset.get(4..6)?.parse::<i64>().ok()? * 60;
        seconds -= if sign == "+" { ahead } else { -ahead };
    }
    let digits: String = fraction
        .chars()
        .skip(1)
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some(i128::from(seconds) * NANOS + digits.parse::<i128>().ok()?)
}

/// Days since 1970 of a day of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of days since 1970.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Go's durations, such as `1h30m`, in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3_600 * NANOS,
            _ => return None,
        };
        total = total.checked_add(scaled(number, nanos)?)?;
        rest = after;
    }
    let limit = i128::from(i64::MAX);
    (total <= limit).then_some(if negative { -total } else { total })
}

/// A decimal number times a factor.
fn scaled(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || number.len() > 40 {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i128>()
                .ok()
                .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        }
    };
    let fraction: &str = fraction.get(..fraction.len().min(15))?;
    let below =
        digits(fraction)?.checked_mul(factor)? / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    digits(whole)?.checked_mul(factor)?.checked_add(below)
}

/// A resource quantity, such as `1.5Gi`, in billionths.
pub(super) fn parse_quantity(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let decimal = |power: u32| 10_i128.checked_pow(power);
    let factor = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => NANOS,
        "k" => NANOS * decimal(3)?,
        "M" => NANOS * decimal(6)?,
        "G" => NANOS * decimal(9)?,
        "T" => NANOS * decimal(12)?,
        "P" => NANOS * decimal(15)?,
        "E" => NANOS * decimal(18)?,
        "Ki" => NANOS << 10,
        "Mi" => NANOS << 20,
        "Gi" => NANOS << 30,
        "Ti" => NANOS << 40,
        "Pi" => NANOS << 50,
        "Ei" => NANOS << 60,
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            match u32::try_from(power) {
                Ok(power) => NANOS.checked_mul(decimal(power.min(30))?)?,
                Err(_) => NANOS / decimal(power.unsigned_abs().min(30))?,
            }
        }
    };
    let value = scaled(number, factor)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_split() {
        assert_eq!(
            parse_timestamp("1970-01-01T00:00:01.5Z"),
            Some(1_500_000_000)
        );
        assert_eq!(
            parse_timestamp("2000-03-01T01:00:00+01:00"),
            Some(951_868_800 * NANOS)
        );
        for days in [-800_000, -1, 0, 59, 11_016, 20_000, 800_000] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn durations_and_quantities() {
        assert_eq!(parse_duration("1h30m"), Some(5_400 * NANOS));
        assert_eq!(parse_duration("-1.5s"), Some(-1_500_000_000));
        assert_eq!(parse_duration("1"), None);
        assert_eq!(parse_quantity("100m"), Some(100_000_000));
        assert_eq!(parse_quantity("1.5Ki"), Some(1536 * NANOS));
        assert_eq!(parse_quantity("1e3"), Some(1_000 * NANOS));
        assert_eq!(parse_quantity("x"), None);
        assert_eq!(parse_quantity("1Kb"), None);
    }
}
