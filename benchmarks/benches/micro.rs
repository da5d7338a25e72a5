//! What one call costs beside the driver: rewriting, binding, decoding, and the pool. Needs no server.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use databases::{Database, Executor, FromRow, FromValue, Row, params};
use databases_core::sql::{Dialect, Template, TemplateCache, scan};
use harness::REWRITTEN;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SHORT: &str = "SELECT id, name, price, stock, active FROM bench_items WHERE id = :id";

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("rewrite");
    for (name, sql) in [("short", SHORT), ("long", REWRITTEN)] {
        group.throughput(Throughput::Bytes(sql.len() as u64));
        group.bench_with_input(BenchmarkId::new("miss", name), sql, |b, sql| {
            b.iter(|| scan(black_box(sql), Dialect::POSTGRES))
        });
        let cache = TemplateCache::new();
        group.bench_with_input(BenchmarkId::new("hit", name), sql, |b, sql| {
            b.iter(|| cache.get_or_scan(black_box(sql), Dialect::POSTGRES));
        });
    }
}

fn template(sql: &str) -> Template {
    scan(sql, Dialect::POSTGRES).expect("the text is well-formed")
}

fn binding(c: &mut Criterion) {
    let mut group = c.benchmark_group("bind");
    let (one, six) = (template(SHORT), template(REWRITTEN));
    group.bench_function("1 value", |b| b.iter(|| params! { id: black_box(7_i64) }.bind(&one, false)));
    group.bench_function("6 values", |b| {
        b.iter(|| {
            let values = params! { state: "placed", since: 7_i64, low: 1.5, high: 99.5, limit: 20_i64, offset: black_box(0_i64) };
            values.bind(&six, false)
        });
    });
    let list = template("SELECT id FROM bench_items WHERE id IN (:ids)");
    let ids: Vec<i64> = (0..100).collect();
    group.bench_function("list of 100", |b| b.iter(|| params! { ids: black_box(ids.clone()) }.bind(&list, false)));
}

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

const ROW: &str = "SELECT 7 AS id, 'item number 7' AS name, 10.5 AS price, 3 AS stock, TRUE AS active";

fn decoding(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let row: Row = runtime
        .block_on(async {
            let db = Database::connect("sqlite::memory:").await?;
            db.fetch_one(ROW, ()).await
        })
        .expect("a row");
    let mut group = c.benchmark_group("decode a row of 5 columns");
    group.bench_function("into a struct", |b| b.iter(|| Item::from_row(black_box(&row)).map(|item| item.weight())));
    group.bench_function("into a tuple", |b| b.iter(|| <(i64, String, f64, i32, bool)>::from_row(black_box(&row))));
    group.bench_function("by name", |b| b.iter(|| black_box(&row).get::<i64>("stock")));
    group.bench_function("borrowed text", |b| b.iter(|| black_box(&row).get_ref(1).map(|value| value.is_null())));
    group.bench_function("a value", |b| b.iter(|| black_box(&row).get_ref(1).and_then(String::from_value)));
}

/// Takes a connection and gives it back, `times` times by each of `tasks`.
async fn take_and_give(db: &Database, tasks: u64, times: u64) -> databases::Result<Duration> {
    let start = Instant::now();
    if tasks == 1 {
        for _ in 0..times {
            drop(black_box(db.acquire().await?));
        }
        return Ok(start.elapsed());
    }
    let mut all = JoinSet::new();
    for _ in 0..tasks {
        let db = db.clone();
        all.spawn(async move {
            for _ in 0..times.div_ceil(tasks) {
                drop(black_box(db.acquire().await?));
            }
            Ok::<_, databases::Error>(())
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.expect("no task panics")?;
    }
    Ok(start.elapsed())
}

fn pool(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let file = std::env::temp_dir().join(format!("databases-micro-{}.db", std::process::id()));
    let db = runtime
        .block_on(Database::connect(format!("sqlite:///{}?max_connections=8", file.display())))
        .expect("a file in a folder that can be written");
    let mut group = c.benchmark_group("pool, 8 connections");
    for tasks in [1, 64] {
        group.bench_function(format!("get and put, {tasks} tasks"), |b| {
            b.iter_custom(|times| runtime.block_on(take_and_give(&db, tasks, times)).expect("a connection"));
        });
    }
    group.finish();
    runtime.block_on(db.close()).expect("no connection is in use");
    for ending in ["", "-wal", "-shm"] {
        // Closing the last connection has removed the other two already, if all went well.
        let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
    }
}

criterion_group!(micro, rewrite, binding, decoding, pool);
criterion_main!(micro);
