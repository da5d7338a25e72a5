//! Named parameters: what a caller may pass beside the SQL text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::array::{Array, ArrayShape};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::sql;
use crate::value::{IntoValue, Value, ValueKind};

/// How many names are compared with each other; a set is faster for more.
const SEARCHED: usize = 16;

/// Names and values, in the order given. Made by [`params!`](crate::params), or by hand.
///
/// `Debug` shows the names and never the values.
#[derive(Clone, Default)]
pub struct Params<'a> {
    entries: Vec<Entry>,
    // Values are owned today; the lifetime keeps the door open for borrowed ones.
    borrowed: PhantomData<&'a ()>,
}

#[derive(Clone)]
struct Entry {
    name: Cow<'static, str>,
    arg: Arg,
}

/// One value to bind, and the kind of its Rust type: what a NULL is a NULL of.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// The value.
    pub value: Value,
    /// The kind of the Rust type that it came from.
    pub kind: ValueKind,
}

impl Arg {
    /// The value with the kind of `T`.
    #[must_use]
    pub fn new<T: IntoValue>(value: T) -> Self {
        let value = value.into_value();
        let kind = match T::KIND {
            ValueKind::Any => value.kind(),
            kind => kind,
        };
        Self { value, kind }
    }
}

impl<'a> Params<'a> {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No parameters yet, with room for `capacity`.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity), borrowed: PhantomData }
    }

    /// Adds a parameter; a name given twice is an error when the statement is run.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl IntoValue) {
        self.entries.push(Entry { name: name.into(), arg: Arg::new(value) });
    }

    /// Adds a parameter whose kind is known.
    #[cfg(feature = "query-builder")]
    pub(crate) fn push_arg(&mut self, name: String, arg: Arg) {
        self.entries.push(Entry { name: name.into(), arg });
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl IntoValue) -> Self {
        self.push(name, value);
        self
    }

    /// How many parameters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// The same parameters without a borrow.
    #[must_use]
    pub fn into_owned(self) -> Params<'static> {
        Params { entries: self.entries, borrowed: PhantomData }
    }

    /// Adds all of `other` behind these.
    pub fn extend(&mut self, other: Params<'_>) {
        self.entries.extend(other.entries);
    }

    /// Adds all of `other` behind these, each name behind `prefix`.
    #[doc(hidden)]
    pub fn extend_prefixed(&mut self, prefix: &str, other: Params<'_>) {
        let prefixed = |entry: Entry| Entry { name: format!("{prefix}{}", entry.name).into(), ..entry };
        self.entries.extend(other.entries.into_iter().map(prefixed));
    }

    fn check_names(&self) -> Result<()> {
        let twice = if self.entries.len() <= SEARCHED {
            let earlier = |index: usize| &self.entries[..index];
            let mut all = self.entries.iter().enumerate();
            all.find(|(index, entry)| earlier(*index).iter().any(|e| e.name == entry.name)).map(|(_, entry)| entry)
        } else {
            // A search for each would take quadratic time, and the names may be somebody else's.
            let mut seen = HashSet::with_capacity(self.entries.len());
            self.entries.iter().find(|entry| !seen.insert(&*entry.name))
        };
        let Some(entry) = twice else { return Ok(()) };
        let message = format!("the parameter `{}` is given twice", entry.name.escape_debug());
        Err(Error::new(ErrorKind::Parameters, message))
    }

    fn check_values(&self) -> Result<()> {
        let mut refusals = self.entries.iter().filter_map(|entry| Some((entry, entry.arg.value.refusal()?)));
        if let Some((entry, refused)) = refusals.next() {
            let message = format!("the parameter `{}`: {refused}", entry.name.escape_debug());
            return Err(Error::new(ErrorKind::Encode, message).with_effect(Effect::NotSent));
        }
        Ok(())
    }

    /// Binds the parameters to `template`: the native text and the values in placeholder order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parameters`] where text and parameters do not match; [`ErrorKind::LimitExceeded`] for too many.
    pub fn bind(self, template: &sql::Template, allow_unused: bool) -> Result<(Arc<str>, Vec<Arg>)> {
        let matched = self.check(template, allow_unused)?;
        Ok(self.arrange(matched))
    }

    /// As [`Params::bind`]; the values go behind those in `args`.
    pub(crate) fn bind_into(
        self,
        template: &sql::Template,
        allow_unused: bool,
        args: &mut Vec<Arg>,
    ) -> Result<Arc<str>> {
        let matched = self.check(template, allow_unused)?;
        Ok(self.arrange_into(matched, args))
    }

    /// The values of `columns`, of which each has one and no other name has.
    pub(crate) fn into_columns(self, columns: &[String]) -> Result<Vec<Arg>> {
        self.check_values()?;
        let in_order = self.entries.len() == columns.len()
            && self.entries.iter().zip(columns).all(|(entry, column)| entry.name == *column);
        if in_order {
            return Ok(self.entries.into_iter().map(|entry| entry.arg).collect());
        }
        self.check_names()?;
        let refused = |message: String| Err(Error::new(ErrorKind::Parameters, message).with_effect(Effect::NotSent));
        if let Some(other) = self.names().find(|name| !columns.iter().any(|column| column == name)) {
            return refused(format!("`{}` is none of the columns", other.escape_debug()));
        }
        let mut values: HashMap<_, _> = self.entries.into_iter().map(|entry| (entry.name, entry.arg)).collect();
        let mut args = Vec::with_capacity(columns.len());
        for column in columns {
            match values.remove(column.as_str()) {
                Some(arg) => args.push(arg),
                None => return refused(format!("the row has no value for the column `{}`", column.escape_debug())),
            }
        }
        Ok(args)
    }

    /// Matches the parameters with `template`.
    pub(crate) fn check(&self, template: &sql::Template, allow_unused: bool) -> Result<Matched> {
        if let Some(native) = template.in_order()
            && self.are_as_in(template)
        {
            return Ok(Matched::InOrder(Arc::clone(native)));
        }
        self.check_names()?;
        self.check_values()?;
        Ok(Matched::Bound(template.bind(self, allow_unused)?))
    }

    /// Whether these are the names of `template` in its order, each with a scalar. Its names are distinct.
    fn are_as_in(&self, template: &sql::Template) -> bool {
        let names = template.names();
        let is_scalar = |value: &Value| !matches!(value, Value::Array(_) | Value::Refused(_));
        self.entries.len() == names.len()
            && self.entries.iter().zip(names).all(|(entry, name)| *entry.name == *name && is_scalar(&entry.arg.value))
    }

    /// Puts the values into the order of the placeholders.
    pub(crate) fn arrange(self, matched: Matched) -> (Arc<str>, Vec<Arg>) {
        if let Matched::Arranged(sql, args) = matched {
            return (sql, args);
        }
        let mut args = Vec::with_capacity(self.entries.len());
        let sql = self.arrange_into(matched, &mut args);
        (sql, args)
    }

    fn arrange_into(self, matched: Matched, to: &mut Vec<Arg>) -> Arc<str> {
        let bound = match matched {
            Matched::Arranged(sql, args) => {
                to.extend(args);
                return sql;
            }
            Matched::InOrder(sql) => {
                to.extend(self.entries.into_iter().map(|entry| entry.arg));
                return sql;
            }
            Matched::Bound(bound) => bound,
        };
        // A value that is bound once is moved, which saves a copy of every text.
        let mut uses = vec![0u32; self.entries.len()];
        for arg in bound.args.iter() {
            uses[arg.value] += 1;
        }
        let mut slots: Vec<Option<Arg>> = self.entries.into_iter().map(|entry| Some(entry.arg)).collect();
        let args = bound.args.iter().map(|arg| {
            let slot = &mut slots[arg.value];
            if uses[arg.value] == 1 && arg.path == sql::ArgPath::Whole {
                slot.take().expect("a value that is used once is taken once")
            } else {
                let whole = slot.as_ref().expect("a value that is used more than once is never taken");
                item_of(whole, arg.path)
            }
        });
        to.extend(args);
        bound.sql
    }
}

