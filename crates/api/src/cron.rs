//! Schedules of cron jobs: five fields, a macro, or `@every` and a span.
//!
//! A schedule of fields means every minute whose date and time of day, in its time zone, it matches. So a time
//! that the clocks skip in spring is skipped, and one that they show twice in autumn happens twice, as on Kubernetes.
//!
//! Fields are minute, hour, day of the month, month and day of the week, each a list of `*`, `?`, numbers, names
//! (`jan`, `mon`) and ranges, with an optional step. If both days are restricted, one of them has to match; a day field
//! is not restricted if it begins with `*` or `?` and has no step above 1.

mod next;
mod parse;
#[cfg(test)]
mod tests;

use jiff::{Timestamp, tz::TimeZone};

pub use parse::ScheduleError;

/// Ticks that are looked at one by one before it is said that there are many.
const FEW: usize = 100;

/// When something is to happen again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At every minute that matches.
    At(Fields),
    /// So many seconds after the last time; at least 1.
    Every(i64),
}

/// The minutes that match, each field as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the day of the month, and that of the week, are left open.
    any_day: bool,
    any_weekday: bool,
}

/// The ticks of a schedule in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    /// The last of them.
    pub last: Timestamp,
    /// Whether there are more than 100.
    pub many: bool,
}

impl Schedule {
    /// The first tick after a moment. None if there is none within eight years, which has the leap day of every
    /// four years in it.
    pub fn next_after(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(fields) => next::after(fields, moment, zone),
            Self::Every(seconds) => {
                let second = Timestamp::from_second(moment.as_second()).ok()?;
                second
                    .checked_add(jiff::SignedDuration::from_secs(*seconds))
                    .ok()
            }
        }
    }

    /// The ticks after one moment, up to another one and including it.
    pub fn ticks(&self, after: Timestamp, until: Timestamp, zone: &TimeZone) -> Option<Ticks> {
        if let Self::Every(seconds) = self {
            let count = until.as_second().saturating_sub(after.as_second()) / seconds;
            let last = after
                .as_second()
                .saturating_add(count.saturating_mul(*seconds));
            let last = Timestamp::from_second(last).ok()?;
            return (count > 0).then_some(Ticks {
                last,
                many: usize::try_from(count).is_ok_and(|count| count > FEW),
            });
        }
        let mut last = None;
        let mut from = after;
        for _ in 0..=FEW {
            match self.next_after(from, zone).filter(|tick| *tick <= until) {
                Some(tick) => (last, from) = (Some(tick), tick),
                None => return last.map(|last| Ticks { last, many: false }),
            }
        }
        Some(Ticks {
            last: self.last_until(from, until, zone),
            many: true,
        })
    }

    /// The last tick up to a moment, if this is one before it. That there is a tick after a second, and not after
    /// `until`, holds for all seconds up to the last tick's and for none from there on: so it is found by halving.
    fn last_until(&self, known: Timestamp, until: Timestamp, zone: &TimeZone) -> Timestamp {
        let after = |second: i64| {
            let moment = Timestamp::from_second(second).ok()?;
            self.next_after(moment, zone).filter(|tick| *tick <= until)
        };
        let mut last = known;
        let (mut low, mut high) = (known.as_second(), until.as_second());
        while low < high {
            let middle = low + (high - low) / 2;
            match after(middle) {
                Some(tick) => (last, low) = (tick, tick.as_second()),
                None => high = middle,
            }
        }
        last
    }
}
