//! Puts a container together for the launcher: command, environment, identity, mounts, limits.

mod devices;
mod mount_points;
mod mounts;
mod persona;
mod stop_signal;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use podyard_image::Image;
use podyard_lifecycle::ContainerIndex;
use podyard_linux::cgroup::{Limit, Resources};
use podyard_linux::{
    CapabilitySet, CapabilitySets, Cgroup, ContainerPlan, LAYER_LIMIT, Launch, LaunchError, Mount,
    PidNamespace, Rootfs, Sandbox, Stdio,
};

use super::World;
use super::containers::{LiveContainer, NotStarted};
use crate::roots::ContainerDirs;
use crate::translate::{self, resources, security};

pub(super) use mounts::write_own_files;
pub(super) use persona::{Persona, persona};

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
    whole_proc: bool,
    pid: PidChoice,
}

enum PidChoice {
    Own,
    Shared,
    Host,
    /// Those of another container's processes.
    Of(Rc<LiveContainer>),
}

pub(super) fn config(
    world: &World,
    index: ContainerIndex,
    image: &Image,
    directories: &ContainerDirs,
) -> Result<Config, NotStarted> {
    let container = world
        .container(index)
        .ok_or_else(|| NotStarted::create("no such container"))?;
    let persona = persona(world, container, image)?;
    let args = translate::command_line(container, &image.config, &persona.given)
        .map_err(NotStarted::create)?;
    world.tell_oom_score(persona.oom_score, &container.name);
    let spec = world.spec();
    Ok(Config {
        resources: world.with_facts(|facts| {
            let own = resources::of_container(container, facts, security::is_privileged(container));
            match world.memory_qos {
                true => resources::with_memory_qos(own, container, facts),
                false => own,
            }
        }),
        stop_signal: stop_signal::number(image.config.stop_signal.as_deref()),
        rootfs: Rootfs::Overlay {
            layers: image.layers.clone(),
            upper: directories.layer.clone(),
            work: directories.data.clone(),
        },
        readonly_rootfs: security::readonly_rootfs(container),
        args: args.into_iter().map(c_string).collect::<Result<_, _>>()?,
        mounts: mounts::of_container(world, container, &persona.given, &directories.data)?,
        privileged: security::is_privileged(container),
        whole_proc: security::has_whole_proc(container),
        pid: match (
            spec.host_pid == Some(true),
            spec.share_process_namespace == Some(true),
            world.pod.target_of(&container.name),
        ) {
            (true, ..) => PidChoice::Host,
            (false, true, _) => PidChoice::Shared,
            (false, false, Some(target)) => PidChoice::Of(running(world, target)?),
            (false, false, None) => PidChoice::Own,
        },
        persona,
    })
}

/// Whether a container has a pid namespace for itself, which ends with its first process.
pub(super) fn has_own_pids(world: &World, index: ContainerIndex) -> bool {
    let spec = world.spec();
    let is_shared = spec.host_pid == Some(true) || spec.share_process_namespace == Some(true);
    let name = world.container_name(index);
    !is_shared && world.pod.target_of(name).is_none()
}

/// The container that an ephemeral one is to look into. One that does not run is waited for, as for anything that is missing.
fn running(world: &World, name: &str) -> Result<Rc<LiveContainer>, NotStarted> {
    let index = world.container_index(name);
    let containers = world.live.containers.borrow();
    let live = index.and_then(|index| containers.get(&index).cloned());
    live.ok_or_else(|| NotStarted::create(format!("target container {name:?} is not running")))
}

fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, NotStarted> {
    CString::new(text)
        .map_err(|_| NotStarted::create("a command, variable or path holds a NUL byte"))
}

/// Hands the whole plan to the launcher.
pub(super) fn spawn(
    world: &World,
    sandbox: &Sandbox,
    config: Config,
    cgroup: Option<&Cgroup>,
    stdio: Stdio,
    launch_record: OwnedFd,
) -> Result<Launch, LaunchError> {
    let persona = config.persona;
    let mut plan = ContainerPlan::new(sandbox, config.rootfs, config.args, stdio);
    plan.user = persona.user();
    plan.capabilities = CapabilitySets::of(capabilities(&persona, config.privileged, cgroup));
    plan.oom_score_adj = Some(persona.oom_score_adj());
    plan.readonly_rootfs = config.readonly_rootfs;
    plan.mounts = mounts::with_defaults(
        world,
        std::mem::take(&mut plan.mounts),
        config.mounts,
        config.privileged,
    );
    if let Rootfs::Overlay { layers, .. } = &mut plan.rootfs
        && layers.len() < LAYER_LIMIT
        && let Some(points) = mount_points::of(world, &plan.mounts)
    {
        layers.insert(0, points);
    }
    if config.privileged || config.whole_proc {
        plan.masked_paths.clear();
        plan.readonly_paths.clear();
    }
    if config.privileged {
        plan.cgroup_namespace = false;
    }
    plan.env = persona.env;
    plan.working_dir = persona.working_dir;
    plan.no_new_privileges = persona.no_new_privileges;
    plan.seccomp = persona.filter;
    plan.security_label = persona.label;
    plan.pid_namespace = match &config.pid {
        PidChoice::Own => PidNamespace::New,
        PidChoice::Shared => PidNamespace::Sandbox,
        PidChoice::Host => PidNamespace::Host,
        PidChoice::Of(target) => PidNamespace::Of(&target.process),
    };
    plan.cgroup = cgroup;
    plan.launch_record = Some(launch_record);
    plan.spawn()
}

/// Where the cgroups keep nobody from using devices, nobody must be able to make them.
fn capabilities(persona: &Persona, privileged: bool, cgroup: Option<&Cgroup>) -> CapabilitySet {
    let mut capabilities = persona.capabilities;
    let is_open = cgroup.is_none_or(|cgroup| cgroup.unenforced().contains(&Limit::Devices));
    if let (true, false, Ok(mknod)) = (is_open, privileged, "MKNOD".parse()) {
        capabilities.remove(mknod);
    }
    capabilities
}
