//! One side at work: rounds on demand.

use std::fmt;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::str::FromStr;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Error, Plan, Result, Work};

/// What one task uses. A side implements it once, for all works that it does.
pub trait Client: Send + Sized + 'static {
    /// Opens one client for each of `plan.tasks`, together on `plan.connections` connections, with the plan's statement prepared.
    fn open(plan: &Plan) -> impl Future<Output = Result<Vec<Self>>> + Send;

    /// Runs statements separated by semicolons.
    fn script(&mut self, sql: &str) -> impl Future<Output = Result<()>> + Send;

    /// Does operation number `i` of `work`; returns something of every value, so that none is optimised away.
    fn run(&mut self, work: Work, i: i64) -> impl Future<Output = Result<usize>> + Send;
}

/// What a round took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Round {
    /// Operations done.
    pub operations: u64,
    /// Time from the first's start to the last's end.
    pub nanos: u64,
    /// CPU time of the whole process.
    pub cpu_nanos: u64,
    /// The most bytes that were allocated beyond those at the start; zero without an allocator that counts.
    pub growth: u64,
    /// 50th, 99th and 99.9th percentile of single operations, in nanoseconds; zero unless the work is mixed.
    pub percentiles: [u64; 3],
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999] = self.percentiles;
        write!(f, "{} {} {} {} {p50} {p99} {p999}", self.operations, self.nanos, self.cpu_nanos, self.growth)
    }
}

impl FromStr for Round {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [operations, nanos, cpu_nanos, growth, p50, p99, p999] = numbers[..] else {
            return Err(format!("expected the seven numbers of a round, found {line:?}").into());
        };
        Ok(Self { operations, nanos, cpu_nanos, growth, percentiles: [p50, p99, p999] })
    }
}

/// A side that takes longer for a round, or to open, hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// Opens the clients of `plan`, then does a round of as many milliseconds as each line of standard input says.
///
/// One task runs on a runtime of one thread; several on one of as many as there are cores. `memory` is the process' allocator, if it
/// is one that counts.
///
/// # Errors
///
/// Whatever fails first.
pub fn serve<C: Client>(plan: &Plan, memory: Option<&PeakAlloc>) -> Result<()> {
    let mut builder = if plan.tasks == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build()?.block_on(async {
        let mut clients = timeout(LONGEST, C::open(plan)).await??;
        if let Some(sql) = plan.preparation() {
            clients[0].script(&sql).await?;
        }
        let holder = match plan.work {
            Work::Locks => {
                let alone = Plan { work: Work::Lock, tasks: 1, connections: 1, ..plan.clone() };
                C::open(&alone).await?.pop()
            }
            _ => None,
        };
        if let Some(mut holder) = holder {
            tokio::spawn(async move { while holder.run(Work::Lock, 0).await.is_ok() {} });
        }
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let length = Duration::from_millis(line?.trim().parse()?);
            if let Some(sql) = plan.reset() {
                clients[0].script(&sql).await?;
            }
            let round = timeout(LONGEST, round(&mut clients, plan.work, length, memory)).await;
            println!("{}", round.map_err(|_| format!("a round was not over after {LONGEST:?}"))??);
            std::io::stdout().flush()?;
        }
        Ok(())
    })
}

/// One round: every client repeats the work until `length` is over.
async fn round<C: Client>(
    clients: &mut Vec<C>,
    work: Work,
    length: Duration,
    memory: Option<&PeakAlloc>,
) -> Result<Round> {
    let mut all = Vec::with_capacity(clients.len()); // Before the allocator is asked.
    let allocated = memory.map(|memory| {
        memory.reset_peak_usage();
        memory.current_usage()
    });
    let cpu = cpu_nanos();
    let start = Instant::now();
    if let [client] = &mut clients[..] {
        all.push(repeat(client, work, 0, start + length).await?);
    } else {
        let mut tasks = JoinSet::new();
        for (task, mut client) in (0..).zip(clients.drain(..)) {
            tasks.spawn(async move { (repeat(&mut client, work, task * APART, start + length).await, client) });
        }
        while let Some(ended) = tasks.join_next().await {
            let (done, client) = ended?;
            all.push(done?);
            clients.push(client);
        }
    }
    let nanos = start.elapsed().as_nanos() as u64;
    let cpu_nanos = cpu_nanos() - cpu;
    let growth = memory.zip(allocated).map_or(0, |(memory, before)| memory.peak_usage().saturating_sub(before) as u64);
    let operations = all.iter().map(|done| done.operations).sum();
    let mut times: Vec<u64> = all.into_iter().flat_map(|done| done.times).collect();
    times.sort_unstable();
    let percentiles = [500, 990, 999].map(|part| times.get(times.len() * part / 1000).copied().unwrap_or(0));
    Ok(Round { operations, nanos, cpu_nanos, growth, percentiles })
}

#[derive(Default)]
struct Done {
    operations: u64,
    times: Vec<u64>,
}

/// The clock is read about once in a millisecond, since it costs a good part of the shortest operations.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// How far apart tasks begin to count, so that they do not all do the same at the same time.
const APART: i64 = 17;

/// Operations number `first`, `first + 1`, … until `end`, at least one.
async fn repeat<C: Client>(client: &mut C, work: Work, first: i64, end: Instant) -> Result<Done> {
    let mut done = Done::default();
    let (mut i, mut weight, mut chunk) = (first, 0, 1);
    let mut looked = Instant::now();
    loop {
        for _ in 0..chunk {
            let now = work.at(i);
            let start = (work.timed() == Some(now)).then(Instant::now);
            weight = usize::wrapping_add(weight, client.run(now, i).await?);
            if let Some(start) = start {
                done.times.push(start.elapsed().as_nanos() as u64);
            }
            i += 1;
        }
        done.operations += chunk;
        let now = Instant::now();
        if now >= end {
            break;
        }
        // Few operations at a time where they are slow or of mixed length, so that all tasks end together.
        chunk = if now - looked < BETWEEN_LOOKS && work.timed().is_none() {
            (chunk * 2).min(4096)
        } else {
            1.max(chunk / 2)
        };
        looked = now;
    }
    black_box(weight);
    Ok(done)
}

fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_read_as_it_was_written() -> Result<()> {
        let round = Round { operations: 1, nanos: 2, cpu_nanos: 3, growth: 4, percentiles: [5, 6, 7] };
        assert_eq!(round.to_string().parse::<Round>()?, round);
        assert!("1 2 3".parse::<Round>().is_err());
        Ok(())
    }
}
