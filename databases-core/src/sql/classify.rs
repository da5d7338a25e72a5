//! Statement classes: a small machine over the tokens of one statement after the other.
//!
//! It errs on the careful side: what it does not know is `Unknown`, and a doubtful word makes a statement `Write` or
//! `Session`, never `Read`.

use std::ops::Range;

use super::class::{StatementClass, Verb};
use super::dialect::DialectKind;
use super::effects::{self, Effect};
use super::keyword::Kw;
use super::lexer::Kind;
use super::slots::{Before, Sig};

/// What is known about a whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) class: StatementClass,
    pub(super) verb: Verb,
    pub(super) statements: usize,
    pub(super) locking_read: bool,
    pub(super) returning: bool,
    pub(super) table: Option<Range<usize>>,
}

impl Summary {
    pub(super) const EMPTY: Self = Self {
        class: StatementClass::Unknown,
        verb: Verb::Other,
        statements: 0,
        locking_read: false,
        returning: false,
        table: None,
    };
}

/// What the next token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first word has not come.
    Start,
    /// Among the common table expressions; the next word names one if `name`.
    With { name: bool },
    /// Before the statement that EXPLAIN explains.
    Explain,
    /// CREATE, DROP: before what is created.
    DdlHead,
    /// SET: before what is set.
    SetHead,
    /// The word behind the first decides.
    Second(Kw),
    /// The name of a pragma, and its argument.
    Pragma,
    /// Inside the statement.
    Body,
    /// Nothing more can change.
    Done,
}

#[derive(Clone, Debug)]
enum Table {
    /// Not to be looked for, or not found.
    No,
    /// Behind the next INTO or FROM.
    Behind(Kw),
    /// The next name that is no modifier.
    Next,
    /// Found; a dot makes it longer.
    Found(Range<usize>),
    /// Found and complete.
    Complete(Range<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    No,
    /// The next token says where to.
    Open,
}

/// Classifies statement after statement.
#[derive(Debug)]
pub(super) struct Classifier {
    kind: DialectKind,
    state: State,
    depth: usize,
    /// The depth of the statement's own clauses: `(SELECT ..)` is one deep.
    base: usize,
    verb: Verb,
    /// Whether EXPLAIN came first.
    explain: bool,
    /// Whether it also runs the statement.
    analyze: bool,
    class: StatementClass,
    wrote: bool,
    session: bool,
    locks: bool,
    returning: bool,
    into: Into,
    pragma: Range<usize>,
    pragma_argument: bool,
    table: Table,
    total: Summary,
}

impl Classifier {
    pub(super) fn new(kind: DialectKind) -> Self {
        Self {
            kind,
            state: State::Start,
            depth: 0,
            base: 0,
            verb: Verb::Other,
            explain: false,
            analyze: false,
            class: StatementClass::Unknown,
            wrote: false,
            session: false,
            locks: false,
            returning: false,
            into: Into::No,
            pragma: 0..0,
            pragma_argument: false,
            table: Table::No,
            total: Summary::EMPTY,
        }
    }

