//! The errors in words: message, place and one hint each. Slow paths only; each may look at the text again.

use std::collections::HashSet;

use super::dialect::{Dialect, DialectKind};
use super::error::{SqlError, SqlErrorKind, line_col, quote, quote_all};
use super::lexer::{Kind, Lexer, Open, Unterminated, is_name_byte, is_word_byte};
use super::slots::{Blocked, InWord, Place, Slot};
use super::template::Template;
use super::values::Values;

/// X5.
pub(super) fn unterminated(sql: &str, dialect: Dialect, open: Unterminated) -> SqlError {
    let Unterminated { open, at } = open;
    let text = &sql[at..];
    let mut hint = None;
    let (what, len) = match open {
        Open::Str { backslash } => {
            let quote = &text[..1];
            if backslash && text.contains(&format!("\\{quote}")) {
                hint = Some("a backslash escapes the quote; write `\\\\`".to_owned());
            }
            ("string literal", 1)
        }
        Open::Ident => ("quoted identifier", 1),
        Open::Dollar => ("dollar-quoted string", text[1..].find('$').map_or(1, |len| len + 2)),
        Open::Comment => ("comment", 2),
        Open::ExecComment => ("executable comment", 3),
    };
    if open == Open::Comment && dialect.kind() == DialectKind::Postgres && text[2..].contains("*/") {
        hint = Some("comments nest: each `/*` needs its own `*/`".to_owned());
    }
    let message = format!("{what} is not closed");
    SqlError::new(SqlErrorKind::Unterminated, message).at_span(sql, at, at + len).hinted(hint)
}

/// C5.
pub(super) fn executable(template: &Template, slot: &Slot) -> SqlError {
    let name = template.slot_name(slot);
    let message = format!("parameter {} is inside an executable comment", quote(name));
    at_slot(SqlErrorKind::ExecutableComment, message, template, slot)
        .hinted("move it out of `/*! */`: whether the body runs depends on the server's version".to_owned())
}

/// X4.
pub(super) fn mixed(template: &Template, (start, end): (usize, usize)) -> SqlError {
    let sql = template.sql();
    let placeholder = &sql[start..end];
    let beside = if template.slots.is_empty() { "values given by name" } else { "`:name` parameters" };
    let message = format!("native placeholder {} beside {beside}", quote(placeholder));
    let hint = match word_before(sql, start) {
        Some(word) if placeholder.starts_with(':') => {
            format!("directly behind the word {word}: put a space before {}", quote(placeholder))
        }
        _ => "use :names only (native placeholders: through `conn.native`)".to_owned(),
    };
    SqlError::new(SqlErrorKind::Mixed, message).at_span(sql, start, end).hinted(hint)
}

/// X2.
pub(super) fn missing<V: Values + ?Sized>(template: &Template, values: &V, names: &[&str]) -> SqlError {
    let message = format!("no value for parameter {}", quote_all(names));
    let error = SqlError::new(SqlErrorKind::Missing, message).named(names.iter().copied());
    let slot = template.slots.iter().find(|slot| Some(template.slot_name(slot)) == names.first().copied());
    let Some(slot) = slot else { return error };
    let known: HashSet<&str> = template.names().collect();
    let given = (0..values.len()).map(|index| values.name(index));
    let near = near_match(template.slot_name(slot), given.filter(|name| !known.contains(name)));
    let hint = match near {
        Some(near) => Some(format!("a value named {} was given", quote(near))),
        None if slot.place == (Place::Items { behind_bracket: true }) => Some("a slice bound? write `\\:`".to_owned()),
        None if values.is_empty() => {
            Some("no values were given; a colon that is no parameter is written `\\:`".to_owned())
        }
        None => None,
    };
    error.at_span(template.sql(), slot.start, slot.end).hinted(hint)
}

/// How many names that are too many are looked for in the text.
const HINTED: usize = 10;

/// X3.
pub(super) fn unused(template: &Template, names: &[&str]) -> SqlError {
    let (noun, verb) = if names.len() == 1 { ("value", "is") } else { ("values", "are") };
    let message = format!("{noun} {} {verb} not used by the SQL text", quote_all(names));
    // Each is a pass over the text.
    let mut hints = names.iter().take(HINTED).filter_map(|name| dead_place(template.sql(), template.dialect(), name));
    let hint = hints.next().unwrap_or_else(|| "`allow_unused` permits values that the text does not name".to_owned());
    SqlError::new(SqlErrorKind::Unused, message).named(names.iter().copied()).hinted(hint)
}

/// L0.
pub(super) fn array_value(template: &Template, slot: &Slot) -> SqlError {
    let name = template.slot_name(slot);
    let server = if template.dialect().kind() == DialectKind::Sqlite { "SQLite" } else { "MySQL" };
    let message = format!("{server} has no arrays: the value of parameter {} is a sequence", quote(name));
    at_slot(SqlErrorKind::ArrayValue, message, template, slot)
        .hinted(format!("write `IN (:{name})`, or pass it as `list(..)`, or encode it as JSON"))
}

/// L4.
pub(super) fn list_position(template: &Template, slot: &Slot) -> SqlError {
    let name = template.slot_name(slot);
    let message = format!("a list cannot stand here: parameter {}", quote(name));
    let array = if template.dialect().kind() == DialectKind::Postgres {
        format!(", or pass a plain `Vec` to `= ANY(:{name})`")
    } else {
        String::new()
    };
    at_slot(SqlErrorKind::ListPosition, message, template, slot).hinted(format!("write `IN (:{name})`{array}"))
}

