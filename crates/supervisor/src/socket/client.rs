//! The commands' side of the socket. Needs a current-thread runtime; opens one connection per request.

use std::path::{Path, PathBuf};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use podyard_api::core::{Event, Pod};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::channels;
use crate::logs::LogOptions;
use crate::query::Query;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers: the supervisor is gone.
    #[error("cannot reach the pod's supervisor at `{path}`")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the pod's supervisor broke")]
    Http(#[from] hyper::Error),
    /// The supervisor said no; its words.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// The message of the `v1.Status`.
        message: String,
    },
    /// What it said cannot be read.
    #[error("the supervisor's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// One line of a watch.
#[derive(Clone, Debug, Deserialize)]
pub struct WatchEvent {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The pod.
    pub object: Pod,
    /// All its Events until then, when they were asked for.
    #[serde(default)]
    pub events: Option<Vec<Event>>,
}

/// What a pod's containers use, as the metrics API of Kubernetes tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct PodMetrics {
    /// Those that run.
    pub containers: Vec<ContainerMetrics>,
}

/// What one container uses.
#[derive(Clone, Debug, Deserialize)]
pub struct ContainerMetrics {
    /// Its name.
    pub name: String,
    /// How much.
    pub usage: ContainerUsage,
}

/// Quantities of Kubernetes.
#[derive(Clone, Debug, Deserialize)]
pub struct ContainerUsage {
    /// Processors, over the last moments.
    pub cpu: String,
    /// Bytes that cannot be reclaimed easily.
    pub memory: String,
}

/// Talks to one pod's supervisor.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    namespace: String,
    name: String,
}

impl Client {
    pub(crate) fn new(socket: PathBuf, namespace: &str, name: &str) -> Self {
        Self {
            socket,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn pod_path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.name)
    }

    /// The pod with its status.
    ///
    /// # Errors
    ///
    /// When the supervisor does not answer.
    pub async fn pod(&self) -> Result<Pod, ClientError> {
        self.json(Method::GET, &self.pod_path()).await
    }

    /// Waits for an answer, whatever it says.
    ///
    /// # Errors
    ///
    /// When the supervisor does not answer.
    pub async fn answers(&self) -> Result<(), ClientError> {
        let answer = self.send(Method::GET, &self.pod_path()).await;
        answer.map(drop)
    }

