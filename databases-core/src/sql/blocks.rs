//! Where a statement ends: at a `;`, unless that stands in the body of a trigger or a routine.

use super::dialect::DialectKind;
use super::keyword::Kw;
use super::lexer::Kind;
use super::slots::{Before, Sig};

/// What the head of the statement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// No token yet.
    Start,
    /// CREATE or ALTER, of what is not yet known.
    Create,
    /// BEGIN: MariaDB's BEGIN NOT ATOMIC opens a body.
    Begin,
    /// A body may come, or we are in it.
    Body,
    /// No body: the next `;` ends it.
    Plain,
}

/// What an END closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Statements stand in it.
    Statements,
    /// CASE as an expression.
    Case,
}

/// Tells which `;` ends a statement.
#[derive(Debug)]
pub(super) struct Blocks {
    kind: DialectKind,
    head: Head,
    stack: Vec<Block>,
    parens: usize,
}

impl Blocks {
    pub(super) fn new(kind: DialectKind) -> Self {
        Self { kind, head: Head::Start, stack: Vec::new(), parens: 0 }
    }

    /// Takes in the next token; `before` is the last two. True for a `;` that ends the statement.
    #[inline]
    pub(super) fn feed(&mut self, token: &Sig, before: Before<'_>) -> bool {
        match token.kind {
            Kind::Word if self.head != Head::Plain => self.word(token, before),
            // PostgreSQL's CREATE RULE .. DO (a; b): there, parentheses keep statements together.
            Kind::Punct(b';') if self.stack.is_empty() && (self.parens == 0 || self.kind != DialectKind::Postgres) => {
                self.head = Head::Start;
                self.parens = 0;
                return true;
            }
            Kind::Punct(b'(') => self.parens += 1,
            Kind::Punct(b')') => self.parens = self.parens.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// Whether a word that is no keyword, a literal or a dot changes nothing here.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        self.head == Head::Plain
    }

    fn word(&mut self, token: &Sig, before: Before<'_>) {
        match self.head {
            Head::Start => self.start(token.kw),
            Head::Begin => {
                self.head = Head::Plain;
                if token.kw == Kw::Not {
                    self.head = Head::Body;
                    self.stack.push(Block::Statements);
                }
            }
            Head::Create => self.create(token.kw),
            Head::Body => match self.kind {
                DialectKind::Postgres => self.postgres(token.kw, before),
                DialectKind::MySql => self.mysql(token.kw, before),
                DialectKind::Sqlite => self.sqlite(token.kw, before),
            },
            Head::Plain => {}
        }
    }

    fn start(&mut self, kw: Kw) {
        let mysql = self.kind == DialectKind::MySql;
        self.head = match kw {
            Kw::Create | Kw::Alter => Head::Create,
            Kw::Begin if mysql => Head::Begin,
            // MariaDB runs compound statements outside of routines too.
            Kw::If | Kw::Case | Kw::Loop | Kw::Repeat | Kw::While | Kw::For if mysql => {
                self.stack.push(Block::Statements);
                Head::Body
            }
            // EXPLAIN CREATE TRIGGER
            Kw::Explain => Head::Start,
            _ => Head::Plain,
        };
    }

    fn create(&mut self, kw: Kw) {
        self.head = match (kw, self.kind) {
            (Kw::Trigger, DialectKind::Sqlite | DialectKind::MySql) => Head::Body,
            (Kw::Procedure | Kw::Function, DialectKind::Postgres | DialectKind::MySql) => Head::Body,
            (Kw::Event, DialectKind::MySql) => Head::Body,
            (Kw::Table | Kw::View | Kw::Index | Kw::Database | Kw::Schema | Kw::User | Kw::Sequence, _) => Head::Plain,
            _ => Head::Create,
        };
    }

    /// A `BEGIN ATOMIC` body: only CASE has an END of its own in it.
    fn postgres(&mut self, kw: Kw, before: Before<'_>) {
        match kw {
            Kw::Atomic if before.last.kw == Kw::Begin && self.stack.is_empty() => self.stack.push(Block::Statements),
            Kw::Case if !self.stack.is_empty() => self.stack.push(Block::Case),
            Kw::End if before.last.kw != Kw::As => drop(self.stack.pop()),
            _ => {}
        }
    }

    /// A trigger ends at the END behind a `;`, as in sqlite3_complete().
    fn sqlite(&mut self, kw: Kw, before: Before<'_>) {
        let last = before.last;
        match kw {
            Kw::Begin if self.stack.is_empty() && !matches!(last.kw, Kw::Trigger | Kw::Exists) => {
                self.stack.push(Block::Statements);
            }
            Kw::End if last.is(b';') => drop(self.stack.pop()),
            _ => {}
        }
    }

    /// Compound statements nest, and each has an END; expressions have CASE .. END, IF() and REPEAT().
    fn mysql(&mut self, kw: Kw, before: Before<'_>) {
        let last = before.last;
        let in_expression = self.stack.last() == Some(&Block::Case);
        match kw {
            Kw::End if self.stack.is_empty() || last.kw == Kw::Xa => {}
            Kw::End => drop(self.stack.pop()),
            // END IF, END LOOP
            _ if last.kw == Kw::End => {}
            Kw::Case if in_expression || !self.at_statement(last) => self.stack.push(Block::Case),
            Kw::Case => self.stack.push(Block::Statements),
            // Nothing else in an expression has an END.
            _ if in_expression => {}
            Kw::Begin
                if !matches!(last.kw, Kw::Xa | Kw::Procedure | Kw::Function | Kw::Trigger | Kw::Event | Kw::Exists) =>
            {
                self.stack.push(Block::Statements);
            }
            Kw::If | Kw::Loop | Kw::Repeat | Kw::While | Kw::For if self.at_statement(last) => {
                self.stack.push(Block::Statements);
            }
            _ => {}
        }
    }

    /// Whether a statement can begin behind `last`.
    fn at_statement(&self, last: &Sig) -> bool {
        if last.is(b';') || last.is(b':') {
            return true;
        }
        match last.kw {
            Kw::Begin | Kw::Then | Kw::Else | Kw::Do | Kw::Loop | Kw::Repeat => true,
            // BEGIN NOT ATOMIC
            Kw::Atomic => true,
            // The body may be one compound statement without BEGIN: what ends the head of a routine?
            Kw::Row | Kw::Deterministic | Kw::Sql | Kw::Data | Kw::Definer | Kw::Invoker => self.stack.is_empty(),
            _ => self.stack.is_empty() && self.parens == 0 && (last.is(b')') || last.kind == Kind::Str),
        }
    }
}
