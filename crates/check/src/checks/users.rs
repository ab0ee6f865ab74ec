//! Files that belong to one user and are used by another.

use super::Report;
use crate::catalog::Check;
use crate::effects::{How, is_within};
use crate::facts::{ContainerFacts, Role};
use crate::finding::Severity;

pub(crate) static NOT_FOR_APP: Check = Check {
    id: "init-files-not-for-app",
    severity: Severity::Warning,
    title: "An init container leaves files that the user of a later container cannot use",
    explanation: "The two run as different users. Files keep the owner and mode that the init container gives them: a later container that \
is not root cannot read what was made with mode 0600 (openssl and ssh-keygen do so with keys), and cannot write what was made with the \
usual 0644. `fsGroup` gives files of a volume a group, and then only the mode decides. Reported when both users are known, the file is \
one that the init container evidently makes so, nothing in it changes owners or modes afterwards, and, for writing, the later container \
evidently writes there.",
    fix: "Let the init container run as the same user (`runAsUser` of the Pod), or `chown` or `chmod` the files at its end.",
    run: not_for_app,
};

fn not_for_app(report: &mut Report<'_>) {
    let facts = report.facts;
    let spec = facts.spec();
    for (position, init) in facts.containers.iter().enumerate() {
        let Some(init_user) = init.user(spec) else {
            continue;
        };
        let changes_user = init.runs().iter().any(|run| run.as_other_user);
        let shares = init.steps().any(|(_, effects)| effects.shares);
        let umask = init
            .steps()
            .any(|(run, _)| run.program() == "umask" && !run.arguments().is_empty());
        if init.role != Role::Init || init.trace.is_none() || changes_user || shares || umask {
            continue;
        }
        // Something between the two may give the files away.
        for (at, later) in facts.containers.iter().enumerate().skip(position + 1) {
            let Some(user) = later
                .user(spec)
                .filter(|user| *user != init_user && *user != 0)
            else {
                continue;
            };
            let between = &facts.containers[position + 1..at];
            let given_away = between.iter().any(|other| {
                other.trace.is_none() || other.steps().any(|(_, effects)| effects.shares)
            });
            if given_away {
                continue;
            }
            if let Some((path, problem)) = unusable(init, later) {
                let (name, later_name) = (init.name(), later.name());
                report.at_word(
                    init,
                    &path,
                    format!("`{name}` makes `{path}` as user {init_user}, and `{later_name}`, which runs as user {user}, cannot {problem}"),
                    format!("run `{name}` as user {user} too, or `chown {user}` the file at its end"),
                );
                break;
            }
        }
    }
}

/// A path that the init container makes and the later one cannot read, or cannot write although it does.
fn unusable(init: &ContainerFacts<'_>, later: &ContainerFacts<'_>) -> Option<(String, String)> {
    let shared = |path: &str| {
        let inside = init.in_volume(path)?;
        let seen = later.seen_at(&inside.mount.name, &inside.path);
        (!seen.is_empty()).then_some(seen)
    };
    for (_, effects) in init.steps() {
        for write in effects.writes.iter().filter(|write| write.path.is_exact) {
            let path = &write.path.path;
            let Some(seen) = shared(path) else { continue };
            if write.is_private && write.how != How::Directory {
                return Some((path.clone(), "read it".to_owned()));
            }
            if !matches!(write.how, How::File | How::Directory) {
                continue;
            }
            for (_, later_effects) in later.steps() {
                let wants = later_effects.writes.iter().find(|wanted| {
                    let is_it = seen.iter().any(|(_, at)| match write.how {
                        How::Directory => {
                            is_within(&wanted.path.path, at) && wanted.path.path != *at
                        }
                        _ => wanted.path.path == *at,
                    });
                    is_it && wanted.fails && matches!(wanted.how, How::File | How::FileOrInto(_))
                });
                if let Some(wanted) = wants {
                    let problem = if write.how == How::Directory {
                        format!("write `{}` in it", wanted.path.path)
                    } else {
                        "write it".to_owned()
                    };
                    return Some((path.clone(), problem));
                }
            }
        }
    }
    None
}
