//! The form in which PostgreSQL sends `numeric`: groups of four digits. Exact both ways; never trusts what it is given.
//!
//! The message is `ndigits`, `weight`, `sign`, `dscale`, then the groups, 16 bits each: see `numeric_send` in
//! <https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c>. Reading and writing its bytes is
//! the backend's part.

use super::{Decimal, ParseTypeError};

const EXPECTED: ParseTypeError =
    ParseTypeError::new("a numeric whose groups are below 10000 and whose scale, at most 16383, covers all digits");

/// Sign or special value of a `numeric` message. The other fields of a special value mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Zero and above.
    Positive,
    /// Below zero.
    Negative,
    /// Not a number.
    Nan,
    /// Infinity, which PostgreSQL knows from version 14 on.
    Infinity,
    /// -Infinity, which PostgreSQL knows from version 14 on.
    NegInfinity,
}

impl Sign {
    /// Reads the message's sign; `None` for a code that PostgreSQL does not have.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            0x0000 => Some(Self::Positive),
            0x4000 => Some(Self::Negative),
            0xC000 => Some(Self::Nan),
            0xD000 => Some(Self::Infinity),
            0xF000 => Some(Self::NegInfinity),
            _ => None,
        }
    }

    /// Returns the message's sign.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Positive => 0x0000,
            Self::Negative => 0x4000,
            Self::Nan => 0xC000,
            Self::Infinity => 0xD000,
            Self::NegInfinity => 0xF000,
        }
    }
}

/// The fields of a `numeric` message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base10000 {
    /// Groups of four decimal digits, the most significant first, without leading or trailing zero groups.
    ///
    /// At most 36,864, so that their number fits the message as the unsigned integer which PostgreSQL takes it for.
    pub digits: Vec<u16>,
    /// The power of 10,000 of the first group.
    pub weight: i16,
    /// The sign, or which special value this is.
    pub sign: Sign,
    /// The number of decimal digits after the point.
    pub dscale: u16,
}

impl Decimal {
    /// Makes a decimal of the fields of a `numeric` message.
    ///
    /// Groups may start or end with zeros. Allocates at most [`Decimal::MAX_INTEGER_DIGITS`] and
    /// [`Decimal::MAX_SCALE`] bytes, and only what `weight` and `dscale` ask for.
    ///
    /// # Errors
    ///
    /// If a group is above 9999, if `dscale` is above [`Decimal::MAX_SCALE`], or if a digit that is not 0 stands
    /// further behind the point than `dscale`: dropping it would round.
    pub fn from_base10000(
        digits: impl IntoIterator<Item = u16>,
        weight: i16,
        sign: Sign,
        dscale: u16,
    ) -> Result<Self, ParseTypeError> {
        let negative = match sign {
            Sign::Nan => return Ok(Self::nan()),
            Sign::Infinity => return Ok(Self::infinity()),
            Sign::NegInfinity => return Ok(Self::neg_infinity()),
            Sign::Positive => false,
            Sign::Negative => true,
        };
        if dscale > Self::MAX_SCALE {
            return Err(EXPECTED);
        }
        // Groups before the point; if negative, how many zero groups stand between it and the first.
        let groups = i32::from(weight) + 1;
        let integer_len = usize::try_from(groups).unwrap_or(0) * 4;
        let skipped = usize::try_from(-groups).unwrap_or(0) * 4;
        let mut text = vec![b'0'; integer_len + usize::from(dscale)];
        let mut places = skipped..;
        for group in digits {
            if group > 9999 {
                return Err(EXPECTED);
            }
            for (digit, place) in
                [group / 1000, group / 100 % 10, group / 10 % 10, group % 10].into_iter().zip(&mut places)
            {
                match text.get_mut(place) {
                    #[expect(clippy::cast_possible_truncation, reason = "a digit is below 10")]
                    Some(byte) => *byte += digit as u8,
                    None if digit == 0 => {}
                    None => return Err(EXPECTED),
                }
            }
        }
        let text = String::from_utf8(text).map_err(|_| EXPECTED)?;
        let (integer, fraction) = text.split_at(integer_len);
        Self::from_digits(negative, integer, fraction).ok_or(EXPECTED)
    }

    /// Returns the fields of a `numeric` message. Every decimal has them: its limits are those of `numeric`.
    #[must_use]
    pub fn to_base10000(&self) -> Base10000 {
        // What the last group is multiplied by, by its number of digits.
        const SCALES: [u16; 5] = [0, 1_000, 100, 10, 1];
        let special = |sign| Base10000 { digits: Vec::new(), weight: 0, sign, dscale: 0 };
        let (negative, integer, fraction) = self.split();
        if self.is_nan() {
            return special(Sign::Nan);
        } else if self.is_infinite() {
            return special(if negative { Sign::NegInfinity } else { Sign::Infinity });
        }
        // The groups before the point are complete on its side, and those after it too.
        let integer = if integer == "0" { "" } else { integer };
        let (head, middle) = integer.as_bytes().split_at(integer.len() % 4);
        let groups = [head].into_iter().filter(|head| !head.is_empty()).chain(middle.chunks(4));
        let mut digits: Vec<u16> = groups.map(value).collect();
        let before_point = digits.len();
        digits.extend(fraction.as_bytes().chunks(4).map(|group| value(group) * SCALES[group.len()]));
        let leading = digits.iter().take_while(|&&group| group == 0).count();
        digits.drain(..leading);
        let weight = before_point.cast_signed() - 1 - leading.cast_signed();
        let weight = i16::try_from(weight).expect("at most 32,768 groups stand before the point and 4,096 behind it");
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Base10000 {
            weight: if digits.is_empty() { 0 } else { weight },
            digits,
            sign: if negative { Sign::Negative } else { Sign::Positive },
            dscale: self.scale(),
        }
    }
}

