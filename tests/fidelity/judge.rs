//! What becomes of the values of one cell on a real server.

use std::fmt::{self, Write as _};

use databases::{Database, ErrorKind, Executor, Params, Result, Row, params};
use futures_util::future::BoxFuture;

use crate::rust::{Class, Literal, RustType, unhex};

/// A family of servers with one way to say things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Postgres,
    MySql,
    Sqlite,
}

/// What becomes of the values of a type in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Every value, exactly.
    Exact,
    /// Those that fit, exactly; for the others an error.
    Checked,
    /// In another form, of text or of bytes; an error for what does not have the form.
    Form,
    /// The server converts what is bound, as it does its own literals.
    Converted,
    /// An error.
    Refused,
}

impl Mark {
    pub(crate) const ALL: [Self; 5] = [Self::Exact, Self::Checked, Self::Form, Self::Converted, Self::Refused];

    pub(crate) fn sign(self) -> char {
        match self {
            Self::Exact => '=',
            Self::Checked => '>',
            Self::Form => 't',
            Self::Converted => '~',
            Self::Refused => '-',
        }
    }
}

/// How the values of a cell are read and taken; an error says which value came out wrong.
pub(crate) struct Found {
    pub(crate) read: Result<Mark, String>,
    pub(crate) take: Result<Mark, String>,
}

/// Judges the cell of one server type and one Rust type.
pub(crate) type Judge = for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Found>;

/// The judge for the Rust type `T`.
pub(crate) fn judge<T: RustType>() -> Judge {
    |bench| Box::pin(async { Found { read: bench.read::<T>().await, take: bench.take::<T>().await } })
}

/// One server type: a table `(id, a, b)` with two columns of it. Samples lie in `a` under the ids from 1, NULL under 0; `b` is
/// for what is bound.
pub(crate) struct Bench<'a> {
    db: &'a Database,
    family: Family,
    class: Class,
    /// Whether the server converts to this type in an assignment, where the backend cannot see that it does.
    converts: bool,
    own_way: &'static [&'static str],
    table: &'a str,
    /// SQL for the text of a column's value, with `{}` for the column.
    text: &'a str,
    number: Option<&'a str>,
    /// The server's texts of the samples, and with the numbers that they stand for.
    texts: Vec<(String, Option<String>)>,
    /// The samples, and at last NULL; an error if the server or the backend does not give them out.
    rows: Result<Vec<Row>>,
}

/// The first id of what is bound.
const BOUND: i64 = 1_000;

impl<'a> Bench<'a> {
    /// Makes the table and stores the samples, which are SQL expressions.
    pub(crate) async fn new(
        db: &'a Database,
        family: Family,
        row: &'a crate::Type,
        column: &str,
        table: &'a str,
    ) -> Result<Self> {
        let null = if family == Family::MySql { "NULL" } else { "" };
        let strict = if row.strict { " STRICT" } else { "" };
        db.execute(format!("CREATE TABLE {table} (id INTEGER, a {column} {null}, b {column} {null}){strict}"), ())
            .await?;
        for (id, sample) in (1..).zip(row.samples.iter().chain(row.more_samples)) {
            db.execute(format!("INSERT INTO {table} (id, a) VALUES ({id}, {sample})"), ()).await?;
        }
        db.execute(format!("INSERT INTO {table} (id, a) VALUES (0, NULL)"), ()).await?;
        let text = row.text.unwrap_or(match family {
            Family::Postgres => "{}::text",
            Family::MySql => "CAST({} AS CHAR)",
            // CAST writes 15 digits of a REAL.
            Family::Sqlite => {
                "CASE typeof({}) WHEN 'real' THEN printf('%!.17g', {}) WHEN 'blob' THEN hex({}) ELSE CAST({} AS TEXT) END"
            }
        });
        let texts = format!(
            "SELECT {}, {} FROM {table} WHERE id > 0 ORDER BY id",
            text.replace("{}", "a"),
            number(row.number, "a")
        );
        let rows = format!("SELECT a FROM {table} ORDER BY id = 0, id");
        Ok(Self {
            db,
            family,
            class: row.class,
            converts: family != Family::Postgres || row.converts,
            own_way: row.own_way,
            table,
            text,
            number: row.number,
            texts: db.fetch_all(texts, ()).await?,
            rows: db.fetch_all(rows, ()).await,
        })
    }

    /// Whether values take another form between the server and `T`.
    fn changes_form<T: RustType>(&self) -> bool {
        T::CLASS != self.class
    }

    /// Whether `value` is what the server's `text` says, of bytes also what the bytes say as text. BINARY(n) has zeros at its end.
    fn agree<T: RustType>(&self, value: &T, (text, number): &(String, Option<String>)) -> bool {
        let text = number.as_ref().filter(|_| T::NUMBER).unwrap_or(text);
        value.agrees(text) || self.class == Class::Bytes && as_text(text).is_some_and(|text| value.agrees(&text))
    }

