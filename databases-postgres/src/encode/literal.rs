//! What goes to the server as its own text: arrays of what only it can read, and numbers of what it calls by names.
//!
//! <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use std::io::Write as _;

use databases_core::{Array, ArrayShape, Result, Value};

use super::problem::Problem;
use super::scalar::put_text;
use crate::types::MAX_DIMENSIONS;

/// Writes an integer as its digits.
pub(super) fn put_number(value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    match value {
        Value::Int(value) => write!(out, "{value}"),
        Value::UInt(value) => write!(out, "{value}"),
        _ => return Err(Problem::Kind),
    }
    .map_err(|_| Problem::Kind)
}

/// Writes an array of text.
pub(super) fn put_array(array: &Array, delimiter: u8, out: &mut Vec<u8>) -> Result<(), Problem> {
    if !array.lower_bounds().is_empty() {
        let mut dimension = Some(array);
        for lower in array.lower_bounds() {
            let items = dimension.map(Array::items).unwrap_or_default();
            let upper = i64::from(*lower) + items.len() as i64 - 1;
            write!(out, "[{lower}:{upper}]").map_err(|_| Problem::Kind)?;
            dimension = items.first().and_then(inner);
        }
        out.push(b'=');
    }
    put_dimension(array, delimiter, 1, out)
}

fn inner(value: &Value) -> Option<&Array> {
    match value {
        Value::Array(array) if array.shape() == ArrayShape::Sequence => Some(array),
        _ => None,
    }
}

// The server sees by itself whether the arrays are of one length.
fn put_dimension(array: &Array, delimiter: u8, depth: usize, out: &mut Vec<u8>) -> Result<(), Problem> {
    if depth > MAX_DIMENSIONS {
        return Err(Problem::Dimensions);
    }
    out.push(b'{');
    for (index, item) in array.items().iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        match (item, inner(item)) {
            (_, Some(inner)) => put_dimension(inner, delimiter, depth + 1, out),
            (Value::Null, _) => {
                out.extend_from_slice(b"NULL");
                Ok(())
            }
            (Value::Text(text), _) => put_quoted(text, out),
            (value, _) => put_number(value, out),
        }
        .map_err(|problem| problem.of_part(format!("item {index}")))?;
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
