//! Feature `bigdecimal`: [`bigdecimal::BigDecimal`](::bigdecimal::BigDecimal), decimals of any size.
//!
//! Digits and scale are kept; a negative scale, `15e3`, becomes `15000`. NaN and infinities are refused, and on the way in
//! what is beyond PostgreSQL's 131072 digits before the point and 16383 after it.

use ::bigdecimal::BigDecimal;

use super::convert::{ConversionError, values};
use crate::types::Decimal;

/// No decimal has more digits: 10^147455 is below 2^489900.
const MAX_BITS: u64 = 489_900;

values! {
    BigDecimal => Decimal, "bigdecimal::BigDecimal";
}

/// Fails beyond the digits of [`Decimal`]. Feature `bigdecimal`.
///
/// Zeros at the end of a fraction that is too long are dropped if the rest then fits.
impl TryFrom<BigDecimal> for Decimal {
    type Error = ConversionError;

    fn try_from(value: BigDecimal) -> Result<Self, ConversionError> {
        // Writing digits takes time by the square of their number.
        let short = value.as_bigint_and_scale().0.bits() <= MAX_BITS;
        let plain = if short { plain(&value).or_else(|| plain(&value.normalized())) } else { None };
        plain.ok_or(ConversionError::new("a decimal of too many digits", "types::Decimal"))
    }
}

/// The digits with the point moved, unless that takes too many.
fn plain(value: &BigDecimal) -> Option<Decimal> {
    let (digits, scale) = value.as_bigint_and_scale();
    format!("{digits}e{}", -i128::from(scale)).parse().ok()
}

/// Fails for NaN and an infinity. Feature `bigdecimal`.
impl TryFrom<Decimal> for BigDecimal {
    type Error = ConversionError;

    fn try_from(value: Decimal) -> Result<Self, ConversionError> {
        const WANTED: &str = "bigdecimal::BigDecimal";
        if value.is_nan() {
            return Err(ConversionError::new("NaN", WANTED));
        } else if value.is_infinite() {
            return Err(ConversionError::new("an infinite decimal", WANTED));
        }
        Ok(value.as_str().parse().expect("a plain notation is a decimal"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{assert_unbindable, back, refusal};
    use super::*;
    use crate::{FromValue, IntoValue, Value, ValueKind, ValueRef};

    fn big(text: &str) -> BigDecimal {
        text.parse().expect(text)
    }

    #[test]
    fn digits_and_scale_are_kept() {
        for (text, shown) in [
            ("0", "0"),
            ("0.00", "0.00"),
            ("-1.50", "-1.50"),
            ("15e3", "15000"),
            ("-1e-5", "-0.00001"),
            (
                "12345678901234567890123456789012345678901234567890.5",
                "12345678901234567890123456789012345678901234567890.5",
            ),
        ] {
            let ours = Decimal::try_from(big(text)).unwrap();
            assert_eq!(ours.to_string(), shown);
            assert_eq!(back(big(text)), big(text));
            let again = BigDecimal::try_from(ours).unwrap().as_bigint_and_scale().1;
            assert_eq!(again, shown.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64));
        }
        for text in ["1e131071", "1e-16383"] {
            assert_eq!(back(big(text)), big(text));
        }
        assert_eq!(Decimal::try_from(big("0e-20000")), Ok(Decimal::zero()));
        assert_eq!(Decimal::try_from(big(&format!("1.{}", "0".repeat(20_000)))), Ok(1.into()));
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_written_out() {
        for (text, class) in [("NaN", "NaN"), ("-Infinity", "an infinite decimal")] {
            assert_eq!(
                refusal::<BigDecimal>(ValueRef::Decimal(text.parse().unwrap())),
                format!("{class} cannot be read as bigdecimal::BigDecimal")
            );
        }
        for text in ["1e131072", "1e-16384", "1e9000000000000000000", "-1e-9000000000000000000"] {
            assert_unbindable(big(text));
            assert_eq!(Decimal::try_from(big(text)).unwrap_err().found(), "a decimal of too many digits");
        }
        for scale in [i64::MIN, i64::MAX] {
            assert_unbindable(BigDecimal::new(1.into(), scale));
        }
        let message = refusal::<BigDecimal>(ValueRef::Bool(true));
        assert_eq!(message, "a boolean cannot be read as bigdecimal::BigDecimal");
        assert_eq!(BigDecimal::from_value(ValueRef::Int(5)).unwrap(), big("5"));
        assert_eq!(<Option<BigDecimal> as IntoValue>::KIND, ValueKind::Decimal);
        assert_eq!(None::<BigDecimal>.into_value(), Value::Null);
    }

    proptest! {
        #[test]
        fn every_decimal_round_trips(text in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?") {
            let ours: Decimal = text.parse().unwrap();
            let theirs = BigDecimal::try_from(ours.clone()).unwrap();
            prop_assert_eq!(Decimal::try_from(theirs.clone()).map(|again| again.to_string()), Ok(ours.to_string()));
            prop_assert_eq!(back(theirs.clone()), theirs);
        }

        #[test]
        fn every_number_of_theirs_is_kept(digits: i128, scale in -100_i64..100) {
            let theirs = BigDecimal::new(digits.into(), scale);
            prop_assert_eq!(back(theirs.clone()), theirs);
        }
    }
}
