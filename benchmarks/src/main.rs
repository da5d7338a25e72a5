//! Point select and 1,000-row fetch, on SQLite also inserts and a stream, this crate beside the bare driver with a cached
//! statement.
//!
//! Rounds of both alternate in one run; what is printed is the median of each and the median ratio. Servers come
//! from `TEST_DATABASE_URLS` (`scripts/bench` starts them); SQLite is a file in WAL and a database in memory.

mod rounds;
mod sqlite;

use databases::{Database, Executor, FromRow, params};

use rounds::{Case, compare};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(FromRow)]
struct Item {
    id: i64,
    name: String,
    price: f64,
    stock: i32,
    active: bool,
}

impl Item {
    fn weight(&self) -> usize {
        self.id as usize + self.name.len() + self.price as usize + self.stock as usize + usize::from(self.active)
    }
}

const ROWS: i64 = 1_000;
const BY_ID: &str = "SELECT id, name, price, stock, active FROM bench_items WHERE id = :id";
const ALL: &str = "SELECT id, name, price, stock, active FROM bench_items";

/// Makes the table; `double` is the server's name for f64.
async fn fill(db: &Database, double: &str) -> Result<(), Error> {
    db.execute("DROP TABLE IF EXISTS bench_items", ()).await?;
    let create = format!(
        "CREATE TABLE bench_items (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL, price {double} NOT NULL, \
         stock INTEGER NOT NULL, active BOOLEAN NOT NULL)"
    );
    db.execute(create, ()).await?;
    let insert = "INSERT INTO bench_items VALUES (:id, :name, :price, :stock, :active)";
    let rows = (0..ROWS).map(|id| {
        params! { id, name: format!("item number {id}"), price: id as f64 * 1.5, stock: (id % 90) as i32, active: id % 2 == 0 }
    });
    db.execute_many(insert, rows).await?;
    Ok(())
}

async fn point(db: &Database, id: i64) -> Result<usize, Error> {
    Ok(db.fetch_one::<Item>(BY_ID, params! { id }).await?.weight())
}

async fn fetch(db: &Database) -> Result<usize, Error> {
    Ok(db.fetch_all::<Item>(ALL, ()).await?.iter().map(Item::weight).sum())
}

async fn postgres(url: &str) -> Result<(), Error> {
    let db = Database::connect(url).await?;
    fill(&db, "DOUBLE PRECISION").await?;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let by_id = client.prepare(&BY_ID.replace(":id", "$1")).await?;
    let all = client.prepare(ALL).await?;
    let read = |row: &tokio_postgres::Row| Item {
        id: row.get(0),
        name: row.get(1),
        price: row.get(2),
        stock: row.get(3),
        active: row.get(4),
    };
    compare(
        "PostgreSQL point select",
        Case { count: 2_000, run: async |i| point(&db, i as i64 % ROWS).await },
        Case {
            count: 2_000,
            run: async |i| Ok(read(&client.query_one(&by_id, &[&(i as i64 % ROWS)]).await?).weight()),
        },
    )
    .await?;
    compare(
        "PostgreSQL fetch 1,000 rows",
        Case { count: 100, run: async |_| fetch(&db).await },
        Case {
            count: 100,
            run: async |_| Ok(client.query(&all, &[]).await?.iter().map(|row| read(row).weight()).sum()),
        },
    )
    .await?;
    db.execute("DROP TABLE bench_items", ()).await?;
    Ok(())
}

async fn mysql(url: &str) -> Result<(), Error> {
    use mysql_async::prelude::Queryable as _;
    let db = Database::connect(url).await?;
    fill(&db, "DOUBLE").await?;
    let name = db.server_info().await?.product;
    let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url)?).prefer_socket(false);
    let bare = tokio::sync::Mutex::new(mysql_async::Conn::new(options).await?);
    let by_id = bare.lock().await.prep(BY_ID.replace(":id", "?")).await?;
    let all = bare.lock().await.prep(ALL).await?;
    let read = |(id, name, price, stock, active)| Item { id, name, price, stock, active };
    compare(
        &format!("{name} point select"),
        Case { count: 2_000, run: async |i| point(&db, i as i64 % ROWS).await },
        Case {
            count: 2_000,
            run: async |i| {
                let row = bare.lock().await.exec_first(&by_id, (i as i64 % ROWS,)).await?;
                Ok(read(row.ok_or("no row")?).weight())
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
                let rows: Vec<(i64, String, f64, i32, bool)> = bare.lock().await.exec(&all, ()).await?;
                Ok(rows.into_iter().map(|row| read(row).weight()).sum())
            },
        },
    )
    .await?;
    db.execute("DROP TABLE bench_items", ()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    println!("{:<28} {:>12} {:>12} {:>7}   spread of the ratio", "workload", "ours", "bare driver", "ratio");
    sqlite::run().await?;
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    for url in urls.split(',').filter(|url| !url.is_empty()) {
        if url.starts_with("postgres") { postgres(url).await? } else { mysql(url).await? }
    }
    Ok(())
}
