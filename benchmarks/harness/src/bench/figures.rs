//! From rounds to medians, ratios and verdicts.

use std::fmt;

use harness::{REWRITTEN, Round};
use serde::{Deserialize, Serialize};

/// A median, and between what the middle half lies.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Self::default() };
        Self { median: values[values.len() / 2], low: values[last / 4], high: values[last - last / 4] }
    }
}

/// All rounds of one side.
pub(crate) struct Measured {
    pub(crate) side: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// The most bytes beyond those at the start, where an allocator counted.
    pub(crate) growth: Option<u64>,
}

impl Measured {
    /// Time of one operation.
    pub(crate) fn nanos(&self) -> Spread {
        Spread::of(self.rounds.iter().map(nanos))
    }

    pub(crate) fn cpu_nanos(&self) -> Spread {
        Spread::of(self.rounds.iter().map(cpu_nanos))
    }
}

/// Time of one operation.
pub(crate) fn nanos(round: &Round) -> f64 {
    round.nanos as f64 / round.operations as f64
}

/// CPU time of one operation.
pub(crate) fn cpu_nanos(round: &Round) -> f64 {
    round.cpu_nanos as f64 / round.operations as f64
}

/// One figure of each round of `ours` by the same of `other` in the same round.
pub(crate) fn ratio(ours: &Measured, other: &Measured, figure: impl Fn(&Round) -> f64) -> Spread {
    Spread::of(ours.rounds.iter().zip(&other.rounds).map(|(ours, other)| figure(ours) / figure(other)))
}

/// What a side must reach.
pub(crate) struct Goal {
    pub(crate) of: &'static str,
    /// The fastest of these is the measure.
    pub(crate) against: &'static [&'static str],
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// At most so many times the time of an operation.
    Time(f64),
    /// At least so many times the operations in a time.
    Speed(f64),
    /// At most so many times the CPU time of an operation.
    Cpu(f64),
    /// At most so many nanoseconds of CPU time.
    Nanos(f64),
    /// At least so much text scanned in a time of the CPU.
    GigabytesPerSecond(f64),
    /// At most so many bytes allocated at a time.
    Growth(u64),
}

/// By what a goal was judged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// The target lies within the spread of the times, and the CPU time reaches it.
    ReachedByCpu,
    MissedByCpu,
    NotMeasured,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reached => "reached",
            Self::Missed => "MISSED",
            Self::ReachedByCpu => "reached by CPU time",
            Self::MissedByCpu => "MISSED by CPU time",
            Self::NotMeasured => "NOT MEASURED",
        })
    }
}

/// A goal and what became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

impl Goal {
    /// `goals` are all of the row: one of them may be the limit of the CPU time where this one's clock cannot tell.
    pub(crate) fn judge(&self, goals: &[Goal], all: &[Measured]) -> Outcome {
        let target = self.target();
        let find = |side: &str| all.iter().find(|measured| measured.side == side);
        let fastest = self.against.iter().filter_map(|side| find(side));
        let fastest = fastest.min_by(|a, b| a.nanos().median.total_cmp(&b.nanos().median));
        let judged = find(self.of).and_then(|ours| match (self.bound, fastest) {
            (Bound::Time(bound), Some(other)) => Some(by_time(ours, other, bound, false, self.cpu_limit(goals))),
            (Bound::Speed(bound), Some(other)) => Some(by_time(ours, other, bound, true, self.cpu_limit(goals))),
            (Bound::Cpu(bound), Some(other)) => {
                let cpu = ratio(ours, other, cpu_nanos);
                Some((times(cpu), decide(cpu.median <= bound)))
            }
            (Bound::Nanos(bound), _) => {
                let nanos = ours.cpu_nanos().median;
                Some((duration(nanos), decide(nanos <= bound)))
            }
            (Bound::GigabytesPerSecond(bound), _) => {
                let speed = REWRITTEN.len() as f64 / ours.cpu_nanos().median;
                Some((format!("{speed:.2} GB/s"), decide(speed >= bound)))
            }
            (Bound::Growth(bound), _) => ours.growth.map(|growth| (bytes(growth), decide(growth <= bound))),
            (Bound::Time(_) | Bound::Speed(_) | Bound::Cpu(_), None) => None,
        });
        let (measured, verdict) = judged.unwrap_or_else(|| ("-".into(), Verdict::NotMeasured));
        Outcome { target, measured, verdict }
    }

    /// The row's own target for the CPU time of the same sides.
    fn cpu_limit(&self, goals: &[Goal]) -> Option<f64> {
        let same = goals.iter().filter(|goal| goal.of == self.of && goal.against == self.against);
        same.into_iter().find_map(|goal| match goal.bound {
            Bound::Cpu(limit) => Some(limit),
            _ => None,
        })
    }

    fn target(&self) -> String {
        let of = if self.of == "ours" { String::new() } else { format!("{}: ", self.of) };
        let against = match self.against {
            [] => String::new(),
            [side] => format!(" of {side}"),
            sides => format!(" of the best of {}", sides.join(", ")),
        };
        let bound = match self.bound {
            Bound::Time(bound) => format!("time <= {bound:.2}x"),
            Bound::Speed(bound) => format!("speed >= {bound:.2}x"),
            Bound::Cpu(bound) => format!("CPU <= {bound:.2}x"),
            Bound::Nanos(bound) => format!("<= {bound:.0} ns"),
            Bound::GigabytesPerSecond(bound) => format!(">= {bound:.1} GB/s"),
            Bound::Growth(0) => "no allocation".into(),
            Bound::Growth(bound) => format!("growth <= {}", bytes(bound)),
        };
        format!("{of}{bound}{against}")
    }
}

