//! Finds a container's image, and those of the volumes that it mounts, pulling them in a child process when the policy says so
//! (`pod-lifecycle.md` section 4.4).

use std::process::Stdio;
use std::rc::Rc;
use std::time::Instant;

use podyard_image::{Image, Origin, Reference, StoreError};
use podyard_lifecycle::{
    Attempt, ContainerIndex, ImageFacts, ImageFailure, Observation, PullFacts,
};
use tokio::sync::oneshot;

use super::{World, containers, volumes};
use crate::child::ChildProcess;
use crate::pull::{self, PullAnswer};

/// What is to be done for one image.
enum Plan {
    Use(Rc<Image>),
    Pull(Reference),
}

struct Failure {
    reason: ImageFailure,
    message: String,
}

/// An image of a volume, and what is to be done for it.
struct OfVolume {
    volume: String,
    reference: String,
    plan: Plan,
}

pub(super) fn ensure(world: &Rc<World>, container: ContainerIndex, attempt: Attempt) {
    world.tell_missing_pull_secrets();
    let plans =
        plan(world, container).and_then(|own| Ok((own, plans_of_volumes(world, container)?)));
    let (own, of_volumes) = match plans {
        Ok((Plan::Use(image), of_volumes)) if of_volumes.is_empty() => {
            return ready(world, container, attempt, image, None);
        }
        Ok(plans) => plans,
        Err(failure) => return failed(world, container, attempt, failure),
    };
    let (cancel, mut cancelled) = oneshot::channel();
    world
        .live
        .pulls
        .borrow_mut()
        .insert((container, attempt), cancel);
    if matches!(own, Plan::Pull(_)) {
        world.report(Observation::ImagePulling { container, attempt });
    }
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        let result = fetch(&world, own, of_volumes, &mut cancelled).await;
        world.live.pulls.borrow_mut().remove(&(container, attempt));
        match result {
            Ok((image, pulled)) => ready(&world, container, attempt, image, pulled),
            Err(failure) => failed(&world, container, attempt, failure),
        }
    });
}

/// Everything that is not there yet, one after the other.
async fn fetch(
    world: &World,
    own: Plan,
    of_volumes: Vec<OfVolume>,
    cancelled: &mut oneshot::Receiver<()>,
) -> Result<(Rc<Image>, Option<PullFacts>), Failure> {
    let (image, pulled) = match own {
        Plan::Use(image) => (image, None),
        Plan::Pull(reference) => {
            let began = Instant::now();
            let (image, bytes) = pull(world, &reference, cancelled).await?;
            let took = began.elapsed();
            let facts = PullFacts {
                took,
                including_waiting: took,
                bytes,
            };
            (image, Some(facts))
        }
    };
    for OfVolume {
        volume,
        reference: text,
        plan,
    } in of_volumes
    {
        let of_volume = |failure| of_volume(&volume, &text, failure);
        let image = match plan {
            Plan::Use(image) => image,
            Plan::Pull(reference) => {
                let pulled = pull(world, &reference, cancelled).await;
                pulled.map_err(of_volume)?.0
            }
        };
        lease(world, &image).map_err(of_volume)?;
        world.live.volume_images.borrow_mut().insert(volume, image);
    }
    Ok((image, pulled))
}

fn of_volume(volume: &str, reference: &str, failure: Failure) -> Failure {
    Failure {
        message: format!(
            "image {reference:?} of volume {volume:?}: {}",
            failure.message
        ),
        ..failure
    }
}

pub(super) fn cancel(world: &Rc<World>, container: ContainerIndex, attempt: Attempt) {
    if let Some(cancel) = world.live.pulls.borrow_mut().remove(&(container, attempt)) {
        let _ = cancel.send(());
    }
}

/// The image that a start would use without asking a registry, kept from clean-ups from here on.
pub(super) fn at_hand(world: &World, container: ContainerIndex) -> Option<Rc<Image>> {
    match plan(world, container) {
        Ok(Plan::Use(image)) if lease(world, &image).is_ok() => Some(image),
        _ => None,
    }
}

fn plan(world: &World, container: ContainerIndex) -> Result<Plan, Failure> {
    let container = world.container(container).ok_or_else(|| Failure {
        reason: ImageFailure::ImageInspectError,
        message: "no such container".to_owned(),
    })?;
    let text = container.image.as_deref().unwrap_or_default();
    plan_for(world, text, container.image_pull_policy.as_deref())
}

fn plans_of_volumes(world: &World, container: ContainerIndex) -> Result<Vec<OfVolume>, Failure> {
    let Some(container) = world.container(container) else {
        return Ok(Vec::new());
    };
    volumes::image::of_container(world, container)
        .map(|(volume, source)| {
            let text = source.reference.as_deref().unwrap_or_default();
            let plan = plan_for(world, text, source.pull_policy.as_deref());
            Ok(OfVolume {
                volume: volume.to_owned(),
                reference: text.to_owned(),
                plan: plan.map_err(|failure| of_volume(volume, text, failure))?,
            })
        })
        .collect()
}

