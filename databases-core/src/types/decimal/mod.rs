//! Exact decimals of any precision. Nothing here ever rounds, and no value passes through a double unless asked to.

mod base10000;
mod order;
mod text;

use std::fmt;

pub use base10000::{Base10000, Sign};

use super::ParseTypeError;

const EXPECTED: ParseTypeError = ParseTypeError::new(
    "a decimal like -1.50, 1e-5, NaN or Infinity, with at most 131072 digits before the point and 16383 after it",
);

const NAN: &str = "NaN";
const INFINITY: &str = "Infinity";
const NEG_INFINITY: &str = "-Infinity";

/// An exact decimal number with its scale, or NaN, Infinity or -Infinity.
///
/// `1.50` stays `1.50`. Comparing and hashing are numeric: `1.50 == 1.5`. As in PostgreSQL, NaN equals itself and is
/// greater than everything else. There is no negative zero: `-0.00` becomes `0.00`.
///
/// The limits are those of PostgreSQL's `numeric`, [`Decimal::MAX_INTEGER_DIGITS`] and [`Decimal::MAX_SCALE`], so every
/// value fits there; MySQL takes 65 digits, 30 of them after the point.
///
/// # Text
///
/// `Display` and [`Decimal::as_str`] write plain notation. `FromStr` reads an optional sign, digits with or without a
/// point, and an exponent, which moves the point: `1.50e3` is `1500`, `1e-5` is `0.00001`. It also reads `NaN`, `inf`
/// and `infinity` in any case.
///
/// # Examples
///
/// ```
/// use databases_core::types::Decimal;
///
/// let price: Decimal = "1.50".parse()?;
/// assert_eq!((price.to_string().as_str(), price.scale()), ("1.50", 2));
/// assert_eq!(price, "1.5".parse()?);
/// # Ok::<(), databases_core::types::ParseTypeError>(())
/// ```
// The text is the value: `NaN`, `Infinity`, `-Infinity`, or `-?(0|[1-9][0-9]*)(\.[0-9]+)?` within the limits and not a
// negative zero. A box and not a `String` keeps this at 16 bytes.
#[derive(Clone)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// The most digits before the point.
    pub const MAX_INTEGER_DIGITS: usize = 131_072;
    /// The most digits after the point.
    pub const MAX_SCALE: u16 = 16_383;

    /// Returns 0.
    #[must_use]
    pub fn zero() -> Self {
        Self("0".into())
    }

    /// Returns NaN.
    #[must_use]
    pub fn nan() -> Self {
        Self(NAN.into())
    }

    /// Returns Infinity.
    #[must_use]
    pub fn infinity() -> Self {
        Self(INFINITY.into())
    }

    /// Returns -Infinity.
    #[must_use]
    pub fn neg_infinity() -> Self {
        Self(NEG_INFINITY.into())
    }

    /// Makes a finite decimal of the digits on both sides of the point; `None` if there are too many.
    fn from_digits(negative: bool, integer: &str, fraction: &str) -> Option<Self> {
        let integer = integer.trim_start_matches('0');
        if integer.len() > Self::MAX_INTEGER_DIGITS || fraction.len() > usize::from(Self::MAX_SCALE) {
            return None;
        }
        let zero = integer.is_empty() && fraction.bytes().all(|b| b == b'0');
        let sign = if negative && !zero { "-" } else { "" };
        let integer = if integer.is_empty() { "0" } else { integer };
        let point = if fraction.is_empty() { "" } else { "." };
        Some(Self([sign, integer, point, fraction].concat().into_boxed_str()))
    }

    /// Returns the value in plain notation: what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this is NaN.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        &*self.0 == NAN
    }

    /// Tells whether this is Infinity or -Infinity.
    #[must_use]
    pub fn is_infinite(&self) -> bool {
        self.0.ends_with(INFINITY)
    }

    /// Tells whether this is a number, neither NaN nor infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.0.ends_with(|c: char| c.is_ascii_digit())
    }

    /// Tells whether this is less than 0. NaN is not.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.starts_with('-')
    }

    /// Tells whether this is a number without a fraction; `5.00` is.
    #[must_use]
    pub fn is_integral(&self) -> bool {
        self.is_finite() && self.split().2.bytes().all(|b| b == b'0')
    }

    /// Returns the number of digits after the point, zeros included; 0 for NaN and infinities.
    #[must_use]
    pub fn scale(&self) -> u16 {
        u16::try_from(self.split().2.len()).expect("a decimal has at most `MAX_SCALE` digits after the point")
    }

    /// Returns the value if it is integral and fits; `5.00` is 5.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        self.integral_str()?.parse().ok()
    }

    /// Returns the value if it is integral and fits; `5.00` is 5.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        self.integral_str()?.parse().ok()
    }

    /// The text up to the point, if nothing but zeros follows.
    fn integral_str(&self) -> Option<&str> {
        if !self.is_integral() {
            return None;
        }
        self.0.split('.').next()
    }

    /// Returns the shortest decimal that reads back as `value`, the one with which Rust prints a double.
    ///
    /// 0.1 becomes `0.1` and not the 55 digits of the double nearest to it, 1e22 becomes 1 and 22 zeros, -0.0 `0`.
    #[must_use]
    pub fn from_f64_shortest(value: f64) -> Self {
        if value.is_nan() {
            return Self::nan();
        }
        if value.is_infinite() {
            return if value > 0.0 { Self::infinity() } else { Self::neg_infinity() };
        }
        let text = value.to_string();
        let (negative, text) = text.strip_prefix('-').map_or((false, &*text), |rest| (true, rest));
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        Self::from_digits(negative, integer, fraction).expect("a double has fewer than 350 digits")
    }

    /// Returns the double nearest to this value, infinite for what is too large.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // Rust reads all three special forms and rounds correctly whatever the length.
        self.0.parse().expect("every decimal is a float literal")
    }

    /// Returns the nearest double if its shortest decimal is numerically this value: then nothing is lost by going
    /// through it and back with [`Decimal::from_f64_shortest`].
    ///
    /// So it is for every value of at most 15 significant digits within the exponents of a double, and for few of 16 or
    /// 17. NaN gives `None`, because SQLite stores that double as NULL; infinities give infinities.
    #[must_use]
    pub fn to_f64_exact(&self) -> Option<f64> {
        let value = self.to_f64();
        (!value.is_nan() && Self::from_f64_shortest(value) == *self).then_some(value)
    }

    /// Sign, digits before the point and digits after it. Of the special values only the empty fraction has a meaning.
    fn split(&self) -> (bool, &str, &str) {
        let (negative, text) = self.0.strip_prefix('-').map_or((false, &*self.0), |rest| (true, rest));
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        (negative, integer, fraction)
    }
}