fn decide(reached: bool) -> Verdict {
    if reached { Verdict::Reached } else { Verdict::Missed }
}

/// `as_speed`: `bound` is the least ratio of speeds, and not the greatest of times. `cpu_limit`: the greatest ratio of CPU times, if it is
/// not that of the times.
fn by_time(ours: &Measured, other: &Measured, bound: f64, as_speed: bool, cpu_limit: Option<f64>) -> (String, Verdict) {
    let turn = |of: &dyn Fn(&Round) -> f64| {
        if as_speed { ratio(other, ours, of) } else { ratio(ours, other, of) }
    };
    let time = turn(&nanos);
    let reached = |median: f64| if as_speed { median >= bound } else { median <= bound };
    if time.low <= bound && bound <= time.high {
        let (cpu, reached) = match cpu_limit {
            Some(limit) => {
                let cpu = ratio(ours, other, cpu_nanos);
                (cpu, cpu.median <= limit)
            }
            None => {
                let cpu = turn(&cpu_nanos);
                (cpu, reached(cpu.median))
            }
        };
        let verdict = if reached { Verdict::ReachedByCpu } else { Verdict::MissedByCpu };
        return (format!("{}; CPU {}", times(time), times(cpu)), verdict);
    }
    (times(time), decide(reached(time.median)))
}

fn times(Spread { median, low, high }: Spread) -> String {
    format!("{median:.2}x ({low:.2} to {high:.2})")
}

pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

pub(crate) fn duration(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.1} ns"),
        ..1e6 => format!("{:.2} µs", nanos / 1e3),
        ..1e9 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(side: &'static str, nanos: [u64; 7], cpu_nanos: u64) -> Measured {
        let round = |nanos| Round { operations: 1, nanos, cpu_nanos, ..Round::default() };
        Measured { side, rounds: nanos.map(round).to_vec(), growth: None }
    }

    /// The verdict of the first of `bounds`.
    fn judge<const N: usize>(bounds: [Bound; N], ours: Measured) -> Verdict {
        let all = [ours, side("bare", [100; 7], 50)];
        let goals = bounds.map(|bound| Goal { of: "ours", against: &["bare"], bound });
        goals[0].judge(&goals, &all).verdict
    }

    #[test]
    fn the_median_decides_where_the_spread_allows() {
        let ours = || side("ours", [104, 103, 90, 104, 105, 104, 300], 500);
        assert_eq!(judge([Bound::Time(1.06)], ours()), Verdict::Reached);
        assert_eq!(judge([Bound::Time(1.02)], ours()), Verdict::Missed);
        assert_eq!(judge([Bound::Speed(0.9)], ours()), Verdict::Reached);
        assert_eq!(judge([Bound::Speed(1.0)], ours()), Verdict::Missed);
    }

    #[test]
    fn cpu_time_decides_where_the_spread_does_not() {
        let ours = |cpu| side("ours", [80, 90, 95, 101, 120, 130, 140], cpu);
        assert_eq!(judge([Bound::Time(1.06)], ours(51)), Verdict::ReachedByCpu);
        assert_eq!(judge([Bound::Speed(1.0)], ours(51)), Verdict::MissedByCpu);
    }

    #[test]
    fn a_cpu_target_of_the_row_decides_where_the_spread_does_not() {
        let ours = |cpu| side("ours", [80, 90, 95, 101, 120, 130, 140], cpu);
        for first in [Bound::Time(1.06), Bound::Speed(1.0)] {
            assert_eq!(judge([first, Bound::Cpu(1.15)], ours(57)), Verdict::ReachedByCpu);
            assert_eq!(judge([first, Bound::Cpu(1.15)], ours(58)), Verdict::MissedByCpu);
        }
        let other = Goal { of: "ours", against: &["deadpool"], bound: Bound::Cpu(1.15) };
        let goal = Goal { of: "ours", against: &["bare"], bound: Bound::Time(1.06) };
        let all = [ours(57), side("bare", [100; 7], 50)];
        assert_eq!(
            goal.judge(&[other], &all).verdict,
            Verdict::MissedByCpu,
            "a target beside another side says nothing"
        );
    }

    #[test]
    fn ratios_are_those_of_each_round() {
        let ours = side("ours", [100, 200, 300, 400, 500, 600, 700], 10);
        let bare = side("bare", [100, 100, 100, 200, 250, 600, 100], 5);
        let time = ratio(&ours, &bare, nanos);
        assert_eq!((time.median, time.low, time.high), (2.0, 1.0, 3.0));
        assert_eq!(ratio(&ours, &bare, cpu_nanos).median, 2.0);
    }

    #[test]
    fn what_is_missing_is_not_measured() {
        assert_eq!(judge([Bound::Growth(1)], side("ours", [1; 7], 1)), Verdict::NotMeasured);
        assert_eq!(judge([Bound::Time(1.0)], side("other", [1; 7], 1)), Verdict::NotMeasured);
    }
}
