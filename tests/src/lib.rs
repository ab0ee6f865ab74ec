//! The harness of the end-to-end tests: the real binary, in a root directory of its own, on this machine.
//!
//! Nothing sleeps as synchronisation: [`Instance::wait_for`] polls a condition and has a limit. Dropping an [`Instance`] ends whatever a
//! failed test left; [`Instance::finish`] asserts that a test that went well left nothing on the machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use podyard_supervisor::Roots;
use serde_json::Value;

/// How long anything may take before a test gives up on it. Only reached when something is broken.
pub const LIMIT: Duration = Duration::from_secs(90);

/// One podyard root directory.
#[derive(Debug)]
pub struct Instance {
    binary: PathBuf,
    root: PathBuf,
    finished: bool,
}

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binary under test: `PODYARD_TEST_BINARY` as `make test` sets it, or the one beside the test binaries.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PODYARD_TEST_BINARY") {
        return path.into();
    }
    let own = std::env::current_exe().expect("the test's own path");
    let profile = own
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let path = profile.join("podyard");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p podyard` first, or use `make test`",
        path.display()
    );
    path
}

/// A store with the images of `target/images`, filled once per test process and shared by all of its instances.
fn images() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let archives = std::env::var_os("PODYARD_TEST_IMAGES")
            .map_or_else(|| repository().join("target/images"), PathBuf::from);
        let root = repository().join("target/e2e-images");
        let marker = root.join("complete");
        // Test processes run beside each other: one fills the store, the others wait for it.
        std::fs::create_dir_all(&root).expect("target is writable");
        let lock = std::fs::File::create(root.join("lock")).expect("lock file");
        lock.lock().expect("lock");
        let newest = ["busybox", "nginx", "openssl", "postgres"].map(|name| {
            let path = archives.join(format!("{name}.tar"));
            std::fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .unwrap_or_else(|error| {
                    panic!("{}: {error}: run `make images` first", path.display())
                })
        });
        let is_fresh = std::fs::metadata(&marker)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|filled| newest.iter().all(|archive| *archive <= filled));
        if !is_fresh {
            let _ = std::fs::remove_dir_all(root.join("lib"));
            for name in ["busybox", "nginx", "openssl", "postgres"] {
                let archive = archives.join(format!("{name}.tar"));
                let output = Command::new(binary())
                    .arg("--root")
                    .arg(&root)
                    .args(["image", "import"])
                    .arg(&archive)
                    .output()
                    .expect("podyard");
                assert!(
                    output.status.success(),
                    "import of {name}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            std::fs::write(&marker, "").expect("marker");
        }
        root.join("lib/images")
    })
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Instance {
    /// A new root with the shared images.
    #[must_use]
    pub fn new() -> Self {
        let instance = Self::without_images();
        std::fs::create_dir_all(instance.root.join("lib")).expect("root");
        std::os::unix::fs::symlink(images(), instance.root.join("lib/images")).expect("images");
        instance
    }

    /// A new root with an empty image store.
    #[must_use]
    pub fn without_images() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix_is_root(),
            "these tests make namespaces and cgroups: run them as root"
        );
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("podyard-e2e-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("temporary directory");
        Self {
            binary: binary(),
            root: root.canonicalize().expect("just made"),
            finished: false,
        }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its directories.
    #[must_use]
    pub fn roots(&self) -> Roots {
        Roots::resolve(Some(&self.root)).expect("absolute")
    }

    /// `podyard --root … ARGS`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--root")
            .arg(&self.root)
            .args(arguments)
            .stdin(Stdio::null());
        command.env("NO_COLOR", "1");
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("podyard runs")
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "podyard {arguments:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Writes a manifest and returns its path.
    #[must_use]
    pub fn manifest(&self, name: &str, text: &str) -> String {
        let path = self.root.join(name);
        std::fs::write(&path, text).expect("manifest");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Runs a manifest detached.
    pub fn start(&self, text: &str) {
        let path = self.manifest("pod.yaml", text);
        self.ok(&["run", "-d", &path]);
    }

    /// Runs a command in the background, its output into pipes.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("podyard starts")
    }

    /// The pod as JSON.
    #[must_use]
    pub fn pod(&self, name: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", "pod", name, "-o", "json"])).expect("JSON")
    }

    /// Waits until the pod fulfils a condition and returns it.
    pub fn wait_for(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let pod = self.pod(name);
            if condition(&pod) {
                return pod;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen: {}",
                serde_json::to_string_pretty(&pod["status"]).expect("JSON")
            );
            std::thread::yield_now();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a phase.
    pub fn wait_for_phase(&self, name: &str, phase: &str) -> Value {
        self.wait_for(name, &format!("phase {phase}"), |pod| {
            pod["status"]["phase"] == phase
        })
    }

    /// Waits until a condition of the pod, such as `Ready`, is true.
    pub fn wait_for_condition(&self, name: &str, condition: &str) -> Value {
        self.wait_for(name, condition, |pod| {
            pod["status"]["conditions"].as_array().is_some_and(|list| {
                list.iter()
                    .any(|entry| entry["type"] == condition && entry["status"] == "True")
            })
        })
    }

    /// The pod's log of one container, so far.
    pub fn logs(&self, pod: &str, container: &str) -> String {
        self.ok(&["logs", pod, "-c", container])
    }

    /// The supervisor's process id, once it has written it down.
    #[must_use]
    pub fn supervisor(&self, pod: &str) -> i32 {
        let uid = self.pod(pod)["metadata"]["uid"]
            .as_str()
            .expect("uid")
            .to_owned();
        let file = self.roots().pod(&uid).supervisor_lock();
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Ok(Ok(pid)) = std::fs::read_to_string(&file).map(|text| text.trim().parse()) {
                return pid;
            }
            assert!(
                Instant::now() < deadline,
                "no supervisor wrote {}",
                file.display()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// `kill -9` of the pod's supervisor; false when it was gone.
    pub fn kill_supervisor(&self, pod: &str) -> bool {
        let pid = self.supervisor(pod);
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Ends a test: deletes every pod and asserts that nothing of this instance is left on the machine.
    pub fn finish(mut self) {
        self.finished = true;
        self.ok(&["delete", "pod", "--all", "--grace-period", "1"]);
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = self.left_behind();
            if left.is_empty() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "left behind:\n{}",
                left.join("\n")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }

    /// What of this instance is on the machine: processes, mounts, interfaces, cgroups, firewall tables, directories of pods.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let roots = self.roots();
        let instance = roots.instance();
        let root = self.root.to_str().expect("UTF-8");
        let mut left = Vec::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(root))
                .map(|line| format!("mount: {line}")),
        );
        for entry in std::fs::read_dir("/sys/class/net")
            .expect("interfaces")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(&instance) {
                left.push(format!("interface: {name}"));
            }
        }
        let cgroup = roots.cgroup();
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup")
            .expect("cgroups")
            .flatten();
        for path in hierarchies
            .map(|entry| entry.path().join(&cgroup))
            .chain([Path::new("/sys/fs/cgroup").join(&cgroup)])
        {
            if path.exists() {
                left.push(format!("cgroup: {}", path.display()));
            }
        }
        if let Ok(output) = Command::new("nft").args(["list", "tables"]).output() {
            let tables = String::from_utf8_lossy(&output.stdout).into_owned();
            left.extend(
                tables
                    .lines()
                    .filter(|line| line.contains(&instance))
                    .map(|line| format!("firewall: {line}")),
            );
        }
        for process in self.processes() {
            left.push(format!("process: {process}"));
        }
        for directory in [
            roots.pods(),
            roots.names(),
            roots.logs().to_path_buf(),
            self.root.join("run/pods"),
            roots.network(),
        ] {
            let entries = std::fs::read_dir(&directory)
                .into_iter()
                .flatten()
                .flatten();
            left.extend(entries.map(|entry| format!("file: {}", entry.path().display())));
        }
        left
    }

    /// Command lines of the keepers, supervisors and sandboxes of this instance.
    fn processes(&self) -> Vec<String> {
        let root = self.root.to_str().expect("UTF-8");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains("internal") && line.contains(root) {
                found.push(format!("{} {line}", entry.file_name().to_string_lossy()));
            }
        }
        found
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.finished {
            // A test failed: what it left must not disturb the next one. Nothing in here may panic a second time.
            let _ = self
                .command(&["delete", "pod", "--all", "--force"])
                .output();
        }
    }
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// Fetches a URL over plain HTTP/1.0 and returns the body; retries until the server answers.
#[must_use]
pub fn fetch(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        match answer {
            Ok(text) if !text.is_empty() => {
                return text
                    .split_once("\r\n\r\n")
                    .map(|(_, body)| body.to_owned())
                    .unwrap_or(text);
            }
            other => assert!(
                Instant::now() < deadline,
                "{address}{path} does not answer: {other:?}"
            ),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The status of a container, init or app.
#[must_use]
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == name)
        .unwrap_or(&Value::Null)
}
