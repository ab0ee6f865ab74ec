//! Who fills a volume, and whether anybody reads it there.

use std::collections::BTreeSet;

use super::Report;
use super::mounts::shown;
use crate::catalog::Check;
use crate::effects::{How, Write, is_within};
use crate::facts::{ContainerFacts, Role, is_empty_dir, join};
use crate::finding::Severity;

/// Where people put what nobody else is to see.
const SCRATCH: &[&str] = &[
    "/tmp",
    "/var/tmp",
    "/run",
    "/var/run",
    "/var/cache",
    "/cache",
    "/scratch",
    "/root",
    "/home",
    "/dev/shm",
    "/var/lock",
    "/var/log",
];

/// The path of a written file, also where the name comes from the source of a copy.
fn file_of(container: &ContainerFacts<'_>, write: &Write) -> Option<String> {
    if !write.path.is_exact {
        return None;
    }
    match &write.how {
        How::File => Some(write.path.path.clone()),
        How::FileOrInto(name) => {
            let is_directory = container
                .mounts()
                .iter()
                .any(|mount| mount.mount_path.trim_end_matches('/') == write.path.path)
                || makes_directory(container, &write.path.path);
            Some(if is_directory {
                join(&write.path.path, name)
            } else {
                write.path.path.clone()
            })
        }
        How::Directory | How::Tree | How::Mode => None,
    }
}

fn makes_directory(container: &ContainerFacts<'_>, path: &str) -> bool {
    container.steps().any(|(_, effects)| {
        effects
            .writes
            .iter()
            .any(|write| write.how == How::Directory && is_within(&write.path.path, path))
    })
}

/// The files that a container evidently writes.
pub(crate) fn files<'c>(container: &'c ContainerFacts<'_>) -> &'c [String] {
    container.files.get_or_init(|| {
        let mut files = BTreeSet::new();
        for (_, effects) in container.steps() {
            let written = effects.writes.iter();
            files.extend(written.filter_map(|write| file_of(container, write)));
        }
        files.into_iter().collect()
    })
}

pub(crate) static UNWRITTEN_PATH: Check = Check {
    id: "reads-unwritten-path",
    severity: Severity::Warning,
    title: "A container reads a file of an emptyDir that no container writes",
    explanation: "The file is in an emptyDir, which begins empty; everything that the containers before it write is known, and that file is not \
among it. Often a name differs in one letter, or a volume replaces a whole directory of the image of which only one file was prepared. \
Reported for files that the command of a container names and that it mounts read-only, and for files without which a well-known program \
does not start.",
    fix: "Write the file in an init container, or correct its name.",
    run: unwritten_path,
};

fn unwritten_path(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts.volumes().iter().filter(|volume| is_empty_dir(volume)) {
        for (position, reader) in facts.mounting(&volume.name) {
            let others: Vec<&ContainerFacts<'_>> = facts
                .mounting(&volume.name)
                .filter(|(other, container)| *other != position && container.can_write(volume))
                .map(|(_, container)| container)
                .collect();
            // Without a writer there is nothing that was meant to be there; other checks speak of that.
            let all_known = others.iter().all(|container| {
                container.is_closed()
                    && container.steps().all(|(_, effects)| {
                        effects.writes.iter().all(|write| {
                            let is_known = write.path.is_exact && write.how != How::Tree;
                            is_known || write.how == How::Mode
                        })
                    })
            });
            if others.is_empty() || !all_known {
                continue;
            }
            let written: Vec<String> = others
                .iter()
                .flat_map(|container| {
                    files(container)
                        .iter()
                        .filter_map(|file| container.in_volume(file))
                        .filter(|inside| inside.mount.name == volume.name)
                        .map(|inside| inside.path)
                })
                .collect();
            for (index, mount) in reader.mounts_of(&volume.name) {
                let wanted = wanted(reader, index, mount.read_only == Some(true));
                for (path, why) in wanted {
                    let Some(inside) = reader.in_volume(&path) else {
                        continue;
                    };
                    let is_there = inside.index != index
                        || written.iter().any(|file| is_within(file, &inside.path));
                    if is_there {
                        continue;
                    }
                    let prepared = match written.as_slice() {
                        [] => "nothing".to_owned(),
                        files => files
                            .iter()
                            .map(|file| format!("`{}`", file.trim_start_matches('/')))
                            .collect::<Vec<_>>()
                            .join(", "),
                    };
                    let name = reader.name();
                    let message = format!(
                        "`{name}` needs `{path}`{why}, which no container writes: the volume `{}` gets {prepared}",
                        volume.name
                    );
                    report.at(
                        reader.mount_path(index, "mountPath"),
                        message,
                        format!("write `{path}` in an init container, or correct its name"),
                    );
                }
            }
        }
    }
}

/// The files below a mount that a container needs, and why.
fn wanted(reader: &ContainerFacts<'_>, index: usize, is_read_only: bool) -> Vec<(String, String)> {
    let mount = &reader.mounts()[index];
    let mount_path = mount.mount_path.trim_end_matches('/');
    let mut wanted = Vec::new();
    if let Some(software) = reader.software()
        && reader.argv.is_empty()
        && mount.sub_path.is_none()
    {
        for (directory, file) in software.needs {
            if mount_path == *directory {
                wanted.push((
                    (*file).to_owned(),
                    format!(" to start ({})", software.title),
                ));
            }
        }
    }
    // Only words that are a path, or an option with a path: a path in a script may be one that it tests for.
    let is_script = crate::trace::script_index(&reader.argv).is_some();
    if is_read_only && !is_script {
        for arg in &reader.argv {
            let Some(text) = arg.exact() else { continue };
            let path = text.split_once('=').map_or(text, |(_, value)| value);
            let is_file = is_within(path, mount_path)
                && path.trim_end_matches('/') != mount_path
                && path
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.trim_start_matches('.').contains('.'))
                && !path.contains([' ', '*', ',', ':']);
            if is_file {
                wanted.push((path.to_owned(), String::new()));
            }
        }
    }
    wanted
}

