//! Files that are prepared for a program and that it does not see, because the volume is mounted elsewhere.

use podyard_api::core::Volume;

use super::Report;
use super::flow::files;
use crate::catalog::Check;
use crate::effects::is_within;
use crate::facts::{ContainerFacts, Facts, Role};
use crate::finding::Severity;
use crate::images::Software;

pub(crate) static UNREAD_PATH: Check = Check {
    id: "init-writes-unread-path",
    severity: Severity::Warning,
    title: "An init container prepares a file for a program that does not see it there",
    explanation: "Both containers mount the same volume, but at different paths. The init container writes to the path at which the program \
reads (nginx reads `/etc/nginx/conf.d`), and the program's container has the volume somewhere else, so the file appears there and is \
never read. The Pod starts without any error. Reported when the official image of a well-known program is known to read that path, or \
when the program's own command names the file, and when nothing in the manifest speaks of the path at which the file really appears. A program whose configuration is not in the same files \
may read anything, and is left out.",
    fix: "Mount the volume at the same path in both containers.",
    run: unread_path,
};

fn unread_path(report: &mut Report<'_>) {
    let facts = report.facts;
    for (position, init) in facts.containers.iter().enumerate() {
        if init.role == Role::App {
            continue;
        }
        for (index, mount) in init.mounts().iter().enumerate() {
            let Some(volume) = facts.volume(&mount.name) else {
                continue;
            };
            if !init.can_write(volume) || mount.read_only == Some(true) {
                continue;
            }
            let readers: Vec<&ContainerFacts<'_>> = facts
                .mounting(&volume.name)
                .filter(|(other, _)| *other > position)
                .map(|(_, container)| container)
                .collect();
            // When somebody may read it who is not known, it may well be meant for that one.
            let mut missed = Vec::new();
            for reader in &readers {
                match missed_by(facts, init, index, volume, reader) {
                    Some(miss) => missed.push((*reader, miss)),
                    None => missed.clear(),
                }
                if missed.is_empty() {
                    break;
                }
            }
            if missed.len() != readers.len() {
                continue;
            }
            for (reader, miss) in missed {
                tell_missed(report, init, index, volume, reader, &miss);
            }
        }
    }
}

/// A file, or the mount point, that a reader would read if it were there.
struct Missed {
    /// Where the init container writes.
    written: String,
    /// Whether that is a file which it is seen to write.
    is_file: bool,
    /// Where it appears to the reader, and the mount.
    appears: String,
    mount: usize,
    /// What the reader reads.
    reads: Reads,
}

enum Reads {
    /// A well-known program, the directory or file.
    Software(&'static str, &'static str),
    /// Its own command names the file.
    Command,
}

fn missed_by(
    facts: &Facts<'_>,
    init: &ContainerFacts<'_>,
    index: usize,
    volume: &Volume,
    reader: &ContainerFacts<'_>,
) -> Option<Missed> {
    let mount = &init.mounts()[index];
    let mut written: Vec<(String, bool)> = files(init)
        .iter()
        .filter(|file| init.mount_of(file).is_some_and(|(at, _)| at == index))
        .map(|file| (file.clone(), true))
        .collect();
    if written.is_empty() {
        written.push((mount.mount_path.trim_end_matches('/').to_owned(), false));
    }
    // Every file must be missed: one that arrives is what the volume is for.
    let mut first = None;
    for (path, is_file) in written {
        let inside = init.in_volume(&path)?;
        let seen = reader.seen_at(&volume.name, &inside.path);
        let (at, appears) = seen.first()?;
        let same_place = seen.iter().any(|(_, appears)| *appears == path);
        let covered = reader.mount_of(&path).is_some();
        if same_place || covered {
            return None;
        }
        let reads = reads(facts, reader, &volume.name, &path, is_file)?;
        let is_read_there = seen.iter().any(|(_, appears)| {
            let directory = appears
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            let is_named = facts.anybody_mentions(appears)
                || facts.anybody_mentions(directory)
                || reader
                    .mounts_of(&volume.name)
                    .any(|(_, mount)| facts.anybody_mentions(&mount.mount_path));
            let by_itself = reader
                .software()
                .is_some_and(|software| software.reads.iter().any(|read| is_within(appears, read)));
            is_named || by_itself
        });
        if is_read_there {
            return None;
        }
        first.get_or_insert_with(|| Missed {
            written: path,
            is_file,
            appears: appears.clone(),
            mount: *at,
            reads,
        });
    }
    first
}