    /// The pod's Events.
    ///
    /// # Errors
    ///
    /// When the supervisor does not answer.
    pub async fn events(&self) -> Result<Vec<Event>, ClientError> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Event>,
        }
        let list: List = self
            .json(
                Method::GET,
                &format!("/api/v1/namespaces/{}/events", self.namespace),
            )
            .await?;
        Ok(list.items)
    }

    /// What its containers use. Takes as long as it is measured, about a second.
    ///
    /// # Errors
    ///
    /// When the supervisor does not answer.
    pub async fn metrics(&self) -> Result<PodMetrics, ClientError> {
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods/{}",
            self.namespace, self.name
        );
        self.json(Method::GET, &path).await
    }

    /// The pod as it is, then every change, until it has ended; with its Events or without.
    ///
    /// # Errors
    ///
    /// When the supervisor does not answer.
    pub async fn watch(&self, with_events: bool) -> Result<Lines, ClientError> {
        let query = Query::default()
            .with("watch", true)
            .with("podyard-events", with_events);
        let response = self
            .send(Method::GET, &format!("{}?{query}", self.pod_path()))
            .await?;
        Ok(Lines {
            body: response.into_body(),
            rest: Vec::new(),
        })
    }

    /// Asks for the pod's deletion; returns when it was accepted.
    ///
    /// # Errors
    ///
    /// When it is refused or nobody answers.
    pub async fn delete(&self, grace_seconds: Option<i64>) -> Result<(), ClientError> {
        let mut query = Query::default();
        if let Some(grace) = grace_seconds {
            query = query.with("gracePeriodSeconds", grace);
        }
        self.send(Method::DELETE, &format!("{}?{query}", self.pod_path()))
            .await
            .map(drop)
    }

    /// Ends the pod without any grace.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn kill(&self) -> Result<(), ClientError> {
        self.send(
            Method::DELETE,
            &format!("{}?podyard-kill=true", self.pod_path()),
        )
        .await
        .map(drop)
    }

    /// As [`Self::kill`], for a caller that does not wait: returns as soon as the supervisor has the request to read, or its successor.
    ///
    /// # Errors
    ///
    /// When the pod has no socket any more, or too many callers wait there.
    pub async fn kill_without_answer(&self) -> Result<(), ClientError> {
        let request = format!(
            "DELETE {}?podyard-kill=true HTTP/1.1\r\nhost: podyard\r\n\r\n",
            self.pod_path()
        );
        let sent = async {
            connect(&self.socket)
                .await?
                .write_all(request.as_bytes())
                .await
        };
        sent.await.map_err(|source| self.cannot_connect(source))
    }

    fn cannot_connect(&self, source: std::io::Error) -> ClientError {
        ClientError::Connect {
            path: self.socket.display().to_string(),
            source,
        }
    }

    /// Changes the pod by a strategic merge patch of Kubernetes; `subresource` is `status` or `ephemeralcontainers`, or nothing for the pod
    /// itself. Returns the pod as it is then.
    ///
    /// # Errors
    ///
    /// With the API server's text when the change is not allowed, or when nobody answers.
    pub async fn patch(
        &self,
        subresource: Option<&str>,
        patch: &serde_json::Value,
    ) -> Result<Pod, ClientError> {
        let mut path = self.pod_path();
        if let Some(subresource) = subresource {
            path = format!("{path}/{subresource}");
        }
        let kind = HeaderValue::from_static("application/strategic-merge-patch+json");
        self.send_object(Method::PATCH, &path, kind, patch).await
    }

    /// Changes the pod into this one.
    ///
    /// # Errors
    ///
    /// As [`Self::patch`].
    pub async fn replace(&self, pod: &Pod) -> Result<Pod, ClientError> {
        let kind = HeaderValue::from_static("application/json");
        self.send_object(Method::PUT, &self.pod_path(), kind, pod)
            .await
    }

    async fn send_object(
        &self,
        method: Method,
        path: &str,
        kind: HeaderValue,
        object: &impl serde::Serialize,
    ) -> Result<Pod, ClientError> {
        let mut request = request(method, path);
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        *request.body_mut() = serde_json::to_vec(object)
            .map_err(ClientError::Unreadable)?
            .into();
        let body = self.send_request(request).await?.into_body();
        let body = body.collect().await?.to_bytes();
        serde_json::from_slice(&body).map_err(ClientError::Unreadable)
    }

    /// Ends a back-off now.
    ///
    /// # Errors
    ///
    /// When nothing is waiting, or nobody answers.
    pub async fn retry(&self, container: Option<&str>) -> Result<(), ClientError> {
        let mut query = Query::default();
        if let Some(container) = container {
            query = query.with("container", container);
        }
        self.send(Method::POST, &format!("/podyard/v1/retry?{query}"))
            .await
            .map(drop)
    }

    /// Follows a container's log: what is there, then what comes, until the instance has ended.
    ///
    /// # Errors
    ///
    /// With the kubelet's text when there is no such instance.
    pub async fn follow_logs(
        &self,
        container: &str,
        instance: Option<u32>,
        options: &LogOptions,
    ) -> Result<Chunks, ClientError> {
        let mut query = Query::default()
            .with("container", container)
            .with("follow", true);
        if let Some(instance) = instance {
            query = query.with("instance", instance);
        }
        if let Some(tail) = options.tail {
            query = query.with("tailLines", tail);
        }
        if let Some(since) = &options.since {
            query = query.with("sinceTime", since);
        }
        query = query
            .with("previous", options.previous)
            .with("timestamps", options.timestamps);
        let response = self
            .send(Method::GET, &format!("{}/log?{query}", self.pod_path()))
            .await?;
        Ok(Chunks {
            body: response.into_body(),
        })
    }

    /// Starts a command in a container.
    ///
    /// # Errors
    ///
    /// When the container does not run, or the command cannot be started.
    pub async fn exec(
        &self,
        container: Option<&str>,
        command: &[String],
        stdin: bool,
        tty: bool,
    ) -> Result<ExecStream, ClientError> {
        let mut query = Query::default()
            .with("stdin", stdin)
            .with("tty", tty)
            .with("stdout", true)
            .with("stderr", !tty);
        if let Some(container) = container {
            query = query.with("container", container);
        }
        for word in command {
            query = query.with("command", word);
        }
        self.upgrade(&format!("{}/exec?{query}", self.pod_path()))
            .await
    }

    /// Connects to the first process of a container; `from_start` asks for what one without a terminal has printed until now as well.
    ///
    /// # Errors
    ///
    /// When the container does not run.
    pub async fn attach(
        &self,
        container: &str,
        stdin: bool,
        tty: bool,
        from_start: bool,
    ) -> Result<ExecStream, ClientError> {
        let query = Query::default()
            .with("container", container)
            .with("stdin", stdin)
            .with("tty", tty)
            .with("stdout", true)
            .with("stderr", !tty)
            .with("podyard-from-start", from_start);
        self.upgrade(&format!("{}/attach?{query}", self.pod_path()))
            .await
    }

    /// Connects to a port of the pod from inside its network. What is sent is the stream's input, and its output what comes back; the connection
    /// is refused by [`ExecOutput::Failed`], and has ended with [`ExecOutput::Exit`].
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn port_forward(&self, port: u16) -> Result<ExecStream, ClientError> {
        let query = Query::default().with("port", port);
        self.upgrade(&format!("{}/portforward?{query}", self.pod_path()))
            .await
    }

    async fn upgrade(&self, path: &str) -> Result<ExecStream, ClientError> {
        let mut request = request(Method::GET, path);
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(channels::PROTOCOL),
        );
        if let Ok(key) = HeaderValue::from_str(&generate_key()) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        let response = self.send_request(request).await?;
        let upgraded = hyper::upgrade::on(response).await?;
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
        Ok(ExecStream { socket })
    }

    async fn json<T: for<'a> Deserialize<'a>>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        let body = self
            .send(method, path)
            .await?
            .into_body()
            .collect()
            .await?
            .to_bytes();
        serde_json::from_slice(&body).map_err(ClientError::Unreadable)
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.send_request(request(method, path)).await
    }

    async fn send_request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = connect(&self.socket)
            .await
            .map_err(|source| self.cannot_connect(source))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        let response = sender.send_request(request).await?;
        let code = response.status();
        if code.is_success() || code == hyper::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = response.into_body().collect().await?.to_bytes();
        let status: serde_json::Value =
            serde_json::from_slice(&body).map_err(ClientError::Unreadable)?;
        let message = status
            .get("message")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Err(ClientError::Refused {
            code: code.as_u16(),
            message,
        })
    }
}

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    // Every path is put together here, out of names that were validated and values that were encoded.
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_static("podyard"));
    request
}

