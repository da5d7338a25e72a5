//! Feature `time`: dates, times and instants of the [`time`](::time) crate.
//!
//! Its years end at 9999 in both directions, or at 999999 where some crate of the build switches on its feature
//! `large-dates`. Infinities, 24:00 and what lies beyond are refused; so is, on the way in, a date before 4714 BC, where
//! the servers' dates begin. An instant is read in UTC: a server does not keep the offset that it was written with.

use ::time::{Date as TheirDate, OffsetDateTime, PrimitiveDateTime, Time as TheirTime, UtcDateTime};

use super::convert::{ConversionError, values};
use crate::types::{Date, DateTime, Time, Timestamp};

/// The Julian day of 1970-01-01.
const JULIAN_1970: i32 = 2_440_588;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

values! {
    TheirDate => Date, "time::Date";
    TheirTime => Time, "time::Time";
    PrimitiveDateTime => DateTime, "time::PrimitiveDateTime";
    OffsetDateTime => Timestamp, "time::OffsetDateTime";
    UtcDateTime => Timestamp, "time::UtcDateTime";
}

/// Fails before 4714-11-24 BC. Feature `time`.
impl TryFrom<TheirDate> for Date {
    type Error = ConversionError;

    fn try_from(date: TheirDate) -> Result<Self, ConversionError> {
        Self::from_days(date.to_julian_day() - JULIAN_1970)
            .ok_or(ConversionError::new("a date before 4714 BC", "types::Date"))
    }
}

/// Fails for an infinity and beyond the years of `time`. Feature `time`.
impl TryFrom<Date> for TheirDate {
    type Error = ConversionError;

    fn try_from(date: Date) -> Result<Self, ConversionError> {
        const WANTED: &str = "time::Date";
        let days = date.days().ok_or(ConversionError::new("an infinite date", WANTED))?;
        let julian = days.checked_add(JULIAN_1970).and_then(|day| Self::from_julian_day(day).ok());
        julian.ok_or(ConversionError::new("a date beyond that crate's years", WANTED))
    }
}

/// Cuts off what is finer than a microsecond. Feature `time`.
impl From<TheirTime> for Time {
    fn from(time: TheirTime) -> Self {
        let (hour, minute, second, micro) = time.as_hms_micro();
        Self::from_hms_micro(hour, minute, second, micro).expect("both have the hours 0 to 23 and no leap seconds")
    }
}

/// Fails for 24:00. Feature `time`.
impl TryFrom<Time> for TheirTime {
    type Error = ConversionError;

    fn try_from(time: Time) -> Result<Self, ConversionError> {
        let (hour, minute, second, micro) = time.hms_micro();
        Self::from_hms_micro(hour, minute, second, micro)
            .map_err(|_| ConversionError::new("a time of 24:00", "time::Time"))
    }
}

/// Fails before 4714 BC; cuts off what is finer than a microsecond. Feature `time`.
impl TryFrom<PrimitiveDateTime> for DateTime {
    type Error = ConversionError;

    fn try_from(value: PrimitiveDateTime) -> Result<Self, ConversionError> {
        from_nanos(value.assume_utc().unix_timestamp_nanos(), "types::DateTime")
    }
}

/// Fails for an infinity and beyond the years of `time`. Feature `time`.
impl TryFrom<DateTime> for PrimitiveDateTime {
    type Error = ConversionError;

    fn try_from(value: DateTime) -> Result<Self, ConversionError> {
        to_utc(value, "time::PrimitiveDateTime").map(|utc| Self::new(utc.date(), utc.time()))
    }
}

/// Fails before 4714 BC; cuts off what is finer than a microsecond. The offset is used up. Feature `time`.
impl TryFrom<OffsetDateTime> for Timestamp {
    type Error = ConversionError;

    fn try_from(instant: OffsetDateTime) -> Result<Self, ConversionError> {
        from_nanos(instant.unix_timestamp_nanos(), "types::Timestamp").map(Self::from_utc)
    }
}

