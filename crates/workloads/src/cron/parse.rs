//! Reading schedules.

use std::str::FromStr;

use super::{Fields, Schedule};

/// A schedule longer than this is no schedule.
const MAX_BYTES: usize = 1024;

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is empty or too long.
    #[error("a schedule has 1 to {MAX_BYTES} bytes")]
    Length,
    /// It does not have five fields.
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    /// It begins with `@` and is none of the macros.
    #[error("unrecognized descriptor: {0}")]
    Macro(String),
    /// What follows `@every` is no span of time.
    #[error("failed to parse duration {0}")]
    Duration(String),
    /// A part of a field cannot be read, or is out of range.
    #[error("{0:?} is no {1}")]
    Part(String, &'static str),
}

/// A field: what it is, the lowest and the highest number, and names for numbers from the lowest on.
struct Field {
    what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field {
    what: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const HOURS: Field = Field {
    what: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAYS: Field = Field {
    what: "day of the month",
    min: 1,
    max: 31,
    names: &[],
};
const MONTHS: Field = Field {
    what: "month",
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Field = Field {
    what: "day of the week",
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(ScheduleError::Length);
        }
        if let Some(span) = text.strip_prefix("@every ") {
            let seconds = seconds(span).ok_or_else(|| ScheduleError::Duration(span.to_owned()))?;
            return Ok(Self::Every(seconds.max(1)));
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => return Err(ScheduleError::Macro(other.to_owned())),
            other => other,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(ScheduleError::Fields(parts.len()));
        };
        let (days, any_day) = DAYS.read(days)?;
        let (weekdays, any_weekday) = WEEKDAYS.read(weekdays)?;
        Ok(Self::At(Fields {
            minutes: MINUTES.read(minutes)?.0,
            hours: HOURS.read(hours)?.0,
            days,
            months: MONTHS.read(months)?.0,
            weekdays,
            any_day,
            any_weekday,
        }))
    }
}

impl Field {
    /// The numbers of a list, and whether it leaves the field open.
    fn read(&self, list: &str) -> Result<(u64, bool), ScheduleError> {
        let mut numbers = 0;
        let mut is_open = false;
        for part in list.split(',').filter(|part| !part.is_empty()) {
            let (set, open) = self
                .part(part)
                .ok_or_else(|| ScheduleError::Part(part.to_owned(), self.what))?;
            numbers |= set;
            is_open |= open;
        }
        Ok((numbers, is_open))
    }

    fn part(&self, part: &str) -> Option<(u64, bool)> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                Some(step.parse::<u32>().ok().filter(|step| *step > 0)?),
            ),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first, Some(last)),
            None => (range, None),
        };
        // As in Kubernetes, whatever follows `*-` is not looked at, except that it is no second hyphen.
        let open = matches!(first, "*" | "?");
        if last.is_some_and(|last| last.contains('-')) {
            return None;
        }
        let (min, max) = if open {
            (self.min, self.max)
        } else {
            let first = self.number(first)?;
            let last = match last {
                Some(last) => self.number(last)?,
                // `5/10` is every tenth from 5 on.
                None if step.is_some() => self.max,
                None => first,
            };
            (first, last)
        };
        if min < self.min || max > self.max || min > max {
            return None;
        }
        let step = step.unwrap_or(1);
        let mut numbers = 0;
        let mut number = min;
        while number <= max {
            numbers |= 1 << number;
            number = number.checked_add(step)?;
        }
        Some((numbers, open && step == 1))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let lower = text.to_lowercase();
        let position = self.names.iter().position(|name| *name == lower);
        match position.and_then(|position| u32::try_from(position).ok()) {
            Some(position) => Some(position + self.min),
            None => text.parse().ok(),
        }
    }
}

/// Whole seconds of a span such as `1h30m`, `90s` or `1.5h`.
fn seconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let (number, after) = rest.split_at(rest.len() - digits.len());
        let number: f64 = number.parse().ok()?;
        let units = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("μs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ];
        let (left, unit) = units
            .into_iter()
            .find_map(|(name, unit)| Some((after.strip_prefix(name)?, unit)))?;
        total += number * unit;
        rest = left;
    }
    // Go's spans end at 292 years.
    let whole = (sign * total).trunc();
    if whole.abs() > 9.2e9 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)]
    Some(whole as i64)
}
