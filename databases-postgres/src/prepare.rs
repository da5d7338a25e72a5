//! Preparing: in a task that always finishes, with types told to the server where it cannot know them.
//!
//! The server infers the types of parameters from where they stand. Where it cannot, it says `text` (`SELECT $1`) or
//! fails (`$1 IS NULL OR a = $1`); then the text is prepared again with the types of the values. Where those do not fit either
//! (an enum's text), the types are learned from a text with a placeholder of its own in each place (`$1 IS NULL OR a = $2`).
//! A failing prepare would end a transaction, so one that may be tried again runs behind a savepoint of ours.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use databases_core::backend::{BackendConnection as _, placeholder_mismatch};
use databases_core::sql::{Dialect, native_placeholders};
use databases_core::{Arg, Array, ArrayShape, Effect, Error, ErrorKind, Result, Value, ValueKind};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::cache::{Entry, Prepared, key};
use crate::connection::PgConnection;
use crate::encode::Param;
use crate::session::Session;
use crate::types::Changes;

const SAVEPOINT: &str = "SAVEPOINT _databases_prepare";
const RELEASE: &str = "RELEASE SAVEPOINT _databases_prepare";
const UNDO: &str = "ROLLBACK TO SAVEPOINT _databases_prepare; RELEASE SAVEPOINT _databases_prepare";

impl PgConnection {
    /// The statement for `sql` with `args`, from the cache or prepared now.
    pub(crate) async fn prepare(&self, sql: &Arc<str>, args: &[Arg], keep: bool) -> Result<Arc<Prepared>> {
        self.forget_deallocated();
        if self.types_changed.load(Relaxed) && self.types_changed.swap(false, Relaxed) {
            self.statements.clear();
            self.forget_types().await;
        }
        let known = if keep { self.statements.get(sql) } else { None };
        let first = match known {
            Some(Entry::Ready(prepared)) => return self.suit(sql, args, keep, prepared).await,
            Some(Entry::NeedsTypes | Entry::Refused) => None,
            Some(Entry::Ran) | None => match self.parse(sql, Vec::new(), keep, !args.is_empty()).await {
                Ok(prepared) => return self.suit(sql, args, keep, prepared).await,
                Err(error) if !args.is_empty() && is_about_types(&error) => Some(error),
                Err(error) => return Err(error),
            },
        };
        let error = match self.prepare_typed(sql, args, keep, first).await {
            Err(error) if is_about_types(&error) => error,
            result => return result,
        };
        if let Some(apart) = Apart::of(sql, self.dialect())
            && let Some(prepared) = self.prepare_learned(sql, args, keep, apart).await
        {
            return Ok(prepared);
        }
        // As the user wrote it, and without a savepoint: the transaction fails as it does at every error, if it has not yet.
        match self.parse(sql, Vec::new(), keep, false).await {
            Err(last) if last.code() == Some("25P02") => Err(error),
            result => result,
        }
    }

    /// The statement for `sql` with `args`, if it is in the cache and nothing is to be looked into.
    pub(crate) fn known(&self, sql: &str, args: &[Arg]) -> Option<Arc<Prepared>> {
        let forgotten = self.deallocations_seen.load(SeqCst) != self.session.guard.deallocations();
        if forgotten || self.types_changed.load(Relaxed) {
            return None;
        }
        let Some(Entry::Ready(prepared)) = self.statements.get(sql) else { return None };
        let suits = !prepared.has_text || suits(&prepared.params, args);
        (prepared.params.len() == args.len() && suits).then_some(prepared)
    }

    /// The statement that suits `args`: `plain`, or one that was told types in place of text.
    async fn suit(&self, sql: &Arc<str>, args: &[Arg], keep: bool, plain: Arc<Prepared>) -> Result<Arc<Prepared>> {
        if plain.params.len() != args.len() {
            return Err(placeholder_mismatch(args.len(), plain.params.len()));
        }
        if plain.has_text {
            return self.prepare_untexted(sql, args, keep, plain).await;
        }
        Ok(plain)
    }

