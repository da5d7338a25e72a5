//! The same sides, with an allocator that counts.

use harness::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> harness::Result<()> {
    benchmarks::serve(Some(&ALLOCATOR))
}
