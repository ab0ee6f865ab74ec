//! Exec, attach and connections to ports over a WebSocket: Kubernetes' subprotocol `v5.channel.k8s.io`. Each message begins with its channel:
//! 0 standard input, 1 output, 2 error, 3 the result as a `v1.Status`, 4 terminal size as `{"Width","Height"}`, 255 closes the channel named by the
//! next byte. A connection to a port uses 0 and 1, and 3 at its end.

use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::serve::{Body, Service, status};
use super::stream;
use crate::drivers::{AttachSession, ExecRequest, ExecSession, ForwardSession};
use crate::query::Query;

/// The subprotocol.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";
pub(crate) const STDIN: u8 = 0;
pub(crate) const STDOUT: u8 = 1;
pub(crate) const STDERR: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const RESIZE: u8 = 4;
pub(crate) const CLOSE: u8 = 255;

/// What a connection is connected to.
enum Session {
    Exec(ExecSession),
    Attach(AttachSession),
    Forward(ForwardSession),
}

pub(super) fn exec(
    service: &Rc<Service>,
    request: HttpRequest<Incoming>,
    query: &Query,
) -> Response<Body> {
    let wanted = ExecRequest {
        container: query.get("container").map(str::to_owned),
        command: query
            .all("command")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        stdin: query.flag("stdin"),
        tty: query.flag("tty"),
    };
    if wanted.command.is_empty() {
        return bad("you must specify at least one command for the container");
    }
    upgrade(request, || {
        ExecSession::start(&service.world, &wanted).map(Session::Exec)
    })
}

/// `podyard-from-start=true`: also what a container without a terminal has printed until now.
pub(super) fn attach(
    service: &Rc<Service>,
    request: HttpRequest<Incoming>,
    query: &Query,
) -> Response<Body> {
    let Some(container) = query.get("container") else {
        return bad("a container name must be specified");
    };
    let tail = (!query.flag("podyard-from-start")).then_some(0);
    upgrade(request, || {
        let follow = |instance| stream::follow_from(service, container, instance, tail);
        AttachSession::start(&service.world, container, query.flag("stdin"), follow)
            .map(Session::Attach)
    })
}

pub(super) fn port_forward(
    service: &Rc<Service>,
    request: HttpRequest<Incoming>,
    query: &Query,
) -> Response<Body> {
    let port = query.get("port").and_then(|text| text.parse().ok());
    match port.filter(|port| *port > 0) {
        Some(port) => upgrade(request, || {
            Ok(Session::Forward(ForwardSession::new(&service.world, port)))
        }),
        None => bad("a port between 1 and 65535 must be specified"),
    }
}

fn bad(message: &str) -> Response<Body> {
    status(StatusCode::BAD_REQUEST, "BadRequest", message)
}

fn upgrade(
    mut request: HttpRequest<Incoming>,
    start: impl FnOnce() -> Result<Session, String>,
) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return bad("this needs a WebSocket with the subprotocol v5.channel.k8s.io");
    };
    let session = match start() {
        Ok(session) => session,
        Err(message) => return bad(&message),
    };
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            run(socket, session).await;
        }
    });
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS, "", "");
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(PROTOCOL),
    );
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    *response.body_mut() = http_body_util::BodyExt::boxed_unsync(http_body_util::Empty::new());
    response
}

impl Session {
    /// What has to be done before anything can go through.
    async fn open(&mut self) -> Result<(), String> {
        match self {
            Self::Exec(session) => session.open_terminal().await,
            Self::Attach(_) => Ok(()),
            Self::Forward(session) => session.open().await,
        }
    }

    /// After [`Self::open`] has failed.
    async fn give_up(&self) {
        if let Self::Exec(session) = self {
            session.kill();
            let _ = session.wait().await;
        }
    }

    async fn write_stdin(&self, data: &[u8]) {
        // Whoever has closed its input does not want the rest.
        let _ = match self {
            Self::Exec(session) => session.write_stdin(data).await,
            Self::Attach(session) => session.write_stdin(data).await,
            Self::Forward(session) => session.write(data).await,
        };
    }

    /// A command reads the end of its input then; a container only if nobody else may attach to it later.
    async fn close_stdin(&self) {
        match self {
            Self::Exec(session) => session.close_stdin(),
            Self::Attach(session) => session.close_stdin(),
            Self::Forward(session) => session.finish().await,
        }
    }