    /// Prepares with the types that each place of a parameter has by itself; `None` if those do not tell either, or are not
    /// the same. What is learned holds for the text, whatever its arguments.
    async fn prepare_learned(&self, sql: &Arc<str>, args: &[Arg], keep: bool, apart: Apart) -> Option<Arc<Prepared>> {
        let mut told = vec![Type::UNKNOWN; apart.numbers.len()];
        let places = loop {
            match self.parse(&apart.sql, told.clone(), false, true).await {
                Ok(prepared) => break prepared,
                // `$1 IS NULL` takes any type; the server names one such place at a time.
                Err(error) if error.code() == Some("42P18") => match told.get_mut(placeholder_in(&error)? - 1) {
                    Some(ty) if *ty == Type::UNKNOWN => *ty = Type::TEXT,
                    _ => return None,
                },
                Err(_) => return None,
            }
        };
        let mut types = vec![Type::UNKNOWN; args.len()];
        for ((number, param), told) in apart.numbers.iter().zip(&places.params).zip(&told) {
            if *told != Type::UNKNOWN {
                continue;
            }
            match types.get_mut(number - 1)? {
                ty if *ty == Type::UNKNOWN => *ty = param.ty.clone(),
                ty if *ty == param.ty => {}
                // One of the two would get a value that went through the other's type.
                _ => return None,
            }
        }
        let learned = self.parse(sql, types, keep, true).await.ok()?;
        if keep {
            self.statements.insert(sql.clone(), Entry::Ready(learned.clone()));
        }
        (learned.params.len() == args.len()).then_some(learned)
    }

    /// Every text is prepared anew after a statement has dropped them all.
    fn forget_deallocated(&self) {
        let deallocations = self.session.guard.deallocations();
        if self.deallocations_seen.load(SeqCst) != deallocations
            && self.deallocations_seen.swap(deallocations, SeqCst) != deallocations
        {
            self.statements.clear();
        }
    }

    /// Prepares with the types of all values, after the server could not infer them.
    async fn prepare_typed(
        &self,
        sql: &Arc<str>,
        args: &[Arg],
        keep: bool,
        first: Option<Error>,
    ) -> Result<Arc<Prepared>> {
        let mut types = types(args, |_, _| true);
        // A NULL of no type is still better than none where the server asks for one.
        for (ty, arg) in types.iter_mut().zip(args) {
            if *ty == Type::UNKNOWN && arg.value.is_null() {
                *ty = Type::TEXT;
            }
        }
        if says_nothing(&types) {
            return match first {
                Some(error) => Err(error),
                None => self.parse(sql, Vec::new(), keep, true).await,
            };
        }
        let prepared = match self.known_or_parse(sql, types, keep, true).await {
            Ok(prepared) => prepared,
            // The first error is about the text as the user wrote it.
            Err(error) if !error.is_disconnected() => return Err(first.unwrap_or(error)),
            Err(error) => return Err(error),
        };
        if keep && first.is_some() {
            self.statements.insert(sql.clone(), Entry::NeedsTypes);
        }
        if prepared.params.len() != args.len() {
            return Err(placeholder_mismatch(args.len(), prepared.params.len()));
        }
        Ok(prepared)
    }

    /// Prepares with types for the parameters that the server calls text and whose values are none.
    async fn prepare_untexted(
        &self,
        sql: &Arc<str>,
        args: &[Arg],
        keep: bool,
        plain: Arc<Prepared>,
    ) -> Result<Arc<Prepared>> {
        let types = types(args, |index, ty| *ty != Type::TEXT && plain.params.get(index).is_some_and(Param::is_text));
        if says_nothing(&types) {
            return Ok(plain);
        }
        // JSON may go as text: into a text column it must.
        let optional = types.iter().all(|ty| matches!(*ty, Type::UNKNOWN | Type::JSON));
        if !optional {
            return self.known_or_parse(sql, types, keep, false).await;
        }
        let key = key(sql, &types);
        match self.statements.get(&key) {
            Some(Entry::Ready(prepared)) if keep => return Ok(prepared),
            Some(_) if keep => return Ok(plain),
            _ => {}
        }
        if !self.can_recover() {
            return Ok(plain);
        }
        match self.parse(sql, types, keep, true).await {
            Ok(prepared) => Ok(prepared),
            Err(error) if is_about_types(&error) => {
                if keep {
                    self.statements.insert(key, Entry::Refused);
                }
                Ok(plain)
            }
            Err(error) => Err(error),
        }
    }

    async fn known_or_parse(
        &self,
        sql: &Arc<str>,
        types: Vec<Type>,
        keep: bool,
        recoverable: bool,
    ) -> Result<Arc<Prepared>> {
        if keep && let Some(Entry::Ready(prepared)) = self.statements.get(&key(sql, &types)) {
            return Ok(prepared);
        }
        self.parse(sql, types, keep, recoverable).await
    }