/// One conversion per integer type: the text of each is its canonical decimal, and it cannot fail.
macro_rules! from_integer {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Decimal {
            fn from(value: $integer) -> Self {
                Self(value.to_string().into_boxed_str())
            }
        }
    )*};
}

from_integer! { i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 }

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect(text)
    }

    #[test]
    fn integers_are_read_where_nothing_is_lost() {
        for (text, signed, unsigned) in [
            ("0", Some(0), Some(0)),
            ("-0.00", Some(0), Some(0)),
            ("5.00", Some(5), Some(5)),
            ("-5.0", Some(-5), None),
            ("5.01", None, None),
            ("9223372036854775807", Some(i64::MAX), Some(i64::MAX as u64)),
            ("9223372036854775808", None, Some(9_223_372_036_854_775_808)),
            ("-9223372036854775808.0", Some(i64::MIN), None),
            ("-9223372036854775809", None, None),
            ("18446744073709551615.000", None, Some(u64::MAX)),
            ("18446744073709551616", None, None),
            ("1e30", None, None),
            ("NaN", None, None),
            ("Infinity", None, None),
        ] {
            let value = decimal(text);
            assert_eq!((value.to_i64(), value.to_u64()), (signed, unsigned), "{text}");
        }
        assert_eq!(Decimal::from(i64::MIN).to_string(), i64::MIN.to_string());
        assert_eq!(Decimal::from(u128::MAX).to_string(), u128::MAX.to_string());
        assert_eq!(Decimal::from(-1_i8), decimal("-1.0"));
    }

    #[test]
    fn classes_of_values() {
        // finite, nan, infinite, negative, integral, scale
        for (value, class) in [
            (Decimal::zero(), (true, false, false, false, true, 0)),
            (decimal("-1.50"), (true, false, false, true, false, 2)),
            (decimal("2.000"), (true, false, false, false, true, 3)),
            (Decimal::nan(), (false, true, false, false, false, 0)),
            (Decimal::infinity(), (false, false, true, false, false, 0)),
            (Decimal::neg_infinity(), (false, false, true, true, false, 0)),
        ] {
            let found = (
                value.is_finite(),
                value.is_nan(),
                value.is_infinite(),
                value.is_negative(),
                value.is_integral(),
                value.scale(),
            );
            assert_eq!(found, class, "{value}");
        }
    }

    #[test]
    fn doubles_become_their_shortest_decimal() {
        for (double, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e22, "10000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Decimal::from_f64_shortest(double).as_str(), text);
        }
        assert_eq!(Decimal::from_f64_shortest(f64::MAX).as_str().len(), 309);
        assert_eq!(Decimal::from_f64_shortest(5e-324).scale(), 324);
    }

    #[test]
    fn a_double_is_exact_only_if_it_reads_back_as_the_same_decimal() {
        for (text, exact) in [
            ("0.1", Some(0.1)),
            ("0.10", Some(0.1)),
            ("-12.50", Some(-12.5)),
            ("0.000", Some(0.0)),
            ("123456789012345", Some(123_456_789_012_345.0)),
            ("0.30000000000000004", Some(0.1 + 0.2)),
            ("9007199254740993", None),
            ("0.1000000000000000055511151231257827", None),
            ("0.3000000000000000444089209850062616169452667236328125", None),
            ("12345678901234567890.123456789", None),
            ("1e22", Some(1e22)),
            ("1e308", Some(1e308)),
            ("1e309", None),
            ("1e-323", Some(1e-323)),
            ("1e-400", None),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("NaN", None),
        ] {
            assert_eq!(decimal(text).to_f64_exact(), exact, "{text}");
        }
        assert!(Decimal::nan().to_f64().is_nan());
        assert_eq!(decimal("9007199254740993").to_f64(), 9_007_199_254_740_992.0);
        assert_eq!(decimal("-1e400").to_f64(), f64::NEG_INFINITY);
    }

    proptest! {
        #[test]
        fn doubles_round_trip(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(!double.is_nan());
            let value = Decimal::from_f64_shortest(double);
            prop_assert_eq!(value.to_f64(), double);
            prop_assert_eq!(value.to_f64_exact(), Some(double));
        }

        #[test]
        fn fifteen_digits_survive_a_double(digits in 0_u64..1_000_000_000_000_000, exponent in -30_i32..30) {
            let value = decimal(&format!("{digits}e{exponent}"));
            prop_assert_eq!(value.to_f64_exact(), Some(value.to_f64()));
        }

        #[test]
        fn integers_round_trip(signed: i64, unsigned: u64) {
            prop_assert_eq!(Decimal::from(signed).to_i64(), Some(signed));
            prop_assert_eq!(Decimal::from(unsigned).to_u64(), Some(unsigned));
        }
    }
}
