//! The child's side: from birth to execve.
//!
//! ```text
//! isolate ─▶ cgroup ─▶ sources, while the host's paths are visible
//!         ─▶ join the sandbox ─▶ new mount (and cgroup) namespace ─▶ root, mounts           (a new container)
//!         ─▶ join the container                                                               (exec)
//!         ─▶ terminal, stdio, limits, keyring ─▶ READY ─▶ barrier ─▶ record ─▶ privileges ─▶ execve
//! ```
//!
//! Only system calls on memory the parent prepared: no allocation, no locks, no logging, no panics. A failed step is
//! reported over the channel and into the launch record, and ends the process with exit code 127.
//!
//! From its first instruction on nobody but root with every capability can look into this process: it is not dumpable, and
//! it has more capabilities than a container until execve gives it new memory.
#![expect(unsafe_code, reason = "execve(2) takes arrays of pointers")]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use super::stage::{Failure, InStage, REPORT_LIMIT, Signal, Stage, encode_failure, encode_signal};
use crate::capabilities::CapabilitySets;
use crate::lsm::{self, PreparedLabel};
use crate::mounts::attach::{self, Sources};
use crate::mounts::open_confined;
use crate::mounts::prepare::{PreparedMount, Target};
use crate::mounts::target::{self, Make};
use crate::plan::{OomScoreAdj, Rlimit, User};
use crate::rootfs::{self, PreparedRootfs};
use crate::sys::privileges::Instruction;
use crate::sys::{self, mount::MountAttr};

/// What the child exits with when it cannot become what it should.
pub(crate) const SETUP_FAILED: i32 = 127;
/// What it exits with when its creator is gone before the barrier opens.
const ABANDONED: i32 = 125;

/// Everything the child needs, in memory that exists before the clone.
#[derive(Debug)]
pub(crate) struct Script<'p> {
    /// The child's end of the launch channel.
    pub(crate) channel: BorrowedFd<'p>,
    /// Readable once its program may run.
    pub(crate) barrier: BorrowedFd<'p>,
    /// Where the outcome is noted for later.
    pub(crate) record: Option<BorrowedFd<'p>>,
    /// Every descriptor above 2 that stays open for now, in ascending order.
    pub(crate) keep: Vec<RawFd>,
    /// v1 cgroup directories to enter.
    pub(crate) cgroups: Vec<BorrowedFd<'p>>,
    pub(crate) oom_score_adj: Option<(CString, OomScoreAdj)>,
    pub(crate) security_label: Option<PreparedLabel>,
    pub(crate) entry: Entry<'p>,
    pub(crate) working_dir: Target,
    pub(crate) stdio: ScriptStdio<'p>,
    /// The machine's user that pipes among them are given to.
    pub(crate) stdio_owner: Option<u32>,
    pub(crate) program: ProgramScript<'p>,
}

/// How the child gets to where its program runs.
#[derive(Debug)]
pub(crate) enum Entry<'p> {
    /// It makes a new container.
    Container(ContainerEntry<'p>),
    /// It joins an existing one, given by the pidfd of a process in it.
    Join {
        pidfd: BorrowedFd<'p>,
        /// Whether that one has a user namespace of its own.
        user_namespace: bool,
    },
}

/// What makes a new container.
#[derive(Debug)]
pub(crate) struct ContainerEntry<'p> {
    pub(crate) rootfs: PreparedRootfs,
    pub(crate) readonly_rootfs: bool,
    pub(crate) mounts: Vec<PreparedMount<'p>>,
    pub(crate) masked_paths: &'p [Cow<'static, CStr>],
    pub(crate) readonly_paths: &'p [Cow<'static, CStr>],
    /// The sandbox, by pidfd.
    pub(crate) sandbox: BorrowedFd<'p>,
    pub(crate) cgroup_namespace: bool,
    /// The sandbox's user namespace, if it has its own.
    pub(crate) user_namespace: Option<BorrowedFd<'p>>,
}

