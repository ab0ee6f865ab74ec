//! From a [`ContainerPlan`] or [`ExecPlan`] to a process: everything that needs memory, then one `clone3`.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::exec::ExecPlan;
use crate::idmap::UserNamespace;
use crate::lsm::SecurityLabel;
use crate::mounts::prepare::Target;
use crate::mounts::{attach, prepare};
use crate::plan::{ContainerPlan, OomScoreAdj, PidNamespace, Stdio};
use crate::process::init::{self, ContainerEntry, Entry, ProgramScript, Script, ScriptStdio};
use crate::process::spawn::{self, Birth};
use crate::process::{Launch, LaunchError, Process, launch_barrier, launch_channel};
use crate::rootfs::{LAYER_LIMIT, Rootfs};
use crate::sys::title::{self, CommandLine};

const CLONE_NEWPID: u64 = libc::CLONE_NEWPID as u64;

impl ContainerPlan<'_> {
    /// Makes the container's first process, which sets everything up by itself and then waits at the barrier.
    ///
    /// Returns after one clone; the caller follows the set-up by [`Launch`].
    ///
    /// # Errors
    /// When the plan cannot be carried out by anybody or the kernel refuses a process. Whatever goes wrong in the
    /// set-up is reported by the launch.
    pub fn spawn(&self) -> Result<Launch, LaunchError> {
        if let Rootfs::Overlay { layers, .. } = &self.rootfs
            && !(1..=LAYER_LIMIT).contains(&layers.len())
        {
            return Err(LaunchError::Layers {
                count: layers.len(),
            });
        }
        let users = self.sandbox.users();
        let rootfs = self.rootfs.prepare(users)?;
        let mounts = prepare::prepare(&self.mounts, self.cgroup, self.sandbox)?;
        let mut sources: attach::Sources = std::iter::repeat_with(|| None)
            .take(attach::slots(&mounts))
            .collect();
        let mut keep = prepare::descriptors(&mounts);
        keep.push(self.sandbox.as_fd().as_raw_fd());
        let user_namespace = self.sandbox.namespaces().user.as_ref().map(AsFd::as_fd);
        keep.extend(user_namespace.iter().map(AsRawFd::as_raw_fd));

        let (parent_end, child_end) = launch_channel()?;
        let barrier = launch_barrier()?;
        let mut script = Script {
            channel: child_end.as_fd(),
            barrier: barrier.as_fd(),
            record: self.launch_record.as_ref().map(AsFd::as_fd),
            keep: Vec::new(),
            cgroups: self.cgroup.map(attach_directories).unwrap_or_default(),
            oom_score_adj: self.oom_score_adj.map(oom_score_adj),
            security_label: self.security_label.as_ref().map(SecurityLabel::prepare),
            entry: Entry::Container(ContainerEntry {
                rootfs,
                readonly_rootfs: self.readonly_rootfs,
                mounts,
                masked_paths: &self.masked_paths,
                readonly_paths: &self.readonly_paths,
                sandbox: self.sandbox.as_fd(),
                cgroup_namespace: self.cgroup_namespace,
                user_namespace,
            }),
            working_dir: directory(&self.working_dir)?,
            stdio: stdio(&self.stdio, true)?,
            stdio_owner: stdio_owner(self.user.uid, users),
            program: program(
                &self.args,
                &self.env,
                |name, candidates, arguments, environment| ProgramScript {
                    name,
                    candidates,
                    arguments,
                    environment,
                    user: &self.user,
                    umask: self.umask,
                    rlimits: &self.rlimits,
                    no_new_privileges: self.no_new_privileges,
                    capabilities: self.capabilities,
                    filter: self.seccomp.as_ref().map(|program| program.instructions()),
                },
            )?,
        };
        keep.extend(init::common_descriptors(&script));
        script.keep = init::sorted(keep);
        let birth = Birth {
            new_namespaces: match self.pid_namespace {
                PidNamespace::New => CLONE_NEWPID,
                _ => 0,
            },
            cgroup: self.cgroup.and_then(Cgroup::birth_directory),
            pid_namespace: match self.pid_namespace {
                PidNamespace::New | PidNamespace::Host => None,
                PidNamespace::Sandbox => self.sandbox.namespaces().pid.as_ref().map(AsFd::as_fd),
                PidNamespace::Of(process) => Some(process.as_fd()),
            },
        };
        launch(&birth, &script, &mut sources)
            .map(|process| Launch::new(process, parent_end, Some(barrier)))
    }
}

