//! `execute_many` has the meaning of one execution per row, however its rows are sent.

use super::proxy::Proxy;
use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::params::Params;
use crate::value::{IntoValue as _, Value};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

async fn count(db: &impl Executor, t: &str) -> Result<i64> {
    db.fetch_val(format!("SELECT count(*) FROM {t}"), ()).await
}

/// Everything in a table of whole numbers and texts, as text.
async fn contents(db: &Pool, t: &str, columns: &str) -> Result<Vec<(Option<i64>, Option<i64>, Option<String>)>> {
    db.fetch_all(format!("SELECT {columns} FROM {t} ORDER BY 1, 2, 3"), ()).await
}

/// Runs the same rows by `execute_many` and one by one, into tables that `create` makes with `{t}` for the name, and
/// compares what comes of it.
async fn compare(f: &Fixture, create: &str, insert: &str, rows: Vec<Params<'static>>) -> Result<()> {
    let db = f.pool()?;
    let mut found = Vec::new();
    for many in [true, false] {
        let t = f.table("same");
        db.execute_script(&create.replace("{t}", &t)).await?;
        let insert = insert.replace("{t}", &t);
        let affected = if many {
            db.execute_many(&insert, rows.clone()).await
        } else {
            let tx = db.begin().await?;
            let mut sum = Ok(0);
            for (index, row) in rows.iter().enumerate() {
                let done = tx.execute(&insert, row).await.map_err(|error| error.with_batch_index(index));
                sum = done.and_then(|done| Ok(sum? + done.rows_affected()));
                if sum.is_err() {
                    break;
                }
            }
            if sum.is_ok() {
                tx.commit().await?
            } else {
                tx.rollback().await?
            }
            sum
        };
        let affected = affected.map_err(|error| (error.kind(), error.batch_index()));
        found.push((affected, contents(&db, &t, "id, n, body").await?));
    }
    assert!(found[0] == found[1], "{insert}\nby execute_many {:?}\none by one {:?}", found[0], found[1]);
    Ok(())
}

fn create(f: &Fixture, rest: &str) -> String {
    let i64 = f.types.i64;
    format!("CREATE TABLE {{t}} (id {i64}, n {i64}, body {}{rest})", f.types.short_text)
}

pub async fn execute_many_leaves_what_a_loop_leaves(f: &Fixture) -> Result<()> {
    let upsert = f.pick(
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body) ON CONFLICT (id) DO UPDATE SET n = {t}.n + EXCLUDED.n, body = EXCLUDED.body",
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body) ON DUPLICATE KEY UPDATE n = {t}.n + VALUES(n), body = VALUES(body)",
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body) ON CONFLICT (id) DO UPDATE SET n = {t}.n + EXCLUDED.n, body = EXCLUDED.body",
    );
    let ignore = f.pick(
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body) ON CONFLICT DO NOTHING",
        "INSERT IGNORE INTO {t} (id, n, body) VALUES (:id, :n, :body)",
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body) ON CONFLICT DO NOTHING",
    );
    let statements = [
        "INSERT INTO {t} (id, n, body) VALUES (:id, :n, :body)",
        "INSERT INTO {t} VALUES (:id, :n, :body)",
        "INSERT INTO {t} (body, id, n) VALUES (:body, :id, :id) -- done",
        "INSERT INTO {t} (id, n, body) VALUES (:id, -7, :body)",
        "INSERT INTO {t} (body, id, n) VALUES (NULL, :id, :n)",
        "INSERT INTO {t} (id, n, body) SELECT :id, (:n), :body",
        upsert,
        ignore,
    ];
    for seed in 0..24 {
        let mut random = Random(seed);
        let statement = statements[(seed % 8) as usize];
        let keyed = random.below(3) > 0 || statement == upsert || statement == ignore;
        let create = create(f, if keyed { ", PRIMARY KEY (id)" } else { "" });
        let rows = [1, 7, 9, 40, 300][random.below(5) as usize];
        let ids = if statement == upsert || statement == ignore { rows / 2 + 1 } else { rows * 2_000 };
        let mixed = random.below(3);
        let rows = (0..rows).map(|_| {
            let id = random.below(ids) as i64;
            let n = match random.below(5) {
                0 => None::<i64>.into_value(),
                1 if mixed == 1 => Value::Int(i64::MAX / 4),
                2 if mixed == 2 => (random.below(9) as i32).into_value(),
                _ => (random.below(1_000) as i64).into_value(),
            };
            let body = match random.below(4) {
                0 => None,
                _ => Some("é'\\,{}\"".repeat(random.below(9) as usize)),
            };
            let named = |name: &str| statement.contains(&format!(":{name}"));
            let mut row = params! { id };
            if named("n,") || named("n)") {
                row.push("n", n);
            }
            if named("body") {
                row.push("body", body);
            }
            row
        });
        let rows = rows.collect();
        compare(f, &create, statement, rows).await?;
    }
    Ok(())
}

