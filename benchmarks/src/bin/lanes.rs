//! Many tasks on few PostgreSQL connections: lanes on and off beside the bare driver, each task with a connection of its
//! own for each statement, or all sharing some. Then what statements that are slow or blocked cost the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use databases::{Database, Executor, params};
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls, Statement};

type Error = Box<dyn std::error::Error + Send + Sync>;

const TASKS: usize = 64;
const CONNECTIONS: usize = 8;
const ROWS: i64 = 1_000;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(600);

const SELECT: &str = "SELECT id, name, price, stock, active FROM bench_lanes WHERE id = :id";
const INSERT: &str = "INSERT INTO bench_lanes_new (id, name) VALUES (:id, 'a name')";
const UPDATE: &str = "UPDATE bench_lanes SET stock = stock + 1 WHERE id = :id";

/// Connections of the bare driver with both statements prepared.
struct Bare {
    clients: Vec<(Client, Statement, Statement)>,
    /// Where each statement has a connection alone.
    idle: Option<(Semaphore, std::sync::Mutex<Vec<usize>>)>,
}

impl Bare {
    async fn open(url: &str, count: usize, alone: bool) -> Result<Arc<Self>, Error> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let select = client.prepare(&SELECT.replace(":id", "$1")).await?;
            let insert = client.prepare(&INSERT.replace(":id", "$1")).await?;
            clients.push((client, select, insert));
        }
        let idle = alone.then(|| (Semaphore::new(count), std::sync::Mutex::new((0..count).collect())));
        Ok(Arc::new(Self { clients, idle }))
    }

    async fn run(&self, task: usize, i: usize, writes: bool) -> Result<usize, Error> {
        let mut permit = None;
        let at = match &self.idle {
            Some((semaphore, idle)) => {
                permit = Some(semaphore.acquire().await?);
                idle.lock().expect("not poisoned").pop().expect("as many as permits")
            }
            None => task % self.clients.len(),
        };
        let (client, select, insert) = &self.clients[at];
        let done = if writes {
            client.execute(insert, &[&(i as i64)]).await? as usize
        } else {
            let row = client.query_one(select, &[&(i as i64 % ROWS)]).await?;
            let (id, name): (i64, String) = (row.get(0), row.get(1));
            let (price, stock, active): (f64, i32, bool) = (row.get(2), row.get(3), row.get(4));
            id as usize + name.len() + price as usize + stock as usize + usize::from(active)
        };
        if let Some((_, idle)) = &self.idle {
            idle.lock().expect("not poisoned").push(at);
        }
        drop(permit);
        Ok(done)
    }
}

async fn ours(db: &Database, i: usize, writes: bool) -> Result<usize, Error> {
    if writes {
        return Ok(db.execute(INSERT, params! { id: i as i64 }).await?.rows_affected() as usize);
    }
    let (id, name, price, stock, active): (i64, String, f64, i32, bool) =
        db.fetch_one(SELECT, params! { id: i as i64 % ROWS }).await?;
    Ok(id as usize + name.len() + price as usize + stock as usize + usize::from(active))
}

