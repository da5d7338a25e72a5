//! Feature `chrono`: dates, times and instants of the [`chrono`](::chrono) crate.
//!
//! A leap second, which chrono writes as a nanosecond of 1,000,000,000 or more, is refused in both directions: no server
//! holds one, and the second before or after it is another value. So is a date before 4714 BC, where the servers' dates
//! begin. Infinities and 24:00 are refused by chrono's types, as are years after 262142.

use ::chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};

use super::convert::{ConversionError, bind, read, values};
use crate::error::Result;
use crate::types::{Date, DateTime, Time, Timestamp};
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

values! {
    NaiveDate => Date, "chrono::NaiveDate";
    NaiveTime => Time, "chrono::NaiveTime";
    NaiveDateTime => DateTime, "chrono::NaiveDateTime";
}

// Of any zone on the way in, UTC on the way out: a server keeps the instant and not the offset that it was written with.
impl<Tz: TimeZone> IntoValue for ::chrono::DateTime<Tz> {
    const KIND: ValueKind = ValueKind::Timestamp;

    fn into_value(self) -> Value {
        bind(self, Value::Timestamp)
    }
}

impl FromValue for ::chrono::DateTime<Utc> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        read::<Timestamp, _>(value, "chrono::DateTime<Utc>")
    }
}

/// Fails before 4714-11-24 BC. Feature `chrono`.
impl TryFrom<NaiveDate> for Date {
    type Error = ConversionError;

    fn try_from(date: NaiveDate) -> Result<Self, ConversionError> {
        Self::from_days(date.to_epoch_days()).ok_or(ConversionError::new("a date before 4714 BC", "types::Date"))
    }
}

/// Fails for an infinity and for years after 262142. Feature `chrono`.
impl TryFrom<Date> for NaiveDate {
    type Error = ConversionError;

    fn try_from(date: Date) -> Result<Self, ConversionError> {
        const WANTED: &str = "chrono::NaiveDate";
        let days = date.days().ok_or(ConversionError::new("an infinite date", WANTED))?;
        Self::from_epoch_days(days).ok_or(ConversionError::new("a date after the year 262142", WANTED))
    }
}

/// Fails for a leap second; cuts off what is finer than a microsecond. Feature `chrono`.
impl TryFrom<NaiveTime> for Time {
    type Error = ConversionError;

    fn try_from(time: NaiveTime) -> Result<Self, ConversionError> {
        let micros = micros(time.nanosecond()).ok_or(ConversionError::new("a leap second", "types::Time"))?;
        let seconds = i64::from(time.num_seconds_from_midnight());
        Ok(Self::from_micros(seconds * 1_000_000 + i64::from(micros)).expect("chrono's times lie within a day"))
    }
}

/// Fails for 24:00. Feature `chrono`.
impl TryFrom<Time> for NaiveTime {
    type Error = ConversionError;

    fn try_from(time: Time) -> Result<Self, ConversionError> {
        let (hour, minute, second, micro) = time.hms_micro();
        Self::from_hms_micro_opt(hour.into(), minute.into(), second.into(), micro)
            .ok_or(ConversionError::new("a time of 24:00", "chrono::NaiveTime"))
    }
}

/// Fails for a leap second and before 4714 BC; cuts off what is finer than a microsecond. Feature `chrono`.
impl TryFrom<NaiveDateTime> for DateTime {
    type Error = ConversionError;

    fn try_from(value: NaiveDateTime) -> Result<Self, ConversionError> {
        from_chrono(&value.and_utc(), "types::DateTime")
    }
}

/// Fails for an infinity and for years after 262142. Feature `chrono`.
impl TryFrom<DateTime> for NaiveDateTime {
    type Error = ConversionError;

    fn try_from(value: DateTime) -> Result<Self, ConversionError> {
        to_chrono(value, "chrono::NaiveDateTime").map(|value| value.naive_utc())
    }
}

/// Fails for a leap second and before 4714 BC; cuts off what is finer than a microsecond. The offset is used up.
/// Feature `chrono`.
impl<Tz: TimeZone> TryFrom<::chrono::DateTime<Tz>> for Timestamp {
    type Error = ConversionError;

    fn try_from(instant: ::chrono::DateTime<Tz>) -> Result<Self, ConversionError> {
        from_chrono(&instant, "types::Timestamp").map(Self::from_utc)
    }
}

/// Fails for an infinity and for years after 262142. Feature `chrono`.
impl TryFrom<Timestamp> for ::chrono::DateTime<Utc> {
    type Error = ConversionError;

    fn try_from(instant: Timestamp) -> Result<Self, ConversionError> {
        to_chrono(instant.to_utc(), "chrono::DateTime<Utc>")
    }
}

