//! Numbers that may be given as a share of another one.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a share that is not whole goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the next larger number.
    Up,
    /// To the next smaller number.
    Down,
}

/// A number, or a percentage of `total`; never negative. What is neither (validation lets nothing
/// else through) reads as 0.
pub fn scaled(value: &IntOrString, total: i32, rounding: Rounding) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|number| number.parse::<u32>().ok())
                .unwrap_or(0);
            let hundredths = i64::from(percent) * i64::from(total.max(0));
            let rounded = match rounding {
                Rounding::Up => hundredths.saturating_add(99) / 100,
                Rounding::Down => hundredths / 100,
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

/// How far a rolling update may go beyond and below what is desired: `maxSurge` is rounded up and
/// `maxUnavailable` down. They are never both 0, because then nothing could move.
pub fn surge_and_unavailable(
    surge: Option<&IntOrString>,
    unavailable: Option<&IntOrString>,
    desired: i32,
) -> (i32, i32) {
    let surge = surge.map_or(0, |value| scaled(value, desired, Rounding::Up));
    let unavailable = unavailable.map_or(0, |value| scaled(value, desired, Rounding::Down));
    match (surge, unavailable) {
        (0, 0) => (0, 1),
        both => both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(text: &str) -> IntOrString {
        IntOrString::String(text.to_owned())
    }

    #[test]
    fn shares_are_rounded_as_asked() {
        let cases = [
            (percent("25%"), 10, 3, 2),
            (percent("0%"), 10, 0, 0),
            (percent("100%"), 7, 7, 7),
            (percent("1%"), 1, 1, 0),
            (IntOrString::Int(5), 1, 5, 5),
            (IntOrString::Int(-5), 1, 0, 0),
            (percent("many"), 10, 0, 0),
            (percent("4000000000%"), i32::MAX, i32::MAX, i32::MAX),
        ];
        for (value, total, up, down) in cases {
            assert_eq!(scaled(&value, total, Rounding::Up), up, "{value:?}");
            assert_eq!(scaled(&value, total, Rounding::Down), down, "{value:?}");
        }
    }

    #[test]
    fn surge_is_rounded_up_unavailable_down_and_one_of_them_is_positive() {
        let quarter = percent("25%");
        assert_eq!(
            surge_and_unavailable(Some(&quarter), Some(&quarter), 10),
            (3, 2)
        );
        assert_eq!(
            surge_and_unavailable(Some(&percent("0%")), Some(&quarter), 3),
            (0, 1)
        );
        assert_eq!(surge_and_unavailable(None, None, 3), (0, 1));
    }
}
