//! Debian's `docker-registry` on a free port of 127.0.0.1, filled from the archives of the tests.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::images;

/// Who a registry with a door lets in, and what its file of users says of the password.
pub const USER: &str = "somebody";
/// The password.
pub const PASSWORD: &str = "s3cret";
const PASSWORD_HASH: &str = "$2b$04$KudKalh6dDSjiFx8B0D9De.VQrnphhertHpkwCZfIZGWRzd3Xc08K";

/// A registry, stopped when dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    directory: PathBuf,
    address: String,
    is_closed: bool,
    /// What it has written down so far.
    log: Arc<Mutex<String>>,
}

impl Registry {
    /// Starts one that keeps its files in a directory.
    #[must_use]
    pub fn start(directory: &Path) -> Self {
        Self::start_as(directory, false)
    }

    /// Starts one that wants [`USER`] and [`PASSWORD`] for everything.
    #[must_use]
    pub fn start_closed(directory: &Path) -> Self {
        Self::start_as(directory, true)
    }

    fn start_as(directory: &Path, is_closed: bool) -> Self {
        std::fs::create_dir_all(directory).expect("temporary directory");
        let config = directory.join("registry.yml");
        let mut text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            directory.join("registry").display(),
        );
        if is_closed {
            let users = directory.join("users");
            std::fs::write(&users, format!("{USER}:{PASSWORD_HASH}\n")).expect("users");
            text.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                users.display()
            ));
        }
        std::fs::write(&config, text).expect("configuration");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry (Debian package of the same name) is needed for this test");
        // It says on which port it listens once it does.
        let mut log = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            let length = log.read_line(&mut line).expect("text");
            assert!(length > 0, "the registry has ended");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest
                    .split(['"', ',', ' '])
                    .next()
                    .expect("an address")
                    .to_owned();
            }
        };
        // Read on, also because a full pipe would stop the registry.
        let written = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let written = Arc::clone(&written);
            move || {
                let mut line = String::new();
                while log.read_line(&mut line).is_ok_and(|length| length > 0) {
                    written.lock().expect("nobody panics").push_str(&line);
                    line.clear();
                }
            }
        });
        Self {
            process,
            directory: directory.to_owned(),
            address,
            is_closed,
            log: written,
        }
    }

    /// How often it was asked what a name such as `tools:1` stands for, with or without the content. To be told is not to be asked; that
    /// line of its log may also come late.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> usize {
        let (repository, tag) = name.split_once(':').expect("a tag");
        let path = format!("/v2/{repository}/manifests/{tag} ");
        let log = self.log.lock().expect("nobody panics");
        let answers = log
            .lines()
            .filter(|line| line.contains("response completed") && line.contains(&path))
            .filter(|line| !line.contains("http.request.method=PUT"));
        answers.count()
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of an image in it.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes the image of an archive under a name, such as `tools:1`.
    pub fn push(&self, archive: &str, name: &str) {
        let (repository, tag) = name.split_once(':').expect("a tag");
        let layout = self.directory.join(archive);
        std::fs::create_dir_all(&layout).expect("temporary directory");
        let archive = images::archive(archive);
        let unpacked = Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&layout)
            .status();
        assert!(unpacked.is_ok_and(|status| status.success()), "tar");
        let blob = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
        let read = |path: PathBuf| -> Value {
            serde_json::from_slice(&std::fs::read(path).expect("a blob")).expect("JSON")
        };
        let index = read(layout.join("index.json"));
        let descriptor = &index["manifests"][0];
        let digest = descriptor["digest"].as_str().expect("a digest");
        let manifest = read(blob(digest));
        let layers = manifest["layers"].as_array().expect("layers");
        for part in layers.iter().chain([&manifest["config"]]) {
            let digest = part["digest"].as_str().expect("a digest");
            self.put_blob(repository, digest, &blob(digest));
        }
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let kind = descriptor["mediaType"].as_str().expect("a media type");
        self.put(&url, kind, &blob(digest));
    }

    fn put_blob(&self, repository: &str, digest: &str, file: &Path) {
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.address);
        let answer = self
            .curl()
            .args(["--fail", "--silent", "--show-error", "--request", "POST"])
            .args(["--dump-header", "-", "--output", "/dev/null", &url])
            .output()
            .expect("curl");
        let headers = String::from_utf8_lossy(&answer.stdout).into_owned();
        let location = headers
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .unwrap_or_else(|| panic!("no place for the blob: {headers}"));
        self.put(
            &format!("{}&digest={digest}", location.trim()),
            "application/octet-stream",
            file,
        );
    }

    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        if self.is_closed {
            curl.args(["--user", &format!("{USER}:{PASSWORD}")]);
        }
        curl
    }

    fn put(&self, url: &str, kind: &str, file: &Path) {
        let status = self
            .curl()
            .args([
                "--fail",
                "--silent",
                "--show-error",
                "--output",
                "/dev/null",
            ])
            .args([
                "--header",
                &format!("Content-Type: {kind}"),
                "--upload-file",
            ])
            .arg(file)
            .arg(url)
            .status()
            .expect("curl");
        assert!(status.success(), "{url}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
