//! Sequences as values: arrays and bytes, the lists that expand, records, maps and ranges.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::ops::Bound;
use std::sync::Arc;

use crate::array::{Array, ArrayShape};
use crate::error::{Error, ErrorKind, Result};
use crate::misfit::{mismatch, mismatch_as};
use crate::types::Range;
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef};

// `Vec<u8>` and `&[u8]` are bytes, every other sequence is an array. The one blanket impl serves both, since
// specialisation is not to be had: `SequenceItem` is what tells `u8` from the rest.
/// An item of a `Vec` or slice: `u8` makes bytes of it, every other value type an array.
pub trait SequenceItem: Sized {
    /// The kind of the whole sequence.
    #[doc(hidden)]
    const SEQUENCE: ValueKind;
    /// Makes the value.
    #[doc(hidden)]
    fn sequence(items: Vec<Self>) -> Value;
}

impl SequenceItem for u8 {
    const SEQUENCE: ValueKind = ValueKind::Bytes;
    fn sequence(items: Vec<Self>) -> Value {
        Value::Bytes(items)
    }
}

impl<T: IntoValue> SequenceItem for T {
    const SEQUENCE: ValueKind = ValueKind::Array;
    fn sequence(items: Vec<Self>) -> Value {
        Value::Array(Box::new(Array::new(items.into_iter().map(T::into_value).collect(), T::KIND)))
    }
}

impl<T: SequenceItem> IntoValue for Vec<T> {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self)
    }
}

impl<T: SequenceItem + Clone> IntoValue for &[T] {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self.to_vec())
    }
}

impl<T: SequenceItem, const N: usize> IntoValue for [T; N] {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self.into())
    }
}

impl<T: SequenceItem> IntoValue for Box<[T]> {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self.into())
    }
}

impl<T: SequenceItem + Clone> IntoValue for Arc<[T]> {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self.to_vec())
    }
}

impl<T: SequenceItem + Clone> IntoValue for Cow<'_, [T]> {
    const KIND: ValueKind = T::SEQUENCE;
    fn into_value(self) -> Value {
        T::sequence(self.into_owned())
    }
}

/// A list that [`list`] made: expands to several placeholders where the SQL text allows it.
#[derive(Clone, Debug)]
pub struct List(Array);

/// An item of a [`list`]: a value, or a tuple of values.
pub trait ListItem {
    /// Whether the items are tuples.
    #[doc(hidden)]
    const TUPLE: bool;
    /// The kind of the items.
    #[doc(hidden)]
    const ITEM_KIND: ValueKind;
    /// Makes the item.
    #[doc(hidden)]
    fn into_item(self) -> Value;
}

impl<T: IntoValue> ListItem for T {
    const TUPLE: bool = false;
    const ITEM_KIND: ValueKind = T::KIND;
    fn into_item(self) -> Value {
        self.into_value()
    }
}

/// Marks `items` as a list: `IN (:ids)`, `VALUES :rows`, `(a, b) IN (:pairs)`.
///
/// # Examples
///
/// ```
/// use databases_core::{list, params};
/// let scalars = params! { ids: list([1, 2, 3]) };
/// let tuples = params! { pairs: list([(1, "a"), (2, "b")]) };
/// # let _ = (scalars, tuples);
/// ```
pub fn list<I>(items: I) -> List
where
    I: IntoIterator<Item: ListItem>,
{
    let tuple = <I::Item as ListItem>::TUPLE;
    let shape = if tuple { ArrayShape::Tuples } else { ArrayShape::List };
    List(Array::shaped(shape, items.into_iter().map(ListItem::into_item).collect(), <I::Item as ListItem>::ITEM_KIND))
}

impl IntoValue for List {
    const KIND: ValueKind = ValueKind::Array;
    fn into_value(self) -> Value {
        Value::Array(Box::new(self.0))
    }
}

macro_rules! tuple_items {
    ($($name:ident),+) => {
        #[allow(non_snake_case)]
        impl<$($name: IntoValue),+> ListItem for ($($name,)+) {
            const TUPLE: bool = true;
            const ITEM_KIND: ValueKind = ValueKind::Any;
            fn into_item(self) -> Value {
                let ($($name,)+) = self;
                let items = vec![$($name.into_value()),+];
                Value::Array(Box::new(Array::shaped(ArrayShape::Tuple, items, ValueKind::Any)))
            }
        }
    };
}

tuple_items!(A);
tuple_items!(A, B);
tuple_items!(A, B, C);
tuple_items!(A, B, C, D);
tuple_items!(A, B, C, D, E);
tuple_items!(A, B, C, D, E, F);
tuple_items!(A, B, C, D, E, F, G);
tuple_items!(A, B, C, D, E, F, G, H);