/// Runs `one(task, i)` on all tasks for a round; the operations per second.
async fn round<F>(one: impl Fn(usize, usize) -> F + Clone + Send + Sync + 'static) -> Result<f64, Error>
where
    F: Future<Output = Result<usize, Error>> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let one = one.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while start.elapsed() < ROUND {
                    one(task, task + count * TASKS).await?;
                    count += 1;
                }
                Ok::<_, Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn throughput(url: &str, writes: bool) -> Result<(), Error> {
    let options = |lanes| Database::builder(url).max_connections(CONNECTIONS).lanes(lanes).connect();
    let (on, off) = (options(true).await?, options(false).await?);
    let bare = [
        ("bare, 8 alone", Bare::open(url, CONNECTIONS, true).await?),
        ("bare, 1 shared", Bare::open(url, 1, false).await?),
        ("bare, 2 shared", Bare::open(url, 2, false).await?),
        ("bare, 8 shared", Bare::open(url, CONNECTIONS, false).await?),
    ];
    let mut names = vec!["ours, lanes", "ours, lanes off"];
    names.extend(bare.iter().map(|(name, _)| *name));
    let mut rates = vec![Vec::new(); names.len()];
    for number in 0..=ROUNDS {
        if writes {
            on.execute("TRUNCATE bench_lanes_new", ()).await?;
        }
        let mut found = Vec::new();
        for db in [&on, &off] {
            let db = db.clone();
            found.push(
                round(move |_, i| {
                    let db = db.clone();
                    async move { ours(&db, i, writes).await }
                })
                .await?,
            );
        }
        for (_, bare) in &bare {
            let bare = bare.clone();
            found.push(
                round(move |task, i| {
                    let bare = bare.clone();
                    async move { bare.run(task, i, writes).await }
                })
                .await?,
            );
        }
        // The first round does not count.
        if number > 0 {
            rates.iter_mut().zip(found).for_each(|(rates, found)| rates.push(found));
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    println!("{}, {TASKS} tasks", if writes { "insert" } else { "point select" });
    for (name, rate) in names.iter().zip(&medians) {
        println!("  {name:<18} {rate:>9.0}/s   lanes are {:.2}x", medians[0] / rate);
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What one statement in a hundred that sleeps for 50 ms, or waits for a lock as long, costs the others.
async fn disturbed(url: &str, blocked: bool) -> Result<(), Error> {
    println!("fast statements beside 1 % {}", if blocked { "that wait for a row lock" } else { "that sleep 50 ms" });
    for (name, lanes, share) in [
        ("undisturbed", true, 0),
        ("lanes", true, 1),
        ("lanes off", false, 1),
        ("lanes", true, 1),
        ("lanes off", false, 1),
    ] {
        let db = Database::builder(url).max_connections(CONNECTIONS).lanes(lanes).connect().await?;
        let over = Arc::new(AtomicBool::new(false));
        let locker = tokio::spawn({
            let (url, over) = (url.to_owned(), over.clone());
            async move {
                let db = Database::connect(&url).await?;
                while blocked && !over.load(Relaxed) {
                    let tx = db.begin().await?;
                    tx.execute(UPDATE, params! { id: 0_i64 }).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    tx.commit().await?;
                }
                Ok::<_, Error>(())
            }
        });
        let start = Instant::now();
        let tasks: Vec<_> = (0..16)
            .map(|task: usize| {
                let db = db.clone();
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    let mut i = task * 7;
                    while start.elapsed() < Duration::from_secs(3) {
                        i += 1;
                        let disturbs = i % 100 < share;
                        if disturbs && !blocked {
                            db.execute("SELECT pg_sleep(0.05)", ()).await?;
                            continue;
                        }
                        let id = if disturbs { 0 } else { (1 + (task * 50 + i % 50) as i64) % ROWS };
                        let began = Instant::now();
                        if blocked {
                            db.execute(UPDATE, params! { id }).await?;
                        } else {
                            ours(&db, id as usize, false).await?;
                        }
                        if !disturbs {
                            times.push(began.elapsed().as_secs_f64() * 1e3);
                        }
                    }
                    Ok::<_, Error>(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        over.store(true, Relaxed);
        locker.await??;
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        println!(
            "  {name:<12} {:>7}/s   p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
            times.len() / 3,
            at(0.5),
            at(0.99),
            at(0.999)
        );
        db.close().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let url =
        urls.split(',').find(|url| url.starts_with("postgres")).ok_or("TEST_DATABASE_URLS names no PostgreSQL")?;
    let db = Database::connect(url).await?;
    db.execute_script(
        "DROP TABLE IF EXISTS bench_lanes, bench_lanes_new; CREATE TABLE bench_lanes (id bigint PRIMARY KEY, name text, \
         price double precision, stock integer, active boolean); CREATE TABLE bench_lanes_new (id bigint, name text); \
         INSERT INTO bench_lanes SELECT n, 'item number ' || n, n * 1.5, n % 90, n % 2 = 0 FROM generate_series(0, 999) n; \
         ANALYZE bench_lanes",
    )
    .await?;
    throughput(url, false).await?;
    throughput(url, true).await?;
    disturbed(url, false).await?;
    disturbed(url, true).await
}
