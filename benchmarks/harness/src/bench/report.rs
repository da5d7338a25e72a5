//! What is printed, and what is written as JSON and read again.

use std::fs;
use std::path::Path;

use harness::{Result, Round};
use serde::{Deserialize, Serialize};

use super::figures::{Measured, Outcome, Spread, bytes, cpu_nanos, duration, nanos, ratio};
use super::options::Settings;
use super::{Place, Row};

#[derive(Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<RowReport>,
}

/// Where and how it was measured.
#[derive(Deserialize, Serialize)]
pub(crate) struct Machine {
    command: String,
    processor: String,
    cores: usize,
    system: String,
    servers: String,
    rounds: usize,
    millis: u64,
    streamed: u64,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct RowReport {
    name: String,
    server: String,
    tasks: usize,
    connections: usize,
    pinned: bool,
    /// The side that the ratios of all are to: the bare driver, or ours where there is none.
    ratios_to: String,
    sides: Vec<SideReport>,
    goals: Vec<Outcome>,
}

/// Times are nanoseconds of one operation; ratios are of the same round.
#[derive(Deserialize, Serialize)]
struct SideReport {
    side: String,
    nanos: Spread,
    cpu_nanos: Spread,
    time_ratio: Spread,
    cpu_ratio: Spread,
    growth_bytes: Option<u64>,
    /// Of the operations that [`Work::timed`] names: 50th, 99th and 99.9th.
    percentiles: Option<[f64; 3]>,
}

impl Machine {
    pub(crate) fn here(settings: &Settings, servers: &[&str]) -> Self {
        let first = |file: &str, start: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
            line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
        };
        Self {
            command: std::env::var("BENCH_COMMAND").unwrap_or_else(|_| "bench".into()),
            processor: first("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            system: first("/proc/sys/kernel/osrelease", ""),
            servers: servers.join(", "),
            rounds: settings.rounds,
            millis: settings.millis,
            streamed: settings.streamed,
        }
    }
}

impl SideReport {
    fn new(measured: &Measured, measure: &Measured) -> Self {
        let percentile =
            |i: usize| Spread::of(measured.rounds.iter().map(|round: &Round| round.percentiles[i] as f64)).median;
        let mixed = measured.rounds.iter().any(|round| round.percentiles[0] > 0);
        Self {
            side: measured.side.into(),
            nanos: measured.nanos(),
            cpu_nanos: measured.cpu_nanos(),
            time_ratio: ratio(measured, measure, nanos),
            cpu_ratio: ratio(measured, measure, cpu_nanos),
            growth_bytes: measured.growth,
            percentiles: mixed.then(|| [0, 1, 2].map(percentile)),
        }
    }
}

impl RowReport {
    pub(crate) fn new(row: &Row, server: &str, measured: &[Measured]) -> Self {
        let measure = measured.iter().find(|one| one.side.starts_with("bare")).or(measured.first());
        Self {
            name: row.name.into(),
            server: if row.place == Place::Nowhere { String::new() } else { server.into() },
            tasks: row.tasks,
            connections: row.connections,
            pinned: row.pinned,
            ratios_to: measure.map_or_else(String::new, |measure| measure.side.into()),
            sides: measured.iter().zip(measure.into_iter().cycle()).map(|(one, to)| SideReport::new(one, to)).collect(),
            goals: row.goals.iter().map(|goal| goal.judge(&row.goals, measured)).collect(),
        }
    }

    /// The side that the ratios are to.
    fn measure(&self) -> Option<&SideReport> {
        self.sides.iter().find(|side| side.side == self.ratios_to)
    }

    fn title(&self) -> String {
        let server = if self.server.is_empty() { String::new() } else { format!(" [{}]", self.server) };
        format!("{}{server}", self.name)
    }