    async fn read<T: RustType>(&self) -> Result<Mark, String> {
        let rows = match &self.rows {
            Ok(rows) => rows,
            Err(error) if error.kind() == ErrorKind::Internal => return Err(format!("{error:?}")),
            Err(_) => return Ok(Mark::Refused),
        };
        let (null, samples) = rows.split_last().expect("the row of NULL");
        if !matches!(null.get::<Option<T>>(0), Ok(None)) {
            return Err("NULL is not read as None".to_owned());
        }
        let (mut right, mut refused) = (0, 0);
        for (index, row) in samples.iter().enumerate() {
            let said = &self.texts[index];
            let text = &said.0;
            match row.get::<T>(0) {
                Ok(value) if self.agree(&value, said) => right += 1,
                Ok(value) => match self.goes_back(index + 1, value.clone()).await {
                    Ok(true) => right += 1,
                    Ok(false) => return Err(format!("{} is read as {}", short(text), short(value))),
                    Err(error) => {
                        return Err(format!(
                            "{} is read as {}, which goes nowhere: {error}",
                            short(text),
                            short(value)
                        ));
                    }
                },
                Err(error) if error.kind() == ErrorKind::Decode => refused += 1,
                Err(error) => return Err(format!("reading {}: {error:?}", short(text))),
            }
        }
        Ok(match (right, refused) {
            (0, _) => Mark::Refused,
            // Of text and bytes only some have the form of `T`; that is no matter of range.
            _ if self.changes_form::<T>() && (refused == 0 || self.class != Class::Other) => Mark::Form,
            (_, 0) => Mark::Exact,
            _ => Mark::Checked,
        })
    }

    /// Whether the sample under `id`, read as `value` and stored beside itself, is the same for the server.
    async fn goes_back<T: RustType>(&self, id: usize, value: T) -> Result<bool> {
        let Self { db, table, .. } = self;
        db.execute(format!("UPDATE {table} SET b = :v WHERE id = :id"), params! { v: value, id: id as i64 }).await?;
        self.is_same(id as i64).await
    }

    /// Whether both columns hold the same value.
    async fn is_same(&self, id: i64) -> Result<bool> {
        let text = |column| self.text.replace("{}", column);
        let same = match self.family {
            Family::Postgres => format!("{} IS NOT DISTINCT FROM {}", text("a"), text("b")),
            // Texts are the same to a collation that are not the same.
            Family::MySql => format!("HEX({}) <=> HEX({})", text("a"), text("b")),
            Family::Sqlite => "a IS b AND typeof(a) = typeof(b)".to_owned(),
        };
        self.db.fetch_val(format!("SELECT {same} FROM {} WHERE id = :id", self.table), params! { id }).await
    }

    async fn take<T: RustType>(&self) -> Result<Mark, String> {
        let texts: Vec<T> = self.texts.iter().filter_map(|(text, _)| T::from_text(text, self.class)).collect();
        let of_the_type = texts.len();
        let (mut right, mut converted, mut refused, mut refused_of_the_type) = (0, 0, 0, 0);
        let mut wrong = Vec::new();
        for (index, value) in texts.into_iter().chain(T::samples()).enumerate() {
            match self.store(BOUND + index as i64, value.clone()).await {
                Ok(Stored::Right) => right += 1,
                Ok(Stored::Converted) => converted += 1,
                Ok(Stored::Wrong(what)) => wrong.push(format!("{} is stored as {what}", short(value))),
                Ok(Stored::Refused) => {
                    refused += 1;
                    refused_of_the_type += usize::from(index < of_the_type);
                }
                Err(error) => wrong.push(format!("storing {}: {error:?}", short(value))),
            }
        }
        match self.count_and_clear::<T>(right + converted + wrong.len()).await {
            Ok(complaint) => wrong.extend(complaint),
            Err(error) => wrong.push(format!("{error:?}")),
        }
        match () {
            () if !wrong.is_empty() => Err(wrong.join("; ")),
            () if right + converted == 0 => Ok(Mark::Refused),
            () if converted > 0 => Ok(Mark::Converted),
            () if self.changes_form::<T>() && refused_of_the_type == 0 => Ok(Mark::Form),
            () if refused == 0 => Ok(Mark::Exact),
            () => Ok(Mark::Checked),
        }
    }