/// In UTC. Fails for an infinity and beyond the years of `time`. Feature `time`.
impl TryFrom<Timestamp> for OffsetDateTime {
    type Error = ConversionError;

    fn try_from(instant: Timestamp) -> Result<Self, ConversionError> {
        to_utc(instant.to_utc(), "time::OffsetDateTime").map(Into::into)
    }
}

/// Fails before 4714 BC; cuts off what is finer than a microsecond. Feature `time`.
impl TryFrom<UtcDateTime> for Timestamp {
    type Error = ConversionError;

    fn try_from(instant: UtcDateTime) -> Result<Self, ConversionError> {
        from_nanos(instant.unix_timestamp_nanos(), "types::Timestamp").map(Self::from_utc)
    }
}

/// Fails for an infinity and beyond the years of `time`. Feature `time`.
impl TryFrom<Timestamp> for UtcDateTime {
    type Error = ConversionError;

    fn try_from(instant: Timestamp) -> Result<Self, ConversionError> {
        to_utc(instant.to_utc(), "time::UtcDateTime")
    }
}

fn from_nanos(nanos: i128, wanted: &'static str) -> Result<DateTime, ConversionError> {
    #[expect(clippy::cast_possible_truncation, reason = "nanoseconds below a second")]
    let micros = nanos.rem_euclid(NANOS_PER_SECOND) as u32 / 1000;
    let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok();
    seconds
        .and_then(|seconds| DateTime::from_unix_seconds(seconds, micros))
        .ok_or(ConversionError::new("a timestamp before 4714 BC", wanted))
}

fn to_utc(value: DateTime, wanted: &'static str) -> Result<UtcDateTime, ConversionError> {
    let (seconds, micros) = value.unix_seconds().ok_or(ConversionError::new("an infinite timestamp", wanted))?;
    UtcDateTime::from_unix_timestamp(seconds)
        .and_then(|utc| utc.replace_nanosecond(micros * 1000))
        .map_err(|_| ConversionError::new("a timestamp beyond that crate's years", wanted))
}

#[cfg(test)]
mod tests {
    use ::time::UtcOffset;
    use proptest::prelude::*;

    use super::super::convert::testing::{assert_unbindable, back, refusal};
    use super::*;
    use crate::{FromValue, IntoValue, Value, ValueKind, ValueRef};

    const LAST: (u8, u8, u8, u32) = (23, 59, 59, 999_999);

    fn last_time() -> TheirTime {
        TheirTime::from_hms_micro(LAST.0, LAST.1, LAST.2, LAST.3).unwrap()
    }

    #[test]
    fn extremes_are_kept() {
        let first = TheirDate::try_from(Date::MIN).unwrap();
        assert_eq!((first.year(), first.to_julian_day()), (-4713, 0));
        for date in [first, TheirDate::from_julian_day(JULIAN_1970).unwrap(), TheirDate::MAX] {
            assert_eq!(back(date), date);
            for time in [TheirTime::MIDNIGHT, last_time()] {
                let value = PrimitiveDateTime::new(date, time);
                assert_eq!(back(time), time);
                assert_eq!(back(value), value);
                assert_eq!(back(value.assume_utc()), value.assume_utc());
                assert_eq!(back(UtcDateTime::new(date, time)), UtcDateTime::new(date, time));
            }
        }
    }

