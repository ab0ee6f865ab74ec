//! Changes of the pod itself, as the API server takes them: the whole object (PUT) or a patch, of the pod or of one of its subresources.
//!
//! ```text
//! body ─▶ patched ─▶ decoded, defaulted ─▶ compared with the pod of now, by the API server's rules ─▶ the machine ─▶ the new pod
//! ```

use std::rc::Rc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode, header};
use podyard_api::core::{Pod, PodCondition};
use podyard_api::patch::{self, PatchKind};
use podyard_api::{Diagnostic, Diagnostics, ObjectName, defaults, validate};
use podyard_lifecycle::{Condition, Request, Timestamp};
use serde_json::{Value, json};

use super::serve::{Body, Service, json as json_response, status as answer, wish_for};
use crate::limits;

type Refused = Box<Response<Body>>;

/// What may be changed of a pod, and what is wrong with a change of it.
type Rules = fn(&Pod, &Pod) -> (Pod, Vec<Diagnostic>);

/// Of the pod itself: everything but its ephemeral containers and its status.
pub(super) fn pod_update(old: &Pod, new: &Pod) -> (Pod, Vec<Diagnostic>) {
    let mut new = new.clone();
    if let (Some(new), Some(old)) = (&mut new.spec, &old.spec) {
        new.ephemeral_containers
            .clone_from(&old.ephemeral_containers);
    }
    let found = validate::pod_update(old, &new);
    (new, found)
}

/// Only its ephemeral containers.
pub(super) fn ephemeral_containers(old: &Pod, new: &Pod) -> (Pod, Vec<Diagnostic>) {
    let given = new.spec.as_ref();
    let given = given.and_then(|spec| spec.ephemeral_containers.clone());
    let mut given = given.unwrap_or_default();
    given.iter_mut().for_each(defaults::ephemeral_container);
    let known = old.spec.as_ref();
    let known = known.and_then(|spec| spec.ephemeral_containers.as_ref());
    // Whatever the order in which they are given, those that there are come first.
    let place = |name: &str| {
        let mut known = known.into_iter().flatten();
        known.position(|known| known.name == name)
    };
    given.sort_by_key(|container| place(&container.name).unwrap_or(usize::MAX));
    let mut changed = old.clone();
    if let Some(spec) = &mut changed.spec {
        spec.ephemeral_containers = Some(given).filter(|list| !list.is_empty());
    }
    let found = validate::ephemeral_containers_update(old, &changed);
    (changed, found)
}

/// Answers with the pod as it is then.
pub(super) async fn spec(
    service: &Service,
    request: HttpRequest<Incoming>,
    rules: Rules,
) -> Response<Body> {
    let change = match Change::read(request).await {
        Ok(change) => change,
        Err(refused) => return *refused,
    };
    let _turn = service.changing.lock().await;
    match change_spec(service, &change, rules).await {
        Ok(pod) => pod,
        Err(refused) => *refused,
    }
}

async fn change_spec(
    service: &Service,
    change: &Change,
    rules: Rules,
) -> Result<Response<Body>, Refused> {
    let old = service.world.pod.whole();
    check_version(service, change)?;
    let mut new = decode(&change.applied_to(&as_json(&old)?)?)?;
    // What the server answers for stays, whatever is said of it.
    let metadata = &old.metadata;
    new.metadata.resource_version = None;
    new.metadata.generation = metadata.generation;
    defaults::apply(&mut new, "");
    new.metadata.uid.clone_from(&metadata.uid);
    new.metadata
        .creation_timestamp
        .clone_from(&metadata.creation_timestamp);
    let (mut new, found) = rules(&old, &new);
    if !found.is_empty() {
        return Err(Box::new(invalid(&old, found)));
    }
    let is_other = new.spec != old.spec;
    // As the API server counts: each change of the spec is one.
    new.metadata.generation = metadata.generation.map(|now| now + i64::from(is_other));
    if is_other && !service.world.pod.is_changeable() {
        let message = "the pod has been changed too often: delete it and run it again";
        return Err(refused(StatusCode::CONFLICT, "Conflict", message));
    }
    wish_for(service, Request::Update { pod: Box::new(new) }).await?;
    Ok(pod_of_now(service))
}

/// The loop does not pause between the turn that has granted a wish and the publication of what came of it, so whoever has an answer finds
/// it published.
fn pod_of_now(service: &Service) -> Response<Body> {
    let pod = Rc::clone(&service.published.borrow().pod);
    json_response(StatusCode::OK, pod.to_string())
}

/// Conditions of others. Of what the kubelet answers for nothing is taken, as the kubelet would put it right at once.
pub(super) async fn status(service: &Service, request: HttpRequest<Incoming>) -> Response<Body> {
    let change = match Change::read(request).await {
        Ok(change) => change,
        Err(refused) => return *refused,
    };
    let _turn = service.changing.lock().await;
    match change_status(service, &change).await {
        Ok(pod) => pod,
        Err(refused) => *refused,
    }
}

async fn change_status(service: &Service, change: &Change) -> Result<Response<Body>, Refused> {
    check_version(service, change)?;
    let old = Rc::clone(&service.published.borrow().pod);
    let old: Value = serde_json::from_str(&old).map_err(unreadable)?;
    let (old, new) = (decode(&old)?, decode(&change.applied_to(&old)?)?);
    for wish in wishes(conditions(&old), conditions(&new)) {
        wish_for(service, wish).await?;
    }
    Ok(pod_of_now(service))
}

fn conditions(pod: &Pod) -> &[PodCondition] {
    let status = pod.status.as_ref();
    let list = status.and_then(|status| status.conditions.as_deref());
    list.unwrap_or_default()
}

