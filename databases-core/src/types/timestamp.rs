//! An instant. It has no zone: an offset in a text is used up when the text is read.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Date, DateTime, ParseTypeError, Time};

const EXPECTED: ParseTypeError =
    ParseTypeError::new("an instant like 2024-12-31 23:59:59.999999+00:00, 0044-03-15 10:00:00Z BC or infinity");
const EXPECTED_RANGE: ParseTypeError = ParseTypeError::new("an instant from 4714-11-24 BC to 294276-12-31");
const EXPECTED_SYSTEM: ParseTypeError = ParseTypeError::new("a finite instant that the system's clock can show");

/// An instant (`timestamptz`, `TIMESTAMP`), or one of the two infinities of PostgreSQL.
///
/// In microseconds and with the range of [`DateTime`], whose text forms it also has, with an offset from UTC.
///
/// # Text
///
/// `Display` writes UTC: `2024-01-02 03:04:05.5+00:00`; `{:#}` writes ISO 8601, `2024-01-02T03:04:05.5+00:00`.
/// `FromStr` reads the offsets `Z`, `+02`, `+0530`, `+05:30` and `+05:30:15`, up to 23:59:59 in both directions, with a
/// space before them or not. A text without an offset is UTC.
///
/// # Examples
///
/// ```
/// use databases_core::types::Timestamp;
///
/// let instant: Timestamp = "2024-01-02T03:04:05+05:30".parse()?;
/// assert_eq!(instant.to_string(), "2024-01-01 21:34:05+00:00");
/// # Ok::<(), databases_core::types::ParseTypeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    utc: DateTime,
}

impl Timestamp {
    /// Later than every instant.
    pub const INFINITY: Self = Self { utc: DateTime::INFINITY };
    /// Earlier than every instant.
    pub const NEG_INFINITY: Self = Self { utc: DateTime::NEG_INFINITY };
    /// The first finite value, 4714-11-24 00:00:00 BC.
    pub const MIN: Self = Self { utc: DateTime::MIN };
    /// The last finite value, 294276-12-31 23:59:59.999999.
    pub const MAX: Self = Self { utc: DateTime::MAX };

    /// Reads the system's clock; [`Timestamp::MAX`] or [`Timestamp::MIN`] if the clock is out of range.
    #[must_use]
    pub fn now() -> Self {
        let now = SystemTime::now();
        let end = if now < UNIX_EPOCH { Self::MIN } else { Self::MAX };
        Self::try_from(now).unwrap_or(end)
    }

    /// Makes the instant at which clocks set to UTC show `utc`; infinities stay infinities.
    #[must_use]
    pub const fn from_utc(utc: DateTime) -> Self {
        Self { utc }
    }

    /// Returns what clocks set to UTC show at this instant; infinities stay infinities.
    #[must_use]
    pub const fn to_utc(self) -> DateTime {
        self.utc
    }

    /// Makes an instant from microseconds since 2000-01-01T00:00:00Z; `i64::MAX` and `i64::MIN` are the infinities.
    ///
    /// This is PostgreSQL's binary form. `None` for what is in neither range.
    #[must_use]
    pub const fn from_micros_since_2000(micros: i64) -> Option<Self> {
        Self::from_option(DateTime::from_micros_since_2000(micros))
    }

    /// Returns the microseconds since 2000-01-01T00:00:00Z; `i64::MAX` and `i64::MIN` for the infinities.
    #[must_use]
    pub const fn micros_since_2000(self) -> i64 {
        self.utc.micros_since_2000()
    }

    /// Makes an instant from microseconds since 1970-01-01T00:00:00Z; `None` before [`Timestamp::MIN`].
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        Self::from_option(DateTime::from_unix_micros(micros))
    }

    /// Returns the microseconds since 1970-01-01T00:00:00Z.
    ///
    /// `None` for an infinity, and for the years from 294247 on, whose count does not fit: [`Timestamp::unix_seconds`]
    /// has them.
    #[must_use]
    pub const fn unix_micros(self) -> Option<i64> {
        self.utc.unix_micros()
    }

    /// Makes an instant from whole seconds since 1970-01-01T00:00:00Z and the microseconds after them, below 1,000,000.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64, micros: u32) -> Option<Self> {
        Self::from_option(DateTime::from_unix_seconds(seconds, micros))
    }

    /// Returns whole seconds since 1970-01-01T00:00:00Z and the microseconds after them; `None` only for an infinity.
    #[must_use]
    pub const fn unix_seconds(self) -> Option<(i64, u32)> {
        self.utc.unix_seconds()
    }

    const fn from_option(utc: Option<DateTime>) -> Option<Self> {
        match utc {
            Some(utc) => Some(Self { utc }),
            None => None,
        }
    }

    /// Returns the date in UTC; an infinity's is [`Date::INFINITY`] or [`Date::NEG_INFINITY`].
    #[must_use]
    pub fn date(self) -> Date {
        self.utc.date()
    }

    /// Returns the time of day in UTC; `None` for an infinity.
    #[must_use]
    pub const fn time(self) -> Option<Time> {
        self.utc.time()
    }

    /// Tells whether this is an instant and not an infinity.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.utc.is_finite()
    }
}

/// Cuts off what is finer than a microsecond, towards the past.
///
/// Fails only for what is out of range, which a clock that is set does not show.
impl TryFrom<SystemTime> for Timestamp {
    type Error = ParseTypeError;

