//! What to try after an error. A hint is data beside the message, so that the message stays what happened.

use std::error::Error;
use std::io;

use podyard_image::{LayerError, PullError, PullErrorKind};

use crate::error::CliError;

/// What to try, as one line, if there is something worth trying.
pub(crate) fn hint(error: &CliError) -> Option<String> {
    match error {
        CliError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Some("the path is relative to the current directory; `-` reads stdin".to_owned())
        }
        CliError::PodNotFound { .. } => {
            Some("`podyard get pods -A` lists every pod of this instance".to_owned())
        }
        CliError::AlreadyExists { namespace, name } => {
            let scope = if namespace == "default" {
                String::new()
            } else {
                format!(" -n {namespace}")
            };
            Some(format!(
                "`podyard delete pod {name}{scope}` stops it; `podyard describe pod {name}{scope}` shows what it does"
            ))
        }
        CliError::Host { source, .. } | CliError::Failed { source, .. } => {
            let source: &(dyn Error + 'static) = source.as_deref()?;
            host_hint(source)
        }
        CliError::Usage(_)
        | CliError::Manifest { .. }
        | CliError::File { .. }
        | CliError::ContainerNotFound { .. }
        | CliError::NotFound(_)
        | CliError::BrokenPipe => None,
    }
}

/// What to try about a warning of a pod.
pub(crate) fn for_event(reason: &str, message: &str) -> Option<String> {
    let text = match reason {
        "FailedCreatePodSandBox" if message.contains("in use") => {
            "take another hostPort, or end who has this one; the pod tries again every few seconds"
        }
        "FailedCreatePodSandBox" => "`podyard system info` says what this machine lacks",
        _ => return None,
    };
    Some(text.to_owned())
}

/// What to try about a container that waits. The image that is missing may be one of its volumes'.
pub(crate) fn for_waiting(reason: &str, message: &str, image: &str) -> Option<String> {
    let of_volume = message
        .split_once("\" of volume ")
        .and_then(|(before, _)| before.rsplit_once("image \""));
    let image = of_volume.map_or(image, |(_, reference)| reference);
    match reason {
        "ErrImageNeverPull" => Some(format!(
            "`podyard image pull {image}` or `podyard image import FILE` puts it into the store"
        )),
        "ErrImagePull" | "ImagePullBackOff" => Some(format!(
            "is `{image}` spelled right? `podyard image import FILE` puts an image into the store without a registry"
        )),
        _ => None,
    }
}

/// What to try about a container that has ended.
pub(crate) fn for_ended(reason: &str, image: &str) -> Option<String> {
    match reason {
        "StartError" | "ContainerCannotRun" => Some(format!(
            "is the command in the image, and can its user execute it? `podyard image inspect {image}` shows what the image runs by itself"
        )),
        _ => None,
    }
}

/// Whether a cause, or a cause of it, is the machine's or the user's privileges.
pub(crate) fn is_host_trouble(error: &(dyn Error + 'static)) -> bool {
    matches!(
        kind(error),
        Some(
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::StorageFull
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::Unsupported
                | io::ErrorKind::QuotaExceeded
        )
    )
}

fn host_hint(error: &(dyn Error + 'static)) -> Option<String> {
    let text = match kind(error)? {
        io::ErrorKind::PermissionDenied => "podyard needs root for this: try it with `sudo`",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: `podyard system df` shows what podyard keeps, `podyard system prune` removes what is not in use"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: `--root DIR` keeps everything elsewhere"
        }
        io::ErrorKind::Unsupported => "the kernel lacks something: `podyard system info` says what",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Whether the image store stopped because the disk has no room: it does so before the last byte is written.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<LayerError>(),
        Some(LayerError::DiskFull { .. })
    ) || error
        .downcast_ref::<PullError>()
        .is_some_and(|error| error.kind() == PullErrorKind::DiskFull)
}

/// The kind of the innermost I/O error.
fn kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut found = None;
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            found = Some(io.kind());
        } else if let Some(errno) = error.downcast_ref::<rustix::io::Errno>() {
            found = Some(errno.kind());
        } else if is_disk_full(error) {
            found = Some(io::ErrorKind::StorageFull);
        }
        current = error.source();
    }
    found
}
