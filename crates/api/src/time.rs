//! Points in time and spans as Kubernetes writes them.

use jiff::Timestamp;

/// The present moment as objects hold it, such as `2026-01-02T03:04:05Z`.
pub fn now() -> String {
    format(Timestamp::now())
}

/// A moment with seconds (`Time`); what is finer is cut off.
pub fn format(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment with microseconds (`MicroTime`), such as `2026-01-02T03:04:05.000006Z`.
pub fn format_micro(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads RFC 3339 with any precision and offset.
pub fn parse(text: &str) -> Option<Timestamp> {
    // Years before 0 and other extensions of the general format are no moments of the API.
    if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The age of what happened at a moment; `<unknown>` if that cannot be read.
pub fn age(moment: Option<&str>, now: Timestamp) -> String {
    moment
        .and_then(parse)
        .map_or_else(|| "<unknown>".to_owned(), |then| since(then, now))
}

/// How long ago a moment was, as people read it.
pub fn since(then: Timestamp, now: Timestamp) -> String {
    human_duration(now.as_second().saturating_sub(then.as_second()))
}

/// A span of seconds in at most two units, coarser the longer it is: `5s`, `3m12s`, `4h`, `2d3h`,
/// `1y20d`. Clocks may differ, so one second into the future still counts as now.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, large_unit: char, small_seconds: i64, small_unit: char| {
        let rest = seconds % large / small_seconds;
        if rest == 0 {
            format!("{}{large_unit}", seconds / large)
        } else {
            format!("{}{large_unit}{rest}{small_unit}", seconds / large)
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, 'y', DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_get_coarser_as_they_grow() {
        let spans = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (192, "3m12s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (4 * 3600 + 60, "4h1m"),
            (8 * 3600 + 60, "8h"),
            (47 * 3600, "47h"),
            (51 * 3600, "2d3h"),
            (72 * 3600, "3d"),
            (8 * 86400 + 3600, "8d"),
            (729 * 86400, "729d"),
            (730 * 86400, "2y"),
            (750 * 86400, "2y20d"),
            (9 * 365 * 86400 + 86400, "9y"),
        ];
        for (seconds, text) in spans {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn moments_are_written_as_objects_hold_them() {
        let moment: Timestamp = "2026-01-02T04:04:05.000006999+01:00".parse().unwrap();
        assert_eq!(format(moment), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro(moment), "2026-01-02T03:04:05.000006Z");
        assert_eq!(
            parse("2026-01-02T03:04:05Z").map(format).as_deref(),
            Some("2026-01-02T03:04:05Z")
        );
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse(""), None);
        assert_eq!(age(None, moment), "<unknown>");
        assert_eq!(age(Some("2026-01-02T03:04:00Z"), moment), "5s");
    }
}
