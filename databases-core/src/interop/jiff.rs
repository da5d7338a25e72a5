//! Feature `jiff`: civil dates and times, timestamps and spans of the [`jiff`](::jiff) crate.
//!
//! Its years end at 9999 in both directions. Infinities, 24:00 and what lies beyond are refused; so is, on the way in, a
//! date before 4714 BC, where the servers' dates begin.
//!
//! A span is an [`Interval`]: 12 months are a year and 7 days are a week in both, and all units below a day are
//! microseconds. Days and months are never folded into one another. A span reads back in months, days and microseconds,
//! and has one sign: an interval whose parts differ in sign is refused.

use ::jiff::{Span, Timestamp as TheirTimestamp, civil};

use super::convert::{ConversionError, values};
use crate::types::{Date, DateTime, Interval, Time, Timestamp};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SPAN: &str = "jiff::Span";

values! {
    civil::Date => Date, "jiff::civil::Date";
    civil::Time => Time, "jiff::civil::Time";
    civil::DateTime => DateTime, "jiff::civil::DateTime";
    TheirTimestamp => Timestamp, "jiff::Timestamp";
    Span => Interval, "jiff::Span";
}

/// Fails before 4714-11-24 BC. Feature `jiff`.
impl TryFrom<civil::Date> for Date {
    type Error = ConversionError;

    fn try_from(date: civil::Date) -> Result<Self, ConversionError> {
        // Months and days are positive.
        Self::from_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
            .ok_or(ConversionError::new("a date before 4714 BC", "types::Date"))
    }
}

/// Fails for an infinity and for years after 9999. Feature `jiff`.
impl TryFrom<Date> for civil::Date {
    type Error = ConversionError;

    fn try_from(date: Date) -> Result<Self, ConversionError> {
        const WANTED: &str = "jiff::civil::Date";
        let ymd = date.ymd().ok_or(ConversionError::new("an infinite date", WANTED))?;
        civil_date(ymd).ok_or(ConversionError::new("a date after the year 9999", WANTED))
    }
}

/// Cuts off what is finer than a microsecond. Feature `jiff`.
impl From<civil::Time> for Time {
    fn from(time: civil::Time) -> Self {
        let field = i8::unsigned_abs; // None is negative.
        let micros = time.subsec_nanosecond().unsigned_abs() / 1000;
        Self::from_hms_micro(field(time.hour()), field(time.minute()), field(time.second()), micros)
            .expect("both have the hours 0 to 23 and no leap seconds")
    }
}

/// Fails for 24:00. Feature `jiff`.
impl TryFrom<Time> for civil::Time {
    type Error = ConversionError;

    fn try_from(time: Time) -> Result<Self, ConversionError> {
        civil_time(time).ok_or(ConversionError::new("a time of 24:00", "jiff::civil::Time"))
    }
}

/// Fails before 4714 BC; cuts off what is finer than a microsecond. Feature `jiff`.
impl TryFrom<civil::DateTime> for DateTime {
    type Error = ConversionError;

    fn try_from(value: civil::DateTime) -> Result<Self, ConversionError> {
        let date = Date::try_from(value.date()).ok();
        date.and_then(|date| Self::new(date, value.time().into()))
            .ok_or(ConversionError::new("a timestamp before 4714 BC", "types::DateTime"))
    }
}

/// Fails for an infinity and for years after 9999. Feature `jiff`.
impl TryFrom<DateTime> for civil::DateTime {
    type Error = ConversionError;

    fn try_from(value: DateTime) -> Result<Self, ConversionError> {
        const WANTED: &str = "jiff::civil::DateTime";
        let (Some(ymd), Some(time)) = (value.date().ymd(), value.time()) else {
            return Err(ConversionError::new("an infinite timestamp", WANTED));
        };
        let date = civil_date(ymd).ok_or(ConversionError::new("a timestamp after the year 9999", WANTED))?;
        let time = civil_time(time).expect("a time of day that belongs to a date is before 24:00");
        Ok(Self::from_parts(date, time))
    }
}

