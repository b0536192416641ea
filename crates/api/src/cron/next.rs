//! Finding the next minute that matches.
//!
//! A time zone is a row of stretches with one offset from UTC each. In a stretch local time is UTC and a number, so
//! that the next match is found by looking at dates alone; where the clocks change, the next stretch begins.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

use super::Fields;

/// How far ahead to look, in seconds: eight years and some days.
const HORIZON: i64 = 8 * 366 * 24 * 3600;

/// The first minute after a moment that matches.
pub(super) fn after(fields: &Fields, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let horizon = moment.as_second().saturating_add(HORIZON);
    // Not the moment itself, also if it is a whole minute.
    let mut from = Timestamp::from_second(moment.as_second()).ok()?;
    from = from.checked_add(SignedDuration::from_secs(1)).ok()?;
    loop {
        let offset = zone.to_offset(from);
        let end = zone.following(from).next().map(|change| change.timestamp());
        // A change at `from` itself is not among those that follow, so every stretch is longer than nothing.
        if let Some(found) = in_stretch(fields, from, end, offset, horizon) {
            return (found.as_second() <= horizon).then_some(found);
        }
        from = end.filter(|end| *end > from && end.as_second() <= horizon)?;
    }
}

/// The first match from a moment on and before another one, at a fixed offset.
fn in_stretch(
    fields: &Fields,
    from: Timestamp,
    end: Option<Timestamp>,
    offset: Offset,
    horizon: i64,
) -> Option<Timestamp> {
    let local = offset.to_datetime(from);
    let mut date = local.date();
    let mut time = whole_minute(local)?;
    if time.date != date {
        date = time.date;
    }
    loop {
        if fields.matches_date(date)
            && let Some(found) = fields.first_from(time.hour, time.minute)
        {
            let civil = date.to_datetime(Time::new(found.0, found.1, 0, 0).ok()?);
            let moment = offset.to_timestamp(civil).ok()?;
            return end.is_none_or(|end| moment < end).then_some(moment);
        }
        date = fields.next_date(date)?;
        time = Start {
            date,
            hour: 0,
            minute: 0,
        };
        let begin = offset
            .to_timestamp(date.to_datetime(Time::midnight()))
            .ok()?;
        if end.is_some_and(|end| begin >= end) || begin.as_second() > horizon {
            return None;
        }
    }
}

struct Start {
    date: Date,
    hour: u32,
    minute: u32,
}

/// The first whole minute from a moment of a day on.
fn whole_minute(local: DateTime) -> Option<Start> {
    let whole = if local.second() == 0 && local.subsec_nanosecond() == 0 {
        local
    } else {
        local.checked_add(SignedDuration::from_mins(1)).ok()?
    };
    Some(Start {
        date: whole.date(),
        hour: u32::try_from(whole.hour()).ok()?,
        minute: u32::try_from(whole.minute()).ok()?,
    })
}

fn has(set: u64, number: u32) -> bool {
    set.checked_shr(number).is_some_and(|rest| rest & 1 == 1)
}

/// The first number of a set from this one on.
fn first(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}

impl Fields {
    fn matches_date(&self, date: Date) -> bool {
        let month = u32::from(date.month().unsigned_abs());
        let day = has(self.days, u32::from(date.day().unsigned_abs()));
        let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        let weekday = has(self.weekdays, weekday);
        let is_open = self.any_day || self.any_weekday;
        has(self.months, month)
            && if is_open {
                day && weekday
            } else {
                day || weekday
            }
    }

    /// The next date that may match: months that do not are skipped.
    fn next_date(&self, date: Date) -> Option<Date> {
        let tomorrow = date.tomorrow().ok()?;
        let month = u32::from(tomorrow.month().unsigned_abs());
        if has(self.months, month) {
            return Some(tomorrow);
        }
        let (year, month) = match first(self.months, month) {
            Some(month) => (tomorrow.year(), month),
            None => (tomorrow.year().checked_add(1)?, first(self.months, 1)?),
        };
        Date::new(year, i8::try_from(month).ok()?, 1).ok()
    }

    /// The first hour and minute of a day from these on.
    fn first_from(&self, hour: u32, minute: u32) -> Option<(i8, i8)> {
        let found = if has(self.hours, hour)
            && let Some(minute) = first(self.minutes, minute)
        {
            (hour, minute)
        } else {
            (first(self.hours, hour + 1)?, first(self.minutes, 0)?)
        };
        Some((i8::try_from(found.0).ok()?, i8::try_from(found.1).ok()?))
    }

    #[cfg(test)]
    pub(super) fn matches(&self, local: DateTime) -> bool {
        let number = |n: i8| u32::from(n.unsigned_abs());
        self.matches_date(local.date())
            && has(self.hours, number(local.hour()))
            && has(self.minutes, number(local.minute()))
    }
}
