use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};
use proptest::prelude::*;

use super::*;

fn schedule(text: &str) -> Schedule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The next ticks in local time.
fn ticks(text: &str, zone_name: &str, from: &str, count: usize) -> Vec<String> {
    let zone = zone(zone_name);
    let from: DateTime = from.parse().unwrap();
    let mut moment = zone.to_timestamp(from).unwrap();
    (0..count)
        .map_while(|_| {
            moment = schedule(text).next_after(moment, &zone)?;
            Some(
                moment
                    .to_zoned(zone.clone())
                    .strftime("%Y-%m-%d %H:%M %:z")
                    .to_string(),
            )
        })
        .collect()
}

#[test]
fn fields_macros_and_spans_say_when() {
    for (text, expected) in [
        (
            "*/15 * * * *",
            ["2026-01-01 00:15", "2026-01-01 00:30", "2026-01-01 00:45"],
        ),
        (
            "5/25 3 * * *",
            ["2026-01-01 03:05", "2026-01-01 03:30", "2026-01-01 03:55"],
        ),
        (
            "0 9-17/4 * * MON-Fri",
            ["2026-01-01 09:00", "2026-01-01 13:00", "2026-01-01 17:00"],
        ),
        (
            "0 0 29 feb ?",
            ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"],
        ),
        // Either day, if both are restricted.
        (
            "0 0 13 * fri",
            ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"],
        ),
        // A step makes a restriction of a star, a step of one does not.
        (
            "0 0 */20 * fri",
            ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-16 00:00"],
        ),
        (
            "0 0 */1 * fri",
            ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-16 00:00"],
        ),
        (
            "0 0 1,,15 1,jul *",
            ["2026-01-15 00:00", "2026-07-01 00:00", "2026-07-15 00:00"],
        ),
        (
            "0 0 */4294967295 * *",
            ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"],
        ),
        (
            "@hourly",
            ["2026-01-01 01:00", "2026-01-01 02:00", "2026-01-01 03:00"],
        ),
        (
            "@daily",
            ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"],
        ),
        (
            "@weekly",
            ["2026-01-04 00:00", "2026-01-11 00:00", "2026-01-18 00:00"],
        ),
        (
            "@monthly",
            ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"],
        ),
        (
            "@yearly",
            ["2027-01-01 00:00", "2028-01-01 00:00", "2029-01-01 00:00"],
        ),
        (
            "@every 1h30m",
            ["2026-01-01 01:30", "2026-01-01 03:00", "2026-01-01 04:30"],
        ),
    ] {
        let expected = expected.map(|tick| format!("{tick} +00:00"));
        assert_eq!(
            ticks(text, "UTC", "2026-01-01T00:00:00", 3),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_date_that_never_comes_is_no_tick() {
    assert_eq!(
        ticks("0 0 31 2 *", "UTC", "2026-01-01T00:00:00", 1),
        Vec::<String>::new()
    );
    assert_eq!(
        ticks(", * * * *", "UTC", "2026-01-01T00:00:00", 1),
        Vec::<String>::new()
    );
}

#[test]
fn a_time_that_clocks_skip_is_skipped_and_one_that_they_repeat_happens_twice() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00", 2),
        ["2026-03-28 02:30 +01:00", "2026-03-30 02:30 +02:00"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00", 3),
        [
            "2026-10-25 02:30 +02:00",
            "2026-10-25 02:30 +01:00",
            "2026-10-26 02:30 +01:00"
        ]
    );
    // Lord Howe Island turns its clocks by half an hour.
    assert_eq!(
        ticks(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-05T00:00:00",
            3
        ),
        [
            "2026-04-05 01:45 +11:00",
            "2026-04-05 01:45 +10:30",
            "2026-04-06 01:45 +10:30"
        ]
    );
}

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
        assert!(schedule.parse::<Schedule>().is_ok(), "{schedule}");
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
        let told = schedule
            .parse::<Schedule>()
            .map_err(|error| error.to_string());
        assert_eq!(told, Err(problem.to_owned()), "{schedule}");
    }
}