    fn try_from(time: SystemTime) -> Result<Self, ParseTypeError> {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_micros()).ok(),
            Err(before) => i128::try_from(before.duration().as_nanos().div_ceil(1000)).ok().map(|n| -n),
        };
        let parts = micros.and_then(|micros| {
            let seconds = i64::try_from(micros.div_euclid(1_000_000)).ok()?;
            Self::from_unix_seconds(seconds, u32::try_from(micros.rem_euclid(1_000_000)).ok()?)
        });
        parts.ok_or(EXPECTED_RANGE)
    }
}

/// Fails for an infinity, and for what the platform's clock cannot show.
impl TryFrom<Timestamp> for SystemTime {
    type Error = ParseTypeError;

    fn try_from(instant: Timestamp) -> Result<Self, ParseTypeError> {
        let (seconds, micros) = instant.unix_seconds().ok_or(EXPECTED_SYSTEM)?;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let start = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        start.and_then(|start| start.checked_add(Duration::from_micros(u64::from(micros)))).ok_or(EXPECTED_SYSTEM)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        DateTime::parse(text, true).map(Self::from_utc).ok_or(EXPECTED)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.utc.write(f, "+00:00")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_are_used_up() {
        for (text, shown) in [
            ("2024-01-02 03:04:05.5", "2024-01-02 03:04:05.5+00:00"),
            ("2024-01-02T03:04:05Z", "2024-01-02 03:04:05+00:00"),
            ("2024-01-02t03:04:05z", "2024-01-02 03:04:05+00:00"),
            ("2024-01-02 03:04:05+00", "2024-01-02 03:04:05+00:00"),
            ("2024-01-02 03:04:05 +00:00", "2024-01-02 03:04:05+00:00"),
            ("2024-01-02 03:04+02", "2024-01-02 01:04:00+00:00"),
            ("2024-01-02 03:04:05+02:00", "2024-01-02 01:04:05+00:00"),
            ("2024-01-02 03:04:05-02:00", "2024-01-02 05:04:05+00:00"),
            ("2024-01-02 03:04:05+0530", "2024-01-01 21:34:05+00:00"),
            ("2024-01-02 03:04:05+05:30:15", "2024-01-01 21:33:50+00:00"),
            ("2024-02-28 24:00-01", "2024-02-29 01:00:00+00:00"),
            ("0044-03-15 10:00:00+00 BC", "0044-03-15 10:00:00+00:00 BC"),
            ("0001-01-01 00:00:00+01", "0001-12-31 23:00:00+00:00 BC"),
            ("294277-01-01 00:59:59+01", "294276-12-31 23:59:59+00:00"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
        ] {
            let instant: Timestamp = text.parse().expect(text);
            assert_eq!(instant.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(instant));
            assert_eq!(format!("{instant:#}").parse(), Ok(instant));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2024-01-02",
            "2024-01-02 03:04:05+",
            "2024-01-02 03:04:05+2",
            "2024-01-02 03:04:05+02:",
            "2024-01-02 03:04:05+02:0",
            "2024-01-02 03:04:05+053",
            "2024-01-02 03:04:05+24:00",
            "2024-01-02 03:04:05+02:60",
            "2024-01-02 03:04:05  +02",
            "2024-01-02 03:04:05ZZ",
            "2024-01-02 03:04:05 UTC",
            "2024-01-02 03:04:05 Europe/Berlin",
            "294277-01-01 00:00:00+00",
            "4714-11-24 00:00:00+01 BC",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(EXPECTED), "{text:?}");
        }
    }

    #[test]
    fn system_times_convert_unless_out_of_range() {
        for (nanos_before, micros) in [(0, 0), (1, -1), (999, -1), (1000, -1), (1001, -2)] {
            let time = UNIX_EPOCH - Duration::from_nanos(nanos_before);
            assert_eq!(Timestamp::try_from(time).ok(), Timestamp::from_unix_micros(micros));
        }
        let time = UNIX_EPOCH + Duration::from_nanos(1_999);
        assert_eq!(Timestamp::try_from(time).ok(), Timestamp::from_unix_micros(1));
        for instant in [Timestamp::INFINITY, Timestamp::NEG_INFINITY] {
            assert_eq!(SystemTime::try_from(instant), Err(EXPECTED_SYSTEM));
        }
        if let Some(late) = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 60)) {
            assert_eq!(Timestamp::try_from(late), Err(EXPECTED_RANGE));
        }
        assert!(Timestamp::now().date() > Date::from_ymd(2024, 1, 1).unwrap());
    }

    proptest! {
        #[test]
        fn text_and_system_time_round_trip(
            micros in Timestamp::MIN.micros_since_2000()..=Timestamp::MAX.micros_since_2000()
        ) {
            let instant = Timestamp::from_micros_since_2000(micros).unwrap();
            prop_assert_eq!(instant.to_string().parse(), Ok(instant));
            prop_assert_eq!(format!("{instant:#}").parse(), Ok(instant));
            prop_assert_eq!(Timestamp::from_utc(instant.to_utc()), instant);
            if let Ok(time) = SystemTime::try_from(instant) {
                prop_assert_eq!(Timestamp::try_from(time), Ok(instant));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "2024-01-02 03:04:05[-+0-9:. ZBC]{0,20}") {
            let _ = (text.parse::<Timestamp>(), near.parse::<Timestamp>());
        }
    }
}