/// Where 0, 1 and 2 come from.
#[derive(Debug)]
pub(crate) enum ScriptStdio<'p> {
    Files([BorrowedFd<'p>; 3]),
    Terminal {
        size: Option<(u16, u16)>,
        console: Option<Target>,
    },
}

/// What is run, and as whom.
#[derive(Debug)]
pub(crate) struct ProgramScript<'p> {
    /// `args[0]`, for reports.
    pub(crate) name: &'p CStr,
    /// Paths to try, in order.
    pub(crate) candidates: Vec<CString>,
    /// NULL-terminated.
    pub(crate) arguments: Vec<*const c_char>,
    /// NULL-terminated.
    pub(crate) environment: Vec<*const c_char>,
    pub(crate) user: &'p User,
    pub(crate) umask: u32,
    pub(crate) rlimits: &'p [Rlimit],
    pub(crate) no_new_privileges: bool,
    pub(crate) capabilities: CapabilitySets,
    pub(crate) filter: Option<&'p [Instruction]>,
}

/// Runs the script. Returns only when it failed, after reporting, with the exit code.
pub(crate) fn run(script: &Script<'_>, sources: &mut Sources) -> i32 {
    match set_up(script, sources) {
        Ok(()) => {}
        Err(failure) => return fail(script, &failure),
    }
    if !wait_at_barrier(script) {
        return ABANDONED;
    }
    let Err(failure) = begin(script);
    fail(script, &failure)
}

fn fail(script: &Script<'_>, failure: &Failure<'_>) -> i32 {
    let mut buffer = [0; REPORT_LIMIT];
    let report = encode_failure(failure, &mut buffer);
    if let Some(record) = script.record {
        // Nobody is left to tell about a failure to note the failure.
        let _ = rustix::io::write(record, report);
    }
    let _ = rustix::net::send(script.channel, report, SendFlags::NOSIGNAL);
    SETUP_FAILED
}

/// Everything before the barrier.
fn set_up<'s>(script: &'s Script<'_>, sources: &mut Sources) -> Result<(), Failure<'s>> {
    isolate(&script.keep).during(Stage::Isolate)?;
    enter_cgroups(&script.cgroups)?;
    if let Some((value, adjustment)) = &script.oom_score_adj {
        set_oom_score_adj(value, adjustment.required).on(Stage::OomScoreAdj, 0, value)?;
    }
    if let Some(label) = &script.security_label {
        lsm::set(label).on(Stage::SecurityLabel, 0, &label.name)?;
    }
    if let (ScriptStdio::Files(files), Some(owner)) = (&script.stdio, script.stdio_owner) {
        for file in files {
            hand_over(*file, owner).during(Stage::Stdio)?;
        }
    }
    let (root, working_directory) = match &script.entry {
        Entry::Container(entry) => enter_new_container(script, entry, sources)?,
        Entry::Join {
            pidfd,
            user_namespace,
        } => {
            let kinds = SHARED | ThreadNameSpaceType::CONTROL_GROUP;
            join(*pidfd, kinds, *user_namespace)?;
            let root = open_root().during(Stage::JoinNamespaces)?;
            let directory = target::lookup(root.as_fd(), &script.working_dir).on(
                Stage::WorkingDirectory,
                0,
                &script.working_dir.path,
            )?;
            (root, directory)
        }
    };
    enter_working_directory(&working_directory).on(
        Stage::WorkingDirectory,
        0,
        &script.working_dir.path,
    )?;
    connect_stdio(root.as_fd(), script)?;
    // What closes everything, below, must find nothing that still belongs to somebody.
    drop((root, working_directory));
    rustix::process::umask(Mode::from_raw_mode(script.program.umask));
    for (place, limit) in script.program.rlimits.iter().enumerate() {
        sys::privileges::set_limit(limit.resource, limit.soft, limit.hard).on(
            Stage::ResourceLimit,
            place,
            c"",
        )?;
    }
    sys::privileges::join_new_session_keyring().during(Stage::Keyring)?;
    close_all_but_reports(script).during(Stage::Isolate)
}