    pub(crate) fn print(&self) {
        println!("\n{}{}", self.title(), if self.pinned { ", on one core" } else { "" });
        println!("  {:<16} {:>11}  {:<26} {:>7} {:>11} {:>7}", "side", "median", "middle half", "time", "CPU", "CPU");
        for side in &self.sides {
            let Spread { median, low, high } = side.nanos;
            print!(
                "  {:<16} {:>11}  {:<26} {:>6.2}x {:>11} {:>6.2}x",
                side.side,
                duration(median),
                format!("{} to {}", duration(low), duration(high)),
                side.time_ratio.median,
                duration(side.cpu_nanos.median),
                side.cpu_ratio.median,
            );
            if let Some([p50, p99, p999]) = side.percentiles.map(|all| all.map(duration)) {
                print!("  p50 {p50}, p99 {p99}, p99.9 {p999}");
            }
            if let Some(growth) = side.growth_bytes {
                print!("  growth {}", bytes(growth));
            }
            println!();
        }
        for Outcome { target, measured, verdict } in &self.goals {
            println!("  {verdict}: {target}: {measured}");
        }
    }
}

impl Report {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    pub(crate) fn print_verdicts(&self) {
        println!();
        for row in &self.rows {
            for Outcome { target, measured, verdict } in &row.goals {
                println!("{:<60} {target:<52} {measured:<46} {verdict}", row.title());
            }
        }
    }
}

/// The table of docs/performance.md.
pub(crate) fn markdown(report: &Report) -> String {
    let Machine { command, processor, cores, system, servers, rounds, millis, streamed } = &report.machine;
    let mut text = format!(
        "Measured by `{command}` on {cores} cores ({processor}), Linux {system}, {servers}: {rounds} rounds of {millis} ms, a stream of {streamed} \
         rows.\n\n\
         | Work | Bare driver | Others, by time of an operation | Ours | Must reach | Measured |\n|---|---|---|---|---|---|\n"
    );
    for row in &report.rows {
        let Some(measure) = row.measure() else { continue };
        let is_ours = |side: &&SideReport| side.side.starts_with("ours");
        let tail =
            |side: &SideReport| side.percentiles.map_or(String::new(), |all| format!(", p99 {}", duration(all[1])));
        let list = |ours: bool| {
            let sides = row.sides.iter().filter(|side| is_ours(side) == ours && (ours || side.side != measure.side));
            let sides = sides.map(|side| {
                let name = if side.side == "ours" { String::new() } else { format!("{} ", side.side) };
                format!("{name}{:.2}x ({}{})", side.time_ratio.median, duration(side.nanos.median), tail(side))
            });
            sides.collect::<Vec<_>>().join(", ")
        };
        let bare = if measure.side.starts_with("bare") {
            format!("{} {}", measure.side, duration(measure.nanos.median))
        } else {
            "-".into()
        };
        let goals = |part: fn(&Outcome) -> String| row.goals.iter().map(part).collect::<Vec<_>>().join("<br>");
        text.push_str(&format!(
            "| {}{} | {bare} | {} | {} | {} | {} |\n",
            row.title(),
            if row.pinned { ", on one core" } else { "" },
            list(false),
            list(true),
            goals(|goal| goal.target.clone()),
            goals(|goal| format!("{}: {}", goal.measured, goal.verdict)),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    #[test]
    fn every_side_has_its_ratios_to_the_bare_side() -> Result<()> {
        let row = &table::rows()[0];
        let side = |side, nanos: [u64; 3], cpu_nanos| {
            let round = |nanos| Round { operations: 2, nanos, cpu_nanos, ..Round::default() };
            Measured { side, rounds: nanos.map(round).to_vec(), growth: None }
        };
        let all = [side("ours", [20, 30, 90], 5), side("bare", [10, 10, 30], 2), side("sqlx", [10, 20, 30], 10)];
        let json = serde_json::to_value(RowReport::new(row, "a server", &all))?;
        assert_eq!(json["ratios_to"], "bare");
        let figures = |side: &serde_json::Value| {
            let of = |name| {
                [&side[name]["median"], &side[name]["low"], &side[name]["high"]].map(|n| n.as_f64().unwrap_or(0.0))
            };
            (of("time_ratio"), of("cpu_ratio"))
        };
        let found: Vec<_> = json["sides"].as_array().into_iter().flatten().map(figures).collect();
        let same = [1.0; 3];
        assert_eq!(found, [([3.0, 2.0, 3.0], [2.5; 3]), (same, same), ([1.0, 1.0, 2.0], [5.0; 3])]);
        Ok(())
    }
}
