//! Puts a container together for the launcher: command, environment, identity, mounts, limits.

use std::ffi::CString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use podyard_api::core::{Container, VolumeMount};
use podyard_image::Image;
use podyard_lifecycle::ContainerIndex;
use podyard_linux::cgroup::Resources;
use podyard_linux::{
    Access, CapabilitySet, CapabilitySets, Cgroup, ContainerPlan, Launch, LaunchError, Mount,
    OomScoreAdj, PidNamespace, Propagation, Rootfs, Sandbox, Stdio, User, seccomp,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::containers::NotStarted;
use super::{World, volumes};
use crate::translate::security::{self, Seccomp};
use crate::translate::user::{Accounts, Identity};
use crate::translate::{self, environment, files, resources, user};

/// Everything about a container that does not depend on descriptors.
pub(super) struct Config {
    pub(super) persona: Persona,
    pub(super) resources: Resources,
    pub(super) stop_signal: i32,
    rootfs: Rootfs,
    readonly_rootfs: bool,
    args: Vec<CString>,
    mounts: Vec<Mount>,
    privileged: bool,
    pid: PidChoice,
}

#[derive(Clone, Copy)]
enum PidChoice {
    Own,
    Shared,
    Host,
}

/// Who a process of a container is and what it finds in its environment; the same for the container's program and for every exec.
pub(super) struct Persona {
    pub(super) identity: Identity,
    /// What the manifest gives: the variables that `$(VAR)` in a command line can name.
    given: Vec<(String, String)>,
    pub(super) env: Vec<CString>,
    pub(super) working_dir: CString,
    pub(super) no_new_privileges: bool,
    pub(super) capabilities: CapabilitySet,
    pub(super) seccomp: Seccomp,
    oom_score: i32,
}

impl Persona {
    pub(super) fn oom_score_adj(&self) -> OomScoreAdj {
        OomScoreAdj {
            value: i16::try_from(self.oom_score).unwrap_or_default(),
            required: false,
        }
    }

    pub(super) fn user(&self) -> User {
        User {
            uid: self.identity.uid,
            gid: self.identity.gid,
            additional_gids: self.identity.groups.clone(),
        }
    }
}

pub(super) fn persona(
    world: &World,
    container: &Container,
    image: &Image,
) -> Result<Persona, NotStarted> {
    let account_files = world.accounts_of(image);
    let accounts = Accounts {
        passwd: &account_files.passwd,
        group: &account_files.group,
    };
    world.with_facts(|facts| {
        let given = environment::of_container(container, facts).map_err(NotStarted::config)?;
        let identity = user::identity(container, &image.config.user, accounts, facts)
            .map_err(NotStarted::config)?;
        let mut env = environment::of_process(
            &image.config,
            &given,
            &facts.hostname(),
            container.tty == Some(true),
        );
        if environment::find(&env, "HOME").is_none() {
            env.push(("HOME".to_owned(), identity.home.clone()));
        }
        let own_dir = container
            .working_dir
            .as_deref()
            .filter(|dir| !dir.is_empty());
        let image_dir = Some(image.config.working_dir.as_str()).filter(|dir| !dir.is_empty());
        Ok(Persona {
            env: env
                .into_iter()
                .map(|(name, value)| c_string(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
            working_dir: c_string(own_dir.or(image_dir).unwrap_or("/"))?,
            no_new_privileges: security::no_new_privileges(container),
            capabilities: security::capabilities(container).map_err(NotStarted::create)?,
            seccomp: security::seccomp(container, facts, world.default_seccomp),
            oom_score: resources::oom_score(container, facts, world.machine_memory),
            identity,
            given,
        })
    })
}

pub(super) fn config(
    world: &World,
    index: ContainerIndex,
    image: &Image,
    data: &Path,
) -> Result<Config, NotStarted> {
    let container = world
        .container(index)
        .ok_or_else(|| NotStarted::create("no such container"))?;
    let persona = persona(world, container, image)?;
    let args = translate::command_line(container, &image.config, &persona.given)
        .map_err(NotStarted::create)?;
    let spec = world.spec();
    Ok(Config {
        resources: resources::of_container(container, security::is_privileged(container)),
        stop_signal: stop_signal(image.config.stop_signal.as_deref()),
        rootfs: Rootfs::Overlay {
            layers: image.layers.clone(),
            upper: data.join("upper"),
            work: data.join("work"),
        },
        readonly_rootfs: security::readonly_rootfs(container),
        args: args.into_iter().map(c_string).collect::<Result<_, _>>()?,
        mounts: mounts(world, container, data)?,
        privileged: security::is_privileged(container),
        pid: match (
            spec.host_pid == Some(true),
            spec.share_process_namespace == Some(true),
        ) {
            (true, _) => PidChoice::Host,
            (false, true) => PidChoice::Shared,
            (false, false) => PidChoice::Own,
        },
        persona,
    })
}

fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, NotStarted> {
    CString::new(text)
        .map_err(|_| NotStarted::create("a command, variable or path holds a NUL byte"))
}

/// A number or a name, with or without `SIG`; `SIGTERM` when the image says nothing that can be read.
fn stop_signal(text: Option<&str>) -> i32 {
    const NAMES: [(&str, i32); 31] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("CHLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("IO", 29),
        ("PWR", 30),
        ("SYS", 31),
    ];
    let text = text.unwrap_or_default();
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            number
        } else {
            15
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name
        .strip_prefix("RTMIN+")
        .and_then(|offset| offset.parse::<i32>().ok())
    {
        return 34 + offset.clamp(0, 30);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(15, |(_, number)| *number)
}

/// The volumes and the files that the kubelet writes; a mount of the manifest replaces one of ours at the same place.
/// A VOLUME of the image needs nothing: its directory is in the writable layer, which is new for every instance.
fn mounts(world: &World, container: &Container, data: &Path) -> Result<Vec<Mount>, NotStarted> {
    let io = |what: &'static str| {
        move |error: std::io::Error| NotStarted::create(format!("cannot write {what}: {error}"))
    };
    let mut wanted: Vec<Mount> = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        wanted.push(volume_mount(world, container, mount)?);
    }
    let is_free = |wanted: &[Mount], path: &str| {
        !wanted
            .iter()
            .any(|mount| mount.destination == Path::new(path))
    };

    let readonly = security::readonly_rootfs(container);
    let etc = world.dirs.data.join("etc");
    std::fs::create_dir_all(&etc).map_err(io("the pod's files"))?;
    let texts = world.with_facts(|facts| {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let resolv = read("/etc/resolv.conf");
        [
            (
                "/etc/hosts",
                "hosts",
                files::hosts(facts, &read("/etc/hosts")),
                false,
            ),
            (
                "/etc/hostname",
                "hostname",
                format!("{}\n", facts.hostname()),
                readonly,
            ),
            (
                "/etc/resolv.conf",
                "resolv.conf",
                files::resolv_conf(facts, &read(files::resolv_conf_source(&resolv))),
                readonly,
            ),
        ]
    });
    for (destination, name, text, is_readonly) in texts {
        if !is_free(&wanted, destination) {
            continue;
        }
        let path = etc.join(name);
        write_in_place(&path, &text).map_err(io("the pod's files"))?;
        let mount = Mount::bind(path, destination);
        wanted.push(if is_readonly {
            mount.read_only()
        } else {
            mount
        });
    }
    let message_path = container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log");
    if is_free(&wanted, message_path) {
        let path = data.join("termination-log");
        std::fs::write(&path, "").map_err(io("the termination message file"))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&path, mode).map_err(io("the termination message file"))?;
        wanted.push(Mount::bind(path, message_path));
    }
    wanted.sort_by_key(Mount::depth);
    Ok(wanted)
}

/// In place and not renamed: running containers have this very file mounted. One that says this already is left alone: to empty
/// and refill it costs a file system on a disk milliseconds, for every container again.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    let is_written = || -> std::io::Result<bool> {
        // A container can have put anything of any size there.
        let mut known = Vec::new();
        let limit = text.len() as u64 + 1;
        std::fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut known)?;
        Ok(known == text.as_bytes())
    };
    if is_written().unwrap_or_default() {
        return Ok(());
    }
    std::fs::write(path, text)
}

