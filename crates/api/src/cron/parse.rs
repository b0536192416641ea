//! Reading schedules.

use std::str::FromStr;

use super::{Fields, Schedule};

/// A schedule longer than this is no schedule.
const MAX_BYTES: usize = 1024;

/// Why a text is no schedule, in the words that people know from Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There is nothing.
    #[error("empty spec string")]
    Empty,
    /// It is too long.
    #[error("schedule is longer than {MAX_BYTES} bytes")]
    Long,
    /// It does not have five fields.
    #[error("expected exactly 5 fields, found {}: [{}]", .0.len(), .0.join(" "))]
    Fields(Vec<String>),
    /// It begins with `@` and is none of the macros.
    #[error("unrecognized descriptor: {0}")]
    Macro(String),
    /// What follows `@every` is no span of time.
    #[error("failed to parse duration @every {0}: time: invalid duration {0:?}")]
    Duration(String),
    /// A part of a field has more than one step.
    #[error("too many slashes: {0}")]
    Slashes(String),
    /// A part of a field has more than two ends.
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    /// What should be a number is none.
    #[error("failed to parse int from {0}: strconv.Atoi: parsing {0:?}: invalid syntax")]
    Number(String),
    /// A part of a field has a step of zero.
    #[error("step of range should be a positive number: {0}")]
    Step(String),
    /// A part of a field begins too low.
    #[error("beginning of range ({start}) below minimum ({min}): {part}")]
    Below {
        /// Where it begins.
        start: u32,
        /// The lowest number of the field.
        min: u32,
        /// The part.
        part: String,
    },
    /// A part of a field ends too high.
    #[error("end of range ({end}) above maximum ({max}): {part}")]
    Above {
        /// Where it ends.
        end: u32,
        /// The highest number of the field.
        max: u32,
        /// The part.
        part: String,
    },
    /// A part of a field ends before it begins.
    #[error("beginning of range ({start}) beyond end of range ({end}): {part}")]
    Reversed {
        /// Where it begins.
        start: u32,
        /// Where it ends.
        end: u32,
        /// The part.
        part: String,
    },
}

/// A field: the lowest and the highest number, and names for numbers from the lowest on.
struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field {
    min: 0,
    max: 59,
    names: &[],
};
const HOURS: Field = Field {
    min: 0,
    max: 23,
    names: &[],
};
const DAYS: Field = Field {
    min: 1,
    max: 31,
    names: &[],
};
const MONTHS: Field = Field {
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Field = Field {
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(ScheduleError::Long);
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
            let parts = parts.into_iter().map(str::to_owned).collect();
            return Err(ScheduleError::Fields(parts));
        };
        let (minutes, _) = MINUTES.read(minutes)?;
        let (hours, _) = HOURS.read(hours)?;
        let (days, any_day) = DAYS.read(days)?;
        let (months, _) = MONTHS.read(months)?;
        let (weekdays, any_weekday) = WEEKDAYS.read(weekdays)?;
        Ok(Self::At(Fields {
            minutes,
            hours,
            days,
            months,
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
            let (set, open) = self.part(part)?;
            numbers |= set;
            is_open |= open;
        }
        Ok((numbers, is_open))
    }

    fn part(&self, part: &str) -> Result<(u64, bool), ScheduleError> {
        let text = || part.to_owned();
        let (range, step) = match part.split_once('/') {
            Some((_, step)) if step.contains('/') => return Err(ScheduleError::Slashes(text())),
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((_, last)) if last.contains('-') => return Err(ScheduleError::Hyphens(text())),
            Some((first, last)) => (first, Some(last)),
            None => (range, None),
        };
        // As in Kubernetes, whatever follows `*-` is not looked at, except that it is no second hyphen.
        let open = matches!(first, "*" | "?");
        let (start, end) = if open {
            (self.min, self.max)
        } else {
            let start = self.number(first)?;
            let end = match last {
                Some(last) => self.number(last)?,
                // `5/10` is every tenth from 5 on.
                None if step.is_some() => self.max,
                None => start,
            };
            (start, end)
        };
        let step = step.map_or(Ok(1), number)?;
        let (min, max, part) = (self.min, self.max, text());
        if step == 0 {
            return Err(ScheduleError::Step(part));
        }
        if start < min {
            return Err(ScheduleError::Below { start, min, part });
        }
        if end > max {
            return Err(ScheduleError::Above { end, max, part });
        }
        if start > end {
            return Err(ScheduleError::Reversed { start, end, part });
        }
        let mut numbers = 0;
        let mut next = Some(start);
        while let Some(number) = next.filter(|number| *number <= end) {
            numbers |= 1 << number;
            next = number.checked_add(step);
        }
        Ok((numbers, open && step == 1))
    }

    fn number(&self, text: &str) -> Result<u32, ScheduleError> {
        let lower = text.to_lowercase();
        let position = self.names.iter().position(|name| *name == lower);
        match position.and_then(|position| u32::try_from(position).ok()) {
            Some(position) => Ok(position + self.min),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u32, ScheduleError> {
    text.parse()
        .map_err(|_| ScheduleError::Number(text.to_owned()))
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