/// The value of at most four ASCII digits.
fn value(group: &[u8]) -> u16 {
    group.iter().fold(0, |n, byte| n * 10 + u16::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(parts: &Base10000) -> Result<Decimal, ParseTypeError> {
        Decimal::from_base10000(parts.digits.iter().copied(), parts.weight, parts.sign, parts.dscale)
    }

    #[test]
    fn fields_are_those_postgres_sends() {
        use Sign::{Negative, Positive};
        for (text, digits, weight, sign, dscale) in [
            ("0", &[] as &[u16], 0, Positive, 0),
            ("0.00", &[], 0, Positive, 2),
            ("1", &[1], 0, Positive, 0),
            ("-1.50", &[1, 5000], 0, Negative, 2),
            ("0.0001", &[1], -1, Positive, 4),
            ("0.00001", &[1000], -2, Positive, 5),
            ("0.1", &[1000], -1, Positive, 1),
            ("9999", &[9999], 0, Positive, 0),
            ("10000", &[1], 1, Positive, 0),
            ("10000.00", &[1], 1, Positive, 2),
            ("100000001", &[1, 0, 1], 2, Positive, 0),
            ("12345678901234567890.123456789", &[1234, 5678, 9012, 3456, 7890, 1234, 5678, 9000], 4, Positive, 9),
            ("0.00000000000000000001", &[1], -5, Positive, 20),
            ("100000000.00000001", &[1, 0, 0, 0, 1], 2, Positive, 8),
            ("NaN", &[], 0, Sign::Nan, 0),
            ("Infinity", &[], 0, Sign::Infinity, 0),
            ("-Infinity", &[], 0, Sign::NegInfinity, 0),
        ] {
            let parts = Base10000 { digits: digits.to_vec(), weight, sign, dscale };
            let value: Decimal = text.parse().expect(text);
            assert_eq!(value.to_base10000(), parts, "{text}");
            assert_eq!(back(&parts).map(|value| value.to_string()), Ok(text.to_owned()));
            assert_eq!(Sign::from_code(sign.code()), Some(sign));
        }
        assert_eq!(Sign::from_code(1), None);
    }

    #[test]
    fn the_largest_and_the_finest_numeric_fit() {
        for text in [
            format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383)),
            format!("-1{}", "0".repeat(131_071)),
            format!("0.{}1", "0".repeat(16_382)),
            format!("0.{}", "0".repeat(16_383)),
        ] {
            let parts = text.parse::<Decimal>().unwrap().to_base10000();
            assert!(parts.digits.len() <= 36_864);
            assert!(back(&parts).unwrap().as_str() == text);
        }
    }

    #[test]
    fn zero_groups_around_the_digits_are_allowed() {
        for (digits, weight, dscale, text) in [
            (&[0_u16, 0, 7, 0] as &[u16], 2, 0, "7"),
            (&[0], 0, 0, "0"),
            (&[0], -7, 3, "0.000"),
            (&[], 3, 1, "0.0"),
            (&[5000, 0, 0, 0], -1, 1, "0.5"),
            (&[], i16::MAX, 0, "0"),
            (&[], i16::MIN, 0, "0"),
        ] {
            let value = Decimal::from_base10000(digits.iter().copied(), weight, Sign::Positive, dscale);
            assert_eq!(value.map(|value| value.to_string()), Ok(text.to_owned()));
        }
        let zero = Decimal::from_base10000([0], 0, Sign::Negative, 2).unwrap();
        assert_eq!(zero.as_str(), "0.00");
        // PostgreSQL 15 sends infinities with a scale of 32, which means nothing.
        let infinite = Decimal::from_base10000([], 0, Sign::NegInfinity, 32).unwrap();
        assert_eq!(infinite.as_str(), "-Infinity");
    }

    #[test]
    fn what_is_not_a_numeric_is_refused() {
        for (digits, weight, dscale) in [
            (&[10_000_u16] as &[u16], 0, 0),
            (&[u16::MAX], 0, 0),
            (&[1], 0, 16_384),
            (&[1], 0, u16::MAX),
            (&[1, 5000], 0, 0),
            (&[1, 5010], 0, 2),
            (&[1], i16::MIN, 16_383),
        ] {
            let value = Decimal::from_base10000(digits.iter().copied(), weight, Sign::Positive, dscale);
            assert_eq!(value.map(drop), Err(EXPECTED), "{digits:?} {weight} {dscale}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(text in "-?(0|[1-9][0-9]{0,60})(\\.(0{0,30})[0-9]{1,40})?", zeros in 0_usize..20) {
            let sparse = text.replace(['3', '4', '5', '6', '7', '8'], "0");
            for text in [text, sparse, format!("1{}", "0".repeat(zeros))] {
                let value: Decimal = text.parse().unwrap();
                let parts = value.to_base10000();
                prop_assert!(parts.digits.first() != Some(&0) && parts.digits.last() != Some(&0));
                prop_assert!(back(&parts).unwrap().as_str() == value.as_str());
            }
        }

        #[test]
        fn parts_round_trip_or_are_refused(
            digits in proptest::collection::vec(0_u16..10_050, 0..8),
            weight: i16,
            near in -6_i16..6,
            dscale in 0_u16..40,
            huge: u16,
        ) {
            for (weight, dscale) in [(near, dscale), (weight, dscale), (near, huge), (weight, huge)] {
                if let Ok(value) = Decimal::from_base10000(digits.iter().copied(), weight, Sign::Negative, dscale) {
                    prop_assert_eq!(value.scale(), dscale);
                    prop_assert!(back(&value.to_base10000()).unwrap().as_str() == value.as_str());
                }
            }
        }
    }
}
