//! End-to-end tests: the real binary, real namespaces, real processes.

mod examples;
mod hooks;
mod probes;
mod sees_confinement;
mod sees_environment;
mod sees_files;
mod sees_limits;
mod sees_volumes;
