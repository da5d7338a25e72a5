//! The program: options, then row by row of the table.

mod figures;
mod options;
mod pin;
mod report;
mod rounds;
mod table;
mod toolbench;

use std::path::PathBuf;
use std::time::Instant;

use harness::Result;

use options::{HELP, Options};
use report::{Machine, Report, RowReport, markdown};
use rounds::Ground;
use table::{Place, Row};

pub(crate) fn main() -> Result<()> {
    match Options::from_args()? {
        Options::Help => print!("{HELP}"),
        Options::List => table::rows().iter().for_each(|row| println!("{}", row.name)),
        Options::Markdown(file) => print!("{}", markdown(&Report::read(&file)?)),
        Options::Run { settings, json } => run(&settings, json)?,
    }
    Ok(())
}

fn run(settings: &options::Settings, json: Option<PathBuf>) -> Result<()> {
    let began = Instant::now();
    let ground = Ground::new(settings)?;
    let mut report = Report { machine: Machine::here(settings, &ground.names()), rows: Vec::new() };
    let mut toolbench = toolbench::Mean::default();
    for row in table::rows().iter().filter(|row| settings.wants(row)) {
        let servers = ground.servers(row.place);
        if servers.is_empty() {
            eprintln!("bench: NOT MEASURED: {:?}: TEST_DATABASE_URLS names no such server", row.name);
        }
        for server in servers {
            let measured = ground.measure(row, &server)?;
            let finished = RowReport::new(row, &server.name, &measured);
            finished.print();
            report.rows.push(finished);
            toolbench.add(row.work, &server.name, measured);
        }
    }
    for finished in toolbench.reports() {
        finished.print();
        report.rows.push(finished);
    }
    report.print_verdicts();
    println!("{} rows in {} s", report.rows.len(), began.elapsed().as_secs());
    if let Some(file) = json {
        report.write(&file)?;
        println!("written to {}", file.display());
    }
    Ok(())
}
