//! Selectors and quantities: what is accepted is written back as something that means the same. Schedules: what
//! is accepted goes on and on.

use std::str::from_utf8;

use jiff::{Timestamp, tz::TimeZone};
use mosaic_api::{FieldSelector, LabelSelector, Quantity, cron::Schedule};

/// A label selector as in a query.
pub fn label_selector(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        let written = selector.to_string();
        assert_eq!(
            LabelSelector::parse(&written).as_ref(),
            Ok(&selector),
            "{written}"
        );
    }
}

/// A field selector as in a query.
pub fn field_selector(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(selector) = FieldSelector::parse(text) {
        let written = selector.to_string();
        assert_eq!(
            FieldSelector::parse(&written).as_ref(),
            Ok(&selector),
            "{written}"
        );
    }
}

/// A resource quantity.
pub fn quantity(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(quantity) = text.parse::<Quantity>() {
        let written = quantity.to_string();
        let read: Result<Quantity, _> = written.parse();
        assert!(
            read.as_ref().is_ok_and(|read| read.cmp(&quantity).is_eq()),
            "{text} became {written}"
        );
        let _ = (
            quantity.value(),
            quantity.milli_value(),
            quantity.add(quantity),
            quantity.sub(quantity),
        );
    }
}

/// The schedule of a cron job: the tick after a moment is later, and none is between them.
pub fn schedule(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    let Ok(schedule) = text.parse::<Schedule>() else {
        return;
    };
    let zone = TimeZone::get("America/St_Johns").unwrap_or(TimeZone::UTC);
    let mut moment = Timestamp::from_second(1_790_000_000).unwrap_or_default();
    for _ in 0..10 {
        let Some(next) = schedule.next_after(moment, &zone) else {
            return;
        };
        assert!(next > moment, "{text} after {moment}");
        let ticks = schedule.ticks(moment, next, &zone);
        assert!(
            ticks.is_some_and(|ticks| ticks.last == next && !ticks.many),
            "{text} after {moment}"
        );
        moment = next;
    }
}
