//! A pod to test containers in: a sandbox, an image, cgroups of its own, and what it takes to run something and look at it.
//!
//! Dropping a [`Pod`] or a [`Running`] ends what is left of it, also when a test panics.

use std::cell::Cell;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use podyard_linux::cgroup::Resources;
use podyard_linux::{
    Cgroup, CgroupRoot, ContainerPlan, ExecPlan, Launch, LaunchError, Process, Rootfs, Sandbox,
    SandboxNetwork, SandboxPlan, StageError, Stdio, WaitStatus,
};

use crate::image;

/// How long anything may take that is expected to happen. Only reached when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const SEARCH_PATH: &str = "PATH=/usr/bin:/bin";

pub(crate) struct Pod {
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cgroup_root: CgroupRoot,
    cgroup_path: String,
    attempts: Cell<u32>,
}

/// What a sandbox is in most tests: everything of its own but the pid namespace.
pub(crate) fn sandbox_plan() -> SandboxPlan<'static> {
    SandboxPlan {
        hostname: "pod".to_owned(),
        domainname: None,
        network: SandboxNetwork::New,
        new_ipc: true,
        new_uts: true,
        share_process_namespace: false,
        user_namespace: None,
        sysctls: Vec::new(),
        arguments: strings(&["container-test"]),
        cgroup: None,
        cgroup_names: CgroupRoot::detect().map_or_else(|_| Vec::new(), |root| root.shown_names()),
        oom_score_adj: None,
    }
}

impl Pod {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut SandboxPlan<'static>)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make namespaces, mounts and cgroups: run them as root"
        );
        let mut plan = sandbox_plan();
        change(&mut plan);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            sandbox: Sandbox::create(&plan).expect("a sandbox"),
            directory: tempfile::Builder::new()
                .prefix("podyard-test-")
                .tempdir()
                .unwrap(),
            cgroup_root: CgroupRoot::detect().expect("cgroups"),
            cgroup_path: format!("podyard-test-{}-{count}", std::process::id()),
            attempts: Cell::new(0),
        }
    }

    /// An overlay over the image, with an upper directory that is new each time.
    pub(crate) fn rootfs(&self) -> Rootfs {
        self.rootfs_over(&[])
    }

    /// The same with further layers on top of the image, lowest first.
    pub(crate) fn rootfs_over(&self, layers: &[&Path]) -> Rootfs {
        let attempt = self.attempts.replace(self.attempts.get() + 1);
        let path = |name: &str| {
            let path = self.directory.path().join(format!("{attempt}-{name}"));
            std::fs::create_dir(&path).unwrap();
            path
        };
        Rootfs::Overlay {
            layers: std::iter::once(image::layer())
                .chain(layers.iter().copied())
                .map(Path::to_owned)
                .collect(),
            upper: path("upper"),
            work: path("work"),
        }
    }

    /// A new directory of the host.
    pub(crate) fn host_directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A layer for [`Self::rootfs_over`], filled by the test.
    pub(crate) fn layer(&self, name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
        let path = self.host_directory(name);
        fill(&path);
        path
    }

    /// A cgroup of this pod.
    pub(crate) fn cgroup(&self, name: &str, resources: &Resources) -> Cgroup {
        let path = format!("{}/{name}", self.cgroup_path);
        Cgroup::create(&self.cgroup_root, &path, resources).expect("a cgroup")
    }

    pub(crate) fn cgroup_path(&self) -> &str {
        &self.cgroup_path
    }

    /// Makes a container that waits at its barrier, or is about to fail.
    pub(crate) fn spawn<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ContainerPlan<'a>),
    ) -> Result<Running, LaunchError> {
        let (stdio, output) = pipes();
        let mut plan = ContainerPlan::new(&self.sandbox, self.rootfs(), strings(args), stdio);
        plan.env = strings(&[SEARCH_PATH]);
        change(&mut plan);
        let launch = plan.spawn()?;
        drop(plan);
        Ok(Running::new(launch, output))
    }

    /// A container whose program runs.
    pub(crate) fn start<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ContainerPlan<'a>),
    ) -> Running {
        let mut running = self.spawn(args, change).expect("a process");
        running.launch.wait_running().expect("it runs");
        running
    }

    /// Runs a program to its end.
    pub(crate) fn run<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ContainerPlan<'a>),
    ) -> Outcome {
        self.start(args, change).finish()
    }

    /// What a script prints that is expected to succeed.
    pub(crate) fn sh<'a>(
        &'a self,
        script: &str,
        change: impl FnOnce(&mut ContainerPlan<'a>),
    ) -> String {
        self.run(&["sh", "-c", script], change).success()
    }

    /// The step at which a launch fails.
    pub(crate) fn failure<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ContainerPlan<'a>),
    ) -> StageError {
        let running = self.spawn(args, change).expect("a process");
        running.failure()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.sandbox.process().signal(libc::SIGKILL);
        let _ = self.sandbox.process().wait_exited(Some(PATIENCE));
        let _ = self.sandbox.process().reap();
        unmount_below(self.directory.path());
        if let Ok(Some(cgroup)) = Cgroup::open(&self.cgroup_root, &self.cgroup_path) {
            let removed = cgroup.remove(PATIENCE);
            assert!(
                removed.is_ok() || std::thread::panicking(),
                "the pod's cgroup goes: {removed:?}"
            );
        }
    }
}