    /// Whether a failing prepare would leave everything as it was.
    fn can_recover(&self) -> bool {
        // Behind a BEGIN without an answer it would fail the transaction.
        let outside = self.session.outside_transaction() && !self.session.guard.expects_begin();
        outside || self.client.try_write().is_ok()
    }

    /// Prepares a text of ours, which leaves everything as it was if it fails; `None` if that cannot be had now.
    pub(crate) async fn prepare_ours(
        &self,
        sql: &Arc<str>,
        types: Vec<Type>,
        keep: bool,
    ) -> Result<Option<Arc<Prepared>>> {
        self.forget_deallocated();
        if keep && let Some(Entry::Ready(prepared)) = self.statements.get(&key(sql, &types)) {
            return Ok(Some(prepared));
        }
        if !self.can_recover() {
            return Ok(None);
        }
        match self.parse_with(sql, types, keep, Recovery::Always).await {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error) if error.is_disconnected() => Err(error),
            Err(_) => Ok(None),
        }
    }

    pub(crate) async fn parse(
        &self,
        sql: &Arc<str>,
        types: Vec<Type>,
        keep: bool,
        recoverable: bool,
    ) -> Result<Arc<Prepared>> {
        let recovery = if recoverable { Recovery::FromTypes } else { Recovery::None };
        self.parse_with(sql, types, keep, recovery).await
    }

    /// Lets the server parse `sql`. A caller that is dropped leaves nothing behind: the task ends by itself and what
    /// it has prepared is kept or closed.
    async fn parse_with(
        &self,
        sql: &Arc<str>,
        types: Vec<Type>,
        keep: bool,
        recovery: Recovery,
    ) -> Result<Arc<Prepared>> {
        if sql.contains('\0') {
            return Err(Error::new(ErrorKind::Parameters, "the statement holds a NUL"));
        }
        let (sql, session, client) = (sql.clone(), self.session.clone(), self.client.clone());
        let (statements, codecs) = (keep.then(|| self.statements.clone()), self.codecs.clone());
        let changed = self.types_changed.clone();
        let preparing = session.preparing();
        let task = tokio::spawn(async move {
            let _preparing = preparing;
            let unfinished = Unfinished(Some(session.clone()));
            // Alone on the connection, a savepoint can undo nothing of anybody else's.
            let alone = if recovery != Recovery::None && session.guard.transaction_status() == b'T' {
                client.clone().try_write_owned().ok()
            } else {
                None
            };
            let naming = &session.guard.naming;
            let (result, name) = if let Some(client) = &alone {
                let client = client.as_ref().ok_or_else(|| session.gone())?;
                naming.of(&sql, parse_behind_savepoint(client, &sql, &types, recovery)).await
            } else {
                let client = client.read_owned().await;
                let client = client.as_ref().ok_or_else(|| session.gone())?;
                naming.of(&sql, client.prepare_typed(&sql, &types)).await
            };
            unfinished.finish();
            match result {
                Ok(statement) => {
                    let changes = Changes::telling(&changed);
                    let prepared = Prepared::new(statement, name.as_deref(), &types, &codecs, &session.guard, changes)?;
                    if let Some(statements) = statements {
                        statements.insert(key(&sql, &types), Entry::Ready(prepared.clone()));
                    }
                    Ok(prepared)
                }
                // Parse knows no such error: the driver's own statements, which look types up, are gone.
                Err(error) if error.code().is_some_and(|code| code.code() == "26000") => {
                    session.kill();
                    Err(Error::new(
                        ErrorKind::Disconnected,
                        "the session's prepared statements were deallocated, so the connection is given up",
                    )
                    .with_effect(Effect::NotSent))
                }
                Err(error) => {
                    let error = session.fail(error, Some(&sql)).await;
                    // Whatever became of the connection, the statement has not run.
                    Err(if error.is_disconnected() { error.with_effect(Effect::NotSent) } else { error })
                }
            }
        });
        match task.await {
            Ok(result) => result,
            Err(_) => Err(self.session.gone()),
        }
    }
}

/// A prepare that was cut off with its runtime may yet be sent on another one, and lend its name to the next of the same text.
struct Unfinished(Option<Arc<Session>>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.lose_step("a statement was being prepared when its runtime was shut down");
        }
    }
}

/// When a prepare that fails in a transaction is undone, so that the transaction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    /// Never.
    None,
    /// If other types of parameters may cure the error.
    FromTypes,
    /// Always: the text is not the user's.
    Always,
}

