//! The rules of `named-parameters.md`, one table per rule or engine fact.

mod classes;
mod errors;
mod inserts;
mod lexical;
mod lists;
mod scripts;

use super::{ArgPath, Dialect, ItemShape, RewriteOptions, Shape, SqlError, SqlErrorKind, Values, rewrite};

pub(super) const PG: Dialect = Dialect::POSTGRES;
pub(super) const MY: Dialect = Dialect::MYSQL;
pub(super) const SL: Dialect = Dialect::SQLITE;
pub(super) const ALL: [Dialect; 3] = [PG, MY, SL];

/// A value for a test.
#[derive(Clone, Debug)]
pub(super) enum Val {
    One,
    /// A plain sequence of scalars.
    Seq(usize),
    /// `list(..)` of scalars.
    List(usize),
    /// `list(..)` of these.
    Items(Vec<ItemShape>),
    /// `list(..)` of no tuples.
    NoTuples,
}

pub(super) struct Vals<'a>(pub(super) &'a [(&'a str, Val)]);

impl Values for Vals<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> &str {
        self.0[index].0
    }

    fn shape(&self, index: usize) -> Shape {
        match &self.0[index].1 {
            Val::One => Shape::Scalar,
            Val::Seq(len) => Shape::Sequence { len: *len },
            Val::List(len) => Shape::List { len: *len, tuples: false },
            Val::Items(items) => Shape::List { len: items.len(), tuples: false },
            Val::NoTuples => Shape::List { len: 0, tuples: true },
        }
    }

    fn item_shape(&self, index: usize, item: usize) -> ItemShape {
        match &self.0[index].1 {
            Val::Items(items) => items[item],
            _ => ItemShape::Scalar,
        }
    }
}

/// Rewrites with a scalar for every name of the text.
pub(super) fn scalars(sql: &str, dialect: Dialect) -> Result<String, SqlError> {
    struct AnyName<'a>(Vec<&'a str>);
    impl Values for AnyName<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn name(&self, index: usize) -> &str {
            self.0[index]
        }
        fn shape(&self, _index: usize) -> Shape {
            Shape::Scalar
        }
        fn item_shape(&self, _index: usize, _item: usize) -> ItemShape {
            ItemShape::Scalar
        }
    }
    let template = super::scan(sql, dialect)?;
    Ok(template.bind(&AnyName(template.names().collect()), false)?.sql.to_string())
}

/// Rewrites; the text and the arguments in the spelling of the corpus.
pub(super) fn bind(sql: &str, dialect: Dialect, values: &[(&str, Val)]) -> Result<(String, String), SqlError> {
    let values = Vals(values);
    let bound = rewrite(sql, dialect, &values, RewriteOptions::default())?;
    let args = bound.args.iter().map(|arg| {
        let name = values.name(arg.value);
        match arg.path {
            ArgPath::Whole => name.to_owned(),
            ArgPath::Item(item) => format!("{name}[{item}]"),
            ArgPath::TupleItem(item, field) => format!("{name}[{item}][{field}]"),
        }
    });
    let args = args.collect::<Vec<_>>().join(" ");
    Ok((bound.sql.to_string(), args))
}

/// The error of a rewrite that must fail.
pub(super) fn fails(sql: &str, dialect: Dialect, values: &[(&str, Val)]) -> SqlError {
    match bind(sql, dialect, values) {
        Err(error) => error,
        Ok(bound) => panic!("{sql:?} gave {bound:?}"),
    }
}

#[test]
fn a_rewrite_without_lists_shares_the_templates_text() -> Result<(), SqlError> {
    let template = super::scan("SELECT :a WHERE x IN (:b)", PG)?;
    let first = template.bind(&Vals(&[("a", Val::One), ("b", Val::One)]), false)?;
    let second = template.bind(&Vals(&[("b", Val::One), ("a", Val::One)]), false)?;
    assert!(std::sync::Arc::ptr_eq(&first.sql, &second.sql));
    assert_ne!(first.args, second.args);
    let array = template.bind(&Vals(&[("a", Val::One), ("b", Val::List(3))]), false)?;
    let again = template.bind(&Vals(&[("a", Val::One), ("b", Val::List(9))]), false)?;
    assert!(std::sync::Arc::ptr_eq(&array.sql, &again.sql), "one text for every length");
    let plain = super::scan("SELECT 1", PG)?;
    assert!(std::ptr::eq(&*plain.bind(&(), false)?.sql, plain.sql()));
    Ok(())
}

