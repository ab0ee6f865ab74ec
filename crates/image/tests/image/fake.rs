//! A registry that misbehaves on request: it answers exactly what a test tells it to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use podyard_image::{Digest, Reference};

use crate::support::TestImage;

/// One answer. Every connection gets one and is closed.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How much of the body is sent before the connection breaks.
    pub(crate) cut_at: Option<usize>,
    /// After that much, waits until the test lets it go on (or for ever).
    pub(crate) stall_at: Option<usize>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut_at: None,
            stall_at: None,
        }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn cut_at(self, length: usize) -> Self {
        Self {
            cut_at: Some(length),
            ..self
        }
    }

    pub(crate) fn stall_at(self, length: usize) -> Self {
        Self {
            stall_at: Some(length),
            ..self
        }
    }
}

/// A request as it came: `GET /path`, and its headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
}

type Handler = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

struct Shared {
    handler: Handler,
    requests: Mutex<Vec<Request>>,
    /// How many answers have stalled so far.
    stalled: Mutex<usize>,
    changed: Condvar,
}

/// Serves until the test process ends; the listener goes with the drop.
pub(crate) struct FakeRegistry {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl FakeRegistry {
    /// What the handler has no answer for is not found.
    pub(crate) fn start(
        handler: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            stalled: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that goes away early is part of the tests.
                thread::spawn(move || serve(&shared, connection).ok());
            }
        });
        Self { address, shared }
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests there were whose first line contains the text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.line.contains(text))
            .count()
    }

    /// Returns once so many answers have stalled.
    pub(crate) fn wait_for_stalls(&self, count: usize) {
        let stalled = self.shared.stalled.lock().unwrap();
        let _guard = self
            .shared
            .changed
            .wait_while(stalled, |stalled| *stalled < count)
            .unwrap();
    }
}

fn serve(shared: &Shared, mut connection: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = HashMap::new();
    let mut body_length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
        if name.eq_ignore_ascii_case("content-length") {
            body_length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(
        &mut std::io::Read::take(&mut reader, body_length),
        &mut std::io::sink(),
    )?;
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let request = Request { line, headers };
    let answer = (shared.handler)(&request).unwrap_or_else(|| {
        Answer::new(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
        )
    });
    shared.requests.lock().unwrap().push(request.clone());
    let mut head = format!(
        "HTTP/1.1 {} Whatever\r\nConnection: close\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == "Content-Length")
    {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    connection.write_all(format!("{head}\r\n").as_bytes())?;
    if request.line.starts_with("HEAD") {
        return Ok(());
    }
    if let Some(length) = answer.stall_at {
        connection.write_all(&answer.body[..length])?;
        *shared.stalled.lock().unwrap() += 1;
        shared.changed.notify_all();
        // Until the client has gone.
        std::io::copy(&mut reader, &mut std::io::sink())?;
        return Ok(());
    }
    let length = answer.cut_at.unwrap_or(answer.body.len());
    connection.write_all(&answer.body[..length])?;
    connection.shutdown(Shutdown::Write)
}

/// The answers of a well-behaved registry that has one image, under any name and tag.
pub(crate) fn documents(image: &TestImage, request: &Request) -> Option<Answer> {
    let path = request.line.split_once(' ')?.1;
    let path = path.split('?').next()?;
    if path.contains("/manifests/") {
        let manifest = image.manifest_bytes();
        let digest = Digest::of(&manifest).to_string();
        return Some(
            Answer::ok(manifest)
                .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                .header("Docker-Content-Digest", digest),
        );
    }
    let digest = path.split_once("/blobs/")?.1;
    let blobs = image
        .layers
        .iter()
        .map(|(stored, _)| stored.clone())
        .chain([image.config_bytes()]);
    blobs
        .into_iter()
        .find(|blob| Digest::of(blob).to_string() == digest)
        .map(Answer::ok)
}

/// Whether the request is for this blob.
pub(crate) fn is_for(request: &Request, blob: &[u8]) -> bool {
    request
        .line
        .ends_with(&format!("/blobs/{}", Digest::of(blob)))
}

/// The offset that a request asks for.
pub(crate) fn offset(request: &Request) -> usize {
    let range = request.headers.get("range");
    range
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