    /// Takes in the next token of a statement; `before` is the last two.
    #[inline(always)]
    pub(super) fn feed(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        if token.kind == Kind::Punct(b'(') {
            self.depth += 1;
        }
        match self.state {
            State::Body => self.body(sql, token, before),
            State::Done => {}
            _ => self.head(sql, token, before),
        }
        if token.kind == Kind::Punct(b')') {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    /// Whether a word that is no keyword, a literal or a dot changes nothing here.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        self.state == State::Body
            && self.into == Into::No
            && self.class != StatementClass::Ddl
            && !matches!(self.table, Table::Next | Table::Found(_))
    }

    fn head(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        match self.state {
            State::Start if token.kind == Kind::Word => self.begin(token.kw),
            State::Start if token.is(b'(') => {}
            State::Start => self.state = State::Done,
            State::With { name } => {
                self.effects(sql, token, before);
                self.with(token, before.last, name);
            }
            State::Explain => self.explain(sql, token, before.last),
            State::DdlHead => self.ddl_head(token),
            State::SetHead => self.set_head(sql, token, before),
            State::Second(first) => self.second(first, &sql[token.start..token.end], token.kw),
            State::Pragma => self.pragma(token),
            State::Body | State::Done => {}
        }
    }

    /// The word that a statement begins with.
    fn begin(&mut self, kw: Kw) {
        use StatementClass::{Ddl, Read, Session, TxControl, Unknown, Write};
        let mysql = self.kind == DialectKind::MySql;
        let (verb, class, state) = match kw {
            Kw::Select => (Verb::Select, Read, State::Body),
            Kw::Values => (Verb::Values, Read, State::Body),
            Kw::Table => (Verb::Table, Read, State::Body),
            Kw::Show => (Verb::Show, Read, State::Done),
            Kw::Insert => (Verb::Insert, Write, State::Body),
            Kw::Update => (Verb::Update, Write, State::Body),
            Kw::Delete => (Verb::Delete, Write, State::Body),
            Kw::Merge => (Verb::Merge, Write, State::Body),
            Kw::Replace => (Verb::Replace, Write, State::Body),
            Kw::Copy => (Verb::Copy, Write, State::Body),
            Kw::Notify => (Verb::Other, Write, State::Done),
            Kw::With => (Verb::Other, Unknown, State::With { name: true }),
            Kw::Explain | Kw::Describe | Kw::Desc => {
                self.explain = true;
                (Verb::Explain, Read, State::Explain)
            }
            Kw::Analyze if mysql => (Verb::Explain, Read, State::Second(kw)),
            Kw::Create => (Verb::Create, Ddl, State::DdlHead),
            Kw::Drop => (Verb::Drop, Ddl, State::DdlHead),
            Kw::Alter => (Verb::Alter, Ddl, State::Body),
            Kw::Truncate => (Verb::Truncate, Ddl, State::Done),
            Kw::Comment
            | Kw::Grant
            | Kw::Revoke
            | Kw::Reindex
            | Kw::Vacuum
            | Kw::Analyze
            | Kw::Analyse
            | Kw::Optimize
            | Kw::Repair
            | Kw::Refresh
            | Kw::Cluster
            | Kw::Rename
            | Kw::Import
            | Kw::Security
            | Kw::Reassign => (Verb::Other, Ddl, State::Body),
            Kw::Set => (Verb::Set, Session, State::SetHead),
            Kw::Pragma if self.kind == DialectKind::Sqlite => (Verb::Pragma, Session, State::Pragma),
            Kw::Reset
            | Kw::Discard
            | Kw::Use
            | Kw::Listen
            | Kw::Unlisten
            | Kw::Attach
            | Kw::Detach
            | Kw::Execute
            | Kw::Deallocate
            | Kw::Declare
            | Kw::Fetch
            | Kw::Move
            | Kw::Close
            | Kw::Handler
            | Kw::Unlock => (Verb::Other, Session, State::Done),
            Kw::Lock if mysql => (Verb::Other, Session, State::Done),
            Kw::Lock => (Verb::Other, Write, State::Done),
            Kw::Prepare | Kw::Load => (Verb::Other, Session, State::Second(kw)),
            Kw::Begin => (Verb::Begin, TxControl, State::Second(kw)),
            Kw::Start => (Verb::Other, Unknown, State::Second(kw)),
            Kw::End if !mysql => (Verb::Commit, TxControl, State::Done),
            Kw::Commit => (Verb::Commit, TxControl, State::Done),
            Kw::Rollback => (Verb::Rollback, TxControl, State::Done),
            Kw::Abort if !mysql => (Verb::Rollback, TxControl, State::Done),
            Kw::Savepoint => (Verb::Savepoint, TxControl, State::Done),
            Kw::Release => (Verb::Release, TxControl, State::Done),
            Kw::Xa => (Verb::Other, TxControl, State::Done),
            Kw::Call => (Verb::Call, Unknown, State::Done),
            _ => (Verb::Other, Unknown, State::Done),
        };
        self.verb = verb;
        self.class = class;
        self.state = state;
        self.base = self.depth;
        self.table = match verb {
            Verb::Insert | Verb::Replace | Verb::Merge => Table::Behind(Kw::Into),
            Verb::Select | Verb::Delete => Table::Behind(Kw::From),
            Verb::Update => Table::Next,
            _ => Table::No,
        };
    }

    fn with(&mut self, token: &Sig, last: &Sig, name: bool) {
        let kw = token.kw;
        if self.depth > self.base {
            if token.is(b'(') && self.depth == self.base + 1 && last.is(b')') {
                // WITH x AS (..) (SELECT ..)
                self.base = self.depth;
                return;
            }
            let changes = matches!(kw, Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge);
            self.wrote |= changes && (last.is(b'(') || last.is(b')'));
        } else if token.is(b',') {
            self.state = State::With { name: true };
        } else if name && kw == Kw::Recursive && last.kw == Kw::With {
            // WITH RECURSIVE AS (..) is a name, too, but hides nothing: AS is no verb.
        } else if name {
            self.state = State::With { name: false };
        } else if is_query_verb(kw) {
            self.begin(kw);
        }
    }

    fn explain(&mut self, sql: &[u8], token: &Sig, last: &Sig) {
        if token.kind != Kind::Word {
            return;
        }
        let kw = token.kw;
        if matches!(kw, Kw::Analyze | Kw::Analyse) {
            self.analyze = true;
        } else if self.depth > 0 && matches!(last.kw, Kw::Analyze | Kw::Analyse) {
            let word = &sql[token.start..token.end];
            self.analyze &= ![&b"false"[..], b"off", b"0"].iter().any(|no| word.eq_ignore_ascii_case(no));
        } else if is_query_verb(kw)
            || matches!(kw, Kw::With | Kw::Create | Kw::Refresh | Kw::Execute | Kw::Declare | Kw::Drop | Kw::Alter)
        {
            self.begin(kw);
        }
    }

    fn ddl_head(&mut self, token: &Sig) {
        self.state = match token.kw {
            Kw::Temp | Kw::Temporary => {
                self.session = true;
                State::Body
            }
            // MySQL's DROP PREPARE
            Kw::Prepare => {
                self.session = true;
                State::Done
            }
            Kw::Or | Kw::Replace | Kw::Global | Kw::Local => return,
            _ => State::Body,
        };
    }

    fn set_head(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        let last = before.last;
        let assigns = token.kind == Kind::Assign
            || (matches!(token.kind, Kind::Operator | Kind::Punct(b'=')) && sql[token.start] == b'=');
        let name = &sql[last.start..last.end];
        let user_variable = is_user_variable(sql, last);
        if (token.kw == Kw::Transaction && matches!(last.kw, Kw::Set | Kw::Session | Kw::Global | Kw::Local))
            || (token.kw == Kw::Characteristics && last.kw == Kw::Session)
            || (assigns && self.depth == 0 && !user_variable && name.eq_ignore_ascii_case(b"autocommit"))
        {
            self.class = StatementClass::TxControl;
            self.state = State::Done;
        }
    }

    fn second(&mut self, first: Kw, word: &[u8], kw: Kw) {
        self.state = State::Done;
        match (first, kw) {
            (Kw::Prepare, Kw::Transaction) => self.class = StatementClass::TxControl,
            (Kw::Load, Kw::Data | Kw::Xml) => self.class = StatementClass::Write,
            // MariaDB's BEGIN NOT ATOMIC is a body, not a transaction.
            (Kw::Begin, Kw::Not) => (self.verb, self.class) = (Verb::Other, StatementClass::Unknown),
            (Kw::Start, Kw::Transaction) => (self.verb, self.class) = (Verb::Begin, StatementClass::TxControl),
            // MariaDB's ANALYZE SELECT .. runs the statement; ANALYZE [LOCAL] TABLE gathers statistics.
            (Kw::Analyze, kw) if is_query_verb(kw) && kw != Kw::Table || kw == Kw::With => {
                (self.explain, self.analyze) = (true, true);
                self.begin(kw);
            }
            (Kw::Analyze, kw)
                if kw == Kw::Table || kw == Kw::Local || word.eq_ignore_ascii_case(b"no_write_to_binlog") =>
            {
                (self.verb, self.class) = (Verb::Other, StatementClass::Ddl);
            }
            (Kw::Analyze, _) => {
                // FORMAT=JSON
                (self.explain, self.analyze) = (true, true);
                self.state = State::Explain;
            }
            _ => {}
        }
    }

    fn pragma(&mut self, token: &Sig) {
        match token.kind {
            Kind::Word | Kind::Ident | Kind::Str => self.pragma = token.start..token.end,
            Kind::Punct(b'.') => {}
            _ => {
                self.pragma_argument = true;
                self.state = State::Done;
            }
        }
    }

    #[inline(always)]
    fn body(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        if self.into == Into::Open {
            self.select_into(token);
        }
        self.table(token, before);
        if token.kw == Kw::Returning && self.depth == self.base {
            self.returning |= self.class == StatementClass::Write;
        }
        if token.kw == Kw::Into && matches!(self.verb, Verb::Select | Verb::Table | Verb::Values) {
            self.into = Into::Open;
        }
        self.effects(sql, token, before);
    }

    /// What can stand anywhere in a query.
    #[inline]
    fn effects(&mut self, sql: &[u8], token: &Sig, before: Before<'_>) {
        let Before { earlier, last } = before;
        match (token.kind, token.kw) {
            (Kind::Punct(b'('), _) if matches!(last.kind, Kind::Word | Kind::Ident) => {
                match effects::of_function(&sql[last.start..last.end]) {
                    Some(Effect::Session) => self.session = true,
                    Some(Effect::Write) => self.wrote = true,
                    None => {}
                }
            }
            (_, Kw::Share) if matches!(last.kw, Kw::For | Kw::Key) => self.locks = true,
            (_, Kw::Update) if last.kw == Kw::For || (last.kw == Kw::Key && earlier.kw == Kw::No) => self.locks = true,
            (_, Kw::In) if last.kw == Kw::Lock => self.locks = true,
            // NEXT VALUE FOR
            (_, Kw::For) if last.kw == Kw::Value => self.wrote = true,
            (Kind::Assign, _) if self.kind == DialectKind::MySql && is_user_variable(sql, last) => self.session = true,
            (Kind::Punct(b'.'), _) if self.class == StatementClass::Ddl => {
                let schema = unquoted(&sql[last.start..last.end]);
                let temp = if self.kind == DialectKind::Sqlite { &b"temp"[..] } else { b"pg_temp" };
                self.session |= schema.eq_ignore_ascii_case(temp);
            }
            _ => {}
        }
    }

    /// SELECT .. INTO: a file, a variable, or on PostgreSQL a new table.
    fn select_into(&mut self, token: &Sig) {
        self.into = Into::No;
        match (self.kind, token.kw) {
            (DialectKind::MySql, Kw::Outfile | Kw::Dumpfile) => self.wrote = true,
            (DialectKind::MySql, _) | (_, Kw::Temp | Kw::Temporary) => self.session = true,
            (DialectKind::Postgres, Kw::Local | Kw::Global) => self.into = Into::Open,
            (DialectKind::Postgres, _) => self.class = StatementClass::Ddl,
            (DialectKind::Sqlite, _) => {}
        }
    }

    #[inline]
    fn table(&mut self, token: &Sig, before: Before<'_>) {
        let is_name = matches!(token.kind, Kind::Word | Kind::Ident);
        match &mut self.table {
            Table::No | Table::Complete(_) => {}
            Table::Behind(kw) => {
                if token.kw == *kw && self.depth == self.base && before.last.kw != Kw::Distinct {
                    self.table = Table::Next;
                }
            }
            Table::Next => match token.kw {
                Kw::Only
                | Kw::LowPriority
                | Kw::Ignore
                | Kw::Table
                | Kw::Or
                | Kw::Rollback
                | Kw::Abort
                | Kw::Replace => {}
                Kw::Lateral | Kw::Select | Kw::Values => self.table = Table::No,
                _ if before.last.kw == Kw::Or => {}
                _ if is_name => self.table = Table::Found(token.start..token.end),
                _ => self.table = Table::No,
            },
            Table::Found(range) => {
                if token.is(b'.') || (is_name && before.last.is(b'.')) {
                    range.end = token.end;
                } else if token.is(b'(') && self.verb == Verb::Select {
                    self.table = Table::No;
                } else {
                    self.table = Table::Complete(range.clone());
                }
            }
        }
    }

    /// The statement is over: adds it to the text's summary and returns its class.
    pub(super) fn end_statement(&mut self, sql: &[u8]) -> StatementClass {
        let class = self.statement_class(sql);
        let total = &mut self.total;
        total.statements += 1;
        if total.statements == 1 {
            total.class = class;
            total.verb = if self.explain { Verb::Explain } else { self.verb };
            total.table = match &self.table {
                Table::Found(range) | Table::Complete(range) => Some(range.clone()),
                _ => None,
            };
        } else if class == StatementClass::TxControl || total.class == StatementClass::TxControl {
            total.class = StatementClass::TxControl;
        } else if class != total.class {
            total.class = StatementClass::Unknown;
        }
        let reads = matches!(self.verb, Verb::Select | Verb::Table | Verb::Values);
        total.locking_read |= self.locks && reads && !self.explain;
        total.returning |= self.returning && !self.explain;
        let total = std::mem::replace(&mut self.total, Summary::EMPTY);
        *self = Self { total, ..Self::new(self.kind) };
        class
    }

    fn statement_class(&self, sql: &[u8]) -> StatementClass {
        use StatementClass::{Ddl, Read, Session, Unknown, Write};
        if self.explain && !self.analyze {
            return Read;
        }
        match self.class {
            Session
                if self.verb == Verb::Pragma
                    && effects::pragma_reads(&sql[self.pragma.clone()], self.pragma_argument) =>
            {
                Read
            }
            Read | Write | Ddl if self.session => Session,
            Read if self.wrote || self.locks => Write,
            // A WITH whose verb we did not find
            Unknown if self.session => Session,
            class => class,
        }
    }

    /// What the whole text is, after its last statement.
    pub(super) fn summary(self) -> Summary {
        self.total
    }
}

/// Whether `kw` can be the main verb behind WITH or EXPLAIN.
fn is_query_verb(kw: Kw) -> bool {
    matches!(kw, Kw::Select | Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge | Kw::Replace | Kw::Values | Kw::Table)
}

/// Whether `name` has one `@` before it: `@x`, but not `@@x`.
fn is_user_variable(sql: &[u8], name: &Sig) -> bool {
    let before = &sql[..name.start];
    before.ends_with(b"@") && !before.ends_with(b"@@")
}

/// An identifier without its quotes; one with quotes inside is none that matters here.
fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [b'"', inner @ .., b'"'] | [b'`', inner @ .., b'`'] | [b'[', inner @ .., b']'] => inner,
        _ => name,
    }
}