/// How parameters and a text fit together.
#[derive(Debug)]
pub(crate) enum Matched {
    /// The native text and the arguments, taken out of the parameters already.
    Arranged(Arc<str>, Vec<Arg>),
    /// Each value is an argument, in the order given; the native text.
    InOrder(Arc<str>),
    /// As the rewriter says.
    Bound(sql::Bound),
}

fn item_of(whole: &Arg, path: sql::ArgPath) -> Arg {
    let items = |value: &Value, index: usize| match value {
        Value::Array(array) => (array.items[index].clone(), array.element),
        _ => unreachable!("the rewriter paths into arrays only"),
    };
    let (value, element) = match path {
        sql::ArgPath::Whole => return whole.clone(),
        sql::ArgPath::Item(index) => items(&whole.value, index),
        sql::ArgPath::TupleItem(index, inner) => items(&items(&whole.value, index).0, inner),
    };
    let kind = if element == ValueKind::Any { value.kind() } else { element };
    Arg { value, kind }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl sql::Values for Params<'_> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.entries[index].name
    }

    fn shape(&self, index: usize) -> sql::Shape {
        match &self.entries[index].arg.value {
            Value::Array(array) if !array.is_scalar() => {
                let len = array.items.len();
                match array.shape {
                    ArrayShape::List => sql::Shape::List { len, tuples: false },
                    ArrayShape::Tuples => sql::Shape::List { len, tuples: true },
                    _ => sql::Shape::Sequence { len },
                }
            }
            _ => sql::Shape::Scalar,
        }
    }

    fn item_shape(&self, index: usize, item: usize) -> sql::ItemShape {
        let Value::Array(array) = &self.entries[index].arg.value else { return sql::ItemShape::Scalar };
        match &array.items[item] {
            Value::Array(inner) if inner.is_scalar() => sql::ItemShape::Scalar,
            Value::Array(inner) if is_nested(inner) => sql::ItemShape::Nested,
            Value::Array(inner) => sql::ItemShape::Tuple(inner.items.len()),
            _ => sql::ItemShape::Scalar,
        }
    }
}

