//! A real registry on a free port, and how images get into it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use podyard_image::{Digest, Reference};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::support::TestImage;

/// Debian's `docker-registry`, stopped when dropped.
pub(crate) struct Registry {
    process: Child,
    address: String,
    base: String,
    agent: ureq::Agent,
}

impl Registry {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, None)
    }

    pub(crate) fn start_encrypted(dir: &Path, certificate: &str, key: &str) -> Self {
        Self::start_with(dir, Some((certificate, key)))
    }

    fn start_with(dir: &Path, tls: Option<(&str, &str)>) -> Self {
        let path = |name: &str| dir.join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            path("registry"),
        );
        let mut agent = ureq::Agent::config_builder().http_status_as_error(false);
        if let Some((certificate, key)) = tls {
            config += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                path(certificate),
                path(key)
            );
            let pem = std::fs::read(dir.join(certificate)).unwrap();
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            let roots = RootCerts::new_with_certs(&certificates);
            agent = agent.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        std::fs::write(dir.join("registry.yml"), config).unwrap();
        let mut process = Command::new("docker-registry")
            .args(["serve", &path("registry.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry (Debian package of the same name) is needed for this test");
        // It says on which port it listens once it does.
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(
                log.read_line(&mut line).unwrap() > 0,
                "the registry has ended"
            );
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',', ' ']).next().unwrap().to_owned();
            }
        };
        // Nobody reads on: a full pipe would stop the registry.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        Self {
            process,
            base: format!("{scheme}://{address}"),
            address,
            agent: agent.build().new_agent(),
        }
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    pub(crate) fn push(&self, image: &TestImage, repository: &str, tag: &str) {
        for (stored, _) in &image.layers {
            self.put_blob(repository, stored);
        }
        self.put_blob(repository, &image.config_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        self.put_manifest(repository, tag, media_type, &image.manifest_bytes());
    }

    fn put_blob(&self, repository: &str, content: &[u8]) {
        let start = self
            .agent
            .post(format!("{}/v2/{repository}/blobs/uploads/", self.base))
            .send_empty()
            .unwrap();
        let location = start.headers()["Location"].to_str().unwrap().to_owned();
        let location = if location.starts_with('/') {
            format!("{}{location}", self.base)
        } else {
            location
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", Digest::of(content));
        assert_eq!(self.agent.put(url).send(content).unwrap().status(), 201);
    }

    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        content: &[u8],
    ) {
        let request = self
            .agent
            .put(format!("{}/v2/{repository}/manifests/{tag}", self.base));
        assert_eq!(
            request
                .content_type(media_type)
                .send(content)
                .unwrap()
                .status(),
            201
        );
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