/// A process of a container and its output.
pub(crate) struct Running {
    pub(crate) launch: Launch,
    output: Option<[BufReader<File>; 2]>,
    status: Option<WaitStatus>,
}

impl Running {
    fn new(launch: Launch, output: [OwnedFd; 2]) -> Self {
        Self {
            launch,
            output: Some(output.map(|fd| BufReader::new(File::from(fd)))),
            status: None,
        }
    }

    pub(crate) const fn process(&self) -> &Process {
        &self.launch.process
    }

    /// The next line it prints, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let [stdout, _] = self.output.as_mut().expect("not taken yet");
        stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?} is a whole line");
        line.pop();
        line
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.process().signal(signal).unwrap();
    }

    /// Lets go of the launch without opening its barrier.
    pub(crate) fn abandon(mut self) {
        self.status = Some(WaitStatus::Exited(0));
    }

    /// Waits for its end and collects what it printed.
    pub(crate) fn finish(mut self) -> Outcome {
        let [stdout, stderr] = self.output.take().expect("not taken yet").map(collect);
        self.wait();
        Outcome {
            status: self.status.expect("it has ended"),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    /// Ends it.
    pub(crate) fn kill(self) -> Outcome {
        let _ = self.process().signal(libc::SIGKILL);
        self.finish()
    }

    /// The step that failed.
    pub(crate) fn failure(mut self) -> StageError {
        let Err(error) = self.launch.wait_running() else {
            panic!("it runs, and should not: {:?}", self.kill());
        };
        let error = error.into_inner().expect("a cause");
        let error = error.downcast::<StageError>().expect("a step");
        assert_eq!(self.finish().status, WaitStatus::Exited(127));
        *error
    }

    /// Runs one more process in this container, to its end.
    pub(crate) fn exec<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ExecPlan<'a>),
    ) -> Outcome {
        let mut running = self.spawn_exec(args, change).expect("a process");
        running.launch.wait_running().expect("it runs");
        running.finish()
    }

    pub(crate) fn spawn_exec<'a>(
        &'a self,
        args: &[&str],
        change: impl FnOnce(&mut ExecPlan<'a>),
    ) -> Result<Self, LaunchError> {
        let (stdio, output) = pipes();
        let mut plan = ExecPlan::new(self.process(), strings(args), stdio);
        plan.env = strings(&[SEARCH_PATH]);
        change(&mut plan);
        let launch = plan.spawn()?;
        drop(plan);
        Ok(Self::new(launch, output))
    }

    fn wait(&mut self) {
        if self.status.is_none() {
            let ended = self.process().wait_exited(Some(PATIENCE)).unwrap();
            if !ended {
                let _ = self.process().signal(libc::SIGKILL);
            }
            assert!(ended, "it ends within {PATIENCE:?}");
            self.status = self.process().reap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.process().signal(libc::SIGKILL);
            let _ = self.process().wait_exited(Some(PATIENCE));
            let _ = self.process().reap();
        }
    }
}

fn collect(mut stream: BufReader<File>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What is left of a process that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: WaitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// What it printed, without the last line end; it must have succeeded.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.status, WaitStatus::Exited(0), "{self:?}");
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Its exit code.
    pub(crate) const fn code(&self) -> i32 {
        self.status.code()
    }
}

/// Standard input from `/dev/null`, output and error into pipes whose other ends come with it.
fn pipes() -> (Stdio, [OwnedFd; 2]) {
    let pipe = || {
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        rustix::pipe::pipe_with(flags).expect("a pipe")
    };
    let (stdout, stderr) = (pipe(), pipe());
    let stdio = Stdio::Files {
        stdin: null(),
        stdout: stdout.1,
        stderr: stderr.1,
    };
    (stdio, [stdout.0, stderr.0])
}

pub(crate) fn null() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null").into()
}

pub(crate) fn strings(strings: &[&str]) -> Vec<CString> {
    strings.iter().copied().map(string).collect()
}

pub(crate) fn string(text: &str) -> CString {
    CString::new(text).expect("no NUL byte")
}

/// Gives the calling thread a mount namespace of its own, in which it can mount what the machine never sees. Containers that
/// it spawns take their sources from there.
#[expect(
    unsafe_code,
    reason = "unshare can take descriptors away; not with this flag"
)]
pub(crate) fn own_mounts() {
    // SAFETY: only the calling thread's mount namespace, root and working directory change; no descriptor is touched.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
    let flags =
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).unwrap();
}

/// Takes away what a thread with mounts of its own has mounted below a directory, which could not be removed otherwise.
pub(crate) fn unmount_below(directory: &Path) {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for place in places.filter(|place| Path::new(place).starts_with(directory)) {
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Mounts a small tmpfs for the calling thread, after [`own_mounts`].
pub(crate) fn mount_tmpfs(place: &Path) {
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", place, "tmpfs", flags, Some(c"size=64k")).unwrap();
}

/// Whether a process of the host is there.
pub(crate) fn exists(pid: i32) -> bool {
    match std::fs::metadata(format!("/proc/{pid}")) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => panic!("{pid}: {error}"),
    }
}