/// Leaves behind what belongs to the caller: its session, its descriptors, the signals it ignores.
pub(crate) fn isolate(keep: &[RawFd]) -> Result<(), Errno> {
    sys::privileges::set_dumpable(false)?;
    close_all_but(keep)?;
    rustix::process::setsid()?;
    sys::signals::reset_ignored();
    sys::signals::unblock_all();
    rustix::process::umask(Mode::empty());
    Ok(())
}

/// Closes every descriptor above 2 that is not in `keep`, which is in ascending order.
pub(crate) fn close_all_but(keep: &[RawFd]) -> Result<(), Errno> {
    let mut first = 3;
    for &fd in keep {
        let fd = u32::try_from(fd).map_err(|_| Errno::BADF)?;
        if fd > first {
            sys::namespaces::close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    sys::namespaces::close_range(first, u32::MAX)
}

/// Closes what leads to the host: the program's path, and that of its interpreter, are looked up with what is open then, and
/// could lead over `/proc/self/fd` to anything that is (CVE-2024-21626). What can still report goes with execve.
fn close_all_but_reports(script: &Script<'_>) -> Result<(), Errno> {
    let (channel, barrier) = (script.channel.as_raw_fd(), script.barrier.as_raw_fd());
    let Some(record) = script.record else {
        return close_all_but(&[channel.min(barrier), channel.max(barrier)]);
    };
    rustix::io::fcntl_setfd(record, rustix::io::FdFlags::CLOEXEC)?;
    let mut keep = [channel, barrier, record.as_raw_fd()];
    keep.sort_unstable();
    close_all_but(&keep)
}

/// v1 has no way to be born into a cgroup: the child enters by itself.
///
/// It has one thread, and of itself a thread is moved by `tasks` without the machine's lock over all forks and exits, whose taking waits
/// until every processor has passed through the scheduler (`cgroup_procs_write_start` since Linux 5.5). `cgroup.procs` would take it.
pub(crate) fn enter_cgroups<'p>(directories: &[BorrowedFd<'_>]) -> Result<(), Failure<'p>> {
    for directory in directories {
        let enter = || {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let tasks = rustix::fs::openat(directory, c"tasks", flags, Mode::empty())?;
            rustix::io::write(&tasks, b"0").map(drop)
        };
        enter().during(Stage::Cgroup)?;
    }
    Ok(())
}

/// Through the host's procfs, which is still visible.
pub(crate) fn set_oom_score_adj(value: &CStr, required: bool) -> Result<(), Errno> {
    let set = || {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
        rustix::io::write(&file, value.to_bytes()).map(drop)
    };
    match set() {
        Err(Errno::ACCESS | Errno::PERM) if !required => Ok(()),
        other => other,
    }
}

/// The namespaces that all containers of a pod share, and the mounts.
const SHARED: ThreadNameSpaceType = ThreadNameSpaceType::MOUNT
    .union(ThreadNameSpaceType::NETWORK)
    .union(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION)
    .union(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME);

/// Joins the namespaces of a process, and with its user namespace gives up every privilege outside of it.
fn join<'p>(
    pidfd: BorrowedFd<'_>,
    kinds: ThreadNameSpaceType,
    user_namespace: bool,
) -> Result<(), Failure<'p>> {
    if !user_namespace {
        return sys::namespaces::join(pidfd, kinds).during(Stage::JoinNamespaces);
    }
    let kinds = kinds | ThreadNameSpaceType::USER;
    sys::namespaces::join(pidfd, kinds).during(Stage::JoinNamespaces)?;
    become_root().during(Stage::Identity)
}

/// Becomes user 0 of a user namespace that was just entered: until then the process is nobody there, and can make no file.
pub(crate) fn become_root() -> Result<(), Errno> {
    sys::privileges::set_groups(&[])?;
    sys::privileges::set_gid(0)?;
    sys::privileges::set_uid(0)
}

