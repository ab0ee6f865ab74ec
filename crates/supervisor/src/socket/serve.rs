//! The server's side: one pod behind `/api/v1/namespaces/<namespace>/pods/<name>`.
//!
//! | path | method | what |
//! |---|---|---|
//! | `…/pods/<name>` | GET | the pod; with `watch=true` a stream of `{"type","object"}` lines |
//! | `…/pods/<name>` | PUT, PATCH | what may be changed of a pod that runs: images, a shorter deadline, labels |
//! | `…/pods/<name>/ephemeralcontainers` | PUT, PATCH | containers to look into the pod with |
//! | `…/pods/<name>/status` | PUT, PATCH | conditions that are not the kubelet's own, as readiness gates name them |
//! | `…/pods/<name>` | DELETE | `gracePeriodSeconds`; `podyard-kill=true` ends it without grace |
//! | `…/pods/<name>/log` | GET | `container`, `follow`, `timestamps`, `previous`, `tailLines`, `instance` |
//! | `…/pods/<name>/exec` | GET, WebSocket | `command` (repeated), `container`, `stdin`, `stdout`, `stderr`, `tty` |
//! | `…/pods/<name>/attach` | GET, WebSocket | `container`, `stdin`, `stdout`, `stderr`, `tty` |
//! | `…/pods/<name>/portforward` | GET, WebSocket | `port`: one connection to it |
//! | `…/events` | GET | the pod's Events |
//! | `/apis/metrics.k8s.io/v1beta1/namespaces/<namespace>/pods/<name>` | GET | what its containers use |
//! | `/podyard/v1/retry` | POST | `container`: end a back-off now |

use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::TokioIo;
use podyard_lifecycle::{Accepted, Refusal, Request};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::change;
use super::channels;
use super::metrics;
use super::stream;
use crate::drivers::World;
use crate::event_loop::{Asked, Published};
use crate::query::Query;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What every connection may use.
pub(crate) struct Service {
    pub(crate) world: Rc<World>,
    pub(crate) published: watch::Receiver<Published>,
    pub(crate) asked: mpsc::UnboundedSender<Asked>,
    /// One change after the other: each is a change of what the last one led to.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// Accepts connections for ever.
pub(crate) async fn run(listener: UnixListener, service: Rc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(stream, Rc::clone(&service)));
            }
            // Out of descriptors: the ones in use will be closed.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Somebody is connected: who hears of an end here, and looks elsewhere then, must not find what was before.
struct Talking(Rc<World>);

impl Talking {
    fn begin(service: &Service) -> Self {
        let world = Rc::clone(&service.world);
        world.live.talking.update(|count| count + 1);
        Self(world)
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        self.0.live.talking.update(|count| count - 1);
    }
}

async fn serve(stream: UnixStream, service: Rc<Service>) {
    // The directory already keeps others out; this is the second lock on the door.
    let own = rustix::process::geteuid().as_raw();
    if !stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
    {
        return;
    }
    let _talking = Talking::begin(&service);
    let answer = hyper::service::service_fn(move |request| {
        let service = Rc::clone(&service);
        async move { Ok::<_, Infallible>(route(&service, request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let _ = connection.with_upgrades().await;
}

async fn route(service: &Rc<Service>, request: HttpRequest<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = request.method().clone();
    match (&method, segments.as_slice()) {
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _]) if query.flag("watch") => {
            watch_pod(service, query.flag("podyard-events"))
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _]) => {
            let pod = Rc::clone(&service.published.borrow().pod);
            json(StatusCode::OK, pod.to_string())
        }
        (&Method::DELETE, ["api", "v1", "namespaces", _, "pods", _]) => {
            let wish = if query.flag("podyard-kill") {
                Request::Kill
            } else {
                Request::Delete {
                    grace_seconds: query
                        .get("gracePeriodSeconds")
                        .and_then(|text| text.parse().ok()),
                }
            };
            ask(service, wish).await
        }
        (&Method::PUT | &Method::PATCH, ["api", "v1", "namespaces", _, "pods", _]) => {
            change::spec(service, request, change::pod_update).await
        }
        (
            &Method::PUT | &Method::PATCH,
            [
                "api",
                "v1",
                "namespaces",
                _,
                "pods",
                _,
                "ephemeralcontainers",
            ],
        ) => change::spec(service, request, change::ephemeral_containers).await,
        (&Method::PUT | &Method::PATCH, ["api", "v1", "namespaces", _, "pods", _, "status"]) => {
            change::status(service, request).await
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _, "log"]) => {
            stream::logs(service, &query)
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _, "exec"]) => {
            channels::exec(service, request, &query)
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _, "attach"]) => {
            channels::attach(service, request, &query)
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "pods", _, "portforward"]) => {
            channels::port_forward(service, request, &query)
        }
        (&Method::GET, ["api", "v1", "namespaces", _, "events"]) => {
            let events = Rc::clone(&service.published.borrow().events);
            json(
                StatusCode::OK,
                format!(
                    r#"{{"apiVersion":"v1","kind":"EventList","metadata":{{}},"items":{events}}}"#
                ),
            )
        }
        (
            &Method::GET,
            [
                "apis",
                "metrics.k8s.io",
                "v1beta1",
                "namespaces",
                _,
                "pods",
                _,
            ],
        ) => metrics::pod(service).await,
        (&Method::POST, ["podyard", "v1", "retry"]) => match query.get("container") {
            None => ask(service, Request::Retry { container: None }).await,
            Some(name) => match service.world.container_index(name) {
                Some(container) => {
                    ask(
                        service,
                        Request::Retry {
                            container: Some(container),
                        },
                    )
                    .await
                }
                None => status(
                    StatusCode::NOT_FOUND,
                    "NotFound",
                    &format!("there is no container {name:?} in this pod"),
                ),
            },
        },
        _ => status(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        ),
    }
}

