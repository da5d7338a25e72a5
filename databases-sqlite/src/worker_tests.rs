use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use databases_core::PoolOptions;
use databases_core::url::{DatabaseUrl, UrlOptions};

use super::*;

const PLAIN: Manner = Manner { interruptible: true, carries_permit: false };

async fn worker() -> Worker {
    let url: DatabaseUrl = "sqlite::memory:".parse().unwrap();
    let config = Config::take(&url, &mut UrlOptions::new(&url), &PoolOptions::default()).unwrap();
    Worker::open(Arc::new(config)).await.unwrap().0
}

fn long_query(session: &mut Session) -> Result<i64, rusqlite::Error> {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    session.connection().query_row(sql, [], |row| row.get(0))
}

#[tokio::test]
async fn a_panic_breaks_the_connection_and_nobody_waits_for_ever() {
    let worker = Arc::new(worker().await);
    let queued = Arc::clone(&worker);
    let (started, has_started) = oneshot::channel();
    let first = tokio::spawn({
        let worker = Arc::clone(&worker);
        async move {
            worker
                .call(PLAIN, move |_| {
                    let _ = started.send(());
                    std::thread::sleep(Duration::from_millis(50));
                    panic!("on purpose");
                })
                .await
        }
    });
    has_started.await.unwrap();
    let second = tokio::spawn(async move { queued.call(PLAIN, |_| ()).await });
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::Internal);
    assert!(second.await.unwrap().is_err());
    assert_eq!(worker.status(), Status::Broken);
    worker.idle().await;
    worker.close().await;
    assert_eq!(worker.call(PLAIN, |_| ()).await.unwrap_err().kind(), ErrorKind::Disconnected);
}

#[tokio::test]
async fn a_dropped_call_stops_its_own_job_and_no_other() {
    let worker = worker().await;
    for round in 0..200u64 {
        // The job is dropped before, while or after it runs.
        let (reply, result) = oneshot::channel();
        let mut ticket = worker
            .submit(PLAIN, move |session| {
                let value = if round % 4 == 0 { long_query(session) } else { Ok(0) };
                Box::new(move || drop(reply.send(value)))
            })
            .unwrap();
        let next = worker.call(PLAIN, |session| {
            let sql =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT count(*) FROM n";
            session.connection().query_row(sql, [], |row| row.get::<_, i64>(0))
        });
        let mut next = std::pin::pin!(next);
        // Puts it in the queue.
        let first_poll = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx))).await;
        assert!(first_poll.is_pending() || round % 4 != 0);
        std::thread::sleep(Duration::from_micros(round * 7 % 300));
        ticket.cancel();
        if first_poll.is_pending() {
            assert_eq!(next.await.unwrap().unwrap(), 20_000, "round {round}");
        }
        drop(result);
    }
    assert_eq!(worker.status(), Status::Idle);
}

#[tokio::test]
async fn a_queued_job_that_is_dropped_never_runs() {
    let worker = worker().await;
    let (reply, _result) = oneshot::channel();
    let blocker = worker
        .submit(PLAIN, move |session| {
            let value = long_query(session);
            Box::new(move || drop(reply.send(value)))
        })
        .unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    let queued = worker
        .submit(PLAIN, {
            let ran = Arc::clone(&ran);
            move |_| {
                ran.store(true, Ordering::Relaxed);
                Box::new(|| ())
            }
        })
        .unwrap();
    assert_eq!(worker.status(), Status::Busy);
    drop(queued);
    let start = Instant::now();
    drop(blocker);
    worker.idle().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(worker.status(), Status::Idle);
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn dropping_outside_a_runtime_ends_the_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let worker = runtime.block_on(worker());
    drop(runtime);
    let shared = Arc::clone(&worker.shared);
    drop(worker);
    let start = Instant::now();
    while !shared.lock().ended {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
}