fn is_nested(array: &Array) -> bool {
    array.items.iter().any(|item| matches!(item, Value::Array(inner) if !inner.is_scalar()))
}

/// What may be passed as parameters: `()`, [`params!`](crate::params), a derived struct, a map, or pairs.
pub trait IntoParams: Send {
    /// The parameters.
    fn into_params<'p>(self) -> Params<'p>
    where
        Self: 'p;
}

impl IntoParams for () {
    fn into_params<'p>(self) -> Params<'p> {
        Params::new()
    }
}

impl IntoParams for Params<'_> {
    fn into_params<'p>(self) -> Params<'p>
    where
        Self: 'p,
    {
        Params { entries: self.entries, borrowed: PhantomData }
    }
}

impl IntoParams for &Params<'_> {
    fn into_params<'p>(self) -> Params<'p>
    where
        Self: 'p,
    {
        Params { entries: self.entries.clone(), borrowed: PhantomData }
    }
}

fn collect<'p, K: AsRef<str>, V: IntoValue>(pairs: impl IntoIterator<Item = (K, V)>) -> Params<'p> {
    let pairs = pairs.into_iter();
    let mut params = Params::with_capacity(pairs.size_hint().0);
    for (name, value) in pairs {
        params.push(name.as_ref().to_owned(), value);
    }
    params
}

macro_rules! params_from_pairs {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<$($generics)*> IntoParams for $type {
            fn into_params<'p>(self) -> Params<'p> where Self: 'p {
                collect(self)
            }
        }
    )*};
}

params_from_pairs! {
    [K: AsRef<str> + Send, V: IntoValue + Send, S: Send] HashMap<K, V, S>;
    [K: AsRef<str> + Send, V: IntoValue + Send] BTreeMap<K, V>;
    [K: AsRef<str> + Send, V: IntoValue + Send] Vec<(K, V)>;
    [K: AsRef<str> + Send, V: IntoValue + Send, const N: usize] [(K, V); N];
}

macro_rules! params_from_borrowed_pairs {
    ($([$($generics:tt)*] $type:ty, $pair:pat => $item:expr;)*) => {$(
        impl<$($generics)*> IntoParams for $type {
            fn into_params<'p>(self) -> Params<'p> where Self: 'p {
                collect(self.iter().map(|$pair| $item))
            }
        }
    )*};
}

