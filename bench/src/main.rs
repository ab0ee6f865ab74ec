//! Benchmarks: podyard beside podman, crun and a hand-written floor, interleaved, on one machine in one run.
//!
//! ```text
//! Lab (directories, images, the static app) ─▶ runners (podyard, podman, floor), each in an arena (namespaces of its own)
//!   rows/*  one file per row: measures in turns, gives a Row ─▶ report: text, JSON, docs/benchmarks.md
//! ```
//!
//! Ratios are what counts. No figure is typed by hand: `docs/benchmarks.md` is written by `podyard-bench --write`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this program is for"
)]

mod arena;
mod lab;
mod layers;
mod machine;
mod manifest;
mod processes;
mod quiet;
mod report;
mod rows;
mod runners;
mod samples;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use lab::Lab;
use report::Report;

/// An error with its story; this program only prints it.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Measures podyard beside podman, crun and a hand-written floor.
#[derive(Debug, Parser)]
#[command(name = "podyard-bench", version)]
struct Arguments {
    /// Only these rows, by name; --list names them
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Few runs and small numbers: a first impression
    #[arg(long)]
    quick: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Write the report to FILE as Markdown; only with all rows
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    write: Option<PathBuf>,
    /// Measure nothing: show what an earlier run has left in FILE (results.json in its --dir)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "quick"])]
    render: Option<PathBuf>,
    /// Name the rows and end
    #[arg(long)]
    list: bool,
    /// Where everything is made
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    /// Where the OCI archives of busybox and nginx are
    #[arg(long, value_name = "DIR", default_value = "target/images")]
    images: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for row in rows::ALL {
            println!("{:<10} {}", row.name, row.what);
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("podyard-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.render {
        let report: Report = serde_json::from_slice(&std::fs::read(path)?)?;
        return show(arguments, &report);
    }
    let chosen = rows::choose(&arguments.only)?;
    let lab = Lab::set_up(&arguments.dir, &arguments.images, arguments.quick)?;
    let mut report = Report::new(machine::describe(&lab), lab.quick);
    for row in chosen {
        eprintln!("{}: {} …", row.name, row.what);
        match (row.measure)(&lab) {
            Ok(rows) => {
                for row in rows {
                    if !arguments.json {
                        println!("{}", row.text());
                    }
                    report.rows.push(row);
                }
            }
            Err(error) => {
                eprintln!("{}: not measured: {error}", row.name);
                report.failures.push(format!("`{}`: {error}", row.name));
            }
        }
        lab.tidy();
        // A run that is cut short leaves what it has measured.
        report.finish();
        let path = lab.directory.join("results.json");
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    show(arguments, &report)
}

fn show(arguments: &Arguments, report: &Report) -> Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{}", report.goals_text());
    }
    if let Some(path) = &arguments.write {
        std::fs::write(path, report.markdown())?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}
