//! `describe`: everything about pods, and about the objects that are kept for them.

use super::{now, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::named;
use crate::objects::core::PersistentVolumeClaim;
use crate::output::describe::describe;
use crate::output::named::{describe_claim, describe_config_map, describe_secret};
use crate::output::verdict::{obstacle, verdict};
use crate::pods;
use crate::settings::{Context, Scope};
use crate::target::{Resource, Target, Wanted};

pub(super) fn run(
    context: &Context,
    wanted: &[Wanted],
    scope: Scope,
) -> Result<ExitCode, CliError> {
    let mut texts = Vec::new();
    for wanted in wanted {
        texts.extend(described(context, wanted, scope)?);
    }
    if texts.is_empty() {
        super::note("No resources found");
    }
    print(texts.join("\n\n"))?;
    Ok(ExitCode::Success)
}

fn described(context: &Context, wanted: &Wanted, scope: Scope) -> Result<Vec<String>, CliError> {
    let target = &wanted.target;
    match wanted.resource {
        Resource::Pods => of_pods(context, target, scope),
        Resource::ConfigMaps => {
            let maps = named::select(context, target, scope)?;
            Ok(maps.iter().map(describe_config_map).collect())
        }
        Resource::Secrets => {
            let secrets = named::select(context, target, scope)?;
            Ok(secrets.iter().map(describe_secret).collect())
        }
        Resource::Claims => of_claims(context, target, scope),
    }
}

fn of_pods(context: &Context, target: &Target, scope: Scope) -> Result<Vec<String>, CliError> {
    let mut texts = Vec::new();
    for handle in pods::select(context, target, scope)? {
        let from_pod_error = |error| pods::from_pod_error(error, &handle.namespace, &handle.name);
        let pod = handle.pod().map_err(from_pod_error)?;
        let events = handle.events().map_err(from_pod_error)?;
        let now = now();
        let mut sentence = verdict(&pod, &pods::times(&handle, &pod), now);
        if let Some(obstacle) = obstacle(&pod, &events) {
            sentence.push_str(&format!("; {obstacle}"));
        }
        if !handle.has_ended() && !handle.is_supervised() {
            sentence.push_str(" (as of its last report: its supervisor is not running)");
        }
        if let Some(factor) = pods::backoff_factor(&handle) {
            sentence.push_str(&format!(
                "; back-offs last {factor} of their time (--backoff)"
            ));
        }
        texts.push(describe(&pod, &events, &sentence, now));
    }
    Ok(texts)
}

fn of_claims(context: &Context, target: &Target, scope: Scope) -> Result<Vec<String>, CliError> {
    use crate::named::Named as _;
    let volumes = pods::roots(context)?.volumes();
    let claims: Vec<PersistentVolumeClaim> = named::select(context, target, scope)?;
    let mut texts = Vec::new();
    for claim in &claims {
        let users = pods::users_of_claim(context, claim.namespace(), claim.name())?;
        let directory = volumes.join(claim.namespace()).join(claim.name());
        texts.push(describe_claim(claim, &directory, &users));
    }
    Ok(texts)
}
