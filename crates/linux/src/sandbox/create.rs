//! Making a sandbox: the parent's preparation, and the child's way from birth to the execve of `pause`.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::{Sandbox, SandboxError, SandboxNetwork, SandboxPlan, pause};
use crate::cgroup::Cgroup;
use crate::container::oom_score_adj;
use crate::idmap::UserNamespace;
use crate::mounts::attach;
use crate::plan::OomScoreAdj;
use crate::process::init::{self, SETUP_FAILED};
use crate::process::spawn::{self, Birth};
use crate::process::stage::{
    Failure, InStage, REPORT_LIMIT, Signal, Stage, encode_failure, encode_signal,
};
use crate::process::{Launch, Process, launch_channel};
use crate::sys::{self, mount::MountAttr};

/// Where the sandbox finds its program, and how process lists call it.
const PROGRAM: &CStr = c"/pause";

/// Everything the child needs, in memory that exists before the clone.
struct Script<'p> {
    channel: BorrowedFd<'p>,
    keep: Vec<i32>,
    cgroups: Vec<BorrowedFd<'p>>,
    oom_score_adj: Option<(CString, OomScoreAdj)>,
    hostname: Option<CString>,
    domainname: Option<CString>,
    /// Path below `/proc/sys`, and value.
    sysctls: Vec<(CString, CString)>,
    /// Becomes 0, 1 and 2.
    null: BorrowedFd<'p>,
    /// With a user namespace of its own: `/dev/null` as a detached mount, since no device can be made there.
    null_mount: Option<BorrowedFd<'p>>,
    /// The content of the program that it becomes.
    program: &'p [u8],
    /// The places that containers see their cgroups at, where there are several.
    cgroup_names: &'p [CString],
    arguments: Vec<*const c_char>,
    environment: [*const c_char; 1],
}

impl Sandbox {
    /// Makes the sandbox and waits until its namespaces are as planned, not until its program has been executed.
    ///
    /// # Errors
    /// When the plan is impossible, the kernel refuses, or a step of the set-up fails. Nothing is left behind then.
    pub fn create(plan: &SandboxPlan<'_>) -> Result<Self, SandboxError> {
        let parent = |attempt| {
            move |errno: Errno| SandboxError::Parent {
                attempt,
                source: errno.into(),
            }
        };
        let (parent_end, child_end) = launch_channel().map_err(|error| SandboxError::Parent {
            attempt: "make the launch channel",
            source: io::Error::other(error),
        })?;
        let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(parent("open /dev/null"))?;
        let null_mount = plan
            .user_namespace
            .map(|_| null_mount())
            .transpose()
            .map_err(parent("open /dev/null"))?;
        let program = pause::program();
        let mut script = Script {
            channel: child_end.as_fd(),
            keep: Vec::new(),
            // In a user namespace of its own it has no privilege left for either; its creator sees to them.
            cgroups: plan
                .cgroup
                .filter(|_| plan.user_namespace.is_none())
                .map(|c| c.attach_directories().collect())
                .unwrap_or_default(),
            oom_score_adj: plan
                .oom_score_adj
                .filter(|_| plan.user_namespace.is_none())
                .map(oom_score_adj),
            hostname: plan.new_uts.then(|| name(&plan.hostname)).transpose()?,
            domainname: plan
                .domainname
                .as_deref()
                .filter(|_| plan.new_uts)
                .map(name)
                .transpose()?,
            sysctls: sysctls(plan)?,
            null: null.as_fd(),
            null_mount: null_mount.as_ref().map(AsFd::as_fd),
            program: &program,
            cgroup_names: &plan.cgroup_names,
            arguments: std::iter::once(PROGRAM)
                .chain(plan.arguments.iter().map(CString::as_c_str))
                .map(CStr::as_ptr)
                .chain(std::iter::once(std::ptr::null()))
                .collect(),
            environment: [std::ptr::null()],
        };
        let mut keep: Vec<i32> = script.cgroups.iter().map(AsRawFd::as_raw_fd).collect();
        keep.extend(script.null_mount.iter().map(AsRawFd::as_raw_fd));
        keep.extend([script.channel, script.null].map(|fd| fd.as_raw_fd()));
        script.keep = init::sorted(keep);

        let birth = Birth {
            new_namespaces: new_namespaces(plan),
            cgroup: plan.cgroup.and_then(Cgroup::birth_directory),
            pid_namespace: None,
        };
        let (pid, pidfd) =
            spawn::spawn(&birth, || run(&script)).map_err(|source| SandboxError::Parent {
                attempt: "make a process",
                source,
            })?;
        drop(child_end);
        let process = Process::of_new_child(pid, pidfd).map_err(|source| SandboxError::Parent {
            attempt: "identify the process",
            source,
        })?;
        finish(process, parent_end, plan)
    }
}