/// Builds the container's file system and enters it. Gives the new root and the working directory (`O_PATH`).
fn enter_new_container<'s>(
    script: &'s Script<'_>,
    entry: &'s ContainerEntry<'_>,
    sources: &mut Sources,
) -> Result<(OwnedFd, OwnedFd), Failure<'s>> {
    let root = rootfs::open(&entry.rootfs, entry.user_namespace)?;
    if entry.user_namespace.is_some() {
        // A sysfs shows the network namespace in which it is made, and here it is made before the rest is joined.
        let network = ThreadNameSpaceType::NETWORK;
        sys::namespaces::join(entry.sandbox, network).during(Stage::JoinNamespaces)?;
    }
    attach::open_sources(&entry.mounts, entry.user_namespace, sources)?;

    join(entry.sandbox, SHARED, entry.user_namespace.is_some())?;
    let mut new = UnshareFlags::NEWNS;
    if entry.cgroup_namespace {
        new |= UnshareFlags::NEWCGROUP;
    }
    sys::namespaces::unshare(new).during(Stage::NewNamespaces)?;

    let toolbox = open_root().during(Stage::NewNamespaces)?;
    cover_root(root.as_fd(), toolbox.as_fd()).during(Stage::ChangeRoot)?;
    attach::attach_all(root.as_fd(), toolbox.as_fd(), &entry.mounts, sources)?;
    if let ScriptStdio::Terminal { size, console } = &script.stdio {
        make_terminal(root.as_fd(), script, *size, console.as_ref()).during(Stage::Terminal)?;
    }
    attach::mask(root.as_fd(), toolbox.as_fd(), entry.masked_paths)?;
    attach::make_read_only(root.as_fd(), entry.readonly_paths)?;
    // The working directory is made while the root can still be written to.
    let working_directory = target::resolve(root.as_fd(), &script.working_dir, Make::Directory)
        .on(Stage::WorkingDirectory, 0, &script.working_dir.path)?;
    if entry.readonly_rootfs {
        let read_only = MountAttr {
            set: sys::mount::RDONLY,
            ..MountAttr::default()
        };
        sys::mount::set_attributes(root.as_fd(), c"", false, &read_only).during(Stage::Rootfs)?;
    }
    Ok((root, working_directory))
}

pub(crate) fn open_root() -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/", flags, Mode::empty())
}

/// Puts `root` on top of the sandbox's root, and makes it the root of this process.
///
/// What is on top of a mount namespace's root is its root for whoever enters it (setns(2)), and `..` of it is itself, so no chroot(2)
/// leads below; below is the sandbox's root, which is read-only and holds nothing of the machine. pivot_root(2) would do the same for more:
/// it looks at the root of every process of the machine, and taking the old root away waits for all processors.
fn cover_root(root: BorrowedFd<'_>, covered: BorrowedFd<'_>) -> Result<(), Errno> {
    use rustix::mount::MoveMountFlags;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(root, c"", covered, c"", flags)?;
    rustix::process::fchdir(root)?;
    rustix::process::chroot(c".")
}

/// Makes `root` the root of this mount namespace and lets go of the old one.
pub(crate) fn change_root(root: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    // The old root is put on top of the new one, from where it is taken away again (pivot_root(2), "pivot_root(".", ".")").
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", rustix::mount::UnmountFlags::DETACH)?;
    rustix::process::fchdir(root)
}

fn enter_working_directory(directory: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(directory)?;
    // A directory that is not below the root (as a descriptor from outside would be) has a path that does not begin with a
    // slash.
    let mut buffer = [0_u8; 4096];
    let length = sys::namespaces::working_directory(&mut buffer)?;
    if length == 0 || buffer[0] != b'/' {
        Err(Errno::XDEV)
    } else {
        Ok(())
    }
}

fn connect_stdio<'s>(root: BorrowedFd<'_>, script: &'s Script<'_>) -> Result<(), Failure<'s>> {
    match &script.stdio {
        ScriptStdio::Files(files) => {
            for (target, file) in (0..).zip(files) {
                sys::namespaces::duplicate_onto(*file, target).during(Stage::Stdio)?;
            }
            Ok(())
        }
        // A new container has made its terminal while it was being built.
        ScriptStdio::Terminal { .. } if matches!(script.entry, Entry::Container(_)) => Ok(()),
        ScriptStdio::Terminal { size, .. } => {
            make_terminal(root, script, *size, None).during(Stage::Terminal)
        }
    }
}

