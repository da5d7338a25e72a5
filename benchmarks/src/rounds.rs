//! Rounds that alternate, and medians.

use std::time::Instant;

use crate::Error;

const ROUNDS: usize = 9;

/// One side of a comparison: `count` operations a round.
pub(crate) struct Case<F> {
    pub(crate) count: usize,
    pub(crate) run: F,
}

impl<F: AsyncFn(usize) -> Result<usize, Error>> Case<F> {
    /// Microseconds for one operation.
    async fn round(&self) -> Result<f64, Error> {
        let start = Instant::now();
        let mut weight = 0;
        for i in 0..self.count {
            weight += (self.run)(i).await?;
        }
        std::hint::black_box(weight);
        Ok(start.elapsed().as_secs_f64() * 1e6 / self.count as f64)
    }
}

/// Runs both, a round each in turn, after one round that does not count.
pub(crate) async fn compare<A, B>(name: &str, ours: Case<A>, bare: Case<B>) -> Result<(), Error>
where
    A: AsyncFn(usize) -> Result<usize, Error>,
    B: AsyncFn(usize) -> Result<usize, Error>,
{
    ours.round().await?;
    bare.round().await?;
    let (mut our_times, mut bare_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ours, bare) = (ours.round().await?, bare.round().await?);
        our_times.push(ours);
        bare_times.push(bare);
        ratios.push(ours / bare);
    }
    let (ours, bare, ratio) = (median(&mut our_times), median(&mut bare_times), median(&mut ratios));
    println!("{name:<28} {ours:>9.2} µs {bare:>9.2} µs {ratio:>6.2}x   {:.2} to {:.2}", ratios[0], ratios[ROUNDS - 1]);
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