params_from_borrowed_pairs! {
    [K: AsRef<str> + Sync, V: IntoValue + Clone + Sync, S: Sync] &HashMap<K, V, S>, (k, v) => (k, v.clone());
    [K: AsRef<str> + Sync, V: IntoValue + Clone + Sync] &BTreeMap<K, V>, (k, v) => (k, v.clone());
    [K: AsRef<str> + Sync, V: IntoValue + Clone + Sync] &[(K, V)], (k, v) => (k, v.clone());
    [K: AsRef<str> + Sync, V: IntoValue + Clone + Sync] &Vec<(K, V)>, (k, v) => (k, v.clone());
    [K: AsRef<str> + Sync, V: IntoValue + Clone + Sync, const N: usize] &[(K, V); N], (k, v) => (k, v.clone());
}

/// Named parameters: `params! { name: value, short }`, where `short` stands for `short: short`.
///
/// Moves its values; `name: &x` keeps `x`.
///
/// # Examples
///
/// ```
/// use databases_core::params;
/// let name = String::from("a");
/// let done = true;
/// let params = params! { text: &name, done };
/// assert_eq!(params.names().collect::<Vec<_>>(), ["text", "done"]);
/// # let _ = name;
/// ```
#[macro_export]
macro_rules! params {
    (@push $params:ident) => {};
    (@push $params:ident $name:ident : $value:expr $(, $($rest:tt)*)?) => {
        $params.push($crate::params!(@name $name), $value);
        $($crate::params!(@push $params $($rest)*);)?
    };
    (@push $params:ident $name:ident $(, $($rest:tt)*)?) => {
        $params.push($crate::params!(@name $name), $name);
        $($crate::params!(@push $params $($rest)*);)?
    };
    (@count) => { 0 };
    (@count $name:ident : $value:expr $(, $($rest:tt)*)?) => { 1 + $crate::params!(@count $($($rest)*)?) };
    (@count $name:ident $(, $($rest:tt)*)?) => { 1 + $crate::params!(@count $($($rest)*)?) };
    (@name $name:ident) => {{
        const NAME: &str = stringify!($name);
        // A raw identifier names the parameter without its prefix.
        $crate::__private::strip_raw(NAME)
    }};
    ($($body:tt)*) => {{
        #[allow(unused_mut)]
        let mut params = $crate::Params::with_capacity($crate::params!(@count $($body)*));
        $crate::params!(@push params $($body)*);
        params
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_values() {
        let params = params! { user: "alice", password: "hunter2" };
        assert_eq!(format!("{params:?}"), r#"["user", "password"]"#);
    }

    #[test]
    fn raw_identifiers_lose_their_prefix() {
        let r#type = 1;
        let params = params! { r#type, r#in: 2 };
        assert_eq!(params.names().collect::<Vec<_>>(), ["type", "in"]);
    }

    #[test]
    fn a_name_given_twice_is_an_error() {
        let template = sql::scan("SELECT :a", sql::Dialect::SQLITE).unwrap();
        let error = params! { a: 1, a: 2 }.bind(&template, false).unwrap_err();
        assert_eq!(error.to_string(), "the parameter `a` is given twice");
    }

    #[test]
    fn a_repeated_name_is_bound_for_each_placeholder_of_mysql() {
        let template = sql::scan("SELECT :a, :b, :a", sql::Dialect::MYSQL).unwrap();
        let (sql, args) = params! { a: "x", b: 1 }.bind(&template, false).unwrap();
        assert_eq!(&*sql, "SELECT ?, ?, ?");
        assert_eq!(args.len(), 3);
        assert_eq!(args[0], args[2]);
    }

    #[test]
    fn maps_and_pairs_are_parameters() {
        let map = HashMap::from([("a", 1)]);
        assert_eq!((&map).into_params().len(), 1);
        assert_eq!(map.into_params().len(), 1);
        assert_eq!(vec![("a", 1), ("b", 2)].into_params().len(), 2);
        assert_eq!([("a".to_owned(), Value::Null)].into_params().len(), 1);
        assert_eq!([("a", 1)][..].into_params().len(), 1);
    }
}