impl ExecPlan<'_> {
    /// Makes the process inside the container, which waits at the barrier before it executes its program.
    ///
    /// # Errors
    /// When the plan cannot be carried out by anybody, the container is gone, or the kernel refuses a process.
    pub fn spawn(&self) -> Result<Launch, LaunchError> {
        let users = UserNamespace::of(self.into.pid())
            .map_err(|error| LaunchError::parent("look at the container", error))?;
        let (parent_end, child_end) = launch_channel()?;
        let barrier = launch_barrier()?;
        let mut script = Script {
            channel: child_end.as_fd(),
            barrier: barrier.as_fd(),
            record: self.launch_record.as_ref().map(AsFd::as_fd),
            keep: Vec::new(),
            cgroups: self.cgroup.map(attach_directories).unwrap_or_default(),
            oom_score_adj: self.oom_score_adj.map(oom_score_adj),
            security_label: self.security_label.as_ref().map(SecurityLabel::prepare),
            entry: Entry::Join {
                pidfd: self.into.as_fd(),
                user_namespace: users.is_some(),
            },
            working_dir: directory(&self.working_dir)?,
            stdio: stdio(&self.stdio, false)?,
            stdio_owner: stdio_owner(self.user.uid, users.as_ref()),
            program: program(
                &self.args,
                &self.env,
                |name, candidates, arguments, environment| ProgramScript {
                    name,
                    candidates,
                    arguments,
                    environment,
                    user: &self.user,
                    umask: self.umask,
                    rlimits: &self.rlimits,
                    no_new_privileges: self.no_new_privileges,
                    capabilities: self.capabilities,
                    filter: self.seccomp.as_ref().map(|program| program.instructions()),
                },
            )?,
        };
        let mut keep = init::common_descriptors(&script);
        keep.push(self.into.as_raw_fd());
        script.keep = init::sorted(keep);
        let birth = Birth {
            new_namespaces: 0,
            cgroup: self.cgroup.and_then(Cgroup::birth_directory),
            pid_namespace: Some(self.into.as_fd()),
        };
        launch(&birth, &script, &mut attach::Sources::new())
            .map(|process| Launch::new(process, parent_end, Some(barrier)))
    }
}

/// What a container's process is called before it executes its program.
const TITLE: &[u8] = b"podyard: container being made";

fn launch(
    birth: &Birth<'_>,
    script: &Script<'_>,
    sources: &mut attach::Sources,
) -> Result<Process, LaunchError> {
    // Until it executes its program it would be called what we are, and whoever looks for us would find it.
    let command_line = CommandLine::own();
    let child = || {
        if let Some(line) = command_line {
            title::set(line, TITLE);
        }
        init::run(script, sources)
    };
    let (pid, pidfd) =
        spawn::spawn(birth, child).map_err(|error| LaunchError::parent("make a process", error))?;
    Process::of_new_child(pid, pidfd)
        .map_err(|error| LaunchError::parent("identify the new process", error))
}

fn attach_directories(cgroup: &Cgroup) -> Vec<BorrowedFd<'_>> {
    cgroup.attach_directories().collect()
}

pub(crate) fn oom_score_adj(adjustment: OomScoreAdj) -> (CString, OomScoreAdj) {
    let text = CString::new(adjustment.value.to_string()).unwrap_or_default();
    (text, adjustment)
}

/// The working directory as the child looks for it: links are followed, inside the root.
fn directory(path: &CStr) -> Result<Target, LaunchError> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    prepare::directory(path)
}

/// Pipes are root's, who needs none given.
fn stdio_owner(uid: u32, users: Option<&UserNamespace>) -> Option<u32> {
    match users {
        Some(users) => users.host_uid(uid),
        None => (uid != 0).then_some(uid),
    }
}

fn stdio(stdio: &Stdio, new_container: bool) -> Result<ScriptStdio<'_>, LaunchError> {
    Ok(match stdio {
        Stdio::Files {
            stdin,
            stdout,
            stderr,
        } => ScriptStdio::Files([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
        Stdio::Terminal { size } => ScriptStdio::Terminal {
            size: *size,
            console: new_container
                .then(|| prepare::fixed_place(Path::new("/dev/console")))
                .transpose()?,
        },
    })
}

/// Computes what the child executes: where to look for the program, and the arrays execve takes.
fn program<'p>(
    args: &'p [CString],
    env: &'p [CString],
    make: impl FnOnce(
        &'p CStr,
        Vec<CString>,
        Vec<*const c_char>,
        Vec<*const c_char>,
    ) -> ProgramScript<'p>,
) -> Result<ProgramScript<'p>, LaunchError> {
    let name = args.first().ok_or(LaunchError::NoCommand)?;
    let pointers = |strings: &'p [CString]| -> Vec<*const c_char> {
        let pointers = strings.iter().map(|string| string.as_ptr());
        pointers.chain(std::iter::once(std::ptr::null())).collect()
    };
    Ok(make(
        name,
        candidates(name, env),
        pointers(args),
        pointers(env),
    ))
}

/// Where a program is looked for. A name with a slash is a path; others are looked up in the `PATH` of the new environment,
/// whose empty parts mean the working directory.
fn candidates(name: &CStr, env: &[CString]) -> Vec<CString> {
    let name = name.to_bytes();
    let text = |bytes: Vec<u8>| CString::new(bytes).ok();
    if name.contains(&b'/') {
        return text(name.to_vec()).into_iter().collect();
    }
    if name.is_empty() {
        return Vec::new();
    }
    let path = env
        .iter()
        .find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let directories = path.unwrap_or_default().split(|&byte| byte == b':');
    directories
        .filter(|_| path.is_some_and(|path| !path.is_empty()))
        .filter_map(|directory| {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            text([directory, b"/", name].concat())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &CStr, path: Option<&CStr>, expected: &[&CStr]) {
        let env: Vec<CString> = path.map(CStr::to_owned).into_iter().collect();
        let found = candidates(name, &env);
        assert_eq!(
            found.iter().map(CString::as_c_str).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn programs_are_looked_for_as_shells_do() {
        check(c"/bin/x", Some(c"PATH=/a"), &[c"/bin/x"]);
        check(c"./x", None, &[c"./x"]);
        check(c"x", Some(c"PATH=/a:/b"), &[c"/a/x", c"/b/x"]);
        check(c"x", Some(c"PATH=/a::b"), &[c"/a/x", c"./x", c"b/x"]);
        check(c"x", Some(c"PATH="), &[]);
        check(c"x", None, &[]);
        check(c"", Some(c"PATH=/a"), &[]);
    }
}
