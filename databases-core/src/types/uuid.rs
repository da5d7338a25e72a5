//! The 16 bytes of a UUID. It never makes one: versions and generators are the `uuid` crate's business.

use std::{fmt, str::FromStr};

use super::ParseTypeError;

const EXPECTED: ParseTypeError = ParseTypeError::new("a UUID like 67e55044-10b1-426f-9247-bb680e5fe0c8");

/// A UUID of any version, compared by its bytes.
///
/// # Text
///
/// `Display` writes lower case with hyphens. `FromStr` reads upper and lower case with hyphens, without them, in braces
/// (`{67e55044-…}`) and as URN (`urn:uuid:67e55044-…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Returns the UUID whose bytes are all 0.
    #[must_use]
    pub const fn nil() -> Self {
        Self([0; 16])
    }

    /// Makes a UUID of its bytes, in the order in which they are written.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, in the order in which they are written.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        const URN: &str = "urn:uuid:";
        let text = match text.split_at_checked(URN.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(URN) => rest,
            _ => text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?,
        };
        let digits = text.as_bytes();
        let mut nibbles = [0_u8; 32];
        match digits.len() {
            32 => nibbles.copy_from_slice(digits),
            36 => {
                let mut end = 0;
                for (place, &byte) in digits.iter().enumerate() {
                    if matches!(place, 8 | 13 | 18 | 23) {
                        if byte != b'-' {
                            return None;
                        }
                    } else {
                        nibbles[end] = byte;
                        end += 1;
                    }
                }
            }
            _ => return None,
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(nibbles.chunks_exact(2)) {
            *byte = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        Some(Self(bytes))
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl FromStr for Uuid {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        Self::parse(text).ok_or(EXPECTED)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_forms_are_one_value() {
        let shown = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        for text in [
            shown,
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "{67e5504410b1426f9247bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "URN:UUID:67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            let uuid: Uuid = text.parse().expect(text);
            assert_eq!(uuid.to_string(), shown);
            assert_eq!(uuid.as_bytes()[..2], [0x67, 0xe5]);
        }
        assert_eq!(Uuid::nil().to_string(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "67e55044",
            "67e55044-10b1-426f-9247-bb680e5fe0c",
            "67e55044-10b1-426f-9247-bb680e5fe0c8 ",
            "67e55044-10b1-426f-9247-bb680e5fe0cg",
            "67e5504-410b1-426f-9247-bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8",
            "67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "------------------------------------",
            "éééééééééééééééé",
            "éééééééééééééééééé",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(EXPECTED), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
            prop_assert_eq!(uuid.to_string().replace('-', "").parse(), Ok(uuid));
            prop_assert_eq!(*uuid.as_bytes(), bytes);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,50}", near in "[-0-9a-f{}]{32,36}") {
            let _ = (text.parse::<Uuid>(), near.parse::<Uuid>());
        }
    }
}
