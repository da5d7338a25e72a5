//! Rows, many to a message.
//!
//! For each row the driver cuts a message off its buffer, lists where the cells are, and counts references to all of that, which takes longer
//! than to read the cells. So the guard puts rows that have come together into one message: its first column holds them, the
//! others are NULL. What the driver then does for a row it does for some hundred. It stays the driver who knows which
//! statement they are of, and who stops reading while nobody takes them.
//!
//! Only statements that were made by [`Prepared`](crate::cache::Prepared) are answered so, and all of their rows, so that nobody has to
//! guess: what the driver asks for itself, and who has its client from `native()`, get rows as they are.
//!
//! DataRow: <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DATAROW>.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The statements of a session whose rows come packed, by the number in the driver's name of them: `s12`.
#[derive(Debug, Default)]
pub(crate) struct Packed(Mutex<BTreeSet<u64>>);

impl Packed {
    /// From here on the rows of the statement come packed; `false` if its name is of another form, and they come as they are.
    pub(crate) fn insert(&self, statement: &str) -> bool {
        number(statement.as_bytes())
            .map(|number| self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number))
            .is_some()
    }

    /// Forgets a statement that was closed.
    pub(crate) fn remove(&self, statement: &[u8]) {
        if let Some(number) = number(statement) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
    }

    pub(crate) fn contains(&self, statement: &[u8]) -> bool {
        number(statement).is_some_and(|number| self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&number))
    }
}

fn number(statement: &[u8]) -> Option<u64> {
    std::str::from_utf8(statement.strip_prefix(b"s")?).ok()?.parse().ok()
}

/// How much is read from the socket at once.
const INPUT_BYTES: usize = 64 << 10;
/// A longer row is passed on as it comes, in a message of its own.
const MOST_KEPT: usize = 8 << 10;
/// How long a message is made. Each costs the driver's task and its reader a turn, which takes longer than to enlarge the
/// driver's buffer of 8 KiB.
const MESSAGE_BYTES: usize = 64 << 10;
/// Tag, length, and the number of columns.
const HEADER: usize = 7;
/// The length of a row or a cell; of a NULL it is -1.
const LENGTH: usize = 4;
const BYTE_OF_NULL: u8 = 0xff;

/// What the packer must know of the session, and tells it.
pub(crate) trait Watcher {
    /// Looks at bytes that are passed on as they are.
    fn passed(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// How many bytes are missing of the message that was passed in part.
    fn missing(&self) -> usize;
    /// Whether the rows that come now are to be packed.
    fn packs(&self) -> bool;
    /// Refuses a message that is too long, or too short to be one.
    fn check(&self, len: usize) -> io::Result<()>;
}

/// What is between the socket and the driver while packed rows are expected.
#[derive(Default)]
pub(crate) struct Packer {
    /// What was read, from `start` to `end`. Empty until it is needed.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// What is for the driver, from `given` on.
    output: Vec<u8>,
    given: usize,
    /// A long row on its way: how much of it is to come, and the NULLs behind it.
    long: Option<Long>,
}

#[derive(Clone, Copy, Debug)]
struct Long {
    left: usize,
    nulls: usize,
}

/// A row at the start of some bytes.
#[derive(Clone, Copy)]
struct RowHeader {
    /// Of the message without its tag.
    len: usize,
    columns: u16,
}

impl RowHeader {
    /// `None` if not enough has come.
    fn of(bytes: &[u8]) -> Option<Self> {
        let [_, a, b, c, d, high, low] = *bytes.first_chunk::<HEADER>()?;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Some(Self { len, columns: u16::from_be_bytes([high, low]) })
    }

    /// The bytes of the NULLs behind the first column.
    fn nulls(self) -> usize {
        (usize::from(self.columns) - 1) * LENGTH
    }
}

impl Packer {
    /// Whether nothing is in between.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && self.given == self.output.len() && self.long.is_none()
    }

