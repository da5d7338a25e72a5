//! Arithmetic of the proleptic Gregorian calendar: day numbers from 1970-01-01 to year, month, day and back.
//!
//! Years are astronomical: 1 is 1 AD, 0 is 1 BC, -1 is 2 BC. The algorithms are Howard Hinnant's
//! <https://howardhinnant.github.io/date_algorithms.html>. No function here checks the range of a type.

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL starts to count.
pub(super) const DAYS_TO_2000: i64 = 10_957;
/// Microseconds in a second.
pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

const DAYS_PER_ERA: i64 = 146_097;

/// Returns the number of days in a month, or `None` if there is no such month.
pub(super) const fn days_in_month(year: i64, month: u8) -> Option<u8> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if leap => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// Counts the days from 1970-01-01 to a date, or returns `None` if the calendar has no such date.
pub(super) fn days_from_civil(year: i64, month: u8, day: u8) -> Option<i64> {
    if day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    // The year starts in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_PER_ERA + day_of_era - 719_468)
}

/// Returns year, month and day of the date `days` after 1970-01-01.
pub(super) fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a month from 1 to 12 and a day from 1 to 31, because they come from remainders that are not negative"
    )]
    let (month, day) = (month as u8, day as u8);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1969, 12, 31, -1),
            (2000, 1, 1, DAYS_TO_2000),
            (2000, 2, 29, 11_016),
            (2024, 2, 29, 19_782),
            (1, 1, 1, -719_162),
            (0, 12, 31, -719_163),
            (-4713, 11, 24, -2_440_588),
            (5_874_897, 12, 31, 2_145_042_905),
        ] {
            assert_eq!(days_from_civil(year, month, day), Some(days));
            assert_eq!(civil_from_days(days), (year, month, day));
        }
    }

    #[test]
    fn dates_the_calendar_lacks_are_none() {
        for (year, month, day) in [
            (2023, 2, 29),
            (1900, 2, 29),
            (2100, 2, 29),
            (-100, 2, 29),
            (2024, 4, 31),
            (2024, 0, 1),
            (2024, 13, 1),
            (2024, 1, 0),
            (2024, 1, 32),
        ] {
            assert_eq!(days_from_civil(year, month, day), None, "{year}-{month}-{day}");
        }
        for year in [2024, 2000, 0, -4, -400] {
            assert!(days_from_civil(year, 2, 29).is_some(), "{year}");
        }
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let mut days = days_from_civil(1600, 1, 1).unwrap();
        for year in 1600..=2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month).unwrap() {
                    assert_eq!(days_from_civil(year, month, day), Some(days));
                    assert_eq!(civil_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn days_survive_the_round_trip_over_the_whole_range() {
        // A prime step, so that all days of the year are met.
        for days in (-2_440_588..=2_145_042_905).step_by(10_007) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), Some(days));
        }
    }
}