/// L5.
pub(super) fn empty_list(template: &Template, slot: &Slot, tuples: bool) -> SqlError {
    let name = template.slot_name(slot);
    let message = format!("the list for parameter {} is empty", quote(name));
    let hint = match slot.place {
        Place::In { word: InWord { blocked: Some(Blocked::Comparison), .. }, .. } if !tuples => {
            format!("a comparison stands to the left: put `.. IN (:{name})` in parentheses")
        }
        Place::In { word: InWord { blocked: Some(Blocked::Comment), .. }, .. } if !tuples => {
            "move the comment between NOT and IN".to_owned()
        }
        Place::In { .. } => "an empty list of tuples has no text here: check for it before the call".to_owned(),
        Place::Values { .. } => "there is no row to insert: check for it before the call".to_owned(),
        _ => format!("only `IN (:{name})` alone takes an empty list; for a text that varies use the query builder"),
    };
    at_slot(SqlErrorKind::EmptyList, message, template, slot).hinted(hint)
}

/// L6.
pub(super) fn ragged_list(template: &Template, slot: &Slot) -> SqlError {
    let message = format!("the items of the list for parameter {} differ in shape", quote(template.slot_name(slot)));
    at_slot(SqlErrorKind::RaggedList, message, template, slot).hinted(
        "every item is one value, or every item is a tuple of the same length, not empty and not nested".to_owned(),
    )
}

/// X6.
pub(super) fn too_many(dialect: Dialect, count: usize, lists: bool) -> SqlError {
    let message = format!("the statement has {count} arguments, the limit is {}", dialect.max_parameters());
    let hint = match dialect.kind() {
        DialectKind::Postgres if lists => {
            "`IN (:ids)` alone and `= ANY(:ids)` send a list as one array; or send chunks"
        }
        DialectKind::Sqlite if lists => "send chunks, or one JSON text: `IN (SELECT value FROM json_each(:ids))`",
        _ => "send it in chunks",
    };
    SqlError::new(SqlErrorKind::TooMany, message).hinted(hint.to_owned())
}

fn at_slot(kind: SqlErrorKind, message: String, template: &Template, slot: &Slot) -> SqlError {
    SqlError::new(kind, message).named([template.slot_name(slot)]).at_span(template.sql(), slot.start, slot.end)
}

/// A name that differs by letter case or one edit.
fn near_match<'a>(name: &str, mut others: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    others.find(|other| {
        let other: Vec<char> = other.chars().flat_map(char::to_lowercase).collect();
        wanted == other || (wanted.len().max(other.len()) > 2 && one_edit(&wanted, &other))
    })
}

/// Whether one letter was added, left out or changed, or two neighbours swapped.
fn one_edit(a: &[char], b: &[char]) -> bool {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    match (a, b) {
        ([_], []) | ([], [_]) | ([_], [_]) => true,
        ([first, second], [third, fourth]) => first == fourth && second == third,
        _ => false,
    }
}

/// Where `:name` occurs in the text without being a parameter.
fn dead_place(sql: &str, dialect: Dialect, name: &str) -> Option<String> {
    let mut lexer = Lexer::new(sql, dialect);
    while let Ok(Some(token)) = lexer.next() {
        let text = &sql[token.start..token.end];
        let what = match token.kind {
            Kind::Str if text.starts_with('$') => "in a dollar-quoted body",
            Kind::Str => "inside a string literal",
            Kind::Ident => "inside a quoted identifier",
            Kind::Comment => "in a comment",
            Kind::Escape if names_it(&sql[token.end..], name) => {
                return Some(format!("`\\:{name}` is text: the backslash makes it so"));
            }
            Kind::Punct(b':') | Kind::Native if text.starts_with(':') && names_it(&sql[token.start + 1..], name) => {
                return Some(glued(sql, token.start, name));
            }
            _ => continue,
        };
        let Some(offset) = find_colon_name(text, name) else { continue };
        let (line, column) = line_col(sql, token.start + offset);
        let does = if what.starts_with("in a dollar") { ": DO takes no parameters" } else { "" };
        return Some(format!("`:{name}` stands {what} at {line}:{column}{does}"));
    }
    None
}

fn glued(sql: &str, colon: usize, name: &str) -> String {
    if sql[..colon].ends_with(':') {
        return format!("`::{name}` is a cast");
    }
    match word_before(sql, colon) {
        Some(word) => format!("`:{name}` stands directly behind the word {word}: put a space between"),
        None => {
            let (line, column) = line_col(sql, colon);
            format!("`:{name}` at {line}:{column} stands directly behind an operand: put a space between")
        }
    }
}

/// The word that ends right before `at`.
fn word_before(sql: &str, at: usize) -> Option<&str> {
    let len = sql.as_bytes()[..at].iter().rev().take_while(|&&byte| is_word_byte(byte)).count();
    (len > 0).then(|| &sql[at - len..at])
}

fn find_colon_name(text: &str, name: &str) -> Option<usize> {
    text.match_indices(':').map(|(at, _)| at).find(|at| names_it(&text[at + 1..], name))
}

/// Whether `text` begins with the whole name.
fn names_it(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| !rest.bytes().next().is_some_and(is_name_byte))
}
