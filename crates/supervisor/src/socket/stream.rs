//! Log streams: what is there, then what comes, until the instance has ended and its last line was sent.

use std::path::PathBuf;
use std::rc::Rc;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use podyard_api::core::Pod;
use tokio::sync::mpsc;

use super::serve::{Body, Service, status, streaming};
use crate::log_reader::LogReader;
use crate::logs::{self, LogOptions};
use crate::query::Query;

/// Read at once from a log file.
const CHUNK: usize = 64 << 10;

pub(super) fn logs(service: &Rc<Service>, query: &Query) -> Response<Body> {
    let options = LogOptions {
        previous: query.flag("previous"),
        tail: query.get("tailLines").and_then(|text| text.parse().ok()),
        since: query.get("sinceTime").map(str::to_owned),
        timestamps: query.flag("timestamps"),
        limit_bytes: query.get("limitBytes").and_then(|text| text.parse().ok()),
    };
    let Some(container) = query.get("container") else {
        return status(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "a container name must be specified",
        );
    };
    let pod = Rc::clone(&service.published.borrow().pod);
    let Ok(pod) = serde_json::from_str::<Pod>(&pod) else {
        return status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "the pod's own status cannot be read",
        );
    };
    // The pump is a turn behind at most; whoever reads now shall see what was printed until now.
    service.world.drain_logs();
    let instance = match query.get("instance").and_then(|text| text.parse().ok()) {
        Some(instance) => Ok(instance),
        None => logs::choose(&pod, container, options.previous),
    };
    let instance = match instance {
        Ok(instance) => instance,
        Err(error) => return status(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()),
    };
    let path = logs::file(&service.world.log_directory(), container, instance);
    let (lines, received) = mpsc::channel(8);
    if query.flag("follow") {
        tokio::task::spawn_local(follow(
            Rc::clone(service),
            container.to_owned(),
            instance,
            path,
            options,
            lines,
        ));
    } else {
        tokio::task::spawn_local(async move {
            if let Ok(text) = logs::read(&path, &options) {
                for chunk in text.chunks(CHUNK) {
                    if lines.send(Bytes::copy_from_slice(chunk)).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    streaming("text/plain", received)
}

/// The log of a container that runs, from now on (`tail` 0) or from its beginning.
pub(super) fn follow_from(
    service: &Rc<Service>,
    container: &str,
    instance: u32,
    tail: Option<usize>,
) -> mpsc::Receiver<Bytes> {
    service.world.drain_logs();
    let path = logs::file(&service.world.log_directory(), container, instance);
    let options = LogOptions {
        tail,
        ..LogOptions::default()
    };
    let (lines, received) = mpsc::channel(8);
    let (service, container) = (Rc::clone(service), container.to_owned());
    tokio::task::spawn_local(follow(service, container, instance, path, options, lines));
    received
}

async fn follow(
    service: Rc<Service>,
    container: String,
    instance: u32,
    path: PathBuf,
    mut options: LogOptions,
    lines: mpsc::Sender<Bytes>,
) {
    let mut grew = service.world.logs_grew.subscribe();
    let mut reader = LogReader::new(path);
    let mut rest = Vec::new();
    loop {
        grew.borrow_and_update();
        // Asked first: what an instance wrote before it ended is in the file once it counts as ended.
        let has_ended = !service.world.is_writing_log(&container, instance);
        loop {
            let Ok(read) = reader.read(CHUNK as u64, &mut rest) else {
                return;
            };
            if read == 0 {
                break;
            }
            let whole = rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            // The first look is the one that `--tail` is about: it must see all of the file.
            if options.tail.is_some() && read == CHUNK {
                continue;
            }
            let mut out = Vec::new();
            logs::render(&rest[..whole], &options, &mut out);
            rest.drain(..whole);
            options.tail = None;
            if !out.is_empty() && lines.send(out.into()).await.is_err() {
                return;
            }
        }
        options.tail = None;
        if has_ended {
            return;
        }
        tokio::select! {
            changed = grew.changed() => if changed.is_err() { return },
            () = lines.closed() => return,
        }
    }
}