#[test]
fn what_is_no_schedule_is_refused() {
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
        "a * * * *",
        "-1 * * * *",
        "@never",
        "@every",
        "@every ",
        "@every soon",
        "@every 1",
        "@every 1h-",
        "@every .s",
    ] {
        assert!(text.parse::<Schedule>().is_err(), "{text}");
    }
    assert!("*".repeat(2000).parse::<Schedule>().is_err());
    assert_eq!(schedule("@every 10ms"), Schedule::Every(1));
    assert_eq!(schedule("@every 1.5h"), Schedule::Every(5400));
}

#[test]
fn the_last_of_many_ticks_is_found() {
    let utc = TimeZone::UTC;
    let start: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
    let later = |seconds: i64| Timestamp::from_second(start.as_second() + seconds).unwrap();
    let minutely = schedule("* * * * *");
    assert_eq!(minutely.ticks(start, later(29), &utc), None);
    assert_eq!(
        minutely.ticks(start, later(30), &utc),
        Some(Ticks {
            last: later(30),
            many: false
        })
    );
    let hundred = minutely.ticks(start, later(30 + 99 * 60), &utc);
    assert_eq!(
        hundred,
        Some(Ticks {
            last: later(30 + 99 * 60),
            many: false
        })
    );
    let year = 365 * 86400;
    assert_eq!(
        minutely.ticks(start, later(year), &utc),
        Some(Ticks {
            last: later(year - 30),
            many: true
        })
    );
    let yearly = schedule("@yearly")
        .ticks(start, later(200 * year), &utc)
        .unwrap();
    assert_eq!(
        (yearly.last.to_string().as_str(), yearly.many),
        ("2225-01-01T00:00:00Z", true)
    );
    let every = schedule("@every 7s");
    assert_eq!(every.ticks(start, later(6), &utc), None);
    assert_eq!(
        every.ticks(start, later(20), &utc),
        Some(Ticks {
            last: later(14),
            many: false
        })
    );
}

fn part(max: u32, min: u32) -> impl Strategy<Value = String> {
    let number = min..=max;
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => number.clone().prop_map(|n| n.to_string()),
        1 => (number.clone(), 1..40_u32).prop_map(|(n, step)| format!("{n}/{step}")),
        1 => (1..40_u32).prop_map(|step| format!("*/{step}")),
        1 => (number.clone(), number).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

prop_compose! {
    fn fields()(m in part(59, 0), h in part(23, 0), d in part(31, 1), mon in part(12, 1), w in part(6, 0)) -> String {
        format!("{m} {h} {d} {mon} {w}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Looking at every minute one after the other finds the same.
    #[test]
    fn the_next_tick_is_the_next_minute_that_matches(
        text in fields(),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]),
        // Around the changes of the clocks, in spring and in autumn, and elsewhere.
        start in prop::sample::select(vec![1_774_660_000_i64, 1_792_880_000, 1_793_500_000, 1_772_900_000, 1_775_300_000, 1_790_960_000, 1_800_000_000]),
        offset in 0_i64..200_000,
    ) {
        let Schedule::At(fields) = schedule(&text) else { unreachable!() };
        let zone = zone(name);
        let from = Timestamp::from_second(start + offset).unwrap();
        let found = Schedule::At(fields).next_after(from, &zone);
        let mut minute = Timestamp::from_second((from.as_second() / 60 + 1) * 60).unwrap();
        let horizon = from.checked_add(80.hours()).unwrap();
        while minute < horizon && !fields.matches(zone.to_datetime(minute)) {
            minute = minute.checked_add(1.minute()).unwrap();
        }
        if minute < horizon {
            prop_assert_eq!(found, Some(minute), "{} in {} from {}", text, name, from);
        } else {
            prop_assert!(found.is_none_or(|found| found >= horizon && fields.matches(zone.to_datetime(found))));
        }
    }

    #[test]
    fn whatever_the_text_nothing_breaks(text in "[-0-9*?/,@a-z ]{0,30}", second in any::<i32>()) {
        if let Ok(schedule) = text.parse::<Schedule>() {
            let from = Timestamp::from_second(i64::from(second)).unwrap();
            if let Some(next) = schedule.next_after(from, &TimeZone::UTC) {
                prop_assert!(next > from);
                prop_assert_eq!(schedule.ticks(from, next, &TimeZone::UTC), Some(Ticks { last: next, many: false }));
            }
        }
    }
}
