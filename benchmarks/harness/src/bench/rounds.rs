//! Starts the sides of a row and has them do rounds in turn.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use harness::{Error, Result, Round};

use super::figures::{Bound, Measured};
use super::options::Settings;
use super::pin::Pinned;
use super::{Place, Row};

/// A server, or a place for SQLite's files.
pub(crate) struct Server {
    pub(crate) name: String,
    /// None where each side has a file of its own.
    url: Option<String>,
    pid: Option<i32>,
}

/// Servers, folders and programs.
pub(crate) struct Ground<'a> {
    settings: &'a Settings,
    servers: Vec<(Place, Server)>,
    /// In memory, if the system has such a folder; and on a disk.
    folders: [Folder; 2],
    programs: PathBuf,
    prepared: RefCell<HashSet<String>>,
}

impl<'a> Ground<'a> {
    /// Servers are those of `TEST_DATABASE_URLS`, as `scripts/servers` gives them.
    pub(crate) fn new(settings: &'a Settings) -> Result<Self> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let (urls, names, pids) =
            (variable("TEST_DATABASE_URLS"), variable("TEST_SERVERS"), variable("TEST_SERVER_PIDS"));
        let mut names = names.split("; ").map(short_name);
        let mut pids = pids.split(',').map(|pid| pid.parse().ok());
        let servers = urls.split(',').filter(|url| !url.is_empty()).map(|url| {
            let place = if url.starts_with("postgres") { Place::Postgres } else { Place::MySql };
            let (name, pid) = (names.next().unwrap_or_default(), pids.next().flatten());
            (place, Server { name, url: Some(url.to_owned()), pid })
        });
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let programs = std::env::current_exe()?.parent().ok_or("this program is in no folder")?.to_owned();
        Ok(Self {
            settings,
            servers: servers.collect(),
            folders: [Folder::new(&memory, "memory")?, Folder::new(&std::env::temp_dir(), "disk")?],
            programs,
            prepared: RefCell::default(),
        })
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.servers.iter().map(|(_, server)| server.name.as_str()).collect()
    }

    /// Where `place` is: for a row of MySQL each server of that family.
    pub(crate) fn servers(&self, place: Place) -> Vec<Server> {
        let here = |name: &str, url: Option<&str>| Server { name: name.into(), url: url.map(Into::into), pid: None };
        match place {
            Place::Nowhere => vec![here("-", Some("sqlite::memory:"))],
            Place::SqliteMemory => vec![here("SQLite", Some("sqlite::memory:"))],
            Place::SqliteFile | Place::SqliteFull => vec![here("SQLite", None)],
            Place::Postgres | Place::MySql => {
                let found = self.servers.iter().filter(|(of, _)| *of == place);
                found
                    .map(|(_, server)| Server { name: server.name.clone(), url: server.url.clone(), pid: server.pid })
                    .collect()
            }
        }
    }

    /// Runs all rounds of `row`. A side that cannot be started or fails is told of and left out.
    pub(crate) fn measure(&self, row: &Row, server: &Server) -> Result<Vec<Measured>> {
        self.prepare(row, server)?;
        let pinned = row.pinned.then(|| Pinned::new(server.pid)).transpose()?;
        let sides = if self.settings.quick { row.sides_of_goals() } else { row.sides.to_vec() };
        let mut running = Vec::new();
        for side in sides {
            match self.start_warm(row, server, side, false) {
                Ok(side) => running.push(side),
                Err(error) => not_measured(row, side, &error),
            }
        }
        for _ in 0..self.settings.rounds {
            running.retain_mut(|side| match side.round(self.settings.millis) {
                Ok(()) => true,
                Err(error) => {
                    not_measured(row, side.name, &error);
                    false
                }
            });
            // None is always the one behind the slowest.
            let one = running.len().min(1);
            running.rotate_left(one);
        }
        running.sort_by_key(|side| row.sides.iter().position(|name| *name == side.name));
        let mut all: Vec<Measured> = running.iter_mut().map(Side::end).collect();
        drop((running, pinned));
        if row.goals.iter().any(|goal| matches!(goal.bound, Bound::Growth(_))) {
            for measured in all.iter_mut().filter(|measured| program(measured.side) == SIDES) {
                let mut counted = self.start_warm(row, server, measured.side, true)?;
                counted.round(self.settings.millis)?;
                measured.growth = counted.rounds.last().map(|round| round.growth);
            }
        }
        Ok(all)
    }

