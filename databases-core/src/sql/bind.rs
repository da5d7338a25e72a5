//! A template and the shapes of values give the text to send and the arguments in order.
//!
//! Scalars take the template's finished text. Lists take a pass over the slots that decides how each is spelled, passes that
//! raise the errors in their order, and only then, if one is expanded, a new text.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::dialect::{Dialect, DialectKind};
use super::error::SqlError;
use super::hint;
use super::slots::{Place, Slot};
use super::template::{Template, scan};
use super::values::{ArgPath, ArgRef, Args, Bound, ItemShape, Shape, Values};

/// What an empty list after IN becomes on MySQL: no row, also for a NULL on the left.
pub(super) const MYSQL_NO_ROW: &str = "SELECT NULL FROM DUAL WHERE FALSE";

/// How strict [`rewrite`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewriteOptions {
    /// Permits values that the text does not name, for maps shared between statements.
    pub allow_unused: bool,
}

/// Scans `sql` and binds `values`: the native text, and what to bind.
///
/// For texts that run more than once, keep the [`Template`] or use a [`TemplateCache`](super::TemplateCache).
///
/// # Errors
///
/// The first that applies, in the order of [`SqlErrorKind`](super::SqlErrorKind).
pub fn rewrite<V: Values + ?Sized>(
    sql: &str,
    dialect: Dialect,
    values: &V,
    options: RewriteOptions,
) -> Result<Bound, SqlError> {
    scan(sql, dialect)?.bind(values, options.allow_unused)
}

/// How many names are looked up without an allocation.
const FEW: usize = 16;

pub(super) fn bind<V: Values + ?Sized>(template: &Template, values: &V, allow_unused: bool) -> Result<Bound, SqlError> {
    if let Some(slot) = template.executable.and_then(|slot| template.slots.get(slot)) {
        return Err(hint::executable(template, slot));
    }
    let given = values.len();
    if template.slots.is_empty() && given == 0 {
        return Ok(Bound { sql: Arc::clone(&template.native), args: Args::whole(&[]) });
    }
    if let Some(placeholder) = template.native_placeholder {
        return Err(hint::mixed(template, placeholder));
    }
    let count = template.names.len();
    let mut few = [0; FEW];
    let mut many = Vec::new();
    let found = match few.get_mut(..count) {
        Some(found) => found,
        None => {
            many.resize(count, 0);
            many.as_mut_slice()
        }
    };
    look_up(template, values, found)?;
    // Names are distinct, so as many values as names, all found, leave none over.
    if !allow_unused && given != count {
        check_unused(template, values, found)?;
    }
    if found.iter().all(|&value| values.shape(value as usize) == Shape::Scalar) {
        return scalars(template, found);
    }
    Lists { template, values, found }.bind()
}

/// Finds the value of each name. Most callers give them in the order of the text.
fn look_up<V: Values + ?Sized>(template: &Template, values: &V, found: &mut [u32]) -> Result<(), SqlError> {
    let given = values.len();
    // Made at the first name that stands elsewhere, where a search for each would take quadratic time.
    let mut places = None;
    let mut find = |name: &str| {
        if given <= FEW {
            return values.find(name);
        }
        let places: &HashMap<&str, usize> =
            places.get_or_insert_with(|| (0..given).rev().map(|index| (values.name(index), index)).collect());
        places.get(name).copied()
    };
    for (index, (name, slot)) in template.names().zip(found).enumerate() {
        let value = if index < given && values.name(index) == name { Some(index) } else { find(name) };
        match value.and_then(|value| u32::try_from(value).ok()) {
            Some(value) => *slot = value,
            None => {
                let missing: Vec<&str> = template.names().filter(|name| find(name).is_none()).collect();
                return Err(hint::missing(template, values, &missing));
            }
        }
    }
    Ok(())
}

fn check_unused<V: Values + ?Sized>(template: &Template, values: &V, found: &[u32]) -> Result<(), SqlError> {
    let mut used = vec![false; values.len()];
    for &value in found {
        if let Some(used) = used.get_mut(value as usize) {
            *used = true;
        }
    }
    let left_over = used.iter().enumerate().filter(|(_, used)| !**used).map(|(index, _)| values.name(index));
    let known: HashSet<&str> = template.names().collect();
    let mut unused: Vec<&str> = left_over.filter(|name| !known.contains(name)).collect();
    if unused.is_empty() {
        return Ok(());
    }
    unused.sort_unstable();
    unused.dedup();
    Err(hint::unused(template, &unused))
}

