//! An INSERT of one row of plain values, which may be sent for many rows at once.
//!
//! What is recognised has the same meaning row by row and for many rows, as far as the text tells: no function, no
//! subquery, no RETURNING. What the table adds to that (triggers, rules, foreign keys to itself) a backend has to ask for.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::dialect::{Dialect, DialectKind};
use super::keyword::Kw;
use super::lexer::{Kind, Lexer};
use super::slots::Sig;
use super::template::Recent;

/// Words of a tail that may stand before a parenthesis: not functions, or such as only look at their arguments.
const BEFORE_PARENTHESIS: &[&[u8]] = &[
    b"and",
    b"coalesce",
    b"conflict",
    b"greatest",
    b"ifnull",
    b"in",
    b"least",
    b"not",
    b"nullif",
    b"or",
    b"set",
    b"values",
    b"when",
    b"where",
];

/// An INSERT (or MySQL's REPLACE) of one row: `INSERT INTO t (a, b) VALUES ($1, 'x') ON CONFLICT DO NOTHING`.
///
/// Every value is a parameter or a plain literal, and no parameter stands anywhere else. An upsert counts, where it
/// looks at nothing but the two rows; see [`Template::insert_row`](super::Template::insert_row).
#[derive(Debug)]
pub struct InsertRow {
    sql: Arc<str>,
    kind: DialectKind,
    table: String,
    columns: Option<Vec<Range<usize>>>,
    /// Where the word VALUES begins.
    values: usize,
    /// From `(` to `)`.
    row: Range<usize>,
    items: Vec<InsertItem>,
    /// The placeholders in the row.
    placeholders: Vec<Placeholder>,
    parameters: usize,
}

/// Where a placeholder stands, and the index of its parameter.
type Placeholder = (Range<usize>, usize);

/// A value of an [`InsertRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertItem {
    /// The parameter of this index.
    Parameter(usize),
    /// A literal, NULL or DEFAULT.
    Literal,
}

impl InsertRow {
    /// Reads `sql`, native text. `None` if it is anything else.
    pub(super) fn of(sql: &Arc<str>, dialect: Dialect) -> Option<Self> {
        if dialect.kind() == DialectKind::Sqlite {
            // One hop to the worker runs as many rows one by one as there are.
            return None;
        }
        let tokens = tokens(sql, dialect)?;
        Reader { sql, kind: dialect.kind(), tokens: &tokens, at: 0 }.read()
    }

    /// The text for one row.
    #[must_use]
    pub fn sql(&self) -> &Arc<str> {
        &self.sql
    }

    /// The table, as the text spells it, without blanks and comments.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns, as the text spells them; `None` if it names none.
    pub fn columns(&self) -> Option<impl ExactSizeIterator<Item = &str>> {
        Some(self.columns.as_ref()?.iter().map(|column| &self.sql[column.clone()]))
    }

    /// The values of the row.
    #[must_use]
    pub fn items(&self) -> &[InsertItem] {
        &self.items
    }

    /// How many parameters a row has.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The bytes that each further row adds to the text, at most.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        // `, ` and numbers of up to five digits.
        self.row.len() + 2 + self.placeholders.len() * 5
    }

    /// What stands before VALUES.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.sql[..self.values]
    }

    /// What stands behind the row.
    #[must_use]
    pub fn tail(&self) -> &str {
        &self.sql[self.row.end..]
    }

    /// The text for `rows` rows, whose parameters follow one another.
    #[must_use]
    pub fn repeated(&self, rows: usize) -> String {
        let mut out = String::with_capacity(self.sql.len() + rows.saturating_sub(1) * self.row_bytes());
        out.push_str(&self.sql[..self.row.end]);
        for row in 1..rows {
            out.push_str(", ");
            let mut done = self.row.start;
            for (place, index) in &self.placeholders {
                out.push_str(&self.sql[done..place.start]);
                if self.kind == DialectKind::Postgres {
                    _ = write!(out, "${}", row * self.parameters + index + 1);
                } else {
                    out.push('?');
                }
                done = place.end;
            }
            out.push_str(&self.sql[done..self.row.end]);
        }
        out.push_str(self.tail());
        out
    }
}

/// The tokens that are no comments; `None` if there is an executable comment or the text does not end well.
fn tokens(sql: &str, dialect: Dialect) -> Option<Vec<Sig>> {
    let mut lexer = Lexer::new(sql, dialect);
    let mut tokens = Vec::new();
    let mut recent = Recent::new();
    while let Some(token) = lexer.next().ok()? {
        match token.kind {
            Kind::Comment => {}
            Kind::ExecOpen | Kind::ExecClose | Kind::Param | Kind::Escape | Kind::Assign => return None,
            _ => {
                let (token, _) = recent.take(sql.as_bytes(), token);
                tokens.push(*token);
            }
        }
    }
    while tokens.last().is_some_and(|token| token.is(b';')) {
        tokens.pop();
    }
    Some(tokens)
}

struct Reader<'a> {
    sql: &'a Arc<str>,
    kind: DialectKind,
    tokens: &'a [Sig],
    at: usize,
}