/// What leads from the one list to the other.
fn wishes(old: &[PodCondition], new: &[PodCondition]) -> Vec<Request> {
    let known = |kind: &str| old.iter().find(|known| known.type_ == kind);
    let is_foreign =
        |condition: &&PodCondition| !podyard_lifecycle::is_own_condition(&condition.type_);
    let set = new.iter().filter(is_foreign).filter_map(|condition| {
        let known = known(&condition.type_);
        let time = condition.last_transition_time.clone();
        // A patch that does not speak of the time leaves the old one there.
        let time = time.filter(|_| {
            known.is_none_or(|known| known.last_transition_time != condition.last_transition_time)
        });
        (known != Some(condition)).then(|| Request::SetCondition {
            condition: Condition {
                kind: condition.type_.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                since: time.map(|time| Timestamp {
                    seconds: time.0.as_second(),
                    nanoseconds: 0,
                }),
            },
        })
    });
    let gone = old.iter().filter(is_foreign).filter_map(|known| {
        let stays = new.iter().any(|condition| condition.type_ == known.type_);
        (!stays).then(|| Request::RemoveCondition {
            kind: known.type_.clone(),
        })
    });
    set.chain(gone).collect()
}

/// An object or a patch, and how it is to be taken.
struct Change {
    body: Value,
    /// None for a whole object.
    patch: Option<PatchKind>,
}

impl Change {
    async fn read(request: HttpRequest<Incoming>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let patch = match parts.method {
            Method::PUT => None,
            _ => Some(patch_kind(&parts.headers)?),
        };
        let body = Limited::new(body, limits::REQUEST_BYTES).collect().await;
        let body = body.map_err(|error| {
            let message = format!("the request cannot be read: {error}");
            let (code, reason) = match error.is::<http_body_util::LengthLimitError>() {
                true => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
                false => (StatusCode::BAD_REQUEST, "BadRequest"),
            };
            refused(code, reason, &message)
        })?;
        let body = serde_json::from_slice(&body.to_bytes()).map_err(unreadable)?;
        Ok(Self { body, patch })
    }

    fn applied_to(&self, object: &Value) -> Result<Value, Refused> {
        if !self.body.is_object() {
            let message = "the request is not an object";
            return Err(refused(StatusCode::BAD_REQUEST, "BadRequest", message));
        }
        let Some(kind) = self.patch else {
            return Ok(self.body.clone());
        };
        let mut object = object.clone();
        patch::apply(&mut object, &self.body, kind);
        Ok(object)
    }
}

fn patch_kind(headers: &HeaderMap) -> Result<PatchKind, Refused> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        _ => {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/merge-patch+json, application/strategic-merge-patch+json";
            let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(refused(code, "UnsupportedMediaType", message))
        }
    }
}

/// A change of another version than the one of now is not what was meant.
fn check_version(service: &Service, change: &Change) -> Result<(), Refused> {
    let wanted = change.body.pointer("/metadata/resourceVersion");
    let Some(wanted) = wanted
        .and_then(Value::as_str)
        .filter(|wanted| !wanted.is_empty())
    else {
        return Ok(());
    };
    if wanted == service.published.borrow().version.to_string() {
        return Ok(());
    }
    let name = service.world.with_facts(|facts| facts.name().to_owned());
    let message = format!(
        "Operation cannot be fulfilled on pods {name:?}: the object has been modified; please apply your changes to the latest \
         version and try again"
    );
    Err(refused(StatusCode::CONFLICT, "Conflict", &message))
}

fn decode(object: &Value) -> Result<Pod, Refused> {
    serde_json::from_value(object.clone()).map_err(unreadable)
}

fn as_json(pod: &Pod) -> Result<Value, Refused> {
    serde_json::to_value(pod).map_err(unreadable)
}

/// As the API server refuses it.
fn invalid(pod: &Pod, found: Vec<Diagnostic>) -> Response<Body> {
    let object = ObjectName {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.metadata.name.clone().unwrap_or_default(),
    };
    let with_object = |mut diagnostic: Diagnostic| {
        diagnostic.object = Some(object.clone());
        diagnostic
    };
    let found = Diagnostics(found.into_iter().map(with_object).collect());
    let mut statuses = podyard_api::status::statuses(&found);
    let status = statuses.pop().unwrap_or_else(|| json!({}));
    json_response(StatusCode::UNPROCESSABLE_ENTITY, status.to_string())
}

fn unreadable(error: serde_json::Error) -> Refused {
    let message = format!("the object provided is unrecognized: {error}");
    refused(StatusCode::BAD_REQUEST, "BadRequest", &message)
}

fn refused(code: StatusCode, reason: &str, message: &str) -> Refused {
    Box::new(answer(code, reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str, at: &str) -> PodCondition {
        let object = json!({"type": kind, "status": status, "lastTransitionTime": at});
        serde_json::from_value(object).expect("a condition")
    }

    #[test]
    fn only_what_is_not_the_kubelets_own_is_set_or_removed() {
        let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let old = [
            condition("x/a", "True", first),
            condition("x/b", "True", first),
            condition("x/c", "True", first),
            condition("Ready", "True", first),
        ];
        let new = [
            condition("x/a", "True", first),
            condition("x/b", "False", first),
            condition("x/d", "True", second),
            condition("Ready", "False", second),
        ];
        let set = |kind: &str, status: &str, since| Request::SetCondition {
            condition: Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                reason: None,
                message: None,
                since,
            },
        };
        let day = Timestamp {
            seconds: 1_767_312_000,
            nanoseconds: 0,
        };
        let gone = Request::RemoveCondition {
            kind: "x/c".to_owned(),
        };
        assert_eq!(
            wishes(&old, &new),
            [
                set("x/b", "False", None),
                set("x/d", "True", Some(day)),
                gone
            ]
        );
    }
}