pub async fn execute_many_fires_triggers_row_by_row(f: &Fixture) -> Result<()> {
    let body = f.pick(
        "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SELECT count(*) INTO NEW.n FROM {t}; RETURN NEW; END $$; \
         CREATE TRIGGER {t}_g BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {t}_f()",
        "CREATE TRIGGER {t}_g BEFORE INSERT ON {t} FOR EACH ROW SET NEW.n = (SELECT count(*) FROM {t})",
        "CREATE TRIGGER {t}_g AFTER INSERT ON {t} BEGIN UPDATE {t} SET n = (SELECT count(*) - 1 FROM {t}) WHERE id = NEW.id; END",
    );
    let rows = (0..50).map(|id: i64| params! { id, body: "x" }).collect();
    let create = format!("{}; {body}", create(f, ""));
    compare(f, &create, "INSERT INTO {t} (id, body) VALUES (:id, :body)", rows).await
}

pub async fn execute_many_checks_keys_to_its_own_table_row_by_row(f: &Fixture) -> Result<()> {
    let create = create(f, ", PRIMARY KEY (id), FOREIGN KEY (n) REFERENCES {t} (id)");
    let insert = "INSERT INTO {t} (id, n) VALUES (:id, :n)";
    // Each row before the one that it names, and the other way round.
    let rows = (0..40).map(|id: i64| params! { id, n: Some(id + 1).filter(|n| *n < 40) });
    compare(f, &create, insert, rows.clone().collect()).await?;
    compare(f, &create, insert, rows.rev().collect()).await
}

pub async fn execute_many_gives_defaults_and_keys_that_count_up(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.table("counted");
    let (i64, text, key) = (f.types.i64, f.types.short_text, f.types.key);
    db.execute(
        format!(
            "CREATE TABLE {t} (id {key}, n {i64} DEFAULT 7, body {text}, m {i64} GENERATED ALWAYS AS (n + 1) STORED)"
        ),
        (),
    )
    .await?;
    let insert = format!("INSERT INTO {t} (body) VALUES (:body)");
    assert_eq!(db.execute_many(&insert, (0..600).map(|body| params! { body: format!("{body:03}") })).await?, 600);
    let rows: Vec<(i64, i64, i64, String)> =
        db.fetch_all(format!("SELECT id, n, m, body FROM {t} ORDER BY id"), ()).await?;
    assert_eq!(rows.len(), 600);
    for (at, (id, n, m, body)) in rows.into_iter().enumerate() {
        assert_eq!((id, n, m, body), (at as i64 + 1, 7, 8, format!("{at:03}")));
    }
    assert_eq!(db.execute(insert, params! { body: "next" }).await?.rows_affected(), 1);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT max(id) FROM {t}"), ()).await?, 601);
    Ok(())
}