/// An item of a `Vec` that cells are read as: `u8` makes bytes of it, every other type the items of an array.
pub trait FromSequenceItem: Sized + Send {
    /// Reads all items.
    #[doc(hidden)]
    fn sequence(value: ValueRef<'_>) -> Result<Vec<Self>>;
}

impl FromSequenceItem for u8 {
    fn sequence(value: ValueRef<'_>) -> Result<Vec<Self>> {
        match value {
            ValueRef::Bytes(v) => Ok(v.to_vec()),
            // MySQL calls bytes that are given back as a parameter came in text.
            ValueRef::Text(v) => Ok(v.as_bytes().to_vec()),
            _ => Err(mismatch::<Vec<Self>>(&value)),
        }
    }
}

impl<T: FromValue> FromSequenceItem for T {
    fn sequence(value: ValueRef<'_>) -> Result<Vec<Self>> {
        let array = of_shape::<Vec<Self>>(value, |shape| matches!(shape, ArrayShape::Sequence | ArrayShape::Map))?;
        array.into_items().iter().enumerate().map(|(index, item)| nth("item", index, item)).collect()
    }
}

impl<T: FromSequenceItem> FromValue for Vec<T> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        T::sequence(value)
    }
}

impl<T: FromSequenceItem> FromValue for Box<[T]> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        T::sequence(value).map(Into::into)
    }
}

impl<T: FromSequenceItem + Sync> FromValue for Arc<[T]> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        T::sequence(value).map(Into::into)
    }
}

impl<T: FromSequenceItem + Clone + Sync> FromValue for Cow<'_, [T]> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        T::sequence(value).map(Cow::Owned)
    }
}

/// Exactly as many bytes or items.
impl<T: FromSequenceItem, const N: usize> FromValue for [T; N] {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let class = value.describe();
        T::sequence(value)?.try_into().map_err(|items: Vec<T>| {
            let message = format!("{class} of length {} cannot be read as one of length {N}", items.len());
            Error::new(ErrorKind::Decode, message).with_hint("ask for a Vec, which takes any length")
        })
    }
}

/// The array of `value`, if it has the shape.
fn of_shape<T>(value: ValueRef<'_>, wanted: impl FnOnce(ArrayShape) -> bool) -> Result<Array> {
    match value {
        ValueRef::Array(array) if wanted(array.shape()) => Ok(*array),
        _ => Err(mismatch::<T>(&value)),
    }
}

fn nth<T: FromValue>(what: &str, index: usize, value: &Value) -> Result<T> {
    T::from_value(value.as_ref()).map_err(|error| error.context(format_args!("{what} {index}")))
}

macro_rules! records {
    ($($len:literal: $($name:ident $index:literal),+;)*) => {$(
        /// A record, field by field.
        impl<$($name: FromValue),+> FromValue for ($($name,)+) {
            fn from_value(value: ValueRef<'_>) -> Result<Self> {
                let record = of_shape::<Self>(value, |shape| shape == ArrayShape::Record)?;
                let fields = record.items();
                if fields.len() != $len {
                    let message = format!("a record of {} fields cannot be read as a tuple of {}", fields.len(), $len);
                    return Err(Error::new(ErrorKind::Decode, message));
                }
                Ok(($(nth::<$name>("field", $index, &fields[$index])?,)+))
            }
        }
    )*};
}

records! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

/// A record of these fields; what derives make of a composite struct.
#[doc(hidden)]
#[must_use]
pub fn record(fields: Vec<Value>) -> Value {
    Value::Array(Box::new(Array::record(fields)))
}

/// The fields of a record that is read as the composite struct `wanted`.
#[doc(hidden)]
pub fn record_fields<const N: usize>(value: ValueRef<'_>, wanted: &str) -> Result<[Value; N]> {
    let record = match value {
        ValueRef::Array(array) if array.shape() == ArrayShape::Record => *array,
        _ => return Err(mismatch_as(&value, wanted)),
    };
    record.into_items().try_into().map_err(|fields: Vec<Value>| {
        let message = format!("a record of {} fields cannot be read as {wanted}, which has {N}", fields.len());
        Error::new(ErrorKind::Decode, message)
    })
}

/// One field of a composite struct.
#[doc(hidden)]
pub fn record_field<T: FromValue>(value: &Value, name: &str) -> Result<T> {
    T::from_value(value.as_ref()).map_err(|error| error.context(format_args!("field `{name}`")))
}

/// A map is also read from a sequence of records of a key and a value.
fn pairs<K: FromValue, V: FromValue, M: FromIterator<(K, V)>>(value: ValueRef<'_>) -> Result<M> {
    Vec::<(K, V)>::from_value(value).map(M::from_iter)
}

fn map(pairs: impl Iterator<Item = (Value, Value)>) -> Value {
    Value::Array(Box::new(Array::map(pairs)))
}

impl<K: FromValue + Eq + Hash, V: FromValue, S: BuildHasher + Default + Send> FromValue for HashMap<K, V, S> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        pairs(value)
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        pairs(value)
    }
}

impl<K: IntoValue, V: IntoValue, S> IntoValue for HashMap<K, V, S> {
    const KIND: ValueKind = ValueKind::Array;
    fn into_value(self) -> Value {
        map(self.into_iter().map(|(key, value)| (key.into_value(), value.into_value())))
    }
}

impl<K: IntoValue, V: IntoValue> IntoValue for BTreeMap<K, V> {
    const KIND: ValueKind = ValueKind::Array;
    fn into_value(self) -> Value {
        map(self.into_iter().map(|(key, value)| (key.into_value(), value.into_value())))
    }
}

