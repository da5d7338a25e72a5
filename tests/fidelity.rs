//! `docs/types.md` is a promise for every value: each of its cells is tried on the real server.
//!
//! The samples of a server type lie in `fidelity/{postgres,mysql,sqlite}.rs`, those of a Rust type in `fidelity/rust.rs`. A
//! cell is read: each sample as the Rust type, and what comes out is what the server's text of the sample says, or stored
//! back is the same for the server; else reading it is an error. And it takes: each sample of the Rust type is
//! stored as it is, or storing it is an error and nothing is stored. Any other outcome fails the test, whatever the mark.
//!
//! `UPDATE_FIDELITY=1 scripts/servers --matrix -- cargo test --all-features --test fidelity` writes the marks as found.

#[path = "fidelity/judge.rs"]
mod judge;
#[path = "fidelity/mysql.rs"]
mod mysql;
#[path = "fidelity/postgres.rs"]
mod postgres;
#[path = "fidelity/rust.rs"]
mod rust;
#[path = "fidelity/sqlite.rs"]
mod sqlite;
#[path = "fidelity/table.rs"]
mod table;

use std::io::Write as _;

use databases::types::{Date, DateTime, Decimal, Interval, JsonText, Time, Timestamp, Uuid};
use databases::{Database, Executor, Result};

use judge::{Bench, Family, Judge, Mark, judge};
use rust::{Class, RustType};
use table::{Cell, Cells, Document};

/// A row of a table: a server type.
pub(crate) struct Type {
    /// Its name in the table, and in CREATE TABLE if `column` is `None`.
    name: &'static str,
    column: Option<&'static str>,
    class: Class,
    /// SQL expressions: the extremes, zero, the special values.
    samples: &'static [&'static str],
    more_samples: &'static [&'static str],
    /// SQL for the text of a column's value, with `{}` for the column.
    text: Option<&'static str>,
    /// The same for numbers, where the text is not the one of a decimal number.
    number: Option<&'static str>,
    /// Whether PostgreSQL rounds what is assigned and the backend lets it.
    converts: bool,
    /// The Rust types whose parameters the server converts in another way than literals of them.
    own_way: &'static [&'static str],
    /// SQLite: whether the table is STRICT.
    strict: bool,
    /// Whether the server may be built without it.
    optional: bool,
    /// The Rust type of the last column, and its judge.
    composite: (&'static str, Judge),
}

