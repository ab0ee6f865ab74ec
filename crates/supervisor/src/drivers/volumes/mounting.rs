//! File systems that volumes are made of, mounted in the machine's own mount namespace so that they outlive every supervisor.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use super::super::containers::NotStarted;

/// A tmpfs of at most this size, unless one is there already. Its root directory is everybody's, or the group's when there is one.
pub(super) fn tmpfs(path: &Path, size_bytes: u64, group: Option<u32>) -> Result<(), String> {
    if is_mount_point(path) {
        return Ok(());
    }
    let mut options = format!("size={size_bytes},");
    options.push_str(&match group {
        // What the walk over a volume for `fsGroup` makes of 1777, from the first moment on.
        Some(group) => format!("mode=3777,gid={group}"),
        None => "mode=1777".to_owned(),
    });
    // Kernels before 6.4 do not know it; without swap it makes no difference.
    let unswappable = format!("{options},noswap");
    mount("tmpfs", path, &unswappable).or_else(|_| mount("tmpfs", path, &options))
}

/// A hugetlbfs with pages of this many bytes.
pub(super) fn hugetlbfs(path: &Path, page_bytes: u64, group: Option<u32>) -> Result<(), String> {
    if is_mount_point(path) {
        return Ok(());
    }
    let owner = group.map_or_else(String::new, |group| format!(",mode=2775,gid={group}"));
    mount("hugetlbfs", path, &format!("pagesize={page_bytes}{owner}"))
}

fn mount(kind: &str, path: &Path, options: &str) -> Result<(), String> {
    let text = CString::new(options).map_err(|error| error.to_string())?;
    rustix::mount::mount(kind, path, kind, MountFlags::empty(), text.as_c_str()).map_err(|errno| {
        format!(
            "mount {kind} with {options}: {}",
            std::io::Error::from(errno)
        )
    })
}

/// A mount point's directory and its parent are on different file systems.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let parent = path.parent().map(std::fs::metadata);
    let (Ok(here), Some(Ok(above))) = (std::fs::symlink_metadata(path), parent) else {
        return false;
    };
    here.dev() != above.dev()
}

/// Takes away whatever is mounted there, as often as something was.
pub(super) fn unmount(path: &Path) -> std::io::Result<()> {
    while is_mount_point(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// `HostToContainer` and `Bidirectional` need a place of the machine whose mounts go on to others; container runtimes refuse, in these
/// words, what would silently have no effect.
pub(in super::super) fn check_propagation(
    path: &Path,
    bidirectional: bool,
) -> Result<(), NotStarted> {
    let failed = |error: std::io::Error| {
        NotStarted::create(format!(
            "cannot look at the mount of {}: {error}",
            path.display()
        ))
    };
    let real = path.canonicalize().map_err(failed)?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(failed)?;
    propagation_of(&table, &real)
        .and_then(|(mount, propagates)| {
            let fits = if bidirectional {
                propagates == Propagates::Both
            } else {
                propagates != Propagates::No
            };
            let wanted = if bidirectional {
                "shared"
            } else {
                "shared or slave"
            };
            (!fits).then(|| {
                format!("path {path:?} is mounted on {mount:?} but it is not a {wanted} mount")
            })
        })
        .map_or(Ok(()), |message| Err(NotStarted::create(message)))
}

/// Whether mounts on one side appear on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagates {
    No,
    /// From the machine only.
    In,
    Both,
}

/// The mount point that a path is below, by the text of `mountinfo`, and its propagation. Later lines cover earlier ones.
fn propagation_of(table: &str, path: &Path) -> Option<(String, Propagates)> {
    let mut best: Option<(String, Propagates)> = None;
    for line in table.lines() {
        let Some((front, _)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = front.split(' ').collect();
        let Some(place) = fields.get(4).map(|place| unescape(place)) else {
            continue;
        };
        let covers = best
            .as_ref()
            .is_none_or(|(known, _)| place.len() >= known.len());
        if path.starts_with(&place) && covers {
            let has = |tag: &str| fields.iter().skip(6).any(|field| field.starts_with(tag));
            let propagates = match (has("shared:"), has("master:")) {
                (true, _) => Propagates::Both,
                (false, true) => Propagates::In,
                (false, false) => Propagates::No,
            };
            best = Some((place, propagates));
        }
    }
    best
}

/// Blanks and the like are written in octal there.
fn unescape(text: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(text.to_owned(), |text, (escape, meant)| {
            text.replace(escape, meant)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let table = "\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 0:25 / /mnt rw - tmpfs none rw
29 28 0:26 / /mnt/a\\040b rw master:7 - tmpfs none rw
30 27 0:27 / /both rw shared:3 master:7 - tmpfs none rw
31 27 0:28 / /covered rw shared:4 - tmpfs none rw
32 31 0:29 / /covered rw - tmpfs none rw
";
        for (path, mount, propagates) in [
            ("/data", "/", Propagates::Both),
            ("/mntx", "/", Propagates::Both),
            ("/mnt/x", "/mnt", Propagates::No),
            ("/mnt/a b/c", "/mnt/a b", Propagates::In),
            ("/both", "/both", Propagates::Both),
            ("/covered/x", "/covered", Propagates::No),
        ] {
            let found = propagation_of(table, Path::new(path));
            assert_eq!(found, Some((mount.to_owned(), propagates)), "{path}");
        }
    }
}
