//! Resource quantities: `500m`, `1Gi`, `2e3`.
//!
//! A quantity is an exact number of billionths together with the suffixes it is written with. As in
//! Kubernetes, what is finer than a billionth is rounded away from zero (whoever asks for something
//! gets something), and what a power of two takes beyond 2^63-1 counts as that. Other numbers count
//! as 10^29 at most.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde_json::Value;

const NANOS: i128 = 1_000_000_000;
const MILLI_NANOS: i128 = 1_000_000;
/// The most that a number with a binary suffix counts as.
const MAX_BINARY_NANOS: i128 = i64::MAX as i128 * NANOS;
/// The most decimal digits that a number below the cap has in billionths.
const MAX_DIGITS: u32 = 38;
/// The most that any number counts as.
const MAX_NANOS: i128 = 10i128.pow(MAX_DIGITS);
/// The exponents 10^(3n) that have a suffix of their own.
const DECIMAL_SUFFIXES: [(&str, i64); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// The exponents 2^(10n) that have a suffix of their own.
const BINARY_SUFFIXES: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `1k`, `500m`.
    #[default]
    DecimalSi,
    /// `1Ki`, `512Mi`.
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// Why a text is no quantity. The texts are Kubernetes'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not have the form of one.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// Its suffix is none of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount. Amounts compare by what they are worth, however they are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self {
        nanos: 0,
        format: Format::DecimalSi,
    };

    /// A whole number of units.
    pub fn from_units(units: i64, format: Format) -> Self {
        Self {
            nanos: i128::from(units) * NANOS,
            format,
        }
    }

    /// A number of thousandths.
    pub fn from_millis(millis: i64, format: Format) -> Self {
        Self {
            nanos: i128::from(millis) * MILLI_NANOS,
            format,
        }
    }

    /// Reads a quantity as objects hold it: a string or a number.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => text.trim().parse(),
            Value::Number(number) => number.to_string().parse(),
            _ => Err(QuantityError::Format),
        }
    }

    /// How it is written.
    pub fn format(self) -> Format {
        self.format
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Below zero, zero or above.
    pub fn sign(self) -> Ordering {
        self.nanos.cmp(&0)
    }

    /// Whole units, rounded away from zero.
    pub fn value(self) -> i64 {
        self.scaled(NANOS)
    }

    /// Thousandths, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        self.scaled(MILLI_NANOS)
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// The sum, written like `self` unless that is nothing.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "saturates, which `+` would hide"
    )]
    pub fn add(self, other: Self) -> Self {
        self.combine(other, self.nanos.saturating_add(other.nanos))
    }

    /// The difference, written like `self` unless that is nothing. May be below zero.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "saturates, which `-` would hide"
    )]
    pub fn sub(self, other: Self) -> Self {
        self.combine(other, self.nanos.saturating_sub(other.nanos))
    }

    /// `times` as much.
    #[must_use]
    pub fn times(self, times: i64) -> Self {
        Self {
            nanos: self.nanos.saturating_mul(i128::from(times)),
            format: self.format,
        }
    }

    fn combine(self, other: Self, nanos: i128) -> Self {
        let format = if self.is_zero() {
            other.format
        } else {
            self.format
        };
        Self { nanos, format }
    }

    fn scaled(self, unit: i128) -> i64 {
        let whole = self.nanos / unit;
        let rounded = if self.nanos % unit == 0 {
            whole
        } else {
            whole + self.nanos.signum()
        };
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The text that Kubernetes stores for a quantity, such as `500m` for `0.5`.
pub fn canonical(value: &Value) -> Result<String, QuantityError> {
    Quantity::from_value(value).map(|quantity| quantity.to_string())
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = (-1024 * NANOS..=1024 * NANOS).contains(&self.nanos)
            && self.nanos.abs() != 1024 * NANOS;
        match self.format {
            Format::BinarySi if self.is_whole() && !small => {
                let mut mantissa = self.nanos / NANOS;
                let mut suffix = "";
                for (name, _) in BINARY_SUFFIXES {
                    if mantissa % 1024 != 0 {
                        break;
                    }
                    mantissa /= 1024;
                    suffix = name;
                }
                write!(f, "{mantissa}{suffix}")
            }
            // In decimal nothing is lost that powers of two could not say.
            Format::BinarySi | Format::DecimalSi => {
                let (mantissa, _, suffix) = self.decimal();
                write!(f, "{mantissa}{suffix}")
            }
            Format::DecimalExponent => match self.decimal() {
                (mantissa, 0, _) => write!(f, "{mantissa}"),
                (mantissa, exponent, _) => write!(f, "{mantissa}e{exponent}"),
            },
        }
    }
}