    #[test]
    fn what_time_cannot_hold_is_an_error_by_its_class() {
        for (value, class) in [(Date::INFINITY, "an infinite date"), (Date::MAX, "a date beyond that crate's years")] {
            assert_eq!(refusal::<TheirDate>(ValueRef::Date(value)), format!("{class} cannot be read as time::Date"));
        }
        assert_eq!(refusal::<TheirTime>(ValueRef::Time(Time::MAX)), "a time of 24:00 cannot be read as time::Time");
        for (value, class) in [
            (DateTime::INFINITY, "an infinite timestamp"),
            (DateTime::NEG_INFINITY, "an infinite timestamp"),
            (DateTime::MAX, "a timestamp beyond that crate's years"),
        ] {
            let said = |wanted| format!("{class} cannot be read as {wanted}");
            let instant = || ValueRef::Timestamp(value.assume_utc());
            assert_eq!(refusal::<PrimitiveDateTime>(ValueRef::DateTime(value)), said("time::PrimitiveDateTime"));
            assert_eq!(refusal::<OffsetDateTime>(instant()), said("time::OffsetDateTime"));
            assert_eq!(refusal::<UtcDateTime>(instant()), said("time::UtcDateTime"));
        }
        assert_eq!(refusal::<TheirTime>(ValueRef::Text("7")), "this text does not have the form of time::Time");
    }

    #[test]
    fn dates_before_the_servers_first_are_unbindable() {
        for date in [TheirDate::from_julian_day(-1).unwrap(), TheirDate::MIN] {
            assert_unbindable(date);
            assert_unbindable(PrimitiveDateTime::new(date, last_time()));
            assert_unbindable(PrimitiveDateTime::new(date, last_time()).assume_utc());
            assert_unbindable(UtcDateTime::new(date, last_time()));
        }
    }

    #[test]
    fn an_offset_is_used_up_at_both_ends_and_finer_digits_are_cut_off() {
        for (hours, date) in [(23, TheirDate::MAX), (-23, TheirDate::MAX), (23, TheirDate::from_julian_day(1).unwrap())]
        {
            let offset = UtcOffset::from_hms(hours, 0, 0).unwrap();
            let there = PrimitiveDateTime::new(date, last_time()).assume_offset(offset);
            let ours = Timestamp::try_from(there).unwrap();
            assert_eq!(i128::from(ours.unix_micros().unwrap()) * 1000, there.unix_timestamp_nanos());
        }
        for (nanos, micros) in [(999, 0), (-1, -1), (-1000, -1), (-1001, -2)] {
            let fine = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
            assert_eq!(Timestamp::try_from(fine).ok(), Timestamp::from_unix_micros(micros));
        }
        let fine = TheirTime::from_hms_nano(23, 59, 59, 999_999_999).unwrap();
        assert_eq!(Time::from(fine).hms_micro(), LAST);
        assert_eq!(<Option<UtcDateTime> as IntoValue>::KIND, ValueKind::Timestamp);
        assert_eq!(None::<OffsetDateTime>.into_value(), Value::Null);
        assert_eq!(Option::<TheirDate>::from_value(ValueRef::Null).unwrap(), None);
    }

    proptest! {
        #[test]
        fn every_value_of_the_servers_round_trips_or_is_refused(
            any in DateTime::MIN.micros_since_2000()..=DateTime::MAX.micros_since_2000(),
            near in DateTime::MIN.micros_since_2000()..=252_455_615_999_999_999,
        ) {
            for micros in [any, near] {
                let ours = DateTime::from_micros_since_2000(micros).unwrap();
                let theirs = PrimitiveDateTime::try_from(ours);
                prop_assert_eq!(theirs.is_ok(), TheirDate::try_from(ours.date()).is_ok());
                // Without `large-dates`; with it there are more.
                prop_assert!(theirs.is_ok() || ours.date() > Date::from_ymd(9999, 12, 31).unwrap());
                let Ok(theirs) = theirs else { continue };
                prop_assert_eq!(DateTime::try_from(theirs), Ok(ours));
                prop_assert_eq!(TheirTime::try_from(ours.time().unwrap()), Ok(theirs.time()));
                prop_assert_eq!(back(theirs.date()), theirs.date());
                prop_assert_eq!(back(theirs.time()), theirs.time());
                prop_assert_eq!(back(theirs.assume_utc()), theirs.assume_utc());
                prop_assert_eq!(back(theirs.as_utc()), theirs.as_utc());
            }
        }
    }
}