/// The kernel's file systems before the container's own mounts, of which each replaces one at the same place.
fn with_defaults(
    world: &World,
    defaults: Vec<Mount>,
    wanted: Vec<Mount>,
    privileged: bool,
) -> Vec<Mount> {
    let host_ipc = world.spec().host_ipc == Some(true);
    let mut all: Vec<Mount> = defaults
        .into_iter()
        .filter(|mount| {
            !wanted
                .iter()
                .any(|own| own.destination == mount.destination)
        })
        .map(|mount| match mount.destination.to_str() {
            Some("/dev/shm") if host_ipc => Mount::bind("/dev/shm", "/dev/shm"),
            Some("/sys" | "/sys/fs/cgroup") if privileged => Mount {
                access: Access::ReadWrite,
                ..mount
            },
            _ => mount,
        })
        .collect();
    all.extend(wanted);
    all
}

fn volume_mount(
    world: &World,
    container: &Container,
    mount: &VolumeMount,
) -> Result<Mount, NotStarted> {
    let volume = world
        .spec()
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == mount.name)
        .ok_or_else(|| {
            NotStarted::config(format!(
                "cannot find volume {:?} to mount into container {:?}",
                mount.name, container.name
            ))
        })?;
    let source = volumes::host_path(volume, &world.dirs);
    let destination = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
    let mut plan = match sub_path {
        None => Mount::bind(source, destination),
        Some(sub_path) => Mount::bind_fd(
            open_sub_path(&source, sub_path, mount, container)?,
            destination,
        ),
    };
    let read_only = mount.read_only == Some(true) || volumes::is_read_only(volume);
    plan.access = match (read_only, mount.recursive_read_only.as_deref()) {
        (false, _) => Access::ReadWrite,
        (true, Some("Enabled" | "IfPossible")) => Access::RecursiveReadOnly,
        (true, _) => Access::ReadOnly,
    };
    plan.propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::Slave,
        Some("Bidirectional") => Propagation::Shared,
        _ => Propagation::Private,
    };
    Ok(plan)
}

