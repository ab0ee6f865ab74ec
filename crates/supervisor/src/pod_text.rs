//! The pod as the API would show it, as text: what was accepted, with the status of now.
//!
//! Made after every turn that changed something, so what never changes is put into words only once: the spec, by far the largest part.

use podyard_api::core::Pod;
use podyard_api::meta::{ObjectMeta, Time};
use podyard_lifecycle::{PodMachine, kubernetes_time};

/// What stays the same of one pod.
pub(crate) struct PodText {
    metadata: ObjectMeta,
    /// `,"spec":…`, or nothing.
    spec: String,
}

impl PodText {
    pub(crate) fn new(pod: &Pod) -> Self {
        let spec = pod
            .spec
            .as_ref()
            .and_then(|spec| serde_json::to_string(spec).ok());
        Self {
            metadata: pod.metadata.clone(),
            spec: spec.map_or_else(String::new, |spec| format!(",\"spec\":{spec}")),
        }
    }

    pub(crate) fn render(&self, machine: &PodMachine, version: u64) -> String {
        let mut metadata = self.metadata.clone();
        metadata.resource_version = Some(version.to_string());
        if let Some((at, grace)) = machine.deletion() {
            // As the API server has it: the moment at which the grace will be over.
            metadata.deletion_timestamp = Some(deletion_time(at, grace));
            metadata.deletion_grace_period_seconds = Some(grace);
        }
        let json = |part: serde_json::Result<String>| part.unwrap_or_else(|_| "{}".to_owned());
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{}{},"status":{}}}"#,
            json(serde_json::to_string(&metadata)),
            self.spec,
            json(serde_json::to_string(&machine.status())),
        )
    }
}

fn deletion_time(at: podyard_lifecycle::Timestamp, grace: i64) -> Time {
    kubernetes_time(podyard_lifecycle::Timestamp {
        seconds: at.seconds + grace,
        ..at
    })
}

#[cfg(test)]
mod tests {
    use podyard_lifecycle::{Now, Request, Settings};

    use super::*;

    /// The text is what serializing the whole object gives, letter by letter.
    #[test]
    fn the_parts_make_the_whole() {
        let pod = serde_json::json!({
            "metadata": { "name": "p", "namespace": "default", "uid": "u" },
            "spec": { "containers": [{ "name": "a", "image": "busybox:1", "args": ["\"{"] }] },
        });
        let mut pod: Pod = serde_json::from_value(pod).expect("a pod");
        let mut machine = PodMachine::new(&pod, Settings::default(), Now::default());
        let text = PodText::new(&pod);

        pod.metadata.resource_version = Some("7".to_owned());
        pod.status = Some(machine.status());
        let whole = |pod: &Pod| serde_json::to_string(pod).expect("a pod");
        assert_eq!(text.render(&machine, 7), whole(&pod));

        let delete = Request::Delete {
            grace_seconds: Some(5),
        };
        machine
            .request(Now::default(), &delete)
            .expect("it can be deleted");
        let rendered: Pod = serde_json::from_str(&text.render(&machine, 8)).expect("a pod");
        assert_eq!(rendered.metadata.deletion_grace_period_seconds, Some(5));
        assert_eq!(rendered.spec, pod.spec);
    }
}