    /// Reads for the driver. Ready without a byte is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut (impl AsyncRead + Unpin),
        watch: &mut impl Watcher,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.given < self.output.len() {
                let give = buf.remaining().min(self.output.len() - self.given);
                buf.put_slice(&self.output[self.given..self.given + give]);
                self.given += give;
                return Poll::Ready(Ok(()));
            }
            self.output.clear();
            self.given = 0;
            self.pack(watch)?;
            if self.output.is_empty() && ready!(self.poll_input(cx, inner))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads behind what is left of the input, which is less than a row that is kept.
    fn poll_input(&mut self, cx: &mut Context<'_>, inner: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<usize>> {
        self.input.resize(INPUT_BYTES, 0);
        self.input.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let mut buf = ReadBuf::new(&mut self.input[self.end..]);
        ready!(Pin::new(inner).poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        self.end += read;
        Poll::Ready(Ok(read))
    }

    /// Moves from the input to the output until that is a message long or more input is needed.
    fn pack(&mut self, watch: &mut impl Watcher) -> io::Result<()> {
        while self.output.len() < MESSAGE_BYTES {
            let input = &self.input[self.start..self.end];
            let Some(tag) = input.first() else { return Ok(()) };
            if let Some(Long { left, nulls }) = self.long {
                let take = left.min(input.len());
                self.output.extend_from_slice(&input[..take]);
                self.start += take;
                self.long = Some(Long { left: left - take, nulls });
                if left == take {
                    self.output.resize(self.output.len() + nulls, BYTE_OF_NULL);
                    self.long = None;
                }
            } else if watch.missing() == 0 && *tag == b'D' && watch.packs() {
                if !self.pack_rows(watch)? {
                    return Ok(());
                }
            } else {
                let take = match (watch.missing(), input) {
                    (0, [_, a, b, c, d, ..]) => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d]))
                        .map_or(5, |len| len.saturating_add(1).max(5)),
                    (0, _) => input.len(),
                    (missing, _) => missing,
                };
                let take = take.min(input.len());
                watch.passed(&input[..take])?;
                self.output.extend_from_slice(&input[..take]);
                self.start += take;
            }
        }
        Ok(())
    }

    /// Packs the rows at the start of the input; `false` if not even the first one is whole.
    fn pack_rows(&mut self, watch: &impl Watcher) -> io::Result<bool> {
        let input = &self.input[self.start..self.end];
        let Some(first) = RowHeader::of(input) else { return Ok(false) };
        watch.check(first.len)?;
        if first.len < HEADER - 1 || first.columns == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent a row without columns"));
        }
        if first.len >= MOST_KEPT {
            return self.begin_long(first).map(|()| true);
        }
        if input.len() <= first.len {
            return Ok(false);
        }
        let head = begin(&mut self.output, first.columns);
        let (packed, mut rest) = (self.output.len(), input);
        while let Some(row) = RowHeader::of(rest) {
            let is_alike = rest[0] == b'D' && row.columns == first.columns && row.len >= HEADER - 1;
            let is_whole = row.len < MOST_KEPT && row.len < rest.len();
            let has_room = self.output.len() == packed || self.output.len() + row.len + first.nulls() <= MESSAGE_BYTES;
            if !(is_alike && is_whole && has_room) {
                break;
            }
            watch.check(row.len)?;
            self.output.extend_from_slice(&rest[1..5]);
            self.output.extend_from_slice(&rest[HEADER..=row.len]);
            rest = &rest[1 + row.len..];
        }
        self.start = self.end - rest.len();
        let packed = self.output.len() - packed;
        put_lengths(&mut self.output, head, packed, first.nulls())?;
        self.output.resize(self.output.len() + first.nulls(), BYTE_OF_NULL);
        Ok(true)
    }

    /// Begins the message of a row that is passed on as it comes.
    fn begin_long(&mut self, row: RowHeader) -> io::Result<()> {
        let head = begin(&mut self.output, row.columns);
        let length = &self.input[self.start + 1..self.start + 5];
        self.output.extend_from_slice(length);
        self.start += HEADER;
        let left = row.len + 1 - HEADER;
        put_lengths(&mut self.output, head, LENGTH + left, row.nulls())?;
        self.long = Some(Long { left, nulls: row.nulls() });
        Ok(())
    }
}

/// Begins a message; its lengths are put in later.
fn begin(output: &mut Vec<u8>, columns: u16) -> usize {
    let head = output.len();
    output.push(b'D');
    output.extend_from_slice(&[0; LENGTH]);
    output.extend_from_slice(&columns.to_be_bytes());
    output.extend_from_slice(&[0; LENGTH]);
    head
}

/// Puts the lengths into the message at `head`: of the rows in its first column, and of all.
fn put_lengths(output: &mut [u8], head: usize, packed: usize, nulls: usize) -> io::Result<()> {
    let field = |len: usize| {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidData, "the server sent a row of more than 2 GiB");
        i32::try_from(len).map(i32::to_be_bytes).map_err(too_long)
    };
    output[head + 1..head + 1 + LENGTH].copy_from_slice(&field(HEADER - 1 + LENGTH + packed + nulls)?);
    output[head + HEADER..head + HEADER + LENGTH].copy_from_slice(&field(packed)?);
    Ok(())
}

/// Where a cell is among the bytes of its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    start: u32,
    len: u32,
}

impl Cell {
    pub(crate) const NULL: Self = Self { start: 0, len: u32::MAX };

    /// Appends a cell to the bytes; `None` if there are too many.
    pub(crate) fn push(cell: &[u8], bytes: &mut Vec<u8>) -> Option<Self> {
        let start = u32::try_from(bytes.len()).ok()?;
        bytes.extend_from_slice(cell);
        Some(Self { start, len: u32::try_from(cell.len()).ok()? })
    }

    /// `None` for NULL.
    pub(crate) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.len == u32::MAX {
            return None;
        }
        // Found in these very bytes by `unpack`.
        bytes.get(self.start as usize..self.start as usize + self.len as usize)
    }
}

/// Finds the cells of the rows that were packed, of so many columns each; `None` if the bytes are no rows.
pub(crate) fn unpack(bytes: &[u8], columns: usize) -> Option<Vec<Cell>> {
    let first = usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()?;
    let mut cells = Vec::with_capacity(columns * (bytes.len() / first.max(2 * LENGTH) + 1));
    let mut rest = bytes;
    while let Some((len, behind)) = rest.split_first_chunk::<LENGTH>() {
        // The length is that of the message, of which its own bytes and the number of columns are gone.
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?.checked_sub(HEADER - 1)?;
        let (mut row, behind) = behind.split_at_checked(len)?;
        for _ in 0..columns {
            let (len, value) = row.split_first_chunk::<LENGTH>()?;
            let Ok(len) = u32::try_from(i32::from_be_bytes(*len)) else {
                cells.push(Cell::NULL);
                row = value;
                continue;
            };
            let (_, next) = value.split_at_checked(len as usize)?;
            let start = bytes.len() - behind.len() - value.len();
            cells.push(Cell { start: u32::try_from(start).ok()?, len });
            row = next;
        }
        if !row.is_empty() {
            return None;
        }
        rest = behind;
    }
    rest.is_empty().then_some(cells)
}