/// The microseconds of a second; `None` for a leap second.
const fn micros(nanos: u32) -> Option<u32> {
    if nanos < NANOS_PER_SECOND { Some(nanos / 1000) } else { None }
}

/// What clocks set to UTC show at `instant`.
fn from_chrono<Tz: TimeZone>(
    instant: &::chrono::DateTime<Tz>,
    wanted: &'static str,
) -> Result<DateTime, ConversionError> {
    let micros = micros(instant.timestamp_subsec_nanos()).ok_or(ConversionError::new("a leap second", wanted))?;
    DateTime::from_unix_seconds(instant.timestamp(), micros)
        .ok_or(ConversionError::new("a timestamp before 4714 BC", wanted))
}

fn to_chrono(value: DateTime, wanted: &'static str) -> Result<::chrono::DateTime<Utc>, ConversionError> {
    let (seconds, micros) = value.unix_seconds().ok_or(ConversionError::new("an infinite timestamp", wanted))?;
    ::chrono::DateTime::from_timestamp(seconds, micros * 1000)
        .ok_or(ConversionError::new("a timestamp after the year 262142", wanted))
}

#[cfg(test)]
mod tests {
    use ::chrono::{DateTime as Instant, FixedOffset};
    use proptest::prelude::*;

    use super::super::convert::testing::{assert_unbindable, back, refusal};
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn extremes_are_kept() {
        for (theirs, ours) in [
            (day(-4713, 11, 24), Date::MIN),
            (day(1, 1, 1), Date::from_ymd(1, 1, 1).unwrap()),
            (day(1970, 1, 1), Date::from_days(0).unwrap()),
            (day(9999, 12, 31), Date::from_ymd(9999, 12, 31).unwrap()),
            (NaiveDate::MAX, Date::from_ymd(262_142, 12, 31).unwrap()),
        ] {
            assert_eq!(theirs.into_value(), Value::Date(ours));
            assert_eq!(back(theirs), theirs);
            for time in [NaiveTime::MIN, NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap()] {
                assert_eq!(back(time), time);
                assert_eq!(back(theirs.and_time(time)), theirs.and_time(time));
                assert_eq!(back(theirs.and_time(time).and_utc()), theirs.and_time(time).and_utc());
            }
        }
    }

    #[test]
    fn what_chrono_cannot_hold_is_an_error_by_its_class() {
        let late = Date::from_ymd(262_143, 1, 1).unwrap();
        let late_time = DateTime::new(late, Time::MIDNIGHT).unwrap();
        for (value, class) in [(Date::INFINITY, "an infinite date"), (Date::MAX, "a date after the year 262142")] {
            assert_eq!(
                refusal::<NaiveDate>(ValueRef::Date(value)),
                format!("{class} cannot be read as chrono::NaiveDate")
            );
        }
        assert!(refusal::<NaiveDate>(ValueRef::Date(late)).starts_with("a date after"));
        assert_eq!(
            refusal::<NaiveTime>(ValueRef::Time(Time::MAX)),
            "a time of 24:00 cannot be read as chrono::NaiveTime"
        );
        for value in [DateTime::INFINITY, DateTime::NEG_INFINITY] {
            let class = "an infinite timestamp cannot be read as";
            assert_eq!(refusal::<NaiveDateTime>(ValueRef::DateTime(value)), format!("{class} chrono::NaiveDateTime"));
            assert_eq!(
                refusal::<Instant<Utc>>(ValueRef::Timestamp(value.assume_utc())),
                format!("{class} chrono::DateTime<Utc>")
            );
        }
        for value in [late_time, DateTime::MAX] {
            let class = "a timestamp after the year 262142 cannot be read as";
            assert_eq!(refusal::<NaiveDateTime>(ValueRef::DateTime(value)), format!("{class} chrono::NaiveDateTime"));
            assert_eq!(
                refusal::<Instant<Utc>>(ValueRef::Timestamp(value.assume_utc())),
                format!("{class} chrono::DateTime<Utc>")
            );
        }
    }

    #[test]
    fn other_values_are_refused_in_terms_of_the_type_asked_for() {
        assert_eq!(
            refusal::<NaiveDate>(ValueRef::Text("2024-02-30")),
            "this text does not have the form of chrono::NaiveDate"
        );
        assert_eq!(refusal::<NaiveDate>(ValueRef::Bool(true)), "a boolean cannot be read as chrono::NaiveDate");
        let error = Instant::<Utc>::from_value(ValueRef::Null).unwrap_err();
        assert_eq!(error.to_string(), "NULL cannot be read as chrono::DateTime<Utc>");
        assert_eq!(error.hint(), Some("ask for Option<chrono::DateTime<Utc>>"));
        assert_eq!(Option::<NaiveTime>::from_value(ValueRef::Null).unwrap(), None);
    }

