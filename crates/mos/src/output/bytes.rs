//! Amounts of bytes for people.

/// Bytes for people, in powers of ten as Docker shows them.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    // Exact enough: three digits are shown.
    #[expect(clippy::cast_precision_loss)]
    let mut value = bytes as f64;
    let mut shown = "B";
    for unit in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        shown = unit;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{shown}")
}

#[cfg(test)]
mod tests {
    use super::bytes as size;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1_000, "1.00kB"),
            (20_971_520, "21.0MB"),
            (999_400, "999kB"),
            (999_600, "1.00MB"),
            (123_456_789_000, "123GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