/// Every value is one argument: nothing to build.
fn scalars(template: &Template, found: &[u32]) -> Result<Bound, SqlError> {
    Ok(Bound { sql: Arc::clone(&template.native), args: whole_args(template, found)? })
}

/// One argument per name, or on MySQL per slot.
fn whole_args(template: &Template, found: &[u32]) -> Result<Args, SqlError> {
    let slots = &template.slots;
    let repeats = template.dialect.kind() == DialectKind::MySql && slots.len() != found.len();
    let count = if repeats { slots.len() } else { found.len() };
    if count > template.dialect.max_parameters() {
        return Err(hint::too_many(template.dialect, count, false));
    }
    if !repeats {
        return Ok(Args::whole(found));
    }
    let mut few = [0; FEW];
    match few.get_mut(..count) {
        Some(order) => {
            order.iter_mut().zip(slots).for_each(|(value, slot)| *value = found[slot.name]);
            Ok(Args::whole(order))
        }
        None => Ok(Args::whole(&slots.iter().map(|slot| found[slot.name]).collect::<Vec<u32>>())),
    }
}

impl Template {
    pub(super) fn slot_name(&self, slot: &Slot) -> &str {
        self.name(slot.name)
    }
}

/// How one slot is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// One placeholder.
    Whole,
    /// `= ANY ($1)` (L7).
    Array,
    /// A placeholder per item, or per field if `width` is not 0.
    Expand { len: usize, width: usize },
}

struct Lists<'a, V: ?Sized> {
    template: &'a Template,
    values: &'a V,
    found: &'a [u32],
}

