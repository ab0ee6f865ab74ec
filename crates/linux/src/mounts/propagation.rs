//! Whether mounts made later can come through: only if the source is on a mount that shares them.
//!
//! Without this look a container would run and never see what it waits for; container runtimes refuse it with these words.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, StatxFlags};

use super::{Mount, MountSource, Propagation};
use crate::process::LaunchError;

/// Checks a mount whose propagation is more than private. Reads the mount table, so only what asks for it pays.
pub(super) fn check(mount: &Mount) -> Result<(), LaunchError> {
    let id = match &mount.source {
        MountSource::Bind { path, .. } => mount_id(CWD, path),
        MountSource::BindFd { fd, .. } => mount_id(fd.as_fd(), ""),
        _ => return Ok(()),
    };
    // A source that is not there fails later, at its own step.
    let Ok(id) = id else { return Ok(()) };
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo")
        .map_err(|error| LaunchError::parent("read the mount table", error))?;
    let fields = optional_fields(&table, id).unwrap_or_default();
    let is = |kind: &str| fields.iter().any(|field| field.starts_with(kind));
    let what = match mount.propagation {
        Propagation::Shared if !is("shared:") => "is not on a shared mount",
        Propagation::Slave if !is("shared:") && !is("master:") => {
            "is not on a shared or slave mount"
        }
        _ => return Ok(()),
    };
    Err(LaunchError::Path {
        path: match &mount.source {
            MountSource::Bind { path, .. } => path.clone(),
            _ => mount.destination.clone(),
        },
        what,
    })
}

fn mount_id(directory: BorrowedFd<'_>, path: impl rustix::path::Arg) -> io::Result<u64> {
    let status = rustix::fs::statx(directory, path, AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(status.stx_mnt_id)
}

/// What a mount table says about the propagation of the mount with this number.
fn optional_fields(table: &str, id: u64) -> Option<Vec<&str>> {
    let line = table.lines().find(|line| {
        let number = line.split(' ').next();
        number.and_then(|number| number.parse().ok()) == Some(id)
    })?;
    let fields = line.split(' ').skip(6);
    Some(fields.take_while(|&field| field != "-").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_is_between_the_options_and_the_dash() {
        let table = "21 20 0:1 / / rw - ext4 /dev/vda rw\n\
                     22 21 0:2 / /a rw,nosuid shared:7 - tmpfs none rw\n\
                     23 21 0:3 / /b rw master:7 propagate_from:2 - tmpfs none rw\n";
        assert_eq!(optional_fields(table, 21), Some(vec![]));
        assert_eq!(optional_fields(table, 22), Some(vec!["shared:7"]));
        assert_eq!(
            optional_fields(table, 23),
            Some(vec!["master:7", "propagate_from:2"])
        );
        assert_eq!(optional_fields(table, 2), None);
    }
}