async fn ask(service: &Service, wish: Request) -> Response<Body> {
    match wish_for(service, wish).await {
        Ok(Accepted::Done) => status(StatusCode::OK, "", "done"),
        Ok(Accepted::AlreadySo) => status(StatusCode::OK, "", "already so"),
        Err(refused) => *refused,
    }
}

/// Asks the machine; a refusal is a response already.
pub(super) async fn wish_for(
    service: &Service,
    wish: Request,
) -> Result<Accepted, Box<Response<Body>>> {
    let (answer, answered) = oneshot::channel();
    let gone = || Box::new(status(StatusCode::GONE, "Gone", "the pod has ended"));
    if let Err(mpsc::error::SendError((wish, _))) = service.asked.send((wish, answer)) {
        if matches!(wish, Request::Delete { .. } | Request::Kill) {
            // Only its last output is still waited for, and nobody wants it any more.
            service.world.give_up_output();
        }
        return Err(gone());
    }
    let answer = answered.await.map_err(|_| gone())?;
    answer.map_err(|refusal| {
        let text = refusal_text(refusal);
        Box::new(status(StatusCode::CONFLICT, "Conflict", text))
    })
}

fn refusal_text(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NothingWaiting => "nothing is waiting for a retry",
        Refusal::Terminating => "the pod is being deleted",
        Refusal::NoSuchContainer => "there is no such container",
        Refusal::OtherContainers => {
            "containers cannot be added to a running pod or taken from it: delete it and run it again"
        }
        Refusal::OwnCondition => {
            "the kubelet sets this condition itself: set one that `spec.readinessGates` names"
        }
        Refusal::NoSuchCondition => "there is no such condition",
        Refusal::TooManyImages => {
            "the pod has named too many images in its life: delete it and run it again"
        }
        Refusal::TooManyConditions => "the pod has too many conditions of others: remove one first",
    }
}

/// One line per published pod: the one of now first, then each change, at the end `DELETED` for a pod that was deleted. With its Events
/// for those who want them: when a deleted pod's last line has been read, its files are gone.
fn watch_pod(service: &Rc<Service>, with_events: bool) -> Response<Body> {
    let mut published = service.published.clone();
    let (lines, received) = mpsc::channel::<Bytes>(8);
    tokio::task::spawn_local(async move {
        let mut kind = "ADDED";
        loop {
            let now = published.borrow_and_update().clone();
            if matches!(now.end, Some(podyard_lifecycle::End::Deleted)) {
                kind = "DELETED";
            }
            let events = match with_events {
                true => format!(",\"events\":{}", now.events),
                false => String::new(),
            };
            let line = format!("{{\"type\":\"{kind}\",\"object\":{}{events}}}\n", now.pod);
            if lines.send(line.into()).await.is_err() || now.end.is_some() {
                return;
            }
            kind = "MODIFIED";
            if published.changed().await.is_err() {
                return;
            }
        }
    });
    streaming("application/json", received)
}

/// A body out of a channel.
pub(crate) fn streaming(
    content_type: &'static str,
    received: mpsc::Receiver<Bytes>,
) -> Response<Body> {
    let frames = futures_util::stream::unfold(received, |mut received| async move {
        let bytes = received.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), received))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    response
}

pub(crate) fn json(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}

/// A `v1.Status`, which is how Kubernetes answers everything that is not an object.
pub(crate) fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let is_success = code.is_success();
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {},
        "status": if is_success { "Success" } else { "Failure" },
        "reason": reason, "message": message, "code": code.as_u16(),
    });
    json(code, object.to_string())
}