/// Why it is believed that the reader would read `path`.
fn reads(
    facts: &Facts<'_>,
    reader: &ContainerFacts<'_>,
    volume: &str,
    path: &str,
    is_file: bool,
) -> Option<Reads> {
    let named = |arg: &crate::trace::Arg| crate::effects::mentions(&arg.0, path);
    if is_file && reader.argv.iter().any(named) {
        return Some(Reads::Command);
    }
    let software = reader.software()?;
    if !runs_as_usual(facts, reader, software, volume) {
        return None;
    }
    let read = software.reads.iter().find(|read| is_within(path, read))?;
    Some(Reads::Software(software.title, read))
}

/// Whether a program reads what it reads in its image: no option names another configuration, and no volume but `volume`
/// brings one that is not known.
fn runs_as_usual(
    facts: &Facts<'_>,
    reader: &ContainerFacts<'_>,
    software: &Software,
    volume: &str,
) -> bool {
    let by_command = reader
        .argv
        .iter()
        .any(|arg| arg.0.contains('/') || arg.0 == "-c" || arg.0.starts_with("--conf"));
    let own_paths = || software.reads.iter().chain(software.holds);
    let by_volume = reader
        .mounts()
        .iter()
        .filter(|mount| mount.name != volume)
        .filter(|mount| {
            own_paths()
                .any(|own| is_within(own, &mount.mount_path) || is_within(&mount.mount_path, own))
        })
        .any(|mount| !is_known_map(facts, &mount.name));
    !by_command && !by_volume
}

/// Whether a volume is a ConfigMap of the same manifests, whose text was looked through.
fn is_known_map(facts: &Facts<'_>, volume: &str) -> bool {
    let map = facts
        .volume(volume)
        .and_then(|volume| volume.config_map.as_ref());
    map.is_some_and(|map| {
        facts
            .objects
            .config_maps
            .iter()
            .any(|known| known.metadata.name.as_deref() == Some(&map.name))
    })
}

fn tell_missed(
    report: &mut Report<'_>,
    init: &ContainerFacts<'_>,
    index: usize,
    volume: &Volume,
    reader: &ContainerFacts<'_>,
    miss: &Missed,
) {
    let (init_name, reader_name, volume) = (init.name(), reader.name(), &volume.name);
    let Missed {
        written, appears, ..
    } = miss;
    let reader_mount = &reader.mounts()[miss.mount].mount_path;
    let does = if miss.is_file {
        format!("`{init_name}` writes `{written}` into the volume `{volume}`")
    } else {
        format!("`{init_name}` mounts the volume `{volume}` at `{written}`")
    };
    let instead = if miss.is_file {
        format!(": the file appears as `{appears}`")
    } else {
        String::new()
    };
    let because = match miss.reads {
        Reads::Software(title, read) => format!("but {title} looks in `{read}`"),
        Reads::Command => format!("but the command of `{reader_name}` names `{written}`"),
    };
    report.at(
        reader.mount_path(miss.mount, "mountPath"),
        format!("{does}, which `{reader_name}` mounts at `{reader_mount}`{instead}, {because}"),
        format!(
            "mount `{volume}` at `{}` in `{reader_name}`",
            init.mounts()[index].mount_path
        ),
    );
    report.related(
        &init.mount_path(index, "mountPath"),
        format!("the mount of `{init_name}`"),
    );
}
