//! Lifecycle hooks: `postStart` and `preStop` (`pod-lifecycle.md` section 6). How long one may take is the core's to say: it cancels.

use std::rc::Rc;
use std::time::Duration;

use podyard_api::core::{Container, LifecycleHandler};
use podyard_lifecycle::{Attempt, ContainerIndex, Hook, HookResult, Observation};
use tokio::sync::oneshot;

use super::World;
use super::handlers::exec::{self, NotEnded};
use super::handlers::http::{self, Scheme};

const AGENT: &str = "kube-lifecycle/1.36";

pub(super) fn begin(world: &Rc<World>, container: ContainerIndex, attempt: Attempt, hook: Hook) {
    let (cancel, cancelled) = oneshot::channel();
    let key = (container, attempt, hook);
    world.live.hooks.borrow_mut().insert(key, cancel);
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        let result = tokio::select! {
            biased;
            result = run(&world, container, attempt, hook) => result,
            // Given up, not ended: what the hook began goes on until its container is stopped.
            _ = cancelled => HookResult::Cancelled,
        };
        world.live.hooks.borrow_mut().remove(&key);
        world.report(Observation::HookFinished {
            container,
            attempt,
            hook,
            result,
        });
    });
}

pub(super) fn cancel(world: &World, container: ContainerIndex, attempt: Attempt, hook: Hook) {
    // One that has just ended is not there any more, and has answered.
    if let Some(cancel) = world
        .live
        .hooks
        .borrow_mut()
        .remove(&(container, attempt, hook))
    {
        let _ = cancel.send(());
    }
}

async fn run(world: &Rc<World>, index: ContainerIndex, attempt: Attempt, hook: Hook) -> HookResult {
    let handler = world.container(index).and_then(|container| {
        let lifecycle = container.lifecycle.as_ref()?;
        let handler = match hook {
            Hook::PostStart => lifecycle.post_start.as_ref()?,
            Hook::PreStop => lifecycle.pre_stop.as_ref()?,
        };
        Some((container, handler))
    });
    let Some((container, handler)) = handler else {
        return HookResult::Succeeded;
    };
    match handle(world, (index, attempt), container, handler).await {
        Ok(()) => HookResult::Succeeded,
        Err(message) => HookResult::Failed { message },
    }
}

async fn handle(
    world: &Rc<World>,
    key: super::world::Key,
    container: &Container,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    let place = format!(
        "for Container {:?} in Pod {:?}",
        container.name,
        world.with_facts(|facts| facts.full_name())
    );
    if let Some(action) = &handler.exec {
        let command = action.command.as_deref().unwrap_or_default();
        let failed = |error: String, output: String| {
            let words = command.join(" ");
            format!(
                "Exec lifecycle hook ([{words}]) {place} failed - error: {error}, message: {output:?}"
            )
        };
        return match exec::run(world, key, command, None).await {
            Ok(ended) if ended.code == 0 => Ok(()),
            Ok(ended) => {
                let stderr = String::from_utf8_lossy(&ended.stderr);
                let error = format!(
                    "command '{}' exited with {}: {stderr}",
                    command.join(" "),
                    ended.code
                );
                Err(failed(error, ended.output()))
            }
            Err(NotEnded::NotRun(message)) => Err(failed(message, String::new())),
            Err(NotEnded::TimedOut) => Err(failed("timed out".to_owned(), String::new())),
        };
    }
    if let Some(action) = &handler.http_get {
        let path = action.path.as_deref().unwrap_or_default();
        let failed =
            |error: String| format!("HTTP lifecycle hook ({path}) {place} failed - error: {error}");
        let mut get = http::Get::new(world, container, action, AGENT).map_err(failed)?;
        let mut answer = get.send(None).await;
        if get.scheme == Scheme::Https
            && answer
                .as_ref()
                .is_err_and(|text| text.contains("HTTP response to HTTPS client"))
        {
            get.scheme = Scheme::Http;
            answer = get.send(None).await;
        }
        // Whatever the server says: it was told.
        return answer.map(drop).map_err(failed);
    }
    if let Some(action) = &handler.sleep {
        let seconds = u64::try_from(action.seconds).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    Err(format!("invalid handler: {handler:?}"))
}
