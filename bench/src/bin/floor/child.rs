//! From birth to execve: system calls on what the parent prepared.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use podyard_linux::seccomp::Program;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    open_tree,
};

use crate::{Group, Pod, sys, text};

const MASKED: [&CStr; 12] = [
    c"proc/asound",
    c"proc/acpi",
    c"proc/interrupts",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
    c"proc/scsi",
    c"sys/firmware",
    c"sys/devices/virtual/powercap",
];
const READ_ONLY: [&CStr; 5] = [
    c"proc/bus",
    c"proc/fs",
    c"proc/irq",
    c"proc/sys",
    c"proc/sysrq-trigger",
];
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];
const RESTRICTED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Which step failed, and how.
type Failure = (&'static str, Errno);

/// Everything the child needs, made before the clone.
pub(crate) struct Plan<'p> {
    lower: CString,
    upper: CString,
    work: CString,
    /// Where the new root is attached for the moment.
    root: CString,
    /// An empty directory and `/dev/null`, to hide things under.
    empty: CString,
    shm: CString,
    /// Host path, path in the container (relative), read-only.
    binds: Vec<(CString, &'static CStr, bool)>,
    /// Name below /sys/fs/cgroup (`None` on v2) and host path.
    cgroups: Vec<(Option<CString>, CString)>,
    enter: Vec<BorrowedFd<'p>>,
    output: BorrowedFd<'p>,
    null: BorrowedFd<'p>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    capabilities: u64,
    filter: Arc<Program>,
}

impl<'p> Plan<'p> {
    pub(crate) fn new(
        pod: &Pod,
        own: &Path,
        name: &str,
        group: &'p Group,
        output: BorrowedFd<'p>,
        null: BorrowedFd<'p>,
    ) -> io::Result<Self> {
        let etc = pod.directory.join("etc");
        let hierarchy = |path: &Path| {
            // …/<controller>/<parent>/<container>
            let controller = path
                .ancestors()
                .nth(2)
                .and_then(Path::file_name)
                .unwrap_or_default();
            text(Path::new(controller))
        };
        let unified = group.birth().is_some();
        let cgroups = group
            .paths
            .iter()
            .map(|path| {
                Ok((
                    (!unified).then(|| hierarchy(path)).transpose()?,
                    text(path)?,
                ))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            lower: text(&pod.rootfs)?,
            upper: text(&own.join("upper"))?,
            work: text(&own.join("work"))?,
            root: text(&pod.directory.join("root"))?,
            empty: text(&pod.directory.join("empty"))?,
            shm: text(&pod.directory.join("shm"))?,
            binds: vec![
                (text(&etc.join("hosts"))?, c"etc/hosts", false),
                (text(&etc.join("hostname"))?, c"etc/hostname", false),
                (text(&etc.join("resolv.conf"))?, c"etc/resolv.conf", false),
                (
                    text(&own.join("termination-log"))?,
                    c"dev/termination-log",
                    false,
                ),
                (text(&pod.app)?, c"bench", true),
                (text(&pod.out)?, c"out", false),
            ],
            cgroups,
            enter: group.to_enter(),
            output,
            null,
            arguments: ["/bench/podyard-bench-app", "stamp", "/out/stamps", name]
                .map(CString::new)
                .into_iter()
                .collect::<Result<_, _>>()?,
            environment: [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOSTNAME=floor",
                "HOME=/root",
            ]
            .map(CString::new)
            .into_iter()
            .collect::<Result<_, _>>()?,
            capabilities: pod.capabilities.bits(),
            filter: Arc::clone(&pod.filter),
        })
    }

    /// Becomes the program of the container. Returns only when a step failed.
    pub(crate) fn become_container(&self) -> Failure {
        match self.set_up() {
            Ok(_) => ("execute", Errno::INVAL),
            Err(failure) => failure,
        }
    }

    fn set_up(&self) -> Result<Infallible, Failure> {
        sys::forbid_dumps().map_err(at("forbid dumps"))?;
        rustix::process::setsid().map_err(at("start a session"))?;
        for directory in &self.enter {
            let file = rustix::fs::openat(
                directory,
                c"cgroup.procs",
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            file.and_then(|file| rustix::io::write(file, b"0"))
                .map_err(at("enter a cgroup"))?;
        }
        let score = rustix::fs::open(
            c"/proc/self/oom_score_adj",
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        score
            .and_then(|file| rustix::io::write(file, b"1000"))
            .map_err(at("set the oom score"))?;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).map_err(|error| {
            (
                "make a cgroup namespace",
                Errno::from_raw_os_error(error as i32),
            )
        })?;
        rustix::process::umask(Mode::empty());

        let root = self.overlay().map_err(at("make the root file system"))?;
        // What comes from the host is opened while its paths are visible.
        let binds = self
            .binds
            .iter()
            .map(|(source, target, read_only)| Ok((clone_tree(source)?, *target, *read_only)))
            .collect::<Result<Vec<_>, Errno>>()
            .map_err(at("open a volume"))?;
        self.kernel_file_systems(root.as_fd())
            .map_err(at("mount a kernel file system"))?;
        for (tree, target, read_only) in binds {
            if read_only {
                make_read_only(&tree).map_err(at("make a volume read-only"))?;
            }
            let is_directory =
                rustix::fs::fstat(&tree).map(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
            make_target(
                root.as_fd(),
                target,
                is_directory.map_err(at("look at a volume"))?,
            )
            .map_err(at("make a mount point"))?;
            attach(&tree, root.as_fd(), target).map_err(at("mount a volume"))?;
        }
        for path in MASKED {
            self.mask(root.as_fd(), path).map_err(at("mask a path"))?;
        }
        for path in READ_ONLY {
            protect(root.as_fd(), path).map_err(at("protect a path"))?;
        }
        rustix::process::fchdir(&root)
            .and_then(|()| rustix::process::pivot_root(c".", c"."))
            .and_then(|()| rustix::mount::unmount(c".", UnmountFlags::DETACH))
            .and_then(|()| rustix::process::fchdir(&root))
            .map_err(at("enter the root file system"))?;

        rustix::stdio::dup2_stdin(self.null)
            .and_then(|()| rustix::stdio::dup2_stdout(self.output))
            .and_then(|()| rustix::stdio::dup2_stderr(self.output))
            .map_err(at("connect standard output"))?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        sys::new_keyring().map_err(at("make a keyring"))?;
        sys::close_on_exec().map_err(at("close descriptors"))?;
        sys::load_filter(self.filter.instructions()).map_err(at("load the filter"))?;
        self.drop_privileges().map_err(at("drop capabilities"))?;
        Err(("execute", sys::execute(&self.arguments, &self.environment)))
    }

    fn overlay(&self) -> Result<OwnedFd, Errno> {
        let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, c"lowerdir+", self.lower.as_c_str())?;
        fsconfig_set_string(&fs, c"upperdir", self.upper.as_c_str())?;
        fsconfig_set_string(&fs, c"workdir", self.work.as_c_str())?;
        fsconfig_set_flag(&fs, c"volatile")?;
        fsconfig_create(&fs)?;
        let root = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        move_mount(
            &root,
            c"",
            CWD,
            self.root.as_c_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?;
        Ok(root)
    }

    fn kernel_file_systems(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        let mount = |tree: &OwnedFd, target: &'static CStr| {
            make_target(root, target, true)?;
            attach(tree, root, target)
        };
        mount(&file_system(c"proc", &[], RESTRICTED)?, c"proc")?;

        let strict = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
        let dev = file_system(c"tmpfs", &[(c"mode", c"755"), (c"size", c"65536k")], strict)?;
        for (name, major, minor) in DEVICES {
            let mode = Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(
                &dev,
                name,
                FileType::CharacterDevice,
                mode,
                makedev(major, minor),
            )?;
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, &dev, name)?;
        }
        mount(&dev, c"dev")?;
        let options = [
            (c"newinstance", c""),
            (c"ptmxmode", c"0666"),
            (c"mode", c"0620"),
            (c"gid", c"5"),
        ];
        let pts = file_system(
            c"devpts",
            &options,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )?;
        mount(&pts, c"dev/pts")?;
        mount(&file_system(c"mqueue", &[], RESTRICTED)?, c"dev/mqueue")?;
        mount(&clone_tree(&self.shm)?, c"dev/shm")?;
        let read_only = RESTRICTED | MountAttrFlags::MOUNT_ATTR_RDONLY;
        mount(&file_system(c"sysfs", &[], read_only)?, c"sys")?;
        self.cgroup_view(root)
    }

    /// The container's own cgroup directories, read-only.
    fn cgroup_view(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        if let [(None, path)] = self.cgroups.as_slice() {
            let tree = clone_tree(path)?;
            make_read_only(&tree)?;
            return attach(&tree, root, c"sys/fs/cgroup");
        }
        let holder = file_system(
            c"tmpfs",
            &[(c"mode", c"755"), (c"size", c"64k")],
            RESTRICTED,
        )?;
        attach(&holder, root, c"sys/fs/cgroup")?;
        for (name, path) in &self.cgroups {
            let Some(name) = name else { continue };
            rustix::fs::mkdirat(&holder, name.as_c_str(), Mode::from_raw_mode(0o555))?;
            let tree = clone_tree(path)?;
            make_read_only(&tree)?;
            move_mount(
                &tree,
                c"",
                &holder,
                name.as_c_str(),
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            )?;
        }
        make_read_only(&holder)
    }

    fn mask(&self, root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
        let place =
            match rustix::fs::openat(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(place) => place,
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            };
        let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode).is_dir();
        let cover = if is_directory {
            clone_tree(&self.empty)?
        } else {
            clone_tree(c"/dev/null")?
        };
        if is_directory {
            make_read_only(&cover)?;
        }
        onto(&cover, &place)
    }

    fn drop_privileges(&self) -> Result<(), Errno> {
        for capability in (0..64).filter(|bit| self.capabilities & (1 << bit) == 0) {
            match sys::drop_bounding(capability) {
                Ok(()) => {}
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno),
            }
        }
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_gid(rustix::process::Gid::ROOT)?;
        rustix::thread::set_thread_uid(rustix::process::Uid::ROOT)?;
        sys::set_capabilities(self.capabilities)?;
        sys::clear_ambient()
    }
}

fn at(step: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| (step, errno)
}

fn file_system(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    flags: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&fs, *key)?;
        } else {
            fsconfig_set_string(&fs, *key, *value)?;
        }
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

fn clone_tree(path: &CStr) -> Result<OwnedFd, Errno> {
    open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE,
    )
}

fn attach(tree: &OwnedFd, root: BorrowedFd<'_>, target: &CStr) -> Result<(), Errno> {
    move_mount(
        tree,
        c"",
        root,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

fn onto(tree: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", place, c"", flags)
}

fn protect(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let tree = match open_tree(
        root,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    ) {
        Ok(tree) => tree,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    make_read_only(&tree)?;
    attach(&tree, root, path)
}

fn make_read_only(tree: &OwnedFd) -> Result<(), Errno> {
    sys::make_read_only(tree.as_fd())
}

/// The image may lack what is mounted upon.
fn make_target(root: BorrowedFd<'_>, target: &CStr, is_directory: bool) -> Result<(), Errno> {
    let made = if is_directory {
        rustix::fs::mkdirat(root, target, Mode::from_raw_mode(0o755))
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        rustix::fs::openat(root, target, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
