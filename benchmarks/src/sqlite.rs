//! SQLite: a file in WAL, and a database in memory.

use std::path::{Path, PathBuf};

use databases::{Database, Executor, params};
use futures_util::TryStreamExt as _;
use rusqlite::Connection;

use crate::rounds::{Case, compare};
use crate::{ALL, BY_ID, Error, Item, ROWS, fetch, fill, point};

const TASKS: usize = 64;
const INSERT: &str = "INSERT INTO bench_log (name, number) VALUES (:name, :number)";
const MANY: usize = 10_000;
const STREAMED: usize = 1_000_000;

/// A directory of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("databases-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn run() -> Result<(), Error> {
    let folder = Folder::new()?;
    let file = folder.file("reads.db");
    reads("SQLite file", &url(&file, "normal"), Some(&file)).await?;
    reads("SQLite memory", "sqlite::memory:", None).await?;
    for synchronous in ["normal", "full"] {
        inserts(&folder, synchronous).await?;
    }
    bulk(&folder).await
}

fn url(file: &Path, synchronous: &str) -> String {
    format!("sqlite:///{}?synchronous={synchronous}", file.display())
}

/// A bare connection to `file`, set up as ours are, or to a copy of the table in memory.
fn bare(file: Option<&Path>, synchronous: &str) -> Result<Connection, Error> {
    let Some(file) = file else {
        let bare = Connection::open_in_memory()?;
        bare.execute_batch(
            "CREATE TABLE bench_items (id INTEGER PRIMARY KEY, name TEXT, price REAL, stock INTEGER, active BOOLEAN)",
        )?;
        for id in 0..ROWS {
            let values = (id, format!("item number {id}"), id as f64 * 1.5, id % 90, id % 2 == 0);
            bare.execute("INSERT INTO bench_items VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
        }
        return Ok(bare);
    };
    let bare = Connection::open(file)?;
    bare.pragma_update(None, "journal_mode", "wal")?;
    bare.pragma_update(None, "synchronous", synchronous)?;
    Ok(bare)
}

async fn reads(name: &str, url: &str, file: Option<&Path>) -> Result<(), Error> {
    let db = Database::connect(url).await?;
    fill(&db, "REAL").await?;
    let bare = &bare(file, "normal")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Item { id: row.get(0)?, name: row.get(1)?, price: row.get(2)?, stock: row.get(3)?, active: row.get(4)? })
    };
    let by_id = BY_ID.replace(":id", "?1");
    compare(
        &format!("{name} point select"),
        Case { count: 20_000, run: async |i| point(&db, i as i64 % ROWS).await },
        Case {
            count: 20_000,
            run: async |i| {
                let mut statement = bare.prepare_cached(&by_id)?;
                Ok(statement.query_row([i as i64 % ROWS], read)?.weight())
            },
        },
    )
    .await?;
    compare(
        &format!("{name} fetch 1,000 rows"),
        Case { count: 100, run: async |_| fetch(&db).await },
        Case {
            count: 100,
            run: async |_| {
                let mut statement = bare.prepare_cached(ALL)?;
                let items = statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
                Ok(items.iter().map(Item::weight).sum())
            },
        },
    )
    .await
}

const CREATE_LOG: &str = "CREATE TABLE bench_log (id INTEGER PRIMARY KEY, name TEXT NOT NULL, number INTEGER NOT NULL)";

/// One statement per commit: of 64 tasks, and bare in a loop.
async fn inserts(folder: &Folder, synchronous: &str) -> Result<(), Error> {
    let (ours, theirs) = (folder.file(&format!("{synchronous}.db")), folder.file(&format!("{synchronous}-bare.db")));
    let db = Database::connect(url(&ours, synchronous)).await?;
    db.execute(CREATE_LOG, ()).await?;
    let bare = &bare(Some(&theirs), synchronous)?;
    bare.execute_batch(CREATE_LOG)?;
    let each = 100;
    compare(
        &format!("SQLite insert 64 tasks {synchronous}"),
        Case {
            count: 1,
            run: async |_| {
                let mut tasks = tokio::task::JoinSet::new();
                for task in 0..TASKS {
                    let db = db.clone();
                    tasks.spawn(async move {
                        for i in 0..each {
                            let number = (task * each + i) as i64;
                            db.execute(INSERT, params! { name: "a name of some length", number }).await?;
                        }
                        Ok::<_, databases::Error>(each)
                    });
                }
                let mut done = 0;
                while let Some(task) = tasks.join_next().await {
                    done += task??;
                }
                Ok(done)
            },
        },
        Case {
            count: 1,
            run: async |_| {
                for number in 0..(TASKS * each) as i64 {
                    let sql = "INSERT INTO bench_log (name, number) VALUES (?1, ?2)";
                    bare.prepare_cached(sql)?.execute(("a name of some length", number))?;
                }
                Ok(TASKS * each)
            },
        },
    )
    .await
}

/// Many rows in one call.
async fn bulk(folder: &Folder) -> Result<(), Error> {
    let (ours, theirs) = (folder.file("bulk.db"), folder.file("bulk-bare.db"));
    let db = Database::connect(url(&ours, "normal")).await?;
    db.execute(CREATE_LOG, ()).await?;
    let bare = &bare(Some(&theirs), "normal")?;
    bare.execute_batch(CREATE_LOG)?;
    compare(
        "SQLite insert 10,000 rows",
        Case {
            count: 1,
            run: async |_| {
                let rows = (0..MANY).map(|i| params! { name: format!("item number {i}"), number: i as i64 });
                Ok(db.execute_many(INSERT, rows).await? as usize)
            },
        },
        Case {
            count: 1,
            run: async |_| {
                bare.execute_batch("BEGIN IMMEDIATE")?;
                let mut statement = bare.prepare_cached("INSERT INTO bench_log (name, number) VALUES (?1, ?2)")?;
                for i in 0..MANY {
                    statement.execute((format!("item number {i}"), i as i64))?;
                }
                bare.execute_batch("COMMIT")?;
                Ok(MANY)
            },
        },
    )
    .await?;
    let stream = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {STREAMED}) \
         SELECT i, 'item number of a row', i * 1.5 FROM n"
    );
    db.execute(format!("CREATE TABLE bench_many AS {stream}"), ()).await?;
    let many = "SELECT * FROM bench_many";
    let streamed = &self::bare(Some(&ours), "normal")?;
    compare(
        "SQLite stream 1,000,000 rows",
        Case {
            count: 1,
            run: async |_| {
                let mut rows = db.iterate::<(i64, String, f64)>(many, ());
                let mut weight = 0;
                while let Some((id, name, price)) = rows.try_next().await? {
                    weight += id as usize + name.len() + price as usize;
                }
                Ok(weight)
            },
        },
        Case {
            count: 1,
            run: async |_| {
                let mut statement = streamed.prepare_cached(many)?;
                let mut rows = statement.query([])?;
                let mut weight = 0;
                while let Some(row) = rows.next()? {
                    let (id, name, price): (i64, String, f64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    weight += id as usize + name.len() + price as usize;
                }
                Ok(weight)
            },
        },
    )
    .await
}
