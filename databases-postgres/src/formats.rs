//! The formats that results are asked for in.
//!
//! The driver asks for every column in binary: its Bind messages end in "one format for all: binary". A type without a
//! binary form fails the whole statement then. So for the statements that have such columns the guard puts a format per
//! column in the place of that end, while the message passes by.
//!
//! Bind: <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BIND>.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The end of each Bind of the driver: one format, binary.
const ALL_BINARY: [u8; 4] = [0, 1, 0, 1];
/// Tag and length.
const HEADER: usize = 5;
/// More than the driver's longest names of a portal and a statement take.
const MAX_NAMES: usize = 64;

/// The ends of Binds by the driver's names of statements.
type Ends = HashMap<Box<[u8]>, Arc<[u8]>>;

/// The statements of a session that have columns in text, by the driver's name of them, with the end of their Binds.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    statements: Mutex<Ends>,
    /// How many there are: the lock is taken only where there are some.
    len: AtomicUsize,
}

impl Formats {
    /// From here on the columns of the statement's results come in text or in binary.
    pub(crate) fn insert(&self, statement: &str, in_text: impl ExactSizeIterator<Item = bool>) {
        #[expect(clippy::cast_possible_truncation, reason = "the server counts the columns of a result in 16 bits")]
        let columns = in_text.len() as u16;
        let mut end = columns.to_be_bytes().to_vec();
        in_text.for_each(|text| end.extend([0, u8::from(!text)]));
        let mut statements = self.lock();
        statements.insert(statement.as_bytes().into(), end.into());
        self.len.store(statements.len(), SeqCst);
    }

    /// Forgets a statement that was closed.
    pub(crate) fn remove(&self, statement: &[u8]) {
        if self.is_empty() {
            return;
        }
        let mut statements = self.lock();
        statements.remove(statement);
        self.len.store(statements.len(), SeqCst);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(SeqCst) == 0
    }

    fn get(&self, statement: &[u8]) -> Option<Arc<[u8]>> {
        self.lock().get(statement).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives Binds their formats, however the driver's bytes are cut. Starts between two messages.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    /// The start of a message of which it is not known yet whether it is to be changed.
    held: Vec<u8>,
    /// What is left of the message that is passing.
    left: usize,
    /// Where the message is a Bind to be changed: its new end, and how much of its old end has been left out.
    end: Option<(Arc<[u8]>, usize)>,
}

impl Rewriter {
    /// Whether the last byte was the last of a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.held.is_empty() && self.left == 0
    }