impl<T: IntoValue> IntoValue for Range<T> {
    const KIND: ValueKind = ValueKind::Array;
    fn into_value(self) -> Value {
        let bound = |bound: Bound<T>| match bound {
            Bound::Included(value) => (value.into_value(), true),
            Bound::Excluded(value) => (value.into_value(), false),
            Bound::Unbounded => (Value::Null, false),
        };
        let array = match self {
            Self::Empty => Array::empty_range(T::KIND),
            Self::Between(lower, upper) => Array::range(bound(lower), bound(upper), T::KIND),
        };
        Value::Array(Box::new(array))
    }
}

impl<T: FromValue> FromValue for Range<T> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let is_range = |shape| matches!(shape, ArrayShape::Range { .. } | ArrayShape::EmptyRange);
        let array = of_shape::<Self>(value, is_range)?;
        let bound = |value: &Value, inclusive: bool| -> Result<Bound<T>> {
            Ok(match value {
                Value::Null => Bound::Unbounded,
                value if inclusive => Bound::Included(T::from_value(value.as_ref())?),
                value => Bound::Excluded(T::from_value(value.as_ref())?),
            })
        };
        match (array.shape(), array.items()) {
            (ArrayShape::Range { lower_inclusive, upper_inclusive }, [lower, upper]) => {
                Ok(Self::Between(bound(lower, lower_inclusive)?, bound(upper, upper_inclusive)?))
            }
            _ => Ok(Self::Empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet, VecDeque};

    use super::*;

    fn back<T: IntoValue + FromValue>(value: T) -> Result<T> {
        T::from_value(value.into_value().as_ref())
    }

    #[test]
    fn sequences_maps_and_ranges_come_back() {
        assert_eq!(back(vec![1_u8, 2]).unwrap(), [1, 2]);
        assert_eq!(back(vec![Some(1_i32), None]).unwrap(), [Some(1), None]);
        assert_eq!(back(vec![vec![1_i64], vec![2]]).unwrap(), [[1], [2]]);
        let map = BTreeMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]);
        assert_eq!(back(map.clone()).unwrap(), map);
        for range in [Range::Empty, (1..5).into(), (1..=5).into(), (..).into(), (5..).into(), (..5).into()] {
            assert_eq!(back::<Range<i32>>(range).unwrap(), range);
        }
    }

    #[test]
    fn sequences_of_every_owner_come_back() {
        assert_eq!(&*back::<Box<[u8]>>([1, 2].into()).unwrap(), [1, 2]);
        assert_eq!(&*back::<Arc<[i64]>>([1, 2].into()).unwrap(), [1, 2]);
        assert_eq!(&*back::<Cow<'_, [u8]>>(Cow::Borrowed(&[1, 2])).unwrap(), [1, 2]);
        assert_eq!(back([1_u8; 32]).unwrap(), [1; 32]);
        assert_eq!(back([Some(1_i64), None]).unwrap(), [Some(1), None]);
        assert_eq!((&[1_u8, 2]).into_value(), Value::Bytes(vec![1, 2]));
        assert_eq!(<&[u8; 2]>::KIND, ValueKind::Bytes);
        let error = <[u8; 16]>::from_value(ValueRef::Bytes(&[1, 2])).unwrap_err();
        assert_eq!(error.to_string(), "bytes of length 2 cannot be read as one of length 16");
    }

    #[test]
    fn lists_are_made_of_everything_that_is_iterated() {
        let items = |list: List| list.0.items().len();
        assert_eq!(items(list(HashSet::from([1, 2]))), 2);
        assert_eq!(items(list(BTreeSet::from(["a"]))), 1);
        assert_eq!(items(list(VecDeque::from([1_i64, 2]).iter())), 2);
        assert_eq!(items(list((1..10).filter(|n| n % 2 == 0))), 4);
        assert_eq!(items(list([Some(1), None].iter())), 2);
        assert_eq!(items(list(["a".to_owned()].iter().map(|name| (&**name, 1)))), 1);
        let empty = list(Vec::<i64>::new());
        assert_eq!((empty.0.element_kind(), empty.0.items().len()), (ValueKind::Int, 0));
    }

    #[test]
    fn an_item_that_does_not_fit_is_named() {
        let error = Vec::<i16>::from_value(vec![1_i64, 70_000].into_value().as_ref()).unwrap_err();
        assert_eq!(error.to_string(), "item 1: an integer is out of range for i16");
        let record = Value::Array(Box::new(Array::record(vec![1_i64.into_value(), Value::Null])));
        assert_eq!(<(i64, Option<i64>)>::from_value(record.as_ref()).unwrap(), (1, None));
        let error = <(i64, i64)>::from_value(record.as_ref()).unwrap_err();
        assert_eq!(error.to_string(), "field 1: NULL cannot be read as i64");
        assert!(<(i64,)>::from_value(record.as_ref()).is_err());
        assert!(Vec::<i64>::from_value(record.as_ref()).is_err());
    }
}
