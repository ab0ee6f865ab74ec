//! The pod's Events, aggregated as Kubernetes clients do it (`pod-lifecycle.md` section 9): an Event with the same text again raises the
//! count of the one there is. Kept with the pod, bounded.

use podyard_api::core::{Event as KubernetesEvent, EventSource, ObjectReference};
use podyard_lifecycle::{Event, EventKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::limits;

/// One aggregated Event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AggregatedEvent {
    /// What was said, with the time of the first occurrence.
    pub event: Event,
    /// How often.
    pub count: i32,
    /// When it was said last.
    pub last: Timestamp,
}

/// All Events of one pod, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventLog {
    events: Vec<AggregatedEvent>,
}

impl EventLog {
    /// Adds one, or raises the count of its like.
    pub fn add(&mut self, event: Event) {
        let same = |known: &&mut AggregatedEvent| {
            known.event.reason == event.reason
                && known.event.message == event.message
                && known.event.field_path == event.field_path
        };
        if let Some(known) = self.events.iter_mut().rev().find(same) {
            known.count += 1;
            known.last = event.at;
            return;
        }
        if self.events.len() >= limits::EVENTS {
            self.events.remove(0);
        }
        self.events.push(AggregatedEvent {
            last: event.at,
            event,
            count: 1,
        });
    }

    /// The Events as API objects of the pod `namespace`/`name`.
    #[must_use]
    pub fn to_objects(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        host: &str,
    ) -> Vec<KubernetesEvent> {
        self.events
            .iter()
            .enumerate()
            .map(|(index, event)| to_object(event, index, namespace, name, uid, host))
            .collect()
    }
}

fn to_object(
    event: &AggregatedEvent,
    index: usize,
    namespace: &str,
    name: &str,
    uid: &str,
    host: &str,
) -> KubernetesEvent {
    let at = event.event.at;
    let mut object = KubernetesEvent {
        count: Some(event.count),
        first_timestamp: Some(podyard_lifecycle::kubernetes_time(at)),
        last_timestamp: Some(podyard_lifecycle::kubernetes_time(event.last)),
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            field_path: event.event.field_path.clone(),
            ..ObjectReference::default()
        },
        reason: Some(event.event.reason.clone()),
        message: Some(event.event.message.clone()),
        type_: Some(match event.event.kind {
            EventKind::Normal => "Normal".to_owned(),
            EventKind::Warning => "Warning".to_owned(),
        }),
        source: Some(EventSource {
            component: Some("podyard".to_owned()),
            host: Some(host.to_owned()),
        }),
        reporting_component: Some("podyard".to_owned()),
        reporting_instance: Some(host.to_owned()),
        ..KubernetesEvent::default()
    };
    object.metadata.namespace = Some(namespace.to_owned());
    // Kubernetes' own form: the object's name and a number that orders events.
    object.metadata.name = Some(format!(
        "{name}.{:016x}",
        at.seconds.unsigned_abs() << 20 | index as u64
    ));
    object.metadata.creation_timestamp = Some(podyard_lifecycle::kubernetes_time(at));
    object
}