/// A text with a placeholder of its own in each place, where one stands in several.
struct Apart {
    sql: Arc<str>,
    /// The number that each place has in the text as it is.
    numbers: Vec<usize>,
}

impl Apart {
    fn of(sql: &str, dialect: Dialect) -> Option<Self> {
        let places = native_placeholders(sql, dialect).ok()?;
        let number = |place: &Range<usize>| sql.get(place.start + 1..place.end)?.parse().ok().filter(|n| *n > 0);
        let numbers: Vec<usize> = places.iter().map(number).collect::<Option<_>>()?;
        let distinct: HashSet<_> = numbers.iter().collect();
        if distinct.len() == numbers.len() {
            return None;
        }
        let mut apart = String::with_capacity(sql.len() + places.len());
        let mut done = 0;
        for (index, place) in places.iter().enumerate() {
            apart.push_str(&sql[done..place.start]);
            _ = write!(apart, "${}", index + 1);
            done = place.end;
        }
        apart.push_str(&sql[done..]);
        Some(Self { sql: apart.into(), numbers })
    }
}

/// The number in the server's "could not determine data type of parameter $1", in whatever language.
fn placeholder_in(error: &Error) -> Option<usize> {
    let message = error.to_string();
    let (_, number) = message.split_once('$')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    number[..digits].parse().ok().filter(|n| *n > 0)
}

impl Prepared {
    /// Whether `args` would be given this statement, once another row of the batch was.
    pub(crate) fn serves(&self, args: &[Arg]) -> bool {
        args.len() == self.params.len()
            && args.iter().zip(&self.params).enumerate().all(|(index, (arg, param))| {
                let told = self.types.get(index).filter(|ty| **ty != Type::UNKNOWN);
                let Some(told) = told else {
                    // The type of a value is asked for only where it counts: this is done for every row of a batch.
                    return !param.is_text()
                        || matches!(arg.value, Value::Text(_) | Value::Json(_))
                        || hint(arg).is_none_or(|ty| matches!(ty, Type::TEXT | Type::JSON));
                };
                hint(arg).is_none_or(|ty| ty == *told)
            })
    }
}

async fn parse_behind_savepoint(
    client: &Client,
    sql: &str,
    types: &[Type],
    recovery: Recovery,
) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
    // Both are sent before the first answer: `join` polls in order.
    let (savepoint, parsed) =
        futures_util::future::join(client.batch_execute(SAVEPOINT), client.prepare_typed(sql, types)).await;
    savepoint?;
    match &parsed {
        Ok(_) => client.batch_execute(RELEASE).await?,
        Err(error) if recovery == Recovery::Always || may_be_about_types(error.code().map(SqlState::code)) => {
            client.batch_execute(UNDO).await?
        }
        // Nothing can be tried again: the transaction has failed, as it would have without the savepoint.
        Err(_) => {}
    }
    parsed
}

/// Whether no parameter that is text has a value that is none, for which the server would be told its type.
pub(crate) fn suits(params: &[Param], args: &[Arg]) -> bool {
    let is_suited = |(param, arg): (&Param, &Arg)| !param.is_text() || hint(arg).is_none_or(|ty| ty == Type::TEXT);
    params.iter().zip(args).all(is_suited)
}

/// Whether other types of parameters may cure the error.
fn is_about_types(error: &Error) -> bool {
    may_be_about_types(error.code())
}

fn may_be_about_types(code: Option<&str>) -> bool {
    // ambiguous_parameter, indeterminate_datatype, datatype_mismatch, ambiguous_function, undefined_function,
    // cannot_coerce, indeterminate_collation
    matches!(code, Some("42P08" | "42P18" | "42804" | "42725" | "42883" | "42846" | "42P22"))
}

fn says_nothing(types: &[Type]) -> bool {
    types.iter().all(|ty| *ty == Type::UNKNOWN)
}

/// The types to prepare with, where `wanted`.
fn types(args: &[Arg], wanted: impl Fn(usize, &Type) -> bool) -> Vec<Type> {
    let types = args.iter().enumerate().map(|(index, arg)| match hint(arg) {
        Some(ty) if wanted(index, &ty) => ty,
        // For the server the same as no type at all.
        _ => Type::UNKNOWN,
    });
    types.collect()
}

