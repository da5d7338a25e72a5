//! The types that a text itself gives its parameters: where each stands before a cast, `$1::int4` or `CAST($1 AS int4)`.
//!
//! The server takes such a parameter for one of the type that it is cast to, so to declare that type says nothing new, and the
//! statement need not be asked about. What is not plainly such a cast is not taken for one.
//!
//! <https://www.postgresql.org/docs/current/sql-prepare.html>,
//! <https://www.postgresql.org/docs/current/sql-expressions.html#SQL-SYNTAX-TYPE-CASTS>.

use databases_core::sql::{Dialect, native_placeholders};
use tokio_postgres::types::Type;

use crate::prepare::array_of;

/// What stands in text for a type of the server's, and whether it is a keyword. What is none can be the name of another type, one in the
/// session's temporary schema or in a `search_path` that puts `pg_catalog` last, so it only counts behind that schema's name.
const NAMES: &[(&str, Type, bool)] = &[
    ("smallint", Type::INT2, true),
    ("int2", Type::INT2, false),
    ("integer", Type::INT4, true),
    ("int", Type::INT4, true),
    ("int4", Type::INT4, false),
    ("bigint", Type::INT8, true),
    ("int8", Type::INT8, false),
    ("real", Type::FLOAT4, true),
    ("float4", Type::FLOAT4, false),
    ("double precision", Type::FLOAT8, true),
    ("float", Type::FLOAT8, true),
    ("float8", Type::FLOAT8, false),
    ("numeric", Type::NUMERIC, true),
    ("decimal", Type::NUMERIC, true),
    ("dec", Type::NUMERIC, true),
    ("boolean", Type::BOOL, true),
    ("bool", Type::BOOL, false),
    ("text", Type::TEXT, false),
    ("varchar", Type::VARCHAR, true),
    ("character varying", Type::VARCHAR, true),
    ("bytea", Type::BYTEA, false),
    ("uuid", Type::UUID, false),
    ("date", Type::DATE, false),
    ("time", Type::TIME, true),
    ("time without time zone", Type::TIME, true),
    ("time with time zone", Type::TIMETZ, true),
    ("timetz", Type::TIMETZ, false),
    ("timestamp", Type::TIMESTAMP, true),
    ("timestamp without time zone", Type::TIMESTAMP, true),
    ("timestamp with time zone", Type::TIMESTAMPTZ, true),
    ("timestamptz", Type::TIMESTAMPTZ, false),
    ("interval", Type::INTERVAL, true),
    ("json", Type::JSON, false),
    ("jsonb", Type::JSONB, false),
];

/// The names, and whether each is a keyword.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, bool)> {
    NAMES.iter().map(|(name, _, keyword)| (*name, *keyword))
}

/// What makes another type of the name before it, or hides whether something does.
const MODIFIERS: &[&str] = &["(", "[", ".", "--", "/*"];
const MODIFYING_WORDS: &[&str] =
    &["array", "with", "without", "varying", "year", "month", "day", "hour", "minute", "second"];

/// Blank in every version of the server.
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

/// The types of the `count` parameters of `sql`, if every place of each is cast to one and the same.
pub(crate) fn casts(sql: &str, dialect: Dialect, count: usize) -> Option<Vec<Type>> {
    let mut types = vec![None; count];
    if count > 0 || sql.contains('$') {
        for place in native_placeholders(sql, dialect).ok()? {
            let number: usize = sql[place.start + 1..place.end].parse().ok()?;
            let known = types.get_mut(number.checked_sub(1)?)?;
            let ty = cast(&sql[..place.start], &sql[place.end..])?;
            if known.get_or_insert_with(|| ty.clone()) != &ty {
                return None;
            }
        }
    }
    types.into_iter().collect()
}

/// What a placeholder between these is cast to.
fn cast(before: &str, behind: &str) -> Option<Type> {
    let behind = blank(behind);
    if let Some(name) = behind.strip_prefix("::") {
        return named(name).map(|(ty, _)| ty);
    }
    // On one line, so that none of it is in a comment.
    let opened = before.trim_end_matches([' ', '\t']).strip_suffix('(')?.trim_end_matches([' ', '\t']);
    let (head, word) = opened.split_at_checked(opened.len().checked_sub("cast".len())?)?;
    if !word.eq_ignore_ascii_case("cast") || head.ends_with(|c| is_of_word(c) || c == '.') {
        return None;
    }
    let (ty, rest) = named(words(behind, "as")?)?;
    rest.starts_with(')').then_some(ty)
}

/// The type whose name `text` begins with, and what is behind it.
fn named(text: &str) -> Option<(Type, &str)> {
    let schema = words(text, "pg_catalog").and_then(|rest| blank(rest).strip_prefix('.'));
    let text = schema.unwrap_or(text);
    let found = NAMES.iter().filter_map(|(name, ty, keyword)| Some((ty, *keyword, blank(words(text, name)?))));
    // The longest of the names that fit.
    let (ty, keyword, rest) = found.min_by_key(|(_, _, rest)| rest.len())?;
    if !keyword && schema.is_none() {
        return None;
    }
    let items = rest.strip_prefix('[').and_then(|rest| blank(rest).strip_prefix(']')).map(blank);
    let (ty, rest) = match items {
        Some(rest) => (array_of(ty)?, rest),
        None => (ty.clone(), rest),
    };
    let is_modified = MODIFIERS.iter().any(|modifier| rest.starts_with(modifier))
        || MODIFYING_WORDS.iter().any(|word| words(rest, word).is_some());
    (!is_modified).then_some((ty, rest))
}

/// What is behind these words, if `text` begins with them.
fn words<'a>(mut text: &'a str, words: &str) -> Option<&'a str> {
    for word in words.split(' ') {
        let (found, rest) = blank(text).split_at_checked(word.len())?;
        if !found.eq_ignore_ascii_case(word) || rest.starts_with(is_of_word) {
            return None;
        }
        text = rest;
    }
    Some(text)
}

fn blank(text: &str) -> &str {
    text.trim_start_matches(BLANKS)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}
