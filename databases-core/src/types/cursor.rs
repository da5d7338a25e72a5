//! A cursor over the bytes of a text, for the fixed forms of dates, times and intervals.
//!
//! It never allocates and never panics: what does not match is `None` or `false`.

/// What is left to read of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next byte.
    pub(super) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes `prefix`, whatever its case, if it is next.
    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.split_at_checked(prefix.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(prefix.as_bytes()) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes a `+` or `-` if it is next; true stands for `-`.
    pub(super) fn sign(&mut self) -> Option<bool> {
        if self.eat("-") {
            Some(true)
        } else if self.eat("+") {
            Some(false)
        } else {
            None
        }
    }

    /// Takes all digits that are next, perhaps none.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    /// Takes all digits that are next, at least one, as a number that must fit.
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.digits();
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0_u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')))
    }

    /// Takes exactly two digits.
    pub(super) fn two_digits(&mut self) -> Option<u8> {
        let (&[tens, ones], rest) = self.rest.split_first_chunk()?;
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        self.rest = rest;
        Some((tens - b'0') * 10 + (ones - b'0'))
    }

    /// Takes digits, at least one, as what follows the point of a number of seconds, in microseconds.
    ///
    /// Finer digits are cut off.
    pub(super) fn fraction_micros(&mut self) -> Option<u32> {
        let digits = self.digits();
        if digits.is_empty() {
            return None;
        }
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
        Some(padded.fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    }
}

/// A number of microseconds below one second as `.ffffff` without trailing zeros; nothing for zero.
pub(super) struct Fraction(pub(super) u32);

impl std::fmt::Display for Fraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut micros, mut width) = (self.0, 6);
        if micros == 0 {
            return Ok(());
        }
        while micros % 10 == 0 {
            micros /= 10;
            width -= 1;
        }
        write!(f, ".{micros:0width$}")
    }
}
