//! The parameters of many rows, column by column, so that each column can be sent as one array.

use databases_core::{Arg, Error, ErrorKind, Result, Value, ValueKind};
use tokio_postgres::types::Format;

use super::problem::Problem;
use super::{MAX_MESSAGE_BYTES, Param, Ready, check_intervals, encode, too_large};
use crate::types::Codec;

/// Dimensions, whether there are NULLs, the items' type, their number, and the first one's index.
const HEADER: usize = 20;

/// Encoded rows.
pub(crate) struct Rows {
    columns: Vec<Column>,
    len: usize,
    bytes: usize,
}

/// The values of one parameter, each behind its length, as an array has them.
struct Column {
    /// Behind room for the array's header.
    items: Vec<u8>,
    /// Where the last row's begins.
    last: usize,
    nulls: bool,
    /// The rows whose value is in the server's text, which has no place among binary ones.
    texts: Vec<usize>,
}

impl Rows {
    pub(crate) fn new(params: usize) -> Self {
        let column = || Column { items: vec![0; HEADER], last: HEADER, nulls: false, texts: Vec::new() };
        Self { columns: (0..params).map(|_| column()).collect(), len: 0, bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of all values and their lengths.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the rows and keeps the room.
    pub(crate) fn clear(&mut self) {
        for column in &mut self.columns {
            column.items.truncate(HEADER);
            column.texts.clear();
            column.nulls = false;
        }
        (self.len, self.bytes) = (0, 0);
    }

    /// Writes a row whose values are of the commonest kinds and fit `params` in any case: what is paid here is paid for
    /// every row. `false` for any other row, of which nothing is written.
    pub(crate) fn push_plain(&mut self, args: &[Arg], params: &[Param]) -> bool {
        if args.len() != params.len() {
            return false;
        }
        let mut bytes = 0;
        let other = args.iter().zip(params).zip(&mut self.columns).position(|((arg, param), column)| {
            column.last = column.items.len();
            let put = match &arg.value {
                // Of text it matters what it is a NULL of.
                Value::Null => {
                    column.nulls = true;
                    put_null(&mut column.items);
                    !matches!(param.codec, Codec::Text) || arg.kind == ValueKind::Text
                }
                value => put_plain(value, &param.codec, &mut column.items),
            };
            bytes += column.items.len() - column.last;
            !put || bytes > MAX_MESSAGE_BYTES
        });
        match other {
            Some(index) => self.forget_last(index + 1),
            None => {
                self.len += 1;
                self.bytes += bytes;
            }
        }
        other.is_none()
    }

    /// Writes a row, of which there are as many `args` as `params`.
    ///
    /// # Errors
    ///
    /// As [`Encoded::new`](super::Encoded::new). The rows before it stay.
    pub(crate) fn push(&mut self, args: &[Arg], params: &[Param]) -> Result<()> {
        let mut bytes = 0;
        for (index, (arg, param)) in args.iter().zip(params).enumerate() {
            let column = &mut self.columns[index];
            column.last = column.items.len();
            let pushed = column.push(&arg.value, param, self.len);
            bytes += column.items.len() - column.last;
            let error = match pushed {
                Ok(()) if bytes <= MAX_MESSAGE_BYTES => continue,
                Ok(()) => too_large(),
                Err(problem) => problem.of(index, &param.ty, &arg.value),
            };
            self.forget_last(index + 1);
            return Err(error);
        }
        self.len += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes back the unfinished row in the first `columns`.
    fn forget_last(&mut self, columns: usize) {
        for column in &mut self.columns[..columns] {
            column.items.truncate(column.last);
            column.texts.retain(|row| *row < self.len);
        }
    }

    /// Each column as an array of items of the type of `params`; `None` if that cannot be said in binary.
    pub(crate) fn arrays(&mut self, params: &[Param]) -> Option<Vec<Ready<'_>>> {
        let len = i32::try_from(self.len).ok()?;
        for (column, param) in self.columns.iter_mut().zip(params) {
            if !column.texts.is_empty() {
                return None;
            }
            let header = [1, i32::from(column.nulls), param.ty.oid().cast_signed(), len, 1];
            for (place, number) in column.items.chunks_exact_mut(4).zip(header) {
                place.copy_from_slice(&number.to_be_bytes());
            }
        }
        Some(self.columns.iter().map(|column| Ready { format: Format::Binary, bytes: Some(&column.items) }).collect())
    }

    /// Whether every value is in binary.
    pub(crate) fn is_binary(&self) -> bool {
        self.columns.iter().all(|column| column.texts.is_empty())
    }

    /// The rows, one by one.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { rows: self, row: 0, at: vec![HEADER; self.columns.len()] }
    }
}

impl Column {
    fn push(&mut self, value: &Value, param: &Param, row: usize) -> Result<(), Problem> {
        self.nulls |= value.is_null();
        if matches!(put_item(value, param, &mut self.items)?, Format::Text) {
            self.texts.push(row);
        }
        Ok(())
    }
}

/// Where the value is whose length stands at `at`; `None` for NULL.
fn item_at(items: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let len: [u8; 4] = items[at..at + 4].try_into().expect("four bytes are an array of four");
    let len = usize::try_from(i32::from_be_bytes(len)).ok()?;
    Some(at + 4..at + 4 + len)
}

/// Writes a row of the binary COPY.
///
/// # Errors
///
/// As [`Encoded::new`](super::Encoded::new), and `Encode` for a value that only its text can be sent of.
pub(crate) fn put_row(
    args: &[Arg],
    params: &[Param],
    server_version: impl FnOnce() -> String,
    out: &mut Vec<u8>,
) -> Result<()> {
    check_intervals(args, server_version)?;
    let start = out.len();
    // A table has at most 1,600 columns.
    out.extend_from_slice(&u16::try_from(args.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (index, (arg, param)) in args.iter().zip(params).enumerate() {
        match put_item(&arg.value, param, out) {
            Ok(Format::Binary) => {}
            Ok(Format::Text) => {
                let (ty, what) = (param.ty.name(), arg.value.as_ref().describe());
                let message = format!("parameter ${}: {what} for {ty} goes as the server's text", index + 1);
                let hint = "a binary COPY has no place for text: use execute_many, or copy_in in the format csv";
                return Err(Error::new(ErrorKind::Encode, message).with_hint(hint));
            }
            Err(problem) => return Err(problem.of(index, &param.ty, &arg.value)),
        }
        if out.len() - start > MAX_MESSAGE_BYTES {
            return Err(too_large());
        }
    }
    Ok(())
}

/// Writes a value behind its length.
fn put_item(value: &Value, param: &Param, out: &mut Vec<u8>) -> Result<Format, Problem> {
    if value.is_null() {
        put_null(out);
        return Ok(Format::Binary);
    }
    if put_plain(value, &param.codec, out) {
        return Ok(Format::Binary);
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let format = encode(&param.codec, &param.ty, value, out)?;
    let len = i32::try_from(out.len() - start - 4).map_err(|_| Problem::Inexact)?;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(format)
}

fn put_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// Writes a value of one of the commonest kinds behind its length, as [`encode`] would; `false` for any other.
#[inline]
fn put_plain(value: &Value, codec: &Codec, out: &mut Vec<u8>) -> bool {
    match (codec, value) {
        (Codec::Int8, Value::Int(value)) => put_eight(value.to_be_bytes(), out),
        (Codec::Float8, Value::Float(value)) => put_eight(value.to_be_bytes(), out),
        (Codec::Timestamptz, Value::Timestamp(value)) => put_eight(value.micros_since_2000().to_be_bytes(), out),
        (Codec::Bool, Value::Bool(value)) => out.extend_from_slice(&[0, 0, 0, 1, u8::from(*value)]),
        (Codec::Int4, Value::Int(value)) => {
            let Ok(value) = i32::try_from(*value) else { return false };
            let [a, b, c, d] = value.to_be_bytes();
            out.extend_from_slice(&[0, 0, 0, 4, a, b, c, d]);
        }
        (Codec::Text, Value::Text(text)) if !text.as_bytes().contains(&0) => return put_sized(text.as_bytes(), out),
        (Codec::Bytea, Value::Bytes(bytes)) => return put_sized(bytes, out),
        _ => return false,
    }
    true
}

fn put_eight([a, b, c, d, e, f, g, h]: [u8; 8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 8, a, b, c, d, e, f, g, h]);
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(len) = i32::try_from(bytes.len()) else { return false };
    out.reserve(4 + bytes.len());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    true
}

/// Gives the parameters of each row.
pub(crate) struct Iter<'a> {
    rows: &'a Rows,
    row: usize,
    at: Vec<usize>,
}

impl<'a> Iter<'a> {
    /// Appends the parameters of the next row to `out`.
    pub(crate) fn next_into(&mut self, out: &mut Vec<Ready<'a>>) {
        for (column, at) in self.rows.columns.iter().zip(&mut self.at) {
            let item = item_at(&column.items, *at);
            *at = item.as_ref().map_or(*at + 4, |item| item.end);
            let text = !column.texts.is_empty() && column.texts.binary_search(&self.row).is_ok();
            let format = if text { Format::Text } else { Format::Binary };
            out.push(Ready { format, bytes: item.map(|item| &column.items[item]) });
        }
        self.row += 1;
    }
    /// Appends the next row to `out` as the binary COPY has it, of values in binary; `false` behind the last.
    pub(crate) fn copy_next_into(&mut self, out: &mut Vec<u8>) -> bool {
        if self.row == self.rows.len {
            return false;
        }
        // A table has at most 1,600 columns.
        out.extend_from_slice(&u16::try_from(self.at.len()).unwrap_or(u16::MAX).to_be_bytes());
        for (column, at) in self.rows.columns.iter().zip(&mut self.at) {
            let end = item_at(&column.items, *at).map_or(*at + 4, |item| item.end);
            out.extend_from_slice(&column.items[*at..end]);
            *at = end;
        }
        self.row += 1;
        true
    }
}