pub async fn execute_many_names_a_bad_row_wherever_it_is(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, :n)");
    db.execute(&insert, params! { id: -1, n: 0 }).await?;
    const ROWS: i64 = 30_000;
    for bad in [0, 1, 9, 777, 14_321, ROWS - 1] {
        let ids = (0..ROWS).map(|id| params! { id: if id == bad { -1 } else { id }, n: id });
        let error = fails(db.execute_many(&insert, ids).await, ErrorKind::UniqueViolation);
        assert_eq!(error.batch_index(), Some(bad as usize), "{error:?}");
        assert_eq!(count(&db, &t).await?, 1);
        // The server has no room for this one, which is found out here or there.
        let rows = (0..ROWS).map(|id| {
            let n = if id == bad { Value::UInt(u64::MAX) } else { Value::Int(id) };
            Params::new().with("id", id).with("n", n)
        });
        let error = db.execute_many(&insert, rows).await.expect_err("a number that does not fit");
        assert_eq!(error.batch_index(), Some(bad as usize), "{error:?}");
        assert_eq!(count(&db, &t).await?, 1);
    }
    let tx = db.begin().await?;
    tx.execute(&insert, params! { id: -2, n: 0 }).await?;
    let ids = (0..3_000).map(|id| params! { id: id % 2_500, n: id });
    let error = fails(tx.execute_many(&insert, ids).await, ErrorKind::UniqueViolation);
    assert_eq!(error.batch_index(), Some(2_500), "{error:?}");
    assert_eq!(tx.execute_many(&insert, (0..3_000).map(|id| params! { id, n: id })).await?, 3_000);
    tx.commit().await?;
    assert_eq!(count(&db, &t).await?, 3_002);
    Ok(())
}

pub async fn execute_many_takes_more_parameters_than_a_statement(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    let rows = (0..35_000).map(|id: i64| params! { id, body: "x" });
    assert_eq!(db.execute_many(&insert, rows).await?, 35_000);
    let sum: i64 =
        db.fetch_val(format!("SELECT CAST(sum(id) AS {}) FROM {t}", f.pick("BIGINT", "SIGNED", "BIGINT")), ()).await?;
    assert_eq!(sum, 35_000 * 34_999 / 2);
    Ok(())
}

pub async fn execute_many_takes_rows_of_many_columns(f: &Fixture) -> Result<()> {
    const PARAMETERS: i64 = 149;
    let db = f.pool()?;
    let t = f.table("wide");
    let list = |each: &dyn Fn(i64) -> String| (0..PARAMETERS).map(each).collect::<Vec<_>>().join(", ");
    let i64 = f.types.i64;
    db.execute(format!("CREATE TABLE {t} ({}, fixed {i64})", list(&|n| format!("c{n} {i64}"))), ()).await?;
    // With a literal in it a row has no other form than VALUES, of which a statement has room for fewer than it may hold.
    let insert = format!("INSERT INTO {t} VALUES ({}, 7)", list(&|n| format!(":c{n}")));
    let row = |id: i64| (0..PARAMETERS).fold(Params::new(), |row, n| row.with(format!("c{n}"), id * PARAMETERS + n));
    assert_eq!(db.execute_many(&insert, (0..1_000).map(row)).await?, 1_000);
    let columns = format!("c{}, c0", PARAMETERS - 1);
    let found: Vec<(i64, i64)> =
        db.fetch_all(format!("SELECT {columns} FROM {t} WHERE fixed = 7 ORDER BY c0"), ()).await?;
    assert!(found.into_iter().eq((0..1_000).map(|id| ((id + 1) * PARAMETERS - 1, id * PARAMETERS))));
    Ok(())
}

pub async fn execute_many_skips_what_its_rows_return(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    if !f.capabilities().returning && f.product(&db).await? != "MariaDB" {
        f.not_claimed("RETURNING");
        return Ok(());
    }
    let t = f.keyed(&db).await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0) RETURNING id, n");
    for (from, to) in [(0, 1), (1, 3), (3, 1_003)] {
        let rows = (from..to).map(|id: i64| params! { id });
        assert_eq!(db.execute_many(&insert, rows).await?, (to - from) as u64);
        assert_eq!(count(&db, &t).await?, to);
    }
    let error = db.execute_many(&insert, [2_000, 2_001, 5].map(|id: i64| params! { id })).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::UniqueViolation, Some(2)), "{error:?}");
    assert_eq!(count(&db, &t).await?, 1_003);
    Ok(())
}

