//! Feature `rust_decimal`: [`rust_decimal::Decimal`](::rust_decimal::Decimal), 96 bits of digits of which at most 28
//! stand behind the point.
//!
//! The scale is kept: `1.50` stays `1.50`. Only where the digits do not fit otherwise are zeros dropped from the end of
//! the fraction, which changes the scale and not the number; so a `DECIMAL(65,30)` is readable. NaN, infinities and all
//! other digits that do not fit are refused.

use super::convert::{ConversionError, values};
use crate::types::Decimal;

const WANTED: &str = "rust_decimal::Decimal";
/// No number of more digits fits 96 bits.
const MAX_DIGITS: usize = 29;

values! {
    ::rust_decimal::Decimal => Decimal, "rust_decimal::Decimal";
}

/// The same digits and scale. Feature `rust_decimal`.
impl From<::rust_decimal::Decimal> for Decimal {
    fn from(value: ::rust_decimal::Decimal) -> Self {
        let text = format!("{}e-{}", value.mantissa(), value.scale());
        text.parse().expect("29 digits and a scale of 28 are within the limits")
    }
}

/// Fails for NaN, an infinity and what does not fit 96 bits and a scale of 28. Feature `rust_decimal`.
impl TryFrom<Decimal> for ::rust_decimal::Decimal {
    type Error = ConversionError;

    fn try_from(value: Decimal) -> Result<Self, ConversionError> {
        if value.is_nan() {
            return Err(ConversionError::new("NaN", WANTED));
        } else if value.is_infinite() {
            return Err(ConversionError::new("an infinite decimal", WANTED));
        }
        fitting(value.as_str()).ok_or(ConversionError::new("a decimal of too many digits", WANTED))
    }
}

/// The decimal of a plain notation, with as many of the fraction's last zeros as fit.
fn fitting(text: &str) -> Option<::rust_decimal::Decimal> {
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let needed = fraction.trim_end_matches('0').len();
    let most = fraction.len().min(::rust_decimal::Decimal::MAX_SCALE as usize);
    if integer.len() > MAX_DIGITS + 1 || needed > most {
        return None;
    }
    // At most 29 + 28 digits and a sign: short enough to try each length, though most parse at the first.
    (needed..=most).rev().find_map(|scale| {
        let digits = [integer, &fraction[..scale]].concat().parse::<i128>().ok()?;
        ::rust_decimal::Decimal::try_from_i128_with_scale(digits, scale.try_into().ok()?).ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{back, refusal};
    use super::*;
    use crate::{FromValue, IntoValue, Value, ValueKind, ValueRef};

    type Theirs = ::rust_decimal::Decimal;

    fn read(text: &str) -> Result<Theirs, ConversionError> {
        Theirs::try_from(text.parse::<Decimal>().unwrap())
    }

    #[test]
    fn digits_and_scale_are_kept() {
        for text in [
            "0",
            "0.00",
            "1.50",
            "-1.50",
            "0.0000000000000000000000000001",
            "79228162514264337593543950335",
            "-79228162514264337593543950335",
            "7.9228162514264337593543950335",
        ] {
            let theirs: Theirs = text.parse().unwrap();
            assert_eq!(Decimal::from(theirs).to_string(), text);
            assert_eq!(back(theirs).to_string(), text);
        }
        let negative_zero = -Theirs::new(0, 2);
        assert_eq!(Decimal::from(negative_zero).to_string(), "0.00");
        assert_eq!((Theirs::MAX, Theirs::MIN), (back(Theirs::MAX), back(Theirs::MIN)));
    }

    #[test]
    fn only_zeros_of_the_fraction_are_dropped() {
        for (text, shown) in [
            ("1.500000000000000000000000000000", "1.5000000000000000000000000000"),
            ("0.000000000000000000000000000000000", "0.0000000000000000000000000000"),
            ("79228162514264337593543950335.00", "79228162514264337593543950335"),
            ("7922816251426433759354395033.500", "7922816251426433759354395033.5"),
            ("-10000000000000000000000000000.0", "-10000000000000000000000000000"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_by_its_class() {
        for (text, class) in [
            ("NaN", "NaN"),
            ("Infinity", "an infinite decimal"),
            ("-Infinity", "an infinite decimal"),
            ("79228162514264337593543950336", "a decimal of too many digits"),
            ("-79228162514264337593543950336", "a decimal of too many digits"),
            ("100000000000000000000000000000", "a decimal of too many digits"),
            ("0.00000000000000000000000000001", "a decimal of too many digits"),
            ("7922816251426433759354395033.51", "a decimal of too many digits"),
            ("1e131071", "a decimal of too many digits"),
            ("1e-16383", "a decimal of too many digits"),
        ] {
            assert_eq!(
                refusal::<Theirs>(ValueRef::Decimal(text.parse().unwrap())),
                format!("{class} cannot be read as rust_decimal::Decimal")
            );
        }
        assert_eq!(refusal::<Theirs>(ValueRef::Text("x")), format!("this text does not have the form of {WANTED}"));
    }

    #[test]
    fn numbers_of_other_columns_are_read() {
        assert_eq!(Theirs::from_value(ValueRef::Int(i64::MIN)).unwrap(), Theirs::from(i64::MIN));
        assert_eq!(Theirs::from_value(ValueRef::UInt(u64::MAX)).unwrap(), Theirs::from(u64::MAX));
        assert_eq!(Theirs::from_value(ValueRef::Float(0.1)).unwrap(), Theirs::new(1, 1));
        assert_eq!(Theirs::from_value(ValueRef::Text("1.50")).unwrap(), Theirs::new(15, 1));
        assert_eq!(<Option<Theirs> as IntoValue>::KIND, ValueKind::Decimal);
        assert_eq!(None::<Theirs>.into_value(), Value::Null);
    }

    proptest! {
        #[test]
        fn every_value_round_trips(low: u32, mid: u32, high: u32, negative: bool, scale in 0_u32..=28) {
            let theirs = Theirs::from_parts(low, mid, high, negative, scale);
            prop_assert_eq!(back(theirs), theirs);
            prop_assert_eq!(back(theirs).scale(), scale);
            prop_assert_eq!(Decimal::from(theirs), theirs.to_string().parse().unwrap());
        }

        #[test]
        fn every_decimal_keeps_its_number_or_is_refused(text in "-?[0-9]{1,32}(\\.[0-9]{0,20}0{0,20})?") {
            let ours: Decimal = text.parse().unwrap();
            if let Ok(theirs) = Theirs::try_from(ours.clone()) {
                prop_assert_eq!(Decimal::from(theirs), ours);
            } else {
                let digits = ours.as_str().trim_start_matches(['-', '0', '.']);
                prop_assert!(digits.len() > 28 || ours.scale() > 28);
            }
        }
    }
}