    #[test]
    fn text_and_the_other_timestamp_are_read() {
        let noon = day(2024, 2, 29).and_hms_opt(12, 0, 0).unwrap();
        for text in ["2024-02-29 12:00:00", "2024-02-29T12:00"] {
            assert_eq!(NaiveDateTime::from_value(ValueRef::Text(text)).unwrap(), noon);
        }
        assert_eq!(Instant::from_value(ValueRef::Text("2024-02-29 13:00:00+01")).unwrap(), noon.and_utc());
        let ours = DateTime::try_from(noon).unwrap();
        assert_eq!(NaiveDateTime::from_value(ValueRef::Timestamp(ours.assume_utc())).unwrap(), noon);
        assert_eq!(Instant::from_value(ValueRef::DateTime(ours)).unwrap(), noon.and_utc());
    }

    #[test]
    fn leap_seconds_and_dates_before_the_servers_first_are_unbindable() {
        let leap = NaiveTime::from_hms_nano_opt(23, 59, 59, NANOS_PER_SECOND).unwrap();
        let leap_day = day(2016, 12, 31).and_time(leap);
        let early = day(-4713, 11, 23);
        assert_unbindable(leap);
        assert_unbindable(leap_day);
        assert_unbindable(leap_day.and_utc());
        for early in [early, NaiveDate::MIN] {
            assert_unbindable(early);
            assert_unbindable(early.and_time(NaiveTime::MIN));
            assert_unbindable(early.and_time(NaiveTime::MIN).and_utc());
        }
        assert_eq!(Time::try_from(leap).unwrap_err().found(), "a leap second");
        assert_eq!(Date::try_from(early).unwrap_err().found(), "a date before 4714 BC");
    }

    #[test]
    fn an_offset_is_used_up_and_finer_digits_are_cut_off() {
        let east = FixedOffset::east_opt(19_815).unwrap();
        let there = east.with_ymd_and_hms(2024, 1, 2, 3, 4, 5).unwrap();
        assert_eq!(<Instant<FixedOffset> as IntoValue>::KIND, ValueKind::Timestamp);
        assert_eq!(there.into_value(), there.to_utc().into_value());
        assert_eq!(Option::<Instant<FixedOffset>>::None.into_value(), Value::Null);
        for (seconds, nanos, micros) in [(0, 999, 0), (-1, 999_999_999, -1), (-1, 1, -1_000_000)] {
            let fine = Instant::from_timestamp(seconds, nanos).unwrap();
            assert_eq!(Timestamp::try_from(fine).ok(), Timestamp::from_unix_micros(micros));
        }
        let fine = NaiveTime::from_hms_nano_opt(23, 59, 59, 999_999_999).unwrap();
        assert_eq!(Time::try_from(fine).unwrap().to_string(), "23:59:59.999999");
    }

    proptest! {
        #[test]
        fn every_value_of_the_servers_round_trips_or_is_refused(
            micros in DateTime::MIN.micros_since_2000()..=DateTime::MAX.micros_since_2000()
        ) {
            let ours = DateTime::from_micros_since_2000(micros).unwrap();
            let fits = ours.date() < Date::from_ymd(262_143, 1, 1).unwrap();
            let theirs = NaiveDateTime::try_from(ours);
            prop_assert_eq!(theirs.is_ok(), fits);
            let Ok(theirs) = theirs else { return Ok(()) };
            prop_assert_eq!(DateTime::try_from(theirs), Ok(ours));
            prop_assert_eq!(NaiveDate::try_from(ours.date()), Ok(theirs.date()));
            prop_assert_eq!(NaiveTime::try_from(ours.time().unwrap()), Ok(theirs.time()));
            prop_assert_eq!(back(theirs.date()), theirs.date());
            prop_assert_eq!(back(theirs.time()), theirs.time());
            prop_assert_eq!(back(theirs.and_utc()), theirs.and_utc());
        }

        #[test]
        fn every_value_of_chrono_is_cut_to_microseconds_or_refused(
            seconds in Instant::<Utc>::MIN_UTC.timestamp()..=Instant::<Utc>::MAX_UTC.timestamp(),
            near in -300_000_000_000_i64..300_000_000_000,
            nanos in 0..NANOS_PER_SECOND,
        ) {
            for seconds in [seconds, near] {
                let theirs = Instant::from_timestamp(seconds, nanos).unwrap();
                let cut = Instant::from_timestamp(seconds, nanos / 1000 * 1000).unwrap();
                match Timestamp::try_from(theirs) {
                    Ok(ours) => prop_assert_eq!(Instant::try_from(ours), Ok(cut)),
                    Err(_) => prop_assert!(theirs.date_naive() < day(-4713, 11, 24)),
                }
            }
        }
    }
}
