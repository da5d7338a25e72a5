//! What the command line says.

use std::path::PathBuf;

use harness::Result;

use super::Row;

pub(crate) const HELP: &str = "\
bench [OPTION…]          runs the table; scripts/bench builds what it needs, starts the servers, and calls it
  --quick                7 short rounds, a stream of 100,000 rows, and only the rows and sides that a target names
  --only TEXT            only rows whose name holds TEXT; may be given several times
  --rounds N             rounds of each side (9; never fewer than 7)
  --millis N             length of a round in milliseconds (200)
  --json FILE            writes all figures there
  --list                 prints the rows' names
  --markdown FILE        prints the table of a JSON file
";

pub(crate) enum Options {
    Help,
    List,
    Markdown(PathBuf),
    Run { settings: Settings, json: Option<PathBuf> },
}

pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    /// Rows of a stream.
    pub(crate) streamed: u64,
    /// Only rows with a target, and only sides that one names.
    pub(crate) quick: bool,
    only: Vec<String>,
}

/// Fewer do not give a median that can be trusted.
const FEWEST_ROUNDS: usize = 7;

impl Options {
    pub(crate) fn from_args() -> Result<Self> {
        let mut settings = Settings { rounds: 9, millis: 200, streamed: 1_000_000, quick: false, only: Vec::new() };
        let mut json = None;
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--help" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--markdown" => return Ok(Self::Markdown(value()?.into())),
                "--quick" => settings = Settings { rounds: 7, millis: 150, streamed: 100_000, quick: true, ..settings },
                "--only" => settings.only.push(value()?),
                "--rounds" => settings.rounds = value()?.parse::<usize>()?.max(FEWEST_ROUNDS),
                "--millis" => settings.millis = value()?.parse()?,
                "--json" => json = Some(value()?.into()),
                _ => return Err(format!("unknown option {arg}; --help lists them").into()),
            }
        }
        Ok(Self::Run { settings, json })
    }
}

impl Settings {
    pub(crate) fn wants(&self, row: &Row) -> bool {
        let asked_for = self.only.is_empty() || self.only.iter().any(|text| row.name.contains(text));
        asked_for && !(self.quick && row.goals.is_empty())
    }
}