    /// Appends to `out` what becomes of `bytes`.
    pub(crate) fn rewrite(&mut self, mut bytes: &[u8], formats: &Formats, out: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = if self.left > 0 { self.pass(bytes, out)? } else { self.hold(bytes, formats, out)? };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Lets a part of a message through.
    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let Some((end, seen)) = &mut self.end else {
            let take = bytes.len().min(self.left);
            out.extend_from_slice(&bytes[..take]);
            self.left -= take;
            return Ok(take);
        };
        if self.left > ALL_BINARY.len() {
            let take = bytes.len().min(self.left - ALL_BINARY.len());
            out.extend_from_slice(&bytes[..take]);
            self.left -= take;
            return Ok(take);
        }
        if bytes[0] != ALL_BINARY[*seen] {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the driver asks for its results in another format",
            ));
        }
        *seen += 1;
        self.left -= 1;
        if self.left == 0 {
            out.extend_from_slice(end);
            self.end = None;
        }
        Ok(1)
    }

    /// Collects the start of a message until it tells what is to become of it.
    fn hold(&mut self, bytes: &[u8], formats: &Formats, out: &mut Vec<u8>) -> io::Result<usize> {
        let start = self.held.len();
        let wanted = if start < HEADER { HEADER - start } else { 1 };
        let taken = bytes.len().min(wanted);
        self.held.extend_from_slice(&bytes[..taken]);
        let [tag, a, b, c, d, names @ ..] = &*self.held else { return Ok(taken) };
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        // What is left of the message behind what is held.
        let left = (len + 1).saturating_sub(self.held.len());
        let mut end = None;
        if *tag == b'B' {
            let mut names = names.split(|byte| *byte == 0);
            match (names.next(), names.next(), names.next()) {
                (Some(_portal), Some(statement), Some(_)) if left >= ALL_BINARY.len() => end = formats.get(statement),
                _ if left > 0 && self.held.len() < HEADER + MAX_NAMES => return Ok(taken),
                _ => {}
            }
        }
        if let Some(end) = end {
            // The driver has limited the message to 2 GiB, and the end is far shorter.
            let len = u32::try_from(len - ALL_BINARY.len() + end.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "the driver's Bind is longer than a message can be")
            })?;
            self.held[1..HEADER].copy_from_slice(&len.to_be_bytes());
            self.end = Some((end, 0));
        }
        out.append(&mut self.held);
        self.left = left;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 4).unwrap();
        [&[tag], &len.to_be_bytes()[..], body].concat()
    }

    fn bind(portal: &str, statement: &str, parameters: &[u8], end: &[u8]) -> Vec<u8> {
        message(b'B', &[portal.as_bytes(), b"\0", statement.as_bytes(), b"\0", parameters, end].concat())
    }

    fn formats() -> Formats {
        let formats = Formats::default();
        formats.insert("s7", [true, false, true].into_iter());
        formats.insert("s70", std::iter::repeat_n(true, 300));
        formats
    }

    const S7: &[u8] = &[0, 3, 0, 0, 0, 1, 0, 0];

    fn s70() -> Vec<u8> {
        [&300_u16.to_be_bytes()[..], &[0; 2 * 300]].concat()
    }

    /// A message and what becomes of it.
    fn any_message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        // Parameters that look like names, ends and messages.
        let parameters =
            proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(b'B'), Just(b's'), any::<u8>()], 0..40);
        let statement = prop_oneof![Just("s7"), Just("s70"), Just("s71"), Just("s"), Just("")];
        let portal = prop_oneof![4 => Just(""), 1 => Just("p1")];
        (0..5, portal, statement, parameters).prop_map(|(what, portal, statement, parameters)| match what {
            0 => {
                let other = message(b'P', &parameters);
                (other.clone(), other)
            }
            1 => (message(b'S', b""), message(b'S', b"")),
            2 => {
                let long = bind(&"x".repeat(200), "s7", &parameters, &ALL_BINARY);
                (long.clone(), long)
            }
            _ => {
                let end = match statement {
                    "s7" => S7.to_vec(),
                    "s70" => s70(),
                    _ => ALL_BINARY.to_vec(),
                };
                (bind(portal, statement, &parameters, &ALL_BINARY), bind(portal, statement, &parameters, &end))
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn binds_get_their_formats_however_they_are_cut(
            messages in proptest::collection::vec(any_message(), 0..12),
            cuts in proptest::collection::vec(1_usize..50, 1..60),
        ) {
            let formats = formats();
            let (given, expected): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
            let (given, expected) = (given.concat(), expected.concat());
            let (mut rewriter, mut found, mut rest) = (Rewriter::default(), Vec::new(), &given[..]);
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, behind) = rest.split_at(cut.min(rest.len()));
                rewriter.rewrite(part, &formats, &mut found).unwrap();
                rest = behind;
            }
            prop_assert!(rewriter.is_between_messages());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, cut in 1_usize..9) {
            let (formats, mut rewriter, mut out) = (formats(), Rewriter::default(), Vec::new());
            for part in bytes.chunks(cut) {
                let _ = rewriter.rewrite(part, &formats, &mut out);
            }
        }
    }

    #[test]
    fn a_statement_is_forgotten_when_it_is_closed() {
        let formats = formats();
        formats.remove(b"s7");
        assert!(!formats.is_empty() && formats.get(b"s7").is_none());
        formats.remove(b"s70");
        assert!(formats.is_empty());
    }

    #[test]
    fn another_end_is_an_error() {
        let given = bind("", "s7", &[0, 0, 0, 0], &[0, 1, 0, 0]);
        assert!(Rewriter::default().rewrite(&given, &formats(), &mut Vec::new()).is_err());
    }
}
