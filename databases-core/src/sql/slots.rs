//! Where the parameters stand: what is around each `:name` decides what a list may become there.
//!
//! Rules L2, L4 and L7 to L9 of `named-parameters.md`.

use std::ops::Range;

use super::dialect::DialectKind;
use super::keyword::Kw;
use super::lexer::{Kind, is_blank};

/// A token that is no comment, with its keyword; a word behind a dot or `@` is no keyword.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sig {
    pub(super) kind: Kind,
    pub(super) kw: Kw,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Sig {
    /// Stands before the first token.
    pub(super) const NONE: Self = Self { kind: Kind::Comment, kw: Kw::None, start: 0, end: 0 };

    pub(super) fn is(&self, byte: u8) -> bool {
        self.kind == Kind::Punct(byte)
    }
}

/// The last two tokens.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) earlier: &'a Sig,
    pub(super) last: &'a Sig,
}

/// One `:name` in the text.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Index into the template's names.
    pub(super) name: usize,
    pub(super) place: Place,
}

impl Slot {
    /// Where its name stands, behind the colon.
    pub(super) fn name_range(&self) -> Range<usize> {
        self.start + 1..self.end
    }
}

/// What stands around a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Alone after IN (L8).
    In { word: InWord, parens: bool },
    /// Alone after VALUES (L8).
    Values { parens: bool },
    /// Behind `(`, `[` or `,`.
    Items { behind_bracket: bool },
    /// Anywhere else: no list.
    Other,
}

/// The word IN, or NOT IN, and whether it can become `= ANY` or `<> ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InWord {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) not: bool,
    pub(super) blocked: Option<Blocked>,
}

/// Why a list after IN has to be expanded on PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// A comparison to the left (L9).
    Comparison,
    /// A comment between NOT and IN (L7).
    Comment,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Whether CASE opened it, not a bracket.
    case: bool,
    /// Whether a comparison stands to the left.
    compared: bool,
}

/// Collects the slots of one text.
#[derive(Debug)]
pub(super) struct Slots {
    postgres: bool,
    pub(super) found: Vec<Slot>,
    last_in: Option<InWord>,
    /// Whether the last slot waits for its `)`.
    open: bool,
    compared: bool,
    levels: Vec<Level>,
}

impl Slots {
    /// Most texts have no more parameters: room for them at once spares small steps.
    const FEW: usize = 8;

    pub(super) fn new(kind: DialectKind) -> Self {
        let postgres = kind == DialectKind::Postgres;
        Self { postgres, found: Vec::new(), last_in: None, open: false, compared: false, levels: Vec::new() }
    }

    /// Takes in the next token; `before` is the last two.
    #[inline]
    pub(super) fn feed(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        if self.open {
            self.open = false;
            if !token.is(b')') {
                self.not_alone();
            }
        }
        if token.kw == Kw::In {
            self.last_in = Some(self.in_word(sql, token, before.last));
        }
        if self.postgres {
            self.level(sql, token);
        }
    }

    /// Whether a word that is no keyword, a literal or a dot changes nothing here.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        !self.open
    }

    /// Notes a parameter; comes behind [`Slots::feed`] of its token. The next token says whether it stands alone.
    pub(super) fn param(&mut self, token: &Sig, name: usize, before: Before<'_>) {
        let Before { earlier: word, last } = before;
        let parens = last.is(b'(');
        let place = match (if parens { word.kw } else { last.kw }, self.last_in) {
            (Kw::In, Some(word)) => Place::In { word, parens },
            (Kw::Values, _) => Place::Values { parens },
            _ if parens || last.is(b'[') || last.is(b',') => Place::Items { behind_bracket: last.is(b'[') },
            _ => Place::Other,
        };
        self.open = matches!(place, Place::In { parens: true, .. } | Place::Values { parens: true });
        if self.found.is_empty() {
            self.found = Vec::with_capacity(Self::FEW);
        }
        self.found.push(Slot { start: token.start, end: token.end, name, place });
    }

    /// The text is over.
    pub(super) fn finish(&mut self) {
        if self.open {
            self.open = false;
            self.not_alone();
        }
    }

    fn not_alone(&mut self) {
        if let Some(slot) = self.found.last_mut() {
            slot.place = Place::Items { behind_bracket: false };
        }
    }

    fn in_word(&self, sql: &[u8], token: &Sig, last: &Sig) -> InWord {
        let mut word = InWord { start: token.start, end: token.end, not: last.kw == Kw::Not, blocked: None };
        if word.not {
            if is_blank(&sql[last.end..token.start]) {
                word.start = last.start;
            } else {
                word.blocked = Some(Blocked::Comment);
            }
        }
        if self.compared {
            word.blocked = Some(Blocked::Comparison);
        }
        word
    }

    /// L9: what stands to the left on the same level.
    fn level(&mut self, sql: &[u8], token: &Sig) {
        match (token.kind, token.kw) {
            (Kind::Word, Kw::Case) => self.push(true),
            (Kind::Word, Kw::End) if self.levels.last().is_some_and(|level| level.case) => self.pop(),
            (
                Kind::Word,
                Kw::And
                | Kw::Or
                | Kw::Where
                | Kw::On
                | Kw::Having
                | Kw::When
                | Kw::Then
                | Kw::Else
                | Kw::Select
                | Kw::By
                | Kw::Returning
                | Kw::From,
            ) => self.compared = false,
            (Kind::Word, _) => {}
            (Kind::Operator, _) => {
                let operator = &sql[token.start..token.end];
                self.compared |= matches!(operator, b"=" | b"<" | b">" | b"<=" | b">=" | b"<>" | b"!=");
            }
            (Kind::Punct(b'(' | b'['), _) => self.push(false),
            (Kind::Punct(b')' | b']'), _) => {
                while self.levels.last().is_some_and(|level| level.case) {
                    self.pop();
                }
                self.pop();
            }
            (Kind::Punct(b',' | b';'), _) => self.compared = false,
            _ => {}
        }
    }

    fn push(&mut self, case: bool) {
        self.levels.push(Level { case, compared: self.compared });
        self.compared = false;
    }

    fn pop(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.compared = level.compared;
        }
    }
}