/// The decision by policy. An image that was imported came from no registry, so there is none to ask about it: `Always` finds it present.
fn plan_for(world: &World, text: &str, policy: Option<&str>) -> Result<Plan, Failure> {
    let reference = Reference::parse(text).map_err(|error| Failure {
        reason: ImageFailure::InvalidImageName,
        message: format!("Failed to apply default image tag {text:?}: couldn't parse image name {text:?}: {error}"),
    })?;
    let present = present(world, &reference).map_err(|error| Failure {
        reason: ImageFailure::ImageInspectError,
        message: format!("Failed to inspect image {text:?}: {}", pull::chain(&error)),
    })?;
    match (policy, present) {
        (Some("Always"), Some(image)) if image.origin == Origin::Pulled => {
            Ok(Plan::Pull(reference))
        }
        (_, Some(image)) => Ok(Plan::Use(image)),
        (Some("Never"), None) => Err(Failure {
            reason: ImageFailure::ErrImageNeverPull,
            message: format!("Container image {text:?} is not present with pull policy of Never"),
        }),
        (_, None) => Ok(Plan::Pull(reference)),
    }
}

/// What the store has under this name. A pod asks at every start of each of its containers, and mostly for the same.
fn present(world: &World, reference: &Reference) -> Result<Option<Rc<Image>>, StoreError> {
    let stamp = world.store.stamp(reference);
    let name = reference.to_string();
    if let Some((known, image)) = world.live.found_images.borrow().get(&name)
        && stamp == Some(*known)
        && is_leased(world, image)
    {
        return Ok(Some(Rc::clone(image)));
    }
    let image = world.store.lookup(reference)?.map(Rc::new);
    if let (Some(stamp), Some(image)) = (stamp, &image) {
        let found = (stamp, Rc::clone(image));
        world.live.found_images.borrow_mut().insert(name, found);
    }
    Ok(image)
}

/// Whether this supervisor has seen to it that the image stays.
fn is_leased(world: &World, image: &Image) -> bool {
    world.live.leased.borrow().contains(&image.manifest_digest)
}

/// From here on a clean-up of the store must leave the image alone.
fn lease(world: &World, image: &Image) -> Result<(), Failure> {
    // A lease lasts as long as the pod.
    if is_leased(world, image) {
        return Ok(());
    }
    let leased = world.store.lease(image, &world.dirs.uid);
    leased.map_err(|error| Failure {
        reason: ImageFailure::ImageInspectError,
        message: pull::chain(&error),
    })?;
    let digest = image.manifest_digest.clone();
    world.live.leased.borrow_mut().insert(digest);
    Ok(())
}

async fn pull(
    world: &World,
    reference: &Reference,
    cancelled: &mut oneshot::Receiver<()>,
) -> Result<(Rc<Image>, u64), Failure> {
    let failure = |message: String| Failure {
        reason: ImageFailure::ErrImagePull,
        message,
    };
    let arguments = pull::arguments(&world.roots.images(), &reference.to_string());
    let credentials = world.pull_credentials(reference).map_err(failure)?;
    let mut child = pull::input(&credentials)
        .and_then(|input| ChildProcess::spawn_with(&arguments, input, Stdio::piped()))
        .map_err(|error| failure(format!("cannot start the pull: {error}")))?;
    let output = tokio::select! {
        output = child.output() => output.map_err(|error| failure(format!("the pull ended badly: {error}")))?,
        _ = cancelled => {
            child.kill_and_reap().await;
            return Err(Failure { reason: ImageFailure::Cancelled, message: String::new() });
        }
    };
    let answer = String::from_utf8_lossy(&output);
    match serde_json::from_str::<PullAnswer>(answer.trim()) {
        Ok(PullAnswer::Done { bytes }) => match world.store.lookup(reference) {
            Ok(Some(image)) => Ok((Rc::new(image), bytes)),
            Ok(None) => Err(failure("the image vanished after it was pulled".to_owned())),
            Err(error) => Err(failure(pull::chain(&error))),
        },
        Ok(PullAnswer::Failed { message }) => Err(failure(message)),
        Err(_) => Err(failure("the pull was killed".to_owned())),
    }
}

fn ready(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    image: Rc<Image>,
    pulled: Option<PullFacts>,
) {
    if let Err(failure) = lease(world, &image) {
        return failed(world, container, attempt, failure);
    }
    let name = image
        .names
        .first()
        .map_or_else(String::new, ToString::to_string);
    let id = image
        .repo_digest
        .clone()
        .unwrap_or_else(|| image.image_id.to_string());
    world
        .live
        .images
        .borrow_mut()
        .insert((container, attempt), image);
    world.report(Observation::ImageReady {
        container,
        attempt,
        image: ImageFacts { name, id, pulled },
    });
}

fn failed(world: &World, container: ContainerIndex, attempt: Attempt, failure: Failure) {
    let Failure { reason, message } = failure;
    containers::give_up_ahead(world, container);
    world.report(Observation::ImageFailed {
        container,
        attempt,
        reason,
        message,
    });
}