pub async fn execute_many_takes_large_rows(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    let lengths: Vec<usize> = (0..60).map(|id| if id % 13 == 5 { 3_000_000 } else { id * 100 }).collect();
    let rows = lengths.iter().enumerate().map(|(id, length)| params! { id: id as i64, body: "y".repeat(*length) });
    assert_eq!(db.execute_many(&insert, rows).await?, 60);
    let found: Vec<(i64,)> = db.fetch_all(format!("SELECT length(body) FROM {t} ORDER BY id"), ()).await?;
    assert!(found.into_iter().map(|(length,)| length as usize).eq(lengths));
    Ok(())
}

pub async fn execute_many_dropped_half_way_leaves_all_or_nothing(f: &Fixture) -> Result<()> {
    // What the dropped call has left under way is over before its connection is used again.
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.keyed(&db).await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    for polls in [1, 2, 3, 5, 8, 13, 21] {
        let rows = (0..12_000).map(|id: i64| params! { id });
        let mut many = Box::pin(db.execute_many(&insert, rows));
        let mut left = polls;
        let done = std::future::poll_fn(|cx| {
            left -= 1;
            match many.as_mut().poll(cx) {
                std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
                std::task::Poll::Pending => std::task::Poll::Ready(None),
                std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
            }
        })
        .await;
        drop(many);
        let left = count(&db, &t).await?;
        match done {
            Some(result) => assert_eq!((result?, left), (12_000, 12_000)),
            // It may have been dropped when its COMMIT was on its way.
            None => assert!([0, 12_000].contains(&left), "{left} rows after {polls} polls"),
        }
        db.execute(format!("DELETE FROM {t}"), ()).await?;
    }
    // An iterator that is left in the middle.
    let endless = (0..).map(|id: i64| params! { id });
    let many = db.execute_many(&insert, endless);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(100), many).await.is_err());
    assert_eq!(count(&db, &t).await?, 0);
    Ok(())
}

pub async fn execute_many_stops_at_its_timeout(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.keyed(&db).await?;
    let insert = format!("INSERT INTO {t} (id, n) VALUES (:id, 0)");
    let query = crate::query::sql(insert).timeout(std::time::Duration::from_millis(150));
    let endless = (0..).map(|id: i64| params! { id });
    fails(db.execute_many(query, endless).await, ErrorKind::StatementTimeout);
    assert_eq!(count(&db, &t).await?, 0);
    Ok(())
}

/// A pool of one connection behind a proxy that counts.
async fn counted(f: &Fixture) -> Result<Option<(Proxy, Pool)>> {
    let Some(proxy) = f.proxy().await? else {
        f.not_claimed("round trips");
        return Ok(None);
    };
    let db = f.pool_config(&proxy.url(f.url())?, |options| options.max_connections = Some(1), |_| {})?;
    Ok(Some((proxy, db)))
}

pub async fn execute_many_of_1000_inserts_takes_few_round_trips(f: &Fixture) -> Result<()> {
    let Some((proxy, db)) = counted(f).await? else { return Ok(()) };
    let t = f.notes(&db).await?;
    let insert = format!("INSERT INTO {t} (id, body) VALUES (:id, :body)");
    // An early answer to the first of what was sent together counts as a round trip too, so the least of some runs counts.
    let mut least = usize::MAX;
    // BEGIN and COMMIT are two; MySQL's texts are of 512, 256, 128, 64, 32 and 8 rows.
    let most = f.pick(3, 8, 0);
    for round in 0..12 {
        let _ = proxy.take_traffic();
        let rows = (0..1_000).map(|id: i64| params! { id, body: "x" });
        assert_eq!(db.execute_many(&insert, rows).await?, 1_000);
        let trips = proxy.take_traffic().round_trips;
        if round > 0 {
            least = least.min(trips);
        }
        if least <= most {
            return Ok(());
        }
    }
    panic!("{least} round trips and not {most}");
}