impl Quantity {
    /// The mantissa with the largest exponent of three that leaves it whole.
    fn decimal(self) -> (i128, i64, &'static str) {
        let mut mantissa = self.nanos;
        let mut found = ("n", -9);
        for (suffix, exponent) in DECIMAL_SUFFIXES.into_iter().skip(1) {
            if mantissa % 1000 != 0 {
                break;
            }
            mantissa /= 1000;
            found = (suffix, exponent);
        }
        (mantissa, found.1, found.0)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        // A dot alone is nothing, as in Kubernetes.
        if whole.is_empty() && fraction.is_empty() && !rest.starts_with('.') {
            return Err(QuantityError::Format);
        }
        let suffix = Suffix::parse(suffix)?;
        let digits = || {
            whole
                .bytes()
                .chain(fraction.bytes())
                .map(|digit| digit - b'0')
        };
        let shift = -(fraction.len() as i64);
        let nanos = match suffix {
            Suffix::Decimal(exponent) | Suffix::Exponent(exponent) => {
                to_nanos(digits().collect(), shift.saturating_add(exponent))
            }
            Suffix::Binary(exponent) => {
                to_nanos(shift_left(digits().collect(), exponent), shift).min(MAX_BINARY_NANOS)
            }
        };
        let format = match suffix {
            Suffix::Decimal(_) => Format::DecimalSi,
            Suffix::Exponent(_) => Format::DecimalExponent,
            Suffix::Binary(_) if nanos > 0 && nanos < NANOS => Format::DecimalSi,
            Suffix::Binary(_) => Format::BinarySi,
        };
        let nanos = if negative { -nanos } else { nanos };
        Ok(Self { nanos, format })
    }
}

enum Suffix {
    /// A power of ten with a letter.
    Decimal(i64),
    /// A power of ten in figures.
    Exponent(i64),
    /// A power of two.
    Binary(u32),
}

