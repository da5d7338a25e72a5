//! Values made of values, item by item.

use databases_core::{Array, ArrayShape, Result, Value};

use super::problem::Problem;
use super::scalar::{inexact, put_bytes, put_scalar};
use crate::types::{
    Codec, Element, MAX_DIMENSIONS, RANGE_EMPTY, RANGE_LOWER_INCLUSIVE, RANGE_LOWER_INFINITE, RANGE_UPPER_INCLUSIVE,
    RANGE_UPPER_INFINITE,
};

/// Writes a value that is not NULL, in the binary form.
pub(super) fn put(codec: &Codec, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    if !codec.is_nested() {
        return put_scalar(codec, value, out);
    }
    let Value::Array(array) = value else { return Err(Problem::Kind) };
    match (codec, array.shape()) {
        (Codec::Array(element), ArrayShape::Sequence | ArrayShape::List) => put_array(element, array, out),
        (Codec::Range(element), _) => put_range(element, array, out),
        (Codec::Multirange(element), ArrayShape::Sequence) => put_multirange(element, array, out),
        (Codec::Composite(fields), ArrayShape::Record) => put_record(fields, array, out),
        (Codec::Hstore, ArrayShape::Map | ArrayShape::Sequence) => put_hstore(array, out),
        _ => Err(Problem::Kind),
    }
}

/// Writes a value behind its length; NULL is a length of -1.
fn put_item(
    out: &mut Vec<u8>,
    value: &Value,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if value.is_null() {
        put_bytes(out, (-1_i32).to_be_bytes());
        return Ok(());
    }
    let start = out.len();
    put_bytes(out, [0; 4]);
    put(out)?;
    let len = count(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&len);
    Ok(())
}

fn count(count: usize) -> Result<[u8; 4], Problem> {
    i32::try_from(count).map(i32::to_be_bytes).map_err(inexact)
}

/// The array in a value, where items may be the arrays of the next dimension.
fn inner(value: &Value) -> Option<&Array> {
    match value {
        Value::Array(array) if matches!(array.shape(), ArrayShape::Sequence | ArrayShape::List) => Some(array),
        _ => None,
    }
}

fn put_array(element: &Element, array: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    // A sequence is an item and not a dimension where the items of the type may be sequences.
    let sequences = matches!(element.codec, Codec::Array(_) | Codec::Multirange(_) | Codec::Hstore | Codec::Custom(_));
    let lengths = if sequences { vec![array.items().len()] } else { lengths(array)? };
    let empty = lengths.contains(&0);
    put_bytes(out, count(if empty { 0 } else { lengths.len() })?);
    let nulls = out.len();
    put_bytes(out, [0; 4]);
    put_bytes(out, element.oid.to_be_bytes());
    if !empty {
        for (dimension, length) in lengths.iter().enumerate() {
            put_bytes(out, count(*length)?);
            put_bytes(out, array.lower_bounds().get(dimension).unwrap_or(&1).to_be_bytes());
        }
    }
    if put_dimension(&element.codec, array, &lengths, out)? {
        out[nulls..nulls + 4].copy_from_slice(&1_i32.to_be_bytes());
    }
    // The server has one empty array and would give back that one.
    if empty && lengths.len() > 1 {
        return Err(Problem::EmptyInner);
    }
    Ok(())
}

/// How many items there are in each dimension, by the first of each.
fn lengths(array: &Array) -> Result<Vec<usize>, Problem> {
    let (mut lengths, mut next) = (Vec::new(), Some(array));
    while let Some(array) = next {
        if lengths.len() == MAX_DIMENSIONS {
            return Err(Problem::Dimensions);
        }
        lengths.push(array.items().len());
        next = array.items().first().and_then(inner);
    }
    Ok(lengths)
}

/// Writes the items and tells whether one is NULL.
fn put_dimension(element: &Codec, array: &Array, lengths: &[usize], out: &mut Vec<u8>) -> Result<bool, Problem> {
    let Some((length, rest)) = lengths.split_first() else { return Err(Problem::Ragged) };
    if array.items().len() != *length {
        return Err(Problem::Ragged);
    }
    let mut nulls = false;
    for (index, item) in array.items().iter().enumerate() {
        let part = || format!("item {index}");
        if rest.is_empty() {
            nulls |= item.is_null();
            put_item(out, item, |out| put(element, item, out)).map_err(|problem| problem.of_part(part()))?;
        } else {
            let inner = inner(item).ok_or(Problem::Ragged)?;
            nulls |= put_dimension(element, inner, rest, out).map_err(|problem| match problem {
                Problem::Ragged => Problem::Ragged,
                problem => problem.of_part(part()),
            })?;
        }
    }
    Ok(nulls)
}

fn put_range(element: &Element, range: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    let (lower_inclusive, upper_inclusive) = match range.shape() {
        ArrayShape::EmptyRange => {
            out.push(RANGE_EMPTY);
            return Ok(());
        }
        ArrayShape::Range { lower_inclusive, upper_inclusive } => (lower_inclusive, upper_inclusive),
        _ => return Err(Problem::Kind),
    };
    let [lower, upper] = range.items() else { return Err(Problem::Kind) };
    let flag = |bound: &Value, infinite, included: bool, inclusive| match bound {
        Value::Null => infinite,
        _ if included => inclusive,
        _ => 0,
    };
    out.push(
        flag(lower, RANGE_LOWER_INFINITE, lower_inclusive, RANGE_LOWER_INCLUSIVE)
            | flag(upper, RANGE_UPPER_INFINITE, upper_inclusive, RANGE_UPPER_INCLUSIVE),
    );
    for (part, bound) in [("lower bound", lower), ("upper bound", upper)] {
        if !bound.is_null() {
            put_item(out, bound, |out| put(&element.codec, bound, out)).map_err(|problem| problem.of_part(part))?;
        }
    }
    Ok(())
}

fn put_multirange(element: &Element, ranges: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    put_bytes(out, count(ranges.items().len())?);
    for (index, item) in ranges.items().iter().enumerate() {
        let range = match item {
            Value::Array(range) => put_item(out, item, |out| put_range(element, range, out)),
            _ => Err(Problem::Kind),
        };
        range.map_err(|problem| problem.of_part(format!("item {index}")))?;
    }
    Ok(())
}

fn put_record(fields: &[Element], record: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    if record.items().len() != fields.len() {
        return Err(Problem::Fields(record.items().len(), fields.len()));
    }
    put_bytes(out, count(fields.len())?);
    for (index, (field, value)) in fields.iter().zip(record.items()).enumerate() {
        put_bytes(out, field.oid.to_be_bytes());
        put_item(out, value, |out| put(&field.codec, value, out))
            .map_err(|problem| problem.of_part(format!("field {index}")))?;
    }
    Ok(())
}

fn put_hstore(pairs: &Array, out: &mut Vec<u8>) -> Result<(), Problem> {
    put_bytes(out, count(pairs.items().len())?);
    for (index, pair) in pairs.items().iter().enumerate() {
        put_pair(pair, out).map_err(|problem| problem.of_part(format!("item {index}")))?;
    }
    Ok(())
}

fn put_pair(pair: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    let Value::Array(pair) = pair else { return Err(Problem::Kind) };
    let (ArrayShape::Record, [key @ Value::Text(_), value]) = (pair.shape(), pair.items()) else {
        return Err(Problem::Kind);
    };
    put_item(out, key, |out| put_scalar(&Codec::Text, key, out))?;
    put_item(out, value, |out| put_scalar(&Codec::Text, value, out))
}
