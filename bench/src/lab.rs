//! What every row needs: directories, images in every runner's store, the static app, the runners.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;
use crate::processes;
use crate::runners::{Floor, Podman, Podyard};

/// The place of all measurements.
pub(crate) struct Lab {
    pub(crate) directory: PathBuf,
    pub(crate) images: PathBuf,
    pub(crate) quick: bool,
    pub(crate) podyard: Podyard,
    /// Absent when it is not installed or cannot run a container here; why is in `podman_missing`.
    pub(crate) podman: Option<Podman>,
    pub(crate) podman_missing: Option<String>,
    pub(crate) floor: Floor,
    /// Where podyard-bench-app is.
    pub(crate) app_directory: PathBuf,
    /// Kept open for as long as podman runs: its helpers want a syslog.
    syslog: Option<UnixDatagram>,
    _volatile: Vec<Volatile>,
}

impl Lab {
    pub(crate) fn set_up(directory: &Path, images: &Path, quick: bool) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err("pods need namespaces and cgroups: run this as root".into());
        }
        fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let images = images
            .canonicalize()
            .map_err(|_| format!("{} is missing: run `make images`", images.display()))?;
        processes::become_subreaper()?;
        let own = std::env::current_exe()?;
        let binaries = own.parent().unwrap_or_else(|| Path::new("."));

        let app_directory = directory.join("app");
        if !app_directory.join("podyard-bench-app").exists() {
            return Err(format!(
                "{} has no podyard-bench-app: scripts/bench compiles it",
                app_directory.display()
            )
            .into());
        }

        // As on any system with a /run: what does not outlive a boot is in memory, for podyard as for podman.
        let mut volatile = Vec::new();
        for place in ["podyard/run", "podman/run", "podman/tmp"] {
            volatile.push(Volatile::mount(&directory.join(place))?);
        }
        let podyard = Podyard::set_up(
            &binaries.join("podyard"),
            &directory.join("podyard"),
            &images,
        )?;
        let floor = Floor::set_up(
            &binaries.join("podyard-bench-floor"),
            &directory.join("floor"),
            &images,
        )?;
        let syslog = syslog();
        let (podman, podman_missing) = match Podman::set_up(&directory.join("podman"), &images) {
            Ok(podman) => (Some(podman), None),
            Err(error) => {
                eprintln!("podyard-bench: going on without podman: {error}");
                (None, Some(error.to_string()))
            }
        };
        Ok(Self {
            directory,
            images,
            quick,
            podyard,
            podman,
            podman_missing,
            floor,
            app_directory,
            syslog,
            _volatile: volatile,
        })
    }

    /// An empty directory for stamps.
    pub(crate) fn out(&self, name: &str) -> Result<PathBuf> {
        let out = self.directory.join("out").join(name);
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out)?;
        Ok(out)
    }

    /// How often something is measured.
    pub(crate) fn runs(&self, usual: usize) -> usize {
        if self.quick { usual.min(3) } else { usual }
    }

    /// Between two rows: nothing of the last one is left.
    pub(crate) fn tidy(&self) {
        self.podyard.delete_all();
        if let Some(podman) = &self.podman {
            podman.remove_all();
        }
        if let Err(error) = processes::wait_for_all(Duration::from_secs(60)) {
            eprintln!("podyard-bench: {error}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.tidy();
        if self.syslog.is_some() {
            let _ = fs::remove_file(SYSLOG);
        }
    }
}

/// A directory on a tmpfs, which ends with this value.
struct Volatile(PathBuf);

impl Volatile {
    fn mount(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        // One that was left by a run that was killed is used again.
        let kind = rustix::fs::statfs(directory)?.f_type;
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        #[expect(
            clippy::useless_conversion,
            reason = "the width of f_type depends on the architecture"
        )]
        let kind = i64::from(kind);
        if kind != TMPFS_MAGIC {
            let (none, kind) = (None::<&str>, Some("tmpfs"));
            nix::mount::mount(kind, directory, kind, nix::mount::MsFlags::empty(), none)?;
        }
        Ok(Self(directory.to_owned()))
    }
}

impl Drop for Volatile {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

const SYSLOG: &str = "/dev/log";

/// podman 4.3 waits 20 s for every init container where no syslog listens. Where there is none, this one does; nobody reads it,
/// and senders do not wait.
fn syslog() -> Option<UnixDatagram> {
    let probe = UnixDatagram::unbound().ok()?;
    if probe.connect(SYSLOG).is_ok() {
        return None;
    }
    let _ = fs::remove_file(SYSLOG);
    let socket = UnixDatagram::bind(SYSLOG).ok()?;
    let reader = socket.try_clone().ok()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while reader.recv(&mut buffer).is_ok() {}
    });
    Some(socket)
}

/// The lines `NAME NANOSECONDS` that containers have left in `out`.
pub(crate) fn stamps(out: &Path) -> Vec<(String, i64)> {
    let text = fs::read_to_string(out.join("stamps")).unwrap_or_default();
    let line = |line: &str| {
        let (name, at) = line.split_once(' ')?;
        Some((name.to_owned(), at.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Waits for the stamp of a container and returns it.
pub(crate) fn stamp_of(out: &Path, name: &str) -> Result<i64> {
    let mut found = None;
    processes::wait_until(Duration::from_secs(120), name, || {
        found = stamps(out)
            .into_iter()
            .find(|(of, _)| of == name)
            .map(|(_, at)| at);
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| "no stamp".into())
}