pub(crate) static VOLUME_UNREAD: Check = Check {
    id: "init-volume-unread",
    severity: Severity::Warning,
    title: "An init container fills an emptyDir that no other container mounts",
    explanation: "What it writes is gone with the Pod, and nobody else can see it. Reported when the init container only writes there and \
never reads it again itself, and not for directories such as `/tmp` and `/var/cache`.",
    fix: "Mount the volume in the container that is to use the files, or remove it.",
    run: volume_unread,
};

fn volume_unread(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts.volumes().iter().filter(|volume| is_empty_dir(volume)) {
        let mounting: Vec<_> = facts.mounting(&volume.name).collect();
        let [(_, init)] = mounting.as_slice() else {
            continue;
        };
        let mounts: Vec<_> = init.mounts_of(&volume.name).collect();
        let ([(index, mount)], Role::Init) = (mounts.as_slice(), init.role) else {
            continue;
        };
        let directory = mount.mount_path.trim_end_matches('/');
        if is_scratch(directory) || reads_again(init, directory) {
            continue;
        }
        let written = files(init).iter().find(|file| is_within(file, directory));
        if let Some(file) = written {
            let name = init.name();
            report.at(
                init.mount_path(*index, "name"),
                format!(
                    "`{name}` writes `{file}` into the emptyDir `{}`, which no other container mounts: nobody reads it",
                    volume.name
                ),
                "mount the volume where the file is needed".to_owned(),
            );
        }
    }
}

fn is_scratch(path: &str) -> bool {
    SCRATCH.iter().any(|scratch| is_within(path, scratch))
}

/// Whether a container speaks of `directory` anywhere but where it writes, or does anything that may read it without saying so.
fn reads_again(container: &ContainerFacts<'_>, directory: &str) -> bool {
    if !container.is_closed() {
        return true;
    }
    let in_environment = container
        .environment
        .variables
        .values()
        .flatten()
        .any(|value| crate::effects::mentions(value, directory));
    in_environment
        || container.steps().any(|(run, effects)| {
            let inside = run
                .directory
                .as_deref()
                .is_some_and(|own| is_within(own, directory));
            let reads = run.redirects.iter().any(|(_, operator, target)| {
                *operator == crate::shell::Operator::Read
                    && crate::effects::mentions(&target.0, directory)
            });
            let named = run
                .arguments()
                .iter()
                .filter(|arg| crate::effects::mentions(&arg.0, directory))
                .count();
            let from_arguments = effects
                .writes
                .iter()
                .filter(|write| !is_redirected(run, write))
                .filter(|write| is_within(&write.path.path, directory))
                .count();
            let prints = matches!(run.program(), "echo" | "printf");
            inside || reads || (named > from_arguments && !prints)
        })
}

/// Whether a write comes from `> file` and not from an argument.
fn is_redirected(run: &crate::trace::Run, write: &Write) -> bool {
    run.redirects
        .iter()
        .any(|(_, _, target)| target.exact() == Some(&write.path.path))
}

pub(crate) static WRITE_LOST: Check = Check {
    id: "init-write-lost",
    severity: Severity::Warning,
    title: "An init container writes a file for another container into its own root file system",
    explanation: "Each container has a file system of its own, made new from its image; only volumes are shared. What an init container \
writes outside of them is gone when it ends. Reported when a later container's command names that file, or mounts a volume that the init \
container mounts elsewhere at the directory of that file.",
    fix: "Mount a volume at that directory in both containers.",
    run: write_lost,
};

fn write_lost(report: &mut Report<'_>) {
    let facts = report.facts;
    for (position, init) in facts.containers.iter().enumerate() {
        if init.role != Role::Init {
            continue;
        }
        for file in files(init) {
            if init.mount_of(file).is_some() || is_scratch(file) {
                continue;
            }
            let reader = facts.containers[position + 1..].iter().find_map(|later| {
                let shared = later.mount_of(file).is_some_and(|(_, mount)| {
                    mount.mount_path != "/" && init.mounts_of(&mount.name).next().is_some()
                });
                let named = later
                    .argv
                    .iter()
                    .any(|arg| crate::effects::mentions(&arg.0, file));
                // It may write the file itself.
                let own = files(later).contains(file);
                (shared || named && !own).then_some((later, shared))
            });
            let Some((later, shared)) = reader else {
                continue;
            };
            let (name, later_name) = (init.name(), later.name());
            let why = if shared {
                format!("`{later_name}` has a volume there, which `{name}` mounts elsewhere")
            } else {
                format!("`{later_name}` reads it")
            };
            let file = shown(file, true);
            report.at_word(
                init,
                file.trim_matches('`'),
                format!(
                    "`{name}` writes {file}, which is in no volume and is gone when it ends; {why}"
                ),
                "mount a volume there in both containers".to_owned(),
            );
        }
    }
}
