//! Schedules of cron jobs: five fields, or a macro.

use jiff::tz::TimeZone;

/// A schedule longer than this is no schedule.
const MAX_BYTES: usize = 1024;

struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        min: 0,
        max: 59,
        names: &[],
    },
    Field {
        min: 0,
        max: 23,
        names: &[],
    },
    Field {
        min: 1,
        max: 31,
        names: &[],
    },
    Field {
        min: 1,
        max: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        min: 0,
        max: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const MACROS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Whether a schedule can be followed; what is wrong with it if not.
pub(crate) fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    if schedule.len() > MAX_BYTES {
        return Err(format!("schedule is longer than {MAX_BYTES} bytes"));
    }
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            parts.len(),
            parts.join(" ")
        ));
    }
    for (part, field) in parts.iter().zip(&FIELDS) {
        for range in part.split(',').filter(|r| !r.is_empty()) {
            field.range(range)?;
        }
    }
    Ok(())
}

fn descriptor(schedule: &str) -> Result<(), String> {
    if MACROS.contains(&schedule) {
        return Ok(());
    }
    let Some(duration) = schedule.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {schedule}"));
    };
    if is_duration(duration) {
        Ok(())
    } else {
        Err(format!(
            "failed to parse duration {schedule}: time: invalid duration {duration:?}"
        ))
    }
}

/// Numbers with units, such as `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (digits, after) = rest.split_at(number);
        if digits.parse::<f64>().is_err() {
            return false;
        }
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .into_iter()
            .filter_map(|unit| after.strip_prefix(unit))
            .min_by_key(|left| left.len());
        let Some(left) = unit else {
            return false;
        };
        rest = left;
        any = true;
    }
    any
}

impl Field {
    fn range(&self, text: &str) -> Result<(), String> {
        let mut step_parts = text.split('/');
        let span = step_parts.next().unwrap_or_default();
        let step = step_parts.next();
        if step_parts.next().is_some() {
            return Err(format!("too many slashes: {text}"));
        }
        let mut ends = span.split('-');
        let low = ends.next().unwrap_or_default();
        let high = ends.next();
        if ends.next().is_some() {
            return Err(format!("too many hyphens: {text}"));
        }
        let (start, end) = if matches!(low, "*" | "?") {
            (self.min, self.max)
        } else {
            let start = self.number(low)?;
            let end = match high {
                Some(high) => self.number(high)?,
                None if step.is_some() => self.max,
                None => start,
            };
            (start, end)
        };
        if let Some(step) = step
            && number(step)? == 0
        {
            return Err(format!("step of range should be a positive number: {text}"));
        }
        if start < self.min {
            return Err(format!(
                "beginning of range ({start}) below minimum ({}): {text}",
                self.min
            ));
        }
        if end > self.max {
            return Err(format!(
                "end of range ({end}) above maximum ({}): {text}",
                self.max
            ));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {text}"
            ));
        }
        Ok(())
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_lowercase();
        let position = self.names.iter().position(|name| *name == lower);
        match position.and_then(|p| u32::try_from(p).ok()) {
            Some(position) => Ok(position + self.min),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
    })
}

/// Whether a time zone of that name is known.
pub(crate) fn is_time_zone(name: &str) -> bool {
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
    fn schedules_that_can_be_followed() {
        for schedule in [
            "* * * * *",
            "*/5 0-6 1,15 jan-mar mon",
            "0 12 ? * SUN",
            "5/10 * * * *",
            "@hourly",
            "@every 1h30m",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
    }

    #[test]
    fn schedules_that_cannot() {
        for (schedule, problem) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("@never", "unrecognized descriptor: @never"),
            (
                "a * * * *",
                "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax",
            ),
            (
                "@every soon",
                "failed to parse duration @every soon: time: invalid duration \"soon\"",
            ),
        ] {
            assert_eq!(check(schedule), Err(problem.to_owned()), "{schedule}");
        }
    }

    #[test]
    fn time_zones_are_known_by_name() {
        assert!(is_time_zone("UTC"));
        assert!(!is_time_zone("Mars/Olympus"));
        assert!(!is_time_zone("../etc/passwd"));
    }
}