/// The server's type for a value; `None` where the server knows better.
fn hint(arg: &Arg) -> Option<Type> {
    Some(match (&arg.value, arg.kind) {
        (Value::Array(array), _) => return array_hint(array),
        (Value::UInt(value), _) if i64::try_from(*value).is_err() => Type::NUMERIC,
        (Value::Null | Value::Int(_), ValueKind::Int16) => Type::INT2,
        (Value::Null | Value::Int(_), ValueKind::Int32) => Type::INT4,
        (Value::Null | Value::Float(_), ValueKind::Float32) => Type::FLOAT4,
        (Value::Null, kind) => return kind_hint(kind),
        (value, _) => return kind_hint(value.kind()),
    })
}

fn kind_hint(kind: ValueKind) -> Option<Type> {
    Some(match kind {
        ValueKind::Bool => Type::BOOL,
        ValueKind::Int16 => Type::INT2,
        ValueKind::Int32 => Type::INT4,
        ValueKind::Int | ValueKind::UInt => Type::INT8,
        ValueKind::Float32 => Type::FLOAT4,
        ValueKind::Float => Type::FLOAT8,
        ValueKind::Decimal => Type::NUMERIC,
        ValueKind::Text => Type::TEXT,
        ValueKind::Bytes => Type::BYTEA,
        ValueKind::Date => Type::DATE,
        ValueKind::Time => Type::TIME,
        ValueKind::DateTime => Type::TIMESTAMP,
        ValueKind::Timestamp => Type::TIMESTAMPTZ,
        ValueKind::Interval => Type::INTERVAL,
        ValueKind::Uuid => Type::UUID,
        // `jsonb` would give back another text than it was given.
        ValueKind::Json => Type::JSON,
        _ => return None,
    })
}

fn array_hint(array: &Array) -> Option<Type> {
    match array.shape() {
        ArrayShape::Range { .. } | ArrayShape::EmptyRange => range_hint(array),
        ArrayShape::Sequence | ArrayShape::List => array_of(&item_hint(array)?),
        _ => None,
    }
}

/// The type of the items of an array, through all dimensions.
fn item_hint(array: &Array) -> Option<Type> {
    let first = || array.items().iter().find(|item| !item.is_null());
    match array.element_kind() {
        ValueKind::Any | ValueKind::Array => match first()? {
            Value::Array(inner) if inner.shape() == ArrayShape::Sequence => item_hint(inner),
            Value::Array(inner) => range_hint(inner),
            value => scalar_hint(value.kind(), array.items()),
        },
        kind => match first() {
            // What was read says the kind of the innermost items in each dimension.
            Some(Value::Array(inner)) => item_hint(inner),
            _ => scalar_hint(kind, array.items()),
        },
    }
}

fn scalar_hint(kind: ValueKind, values: &[Value]) -> Option<Type> {
    let beyond_i64 = |item: &Value| matches!(item, Value::UInt(value) if i64::try_from(*value).is_err());
    if kind == ValueKind::UInt && values.iter().any(beyond_i64) { Some(Type::NUMERIC) } else { kind_hint(kind) }
}

fn range_hint(range: &Array) -> Option<Type> {
    let first = || range.items().iter().find(|bound| !bound.is_null()).map(Value::kind);
    let kind = match range.element_kind() {
        ValueKind::Any => first()?,
        kind => kind,
    };
    Some(match kind {
        ValueKind::Int16 | ValueKind::Int32 => Type::INT4_RANGE,
        ValueKind::Int | ValueKind::UInt => Type::INT8_RANGE,
        ValueKind::Decimal => Type::NUM_RANGE,
        ValueKind::DateTime => Type::TS_RANGE,
        ValueKind::Timestamp => Type::TSTZ_RANGE,
        ValueKind::Date => Type::DATE_RANGE,
        _ => return None,
    })
}

/// The type of arrays of a type.
pub(crate) fn array_of(item: &Type) -> Option<Type> {
    Some(match *item {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        Type::UUID => Type::UUID_ARRAY,
        Type::JSON => Type::JSON_ARRAY,
        Type::INT4_RANGE => Type::INT4_RANGE_ARRAY,
        Type::INT8_RANGE => Type::INT8_RANGE_ARRAY,
        Type::NUM_RANGE => Type::NUM_RANGE_ARRAY,
        Type::TS_RANGE => Type::TS_RANGE_ARRAY,
        Type::TSTZ_RANGE => Type::TSTZ_RANGE_ARRAY,
        Type::DATE_RANGE => Type::DATE_RANGE_ARRAY,
        _ => return None,
    })
}