    /// Makes the tables that all sides read, once for each server.
    fn prepare(&self, row: &Row, server: &Server) -> Result<()> {
        if matches!(row.place, Place::Nowhere | Place::SqliteMemory) || (server.url.is_none() && row.work.writes()) {
            return Ok(());
        }
        let url = self.url(row, server, "setup");
        if self.prepared.borrow_mut().insert(url.clone()) {
            self.start(row, server, "setup", false)?;
        }
        Ok(())
    }

    /// Sides that read share a file; each that writes has one of its own, so that none waits for another's lock.
    fn url(&self, row: &Row, server: &Server, side: &str) -> String {
        let (folder, synchronous) = match row.place {
            Place::SqliteFull => (&self.folders[1], "full"),
            _ => (&self.folders[0], "normal"),
        };
        server.url.clone().unwrap_or_else(|| {
            let name = if row.work.writes() { side } else { "shared" };
            format!("sqlite:///{}/{name}.db?synchronous={synchronous}", folder.0.display())
        })
    }

    /// Starts a side and has it do a round that does not count.
    fn start_warm(&self, row: &Row, server: &Server, side: &str, counted: bool) -> Result<Side> {
        let mut side = self.start(row, server, side, counted)?;
        side.round(self.settings.millis)?;
        side.rounds.clear();
        Ok(side)
    }

    fn start(&self, row: &Row, server: &Server, side: &str, counted: bool) -> Result<Side> {
        let mut command = match program(side) {
            "asyncpg" => {
                let mut python = Command::new(std::env::var("BENCH_PYTHON").map_err(|_| "BENCH_PYTHON is not set")?);
                python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../toolbench_asyncpg.py"));
                python
            }
            SIDES if counted => Command::new(self.programs.join("sides-counted")),
            program => Command::new(self.programs.join(program)),
        };
        let mut child = command
            .args([side, row.work.name(), &row.tasks.to_string(), &row.connections.to_string()])
            .env("BENCH_URL", self.url(row, server, side))
            .env("BENCH_STREAMED", self.settings.streamed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
        let name = row.sides.iter().copied().find(|name| *name == side).unwrap_or("setup");
        let mut side = Side { name, child, input: Some(input), output: BufReader::new(output), rounds: Vec::new() };
        match side.line()?.as_str() {
            "ready" => Ok(side),
            line => Err(format!("expected that it is ready, found {line:?}").into()),
        }
    }
}

/// `MariaDB 10.11.19` of `MariaDB 10.11.19-0+deb12u1 on port 23456`.
fn short_name(name: &str) -> String {
    let words = name.split(' ').take(2).map(|word| word.split('-').next().unwrap_or(word));
    words.collect::<Vec<_>>().join(" ")
}

const SIDES: &str = "sides";

fn not_measured(row: &Row, side: &str, error: &Error) {
    eprintln!("bench: NOT MEASURED: {side} in {:?}: {error}", row.name);
}

/// The program that a side is in.
fn program(side: &str) -> &'static str {
    match side.split('-').next() {
        Some("sqlx" | "sea") => "rivals-sqlx",
        Some("tokio") => "rivals-tokio-rusqlite",
        Some("asyncpg") => "asyncpg",
        _ => SIDES,
    }
}

/// A side's process; it ends when its input does.
struct Side {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    rounds: Vec<Round>,
}

impl Side {
    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("it ended; its own words are above".into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn round(&mut self, millis: u64) -> Result<()> {
        let input = self.input.as_mut().ok_or("its input was closed")?;
        writeln!(input, "{millis}")?;
        let round = self.line()?.parse()?;
        self.rounds.push(round);
        Ok(())
    }

    fn end(&mut self) -> Measured {
        Measured { side: self.name, rounds: std::mem::take(&mut self.rounds), growth: None }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.input = None;
        // A process that ended by itself has told why.
        let _ = self.child.wait();
    }
}

/// A folder of this run alone, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("databases-bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
