//! Named parameters: what a caller may pass beside the SQL text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::array::{Array, ArrayShape};
use crate::checked::{Matched, item_of};
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
    names: Names,
    /// As many as there are names.
    args: Vec<Arg>,
    // Values are owned today; the lifetime keeps the door open for borrowed ones.
    borrowed: PhantomData<&'a ()>,
}

/// The names of parameters. Rows that are made in one place share theirs.
#[derive(Clone)]
enum Names {
    Shared(&'static [&'static str]),
    Own(Vec<Cow<'static, str>>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Shared(&[])
    }
}

impl Names {
    fn get(&self, index: usize) -> &str {
        match self {
            Self::Shared(names) => names[index],
            Self::Own(names) => &names[index],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Shared(names) => names.len(),
            Self::Own(names) => names.len(),
        }
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The names, to add others to.
    fn own(&mut self) -> &mut Vec<Cow<'static, str>> {
        if let Self::Shared(names) = self {
            *self = Self::Own(names.iter().map(|name| Cow::Borrowed(*name)).collect());
        }
        match self {
            Self::Own(names) => names,
            Self::Shared(_) => unreachable!("they were made its own"),
        }
    }

    fn into_own(mut self) -> Vec<Cow<'static, str>> {
        std::mem::take(self.own())
    }
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
    #[inline]
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
        let names = Names::Own(Vec::with_capacity(capacity));
        Self { names, args: Vec::with_capacity(capacity), borrowed: PhantomData }
    }

    /// Values for names that are known when the program is built; what the macros expand to.
    ///
    /// # Panics
    ///
    /// If there are not as many of both.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn of(names: &'static [&'static str], args: Vec<Arg>) -> Self {
        assert!(names.len() == args.len(), "each parameter has a name");
        Self { names: Names::Shared(names), args, borrowed: PhantomData }
    }

    /// Adds a parameter; a name given twice is an error when the statement is run.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl IntoValue) {
        self.names.own().push(name.into());
        self.args.push(Arg::new(value));
    }

    /// Adds a parameter whose kind is known.
    #[cfg(feature = "query-builder")]
    pub(crate) fn push_arg(&mut self, name: String, arg: Arg) {
        self.names.own().push(name.into());
        self.args.push(arg);
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
        self.args.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// The names, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// The same parameters without a borrow.
    #[inline]
    #[must_use]
    pub fn into_owned(self) -> Params<'static> {
        Params { names: self.names, args: self.args, borrowed: PhantomData }
    }

    /// Adds all of `other` behind these.
    pub fn extend(&mut self, other: Params<'_>) {
        if other.is_empty() {
            return;
        }
        self.names.own().extend(other.names.into_own());
        self.args.extend(other.args);
    }

    /// Adds all of `other` behind these, each name behind `prefix`.
    #[doc(hidden)]
    pub fn extend_prefixed(&mut self, prefix: &str, other: Params<'_>) {
        let prefixed = other.names.iter().map(|name| Cow::Owned(format!("{prefix}{name}")));
        self.names.own().extend(prefixed);
        self.args.extend(other.args);
    }

    fn check_names(&self) -> Result<()> {
        let twice = if self.len() <= SEARCHED {
            self.names().enumerate().find(|(index, name)| self.names().take(*index).any(|earlier| earlier == *name))
        } else {
            // A search for each would take quadratic time, and the names may be somebody else's.
            let mut seen = HashSet::with_capacity(self.len());
            self.names().enumerate().find(|(_, name)| !seen.insert(*name))
        };
        let Some((_, name)) = twice else { return Ok(()) };
        let message = format!("the parameter `{}` is given twice", name.escape_debug());
        Err(Error::new(ErrorKind::Parameters, message))
    }

    fn check_values(&self) -> Result<()> {
        let mut refusals = self.names().zip(&self.args).filter_map(|(name, arg)| Some((name, arg.value.refusal()?)));
        if let Some((name, refused)) = refusals.next() {
            let message = format!("the parameter `{}`: {refused}", name.escape_debug());
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

    /// As [`Params::bind`], for one of many rows of `template`: the values go into the place of those in `args`, and the
    /// text into that of `sql` if it is another one.
    ///
    /// `known` are names that were found to be those of the template, in its order.
    // What this costs is paid for every row of a batch, so names that were compared once are known by their address.
    #[inline]
    pub(crate) fn bind_row(
        self,
        template: &sql::Template,
        allow_unused: bool,
        known: &mut &'static [&'static str],
        request: (&mut Arc<str>, &mut Vec<Arg>),
    ) -> Result<()> {
        let (sql, args) = request;
        match template.in_order() {
            Some(native) if self.has_names(known) && self.args.iter().all(is_scalar) => {
                if !Arc::ptr_eq(sql, native) {
                    *sql = Arc::clone(native);
                }
                *args = self.args;
            }
            _ => {
                let matched = self.check(template, allow_unused)?;
                if let (Names::Shared(names), Matched::InOrder(_)) = (&self.names, &matched) {
                    *known = names;
                }
                (*sql, *args) = self.arrange(matched);
            }
        }
        Ok(())
    }

    /// Whether the names are the very ones in `known`, in memory.
    fn has_names(&self, known: &'static [&'static str]) -> bool {
        matches!(self.names, Names::Shared(names) if !known.is_empty() && std::ptr::eq(names, known))
    }

    /// The values of `columns`, of which each has one and no other name has.
    pub(crate) fn into_columns(self, columns: &[String]) -> Result<Vec<Arg>> {
        self.check_values()?;
        if self.are_named(columns.iter().map(String::as_str)) {
            return Ok(self.args);
        }
        self.check_names()?;
        let refused = |message: String| Err(Error::new(ErrorKind::Parameters, message).with_effect(Effect::NotSent));
        if let Some(other) = self.names().find(|name| !columns.iter().any(|column| column == name)) {
            return refused(format!("`{}` is none of the columns", other.escape_debug()));
        }
        let mut values: HashMap<&str, Arg> = self.names.iter().zip(self.args).collect();
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
        let are_named = match self.names {
            Names::Shared(names) => template.has_names(names),
            Names::Own(_) => self.are_named(template.names()),
        };
        are_named && self.args.iter().all(is_scalar)
    }

    /// Whether these are the names, in this order.
    fn are_named<'n>(&self, names: impl ExactSizeIterator<Item = &'n str>) -> bool {
        self.len() == names.len() && self.names().eq(names)
    }

    /// Puts the values into the order of the placeholders.
    pub(crate) fn arrange(self, matched: Matched) -> (Arc<str>, Vec<Arg>) {
        let bound = match matched {
            Matched::Arranged(sql, args) => return (sql, args),
            Matched::InOrder(sql) => return (sql, self.args),
            Matched::Bound(bound) => bound,
        };
        // A value that is bound once is moved, which saves a copy of every text.
        let mut uses = vec![0u32; self.args.len()];
        for arg in bound.args.iter() {
            uses[arg.value] += 1;
        }
        let mut slots: Vec<Option<Arg>> = self.args.into_iter().map(Some).collect();
        let args = bound.args.iter().map(|arg| {
            let slot = &mut slots[arg.value];
            if uses[arg.value] == 1 && arg.path == sql::ArgPath::Whole {
                slot.take().expect("a value that is used once is taken once")
            } else {
                let whole = slot.as_ref().expect("a value that is used more than once is never taken");
                item_of(whole, arg.path)
            }
        });
        let args = args.collect();
        (bound.sql, args)
    }
}

