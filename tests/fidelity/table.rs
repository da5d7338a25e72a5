//! `docs/types.md`: its tables read, compared with what was found, and written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;

use crate::judge::Mark;
use crate::{Server, column_names};

/// The signs of a cell, for reading and for binding, and behind them the Rust type if the column does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) read: String,
    pub(crate) take: String,
    pub(crate) rust_type: String,
}

impl Cell {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (read, take) = (word(), word());
        Self { read, take, rust_type: words.collect::<Vec<_>>().join(" ").replace('`', "") }
    }

    fn write(&self) -> String {
        let Self { read, take, rust_type } = self;
        if rust_type.is_empty() { format!("{read} {take}") } else { format!("{read} {take} `{rust_type}`") }
    }
}

/// The cells of one server's table by the names of their rows.
pub(crate) type Cells = BTreeMap<String, Vec<Cell>>;

/// The file, held alone: tests run at the same time in threads and in processes.
pub(crate) struct Document {
    path: PathBuf,
    _lock: File,
    pub(crate) text: String,
}

impl Document {
    pub(crate) fn open() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/types.md");
        let lock = File::open(&path).expect("docs/types.md");
        lock.lock().expect("a lock on docs/types.md");
        let text = std::fs::read_to_string(&path).expect("docs/types.md is text");
        Self { path, _lock: lock, text }
    }

    /// The table of `server`: the names of its columns, and its cells.
    pub(crate) fn table(&self, server: &Server) -> (Vec<String>, Cells) {
        let mut rows = self.text[place(&self.text, &heading(server))].lines().map(fields);
        let header = rows.next().unwrap_or_default().into_iter().skip(1).collect();
        let name = |mut row: Vec<String>| (row.remove(0), row.iter().map(|cell| Cell::parse(cell)).collect());
        (header, rows.skip(1).map(name).collect())
    }

    /// Puts `cells` and the counts that follow into the file.
    pub(crate) fn write(&mut self, server: &Server, cells: &Cells) {
        let header = [vec!["Server type".to_owned()], column_names()].concat();
        let row = |name: &str| {
            let cells = cells.get(name).map(Vec::as_slice).unwrap_or_default();
            [vec![format!("`{name}`")], cells.iter().map(Cell::write).collect()].concat()
        };
        let table = aligned(header, server.types.iter().map(|ty| row(ty.name)).collect());
        self.text.replace_range(place(&self.text, &heading(server)), &table);
        let counts = self.counts();
        self.text.replace_range(place(&self.text, COUNTS), &counts);
        std::fs::write(&self.path, &self.text).expect("docs/types.md can be written");
    }

    /// The table of counts, made of the other tables.
    pub(crate) fn counts(&self) -> String {
        let signs: Vec<String> = Mark::ALL.iter().map(|mark| mark.sign().to_string()).collect();
        let mut total = vec![0; 2 + 2 * signs.len()];
        let mut rows = Vec::new();
        for server in crate::servers() {
            let (_, table) = self.table(&server);
            let cells: Vec<&Cell> = table.values().flatten().collect();
            let mut counts = vec![table.len(), cells.len()];
            counts.extend(signs.iter().map(|sign| cells.iter().filter(|cell| cell.read == *sign).count()));
            counts.extend(signs.iter().map(|sign| cells.iter().filter(|cell| cell.take == *sign).count()));
            total.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
            rows.push((server.heading, counts));
        }
        rows.push(("all", total));
        let way = |way: &'static str| signs.iter().map(move |sign| format!("{way} `{sign}`"));
        let header = ["Server", "types", "cells"].map(str::to_owned).into_iter().chain(way("read")).chain(way("take"));
        let row = |(name, counts): (&str, Vec<usize>)| {
            std::iter::once(name.to_owned()).chain(counts.iter().map(usize::to_string)).collect()
        };
        aligned(header.collect(), rows.into_iter().map(row).collect())
    }

    /// The table of counts as it stands.
    pub(crate) fn written_counts(&self) -> &str {
        &self.text[place(&self.text, COUNTS)]
    }
}

const COUNTS: &str = "## Counts";

fn heading(server: &Server) -> String {
    format!("## {}", server.heading)
}

/// Where the first table below `heading` is.
fn place(text: &str, heading: &str) -> std::ops::Range<usize> {
    let missing = || panic!("docs/types.md has no table below `{heading}`");
    let below = text.find(&format!("{heading}\n")).unwrap_or_else(missing);
    let start = below + text[below..].find("\n|").unwrap_or_else(missing) + 1;
    let lines = text[start..].split_inclusive('\n').take_while(|line| line.starts_with('|'));
    start..start + lines.map(str::len).sum::<usize>()
}

fn fields(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|field| field.trim().trim_matches('`').to_owned()).collect()
}

/// A table in which the columns stand below each other.
fn aligned(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([header[index].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut out = String::new();
    for row in [header.clone(), rule].iter().chain(&rows) {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
    }
    out
}