/// `/dev/null` of the machine, for what is masked.
fn null_mount() -> Result<OwnedFd, Errno> {
    let tree = attach::clone_tree(rustix::fs::CWD, c"/dev/null", false)?;
    let attributes = MountAttr {
        set: sys::mount::RDONLY | sys::mount::NOSUID,
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    sys::mount::set_attributes(tree.as_fd(), c"", false, &attributes)?;
    Ok(tree)
}

/// What only the creator can do for a process in a new user namespace, which waits for it.
fn give_users(
    process: &Process,
    channel: &OwnedFd,
    users: &UserNamespace,
    plan: &SandboxPlan<'_>,
) -> io::Result<()> {
    users.write(process.pid())?;
    if let Some(cgroup) = plan.cgroup {
        cgroup.attach_v1(process.pid()).map_err(io::Error::other)?;
    }
    if let Some(adjustment) = plan.oom_score_adj {
        let file = format!("/proc/{}/oom_score_adj", process.pid());
        let written = std::fs::write(file, adjustment.value.to_string());
        if adjustment.required {
            written?;
        }
    }
    rustix::net::send(channel, &[1], SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for the child's word and takes its namespaces; ends the child when something is wrong.
fn finish(
    process: Process,
    channel: OwnedFd,
    plan: &SandboxPlan<'_>,
) -> Result<Sandbox, SandboxError> {
    let given = plan
        .user_namespace
        .as_ref()
        .map_or(Ok(()), |users| give_users(&process, &channel, users, plan));
    let mut launch = Launch::new(process, channel, None);
    let ready = given.and_then(|()| launch.wait_set_up());
    let sysfs = launch.take_descriptor();
    let Launch { process, .. } = launch;
    let sandbox = match ready {
        Ok(Ok(())) => process
            .try_clone()
            .and_then(Sandbox::of)
            .map(|sandbox| Sandbox { sysfs, ..sandbox })
            .map_err(|source| SandboxError::Parent {
                attempt: "open the namespaces",
                source,
            }),
        Ok(Err(error)) => Err(SandboxError::Stage(error)),
        Err(source) => Err(SandboxError::Parent {
            attempt: "hear from the process",
            source,
        }),
    };
    if sandbox.is_err() {
        // It is our child and nobody else knows it yet.
        let _ = process.signal(libc::SIGKILL);
        let _ = process.wait_exited(None);
        let _ = process.reap();
    }
    sandbox
}

fn new_namespaces(plan: &SandboxPlan<'_>) -> u64 {
    let flag = |on: bool, flag: i32| if on { flag as u64 } else { 0 };
    libc::CLONE_NEWNS as u64
        | flag(plan.network == SandboxNetwork::New, libc::CLONE_NEWNET)
        | flag(plan.new_ipc, libc::CLONE_NEWIPC)
        | flag(plan.new_uts, libc::CLONE_NEWUTS)
        | flag(plan.share_process_namespace, libc::CLONE_NEWPID)
        | flag(plan.user_namespace.is_some(), libc::CLONE_NEWUSER)
}

fn name(text: &str) -> Result<CString, SandboxError> {
    const LIMIT: usize = 64;
    CString::new(text)
        .ok()
        .filter(|name| name.count_bytes() <= LIMIT)
        .ok_or(SandboxError::Plan {
            what: "a host or domain name that is longer than 64 bytes or holds a NUL byte",
        })
}

/// Names may be written with dots or with slashes; with slashes when a part holds a dot, as interface names can.
fn sysctls(plan: &SandboxPlan<'_>) -> Result<Vec<(CString, CString)>, SandboxError> {
    let convert = |(name, value): &(String, String)| {
        let refused = |why| SandboxError::Sysctl {
            name: name.clone(),
            why,
        };
        let path = if name.contains('/') {
            name.clone()
        } else {
            name.replace('.', "/")
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if !path.split('/').all(plain) {
            return Err(refused("is no name of a sysctl"));
        }
        if !is_of_the_sandbox(&path, plan) {
            return Err(refused("would change the machine and not only the pod"));
        }
        let nul = |_| refused("holds a NUL byte in its name or value");
        let path = CString::new(path).map_err(nul)?;
        Ok((path, CString::new(value.as_str()).map_err(nul)?))
    };
    plan.sysctls.iter().map(convert).collect()
}

/// Whether a sysctl belongs to a namespace that the sandbox has for itself. All others are the machine's.
fn is_of_the_sandbox(path: &str, plan: &SandboxPlan<'_>) -> bool {
    const OF_IPC: [&str; 12] = [
        "auto_msgmni",
        "msg_next_id",
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "sem_next_id",
        "shm_next_id",
        "shm_rmid_forced",
        "shmall",
        "shmmax",
        "shmmni",
    ];
    if path.starts_with("net/") {
        return plan.network == SandboxNetwork::New;
    }
    let of_kernel = path.strip_prefix("kernel/");
    plan.new_ipc
        && (path.starts_with("fs/mqueue/") || of_kernel.is_some_and(|name| OF_IPC.contains(&name)))
}

// From here on: the child. No heap, no locks, no panics.

fn run(script: &Script<'_>) -> i32 {
    let Err(failure) = become_pause(script);
    let mut buffer = [0; REPORT_LIMIT];
    let report = encode_failure(&failure, &mut buffer);
    let _ = rustix::net::send(script.channel, report, SendFlags::NOSIGNAL);
    SETUP_FAILED
}

fn become_pause<'s>(script: &'s Script<'_>) -> Result<std::convert::Infallible, Failure<'s>> {
    init::isolate(&script.keep).during(Stage::Isolate)?;
    if script.null_mount.is_some() {
        // Until its creator has said who it is.
        let mut go = [0_u8; 1];
        rustix::io::read(script.channel, &mut go).during(Stage::Isolate)?;
        init::become_root().during(Stage::Identity)?;
    }
    if let Some((value, adjustment)) = &script.oom_score_adj {
        init::set_oom_score_adj(value, adjustment.required).on(Stage::OomScoreAdj, 0, value)?;
    }
    for (names, set) in [
        (
            &script.hostname,
            rustix::system::sethostname as fn(&[u8]) -> Result<(), Errno>,
        ),
        (&script.domainname, rustix::system::setdomainname),
    ] {
        if let Some(name) = names {
            set(name.to_bytes()).on(Stage::Hostname, 0, name)?;
        }
    }
    write_sysctls(&script.sysctls)?;
    build_root(script).during(Stage::Rootfs)?;
    for target in 0..3 {
        sys::namespaces::duplicate_onto(script.null, target).during(Stage::Stdio)?;
    }
    // With users of its own it may not make one.
    let sysfs = match script.null_mount {
        None => attach::file_system(c"sysfs", &[], 0).ok(),
        Some(_) => None,
    };
    let told = match &sysfs {
        Some(sysfs) => init::send_with(script.channel, Signal::Ready, sysfs.as_fd()),
        None => {
            let mut buffer = [0; REPORT_LIMIT];
            let ready = encode_signal(Signal::Ready, &mut buffer);
            rustix::net::send(script.channel, ready, SendFlags::NOSIGNAL).map(drop)
        }
    };
    told.during(Stage::Isolate)?;
    drop(sysfs);

    // What follows takes time and concerns only this process.
    init::enter_cgroups(&script.cgroups)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let program = rustix::fs::open(PROGRAM, flags, Mode::empty()).during(Stage::Execute)?;
    give_up_privileges().during(Stage::Identity)?;
    sys::signals::block_all();
    let environment = &script.environment;
    init::execute_descriptor(program.as_fd(), &script.arguments, environment).during(Stage::Execute)
}

/// For good: without new privileges root gets none back by execve (capabilities(7)).
fn give_up_privileges() -> Result<(), Errno> {
    sys::privileges::set_no_new_privileges()?;
    sys::privileges::clear_ambient()?;
    sys::privileges::set_capabilities(0, 0, 0)
}

fn write_sysctls<'s>(sysctls: &'s [(CString, CString)]) -> Result<(), Failure<'s>> {
    let Some((first, _)) = sysctls.first() else {
        return Ok(());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(c"/proc/sys", flags, Mode::empty()).on(Stage::Sysctl, 0, first)?;
    for (place, (name, value)) in sysctls.iter().enumerate() {
        let set = || {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&directory, name.as_c_str(), flags, Mode::empty())?;
            rustix::io::write(&file, value.to_bytes()).map(drop)
        };
        set().on(Stage::Sysctl, place, name)?;
    }
    Ok(())
}

/// Replaces the copy of the host's mounts by a small root with what containers of this pod need.
fn build_root(script: &Script<'_>) -> Result<(), Errno> {
    let Script {
        null_mount,
        program,
        cgroup_names,
        ..
    } = script;
    let host = init::open_root()?;
    let private = MountAttr {
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    sys::mount::set_attributes(host.as_fd(), c"", true, &private)?;

    let root = attach::tmpfs(
        c"podyard",
        &[(c"mode", c"755"), (c"size", c"64k")],
        sys::mount::NOSUID,
    )?;
    for directory in [c"shm", c"empty"] {
        rustix::fs::mkdirat(&root, directory, Mode::from_raw_mode(0o755))?;
    }
    if !cgroup_names.is_empty() {
        rustix::fs::mkdirat(&root, attach::CGROUP_HOLDER, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let holder = rustix::fs::openat(&root, attach::CGROUP_HOLDER, flags, Mode::empty())?;
        attach::make_places(holder.as_fd(), cgroup_names.iter().map(CString::as_c_str))?;
    }
    if null_mount.is_some() {
        attach::empty_file(root.as_fd(), c"null")?;
    } else {
        let null = rustix::fs::makedev(1, 3);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(&root, c"null", FileType::CharacterDevice, mode, null)?;
    }

    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&root, pause::NAME, flags, Mode::from_raw_mode(0o555))?;
    if rustix::io::write(&file, program)? != program.len() {
        return Err(Errno::NOSPC);
    }
    // What is open for writing cannot be executed.
    drop(file);

    let flags = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&root, c"", &host, c".", flags)?;
    let restricted = sys::mount::NOSUID | sys::mount::NODEV | sys::mount::NOEXEC;
    let shm = attach::tmpfs(c"shm", &[(c"mode", c"1777"), (c"size", c"64m")], restricted)?;
    rustix::mount::move_mount(&shm, c"", &root, c"shm", flags)?;
    if let Some(null) = *null_mount {
        attach::check_device(null, 1, 3)?;
        rustix::mount::move_mount(null, c"", &root, c"null", flags)?;
    }
    drop(host);
    init::change_root(root.as_fd())?;
    let read_only = MountAttr {
        set: sys::mount::RDONLY,
        ..MountAttr::default()
    };
    sys::mount::set_attributes(root.as_fd(), c"", false, &read_only)
}