impl Reader<'_> {
    fn read(mut self) -> Option<InsertRow> {
        let mysql = self.kind == DialectKind::MySql;
        if !(self.take(Kw::Insert) || (mysql && self.take(Kw::Replace))) {
            return None;
        }
        if !self.take(Kw::Into) && !mysql {
            return None;
        }
        let mut table = self.name()?;
        while self.punct(b'.') {
            table.push('.');
            table.push_str(&self.name()?);
        }
        if !mysql && self.take(Kw::As) {
            self.name()?;
        }
        let columns = if self.punct(b'(') { Some(self.columns()?) } else { None };
        if !mysql && self.word(b"overriding") {
            if !self.word(b"system") && !self.word(b"user") {
                return None;
            }
            self.take(Kw::Value).then_some(())?;
        }
        let values = self.peek()?.start;
        if !(self.take(Kw::Values) || (mysql && self.take(Kw::Value))) {
            return None;
        }
        let open = self.peek()?.start;
        self.punct(b'(').then_some(())?;
        let (items, placeholders) = self.items()?;
        let end = self.tokens[self.at - 1].end;
        let parameters =
            if mysql { placeholders.len() } else { placeholders.iter().map(|(_, index)| index + 1).max().unwrap_or(0) };
        let all_used = (0..parameters).all(|wanted| placeholders.iter().any(|(_, index)| *index == wanted));
        if parameters == 0 || !all_used || !self.tail_is_plain() {
            return None;
        }
        let (sql, kind, row) = (self.sql.clone(), self.kind, open..end);
        Some(InsertRow { sql, kind, table, columns, values, row, items, placeholders, parameters })
    }

    fn peek(&self) -> Option<&Sig> {
        self.tokens.get(self.at)
    }

    fn text(&self, token: &Sig) -> &str {
        &self.sql[token.start..token.end]
    }

    fn take(&mut self, kw: Kw) -> bool {
        self.take_if(|token, _| token.kind == Kind::Word && token.kw == kw)
    }

    fn word(&mut self, word: &[u8]) -> bool {
        self.take_if(|token, text| token.kind == Kind::Word && text.as_bytes().eq_ignore_ascii_case(word))
    }

    fn punct(&mut self, byte: u8) -> bool {
        self.take_if(|token, _| token.is(byte))
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Sig, &str) -> bool) -> bool {
        let found = self.peek().is_some_and(|token| wanted(token, self.text(token)));
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Option<String> {
        let token = self.peek().filter(|token| matches!(token.kind, Kind::Word | Kind::Ident))?;
        let name = self.text(token).to_owned();
        self.at += 1;
        Some(name)
    }

    /// Names up to the closing parenthesis; those of fields and items of columns are not taken.
    fn columns(&mut self) -> Option<Vec<Range<usize>>> {
        let mut columns = Vec::new();
        loop {
            let token = *self.peek()?;
            self.name()?;
            columns.push(token.start..token.end);
            if self.punct(b')') {
                return Some(columns);
            }
            self.punct(b',').then_some(())?;
        }
    }

    /// The values up to the closing parenthesis.
    fn items(&mut self) -> Option<(Vec<InsertItem>, Vec<Placeholder>)> {
        let (mut items, mut placeholders) = (Vec::new(), Vec::new());
        loop {
            let token = *self.peek()?;
            if token.kind == Kind::Native {
                self.at += 1;
                let index = match self.kind {
                    DialectKind::Postgres => self.text(&token)[1..].parse::<usize>().ok()?.checked_sub(1)?,
                    _ => placeholders.len(),
                };
                placeholders.push((token.start..token.end, index));
                items.push(InsertItem::Parameter(index));
            } else {
                self.literal()?;
                items.push(InsertItem::Literal);
            }
            if self.punct(b')') {
                return Some((items, placeholders));
            }
            self.punct(b',').then_some(())?;
        }
    }

    fn literal(&mut self) -> Option<()> {
        let is_number = |token: &Sig, text: &str| token.kind == Kind::Word && text.as_bytes()[0].is_ascii_digit();
        let is_sign = |_: &Sig, text: &str| matches!(text, "-" | "+");
        if self.word(b"null") || self.word(b"true") || self.word(b"false") || self.word(b"default") {
            return Some(());
        }
        if self.take_if(|token, _| token.kind == Kind::Str) {
            return Some(());
        }
        self.take_if(is_sign);
        let from = self.at;
        while self.punct(b'.') || self.take_if(is_number) {}
        // A bare dot is the server's to refuse.
        (self.at > from).then_some(())
    }

    /// Whether what follows looks at no more than the row that is there and the one that is not inserted.
    fn tail_is_plain(&self) -> bool {
        let tail = &self.tokens[self.at..];
        let begins = match tail.first() {
            None => return true,
            Some(first) => first.kw == Kw::On || (self.kind == DialectKind::MySql && first.kw == Kw::As),
        };
        let plain = |(index, token): (usize, &Sig)| match token.kind {
            Kind::Word => !matches!(token.kw, Kw::Select | Kw::Table | Kw::With | Kw::Returning),
            Kind::Ident | Kind::Str | Kind::Operator => true,
            Kind::Punct(b'(') => index > 0 && self.opens_plainly(&tail[index - 1]),
            Kind::Punct(byte) => b"),.=<>!+-*/%|&".contains(&byte),
            _ => false,
        };
        begins && tail.iter().enumerate().all(plain)
    }

    fn opens_plainly(&self, before: &Sig) -> bool {
        match before.kind {
            Kind::Word => BEFORE_PARENTHESIS.iter().any(|word| self.text(before).as_bytes().eq_ignore_ascii_case(word)),
            Kind::Ident | Kind::Str => false,
            _ => true,
        }
    }
}
