//! `system …`: what podyard keeps on this machine, and what the machine can do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::image::open_store;
use super::{note, print, print_object};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::host;
use crate::output::size;
use crate::output::style::Tone;
use crate::output::table::Table;
use crate::pods;
use crate::settings::{Context, Format, Scope, SystemCommand};
use crate::target::Target;

pub(super) fn run(context: &Context, command: &SystemCommand) -> Result<ExitCode, CliError> {
    match command {
        SystemCommand::Df { format } => df(context, *format)?,
        SystemCommand::Prune { dry_run, all } => prune(context, *dry_run, *all)?,
        SystemCommand::Info { format } => return info(context, *format),
    }
    Ok(ExitCode::Success)
}

fn df(context: &Context, format: Option<Format>) -> Result<(), CliError> {
    let roots = pods::roots(context)?;
    let store = open_store(context)?;
    let images = store
        .list()
        .map_err(|error| CliError::failed("cannot list the images", error))?;
    let handles = pods::select(context, &Target::All, Scope::AllNamespaces)?;
    let rows = [
        ("Images", images.len(), disk_usage(&roots.images())),
        ("Pods", handles.len(), disk_usage(&roots.pods())),
        ("Logs", handles.len(), disk_usage(roots.logs())),
    ];
    if let Some(format) = format {
        let object: serde_json::Map<_, _> = rows
            .iter()
            .map(|(name, count, bytes)| {
                (
                    name.to_lowercase(),
                    serde_json::json!({ "count": count, "bytes": bytes }),
                )
            })
            .collect();
        return print_object(&object, format);
    }
    let mut table = Table::new(["TYPE", "COUNT", "SIZE"]);
    for (name, count, bytes) in rows {
        table.push([name.to_owned(), count.to_string(), size::human(bytes)]);
    }
    print(table.render())
}

/// Bytes on the disk below a directory; what cannot be read counts nothing. Other file systems mounted there are left out.
fn disk_usage(directory: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(directory) else {
        return 0;
    };
    let mut total = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.dev() != top.dev() {
                continue;
            }
            // Blocks of 512 bytes, whatever the file system's own are.
            total += metadata.blocks() * 512;
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    total
}

fn prune(context: &Context, dry_run: bool, all: bool) -> Result<(), CliError> {
    let handles = pods::select(context, &Target::All, Scope::AllNamespaces)?;
    for handle in handles.iter().filter(|handle| handle.has_ended()) {
        print(format!("pod {}/{}\n", handle.namespace, handle.name))?;
        if !dry_run {
            handle.remove_files();
        }
    }
    let store = open_store(context)?;
    let failed = |error| CliError::failed("cannot clean up the image store", error);
    if all {
        let leased: Vec<_> = store
            .leases()
            .map_err(failed)?
            .into_iter()
            .map(|lease| lease.manifest_digest)
            .collect();
        for image in store
            .list()
            .map_err(failed)?
            .iter()
            .filter(|image| !leased.contains(&image.manifest_digest))
        {
            for name in &image.names {
                print(format!("image {}\n", name.familiar()))?;
                if !dry_run {
                    store.remove(name).map_err(failed)?;
                }
            }
        }
    }
    if dry_run {
        note("nothing was removed: that was a dry run");
        return Ok(());
    }
    let report = store.gc().map_err(failed)?;
    note(format!(
        "{} images and {} layers removed, {} freed",
        report.images.len(),
        report.layers,
        size::human(report.freed_bytes)
    ));
    Ok(())
}

/// Exit code 5 if something is missing without which no pod runs.
fn info(context: &Context, format: Option<Format>) -> Result<ExitCode, CliError> {
    let checks = host::checks();
    if let Some(format) = format {
        print_object(&serde_json::json!({ "checks": checks }), format)?;
    } else {
        let mut text = String::new();
        for check in &checks {
            let (word, tone) = match check.verdict {
                host::Verdict::Good => ("ok", Tone::Good),
                host::Verdict::Limited => ("limited", Tone::Attention),
                host::Verdict::Missing => ("missing", Tone::Bad),
            };
            let word = format!(
                "{}{}",
                context.stdout.paint(tone, word),
                " ".repeat(9 - word.len())
            );
            text.push_str(&format!("{word}{}: {}\n", check.name, check.found));
            if let Some(meaning) = &check.meaning {
                text.push_str(&format!("         {meaning}\n"));
            }
        }
        print(text)?;
    }
    let missing = checks
        .iter()
        .any(|check| check.verdict == host::Verdict::Missing);
    Ok(if missing {
        ExitCode::Host
    } else {
        ExitCode::Success
    })
}
