//! What goes to the server as its own text: arrays of what only it can read, numbers of what it calls by names, and
//! `oidvector` and `int2vector`, which have no binary form when they are empty.
//!
//! <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use std::io::Write as _;

use databases_core::{Array, ArrayShape, Result, Value};

use super::problem::Problem;
use super::scalar::{inexact, put_text};
use crate::types::{Codec, MAX_DIMENSIONS};

/// Writes an integer as its digits, which the server would cut off: `regclass` takes 2^32 for 0, `xid8` -1 for 2^64-1.
pub(super) fn put_number(value: &Value, max: u64, out: &mut Vec<u8>) -> Result<(), Problem> {
    let number = match value {
        Value::Int(value) => u64::try_from(*value).map_err(inexact)?,
        Value::UInt(value) => *value,
        _ => return Err(Problem::Kind),
    };
    if number > max {
        return Err(Problem::Inexact);
    }
    write!(out, "{number}").map_err(inexact)
}

/// Writes the numbers of an `oidvector` or `int2vector`.
pub(super) fn put_vector(codec: &Codec, array: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    for (index, item) in array.items().iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let part = |problem: Problem| problem.of_part(format!("item {index}"));
        let Value::Int(number) = item else { return Err(part(Problem::Kind)) };
        let fits = match codec {
            Codec::Int2 => i16::try_from(*number).is_ok(),
            _ => u32::try_from(*number).is_ok(),
        };
        if !fits {
            return Err(part(Problem::Inexact));
        }
        write!(out, "{number}").map_err(inexact)?;
    }
    Ok(())
}

/// Writes an array of text; of numbers as well where `codec`, that of the items, is one of numbers.
pub(super) fn put_array(array: &Array, codec: &Codec, delimiter: u8, out: &mut Vec<u8>) -> Result<(), Problem> {
    if !array.lower_bounds().is_empty() {
        let mut dimension = Some(array);
        for lower in array.lower_bounds() {
            let items = dimension.map(Array::items).unwrap_or_default();
            let upper = i64::from(*lower) + i64::try_from(items.len()).map_err(inexact)? - 1;
            write!(out, "[{lower}:{upper}]").map_err(|_| Problem::Kind)?;
            dimension = items.first().and_then(inner);
        }
        out.push(b'=');
    }
    put_dimension(array, codec, delimiter, 1, out)
}

fn inner(value: &Value) -> Option<&Array> {
    match value {
        Value::Array(array) if array.shape() == ArrayShape::Sequence => Some(array),
        _ => None,
    }
}

// The server sees by itself whether the arrays are of one length.
fn put_dimension(array: &Array, codec: &Codec, delimiter: u8, depth: usize, out: &mut Vec<u8>) -> Result<(), Problem> {
    if depth > MAX_DIMENSIONS {
        return Err(Problem::Dimensions);
    }
    if depth > 1 && array.items().is_empty() {
        return Err(Problem::EmptyInner);
    }
    out.push(b'{');
    for (index, item) in array.items().iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        match (item, inner(item)) {
            (_, Some(inner)) => put_dimension(inner, codec, delimiter, depth + 1, out),
            (Value::Null, _) => {
                out.extend_from_slice(b"NULL");
                Ok(())
            }
            (Value::Text(text), _) => put_quoted(text, out),
            (Value::Other(other), _) => other.text().ok_or(Problem::Kind).and_then(|text| put_quoted(text, out)),
            (value, _) => match codec {
                Codec::Numbered(max) => put_number(value, *max, out),
                Codec::Oid => put_number(value, u32::MAX.into(), out),
                _ => Err(Problem::Kind),
            },
        }
        .map_err(|problem| match problem {
            Problem::EmptyInner => problem,
            problem => problem.of_part(format!("item {index}")),
        })?;
    }
    out.push(b'}');
    Ok(())
}

fn put_quoted(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        put_text(&rest[..at], out)?;
        out.push(b'\\');
        out.push(rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    put_text(rest, out)?;
    out.push(b'"');
    Ok(())
}
