//! Real containers in real namespaces, mounts and cgroups, through the crate's public interface. Needs root.
//!
//! The sandbox of a pod executes the caller's own program anew, which here is this one: hence a main function of its own.

/// The tests of a module by name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<::libtest_mimic::Trial> {
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$(::libtest_mimic::Trial::test(
                format!("{module}::{}", stringify!($name)),
                || { $name(); Ok(()) },
            )),*]
        }
    };
}

mod barrier;
mod calls;
mod compare;
mod exec;
mod image;
mod limits;
mod mounts;
mod namespaces;
mod program;
mod rootfs;
mod teardown;
mod terminal;
mod threats;
mod unified;
mod users;
mod world;

use libtest_mimic::{Arguments, Trial};

/// The argument with which this program is the sandbox of a pod.
const SANDBOX_ROLE: &str = "sandbox";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(SANDBOX_ROLE) => podyard_linux::pause(),
        Some(threats::launcher::OVERWRITE_ROLE) => return threats::launcher::overwrite(),
        Some(calls::START_ROLE) => return calls::start_a_container(),
        Some(threats::launcher::KEYRING_ROLE) => return threats::launcher::print_keyring(),
        _ => {}
    }
    // As the supervisor does, before it makes any container.
    podyard_linux::protect_own_program().expect("executed anew");
    let mut tests: Vec<Trial> = [
        barrier::tests(),
        calls::tests(),
        compare::tests(),
        exec::tests(),
        limits::tests(),
        mounts::tests(),
        namespaces::tests(),
        program::tests(),
        rootfs::tests(),
        teardown::tests(),
        terminal::tests(),
        threats::tests(),
        unified::tests(),
        users::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    tests.push(threats::agreement(&tests));
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}
