//! What stands in a pod's way and no container's line tells, such as a sandbox that cannot be made: each once, with what to try.

use std::collections::HashSet;

use podyard_supervisor::PodHandle;

use crate::hints;
use crate::objects::{Pod, PodExt as _, terminated, waiting_reason};
use crate::output::escape::one_line;
use crate::output::style::{Palette, Tone};

/// Remembers what was told.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: HashSet<String>,
}

impl Troubles {
    /// Warnings about the pod as a whole, and hints, that were not told yet.
    pub(super) fn news(&mut self, handle: &PodHandle, pod: &Pod, palette: Palette) -> Vec<String> {
        let mut lines = Vec::new();
        for event in handle.events().unwrap_or_default() {
            // Those of a container are in its own line.
            if event.type_.as_deref() != Some("Warning")
                || event.involved_object.field_path.is_some()
            {
                continue;
            }
            let reason = event.reason.unwrap_or_default();
            let message = one_line(&event.message.unwrap_or_default()).into_owned();
            if self.told.insert(format!("{reason} {message}")) {
                let word = palette.paint(Tone::Attention, "warning:");
                lines.push(format!("{word} {reason}: {message}"));
                lines.extend(self.hint(hints::for_event(&reason, &message), palette));
            }
        }
        for container in pod.init_containers().iter().chain(pod.app_containers()) {
            let status = pod.container_status(&container.name);
            let state = status.and_then(|status| status.state.as_ref());
            let message = state
                .and_then(|state| state.waiting.as_ref()?.message.as_deref())
                .unwrap_or_default();
            let image = container.image.as_deref().unwrap_or_default();
            let hint =
                waiting_reason(state).and_then(|reason| hints::for_waiting(reason, message, image));
            lines.extend(self.hint(hint, palette));
            let ended = terminated(state).and_then(|end| end.reason.as_deref());
            let hint = ended.and_then(|reason| hints::for_ended(reason, image));
            lines.extend(self.hint(hint, palette));
        }
        lines
    }

    fn hint(&mut self, hint: Option<String>, palette: Palette) -> Option<String> {
        let hint = hint.filter(|hint| self.told.insert(hint.clone()))?;
        Some(format!("{} {hint}", palette.paint(Tone::Active, "hint:")))
    }
}
