//! A time of day. It never holds a duration or an offset: MySQL's `TIME` beyond a day is an `Interval`.

use std::{fmt, str::FromStr};

use super::{
    ParseTypeError,
    calendar::{MICROS_PER_DAY, MICROS_PER_SECOND},
    cursor::{Cursor, Fraction},
};

const EXPECTED: ParseTypeError = ParseTypeError::new("a time like 23:59:59.999999, from 00:00:00 to 24:00:00");

/// A time of day in microseconds, from 00:00:00 to 24:00:00 inclusive.
///
/// 24:00:00 is the end of the day, which PostgreSQL keeps apart from 00:00:00. There are no leap seconds.
///
/// # Text
///
/// `Display` writes `HH:MM:SS` and, if there is one, the fraction without trailing zeros. `FromStr` also reads `HH:MM`;
/// digits finer than a microsecond are cut off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    micros: i64,
}

impl Time {
    /// The start of the day, 00:00:00.
    pub const MIDNIGHT: Self = Self { micros: 0 };
    /// The end of the day, 24:00:00.
    pub const MAX: Self = Self { micros: MICROS_PER_DAY };

    /// Makes a time from its fields; `None` if one is out of range. The hour may be 24 if all others are 0.
    #[must_use]
    pub const fn from_hms_micro(hour: u8, minute: u8, second: u8, micro: u32) -> Option<Self> {
        if minute > 59 || second > 59 || micro > 999_999 {
            return None;
        }
        let seconds = hour as i64 * 3600 + minute as i64 * 60 + second as i64;
        Self::from_micros(seconds * MICROS_PER_SECOND + micro as i64)
    }

    /// Makes a time from microseconds since midnight; `None` outside 0 to 86,400,000,000.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < 0 || micros > MICROS_PER_DAY {
            return None;
        }
        Some(Self { micros })
    }

    /// Returns the microseconds since midnight.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// Returns hour, minute, second and microsecond.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time is from 0 to 24 hours, so none of its parts is negative or too large"
    )]
    pub const fn hms_micro(self) -> (u8, u8, u8, u32) {
        let seconds = self.micros / MICROS_PER_SECOND;
        let micro = (self.micros % MICROS_PER_SECOND) as u32;
        ((seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8, micro)
    }

    /// Takes `HH:MM[:SS[.f]]`.
    pub(super) fn parse(text: &mut Cursor<'_>) -> Option<Self> {
        let hour = text.two_digits()?;
        if !text.eat(":") {
            return None;
        }
        let minute = text.two_digits()?;
        let (mut second, mut micro) = (0, 0);
        if text.eat(":") {
            second = text.two_digits()?;
            if text.eat(".") {
                micro = text.fraction_micros()?;
            }
        }
        Self::from_hms_micro(hour, minute, second, micro)
    }
}

impl FromStr for Time {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        let mut text = Cursor::new(text);
        Self::parse(&mut text).filter(|_| text.is_empty()).ok_or(EXPECTED)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second, micro) = self.hms_micro();
        write!(f, "{hour:02}:{minute:02}:{second:02}{}", Fraction(micro))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_written_in_one_form() {
        for (text, shown) in [
            ("00:00", "00:00:00"),
            ("23:59", "23:59:00"),
            ("03:04:05", "03:04:05"),
            ("03:04:05.5", "03:04:05.5"),
            ("03:04:05.500", "03:04:05.5"),
            ("03:04:05.000001", "03:04:05.000001"),
            ("03:04:05.0000019", "03:04:05.000001"),
            ("23:59:59.999999999", "23:59:59.999999"),
            ("24:00", "24:00:00"),
            ("24:00:00.000", "24:00:00"),
        ] {
            let time: Time = text.parse().expect(text);
            assert_eq!(time.to_string(), shown);
            assert_eq!(shown.parse(), Ok(time));
        }
        assert_eq!("24:00".parse(), Ok(Time::MAX));
        assert!(Time::MIDNIGHT < Time::MAX);
    }

    #[test]
    fn other_texts_and_fields_are_refused() {
        for text in [
            "",
            "3:04",
            "03",
            "03:",
            "03:4",
            "03:04:",
            "03:04:05.",
            "03:04:05,5",
            "03:04.5",
            "03:60",
            "03:04:60",
            "23:59:60",
            "24:00:01",
            "24:00:00.000001",
            "25:00",
            "-01:00",
            "838:59:59",
            "03:04:05 ",
            "03:04:05Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(EXPECTED), "{text:?}");
        }
        assert_eq!(Time::from_hms_micro(0, 0, 0, 1_000_000), None);
        assert_eq!(Time::from_micros(-1), None);
        assert_eq!(Time::from_micros(MICROS_PER_DAY + 1), None);
    }

    proptest! {
        #[test]
        fn text_and_fields_round_trip(micros in 0..=MICROS_PER_DAY) {
            let time = Time::from_micros(micros).unwrap();
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            let (hour, minute, second, micro) = time.hms_micro();
            prop_assert_eq!(Time::from_hms_micro(hour, minute, second, micro), Some(time));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9:.]{0,20}") {
            let _ = (text.parse::<Time>(), near.parse::<Time>());
        }
    }
}
