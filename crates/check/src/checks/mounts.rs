//! Mounts that cannot do what they are there for, whatever anybody writes.

use super::{Report, snippet};
use crate::catalog::Check;
use crate::effects::{How, is_within};
use crate::facts::{is_empty_dir, is_read_only};
use crate::finding::Severity;
use crate::images::SYSTEM_DIRECTORIES;

pub(crate) static READ_ONLY: Check = Check {
    id: "writes-read-only",
    severity: Severity::Error,
    title: "A container writes where it may only read",
    explanation: "Its script writes into a volume that it mounts with `readOnly: true`, into a ConfigMap, Secret, projected, downward API or \
image volume, which are read-only in every container, or into its own root file system although that is read-only \
(`readOnlyRootFilesystem: true`). The command fails with \"Read-only file system\"; an init container that must fill a volume never does.",
    fix: "Remove `readOnly` from that mount, or write into an emptyDir.",
    run: read_only,
};

fn read_only(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in &facts.containers {
        let security = container.container.security_context.as_ref();
        let read_only_root =
            security.and_then(|context| context.read_only_root_filesystem) == Some(true);
        let mut seen: Vec<String> = Vec::new();
        for (run, effects) in container.steps() {
            for write in &effects.writes {
                let creates = matches!(write.how, How::File | How::FileOrInto(_) | How::Tree);
                if !creates || !write.fails || run.context.is_conditional {
                    continue;
                }
                let path = &write.path.path;
                let name = container.name();
                let shown = shown(path, write.path.is_exact);
                if seen.contains(path) {
                    continue;
                }
                if let Some((index, mount)) = container.mount_of(path) {
                    let volume = facts.volume(&mount.name);
                    let by_kind = volume.is_some_and(is_read_only);
                    let by_mount = mount.read_only == Some(true);
                    // Below a mount that is read-only there may be another one; the longest was taken.
                    if !by_kind && !by_mount {
                        continue;
                    }
                    seen.push(path.clone());
                    let volume = &mount.name;
                    if by_kind {
                        report.at_word(
                            container,
                            path,
                            format!("`{name}` writes {shown} into the volume `{volume}`, which is read-only in every container"),
                            "write into an emptyDir, and copy there what the container needs of this volume".to_owned(),
                        );
                        report.related(
                            &container.mount_path(index, "mountPath"),
                            format!("the mount of `{volume}`"),
                        );
                    } else {
                        report.at(
                            container.mount_path(index, "readOnly"),
                            format!("`{name}` writes {shown}, but mounts the volume `{volume}` read-only"),
                            format!("remove `readOnly: true` from this mount of `{name}`"),
                        );
                    }
                } else if read_only_root && !is_within(path, "/var/run/secrets") {
                    seen.push(path.clone());
                    let command = snippet(run);
                    let looked_for = if write.path.is_exact { path } else { &command };
                    report.at_word(
                        container,
                        looked_for,
                        format!("`{name}` writes {shown}, but its root file system is read-only"),
                        "mount an emptyDir there".to_owned(),
                    );
                    report.related(
                        &container
                            .path
                            .field("securityContext.readOnlyRootFilesystem"),
                        "the root file system is made read-only here".to_owned(),
                    );
                }
            }
        }
    }
}

/// A path in a message.
pub(super) fn shown(path: &str, is_exact: bool) -> String {
    if is_exact {
        format!("`{path}`")
    } else {
        format!("a file in `{path}`")
    }
}

pub(crate) static ALWAYS_EMPTY: Check = Check {
    id: "volume-always-empty",
    severity: Severity::Warning,
    title: "An emptyDir is mounted read-only by every container, so nobody can put anything into it",
    explanation: "An emptyDir begins empty. When every mount of it is `readOnly: true`, it stays so, and whoever reads it finds nothing.",
    fix: "Remove `readOnly: true` from the mount of the container that is to fill it.",
    run: always_empty,
};

fn always_empty(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts.volumes().iter().filter(|volume| is_empty_dir(volume)) {
        let mut first = None;
        let mut all = true;
        for (_, container) in facts.mounting(&volume.name) {
            for (index, mount) in container.mounts_of(&volume.name) {
                // Hiding a directory with something empty is a known trick.
                let hides = is_within(&mount.mount_path, "/var/run/secrets")
                    || is_within(&mount.mount_path, "/run/secrets");
                all &= mount.read_only == Some(true) && !hides;
                first.get_or_insert((container, index));
            }
        }
        if let (true, Some((container, index))) = (all, first) {
            let name = &volume.name;
            report.at(
                container.mount_path(index, "readOnly"),
                format!("the emptyDir `{name}` is mounted read-only by every container that mounts it: it stays empty"),
                "remove `readOnly: true` where it is to be filled".to_owned(),
            );
        }
    }
}

