//! The image of a start: what is asked for, what its failure puts off, and what people hear of it (section 4.4).
//!
//! Containers of a pod with the same image share its back-off. One that is content with an image that is present
//! (`imagePullPolicy: IfNotPresent`) does not have to wait for another one that always pulls.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::container::{ImageName, Reason};
use crate::event::EventKind::{Normal, Warning};
use crate::machine::PodMachine;
use crate::plan::PullPolicy;
use crate::start::StartStep;
use crate::time::{Moment, go_duration};
use crate::{Action, Attempt, ContainerIndex, ImageFacts, ImageFailure, limits};

/// The back-off of an image, shared by all containers of the pod that use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageBackoff {
    backoff: Backoff,
    /// `reason: text` of the last failure.
    last_error: String,
    /// The failure says nothing about whether the image is present: it is, or whoever failed pulls always.
    is_about_pull_alone: bool,
    /// It is there after all, or a person wants it to be tried now.
    is_lifted: bool,
}

impl ImageBackoff {
    /// Whatever puts the next attempt off does so no more.
    pub(crate) fn lift(&mut self) {
        self.is_lifted = true;
    }

    pub(crate) fn rebase(&mut self, rebase: impl Fn(&mut Moment)) {
        self.backoff.rebase(rebase);
    }
}

impl PodMachine {
    /// Section 4.4. A container that is content with an image that is present asks for it, unless another one like it has just failed to.
    pub(crate) fn image_wait(&self, index: ContainerIndex) -> Option<Moment> {
        let plan = self.container_plan(index);
        let image = &self.images[plan.image_slot];
        let may_be_present = match plan.pull_policy {
            PullPolicy::Never => true,
            PullPolicy::IfNotPresent => image.is_about_pull_alone,
            PullPolicy::Always => false,
        };
        if may_be_present || image.is_lifted {
            return None;
        }
        let wait = image
            .backoff
            .wait_since_raise(self.now.moment(), &self.settings)?;
        Some(wait.until)
    }

    pub(crate) fn show_image_backoff(&mut self, index: ContainerIndex) {
        if self.is_shown(index, Reason::ImagePullBackOff) {
            return;
        }
        let plan = self.container_plan(index);
        let text = format!("Back-off pulling image {:?}", plan.image);
        let last_error = &self.images[plan.image_slot].last_error;
        self.show(
            index,
            Reason::ImagePullBackOff,
            format!("{text}: {last_error}"),
        );
        self.event(index, Normal, "BackOff", text);
        self.event(index, Warning, "Failed", "Error: ImagePullBackOff");
    }

    pub(crate) fn note_pulling(&mut self, container: ContainerIndex, attempt: Attempt) {
        if matches!(
            self.start_of(container, attempt),
            Some(StartStep::Image { .. })
        ) {
            let message = format!("Pulling image {:?}", self.container_plan(container).image);
            self.event(container, Normal, "Pulling", message);
        }
    }

    pub(crate) fn note_image(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        facts: &ImageFacts,
    ) {
        self.answered(|action| is_image(action, container, attempt));
        let Some(StartStep::Image { is_cancelled }) = self.start_of(container, attempt) else {
            return;
        };
        if *is_cancelled {
            self.starting = None;
            return;
        }
        let plan = self.container_plan(container);
        let slot = plan.image_slot;
        let image = &plan.image;
        let was_pulled = facts.pulled.is_some() || plan.pull_policy == PullPolicy::Always;
        let message = match &facts.pulled {
            Some(pull) => format!(
                "Successfully pulled image {image:?} in {} ({} including waiting). Image size: {} bytes.",
                go_duration(whole_milliseconds(pull.took)),
                go_duration(whole_milliseconds(pull.including_waiting)),
                pull.bytes
            ),
            None => format!(
                "Container image {image:?} already present on machine and can be accessed by the pod"
            ),
        };
        self.event(container, Normal, "Pulled", message);
        // Whoever else wants it need not wait for what is there.
        let entry = &mut self.images[slot];
        if was_pulled {
            entry.is_lifted = true;
        } else {
            entry.is_about_pull_alone = true;
        }
        let image = ImageName {
            name: facts.name.clone(),
            id: facts.id.clone(),
        };
        if let Some(start) = &mut self.starting {
            start.step = StartStep::Ready { image };
        }
    }

    pub(crate) fn note_no_image(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        failure: ImageFailure,
        message: &str,
    ) {
        self.answered(|action| is_image(action, container, attempt));
        let Some(StartStep::Image { is_cancelled }) = self.start_of(container, attempt) else {
            return;
        };
        let is_cancelled = *is_cancelled;
        self.starting = None;
        if is_cancelled || failure == ImageFailure::Cancelled {
            return;
        }
        let plan = self.container_plan(container);
        let image = plan.image.clone();
        let (event, event_message, is_pull) = match failure {
            ImageFailure::ErrImagePull
            | ImageFailure::RegistryUnavailable
            | ImageFailure::SignatureValidationFailed => (
                "Failed",
                format!("Failed to pull image {image:?}: {message}"),
                true,
            ),
            ImageFailure::ErrImageNeverPull => ("ErrImageNeverPull", message.into(), false),
            ImageFailure::InvalidImageName
            | ImageFailure::ImageInspectError
            | ImageFailure::Cancelled => ("InspectFailed", message.into(), false),
        };
        let now = self.now.moment();
        let hold = if is_pull {
            let is_about_pull_alone = plan.pull_policy == PullPolicy::Always;
            let slot = plan.image_slot;
            let entry = &mut self.images[slot];
            entry.is_about_pull_alone = is_about_pull_alone;
            entry.is_lifted = false;
            entry.last_error = format!("{}: {message}", failure.reason());
            entry.backoff.raise(now, limits::IMAGE_BACKOFF_MAX);
            now.plus(limits::PULL_ERROR_SHOWN.min(self.settings.scaled(limits::BACKOFF_INITIAL)))
        } else {
            now.plus(self.settings.scaled(limits::ERROR_RETRY))
        };
        self.container_mut(container).hold = Some(hold);
        self.show(container, Reason::Image(failure), message.into());
        self.event(container, Warning, event, event_message);
        self.event(
            container,
            Warning,
            "Failed",
            format!("Error: {}", failure.reason()),
        );
    }
}

pub(crate) fn is_image(action: &Action, of: ContainerIndex, instance: Attempt) -> bool {
    matches!(action, Action::EnsureImage { container, attempt } | Action::CancelImage { container, attempt }
        if *container == of && *attempt == instance)
}

fn whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
