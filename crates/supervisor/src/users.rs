//! Which users of the machine are those of a pod with a user namespace of its own (`hostUsers: false`, `pod-api.md` section 6.9).
//!
//! A range is reserved by a file named by its number, which says whose it is; making that file is atomic. The pod's UID decides where the
//! search begins, so that instances of podyard that do not know of each other hardly ever meet.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use podyard_linux::UserNamespace;
use sha2::{Digest, Sha256};

use crate::roots::Roots;

/// Users of one pod, as many as with the kubelet.
const COUNT: u32 = 65_536;
/// Ranges there are. The first one is the machine's own users, the last one ends in a number that means nobody.
const RANGES: u32 = u32::MAX / COUNT;

/// The range of a pod, which it keeps until [`release`].
///
/// # Errors
///
/// When none is free, or the state directory cannot be written.
pub(crate) fn reserve(roots: &Roots, uid: &str) -> io::Result<UserNamespace> {
    let directory = roots.users();
    fs::create_dir_all(&directory)?;
    if let Some(number) = of_pod(&directory, uid)? {
        return Ok(range(number));
    }
    let taken = delegated();
    for number in candidates(uid) {
        if taken.iter().any(|taken| overlaps(number, *taken)) {
            continue;
        }
        if take(&directory, number, uid, roots)? {
            return Ok(range(number));
        }
    }
    Err(io::Error::other("no range of users is free"))
}

/// Gives the pod's range up, if it has one.
pub(crate) fn release(roots: &Roots, uid: &str) {
    let directory = roots.users();
    if let Ok(Some(number)) = of_pod(&directory, uid) {
        let _ = fs::remove_file(directory.join(number.to_string()));
    }
}

fn range(number: u32) -> UserNamespace {
    UserNamespace {
        first_uid: number * COUNT,
        first_gid: number * COUNT,
        count: COUNT,
    }
}

fn candidates(uid: &str) -> impl Iterator<Item = u32> {
    let digest = Sha256::digest(uid.as_bytes());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let ranges = RANGES - 1;
    (0..ranges).map(move |offset| 1 + (start % ranges + offset) % ranges)
}

fn of_pod(directory: &Path, uid: &str) -> io::Result<Option<u32>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let owner = fs::read_to_string(entry.path()).unwrap_or_default();
        if owner == uid {
            return Ok(entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok()));
        }
    }
    Ok(None)
}

/// Whether the range is this pod's now. That of a pod which is gone without having released it is free.
fn take(directory: &Path, number: u32, uid: &str, roots: &Roots) -> io::Result<bool> {
    let path: PathBuf = directory.join(number.to_string());
    for _ in 0..2 {
        match fs::File::options().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(uid.as_bytes())?;
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let owner = fs::read_to_string(&path)?;
                // An empty file is being written by somebody else.
                if owner.is_empty() || roots.pod(&owner).data.exists() {
                    return Ok(false);
                }
                fs::remove_file(&path)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// First and count of the ranges that users of this machine may give to processes of their own.
fn delegated() -> Vec<(u32, u32)> {
    ["/etc/subuid", "/etc/subgid"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>())
        .collect()
}

/// `user:first:count`.
fn parse(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':').skip(1);
    Some((
        fields.next()?.parse().ok()?,
        fields.next()?.trim().parse().ok()?,
    ))
}

fn overlaps(number: u32, (first, count): (u32, u32)) -> bool {
    let own = u64::from(number) * u64::from(COUNT);
    let (first, count) = (u64::from(first), u64::from(count));
    own < first + count && first < own + u64::from(COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_its_range_and_shares_it_with_none() {
        let root = std::env::temp_dir().join(format!("podyard-users-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("temporary directory");
        let roots = Roots::resolve(Some(&root)).expect("absolute");
        for uid in ["one", "two", "three"] {
            fs::create_dir_all(roots.pod(uid).data).expect("pod");
        }
        let one = reserve(&roots, "one").expect("a range");
        let two = reserve(&roots, "two").expect("a range");
        assert_ne!(one, two);
        assert_eq!(reserve(&roots, "one").expect("the same"), one);
        assert_eq!(one.first_uid % COUNT, 0);
        assert!(one.first_uid >= COUNT);

        // Somebody has the range that a pod would begin with.
        let first = candidates("three").next().expect("a candidate");
        fs::write(roots.users().join(first.to_string()), "one").expect("file");
        assert_ne!(
            reserve(&roots, "three").expect("a range").first_uid,
            first * COUNT
        );
        release(&roots, "three");
        // Its pod is gone.
        fs::write(roots.users().join(first.to_string()), "nobody").expect("file");
        assert_eq!(
            reserve(&roots, "three").expect("a range").first_uid,
            first * COUNT
        );
        fs::remove_dir_all(&root).expect("own directory");
    }

    #[test]
    fn ranges_of_others_are_left_alone() {
        assert_eq!(parse("alice:100000:65536"), Some((100_000, 65_536)));
        assert_eq!(parse("alice"), None);
        for (number, overlap) in [(1, true), (2, true), (3, false)] {
            assert_eq!(overlaps(number, (100_000, 65_536)), overlap, "{number}");
        }
        assert!(overlaps(RANGES - 1, (u32::MAX - 70_000, 70_000)));
    }

    #[test]
    fn every_range_is_a_candidate_once() {
        let mut all: Vec<u32> = candidates("x").collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), (RANGES - 1) as usize);
        assert_eq!((all[0], all[all.len() - 1]), (1, RANGES - 1));
    }
}
