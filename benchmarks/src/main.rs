//! The sides of the comparison, timed.

fn main() -> harness::Result<()> {
    benchmarks::serve(None)
}
