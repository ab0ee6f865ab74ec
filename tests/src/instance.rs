//! One podyard root directory, and the commands on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use podyard_supervisor::{PodDirs, Roots};
use serde_json::Value;

use crate::machine::Machine;
use crate::{LIMIT, Span, binary, condition, eventually, images};

/// One podyard root directory.
#[derive(Debug)]
pub struct Instance {
    root: PathBuf,
    finished: bool,
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Instance {
    /// A new root with the images of the tests, in a store that it shares with other tests and must not change.
    #[must_use]
    pub fn new() -> Self {
        let instance = Self::without_images();
        std::fs::create_dir_all(instance.root.join("lib")).expect("root");
        std::os::unix::fs::symlink(images::shared_store(), instance.root.join("lib/images"))
            .expect("images");
        instance
    }

    /// A new root with an empty image store.
    #[must_use]
    pub fn without_images() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Process ids come again, and a test that was killed may have left something in its directory.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_micros());
        let name = format!("podyard-e2e-{}-{count}-{now:x}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir(&root).expect("a new directory");
        Self::at(&root)
    }

    /// An existing directory as the root.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        assert!(
            is_root(),
            "these tests make namespaces and cgroups: run them as root"
        );
        Self {
            root: root.canonicalize().expect("it exists"),
            finished: false,
        }
    }

    /// The archive of an image of the tests, such as `busybox`.
    #[must_use]
    pub fn archive(name: &str) -> String {
        images::archive(name).to_str().expect("UTF-8").to_owned()
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

    /// The directories of one pod.
    #[must_use]
    pub fn dirs(&self, pod: &str) -> PodDirs {
        let name = self.roots().names().join(format!("default_{pod}"));
        let uid =
            std::fs::read_link(&name).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
        self.roots().pod(uid.to_str().expect("UTF-8"))
    }

    /// `podyard --root … ARGS`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// The same by way of another program, which starts it.
    #[must_use]
    pub fn command_through(&self, program: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(binary());
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.arg("--root").arg(&self.root).stdin(Stdio::null());
        command.env("NO_COLOR", "1");
        for name in ["PODYARD_ROOT", "PODYARD_BACKOFF", "PODYARD_ON_INIT_FAILURE"] {
            command.env_remove(name);
        }
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

    /// Runs a command that must succeed and prints JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).expect("JSON")
    }

    /// Writes a manifest and returns its path.
    #[must_use]
    pub fn manifest(&self, name: &str, text: &str) -> String {
        let path = self.root.join(name);
        std::fs::write(&path, text).expect("manifest");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Writes the manifest of a pod and returns its path.
    #[must_use]
    pub fn pod_file(&self, pod: &Value) -> String {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        self.manifest(&format!("{name}.yaml"), &pod.to_string())
    }

    /// Runs a pod detached, with the flags that are given.
    pub fn start_with(&self, pod: &Value, flags: &[&str]) {
        let path = self.pod_file(pod);
        self.ok(&[&["run", "-d", &path], flags].concat());
    }

    /// Runs a pod detached.
    pub fn start(&self, pod: &Value) {
        self.start_with(pod, &[]);
    }

    /// Runs detached what a manifest in YAML says.
    pub fn start_text(&self, text: &str) {
        let path = self.manifest("manifest.yaml", text);
        self.ok(&["run", "-d", &path]);
    }

    /// Runs a pod in the foreground, to its end.
    #[must_use]
    pub fn foreground(&self, pod: &Value, flags: &[&str]) -> Output {
        let path = self.pod_file(pod);
        self.run(&[&["run", &path], flags].concat())
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
        self.json(&["get", "pod", name, "-o", "json"])
    }

    /// Waits until the pod fulfils a condition and returns it.
    pub fn wait_for(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            // There may be no pod of this name yet.
            let output = self.run(&["get", "pod", name, "-o", "json"]);
            let pod = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if !pod.is_null() && is_so(&pod) {
                return pod;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen: {}\n{}",
                serde_json::to_string_pretty(&pod["status"]).expect("JSON"),
                String::from_utf8_lossy(&output.stderr)
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits for a phase.
    pub fn wait_for_phase(&self, name: &str, phase: &str) -> Value {
        self.wait_for(name, &format!("phase {phase}"), |pod| {
            pod["status"]["phase"] == phase
        })
    }

    /// Waits until a condition of the pod, such as `Ready`, is true.
    pub fn wait_for_condition(&self, name: &str, wanted: &str) -> Value {
        self.wait_for(name, wanted, |pod| condition(pod, wanted) == "True")
    }

    /// The pod's log of one container, so far.
    pub fn logs(&self, pod: &str, container: &str) -> String {
        self.ok(&["logs", pod, "-c", container])
    }

    /// Waits until a container has printed a text, and returns its log.
    pub fn wait_for_log(&self, pod: &str, container: &str, text: &str) -> String {
        eventually(&format!("{container} prints `{text}`"), || {
            let output = self.run(&["logs", pod, "-c", container]);
            let log = String::from_utf8(output.stdout).expect("UTF-8");
            log.contains(text).then_some(log)
        })
    }

    /// When the instances of the containers ran, in the order of the manifest, without the sandbox.
    #[must_use]
    pub fn spans(&self, pod: &str) -> Vec<Span> {
        let timeline = self.json(&["timeline", pod, "-o", "json"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        timeline["spans"]
            .as_array()
            .expect("spans")
            .iter()
            .filter(|span| {
                ["init", "sidecar", "app"]
                    .iter()
                    .any(|kind| span["kind"] == *kind)
            })
            .map(|span| Span {
                name: text(&span["name"]).expect("a name"),
                attempt: span["attempt"].as_i64().expect("a number"),
                start: text(&span["start"]).expect("a start"),
                end: text(&span["end"]),
                exit_code: span["exitCode"].as_i64(),
            })
            .collect()
    }

    /// The spans of one container.
    #[must_use]
    pub fn spans_of(&self, pod: &str, container: &str) -> Vec<Span> {
        let mut spans = self.spans(pod);
        spans.retain(|span| span.name == container);
        spans
    }

    /// What the pod's files say about its past, for a person who has to find out what went wrong.
    #[must_use]
    pub fn story(&self, pod: &str) -> String {
        let dirs = self.dirs(pod);
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let status = serde_json::to_string(&self.pod(pod)["status"]).expect("JSON");
        let (journal, own_log) = (read(dirs.journal()), read(dirs.own_log()));
        format!("{status}\n{journal}\n{own_log}")
    }

    /// The events with this reason, oldest first.
    #[must_use]
    pub fn events(&self, pod: &str, reason: &str) -> Vec<Value> {
        let list = self.json(&["events", pod, "-o", "json"]);
        let events = list["items"].as_array().expect("items").iter();
        events
            .filter(|event| event["reason"] == reason)
            .cloned()
            .collect()
    }

    /// Sends an object or a patch to the pod's socket as a client of Kubernetes would: `method` is `PUT` or `PATCH`, `path` what follows the
    /// pod's own, such as `/status`. Returns the status and what was answered.
    #[must_use]
    pub fn send(
        &self,
        pod: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> (u16, Value) {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--request", method])
            .args(["--write-out", "\n%{http_code}"])
            .arg("--unix-socket")
            .arg(self.dirs(pod).socket())
            .args(["--header", &format!("Content-Type: application/{kind}")])
            .args(["--data-binary", &body.to_string()])
            .arg(format!(
                "http://podyard/api/v1/namespaces/default/pods/{pod}{path}"
            ))
            .output()
            .expect("curl");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (body, code) = text.rsplit_once('\n').expect("an answer");
        let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        (code.parse().expect("a status"), body)
    }

    /// Changes the pod, or one of its subresources, by a strategic merge patch.
    #[must_use]
    pub fn patch(&self, pod: &str, path: &str, patch: &Value) -> (u16, Value) {
        self.send(pod, "PATCH", path, "strategic-merge-patch+json", patch)
    }

    /// The messages of the pod's Events with that reason, in their order.
    #[must_use]
    pub fn messages(&self, pod: &str, reason: &str) -> Vec<String> {
        let message = |event: Value| event["message"].as_str().expect("a message").to_owned();
        self.events(pod, reason).into_iter().map(message).collect()
    }

    /// The columns READY and STATUS of `get pod`.
    #[must_use]
    pub fn columns(&self, pod: &str) -> String {
        let table = self.ok(&["get", "pod", pod, "--no-headers"]);
        let words: Vec<&str> = table.split_whitespace().collect();
        words[1..3].join(" ")
    }

    /// The process id of the pod's supervisor, once there is one.
    #[must_use]
    pub fn supervisor(&self, pod: &str) -> i32 {
        eventually("supervise", || self.find_supervisor(pod))
    }

    /// The process id of the pod's supervisor, if there is one.
    #[must_use]
    pub fn find_supervisor(&self, pod: &str) -> Option<i32> {
        self.role(pod, "supervise")
    }

    /// `kill -9` of the pod's supervisor; false when there was none.
    pub fn kill_supervisor(&self, pod: &str) -> bool {
        Self::kill(self.supervisor(pod))
    }

    /// Makes a file in an emptyDir of the pod, from outside: a command in a container that ends for it would not be sure to end first.
    pub fn touch(&self, pod: &str, volume: &str, file: &str) {
        let path = self.dirs(pod).volume("empty-dir", volume).join(file);
        std::fs::write(&path, "").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Keeps an object as `podyard apply` does: whoever reads it finds the old one or the new one.
    pub fn keep(&self, object: &Value) {
        let path = self.kept(object);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        let next = path.with_extension("new");
        std::fs::write(&next, object.to_string()).expect("object");
        std::fs::rename(next, path).expect("rename");
    }

    /// Keeps it no longer.
    pub fn discard(&self, object: &Value) {
        std::fs::remove_file(self.kept(object)).expect("it was kept");
    }

    fn kept(&self, object: &Value) -> PathBuf {
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        let name = object["metadata"]["name"].as_str().expect("a name");
        let directory = self.roots().objects().join(format!("{kind}s"));
        directory.join("default").join(format!("{name}.json"))
    }

    /// The process id of the pod's keeper.
    #[must_use]
    pub fn keeper(&self, pod: &str) -> i32 {
        eventually("keep", || self.role(pod, "keep"))
    }

    /// The process id of what holds the pod's namespaces.
    #[must_use]
    pub fn sandbox(&self, pod: &str) -> i32 {
        let title = format!("/pause {} default/{pod}", self.roots().cgroup());
        eventually("the sandbox", || {
            let processes = self.machine().processes();
            let sandbox = processes.iter().find(|process| process.command == title);
            sandbox.map(|process| process.id)
        })
    }

    /// A process of the pod by the word behind `internal` in its command line.
    fn role(&self, pod: &str, role: &str) -> Option<i32> {
        let uid = self.dirs(pod).uid;
        let processes = self.machine().processes();
        let mut of_pod = processes
            .iter()
            .filter(|process| process.command.contains(&uid));
        of_pod
            .find(|process| process.command.contains(&format!(" internal {role} ")))
            .map(|process| process.id)
    }

    /// `kill -9`; false when there was nobody.
    pub fn kill(process: i32) -> bool {
        Self::signal(process, "KILL")
    }

    /// Sends a signal; false when there was nobody.
    pub fn signal(process: i32, signal: &str) -> bool {
        Command::new("kill")
            .args([&format!("-{signal}"), &process.to_string()])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// What this machine has of the instance.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine::of(&self.root)
    }

    /// Ends a test: kills every pod and asserts that nothing of this instance is left on the machine.
    pub fn finish(mut self) {
        self.finished = true;
        self.ok(&["delete", "pod", "-A", "--all", "--force"]);
        self.assert_nothing_left();
        let _ = std::fs::remove_dir_all(&self.root);
    }

    /// Asserts that nothing of this instance is left on the machine but its images.
    pub fn assert_nothing_left(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = self.machine().left_behind();
            if left.is_empty() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "left behind:\n{}",
                left.join("\n")
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.finished {
            // A test failed: what it left must not disturb the next one. Nothing in here may panic a second time.
            let _ = self
                .command_through(
                    &["timeout", "20"],
                    &["delete", "pod", "-A", "--all", "--force"],
                )
                .output();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}
