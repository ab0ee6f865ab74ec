//! `grpc`: the health service that gRPC servers offer, `grpc.health.v1.Health/Check`, in plain text.
//!
//! The messages have one field each, so they are written and read here rather than by generated code.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout_at};

use super::{connect, go_seconds, join};

/// gRPC's first wait between two attempts to connect.
const RECONNECT: Duration = Duration::from_secs(1);

/// Asks the service; an error is the text of the failure.
pub(in crate::drivers) async fn check(
    host: &str,
    port: u16,
    service: &str,
    limit_seconds: u64,
) -> Result<(), String> {
    let address = join(host, port);
    let deadline = Instant::now() + Duration::from_secs(limit_seconds);
    let limit = go_seconds(limit_seconds);
    // The client goes on trying to connect until its time is over, whatever the reason of a refusal.
    let connecting = async {
        loop {
            if let Ok(stream) = connect(host, port, None).await
                && let Ok(pair) =
                    hyper::client::conn::http2::handshake(Local, TokioIo::new(stream)).await
            {
                return pair;
            }
            sleep(RECONNECT).await;
        }
    };
    let Ok((mut sender, connection)) = timeout_at(deadline, connecting).await else {
        return Err(format!(
            "timeout: failed to connect service {address:?} within {limit}: context deadline exceeded"
        ));
    };
    let connection = tokio::task::spawn_local(connection);
    let asking = ask(&mut sender, &address, service);
    let answer = timeout_at(deadline, asking).await;
    connection.abort();
    match answer {
        Err(_) => Err(format!(
            "timeout: health rpc did not complete within {limit}"
        )),
        Ok(Err(text)) => Err(format!(
            "error: health rpc probe failed: rpc error: code = Unavailable desc = {text}"
        )),
        Ok(Ok(answer)) => answer.verdict(&limit),
    }
}

/// Status, message and serving state of one call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    status: u32,
    message: String,
    serving: u64,
}

impl Answer {
    fn verdict(&self, limit: &str) -> Result<(), String> {
        match self.status {
            0 => match self.serving {
                1 => Ok(()),
                other => {
                    let name = match other {
                        0 => "UNKNOWN",
                        2 => "NOT_SERVING",
                        3 => "SERVICE_UNKNOWN",
                        _ => return Err(format!("service unhealthy (responded with \"{other}\")")),
                    };
                    Err(format!("service unhealthy (responded with {name:?})"))
                }
            },
            4 => Err(format!(
                "timeout: health rpc did not complete within {limit}"
            )),
            12 => Err(format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                self.message
            )),
            code => Err(format!(
                "error: health rpc probe failed: rpc error: code = {} desc = {}",
                code_name(code),
                self.message
            )),
        }
    }
}

async fn ask(
    sender: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    address: &str,
    service: &str,
) -> Result<Answer, String> {
    let uri = format!("http://{address}/grpc.health.v1.Health/Check");
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.36")
        .body(Full::new(frame(service)))
        .map_err(|error| error.to_string())?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    if response.status() != 200 {
        return Err(format!(
            "unexpected HTTP status code received from server: {}",
            response.status()
        ));
    }
    // A server that fails at once sends its status in the headers and no body.
    let head = response.headers().clone();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    let trailers = body.trailers().cloned().unwrap_or(head);
    let (status, message) = status(&trailers)?;
    Ok(Answer {
        status,
        message,
        serving: serving(&body.to_bytes()),
    })
}

fn status(headers: &HeaderMap<HeaderValue>) -> Result<(u32, String), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let status = text("grpc-status")
        .and_then(|status| status.parse().ok())
        .ok_or("server closed the stream without sending trailers")?;
    let message = text("grpc-message").unwrap_or_default();
    let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy();
    Ok((status, message.into_owned()))
}

/// `HealthCheckRequest { string service = 1 }` behind gRPC's prefix: not compressed, and the length.
fn frame(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

/// `HealthCheckResponse { ServingStatus status = 1 }`; 0 when the field is absent.
fn serving(framed: &[u8]) -> u64 {
    let Some([0x08, value @ ..]) = framed.get(5..) else {
        return 0;
    };
    let mut number = 0;
    for (place, byte) in value.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn code_name(code: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let known = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    known.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

/// hyper's tasks run where everything of the supervisor runs: on its one thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(&frame("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&frame("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = "x".repeat(200);
        assert_eq!(&frame(&long)[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), 1);
        assert_eq!(serving(&[0, 0, 0, 0, 0]), 0);
    }

    #[test]
    fn answers_become_the_kubelets_words() {
        let answer = |status, serving| Answer {
            status,
            serving,
            message: "m".to_owned(),
        };
        for (answer, expected) in [
            (answer(0, 1), Ok(())),
            (
                answer(0, 2),
                Err("service unhealthy (responded with \"NOT_SERVING\")"),
            ),
            (
                answer(12, 0),
                Err(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): m",
                ),
            ),
            (
                answer(5, 0),
                Err("error: health rpc probe failed: rpc error: code = NotFound desc = m"),
            ),
            (
                answer(4, 0),
                Err("timeout: health rpc did not complete within 1s"),
            ),
        ] {
            assert_eq!(
                answer.verdict("1s"),
                expected.map_err(str::to_owned),
                "{answer:?}"
            );
        }
    }
}