/// A socket's path may be longer than an address can hold; a descriptor of its directory makes it short.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let directory = socket.parent().unwrap_or_else(|| Path::new("/"));
    let directory = std::fs::File::open(directory)?;
    UnixStream::connect(short_path(&directory, socket)).await
}

pub(crate) fn short_path(directory: &std::fs::File, socket: &Path) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    let name = socket.file_name().unwrap_or_default();
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// A watch.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line, or `None` when the pod has ended or the supervisor is gone.
    ///
    /// # Errors
    ///
    /// When the line cannot be read.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(ClientError::Unreadable);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self
                    .rest
                    .extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// A log stream.
#[derive(Debug)]
pub struct Chunks {
    body: Incoming,
}

impl Chunks {
    /// The next bytes; `None` at the end, or when the supervisor is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.body.frame().await?.ok()?.into_data() {
                Ok(data) => return Some(data),
                Err(_) => continue,
            }
        }
    }
}

/// What comes out of a command in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Standard output, or the terminal.
    Stdout(Vec<u8>),
    /// Standard error.
    Stderr(Vec<u8>),
    /// It has ended with this code.
    Exit(i32),
    /// It could not be run, or nobody knows how it ended.
    Failed(String),
}

/// A command in a container.
#[derive(Debug)]
pub struct ExecStream {
    socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
}

/// The writing half.
#[derive(Debug)]
pub struct ExecInput(
    futures_util::stream::SplitSink<WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, Message>,
);

/// The reading half.
#[derive(Debug)]
pub struct ExecReader(
    futures_util::stream::SplitStream<WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>>,
);

impl ExecStream {
    /// Both directions, to be used at the same time.
    #[must_use]
    pub fn split(self) -> (ExecInput, ExecReader) {
        let (sink, stream) = self.socket.split();
        (ExecInput(sink), ExecReader(stream))
    }
}

impl ExecInput {
    /// Sends standard input.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn stdin(&mut self, data: &[u8]) -> Result<(), std::io::Error> {
        self.frame(channels::STDIN, data).await
    }

    /// Says that there is no more.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn close_stdin(&mut self) -> Result<(), std::io::Error> {
        self.frame(channels::CLOSE, &[channels::STDIN]).await
    }

    /// Tells the size of the terminal, in characters.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn resize(&mut self, columns: u16, rows: u16) -> Result<(), std::io::Error> {
        self.frame(
            channels::RESIZE,
            format!(r#"{{"Width":{columns},"Height":{rows}}}"#).as_bytes(),
        )
        .await
    }

    async fn frame(&mut self, channel: u8, data: &[u8]) -> Result<(), std::io::Error> {
        let frame = [&[channel], data].concat();
        self.0
            .send(Message::Binary(frame.into()))
            .await
            .map_err(std::io::Error::other)
    }
}

impl ExecReader {
    /// The next piece of output; `None` when the connection is gone.
    pub async fn next(&mut self) -> Option<ExecOutput> {
        loop {
            let Message::Binary(bytes) = self.0.next().await?.ok()? else {
                continue;
            };
            return Some(match bytes.split_first() {
                Some((&channels::STDOUT, data)) => ExecOutput::Stdout(data.to_vec()),
                Some((&channels::STDERR, data)) => ExecOutput::Stderr(data.to_vec()),
                Some((&channels::ERROR, data)) => end_of(data),
                _ => continue,
            });
        }
    }
}

fn end_of(status: &[u8]) -> ExecOutput {
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(status) else {
        return ExecOutput::Failed("the command's end cannot be read".to_owned());
    };
    if status["status"] == "Success" {
        return ExecOutput::Exit(0);
    }
    let code = status["details"]["causes"][0]["message"]
        .as_str()
        .and_then(|text| text.parse().ok());
    code.map_or_else(
        || ExecOutput::Failed(status["message"].as_str().unwrap_or_default().to_owned()),
        ExecOutput::Exit,
    )
}
