//! Runs every work of the table beside the bare driver and others, and says what was reached. `scripts/bench` starts it.

mod bench;

fn main() -> harness::Result<()> {
    bench::main()
}