    async fn store<T: RustType>(&self, id: i64, value: T) -> Result<Stored> {
        let Self { db, table, .. } = self;
        let insert = format!("INSERT INTO {table} (id, b) VALUES (:id, :v)");
        if let Err(error) = db.execute(insert, Params::new().with("id", id).with("v", value.clone())).await {
            let fault = error.is_disconnected() || matches!(error.kind(), ErrorKind::Internal | ErrorKind::PoolTimeout);
            return if fault { Err(error) } else { Ok(Stored::Refused) };
        }
        let bound = params! { id };
        let (text, number) = (self.text.replace("{}", "b"), number(self.number, "b"));
        let said = format!("SELECT {text}, {number} FROM {table} WHERE id = :id");
        let (text, number) = db.fetch_one::<(Option<String>, Option<String>)>(said, bound.clone()).await?;
        let Some(text) = text else { return Ok(Stored::Wrong("NULL".to_owned())) };
        let said = (text, number);
        if self.agree(&value, &said) {
            return Ok(Stored::Right);
        }
        match db.fetch_val::<T>(format!("SELECT b FROM {table} WHERE id = :id"), bound.clone()).await {
            Ok(read) if read.same(&value) => return Ok(Stored::Right),
            Err(error) if error.kind() == ErrorKind::Internal => return Err(error),
            _ => {}
        }
        let name = std::any::type_name::<T>().rsplit("::").next();
        if self.own_way.iter().any(|own| Some(*own) == name) {
            return Ok(Stored::Converted);
        }
        // PostgreSQL has one text for a value, and reads text itself where the type is not known here. Elsewhere the server
        // may convert what is bound; then it must do so as it does with its own literals.
        let is_text = self.family == Family::Postgres && self.changes_form::<T>();
        let literal = value.literal().filter(|_| is_text || self.converts);
        let Some(literal) = literal else { return Ok(Stored::Wrong(short(&said.0))) };
        let typed = if T::CLASS == Class::Text { "" } else { T::POSTGRES };
        let update = format!("UPDATE {table} SET a = {} WHERE id = :id", self.write(literal, typed));
        Ok(match db.execute(update, bound).await {
            Ok(_) if self.is_same(id).await? => {
                if is_text {
                    Stored::Right
                } else {
                    Stored::Converted
                }
            }
            Ok(_) => Stored::Wrong(format!("{}, unlike its literal", short(&said.0))),
            Err(error) => Stored::Wrong(format!("{}, its literal is refused: {error}", short(&said.0))),
        })
    }

    /// The literal as SQL text.
    fn write(&self, literal: Literal, postgres: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let digits = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            })
        };
        match (self.family, literal) {
            (Family::Postgres, Literal::Bytes(bytes)) => format!("'\\x{}'::bytea", digits(&bytes)),
            (
                Family::Postgres,
                Literal::Number(text)
                | Literal::Decimal(text)
                | Literal::Quoted(text)
                | Literal::Typed(_, text)
                | Literal::Span(text, _),
            ) => {
                let typed = if postgres.is_empty() { String::new() } else { format!("::{postgres}") };
                quoted(&text) + &typed
            }
            (Family::MySql, Literal::Decimal(text)) => quoted(&text),
            (_, Literal::Number(text) | Literal::Decimal(text)) => text,
            // A parameter has microseconds or none.
            (Family::MySql, Literal::Typed(keyword, text)) => {
                let text = text.split_once('.').map_or(text.clone(), |(whole, part)| format!("{whole}.{part:0<6}"));
                format!("{keyword}{}", quoted(&text))
            }
            // No escapes to think of, and text all the same.
            (Family::MySql, Literal::Quoted(text)) => format!("_utf8mb4 X'{}'", digits(text.as_bytes())),
            (Family::MySql, Literal::Bytes(bytes)) => format!("_binary X'{}'", digits(&bytes)),
            (Family::MySql, Literal::Span(_, Some(text))) => format!("TIME{}", quoted(&text)),
            (_, Literal::Quoted(text) | Literal::Typed(_, text) | Literal::Span(text, _)) => quoted(&text),
            (Family::Sqlite, Literal::Bytes(bytes)) => format!("X'{}'", digits(&bytes)),
        }
    }

    /// Takes away what was bound. A complaint if it was more than was said, or if a NULL of the type is not NULL.
    async fn count_and_clear<T: RustType>(&self, said: usize) -> Result<Option<String>> {
        let Self { db, table, .. } = self;
        let stored: i64 = db.fetch_val(format!("SELECT count(*) FROM {table} WHERE id >= {BOUND}"), ()).await?;
        db.execute(format!("DELETE FROM {table} WHERE id >= {BOUND}"), ()).await?;
        if stored != said as i64 {
            return Ok(Some(format!("{stored} values are stored, {said} were said to be")));
        }
        if said > 0 {
            db.execute(format!("UPDATE {table} SET b = :v WHERE id = 0"), params! { v: None::<T> }).await?;
            let is_null: i64 =
                db.fetch_val(format!("SELECT count(*) FROM {table} WHERE id = 0 AND b IS NULL"), ()).await?;
            return Ok((is_null == 0).then(|| "None is not stored as NULL".to_owned()));
        }
        Ok(None)
    }
}

/// SQL for the number in `column`, or for none.
fn number(template: Option<&str>, column: &str) -> String {
    template.unwrap_or("NULL").replace("{}", column)
}

enum Stored {
    Right,
    Converted,
    Refused,
    /// What the server has in its place.
    Wrong(String),
}

/// The text that bytes in hexadecimal digits are.
fn as_text(digits: &str) -> Option<String> {
    let text = String::from_utf8(unhex(digits)?).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// A value as far as a message has room for it.
fn short(value: impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
