//! Bytes to tokens, exactly as the server of a dialect cuts them.
//!
//! Rule ids (W, Q1, C5, ..) are those of `named-parameters.md`. White space is skipped; everything else is a token, so the
//! text between two tokens is always white space. Tokens begin and end on character boundaries: every delimiter is ASCII,
//! and a byte >= 0x80 only ever continues a word or stands inside a literal.

use super::dialect::{Dialect, DialectKind};

const ALPHA: u8 = 1;
const DIGIT: u8 = 2;
const DOLLAR: u8 = 4;
const SPACE: u8 = 8;
const OPERATOR: u8 = 16;
/// A byte that ends an operand: a colon right behind it is text (P5).
const OPERAND_END: u8 = 32;
/// A byte that is a token of its own, whatever stands around it, in every dialect.
const ALONE: u8 = 64;

const NAME: u8 = ALPHA | DIGIT;
const WORD: u8 = NAME | DOLLAR;

#[expect(clippy::cast_possible_truncation, reason = "a byte counts to 255")]
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => ALPHA | OPERAND_END,
            b'0'..=b'9' => DIGIT | OPERAND_END,
            b'$' => DOLLAR | OPERAND_END,
            b' ' | b'\t'..=b'\r' => SPACE,
            b'(' | b',' | b'.' | b';' => ALONE,
            b')' => ALONE | OPERAND_END,
            b']' | b'\'' | b'"' | b':' => OPERAND_END,
            b'`' => OPERATOR | OPERAND_END,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|'
            | b'?' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Whether `byte` can stand inside a parameter's name.
pub(super) fn is_name_byte(byte: u8) -> bool {
    is(byte, NAME)
}

/// Whether `byte` can stand inside a word.
pub(super) fn is_word_byte(byte: u8) -> bool {
    is(byte, WORD)
}

/// Whether only white space stands in `bytes`.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is(byte, SPACE))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, name or number.
    Word,
    /// A string literal, dollar quotes included.
    Str,
    /// A quoted identifier.
    Ident,
    /// A comment of any kind.
    Comment,
    /// `:name`, ours.
    Param,
    /// `\:`, a plain colon.
    Escape,
    /// A native placeholder.
    Native,
    /// `:=`.
    Assign,
    /// PostgreSQL only: a whole operator.
    Operator,
    /// `/*!50000`, which opens live text on MySQL.
    ExecOpen,
    /// The `*/` that ends it.
    ExecClose,
    /// Any other single byte.
    Punct(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What was still open at the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Str { backslash: bool },
    Ident,
    Dollar,
    Comment,
    ExecComment,
}