impl Type {
    fn new(name: &'static str, samples: &'static [&'static str]) -> Self {
        Self {
            name,
            samples,
            more_samples: &[],
            column: None,
            class: Class::Other,
            text: None,
            number: None,
            converts: false,
            own_way: &[],
            strict: false,
            optional: false,
            composite: ("", judge::<Vec<Option<i64>>>()),
        }
    }

    /// A type whose values are text.
    fn text(name: &'static str, samples: &'static [&'static str]) -> Self {
        Self { class: Class::Text, ..Self::new(name, samples) }
    }

    /// A type whose values are bytes.
    fn bytes(name: &'static str, samples: &'static [&'static str]) -> Self {
        Self { class: Class::Bytes, ..Self::new(name, samples) }
    }

    fn and(self, more_samples: &'static [&'static str]) -> Self {
        Self { more_samples, ..self }
    }

    fn column(self, column: &'static str) -> Self {
        Self { column: Some(column), ..self }
    }

    fn shown_by(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }

    fn numbered_by(self, number: &'static str) -> Self {
        Self { number: Some(number), ..self }
    }

    fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    fn composite<T: RustType>(self, name: &'static str) -> Self {
        Self { composite: (name, judge::<T>()), ..self }
    }
}

/// A table: a server.
pub(crate) struct Server {
    heading: &'static str,
    family: Family,
    /// What must exist before the types do; `@` is the name of a schema of its own.
    setup: &'static [&'static str],
    types: Vec<Type>,
}

fn servers() -> [Server; 4] {
    [postgres::server(), mysql::mariadb(), mysql::mysql(), sqlite::server()]
}

const COMPOSITE: &str = "made of others";

/// The columns of every table but the last.
fn columns() -> Vec<(&'static str, Judge)> {
    vec![
        ("bool", judge::<bool>()),
        ("i16", judge::<i16>()),
        ("i32", judge::<i32>()),
        ("i64", judge::<i64>()),
        ("u64", judge::<u64>()),
        ("f32", judge::<f32>()),
        ("f64", judge::<f64>()),
        ("Decimal", judge::<Decimal>()),
        ("String", judge::<String>()),
        ("Vec<u8>", judge::<Vec<u8>>()),
        ("Date", judge::<Date>()),
        ("Time", judge::<Time>()),
        ("DateTime", judge::<DateTime>()),
        ("Timestamp", judge::<Timestamp>()),
        ("Interval", judge::<Interval>()),
        ("Uuid", judge::<Uuid>()),
        ("JsonText", judge::<JsonText>()),
    ]
}

fn column_names() -> Vec<String> {
    columns().iter().map(|(name, _)| (*name).to_owned()).chain([COMPOSITE.to_owned()]).collect()
}

fn say(message: &str) {
    // Past the capture of test output: what is left out is seen without asking.
    let _ = writeln!(std::io::stderr(), "fidelity: {message}");
}

/// Tries every cell of `server` at `db` and compares the marks, or writes them.
async fn check(server: &Server, db: &Database) -> Result<()> {
    let schema = format!("fidelity_{}", std::process::id());
    if server.family == Family::Postgres {
        db.execute(format!("CREATE SCHEMA {schema}"), ()).await?;
    }
    let found = try_cells(server, db, &schema).await;
    if server.family == Family::Postgres {
        db.execute(format!("DROP SCHEMA {schema} CASCADE"), ()).await?;
    }
    let (cells, mut wrong) = found?;

    let mut document = Document::open();
    let (_, mut written) = document.table(server);
    if std::env::var_os("UPDATE_FIDELITY").is_some() {
        written.extend(cells.clone());
        document.write(server, &written);
    } else {
        for (name, found) in &cells {
            let expected = written.get(name).map(Vec::as_slice).unwrap_or_default();
            for (index, (found, column)) in found.iter().zip(column_names()).enumerate() {
                let expected = expected.get(index).cloned().unwrap_or_default();
                for (way, expected, found) in
                    [("read", &expected.read, &found.read), ("take", &expected.take, &found.take)]
                {
                    if expected != found && found != WRONG {
                        wrong.push(format!("{name} x {column}, {way}: the table says `{expected}`, it is `{found}`"));
                    }
                }
            }
        }
    }
    let all: Vec<&Cell> = cells.values().flatten().collect();
    let count = |mark: Mark| {
        let sign = mark.sign().to_string();
        let (read, take) = all
            .iter()
            .fold((0, 0), |(r, t), cell| (r + usize::from(cell.read == sign), t + usize::from(cell.take == sign)));
        format!("`{sign}` {read}/{take}")
    };
    let counts = Mark::ALL.map(count).join(", ");
    say(&format!("{}: {} types, {} cells, read/take: {counts}", server.heading, cells.len(), all.len()));
    assert!(wrong.is_empty(), "{} on {}:\n{}", wrong.len(), server.heading, wrong.join("\n"));
    Ok(())
}

/// Stands where a value came out wrong, which no mark excuses.
const WRONG: &str = "!";

/// The cells of all types that this server has, and what came out wrong.
async fn try_cells(server: &Server, db: &Database, schema: &str) -> Result<(Cells, Vec<String>)> {
    let (mut cells, mut wrong) = (Cells::new(), Vec::new());
    for statement in server.setup {
        if let Err(error) = db.execute(statement.replace('@', schema), ()).await {
            say(&format!("{}: `{statement}`: {error}", server.heading));
        }
    }
    for (index, ty) in server.types.iter().enumerate() {
        let column = ty.column.unwrap_or(ty.name).replace('@', schema);
        let table = match server.family {
            Family::Postgres => format!("{schema}.t{index}"),
            _ => format!("{schema}_{index}"),
        };
        let bench = match Bench::new(db, server.family, ty, &column, &table).await {
            Ok(bench) => bench,
            Err(error) if ty.optional => {
                say(&format!("{}: left out, not on this server: {}: {error}", server.heading, ty.name));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut row = Vec::new();
        let last = (ty.composite.0, ty.composite.1);
        for (rust_type, judge) in columns().into_iter().chain([last]) {
            let found = judge(&bench).await;
            let mut mark = |way: &str, found: std::result::Result<Mark, String>| match found {
                Ok(mark) => mark.sign().to_string(),
                Err(why) => {
                    wrong.push(format!("{} x {rust_type}, {way}: {why}", ty.name));
                    WRONG.to_owned()
                }
            };
            let (read, take) = (mark("read", found.read), mark("take", found.take));
            row.push(Cell { read, take, rust_type: String::new() });
        }
        if let Some(cell) = row.last_mut() {
            cell.rust_type = ty.composite.0.to_owned();
        }
        cells.insert(ty.name.to_owned(), row);
        db.execute(format!("DROP TABLE {table}"), ()).await?;
    }
    Ok((cells, wrong))
}

/// Checks `server` wherever `TEST_DATABASE_URLS` has one of it.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn check_servers(server: &Server, scheme: &str) -> Result<()> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let mut seen = false;
    for url in urls.split(',').map(str::trim).filter(|url| url.starts_with(scheme)) {
        let db = Database::connect(url).await?;
        if db.server_info().await?.product == server.heading {
            seen = true;
            check(server, &db).await?;
        }
        db.close().await?;
    }
    if !seen {
        say(&format!(
            "left out: {} (scripts/servers --matrix starts one, TEST_DATABASE_URLS names one)",
            server.heading
        ));
    }
    Ok(())
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgresql() -> Result<()> {
    check_servers(&postgres::server(), "postgres").await
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mariadb() -> Result<()> {
    check_servers(&mysql::mariadb(), "m").await
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mysql() -> Result<()> {
    check_servers(&mysql::mysql(), "m").await
}

#[tokio::test]
async fn sqlite() -> Result<()> {
    check(&sqlite::server(), &Database::connect("sqlite::memory:").await?).await
}

#[test]
fn every_type_has_its_row_and_the_counts_are_right() {
    let document = Document::open();
    for server in servers() {
        let (header, table) = document.table(&server);
        assert_eq!(header, column_names(), "the columns of {}", server.heading);
        let mut names: Vec<&str> = server.types.iter().map(|ty| ty.name).collect();
        names.sort_unstable();
        assert!(
            table.keys().map(String::as_str).eq(names.iter().copied()),
            "the rows of {}: {names:?}",
            server.heading
        );
        let signs: Vec<String> = Mark::ALL.iter().map(|mark| mark.sign().to_string()).collect();
        for (name, cells) in &table {
            assert_eq!(cells.len(), header.len(), "the cells of {name} on {}", server.heading);
            assert!(
                cells.iter().all(|cell| signs.contains(&cell.read) && signs.contains(&cell.take)),
                "{name}: {cells:?}"
            );
        }
    }
    assert_eq!(document.written_counts(), document.counts(), "UPDATE_FIDELITY=1 counts anew");
}
