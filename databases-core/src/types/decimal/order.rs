//! Numeric equality, order and hash of decimals: the scale does not count.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use super::Decimal;

/// What a decimal is compared by. The derived order is that of absolute values of the same kind.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Magnitude<'a> {
    /// Without leading zeros, the longer integer is the greater one.
    integer_len: usize,
    integer: &'a str,
    /// Without trailing zeros.
    fraction: &'a str,
}

impl Decimal {
    /// Where the special values stand: -Infinity, negative numbers, others, Infinity, NaN.
    fn rank(&self) -> u8 {
        match (self.is_nan(), self.is_infinite(), self.is_negative()) {
            (true, _, _) => 4,
            (_, true, false) => 3,
            (_, false, false) => 2,
            (_, false, true) => 1,
            (_, true, true) => 0,
        }
    }

    /// All values of a special rank have the same one.
    fn magnitude(&self) -> Magnitude<'_> {
        let (_, integer, fraction) = self.split();
        Magnitude { integer_len: integer.len(), integer, fraction: fraction.trim_end_matches('0') }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = self.rank();
        rank.cmp(&other.rank()).then_with(|| {
            let order = self.magnitude().cmp(&other.magnitude());
            if rank == 1 { order.reverse() } else { order }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        self.magnitude().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_is_numeric() {
        // Each line is less than the next; the values of a line are equal.
        let lines: [&[&str]; 17] = [
            &["-Infinity", "-inf"],
            &["-1e131071"],
            &["-100", "-1e2", "-100.00"],
            &["-99.99"],
            &["-10"],
            &["-9.5", "-9.50"],
            &["-9.05"],
            &["-0.001"],
            &["0", "-0", "0.00", "-0.000"],
            &["0.001", "1e-3"],
            &["1", "1.0", "1.00"],
            &["1.05"],
            &["1.5", "1.50"],
            &["1.51"],
            &["10", "10.0"],
            &["Infinity"],
            &["NaN"],
        ];
        let hasher = RandomState::new();
        for (i, line) in lines.iter().enumerate() {
            for (j, other_line) in lines.iter().enumerate() {
                for (text, other_text) in line.iter().flat_map(|a| other_line.iter().map(move |b| (a, b))) {
                    let (a, b): (Decimal, Decimal) = (text.parse().unwrap(), other_text.parse().unwrap());
                    assert_eq!(a.cmp(&b), i.cmp(&j), "{text} {other_text}");
                    assert_eq!(a == b, i == j);
                    assert!(i != j || hasher.hash_one(&a) == hasher.hash_one(&b), "{text} {other_text}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_scaled_integers(
            a in -10_000_000_i64..10_000_000, b in -10_000_000_i64..10_000_000, scale in 0_u32..9,
        ) {
            let small = |n: i64| format!("{n}e-{scale}").parse::<Decimal>().unwrap();
            prop_assert_eq!(small(a).cmp(&small(b)), a.cmp(&b));
            let wide = format!("{a}000e-{}", scale + 3).parse::<Decimal>().unwrap();
            let hasher = RandomState::new();
            prop_assert_eq!(hasher.hash_one(&wide), hasher.hash_one(small(a)));
            prop_assert_eq!(wide, small(a));
        }
    }
}