/// Fails before 4714 BC; cuts off what is finer than a microsecond. Feature `jiff`.
impl TryFrom<TheirTimestamp> for Timestamp {
    type Error = ConversionError;

    fn try_from(instant: TheirTimestamp) -> Result<Self, ConversionError> {
        let nanos = instant.as_nanosecond();
        #[expect(clippy::cast_possible_truncation, reason = "nanoseconds below a second")]
        let micros = nanos.rem_euclid(NANOS_PER_SECOND) as u32 / 1000;
        let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok();
        seconds
            .and_then(|seconds| Self::from_unix_seconds(seconds, micros))
            .ok_or(ConversionError::new("a timestamp before 4714 BC", "types::Timestamp"))
    }
}

/// Fails for an infinity and from 9999-12-30T22:00:01Z on, where the timestamps of `jiff` end. Feature `jiff`.
impl TryFrom<Timestamp> for TheirTimestamp {
    type Error = ConversionError;

    fn try_from(instant: Timestamp) -> Result<Self, ConversionError> {
        const WANTED: &str = "jiff::Timestamp";
        let (seconds, micros) = instant.unix_seconds().ok_or(ConversionError::new("an infinite timestamp", WANTED))?;
        let nanos = i128::from(seconds) * NANOS_PER_SECOND + i128::from(micros) * 1000;
        Self::from_nanosecond(nanos).map_err(|_| ConversionError::new("a timestamp after the year 9999", WANTED))
    }
}

/// Months (a year has 12), days (a week has 7) and microseconds, each unit below a day added to the last; cuts off what
/// is finer than a microsecond, towards zero. Feature `jiff`.
impl From<Span> for Interval {
    fn from(span: Span) -> Self {
        let micros = [
            (i64::from(span.get_hours()), 3_600_000_000),
            (span.get_minutes(), 60_000_000),
            (span.get_seconds(), 1_000_000),
            (span.get_milliseconds(), 1000),
            (span.get_microseconds(), 1),
            (span.get_nanoseconds() / 1000, 1),
        ];
        // No sum overflows: each unit of a span is limited to about 20,000 years.
        Self::new(
            i32::from(span.get_years()) * 12 + span.get_months(),
            span.get_weeks() * 7 + span.get_days(),
            micros.into_iter().map(|(count, unit)| count * unit).sum(),
        )
    }
}

/// Fails for an infinity, for parts that differ in sign and for parts beyond about 20,000 years. Feature `jiff`.
impl TryFrom<Interval> for Span {
    type Error = ConversionError;

    fn try_from(interval: Interval) -> Result<Self, ConversionError> {
        if !interval.is_finite() {
            return Err(ConversionError::new("an infinite interval", SPAN));
        }
        let Interval { months, days, micros } = interval;
        let signs = [i64::from(months.signum()), i64::from(days.signum()), micros.signum()];
        // One negative part would turn the others around.
        if signs.contains(&1) && signs.contains(&-1) {
            return Err(ConversionError::new("an interval of parts with different signs", SPAN));
        }
        let span = Self::new().try_months(months).and_then(|span| span.try_days(days));
        span.and_then(|span| span.try_microseconds(micros))
            .map_err(|_| ConversionError::new("an interval of more than about 20,000 years", SPAN))
    }
}

