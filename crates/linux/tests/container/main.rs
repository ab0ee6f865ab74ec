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
                || { $crate::alone($name); Ok(()) },
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

/// Runs a test in a thread of its own: some give their thread another view of the machine, and do not give it back.
fn alone(test: fn()) {
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(threats::launcher::OVERWRITE_ROLE) => return threats::launcher::overwrite(),
        Some(calls::EXEC_ROLE) => return calls::start_an_exec(),
        Some(calls::START_ROLE) => return calls::start_a_container(),
        Some(threats::launcher::REPLACED_ROLE) => {
            return threats::launcher::protect_a_replaced_program();
        }
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
    let mut arguments = Arguments::from_args();
    // In one process, one after the other: they look at what the process has open. cargo-nextest gives each its own.
    arguments.test_threads.get_or_insert(1);
    let conclusion = libtest_mimic::run(&arguments, tests);
    image::clean_up();
    conclusion.exit();
}