/// An open literal and the offset of its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unterminated {
    pub(super) open: Open,
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: Dialect,
    kind: DialectKind,
    /// Where the last one-letter word ended and what it was: the `E` of `E'..'`.
    prefix: (usize, u8),
    /// Where the executable comment that we are in opened.
    exec: Option<usize>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { bytes: sql.as_bytes(), at: 0, dialect, kind: dialect.kind(), prefix: (usize::MAX, 0), exec: None }
    }

    /// Whether the last token stands inside an executable comment.
    pub(super) fn in_exec(&self) -> bool {
        self.exec.is_some()
    }

    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Goes over the bytes of `class` from `from` on.
    #[inline(always)]
    fn skip(&self, from: usize, class: u8) -> usize {
        let Some(rest) = self.bytes.get(from..) else { return from };
        from + rest.iter().position(|&byte| !is(byte, class)).unwrap_or(rest.len())
    }

    #[inline]
    fn token(&mut self, kind: Kind, end: usize) -> Token {
        let token = Token { kind, start: self.at, end };
        self.at = end;
        token
    }

    /// The next token, or `None` at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<Token>, Unterminated> {
        self.at = self.skip(self.at, SPACE);
        let Some(byte) = self.peek(0) else {
            return match self.exec {
                Some(at) => Err(Unterminated { open: Open::ExecComment, at }),
                None => Ok(None),
            };
        };
        if is(byte, NAME) || (byte == b'$' && self.kind == DialectKind::MySql) {
            return Ok(Some(self.word(byte)));
        }
        if is(byte, ALONE) {
            return Ok(Some(self.token(Kind::Punct(byte), self.at + 1)));
        }
        self.other(byte).map(Some)
    }

    #[inline(always)]
    fn word(&mut self, first: u8) -> Token {
        let end = self.skip(self.at + 1, WORD);
        if end - self.at == 1 {
            self.prefix = (end, first);
        }
        self.token(Kind::Word, end)
    }

    fn other(&mut self, byte: u8) -> Result<Token, Unterminated> {
        use DialectKind::{MySql, Postgres, Sqlite};
        let next = self.peek(1);
        match (byte, self.kind) {
            (b'\'', _) => self.string(),
            (b'"', MySql) if !self.dialect.ansi_quotes() => {
                self.quoted(Kind::Str, b'"', !self.dialect.no_backslash_escapes())
            }
            (b'"', _) | (b'`', MySql | Sqlite) => self.quoted(Kind::Ident, byte, false),
            (b'[', Sqlite) => self.bracket(),
            (b'-', _) if next == Some(b'-') && self.is_line_comment() => Ok(self.line_comment()),
            (b'#', MySql) => Ok(self.line_comment()),
            (b'/', _) if next == Some(b'*') => self.block_comment(),
            (b'*', MySql) if next == Some(b'/') && self.exec.is_some() => {
                self.exec = None;
                Ok(self.token(Kind::ExecClose, self.at + 2))
            }
            (b':', _) => Ok(self.colon(next)),
            (b'\\', _) if next == Some(b':') => Ok(self.token(Kind::Escape, self.at + 2)),
            (b'$', Postgres) => self.dollar(next),
            (b'?', MySql) => Ok(self.token(Kind::Native, self.at + 1)),
            (b'?', Sqlite) => Ok(self.token(Kind::Native, self.skip(self.at + 1, DIGIT))),
            (b'@' | b'$' | b'#', Sqlite) if next.is_some_and(|next| is(next, WORD)) => {
                Ok(self.token(Kind::Native, self.skip(self.at + 1, WORD)))
            }
            (_, Postgres) if is(byte, OPERATOR) => Ok(self.operator()),
            _ => Ok(self.token(Kind::Punct(byte), self.at + 1)),
        }
    }

    /// P1 to P5, and SQLite's own `:w` (N1).
    fn colon(&mut self, next: Option<u8>) -> Token {
        let before = self.at.checked_sub(1).map(|at| self.bytes[at]);
        let Some(next) = next else { return self.token(Kind::Punct(b':'), self.at + 1) };
        if next == b'=' {
            return self.token(Kind::Assign, self.at + 2);
        }
        if is(next, ALPHA) && !before.is_some_and(|before| is(before, OPERAND_END)) {
            return self.token(Kind::Param, self.skip(self.at + 1, NAME));
        }
        if self.kind == DialectKind::Sqlite && is(next, WORD) && before != Some(b':') {
            return self.token(Kind::Native, self.skip(self.at + 1, WORD));
        }
        self.token(Kind::Punct(b':'), self.at + 1)
    }

    /// Q1, Q2, Q6: what a single quote opens.
    fn string(&mut self) -> Result<Token, Unterminated> {
        match self.kind {
            DialectKind::Sqlite => self.quoted(Kind::Str, b'\'', false),
            DialectKind::MySql => self.quoted(Kind::Str, b'\'', !self.dialect.no_backslash_escapes()),
            DialectKind::Postgres => {
                let prefix = if self.prefix.0 == self.at { self.prefix.1 } else { 0 };
                // With standard strings on, cutting a continued plain string in two changes nothing.
                let nonstandard = !self.dialect.standard_conforming_strings();
                let (backslash, goes_on) = match prefix {
                    b'E' | b'e' => (true, true),
                    b'B' | b'b' | b'X' | b'x' => (false, nonstandard),
                    _ => (nonstandard, nonstandard),
                };
                self.postgres_string(backslash, goes_on)
            }
        }
    }

    /// Q3: a string goes on behind a newline, under the rules it began with.
    fn postgres_string(&mut self, backslash: bool, goes_on: bool) -> Result<Token, Unterminated> {
        let mut end = self.at;
        loop {
            end = self
                .close(end + 1, b'\'', backslash)
                .ok_or(Unterminated { open: Open::Str { backslash }, at: self.at })?;
            match self.continuation(end) {
                Some(quote) if goes_on => end = quote,
                _ => return Ok(self.token(Kind::Str, end)),
            }
        }
    }

    /// The quote that continues the string which ends at `at`: white space with a newline, line comments between.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            match *self.bytes.get(at)? {
                b'\n' | b'\r' => newline = true,
                b' ' | b'\t' | 0x0b | 0x0c => {}
                b'-' if self.bytes.get(at + 1) == Some(&b'-') => {
                    // The comment's own newline is seen in the next turn.
                    at += self.bytes[at..].iter().position(|&byte| byte == b'\n' || byte == b'\r')?;
                    continue;
                }
                b'\'' if newline => return Some(at),
                _ => return None,
            }
            at += 1;
        }
    }

    /// The end of a literal whose inside begins at `at`: a doubled quote stays inside.
    #[inline]
    fn close(&self, mut at: usize, quote: u8, backslash: bool) -> Option<usize> {
        loop {
            let rest = self.bytes.get(at..)?;
            at += rest.iter().position(|&byte| byte == quote || (byte == b'\\' && backslash))?;
            if self.bytes[at] == quote && self.bytes.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 2;
        }
    }

    fn quoted(&mut self, kind: Kind, quote: u8, backslash: bool) -> Result<Token, Unterminated> {
        let open = if kind == Kind::Str { Open::Str { backslash } } else { Open::Ident };
        let end = self.close(self.at + 1, quote, backslash).ok_or(Unterminated { open, at: self.at })?;
        Ok(self.token(kind, end))
    }

    /// Q8: to the first `]`.
    fn bracket(&mut self) -> Result<Token, Unterminated> {
        let len = self.bytes[self.at..].iter().position(|&byte| byte == b']');
        let len = len.ok_or(Unterminated { open: Open::Ident, at: self.at })?;
        Ok(self.token(Kind::Ident, self.at + len + 1))
    }

    /// Q5 and N1: a dollar quote, a placeholder, or a lone dollar.
    fn dollar(&mut self, next: Option<u8>) -> Result<Token, Unterminated> {
        if next.is_some_and(|next| is(next, DIGIT)) {
            return Ok(self.token(Kind::Native, self.skip(self.at + 1, DIGIT)));
        }
        let tag_end = self.skip(self.at + 1, NAME);
        if self.bytes.get(tag_end) != Some(&b'$') {
            return Ok(self.token(Kind::Punct(b'$'), self.at + 1));
        }
        let tag = &self.bytes[self.at..=tag_end];
        let mut from = tag_end + 1;
        while let Some(dollar) = self.bytes[from..].iter().position(|&byte| byte == b'$') {
            from += dollar;
            if self.bytes[from..].starts_with(tag) {
                return Ok(self.token(Kind::Str, from + tag.len()));
            }
            from += 1;
        }
        Err(Unterminated { open: Open::Dollar, at: self.at })
    }

    /// C3: two dashes are a comment on MySQL only before white space, a control character or the end.
    fn is_line_comment(&self) -> bool {
        self.kind != DialectKind::MySql || self.peek(2).is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    /// C1, C4.
    fn line_comment(&mut self) -> Token {
        let postgres = self.kind == DialectKind::Postgres;
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n' || (postgres && byte == b'\r'));
        self.token(Kind::Comment, self.at + len.unwrap_or(rest.len()))
    }

    /// C2, C5, C6.
    fn block_comment(&mut self) -> Result<Token, Unterminated> {
        if self.kind == DialectKind::MySql && self.exec.is_none() {
            let rest = &self.bytes[self.at + 2..];
            let mark = if rest.starts_with(b"!") { 3 } else { 4 };
            if mark == 3 || rest.starts_with(b"M!") {
                self.exec = Some(self.at);
                return Ok(self.token(Kind::ExecOpen, self.skip(self.at + mark, DIGIT)));
            }
        }
        let nests = self.kind == DialectKind::Postgres;
        let mut depth = 1;
        let mut at = self.at + 2;
        let mark = |from: usize| self.bytes.get(from..)?.iter().position(|&byte| matches!(byte, b'*' | b'/'));
        while let Some(skipped) = mark(at) {
            at += skipped;
            match &self.bytes[at..] {
                [b'*', b'/', ..] => {
                    at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.token(Kind::Comment, at));
                    }
                }
                [b'/', b'*', ..] if nests => {
                    at += 2;
                    depth += 1;
                }
                _ => at += 1,
            }
        }
        if self.kind == DialectKind::Sqlite {
            return Ok(self.token(Kind::Comment, self.bytes.len()));
        }
        Err(Unterminated { open: Open::Comment, at: self.at })
    }

    /// A whole operator, cut as PostgreSQL does: before a comment, and without a sign at its end
    /// unless one of the bytes that only operators use is in it.
    fn operator(&mut self) -> Token {
        let mut end = self.skip(self.at + 1, OPERATOR);
        let run = &self.bytes[self.at..end];
        if let Some(cut) = run.windows(2).skip(1).position(|pair| pair == b"--" || pair == b"/*") {
            end = self.at + 1 + cut;
        }
        let run = &self.bytes[self.at..end];
        let signs = run.iter().skip(1).rev().take_while(|byte| matches!(byte, b'+' | b'-')).count();
        if signs > 0 && !run.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            end -= signs;
        }
        self.token(Kind::Operator, end)
    }
}
