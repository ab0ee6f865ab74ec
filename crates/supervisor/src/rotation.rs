//! Logs that have grown long are put aside, as the kubelet does it (`pod-lifecycle.md` section 12): `0.log` becomes
//! `0.log.20260131-235959`, older ones are compressed, and the oldest go.
//!
//! Compressing has a process of its own, `podyard internal compress FILE…`: it takes time that the pod's supervisor does not have.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use podyard_lifecycle::Timestamp;

use crate::limits;

/// Gives `log` another name and tidies up its older parts. The caller begins a new file.
pub(crate) fn put_aside(log: &Path, now: Timestamp) -> io::Result<()> {
    let stamp = crate::cri::rfc3339(now);
    // 2026-01-31T23:59:59.123456789Z
    let digits: String = stamp
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    let (date, time) = digits.split_at(8.min(digits.len()));
    let mut parts = older_parts(log)?;
    let newest = with_suffix(log, &format!(".{date}-{time}"));
    std::fs::rename(log, &newest)?;
    parts.push(newest);
    // With the current one there are `LOG_FILES`.
    while parts.len() >= limits::LOG_FILES {
        std::fs::remove_file(parts.remove(0))?;
    }
    parts.pop();
    parts.retain(|part| part.extension().is_none_or(|extension| extension != "gz"));
    compress_in_background(&parts)
}

/// Removes a log with everything that was put aside of it.
pub(crate) fn remove(log: &Path) {
    for path in older_parts(log).unwrap_or_default() {
        let _ = std::fs::remove_file(path);
    }
    let _ = std::fs::remove_file(log);
}

/// The parts that were put aside earlier, oldest first: their names are in the order of time.
fn older_parts(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut parts: Vec<PathBuf> = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "tmp"))
        .collect();
    parts.sort();
    Ok(parts)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn compress_in_background(parts: &[PathBuf]) -> io::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let child = Command::new("/proc/self/exe")
        .args(["internal", "compress"])
        .args(parts)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&child),
        rustix::process::PidfdFlags::empty(),
    )?;
    tokio::task::spawn_local(async move {
        let mut child = child;
        let _ = crate::ready::readable(&pidfd).await;
        let _ = child.wait();
    });
    Ok(())
}

/// Runs the role: each file is replaced by its compressed form.
pub fn run(files: impl Iterator<Item = OsString>) -> u8 {
    let failed = files
        .map(|file| compress(Path::new(&file)))
        .filter(Result::is_err);
    u8::from(failed.count() > 0)
}

fn compress(path: &Path) -> io::Result<()> {
    let half_done = with_suffix(path, ".tmp");
    let mut writer =
        flate2::write::GzEncoder::new(File::create(&half_done)?, flate2::Compression::default());
    io::copy(&mut File::open(path)?, &mut writer)?;
    writer.finish()?;
    std::fs::rename(&half_done, with_suffix(path, ".gz"))?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_part_goes_when_there_are_five() {
        let directory =
            std::env::temp_dir().join(format!("podyard-rotation-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        for part in [
            "0.log",
            "0.log.20260101-000001.gz",
            "0.log.20260101-000002.gz",
            "0.log.20260101-000003.gz",
            "0.log.20260101-000004.gz",
            "1.log",
        ] {
            std::fs::write(directory.join(part), part).expect("a file");
        }
        let now = Timestamp {
            seconds: 1_769_903_999,
            nanoseconds: 5,
        };
        put_aside(&directory.join("0.log"), now).expect("renamed");
        assert_eq!(
            names(&directory),
            [
                "0.log.20260101-000002.gz",
                "0.log.20260101-000003.gz",
                "0.log.20260101-000004.gz",
                "0.log.20260131-235959",
                "1.log"
            ]
        );
        std::fs::remove_dir_all(&directory).expect("own directory");
    }

    #[test]
    fn a_compressed_part_replaces_the_plain_one() {
        let directory =
            std::env::temp_dir().join(format!("podyard-compress-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("0.log.1");
        std::fs::write(&path, "text").expect("a file");
        assert_eq!(run([path.into_os_string()].into_iter()), 0);
        assert_eq!(names(&directory), ["0.log.1.gz"]);
        let file = File::open(directory.join("0.log.1.gz")).expect("a file");
        let text = io::read_to_string(flate2::read::GzDecoder::new(file)).expect("readable");
        assert_eq!(text, "text");
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
}
