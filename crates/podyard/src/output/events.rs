//! Listings of events, as `kubectl events` prints them.

use super::describe::event_age;
use super::table::Table;
use crate::objects::{Event, Timestamp, moment};

/// `LAST SEEN  TYPE  REASON  OBJECT  MESSAGE`, with the namespace in front if several are shown.
pub(crate) fn table(events: &[Event], with_namespace: bool, now: Timestamp) -> Table {
    let header = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    let mut table = Table::new(
        with_namespace
            .then_some("NAMESPACE")
            .into_iter()
            .chain(header),
    );
    for event in events {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let object = &event.involved_object;
        let kind = object.kind.as_deref().unwrap_or("Pod");
        let cells = [
            event_age(event, now),
            text(&event.type_),
            text(&event.reason),
            format!("{kind}/{}", text(&object.name)),
            message(event),
        ];
        table.push(
            with_namespace
                .then(|| text(&object.namespace))
                .into_iter()
                .chain(cells),
        );
    }
    table
}

/// The message, with the container it is about.
fn message(event: &Event) -> String {
    let message = event.message.as_deref().unwrap_or_default().trim();
    match event
        .involved_object
        .field_path
        .as_deref()
        .and_then(container_of)
    {
        Some(container) => format!("{container}: {message}"),
        None => message.to_owned(),
    }
}

/// `x` of `spec.containers{x}`.
fn container_of(field_path: &str) -> Option<&str> {
    field_path.split_once('{')?.1.strip_suffix('}')
}

/// When an event was seen last: what listings are sorted by.
pub(crate) fn last_seen(event: &Event) -> Option<Timestamp> {
    moment(event.last_timestamp.as_ref()).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::core::ObjectReference;
    use crate::output::samples::{START, time};

    #[test]
    fn an_event_names_its_container() {
        let event = Event {
            type_: Some("Warning".to_owned()),
            reason: Some("BackOff".to_owned()),
            message: Some("Back-off restarting failed container".to_owned()),
            count: Some(3),
            first_timestamp: Some(time(START)),
            last_timestamp: Some(time(START + 8)),
            involved_object: ObjectReference {
                kind: Some("Pod".to_owned()),
                name: Some("web".to_owned()),
                namespace: Some("default".to_owned()),
                field_path: Some("spec.initContainers{i}".to_owned()),
                ..ObjectReference::default()
            },
            ..Event::default()
        };
        let expected = "\
LAST SEEN          TYPE      REASON    OBJECT    MESSAGE
2s (x3 over 10s)   Warning   BackOff   Pod/web   i: Back-off restarting failed container
";
        let text = table(&[event], false, time(START + 10).0).render();
        assert_eq!(text, expected);
    }
}