/// Whether a value is one argument as it stands.
fn is_scalar(arg: &Arg) -> bool {
    !matches!(arg.value, Value::Array(_) | Value::Refused(_))
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl sql::Values for Params<'_> {
    fn len(&self) -> usize {
        self.args.len()
    }

    fn name(&self, index: usize) -> &str {
        self.names.get(index)
    }

    fn shape(&self, index: usize) -> sql::Shape {
        match &self.args[index].value {
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
        let Value::Array(array) = &self.args[index].value else { return sql::ItemShape::Scalar };
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
    #[inline]
    fn into_params<'p>(self) -> Params<'p>
    where
        Self: 'p,
    {
        Params { names: self.names, args: self.args, borrowed: PhantomData }
    }
}

impl IntoParams for &Params<'_> {
    fn into_params<'p>(self) -> Params<'p>
    where
        Self: 'p,
    {
        self.clone().into_params()
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
    (@all [$(($name:ident $value:expr))*]) => {
        $crate::Params::of(
            const { &[$($crate::__private::strip_raw(stringify!($name))),*] },
            // Each value's temporaries go before the next value is made: they may be guards of one lock.
            ::std::vec![$({
                let arg = $crate::Arg::new($value);
                arg
            }),*],
        )
    };
    (@all [$($done:tt)*] $name:ident : $value:expr $(, $($rest:tt)*)?) => {
        $crate::params!(@all [$($done)* ($name $value)] $($($rest)*)?)
    };
    (@all [$($done:tt)*] $name:ident $(, $($rest:tt)*)?) => {
        $crate::params!(@all [$($done)* ($name $name)] $($($rest)*)?)
    };
    ($($body:tt)*) => { $crate::params!(@all [] $($body)*) };
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
    fn each_value_is_done_with_before_the_next_is_made() {
        let lock = std::sync::Mutex::new(1);
        let params = params! { a: *lock.lock().unwrap(), b: *lock.lock().unwrap() };
        assert_eq!(params.len(), 2);
    }

    #[test]
    fn names_can_be_added_to_those_of_the_macro() {
        let mut params = params! { a: 1 }.with("b", 2);
        params.extend(params! { c: 3 });
        params.extend_prefixed("x_", params! { d: 4 });
        assert_eq!(params.names().collect::<Vec<_>>(), ["a", "b", "c", "x_d"]);
        assert_eq!(params.len(), 4);
    }

    #[test]
    fn rows_with_other_names_are_checked_again() {
        let template = sql::scan("INSERT INTO t VALUES (:a, :b)", sql::Dialect::POSTGRES).unwrap();
        let (mut known, mut sql, mut args): (&[&str], Arc<str>, _) = Default::default();
        let mut bind = |params: Params<'static>| {
            params.bind_row(&template, false, &mut known, (&mut sql, &mut args))?;
            assert_eq!(&*sql, "INSERT INTO t VALUES ($1, $2)");
            Ok::<_, Error>(args.iter().map(|arg| arg.value.clone()).collect::<Vec<_>>())
        };
        let in_order = |a: i64| params! { a, b: 2 };
        for a in [1, 3] {
            assert_eq!(bind(in_order(a)).unwrap(), [Value::Int(a), Value::Int(2)]);
        }
        assert_eq!(bind(params! { b: 5, a: 4 }).unwrap(), [Value::Int(4), Value::Int(5)]);
        assert_eq!(bind(in_order(6)).unwrap(), [Value::Int(6), Value::Int(2)]);
        assert!(bind(params! { a: 1, c: 2 }).is_err());
        assert!(bind(in_order(7).with("c", 8)).is_err());
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
