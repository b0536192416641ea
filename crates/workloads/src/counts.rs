//! Counting, without overflow.

/// How many there are, as statuses hold it.
pub(crate) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A count as statuses hold those that are absent when there is nothing to count.
pub(crate) fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

/// A number that must not be negative, as a length.
pub(crate) fn length(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The earlier of two moments of which each may be absent.
pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// So many seconds later; the end of time if that is beyond it.
pub(crate) fn after(moment: jiff::Timestamp, seconds: i64) -> jiff::Timestamp {
    moment
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(if seconds < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
}