impl<V: Values + ?Sized> Lists<'_, V> {
    fn bind(&self) -> Result<Bound, SqlError> {
        let slots = &self.template.slots;
        let mut spellings = slots.iter().map(|slot| self.spelling(slot)).collect::<Result<Vec<_>, _>>()?;
        for (slot, &spelling) in slots.iter().zip(&spellings) {
            self.check_empty(slot, spelling)?;
        }
        self.check_ragged(&mut spellings)?;
        if !spellings.iter().any(|spelling| matches!(spelling, Spelling::Expand { .. })) {
            return Ok(Bound { args: whole_args(self.template, self.found)?, sql: self.spell_arrays(&spellings) });
        }
        self.expand(&spellings)
    }

    fn value(&self, slot: &Slot) -> usize {
        self.found[slot.name] as usize
    }

    /// L0, L4, L7: a list, an array, or out of place.
    fn spelling(&self, slot: &Slot) -> Result<Spelling, SqlError> {
        let postgres = self.template.dialect.kind() == DialectKind::Postgres;
        let value = self.value(slot);
        let (len, tuples) = match (self.values.shape(value), slot.place) {
            (Shape::Scalar, _) => return Ok(Spelling::Whole),
            (Shape::Sequence { len }, Place::In { .. } | Place::Values { parens: false }) => (len, false),
            (Shape::Sequence { .. }, _) if postgres => return Ok(Spelling::Whole),
            (Shape::Sequence { .. }, _) => return Err(hint::array_value(self.template, slot)),
            (Shape::List { .. }, Place::Other) => return Err(hint::list_position(self.template, slot)),
            (Shape::List { len, tuples }, _) => (len, tuples),
        };
        let tuples = if len == 0 { tuples } else { self.values.item_shape(value, 0) != ItemShape::Scalar };
        match slot.place {
            Place::In { word, .. } if postgres && !tuples && word.blocked.is_none() => Ok(Spelling::Array),
            _ => Ok(Spelling::Expand { len, width: usize::from(tuples) }),
        }
    }

    /// L5.
    fn check_empty(&self, slot: &Slot, spelling: Spelling) -> Result<(), SqlError> {
        let Spelling::Expand { len: 0, width } = spelling else { return Ok(()) };
        let tuples = width > 0;
        match (slot.place, self.template.dialect.kind()) {
            (Place::In { .. }, DialectKind::Sqlite) => Ok(()),
            (Place::In { .. }, DialectKind::MySql) if !tuples => Ok(()),
            _ => Err(hint::empty_list(self.template, slot, tuples)),
        }
    }

    /// L6; also fills in the tuples' width.
    fn check_ragged(&self, spellings: &mut [Spelling]) -> Result<(), SqlError> {
        let mut widths: Vec<Option<usize>> = vec![None; self.template.names.len()];
        for (slot, spelling) in self.template.slots.iter().zip(spellings) {
            if *spelling == Spelling::Whole {
                continue;
            }
            let width = match widths[slot.name] {
                Some(width) => width,
                None => self.width(self.value(slot)).ok_or_else(|| hint::ragged_list(self.template, slot))?,
            };
            widths[slot.name] = Some(width);
            if let Spelling::Expand { width: filled, .. } = spelling {
                *filled = width;
            }
        }
        Ok(())
    }

    /// The length of the tuples, 0 for scalars, `None` if the items differ.
    fn width(&self, value: usize) -> Option<usize> {
        let (Shape::Sequence { len } | Shape::List { len, .. }) = self.values.shape(value) else { return Some(0) };
        if len == 0 {
            return Some(0);
        }
        let first = self.values.item_shape(value, 0);
        let width = match first {
            ItemShape::Scalar => 0,
            ItemShape::Tuple(0) | ItemShape::Nested => return None,
            ItemShape::Tuple(width) => width,
        };
        (1..len).all(|item| self.values.item_shape(value, item) == first).then_some(width)
    }

    /// Every list is one array: the numbers are those of the scalar text.
    fn spell_arrays(&self, spellings: &[Spelling]) -> Arc<str> {
        let template = self.template;
        let arrays = spellings.iter().filter(|&&spelling| spelling == Spelling::Array).count();
        let able = template.slots.iter().filter(|slot| takes_array(slot)).count();
        if arrays == 0 {
            Arc::clone(&template.native)
        } else if arrays == able {
            Arc::clone(template.arrays.get_or_init(|| spell_plain(template, true)))
        } else {
            let mut writer = Writer::new(template);
            for (slot, &spelling) in template.slots.iter().zip(spellings) {
                writer.one(slot, slot.name + 1, spelling == Spelling::Array);
            }
            writer.finish()
        }
    }

    /// L1 to L3, X6.
    fn expand(&self, spellings: &[Spelling]) -> Result<Bound, SqlError> {
        let template = self.template;
        let numbered = template.dialect.kind() != DialectKind::MySql;
        let count = self.number(spellings, numbered, |_, _, _| {});
        if count > template.dialect.max_parameters() {
            return Err(hint::too_many(template.dialect, count, true));
        }
        let mut args = Vec::with_capacity(count);
        let mut writer = Writer::new(template);
        self.number(spellings, numbered, |slot, spelling, first| {
            let fresh = first == args.len();
            if fresh || !numbered {
                push_args(&mut args, self.value(slot), spelling);
            }
            match spelling {
                Spelling::Whole => writer.one(slot, first + 1, false),
                Spelling::Array => writer.one(slot, first + 1, true),
                Spelling::Expand { len, width } => writer.list(slot, first + 1, len, width),
            }
        });
        Ok(Bound { sql: writer.finish(), args: Args::parts(args) })
    }

    /// Gives each slot the index of its first argument, and returns how many there are. A repeated name has the same
    /// number again, once as a whole and once expanded (L7).
    fn number(&self, spellings: &[Spelling], numbered: bool, mut each: impl FnMut(&Slot, Spelling, usize)) -> usize {
        let mut known: Vec<[Option<usize>; 2]> = vec![[None; 2]; self.template.names.len()];
        let mut next = 0_usize;
        for (slot, &spelling) in self.template.slots.iter().zip(spellings) {
            let (kind, len) = match spelling {
                Spelling::Whole | Spelling::Array => (0, 1),
                Spelling::Expand { len, width } => (1, len.saturating_mul(width.max(1))),
            };
            let first = match known[slot.name][kind] {
                Some(first) if numbered => first,
                _ => {
                    let first = next;
                    next = next.saturating_add(len);
                    known[slot.name][kind] = Some(first);
                    first
                }
            };
            each(slot, spelling, first);
        }
        next
    }
}