/// Resolved inside the volume, whatever links a container has made there (CVE-2017-1002101, CVE-2021-25741): what is mounted is what was
/// opened. A missing one is created as a directory, one component at a time.
fn open_sub_path(
    volume: &Path,
    sub_path: &str,
    mount: &VolumeMount,
    container: &Container,
) -> Result<OwnedFd, NotStarted> {
    let failed = |what: &str| {
        NotStarted::config(format!(
            "failed to {what} for volumeMount {:?} of container {:?}",
            mount.name, container.name
        ))
    };
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|_| failed("prepare subPath"))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| rustix::fs::openat2(&root, path, flags, Mode::empty(), confined);
    let mut so_far = PathBuf::new();
    for component in Path::new(sub_path).components() {
        let parent = if so_far.as_os_str().is_empty() {
            Path::new(".").to_path_buf()
        } else {
            so_far.clone()
        };
        so_far.push(component);
        if open(&so_far).is_err() {
            let parent = open(&parent).map_err(|_| failed("prepare subPath"))?;
            match rustix::fs::mkdirat(&parent, component.as_os_str(), Mode::from_raw_mode(0o750)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(_) => return Err(failed("create subPath directory")),
            }
        }
    }
    open(Path::new(sub_path)).map_err(|_| failed("prepare subPath"))
}

/// Hands the whole plan to the launcher.
pub(super) fn spawn(
    world: &World,
    sandbox: &Sandbox,
    config: Config,
    cgroup: Option<&Cgroup>,
    [stdin, stdout, stderr]: [OwnedFd; 3],
    launch_record: OwnedFd,
) -> Result<Launch, LaunchError> {
    let persona = config.persona;
    let mut plan = ContainerPlan::new(
        sandbox,
        config.rootfs,
        config.args,
        Stdio::Files {
            stdin,
            stdout,
            stderr,
        },
    );
    plan.user = persona.user();
    plan.oom_score_adj = Some(persona.oom_score_adj());
    plan.readonly_rootfs = config.readonly_rootfs;
    plan.mounts = with_defaults(
        world,
        std::mem::take(&mut plan.mounts),
        config.mounts,
        config.privileged,
    );
    if config.privileged {
        plan.masked_paths.clear();
        plan.readonly_paths.clear();
        plan.cgroup_namespace = false;
    }
    plan.env = persona.env;
    plan.working_dir = persona.working_dir;
    plan.no_new_privileges = persona.no_new_privileges;
    plan.capabilities = CapabilitySets::of(persona.capabilities);
    plan.seccomp = filter(world, persona.seccomp, persona.capabilities);
    plan.pid_namespace = match config.pid {
        PidChoice::Own => PidNamespace::New,
        PidChoice::Shared => PidNamespace::Sandbox,
        PidChoice::Host => PidNamespace::Host,
    };
    plan.cgroup = cgroup;
    plan.launch_record = Some(launch_record);
    plan.spawn()
}

/// Compiled once per set of capabilities, which is what the default profile depends on.
pub(super) fn filter(
    world: &World,
    choice: Seccomp,
    capabilities: CapabilitySet,
) -> Option<Arc<seccomp::Program>> {
    if choice == Seccomp::Unconfined {
        return None;
    }
    let mut known = world.live.seccomp.borrow_mut();
    Some(Arc::clone(
        known
            .entry(capabilities.bits())
            .or_insert_with(|| seccomp::runtime_default(capabilities)),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn stop_signals_by_name_and_number() {
        for (text, expected) in [
            (None, 15),
            (Some("SIGQUIT"), 3),
            (Some("quit"), 3),
            (Some("9"), 9),
            (Some("SIGRTMIN+3"), 37),
            (Some("nonsense"), 15),
        ] {
            assert_eq!(stop_signal(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_is_only_written_when_it_says_something_else() {
        let path = std::env::temp_dir().join(format!("podyard-in-place-{}", std::process::id()));
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        std::fs::write(&path, "one").expect("temporary file");
        let is_old_after = |text: &str| {
            let file = File::options().write(true).open(&path).expect("own file");
            file.set_modified(long_ago).expect("own file");
            write_in_place(&path, text).expect("own file");
            assert_eq!(std::fs::read_to_string(&path).expect("own file"), text);
            file.metadata().and_then(|m| m.modified()).expect("time") == long_ago
        };
        assert!(is_old_after("one"));
        // What is there is a part of what is wanted, and the other way round.
        assert!(!is_old_after("one and more"));
        assert!(!is_old_after("one"));
        std::fs::remove_file(&path).expect("own file");
    }
}