impl Suffix {
    fn parse(text: &str) -> Result<Self, QuantityError> {
        let known = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == text);
        if let Some((_, exponent)) = known {
            return Ok(Self::Decimal(*exponent));
        }
        let known = BINARY_SUFFIXES.iter().find(|(name, _)| *name == text);
        if let Some((_, exponent)) = known {
            return Ok(Self::Binary(*exponent));
        }
        let letters = text.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let figures = letters.strip_prefix(['+', '-']).unwrap_or(letters);
        if !figures.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        match text.strip_prefix(['e', 'E']) {
            Some(exponent) => exponent
                .parse()
                .map(Self::Exponent)
                .map_err(|_| QuantityError::Suffix),
            None => Err(QuantityError::Suffix),
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number, most significant digit first, times 2^`exponent`.
fn shift_left(mut digits: Vec<u8>, exponent: u32) -> Vec<u8> {
    let mut carry: u128 = 0;
    for digit in digits.iter_mut().rev() {
        let product = (u128::from(*digit) << exponent) + carry;
        // A remainder of ten fits.
        *digit = (product % 10) as u8;
        carry = product / 10;
    }
    let mut high = Vec::new();
    while carry > 0 {
        high.push((carry % 10) as u8);
        carry /= 10;
    }
    high.reverse();
    high.append(&mut digits);
    high
}

/// A decimal number, most significant digit first, times 10^`exponent`: in billionths, rounded up and
/// capped.
fn to_nanos(digits: Vec<u8>, exponent: i64) -> i128 {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.is_empty() {
        return 0;
    }
    let shift = exponent.saturating_add(9);
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let total = length.saturating_add(shift);
    if total > i64::from(MAX_DIGITS) {
        return MAX_NANOS;
    }
    // `total` digits stand before the point; what stands behind it only rounds up.
    let kept = usize::try_from(total.min(length)).unwrap_or(0);
    let (kept, cut) = digits.split_at_checked(kept).unwrap_or((digits, &[]));
    let mut nanos = kept
        .iter()
        .fold(0i128, |sum, digit| sum * 10 + i128::from(*digit));
    for _ in 0..shift.max(0) {
        nanos *= 10;
    }
    if cut.iter().any(|digit| *digit != 0) {
        nanos += 1;
    }
    nanos
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn quantities_are_written_in_one_way() {
        let texts = [
            ("0", "0"),
            ("0m", "0"),
            ("-0", "0"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1100", "1100"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1500e-3", "1500e-3"),
            ("12e6", "12e6"),
            ("120e5", "12e6"),
            ("10e-1", "1"),
            ("1024Mi", "1Gi"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("1.1Ki", "1126400m"),
            ("0.1Ki", "102400m"),
            ("1000Ki", "1000Ki"),
            ("100M", "100M"),
            ("100000k", "100M"),
            ("1n", "1n"),
            ("1u", "1u"),
            ("-1Gi", "-1Gi"),
            ("+5", "5"),
            ("007", "7"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1e-100", "1e-9"),
            ("0.0000000001", "1n"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("10E", "10E"),
            ("1000E", "1000E"),
            ("100000000000000000k", "100E"),
            ("10Ei", "9223372036854775807"),
            ("1e999999999999", "100000000000e18"),
            ("-1e400", "-100000000000e18"),
            ("1.0Gi", "1Gi"),
            ("2.50", "2500m"),
            ("0e999999999999", "0"),
            ("8Ei", "9223372036854775807"),
            ("7Ei", "7Ei"),
        ];
        for (text, canonical) in texts {
            assert_eq!(read(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_said_to_be_none() {
        for text in [
            "", "-", "+", "a", "m", "Gi", "1 ", " 1", "1.1.1", "1Gi ", "0x1", "1m5x",
        ] {
            assert_eq!(
                text.parse::<Quantity>(),
                Err(QuantityError::Format),
                "{text}"
            );
        }
        for text in [
            "1i", "1mi", "1e", "1e+", "1KI", "1mm", "1K", "1e3i", "1E3m", "1m5",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        assert_eq!("1K".parse::<Quantity>(), Err(QuantityError::Suffix));
    }

    #[test]
    fn values_are_rounded_away_from_zero() {
        assert_eq!(read("1500m").value(), 2);
        assert_eq!(read("-1500m").value(), -2);
        assert_eq!(read("1500m").milli_value(), 1500);
        assert_eq!(read("1u").milli_value(), 1);
        assert_eq!(read("9E").milli_value(), i64::MAX);
        assert_eq!(read("1Gi").value(), 1 << 30);
    }

    #[test]
    fn sums_keep_the_first_ones_way_of_writing() {
        assert_eq!(read("1Gi").add(read("1G")).to_string(), "2073741824");
        assert_eq!(read("0").add(read("1Gi")).to_string(), "1Gi");
        assert_eq!(read("1").sub(read("1500m")).to_string(), "-500m");
        assert_eq!(read("100m").times(3).to_string(), "300m");
    }

    #[test]
    fn numbers_are_read_like_their_text() {
        assert_eq!(canonical(&json!(2)).unwrap(), "2");
        assert_eq!(canonical(&json!(0.5)).unwrap(), "500m");
        assert_eq!(canonical(&json!(" 1Gi ")).unwrap(), "1Gi");
        assert!(canonical(&json!(true)).is_err());
    }

    fn suffix() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "e-2", "E6",
        ])
    }

    fn quantity() -> impl Strategy<Value = Quantity> {
        ("-?[0-9]{1,9}(\\.[0-9]{0,9})?", suffix())
            .prop_map(|(number, suffix)| read(&format!("{number}{suffix}")))
    }

    proptest! {
        #[test]
        fn writing_and_reading_keeps_the_amount(q in quantity()) {
            let text = q.to_string();
            prop_assert_eq!(read(&text), q);
            prop_assert_eq!(read(&text).to_string(), text);
        }

        #[test]
        fn whole_numbers_compare_as_numbers(a: i64, b: i64) {
            let (p, q) = (read(&a.to_string()), read(&b.to_string()));
            if a != i64::MIN && b != i64::MIN {
                prop_assert_eq!(p.cmp(&q), a.cmp(&b));
                prop_assert_eq!(p.value(), a);
            }
        }

        #[test]
        fn addition_has_its_laws(a in quantity(), b in quantity(), c in quantity()) {
            prop_assert_eq!(a.add(b), b.add(a));
            prop_assert_eq!(a.add(b).add(c), a.add(b.add(c)));
            prop_assert_eq!(a.add(b).sub(b), a);
            prop_assert_eq!(a.add(Quantity::ZERO), a);
            if b < c {
                prop_assert!(a.add(b) < a.add(c));
            }
        }

        #[test]
        fn suffixes_are_worth_what_they_say(n in 0u64..1_000_000) {
            prop_assert_eq!(read(&format!("{n}Ki")).value(), (n * 1024) as i64);
            prop_assert_eq!(read(&format!("{n}M")).value(), (n * 1_000_000) as i64);
            prop_assert_eq!(read(&format!("{n}m")).milli_value(), n as i64);
            prop_assert_eq!(read(&format!("{n}e2")).value(), (n * 100) as i64);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eEinumkKMGTP ]{0,40}") {
            if let Ok(q) = text.parse::<Quantity>() {
                prop_assert_eq!(read(&q.to_string()), q);
            }
        }
    }
}