fn civil_date((year, month, day): (i32, u8, u8)) -> Option<civil::Date> {
    civil::Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

fn civil_time(time: Time) -> Option<civil::Time> {
    let (hour, minute, second, micro) = time.hms_micro();
    let nano = i32::try_from(micro * 1000).ok()?;
    civil::Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, nano).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{assert_unbindable, back, refusal};
    use super::*;
    use crate::{FromValue, IntoValue, Value, ValueKind, ValueRef};

    fn last_time() -> civil::Time {
        civil::time(23, 59, 59, 999_999_000)
    }

    #[test]
    fn extremes_are_kept() {
        assert_eq!(civil::Date::try_from(Date::MIN), Ok(civil::date(-4713, 11, 24)));
        for date in [civil::date(-4713, 11, 24), civil::date(1970, 1, 1), civil::Date::MAX] {
            assert_eq!(back(date), date);
            for time in [civil::Time::midnight(), last_time()] {
                assert_eq!(back(time), time);
                assert_eq!(back(date.to_datetime(time)), date.to_datetime(time));
            }
        }
        let last = TheirTimestamp::MAX.as_microsecond();
        for micros in [Timestamp::MIN.unix_micros().unwrap(), -1, 0, last] {
            // Its `from_microsecond` ends 999,999 microseconds early.
            let instant = TheirTimestamp::from_nanosecond(i128::from(micros) * 1000).unwrap();
            assert_eq!(back(instant), instant);
        }
        let after = Timestamp::from_unix_micros(last + 1).unwrap();
        assert!(refusal::<TheirTimestamp>(ValueRef::Timestamp(after)).starts_with("a timestamp after the year 9999"));
    }

    #[test]
    fn what_jiff_cannot_hold_is_an_error_by_its_class() {
        for (value, class) in [(Date::NEG_INFINITY, "an infinite date"), (Date::MAX, "a date after the year 9999")] {
            assert_eq!(
                refusal::<civil::Date>(ValueRef::Date(value)),
                format!("{class} cannot be read as jiff::civil::Date")
            );
        }
        assert_eq!(
            refusal::<civil::Time>(ValueRef::Time(Time::MAX)),
            "a time of 24:00 cannot be read as jiff::civil::Time"
        );
        for (value, class) in [
            (DateTime::INFINITY, "an infinite timestamp"),
            (DateTime::NEG_INFINITY, "an infinite timestamp"),
            (DateTime::MAX, "a timestamp after the year 9999"),
        ] {
            let said = |wanted| format!("{class} cannot be read as {wanted}");
            assert_eq!(refusal::<civil::DateTime>(ValueRef::DateTime(value)), said("jiff::civil::DateTime"));
            assert_eq!(refusal::<TheirTimestamp>(ValueRef::Timestamp(value.assume_utc())), said("jiff::Timestamp"));
        }
        for (value, class) in [
            (Interval::INFINITY, "an infinite interval"),
            (Interval::NEG_INFINITY, "an infinite interval"),
            (Interval::new(1, -1, 0), "an interval of parts with different signs"),
            (Interval::new(0, -1, 1), "an interval of parts with different signs"),
            (Interval::new(i32::MIN, 0, 0), "an interval of more than about 20,000 years"),
            (Interval::new(0, i32::MAX, 0), "an interval of more than about 20,000 years"),
            (Interval::new(0, 0, i64::MIN), "an interval of more than about 20,000 years"),
        ] {
            assert_eq!(refusal::<Span>(ValueRef::Interval(value)), format!("{class} cannot be read as jiff::Span"));
        }
    }

    #[test]
    fn dates_before_the_servers_first_are_unbindable() {
        for date in [civil::date(-4713, 11, 23), civil::Date::MIN] {
            assert_unbindable(date);
            assert_unbindable(date.to_datetime(last_time()));
        }
        assert_unbindable(TheirTimestamp::MIN);
    }

    #[test]
    fn finer_digits_are_cut_off() {
        for (nanos, micros) in [(999, 0), (-1, -1), (-1000, -1), (-1001, -2)] {
            let fine = TheirTimestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(Timestamp::try_from(fine).ok(), Timestamp::from_unix_micros(micros));
        }
        assert_eq!(Time::from(civil::Time::MAX).to_string(), "23:59:59.999999");
        assert_eq!(Interval::from(Span::new().nanoseconds(-1999)), Interval::new(0, 0, -1));
    }

    #[test]
    fn the_units_of_a_span_are_those_of_an_interval() {
        let span = Span::new().years(1).months(2).weeks(3).days(4).hours(5).minutes(6).seconds(7);
        let span = span.milliseconds(8).microseconds(9);
        assert_eq!(Interval::from(span), Interval::new(14, 25, 18_367_008_009));
        assert_eq!(Interval::from(-span), Interval::new(-14, -25, -18_367_008_009));
        assert_eq!(
            back(span).fieldwise(),
            Span::new().months(14).days(25).microseconds(18_367_008_009_i64).fieldwise()
        );
        // Every unit at its limit at once.
        let most = Span::new().years(19_998).months(239_976).weeks(1_043_497).days(7_304_484).hours(175_307_616);
        let most = most.minutes(10_518_456_960_i64).seconds(631_107_417_600_i64).milliseconds(631_107_417_600_000_i64);
        let most = most.microseconds(631_107_417_600_000_000_i64).nanoseconds(i64::MAX);
        let interval = Interval::from(most);
        assert_eq!((interval.months, interval.days), (479_952, 14_608_963));
        assert_eq!(interval.micros, 5 * 631_107_417_600_000_000 + i64::MAX / 1000);
        assert_eq!(<Span as IntoValue>::KIND, ValueKind::Interval);
        assert_eq!(None::<Span>.into_value(), Value::Null);
        assert!(Option::<Span>::from_value(ValueRef::Null).unwrap().is_none());
        assert_eq!(Span::from_value(ValueRef::Text("P2W")).unwrap().get_days(), 14);
    }

    proptest! {
        #[test]
        fn every_value_of_the_servers_round_trips_or_is_refused(
            any in DateTime::MIN.micros_since_2000()..=DateTime::MAX.micros_since_2000(),
            near in DateTime::MIN.micros_since_2000()..=252_455_615_999_999_999,
        ) {
            for micros in [any, near] {
                let ours = DateTime::from_micros_since_2000(micros).unwrap();
                let theirs = civil::DateTime::try_from(ours);
                prop_assert_eq!(theirs.is_ok(), ours.date() <= Date::from_ymd(9999, 12, 31).unwrap());
                let Ok(theirs) = theirs else { continue };
                prop_assert_eq!(DateTime::try_from(theirs), Ok(ours));
                prop_assert_eq!(back(theirs), theirs);
                prop_assert_eq!(back(theirs.date()), theirs.date());
                prop_assert_eq!(back(theirs.time()), theirs.time());
                if let Ok(instant) = TheirTimestamp::try_from(ours.assume_utc()) {
                    prop_assert_eq!(back(instant), instant);
                    prop_assert_eq!(Timestamp::try_from(instant), Ok(ours.assume_utc()));
                }
            }
        }

        #[test]
        fn every_interval_round_trips_or_is_refused(
            months in -239_977_i32..239_978,
            days in -7_304_485_i32..7_304_486,
            micros in -631_107_417_600_000_001_i64..631_107_417_600_000_002,
        ) {
            let (small_months, small_days, small_micros) = (months % 2, days % 2, micros % 2);
            for interval in [
                Interval::new(months, days, micros),
                Interval::new(months.abs(), days.abs(), micros.abs()),
                Interval::new(-months.abs(), -days.abs(), -micros.abs()),
                Interval::new(small_months, small_days, small_micros),
            ] {
                let Interval { months, days, micros } = interval;
                let one_sign = (months >= 0 && days >= 0 && micros >= 0) || (months <= 0 && days <= 0 && micros <= 0);
                let near = months.abs() <= 239_976 && days.abs() <= 7_304_484 && micros.abs() <= 631_107_417_600_000_000;
                let span = Span::try_from(interval);
                prop_assert_eq!(span.is_ok(), one_sign && near);
                if let Ok(span) = span {
                    prop_assert_eq!(Interval::from(span), interval);
                    prop_assert_eq!(back(span).fieldwise(), span.fieldwise());
                }
            }
        }
    }
}
