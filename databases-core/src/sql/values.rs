//! The two sides of binding: how values are asked about, and what is to be sent.

use std::fmt;
use std::sync::Arc;

/// How the rewriter looks at the caller's values: names and shapes, never the values themselves.
pub trait Values {
    /// How many named values there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of value `index`, without a colon.
    fn name(&self, index: usize) -> &str;

    /// The shape of value `index`.
    fn shape(&self, index: usize) -> Shape;

    /// The shape of one item of value `index`, which is a sequence or a list.
    fn item_shape(&self, index: usize, item: usize) -> ItemShape;

    /// The value called `name`; a map with many entries has a faster way than this search.
    fn find(&self, name: &str) -> Option<usize> {
        (0..self.len()).find(|&index| self.name(index) == name)
    }
}

/// No values at all.
impl Values for () {
    fn len(&self) -> usize {
        0
    }

    fn name(&self, _index: usize) -> &str {
        ""
    }

    fn shape(&self, _index: usize) -> Shape {
        Shape::Scalar
    }

    fn item_shape(&self, _index: usize, _item: usize) -> ItemShape {
        ItemShape::Scalar
    }
}

/// What a value looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value; bytes are one value too.
    Scalar,
    /// A plain `Vec` or slice: a list alone after `IN` or bare after `VALUES`, an array anywhere else.
    Sequence {
        /// How many items it has.
        len: usize,
    },
    /// `list(..)`: a list wherever a list can stand.
    List {
        /// How many items it has.
        len: usize,
        /// Whether its type says tuples, also when it is empty.
        tuples: bool,
    },
}

/// What one item of a list looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemShape {
    /// One value.
    Scalar,
    /// So many values.
    Tuple(usize),
    /// A list or tuple that holds another one.
    Nested,
}

/// One argument: which of the caller's values, and which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRef {
    /// Index into the [`Values`].
    pub value: usize,
    /// Which part of it.
    pub path: ArgPath,
}

/// Which part of a value is sent as one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgPath {
    /// All of it: a scalar, or a whole list as one array.
    Whole,
    /// One item of a list.
    Item(usize),
    /// One field of one tuple: first the item, then the field.
    TupleItem(usize, usize),
}

/// What to send: the native text, and what to bind in the order of its placeholders.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The native text. Equal calls of one template share it, unless a list was expanded.
    pub sql: Arc<str>,
    /// What to bind, in placeholder order.
    pub args: Args,
}

/// The arguments in placeholder order.
///
/// Up to twelve whole values are kept inline, so binding scalars allocates nothing.
#[derive(Clone)]
pub struct Args(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, values: [u16; INLINE] },
    Whole(Box<[u32]>),
    Parts(Vec<ArgRef>),
}

const INLINE: usize = 12;

impl Args {
    /// Whole values by index.
    pub(super) fn whole(values: &[u32]) -> Self {
        let mut inline = [0; INLINE];
        if values.len() > INLINE {
            return Self(Repr::Whole(values.into()));
        }
        for (to, &from) in inline.iter_mut().zip(values) {
            let Ok(from) = u16::try_from(from) else { return Self(Repr::Whole(values.into())) };
            *to = from;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most `INLINE`")]
        let len = values.len() as u8;
        Self(Repr::Inline { len, values: inline })
    }

    pub(super) fn parts(parts: Vec<ArgRef>) -> Self {
        Self(Repr::Parts(parts))
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline { len, .. } => usize::from(*len),
            Repr::Whole(values) => values.len(),
            Repr::Parts(parts) => parts.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Argument `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<ArgRef> {
        let value = match &self.0 {
            Repr::Inline { len, values } if index < usize::from(*len) => usize::from(values[index]),
            Repr::Inline { .. } => return None,
            Repr::Whole(values) => *values.get(index)? as usize,
            Repr::Parts(parts) => return parts.get(index).copied(),
        };
        Some(ArgRef { value, path: ArgPath::Whole })
    }

    /// The arguments in placeholder order.
    pub fn iter(&self) -> ArgsIter<'_> {
        ArgsIter { args: self, next: 0, end: self.len() }
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Args {}

impl<'a> IntoIterator for &'a Args {
    type Item = ArgRef;
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Args`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    args: &'a Args,
    next: usize,
    end: usize,
}

impl Iterator for ArgsIter<'_> {
    type Item = ArgRef;

    fn next(&mut self) -> Option<ArgRef> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        self.args.get(self.next - 1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}