/// Pipes belong to whoever made them, and opening `/dev/stdout` again checks that. Container runtimes give them to the
/// container's user.
fn hand_over(file: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    let mode = rustix::fs::fstat(file)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Fifo {
        return Ok(());
    }
    match rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(uid)), None) {
        // Not ours to give: it stays usable as descriptor 0, 1 or 2.
        Err(Errno::PERM | Errno::ROFS) => Ok(()),
        other => other,
    }
}

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Makes a terminal in the container's devpts, sends its master side to the parent and puts its other side on 0, 1, 2.
fn make_terminal(
    root: BorrowedFd<'_>,
    script: &Script<'_>,
    size: Option<(u16, u16)>,
    console: Option<&Target>,
) -> Result<(), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let master = open_confined(root, c"dev/pts/ptmx", flags, resolve)?;
    // An image or a process in the container could have put something else there.
    #[expect(
        clippy::useless_conversion,
        reason = "the width of f_type depends on the architecture"
    )]
    if i64::from(rustix::fs::fstatfs(&master)?.f_type) != DEVPTS_SUPER_MAGIC {
        return Err(Errno::NODEV);
    }
    rustix::pty::unlockpt(&master)?;
    // The other side is opened through the master, not by a name that could lead elsewhere.
    let open = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, open)?;
    if let Some((columns, rows)) = size {
        let size = rustix::termios::Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, size)?;
    }
    let owner = rustix::fs::Uid::from_raw(script.program.user.uid);
    rustix::fs::fchown(&terminal, Some(owner), None)?;
    if let Some(console) = console {
        let tree = attach::clone_tree(terminal.as_fd(), c"", false)?;
        let place = target::resolve(root, console, Make::File)?;
        attach::move_onto(&tree, &place)?;
    }
    send_with(script.channel, Signal::Terminal, master.as_fd())?;
    for target in 0..3 {
        sys::namespaces::duplicate_onto(terminal.as_fd(), target)?;
    }
    rustix::process::ioctl_tiocsctty(&terminal)
}

