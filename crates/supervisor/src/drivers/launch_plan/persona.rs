//! Who a process of a container is and what it finds in its environment; the same for the container's program and for every exec.

use std::ffi::CString;
use std::sync::Arc;

use podyard_api::core::Container;
use podyard_image::Image;
use podyard_linux::{CapabilitySet, OomScoreAdj, SecurityLabel, User, seccomp};

use super::super::containers::NotStarted;
use super::super::{World, volumes};
use super::c_string;
use crate::pull::chain;
use crate::translate::security::{self, Seccomp};
use crate::translate::user::{self, Accounts, Identity};
use crate::translate::{environment, resources};

pub(in super::super) struct Persona {
    pub(in super::super) identity: Identity,
    /// What the manifest gives: the variables that `$(VAR)` in a command line can name.
    pub(super) given: Vec<(String, String)>,
    pub(in super::super) env: Vec<CString>,
    pub(in super::super) working_dir: CString,
    pub(in super::super) no_new_privileges: bool,
    pub(in super::super) capabilities: CapabilitySet,
    /// The compiled filter; `None` means unconfined.
    pub(in super::super) filter: Option<Arc<seccomp::Program>>,
    pub(in super::super) label: Option<SecurityLabel>,
    pub(super) oom_score: i32,
}

impl Persona {
    pub(in super::super) fn oom_score_adj(&self) -> OomScoreAdj {
        OomScoreAdj {
            value: i16::try_from(self.oom_score).unwrap_or_default(),
            required: false,
        }
    }

    pub(in super::super) fn user(&self) -> User {
        User {
            uid: self.identity.uid,
            gid: self.identity.gid,
            additional_gids: self.identity.groups.clone(),
        }
    }
}

pub(in super::super) fn persona(
    world: &World,
    container: &Container,
    image: &Image,
) -> Result<Persona, NotStarted> {
    let account_files = world.accounts_of(image);
    let accounts = Accounts {
        passwd: &account_files.passwd,
        group: &account_files.group,
    };
    world.look_at_objects();
    let read_file = |volume: &str, path: &str| volumes::read_env_file(world, volume, path);
    world.with_facts(|facts| {
        let given =
            environment::of_container(container, facts, &read_file).map_err(NotStarted::config)?;
        let identity = user::identity(container, &image.config.user, accounts, facts)
            .map_err(NotStarted::config)?;
        let hostname = facts.hostname().map_err(NotStarted::create)?;
        let has_terminal = container.tty == Some(true);
        let mut env = environment::of_process(&image.config, &given, &hostname, has_terminal);
        if environment::find(&env, "HOME").is_none() {
            env.push(("HOME".to_owned(), identity.home.clone()));
        }
        let own_dir = container
            .working_dir
            .as_deref()
            .filter(|dir| !dir.is_empty());
        let image_dir = Some(image.config.working_dir.as_str()).filter(|dir| !dir.is_empty());
        let capabilities = security::capabilities(container).map_err(NotStarted::create)?;
        let choice = security::seccomp(container, facts, &world.default_seccomp);
        Ok(Persona {
            env: env
                .into_iter()
                .map(|(name, value)| c_string(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
            working_dir: c_string(own_dir.or(image_dir).unwrap_or("/"))?,
            no_new_privileges: security::no_new_privileges(container),
            filter: filter(world, &choice, capabilities)?,
            label: security::label(container, facts).map_err(NotStarted::create)?,
            capabilities,
            oom_score: resources::oom_score(container, facts),
            identity,
            given,
        })
    })
}

fn filter(
    world: &World,
    choice: &Seccomp,
    capabilities: CapabilitySet,
) -> Result<Option<Arc<seccomp::Program>>, NotStarted> {
    match choice {
        Seccomp::Unconfined => Ok(None),
        // Compiled once per set of capabilities, which is what it depends on.
        Seccomp::RuntimeDefault => {
            let mut known = world.live.seccomp.borrow_mut();
            let program = known
                .entry(capabilities.bits())
                .or_insert_with(|| seccomp::runtime_default(capabilities));
            Ok(Some(Arc::clone(program)))
        }
        Seccomp::Localhost(name) => {
            let path = world.roots.seccomp_profiles().join(name);
            let failed = |reason: String| {
                NotStarted::create(format!("cannot load seccomp profile {path:?}: {reason}"))
            };
            let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
            let circumstances = seccomp::Circumstances::here(capabilities);
            let profile = seccomp::Document::from_json(&text)
                .and_then(|document| document.resolve(&circumstances))
                .map_err(|error| failed(chain(&error)))?;
            let program = profile.compile().map_err(|error| failed(chain(&error)))?;
            Ok(Some(Arc::new(program)))
        }
    }
}