pub(crate) static HIDES_FILES: Check = Check {
    id: "empty-dir-hides-image-files",
    severity: Severity::Warning,
    title: "An emptyDir that nobody fills hides files of the image",
    explanation: "A volume replaces what the image has at that path. (Other tools than Kubernetes copy the image's files into a new volume; \
Kubernetes never does.) An emptyDir over `/usr` or `/etc/nginx` leaves the program without its files when no other container writes \
into it. Only directories are reported that every system needs, or that the official image of a well-known program keeps its files in.",
    fix: "Mount the volume at a directory of its own, or copy the image's files into it in an init container that uses the same image.",
    run: hides_files,
};

fn hides_files(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts.volumes().iter().filter(|volume| is_empty_dir(volume)) {
        for (position, container) in facts.mounting(&volume.name) {
            let is_filled = facts
                .mounting(&volume.name)
                .any(|(other, container)| other != position && container.can_write(volume));
            if is_filled {
                continue;
            }
            let software = container.software();
            let own_files = software.map_or(&[] as &[&str], |software| software.holds);
            for (index, mount) in container.mounts_of(&volume.name) {
                let path = if mount.mount_path == "/" {
                    "/"
                } else {
                    mount.mount_path.trim_end_matches('/')
                };
                let of_system = SYSTEM_DIRECTORIES.contains(&path);
                let of_software = own_files.contains(&path) && container.argv.is_empty();
                if !of_system && !of_software {
                    continue;
                }
                let name = container.name();
                let what = match (of_software, software) {
                    (true, Some(software)) => {
                        format!("the files that {} has there", software.title)
                    }
                    _ => "what the image has there".to_owned(),
                };
                report.at(
                    container.mount_path(index, "mountPath"),
                    format!("the emptyDir `{}` hides {what} (`{path}`) from `{name}`, and no other container fills it", volume.name),
                    "mount it somewhere else, or fill it in an init container".to_owned(),
                );
            }
        }
    }
}

pub(crate) static SUB_PATH: Check = Check {
    id: "subpath-becomes-directory",
    severity: Severity::Warning,
    title: "A subPath that is meant to be a file becomes a directory, because nobody makes the file",
    explanation: "A `subPath` that does not exist in an emptyDir when the container starts is made by the kubelet, as a directory. A program \
that expects a file at the mount path then finds a directory. Reported when the path looks like a file, and no container that starts \
earlier can write into the volume.",
    fix: "Create the file in an init container that mounts the whole volume, or use a ConfigMap.",
    run: sub_path,
};

fn sub_path(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts.volumes().iter().filter(|volume| is_empty_dir(volume)) {
        for (position, container) in facts.mounting(&volume.name) {
            for (index, mount) in container.mounts_of(&volume.name) {
                let Some(sub_path) = mount.sub_path.as_deref() else {
                    continue;
                };
                let is_filled = facts
                    .mounting(&volume.name)
                    .any(|(other, container)| other < position && container.can_write(volume));
                if is_filled || !looks_like_file(sub_path) || !looks_like_file(&mount.mount_path) {
                    continue;
                }
                report.at(
                    container.mount_path(index, "subPath"),
                    format!(
                        "nobody has made `{sub_path}` in the emptyDir `{}` when `{}` starts: the kubelet makes a directory of this name",
                        volume.name,
                        container.name()
                    ),
                    "create the file in an init container, or take it from a ConfigMap".to_owned(),
                );
            }
        }
    }
}

/// Whether the last component has an ending that directories do not have.
fn looks_like_file(path: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "conf",
        "cfg",
        "ini",
        "json",
        "yaml",
        "yml",
        "toml",
        "xml",
        "properties",
        "env",
        "txt",
        "html",
        "pem",
        "crt",
        "key",
        "sh",
        "sql",
        "php",
        "js",
        "py",
    ];
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.')
        .is_some_and(|(stem, ending)| !stem.is_empty() && ENDINGS.contains(&ending))
}
