//! Reading a decimal from text, bounded before anything is expanded.

use std::{borrow::Cow, str::FromStr};

use super::{Decimal, EXPECTED};
use crate::types::ParseTypeError;

impl FromStr for Decimal {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        parse(text).ok_or(EXPECTED)
    }
}

fn parse(text: &str) -> Option<Decimal> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(Decimal::nan());
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
        return Some(if negative { Decimal::neg_infinity() } else { Decimal::infinity() });
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !all_digits(integer) || !all_digits(fraction) || integer.len() + fraction.len() == 0 {
        return None;
    }
    if exponent == 0 {
        return Decimal::from_digits(negative, integer, fraction);
    }
    let (integer, fraction) = shift(integer, fraction, exponent)?;
    Decimal::from_digits(negative, &integer, &fraction)
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// Reads an exponent; one that does not fit saturates, which is far outside every limit.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !all_digits(digits) {
        return None;
    }
    let magnitude = digits.bytes().fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Moves the point by `exponent` places to the right; `None` if that gives too many digits on either side.
fn shift<'a>(integer: &'a str, fraction: &'a str, exponent: i64) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let scale = i64::try_from(fraction.len()).ok()?.saturating_sub(exponent).max(0);
    if scale > i64::from(Decimal::MAX_SCALE) {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let all = [integer, fraction].concat();
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return Some(("0".into(), "0".repeat(scale).into()));
    }
    let leading_zeros = i64::try_from(all.len() - digits.len()).ok()?;
    // How many of `digits` stand before the point; negative: how many zeros stand between the point and them.
    let point = i64::try_from(integer.len()).ok()?.saturating_add(exponent).saturating_sub(leading_zeros);
    let Ok(before) = usize::try_from(point) else {
        // `scale` counts the zeros and then all of `digits`.
        return Some(("0".into(), ["0".repeat(scale - digits.len()).as_str(), digits].concat().into()));
    };
    if before > Decimal::MAX_INTEGER_DIGITS {
        return None;
    }
    Some(match digits.split_at_checked(before) {
        Some((integer, fraction)) => (integer.to_owned().into(), fraction.to_owned().into()),
        // Not `{:0<before$}`: a width above 65,535 panics.
        None => ([digits, &"0".repeat(before - digits.len())].concat().into(), "".into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_become_plain_notation_with_their_scale() {
        for (text, plain) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("+1", "1"),
            ("1.50", "1.50"),
            ("-1.50", "-1.50"),
            ("000012.50", "12.50"),
            ("-00.10", "-0.10"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("1e5", "100000"),
            ("1E+5", "100000"),
            ("1e-5", "0.00001"),
            ("-1e-5", "-0.00001"),
            ("1.50e0", "1.50"),
            ("1.50e1", "15.0"),
            ("1.50e2", "150"),
            ("1.50e3", "1500"),
            ("1.50e-1", "0.150"),
            ("12.34e-2", "0.1234"),
            ("12.34e-5", "0.0001234"),
            ("0.0012e2", "0.12"),
            ("0.0012e3", "1.2"),
            ("0.0012e6", "1200"),
            ("00.10e1", "1.0"),
            (".5e1", "5"),
            ("5.e-1", "0.5"),
            ("0e99999999999999999999999", "0"),
            ("0.00e1", "0.0"),
            ("0e-3", "0.000"),
            ("-0e-3", "0.000"),
            ("1e-20", "0.00000000000000000001"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("nan", "NaN"),
            ("NaN", "NaN"),
            ("inf", "Infinity"),
            ("+Infinity", "Infinity"),
            ("-INF", "-Infinity"),
        ] {
            let value: Decimal = text.parse().expect(text);
            assert_eq!(value.as_str(), plain, "{text}");
            assert_eq!(value.to_string(), plain);
            assert_eq!(plain.parse::<Decimal>().map(|again| again.as_str() == plain), Ok(true));
        }
    }

    #[test]
    fn other_texts_are_refused_without_an_echo() {
        for text in [
            "", "-", "+", ".", "-.", "e5", ".e5", "1e", "1e+", "1e--5", "1e5.0", "1e5e5", "--1", "+-1", "1 ", " 1",
            "1,5", "1_000", "1.2.3", "0x10", "1f", "-nan", "+NaN", "infinit", "--inf", "١", "1é",
        ] {
            assert_eq!(text.parse::<Decimal>().map(drop), Err(EXPECTED), "{text:?}");
        }
    }

    #[test]
    fn digits_are_bounded_before_anything_is_expanded() {
        let long = "9".repeat(131_072);
        let fine = format!("0.{}1", "0".repeat(16_382));
        for text in [
            long.as_str(),
            &format!("000{long}"),
            &format!("{long}.{}", "9".repeat(16_383)),
            &format!("0.{long}e131072"),
            "1e131071",
            "0.0001e131075",
            "1e-16383",
            "0e-16383",
            &fine,
        ] {
            assert!(text.parse::<Decimal>().is_ok(), "{} bytes", text.len());
        }
        for text in [
            format!("1{long}"),
            format!("{fine}0"),
            format!("0.{long}"),
            "1e131072".into(),
            "10e131071".into(),
            "0.0001e131076".into(),
            "1e-16384".into(),
            "0.1e-16383".into(),
            "0e-16384".into(),
            "1e9223372036854775807".into(),
            "1e-9223372036854775808".into(),
            "1e99999999999999999999".into(),
            "-1.5e-99999999999999999999".into(),
        ] {
            assert_eq!(text.parse::<Decimal>().map(drop), Err(EXPECTED), "{} bytes", text.len());
        }
    }

    proptest! {
        #[test]
        fn plain_text_is_kept(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
            let value: Decimal = text.parse().unwrap();
            let kept = value.as_str() == text;
            prop_assert!(kept || text.strip_prefix('-') == Some(value.as_str()));
            prop_assert!(kept || value == Decimal::zero());
        }

        #[test]
        fn an_exponent_only_moves_the_point(
            digits in "[0-9]{0,20}\\.[0-9]{1,20}",
            exponent in -60_i32..60,
        ) {
            let there: Decimal = format!("{digits}e{exponent}").parse().unwrap();
            let back: Decimal = format!("{there}e{}", -exponent).parse().unwrap();
            prop_assert_eq!(back, digits.parse::<Decimal>().unwrap());
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[-+]?[0-9.]{0,10}[eE]?[-+]?[0-9]{0,25}") {
            let _ = (text.parse::<Decimal>(), near.parse::<Decimal>());
        }
    }
}
