//! User namespaces: which users of the machine those of a pod are.
//!
//! A pod with a user namespace of its own (`hostUsers: false`) has a range of the machine's users and groups; inside they count
//! from 0. Files that others see as well keep the numbers they have inside: layers and volumes are mounted so that the kernel
//! translates (idmapped mounts). The machine sees the processes, and what they write into their own root filesystem, under
//! numbers that own nothing else.

use std::io;
use std::os::unix::fs::MetadataExt;

/// The users and groups of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserNamespace {
    /// The machine's user that is user 0 inside.
    pub first_uid: u32,
    /// The machine's group that is group 0 inside.
    pub first_gid: u32,
    /// How many of both there are; the kubelet gives each pod 65536.
    pub count: u32,
}

impl UserNamespace {
    /// Whether this machine can give pods user namespaces: Linux 6.15, where they are not switched off.
    #[must_use]
    pub fn are_supported() -> bool {
        let release = rustix::system::uname();
        let allowed = std::fs::read_to_string("/proc/sys/user/max_user_namespaces");
        is_recent(&release.release().to_string_lossy())
            && allowed.is_ok_and(|count| count.trim() != "0")
    }

    /// The machine's number of a user of the pod, if it has that user.
    #[must_use]
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        (uid < self.count)
            .then(|| self.first_uid.checked_add(uid))
            .flatten()
    }

    /// Gives a process in a new user namespace its users, which the caller must be privileged to do.
    pub(crate) fn write(&self, pid: i32) -> io::Result<()> {
        for (file, first) in [("uid_map", self.first_uid), ("gid_map", self.first_gid)] {
            let map = format!("0 {first} {}", self.count);
            std::fs::write(format!("/proc/{pid}/{file}"), map)?;
        }
        Ok(())
    }

    /// That of a process, by its number; `None` when it is in the caller's.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Self>> {
        let namespace = std::fs::metadata(format!("/proc/{pid}/ns/user"))?.ino();
        if namespace == std::fs::metadata("/proc/self/ns/user")?.ino() {
            return Ok(None);
        }
        let read = |file: &str| {
            let map = std::fs::read_to_string(format!("/proc/{pid}/{file}"))?;
            parse(&map).ok_or_else(|| {
                let what = format!("`/proc/{pid}/{file}` does not begin with user 0");
                io::Error::new(io::ErrorKind::InvalidData, what)
            })
        };
        let ((first_uid, count), (first_gid, _)) = (read("uid_map")?, read("gid_map")?);
        Ok(Some(Self {
            first_uid,
            first_gid,
            count,
        }))
    }
}

/// Whether a kernel can make overlays of detached mounts, by its release, such as `6.15.2-amd64`.
fn is_recent(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

/// First outer number and count of a map's first line, `inner outer count`.
fn parse(map: &str) -> Option<(u32, u32)> {
    let mut numbers = map.split_ascii_whitespace().map(str::parse);
    match (numbers.next()?, numbers.next()?, numbers.next()?) {
        (Ok(0), Ok(outer), Ok(count)) => Some((outer, count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_count_from_the_first() {
        let users = UserNamespace {
            first_uid: 131_072,
            first_gid: 65_536,
            count: 65_536,
        };
        assert_eq!(users.host_uid(0), Some(131_072));
        assert_eq!(users.host_uid(65_535), Some(196_607));
        assert_eq!(users.host_uid(65_536), None);
        let last = UserNamespace {
            first_uid: u32::MAX,
            ..users
        };
        assert_eq!(last.host_uid(1), None);
    }

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, expected) in [
            ("6.15.0", true),
            ("6.18.44-fc-v595", true),
            ("7.0", true),
            ("6.9.1", false),
            ("5.20.0", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_recent(release), expected, "{release}");
        }
    }

    #[test]
    fn maps_are_read_as_the_kernel_prints_them() {
        assert_eq!(
            parse("         0     131072      65536\n"),
            Some((131_072, 65_536))
        );
        assert_eq!(parse("1 2 3\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_callers_own_namespace_is_none() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert_eq!(UserNamespace::of(own).expect("readable"), None);
    }
}