#[test]
fn arguments_beyond_the_inline_ones_keep_their_order() -> Result<(), SqlError> {
    for count in [11, 12, 13, 16, 17, 18, 40, 300] {
        let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        let sql = names.iter().rev().map(|name| format!("(:{name})")).collect::<String>();
        let values: Vec<(&str, Val)> = names.iter().map(|name| (&**name, Val::One)).collect();
        for dialect in ALL {
            let wanted: Vec<&str> = names.iter().rev().map(|name| &**name).collect();
            assert_eq!(bind(&sql, dialect, &values)?.1, wanted.join(" "));
        }
        let twice = format!("{sql}{sql}");
        assert_eq!(bind(&twice, MY, &values)?.1.split(' ').count(), count * 2);
        assert_eq!(bind(&twice, PG, &values)?.1.split(' ').count(), count);
    }
    Ok(())
}

#[test]
fn allow_unused_lets_values_be_left_over() -> Result<(), SqlError> {
    let values = Vals(&[("x", Val::One), ("id", Val::One)]);
    let options = RewriteOptions { allow_unused: true };
    let bound = rewrite("SELECT :id", SL, &values, options)?;
    assert_eq!((&*bound.sql, bound.args.get(0).map(|arg| arg.value)), ("SELECT ?1", Some(1)));
    let missing = rewrite("SELECT :nothing", SL, &values, options).map_err(|error| error.kind());
    assert_eq!(missing.err(), Some(SqlErrorKind::Missing));
    Ok(())
}

#[test]
fn identifiers_are_quoted_per_dialect() -> Result<(), SqlError> {
    for (name, postgres, mysql) in [
        ("users", "\"users\"", "`users`"),
        ("a\"b`c", "\"a\"\"b`c\"", "`a\"b``c`"),
        ("a.b", "\"a.b\"", "`a.b`"),
        ("имя", "\"имя\"", "`имя`"),
    ] {
        for (dialect, wanted) in [(PG, postgres), (SL, postgres), (MY, mysql), (MY.with_ansi_quotes(true), mysql)] {
            let mut out = String::from("x ");
            dialect.push_identifier(&mut out, name)?;
            assert_eq!(out, format!("x {wanted}"));
        }
    }
    for name in ["", "\0", "a\0b"] {
        let mut out = String::new();
        let error = PG.push_identifier(&mut out, name).map_err(|error| error.kind());
        assert_eq!((error, &*out), (Err(SqlErrorKind::Identifier), ""));
    }
    // MySQL would make a question mark of it.
    let error = MY.push_identifier(&mut String::new(), "a🔑").unwrap_err().to_string();
    assert!(error.contains("U+FFFF") && !error.contains('🔑'), "{error}");
    PG.push_identifier(&mut String::new(), "a🔑")
}

#[test]
fn the_cache_is_bounded_and_tells_dialects_apart() -> Result<(), SqlError> {
    let cache = super::TemplateCache::with_limits(3, 40);
    let first = cache.get_or_scan("SELECT 1", PG)?;
    assert!(std::sync::Arc::ptr_eq(&first, &cache.get_or_scan("SELECT 1", PG)?));
    assert!(!std::sync::Arc::ptr_eq(&first, &cache.get_or_scan("SELECT 1", MY)?));
    let other_limit = cache.get_or_scan("SELECT 1", PG.with_max_parameters(1))?;
    assert!(!std::sync::Arc::ptr_eq(&first, &other_limit));
    assert_eq!(cache.len(), 3);
    cache.get_or_scan("SELECT 1", PG)?;
    cache.get_or_scan("SELECT 2", PG)?;
    assert!(std::sync::Arc::ptr_eq(&first, &cache.get_or_scan("SELECT 1", PG)?), "used last, so kept");
    cache.get_or_scan(&"x".repeat(39), PG)?;
    assert_eq!(cache.len(), 1, "40 bytes of text in all");
    cache.get_or_scan(&"x".repeat(41), PG)?;
    assert_eq!(cache.len(), 0, "a text over the bound is not kept");
    let roomy = super::TemplateCache::new();
    roomy.get_or_scan(&"x".repeat(64 * 1024 + 1), PG)?;
    assert!(roomy.is_empty(), "long texts are not kept");
    assert!(roomy.get_or_scan("'", PG).is_err());
    assert!(roomy.is_empty(), "errors are not kept");
    Ok(())
}

/// Everything that is shared between tasks can be.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<super::Template>();
    shared::<super::TemplateCache>();
    shared::<super::SqlError>();
    shared::<super::Bound>();
};
