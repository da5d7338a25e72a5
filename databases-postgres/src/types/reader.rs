//! Bytes from the server, taken apart without trust: what they say of themselves is checked against what is there.

use databases_core::{Error, ErrorKind, Result, Value};

#[cold]
pub(super) fn malformed() -> Error {
    Error::new(ErrorKind::Decode, "the bytes are not what their type says")
}

#[inline]
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed())
}

#[cold]
fn not_utf8() -> Error {
    Error::new(ErrorKind::Decode, "the text is not UTF-8")
}

#[inline]
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| not_utf8())
}

/// Bytes of which the front is taken off.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    /// A count, of things of which each takes at least `least` of the bytes that are left.
    pub(super) fn count(&mut self, least: usize) -> Result<usize> {
        let count = usize::try_from(i32::from_be_bytes(self.take()?)).map_err(|_| malformed())?;
        if count > self.0.len() / least { Err(malformed()) } else { Ok(count) }
    }

    /// Bytes behind their length; `None` where the length says NULL.
    #[inline]
    pub(super) fn item(&mut self) -> Result<Option<&'a [u8]>> {
        let len = match i32::from_be_bytes(self.take()?) {
            -1 => return Ok(None),
            len => usize::try_from(len).map_err(|_| malformed())?,
        };
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(Some(head))
    }

    pub(super) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

/// How much memory a value may still take.
///
/// An item of four bytes becomes a [`Value`] and, in an array of six dimensions of one item, five arrays as well; a
/// `numeric` of ten bytes may have 131,072 digits. So values made of values are allowed a multiple of their bytes, and
/// what every value is allowed, which is more than the largest decimal takes.
pub(super) struct Room(usize);

impl Room {
    const PER_BYTE: usize = 48;
    const ALWAYS: usize = 384 << 10;

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.len().saturating_mul(Self::PER_BYTE).saturating_add(Self::ALWAYS))
    }

    /// Takes `bytes` for what is about to be allocated.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::new(ErrorKind::Decode, "the value would take far more memory than it has bytes")
                .with_hint("get_raw() has the bytes")
        })?;
        Ok(())
    }

    /// Takes what an array of `count` items needs: the items and the box of the array itself.
    pub(super) fn take_items(&mut self, count: usize) -> Result<()> {
        self.take(count.saturating_mul(size_of::<Value>()).saturating_add(size_of::<databases_core::Array>()))
    }
}
