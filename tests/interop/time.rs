use databases::Result;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime};

use super::{DATE, DATETIME, TIME, TIMESTAMP, assert_kept, assert_refused, refusals};

fn day(year: i32, month: Month, day: u8) -> Date {
    Date::from_calendar_date(year, month, day).unwrap()
}

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let last = Time::from_hms_micro(23, 59, 59, 999_999).unwrap();
    let first_day = day(1000, Month::January, 1);
    assert_kept(DATE, [first_day, day(2024, Month::February, 29), day(9999, Month::December, 31)]).await?;
    assert_kept(TIME, [Time::MIDNIGHT, last]).await?;
    assert_kept(DATETIME, [first_day.midnight(), day(9999, Month::December, 31).with_time(last)]).await?;
    let instants: [PrimitiveDateTime; 2] =
        [day(1970, Month::January, 2).midnight(), day(2037, Month::December, 31).with_time(last)];
    assert_kept::<OffsetDateTime>(TIMESTAMP, instants.map(PrimitiveDateTime::assume_utc)).await?;
    assert_kept::<UtcDateTime>(TIMESTAMP, instants.map(PrimitiveDateTime::as_utc)).await
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_the_class() -> Result<()> {
    for message in refusals::<Time>(TIME, "'24:00:00'").await? {
        assert!(message.ends_with("a time of 24:00 cannot be read as time::Time"), "{message}");
    }
    assert_refused(day(-5000, Month::January, 1)).await
}
