//! Looking up a path that others may have a hand in, without leaving the directory that it is looked up in.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// How often a lookup is tried again. One that nobody disturbs on purpose needs a second try at most, since what it read from
/// the disk is in memory by then; nobody who renames for ever can keep a launch from ending.
const TRIES: usize = 1000;

/// openat2(2), close-on-exec, that follows no magic link. `resolve` says what confines it.
///
/// When such a lookup meets `..`, the kernel gives it up with `EAGAIN` if anything was renamed or mounted meanwhile, anywhere on
/// the machine; it leaves to the caller how often to try. With other pods starting that is nothing rare. Uses no heap.
///
/// # Errors
///
/// What openat2(2) says; `EAGAIN` only after a thousand tries.
pub fn open_confined<P: Arg + Copy>(
    directory: impl AsFd,
    path: P,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let directory = directory.as_fd();
    let flags = flags | OFlags::CLOEXEC;
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn renames_elsewhere_do_not_disturb_it() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("root")).expect("the root");
        fs::create_dir(directory.path().join("root/below")).expect("a directory in it");
        let elsewhere = [directory.path().join("one"), directory.path().join("other")];
        fs::create_dir(&elsewhere[0]).expect("a directory beside it");
        let root = File::open(directory.path().join("root")).expect("open");
        let path = c"below/../../below/../../below";
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&elsewhere[0], &elsewhere[1]).expect("there");
                    fs::rename(&elsewhere[1], &elsewhere[0]).expect("and back");
                }
            });
            // The kernel alone gives up, sooner or later.
            let confined = ResolveFlags::IN_ROOT;
            let once = || rustix::fs::openat2(&root, path, OFlags::PATH, Mode::empty(), confined);
            let disturbed = std::iter::repeat_with(once).find_map(Result::err);
            let failed =
                std::iter::repeat_with(|| open_confined(&root, path, OFlags::PATH, confined))
                    .take(20_000)
                    .find_map(Result::err);
            done.store(true, Ordering::Relaxed);
            assert_eq!((disturbed, failed), (Some(Errno::AGAIN), None));
        });
    }
}