    /// `{"Width":80,"Height":24}`.
    fn resize(&self, text: &[u8]) {
        let size = serde_json::from_slice::<serde_json::Value>(text).unwrap_or_default();
        let number = |name: &str| {
            let number = size.get(name).and_then(serde_json::Value::as_u64);
            number.and_then(|number| u16::try_from(number).ok())
        };
        let (Some(ws_col), Some(ws_row)) = (number("Width"), number("Height")) else {
            return;
        };
        let size = rustix::termios::Winsize {
            ws_col,
            ws_row,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        match self {
            Self::Exec(session) => session.resize(size),
            Self::Attach(session) => session.resize(size),
            Self::Forward(_) => {}
        }
    }

    async fn read_output(&self, channel: u8) -> Option<Vec<u8>> {
        match self {
            Self::Exec(session) => session.read_output(channel).await,
            Self::Attach(session) if channel == STDOUT => session.read_output().await,
            Self::Forward(session) if channel == STDOUT => session.read().await,
            Self::Attach(_) | Self::Forward(_) => None,
        }
    }

    async fn wait(&self) -> Result<i32, String> {
        match self {
            Self::Exec(session) => session.wait().await,
            Self::Attach(session) => {
                session.wait().await;
                Ok(0)
            }
            // It ends with what comes out of it.
            Self::Forward(_) => Ok(0),
        }
    }

    /// The client is gone. A command goes on, as in Kubernetes, but nobody will write to it; of an attachment or a connection nothing is left.
    async fn leave(&self) {
        self.close_stdin().await;
        if let Self::Exec(_) = self {
            std::future::pending::<()>().await;
        }
    }
}

async fn run<S>(socket: WebSocketStream<S>, mut session: Session)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (mut sink, mut source) = socket.split();
    if let Err(message) = session.open().await {
        let mut last = vec![ERROR];
        last.extend_from_slice(result(&Err(message)).as_bytes());
        let _ = sink.send(Message::Binary(last.into())).await;
        session.give_up().await;
        return;
    }
    let (frames, mut received) = mpsc::channel::<Vec<u8>>(16);
    let session = Rc::new(session);
    let input = {
        let session = Rc::clone(&session);
        async move {
            while let Some(Ok(message)) = source.next().await {
                let bytes = match message {
                    Message::Binary(bytes) => bytes,
                    Message::Close(_) => break,
                    _ => continue,
                };
                match bytes.split_first() {
                    Some((&STDIN, data)) => session.write_stdin(data).await,
                    Some((&RESIZE, data)) => session.resize(data),
                    Some((&CLOSE, [STDIN, ..])) => session.close_stdin().await,
                    _ => {}
                }
            }
            session.leave().await;
        }
    };
    let output = {
        let session = Rc::clone(&session);
        async move {
            let pump = |channel: u8| {
                let (session, frames) = (Rc::clone(&session), frames.clone());
                async move {
                    while let Some(mut data) = session.read_output(channel).await {
                        data.insert(0, channel);
                        if frames.send(data).await.is_err() {
                            return;
                        }
                    }
                }
            };
            let (code, ()) = tokio::join!(session.wait(), async {
                tokio::join!(pump(STDOUT), pump(STDERR));
            });
            let mut last = vec![ERROR];
            last.extend_from_slice(result(&code).as_bytes());
            let _ = frames.send(last).await;
        }
    };
    let sending = async move {
        while let Some(frame) = received.recv().await {
            let is_last = frame.first() == Some(&ERROR);
            if sink.send(Message::Binary(frame.into())).await.is_err() {
                return;
            }
            if is_last {
                let _ = sink.close().await;
                return;
            }
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(output, sending) } => {}
        () = input => {}
    }
}

/// As Kubernetes reports an exit: success, or the code as a cause.
fn result(end: &Result<i32, String>) -> String {
    match end {
        Ok(0) => r#"{"metadata":{},"status":"Success"}"#.to_owned(),
        Ok(code) => serde_json::json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        })
        .to_string(),
        Err(message) => {
            serde_json::json!({ "metadata": {}, "status": "Failure", "reason": "InternalError", "message": message }).to_string()
        }
    }
}