/// Says something and gives a descriptor with it.
pub(crate) fn send_with(
    channel: BorrowedFd<'_>,
    signal: Signal,
    descriptor: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut buffer = [0; REPORT_LIMIT];
    let packet = encode_signal(signal, &mut buffer);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let content = [std::io::IoSlice::new(packet)];
    rustix::net::sendmsg(channel, &content, &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Says that everything is ready and waits for permission. False when the creator is gone.
fn wait_at_barrier(script: &Script<'_>) -> bool {
    let mut buffer = [0; REPORT_LIMIT];
    let ready = encode_signal(Signal::Ready, &mut buffer);
    if rustix::net::send(script.channel, ready, SendFlags::NOSIGNAL).is_err() {
        return false;
    }
    let mut both = [
        PollFd::from_borrowed_fd(script.barrier, PollFlags::IN),
        // Nothing comes from there but its end.
        PollFd::from_borrowed_fd(script.channel, PollFlags::IN),
    ];
    loop {
        match rustix::event::poll(&mut both, None) {
            Ok(_) => return both[0].revents().contains(PollFlags::IN),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Everything after the barrier.
fn begin<'s>(script: &'s Script<'_>) -> Result<std::convert::Infallible, Failure<'s>> {
    let program = &script.program;
    if let Some(record) = script.record {
        let mut buffer = [0; REPORT_LIMIT];
        let started = encode_signal(Signal::Started, &mut buffer);
        rustix::io::write(record, started).during(Stage::Record)?;
    }
    // Without no_new_privs a filter can be loaded only by a process with CAP_SYS_ADMIN, so it comes before the loss of
    // privileges and has to allow what follows. With no_new_privs it comes last and may forbid all of it but execve.
    let load = |filter| sys::privileges::load_filter(filter, false).during(Stage::Seccomp);
    if let (Some(filter), false) = (program.filter, program.no_new_privileges) {
        load(filter)?;
    }
    change_identity(program)?;
    if program.no_new_privileges {
        sys::privileges::set_no_new_privileges().during(Stage::Capabilities)?;
        program.filter.map_or(Ok(()), load)?;
    }
    execute(program)
}

fn change_identity<'s>(program: &'s ProgramScript<'_>) -> Result<(), Failure<'s>> {
    use sys::privileges;
    let sets = &program.capabilities;
    for capability in 0..64 {
        if sets.bounding.bits() & (1 << capability) != 0 {
            continue;
        }
        match privileges::drop_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last capability of this kernel.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).during(Stage::Capabilities),
        }
    }
    let user = program.user;
    privileges::set_keep_capabilities(true).during(Stage::Capabilities)?;
    privileges::set_groups(&user.additional_gids).during(Stage::Identity)?;
    privileges::set_gid(user.gid).during(Stage::Identity)?;
    privileges::set_uid(user.uid).during(Stage::Identity)?;
    privileges::set_keep_capabilities(false).during(Stage::Capabilities)?;
    privileges::set_capabilities(
        sets.effective.bits(),
        sets.permitted.bits(),
        sets.inheritable.bits(),
    )
    .during(Stage::Capabilities)?;
    if sets.ambient.bits() != 0 {
        for capability in sets.ambient.iter() {
            privileges::raise_ambient(u32::from(capability.number()))
                .during(Stage::Capabilities)?;
        }
        return Ok(());
    }
    privileges::clear_ambient().during(Stage::Capabilities)
}

/// Tries the candidates in order, as the search of a PATH does: what is absent or not executable is passed over.
fn execute<'s>(program: &'s ProgramScript<'_>) -> Result<std::convert::Infallible, Failure<'s>> {
    let mut reason = Errno::NOENT;
    for candidate in &program.candidates {
        // SAFETY: the arrays are NULL-terminated and their strings, like the candidate, outlive the call.
        unsafe {
            libc::execve(
                candidate.as_ptr(),
                program.arguments.as_ptr(),
                program.environment.as_ptr(),
            );
        }
        let errno = sys::last_errno();
        match errno {
            // The same answer is given for a program that exists but whose interpreter does not.
            Errno::NOENT | Errno::NOTDIR if !is_executable(candidate) => {}
            Errno::ACCESS => reason = access_reason(candidate),
            _ => return Err(errno).on(Stage::Execute, 0, candidate),
        }
    }
    Err(reason).on(Stage::FindProgram, 0, program.name)
}

/// Executes an open file, whatever its path is by now. Both arrays end with NULL.
pub(crate) fn execute_descriptor(
    executable: BorrowedFd<'_>,
    arguments: &[*const c_char],
    environment: &[*const c_char],
) -> Result<std::convert::Infallible, Errno> {
    // SAFETY: both arrays are NULL-terminated, and their strings outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            executable.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Err(sys::last_errno())
}

fn is_executable(path: &CStr) -> bool {
    let access = rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, path, access, AtFlags::EACCESS).is_ok()
}

fn access_reason(path: &CStr) -> Errno {
    let directory =
        rustix::fs::stat(path).is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_dir());
    if directory {
        Errno::ISDIR
    } else {
        Errno::ACCESS
    }
}

/// Descriptors in ascending order, each once: the form [`Script::keep`] wants.
pub(crate) fn sorted(mut descriptors: Vec<RawFd>) -> Vec<RawFd> {
    descriptors.sort_unstable();
    descriptors.dedup();
    descriptors
}

/// The raw descriptors of the parts of a script that both kinds of launch have.
pub(crate) fn common_descriptors(script: &Script<'_>) -> Vec<RawFd> {
    let mut fds = vec![script.channel.as_raw_fd(), script.barrier.as_raw_fd()];
    fds.extend(script.record.iter().map(AsRawFd::as_raw_fd));
    fds.extend(script.cgroups.iter().map(AsRawFd::as_raw_fd));
    if let ScriptStdio::Files(files) = &script.stdio {
        fds.extend(files.iter().map(AsRawFd::as_raw_fd));
    }
    fds
}
