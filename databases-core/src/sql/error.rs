//! Why a text cannot be rewritten: a kind, the names, the place and one hint.
//!
//! Messages show names and SQL text, never the value of a parameter.

use std::fmt::{self, Write as _};

/// Why a text cannot be rewritten. Raised before anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqlErrorKind {
    /// The text holds a NUL.
    NulByte,
    /// A literal, quoted identifier or comment is open at the end of the text.
    Unterminated,
    /// A `:name` stands in a MySQL `/*! … */`, whose body may or may not run.
    ExecutableComment,
    /// Native placeholders beside `:name` parameters or named values.
    Mixed,
    /// A `:name` has no value.
    Missing,
    /// A value has no `:name`.
    Unused,
    /// A sequence where only an array could stand, and the backend has no arrays.
    ArrayValue,
    /// A list where it cannot be expanded.
    ListPosition,
    /// An empty list where no text says "nothing".
    EmptyList,
    /// Tuples of unequal length, empty, nested, or mixed with scalars.
    RaggedList,
    /// More arguments than one statement may have.
    TooMany,
    /// A name that cannot be quoted as an identifier.
    Identifier,
}

impl SqlErrorKind {
    /// The kind's name: `nul_byte`, `unterminated`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NulByte => "nul_byte",
            Self::Unterminated => "unterminated",
            Self::ExecutableComment => "executable_comment",
            Self::Mixed => "mixed",
            Self::Missing => "missing",
            Self::Unused => "unused",
            Self::ArrayValue => "array_value",
            Self::ListPosition => "list_position",
            Self::EmptyList => "empty_list",
            Self::RaggedList => "ragged_list",
            Self::TooMany => "too_many",
            Self::Identifier => "identifier",
        }
    }
}

/// A text that cannot be rewritten.
///
/// [`Display`](fmt::Display) shows the message, then the place as line and column, the line itself with a caret, and a hint:
///
/// ```text
/// no value for parameter `nmae` (and 1 more: `id`)
///  --> SQL 3:21
///   |  WHERE u.name = :nmae AND u.id = :id
///   |                 ^^^^^
///   hint: a value named `name` was given
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError(Box<Inner>);

const _: () = assert!(size_of::<SqlError>() == size_of::<usize>());

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: SqlErrorKind,
    message: String,
    names: Vec<String>,
    place: Option<Place>,
    hint: Option<String>,
}

/// A place in a text, for people: its line with a caret below.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    at: usize,
    pub(super) line_col: (usize, usize),
    /// The part of the line around the place, fit for display.
    line: String,
    /// In characters of `line`.
    caret: (usize, usize),
}

impl SqlError {
    pub(super) fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), names: Vec::new(), place: None, hint: None }))
    }

    pub(super) fn named(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Points at the bytes from `start` to `end`.
    pub(super) fn at_span(mut self, sql: &str, start: usize, end: usize) -> Self {
        self.0.place = Some(Place::new(sql, start, end));
        self
    }

    pub(super) fn hinted(mut self, hint: impl Into<Option<String>>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// Why, for code to match on.
    pub fn kind(&self) -> SqlErrorKind {
        self.0.kind
    }

    /// The parameters at fault, as they were written: by appearance if missing, sorted if unused.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// The byte offset in the text, where there is one.
    pub fn at(&self) -> Option<usize> {
        self.0.place.as_ref().map(|place| place.at)
    }

    /// Line and column of [`at`](Self::at), counted in characters from 1; a line ends at `\n`.
    pub fn line_col(&self) -> Option<(usize, usize)> {
        self.0.place.as_ref().map(|place| place.line_col)
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would put it right.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(place) = &self.0.place {
            place.fmt(f)?;
        }
        match &self.0.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("names", &self.0.names)
            .field("at", &self.at())
            .field("line_col", &self.line_col())
            .field("hint", &self.0.hint)
            .finish()
    }
}

impl std::error::Error for SqlError {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line_col: (line, column), line: text, caret: (skip, width), .. } = self;
        write!(f, "\n --> SQL {line}:{column}\n  |  {text}\n  |  {:skip$}{:^<width$}", "", "")
    }
}

impl Place {
    /// How many characters of a line are shown on either side of the place.
    const CONTEXT: usize = 60;

    /// The bytes from `start` to `end`, both at the edge of a character.
    pub(super) fn new(sql: &str, start: usize, end: usize) -> Self {
        let line_col = line_col(sql, start);
        let line_start = sql[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = sql[start..].find('\n').map_or(sql.len(), |len| start + len);
        let before = &sql[line_start..start];
        let behind = sql[start..line_end].trim_end_matches('\r');

        let mut line = String::new();
        let cut = before.chars().count().saturating_sub(Self::CONTEXT);
        if cut > 0 {
            line.push('…');
        }
        before.chars().skip(cut).for_each(|letter| push_shown(&mut line, letter));
        let skip = line.chars().count();
        let marked = &behind[..behind.len().min(end - start)];
        let mut width = 0;
        for (index, letter) in behind.chars().enumerate() {
            if index == Self::CONTEXT {
                line.push('…');
                break;
            }
            push_shown(&mut line, letter);
            if index < marked.chars().count() {
                width = line.chars().count() - skip;
            }
        }
        Self { at: start, line_col, line, caret: (skip, width.max(1)) }
    }
}

/// Line and column of a byte offset, counted in characters from 1.
pub(super) fn line_col(sql: &str, at: usize) -> (usize, usize) {
    let before = &sql[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// Appends a letter as a reader can see it: control, blank and direction characters escaped.
fn push_shown(out: &mut String, letter: char) {
    let invisible = matches!(letter, '\u{a0}' | '\u{ad}' | '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}');
    if letter == '\t' {
        out.push(' ');
    } else if letter.is_control() || invisible {
        let _ = write!(out, "{}", letter.escape_unicode());
    } else {
        out.push(letter);
    }
}

/// A name between backticks, invisible characters escaped.
pub(super) fn quote(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('`');
    for letter in name.chars() {
        match letter {
            '\t' => out.push_str("\\t"),
            letter => push_shown(&mut out, letter),
        }
    }
    out.push('`');
    out
}

/// The first name, and how many more there are: `` `a` (and 2 more: `b`, `c`) ``.
pub(super) fn quote_all(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let Some((first, rest)) = names.split_first() else { return String::new() };
    let mut out = quote(first);
    if !rest.is_empty() {
        let shown: Vec<String> = rest.iter().take(SHOWN).map(|name| quote(name)).collect();
        let more = if rest.len() > SHOWN { ", …" } else { "" };
        let _ = write!(out, " (and {} more: {}{more})", rest.len(), shown.join(", "));
    }
    out
}