fn push_args(args: &mut Vec<ArgRef>, value: usize, spelling: Spelling) {
    match spelling {
        Spelling::Whole | Spelling::Array => args.push(ArgRef { value, path: ArgPath::Whole }),
        Spelling::Expand { len, width: 0 } => {
            args.extend((0..len).map(|item| ArgRef { value, path: ArgPath::Item(item) }));
        }
        Spelling::Expand { len, width } => {
            for item in 0..len {
                args.extend((0..width).map(|field| ArgRef { value, path: ArgPath::TupleItem(item, field) }));
            }
        }
    }
}

/// Whether a list at `slot` becomes one array on PostgreSQL.
fn takes_array(slot: &Slot) -> bool {
    matches!(slot.place, Place::In { word, .. } if word.blocked.is_none())
}

/// The text when every slot is one argument; with `arrays`, as `= ANY` where that can be.
pub(super) fn spell_plain(template: &Template, arrays: bool) -> Arc<str> {
    let mut writer = Writer::new(template);
    for slot in &template.slots {
        writer.one(slot, slot.name + 1, arrays && takes_array(slot));
    }
    writer.finish()
}

/// Copies the text and puts placeholders in.
struct Writer<'a> {
    sql: &'a str,
    kind: DialectKind,
    out: String,
    /// How much of the text is done.
    at: usize,
    /// The escapes that are still ahead.
    escapes: &'a [usize],
}

impl<'a> Writer<'a> {
    fn new(template: &'a Template) -> Self {
        let out = String::with_capacity(template.sql.len() + template.slots.len() * 2);
        Self { sql: &template.sql, kind: template.dialect.kind(), out, at: 0, escapes: &template.escapes }
    }

    /// Copies up to `end`, without the backslashes of `\:` (E1).
    fn copy(&mut self, end: usize) {
        while let Some((&escape, rest)) = self.escapes.split_first().filter(|(escape, _)| **escape < end) {
            self.out.push_str(&self.sql[self.at..escape]);
            self.at = escape + 1;
            self.escapes = rest;
        }
        self.out.push_str(&self.sql[self.at..end]);
        self.at = end;
    }

    /// A slot that is one argument.
    fn one(&mut self, slot: &Slot, ordinal: usize, array: bool) {
        let Place::In { word, parens } = slot.place else { return self.plain(slot, ordinal) };
        if !array {
            return self.plain(slot, ordinal);
        }
        self.copy(word.start);
        self.out.push_str(if word.not { "<> ALL" } else { "= ANY" });
        self.at = word.end;
        self.copy(slot.start);
        self.wrapped(!parens, |writer| writer.placeholder(ordinal));
        self.at = slot.end;
    }

    fn plain(&mut self, slot: &Slot, ordinal: usize) {
        self.copy(slot.start);
        self.placeholder(ordinal);
        self.at = slot.end;
    }

    /// A list of `len` items, each of `width` fields, or scalars if that is 0.
    fn list(&mut self, slot: &Slot, mut ordinal: usize, len: usize, width: usize) {
        self.copy(slot.start);
        let wrap = match slot.place {
            Place::In { parens, .. } => !parens,
            Place::Values { parens } => !parens && width == 0,
            Place::Items { .. } | Place::Other => false,
        };
        self.wrapped(wrap, |writer| {
            if len == 0 && writer.kind == DialectKind::MySql {
                writer.out.push_str(MYSQL_NO_ROW);
            }
            for item in 0..len {
                if item > 0 {
                    writer.out.push_str(", ");
                }
                writer.wrapped(width > 0, |writer| {
                    for field in 0..width.max(1) {
                        if field > 0 {
                            writer.out.push_str(", ");
                        }
                        writer.placeholder(ordinal);
                        ordinal += 1;
                    }
                });
            }
        });
        self.at = slot.end;
    }

    fn wrapped(&mut self, wrap: bool, inside: impl FnOnce(&mut Self)) {
        if wrap {
            self.out.push('(');
        }
        inside(self);
        if wrap {
            self.out.push(')');
        }
    }

    /// B1 to B3.
    fn placeholder(&mut self, ordinal: usize) {
        self.out.push(if self.kind == DialectKind::Postgres { '$' } else { '?' });
        if self.kind != DialectKind::MySql {
            push_number(&mut self.out, ordinal);
        }
    }

    fn finish(mut self) -> Arc<str> {
        self.copy(self.sql.len());
        self.out.into()
    }
}

fn push_number(out: &mut String, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789"[number % 10];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|&digit| out.push(char::from(digit)));
}
